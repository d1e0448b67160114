"""``kirikae capacity explain``: what the rules of capacity.yml do, and how fast, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from kirikae.capacity.settings import METRICS, CapacityFile, PolicySettings, StepSettings
from kirikae.capacity.settings import read as read_rules
from kirikae.console.capacity_try import FILE, speech_of
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG
from kirikae.model.said import Said, said
from kirikae.model.scaling import HIGH_DATAPOINTS, LOW_DATAPOINTS, LOW_SHARE, PUBLISHED_AFTER_S

_FULL = 100.0
"""CPU saturates there: a target of 50 doubles the tasks at most."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What the target rules by CPU carry.  ``times``: how far the load may rise before tasks are
    full; ``known_s``: until a decision; ``serves_s``: until more tasks serve."""

    times: float
    known_s: float
    serves_s: float


@click.command("explain")
@FILE
@LANG
@JSON
@click.pass_obj
def explain(here: Here, file: Path, lang: str | None) -> Answer:
    """Say what each rule of FILE (capacity.yml) does, how long it takes, and how steep a rise of
    load is carried meanwhile."""
    rules = read_rules(file)
    speech = speech_of(here, lang)
    reach = reach_of(rules)
    plain: dict[str, float | None] = {"carried_rise": None, "serves_after_s": None}
    if reach is not None:
        plain = {"carried_rise": reach.times, "serves_after_s": reach.serves_s}
    return Answer(plain, [speech.say(each) for each in _told(rules, reach)])


def known_s(policy: PolicySettings) -> float:
    """From a rise until the decision."""
    period = METRICS[policy.metric].period_s
    datapoints = HIGH_DATAPOINTS if policy.target is not None else policy.datapoints
    return datapoints * period + PUBLISHED_AFTER_S[period]


def reach_of(rules: CapacityFile) -> Reach | None:
    """By the lowest target of CPU, and the fastest rule that gives more; None without a target of
    CPU."""
    targets = [each.target for each in rules.policies if each.target and each.metric != "requests"]
    if not targets:
        return None
    raising = [each for each in rules.policies if each.below is None]
    fastest = min(map(known_s, raising))
    return Reach(_FULL / min(targets), fastest, fastest + rules.task.start_s)


def _told(rules: CapacityFile, reach: Reach | None) -> Iterator[Said]:
    tasks = rules.tasks
    yield said(
        "capacity.explain.bounds",
        least=tasks.min,
        most=tasks.max,
        carries=tasks.min * rules.task.requests_per_s,
    )
    for policy in rules.policies:
        yield from _of_policy(policy)
    for daily in rules.daily:
        yield said("capacity.explain.daily", at=daily.at, zone=daily.zone, least=daily.min)
    if reach is not None:
        yield from _of_reach(rules, reach)


def _of_policy(policy: PolicySettings) -> Iterator[Said]:
    if policy.target is None:
        side = "above" if policy.above is not None else "below"
        yield said(
            f"capacity.explain.{side}",
            name=policy.name,
            metric=policy.metric,
            threshold=policy.above if policy.above is not None else policy.below,
            n=policy.datapoints,
            known=known_s(policy),
            steps="; ".join(_step(each, policy.by) for each in policy.steps),
        )
        return
    yield said(
        "capacity.explain.target",
        name=policy.name,
        metric=policy.metric,
        target=policy.target,
        known=known_s(policy),
    )
    if policy.metric != "requests":
        yield said("capacity.explain.most", name=policy.name, times=_FULL / policy.target)
    yield _of_less(policy, policy.target)


def _of_less(policy: PolicySettings, target: float) -> Said:
    if not policy.scale_in:
        return said("capacity.explain.never", name=policy.name)
    period = METRICS[policy.metric].period_s
    return said(
        "capacity.explain.less",
        name=policy.name,
        low=LOW_SHARE * target,
        minutes=LOW_DATAPOINTS[period] * period // 60,
        cooldown=policy.in_cooldown_s,
    )


def _step(step: StepSettings, by: str) -> str:
    """``+0..+10: +2 tasks``, from the threshold on."""
    lower = "" if step.lower is None else f"{step.lower:+g}"
    upper = "" if step.upper is None else f"{step.upper:+g}"
    amount = f"{step.add}" if by == "exact" else f"{step.add:+d}"
    return f"{lower}..{upper}: {amount}{'%' if by == 'percent' else ''}"


def _of_reach(rules: CapacityFile, reach: Reach) -> Iterator[Said]:
    yield said(
        "capacity.explain.reach",
        times=reach.times,
        known=reach.known_s,
        start=rules.task.start_s,
        serves=reach.serves_s,
    )
    if all(each.metric != "cpu_20s" for each in rules.policies):
        fast = HIGH_DATAPOINTS * 20 + PUBLISHED_AFTER_S[20] + rules.task.start_s
        yield said("capacity.explain.faster", serves=fast)
