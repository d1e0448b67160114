"""``kirikae capacity cost``: a month of a service at a load, in money, against the hand rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kirikae.capacity import month
from kirikae.capacity.month import Instance, Month, OldFleet, Way
from kirikae.capacity.settings import CapacityFile
from kirikae.capacity.settings import read as read_rules
from kirikae.capacity.trace import Trace
from kirikae.capacity.trace import read as read_trace
from kirikae.console.capacity_try import FILE, TRACE, speech_of
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG, Number
from kirikae.model.errors import UsageProblem
from kirikae.model.said import Said, said

_WEEK_MINUTES = 7 * 1440


@click.command("cost")
@FILE
@TRACE
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="A JSON file of EC2 instance types with their prices, besides those kept here.",
)
@click.option("--vm", "kind", help="The instance type of the old side, such as c5.large.")
@click.option("--vms", "many", type=click.IntRange(1, 10_000), help="How many of them.")
@click.option(
    "--both-days",
    type=Number(min=0, max=3650),
    default=30.0,
    show_default=True,
    help="So long both sides run.",
)
@LANG
@JSON
@click.pass_obj
def cost(
    here: Here,
    file: Path,
    trace_file: Path,
    prices: Path | None,
    kind: str | None,
    many: int | None,
    both_days: float,
    lang: str | None,
) -> Answer:
    """What FILE's rules cost in a month at a trace of load, on Fargate, Fargate Spot and EC2
    instances, against the hand rule and a fleet for the peak."""
    rules = read_rules(file)
    trace = read_trace(trace_file)
    instances = month.instances_of(rules.region, prices)
    old = _old(instances, kind, many, both_days)
    found = list(month.months(rules, trace, instances))
    speech = speech_of(here, lang)
    told = [
        *_head(trace, found),
        *_rows(rules, found),
        *_too_small(rules, instances),
        *_against(rules, found),
    ]
    if old is not None:
        told.append(_vms(old, kind, many, both_days))
    told += [said("capacity.cost.ec2"), said("capacity.cost.besides")]
    return Answer(_plain(found, old), [speech.say(each) for each in told])


def _old(
    instances: Sequence[Instance], kind: str | None, many: int | None, both_days: float
) -> OldFleet | None:
    """None: nobody asked.  Raises UsageProblem."""
    if (kind is None) != (many is None):
        raise UsageProblem("say both: --vm TYPE and --vms HOW_MANY")
    if kind is None or many is None:
        return None
    return month.old_fleet(instances, kind, many, both_days)


def _head(trace: Trace, found: Sequence[Month]) -> Iterator[Said]:
    ways = [way for each in found for way in each.ways]
    yield said("capacity.cost.month", days=trace.minutes / 1440, seen=month.oldest(ways))
    if kinds := month.undated(ways):
        yield said("capacity.cost.undated", kinds=", ".join(kinds))
    if trace.minutes < _WEEK_MINUTES:
        yield said("capacity.cost.short")
    if trace.filled:
        yield said("capacity.cost.gaps", filled=trace.filled)


def _rows(rules: CapacityFile, found: Sequence[Month]) -> Iterator[Said]:
    for each in found:
        named = said(f"capacity.cost.{each.name}")
        most = each.most_tasks
        if each.bad is None:
            yield said("capacity.cost.fleet", name=named, most=most)
        else:
            mean = each.mean_tasks
            yield said("capacity.cost.rules", name=named, mean=mean, most=most, bad=each.bad)
        yield from (_way(rules, way) for way in each.ways)
    if not any(each.name == "peak" for each in found):
        yield said("capacity.cost.no_peak", limit_ms=rules.limit_ms)


def _way(rules: CapacityFile, way: Way) -> Said:
    if way.each_holds is not None:
        place = said("capacity.cost.instance", name=way.place, holds=way.each_holds)
    elif way.place == "spot":
        place = said("capacity.cost.spot", base=rules.tasks.base)
    else:
        place = said(f"capacity.cost.{way.place}")
    if way.least == way.most:
        return said("capacity.cost.way", place=place, usd=way.most)
    return said("capacity.cost.band", place=place, least=way.least, most=way.most)


def _too_small(rules: CapacityFile, instances: Sequence[Instance]) -> Iterator[Said]:
    for each in instances:
        if not each.holds(rules.task.cpu, rules.task.memory):
            yield said("capacity.cost.too_small", name=each.name, memory=each.memory_mib)


def _against(rules: CapacityFile, found: Sequence[Month]) -> Iterator[Said]:
    """What the comparison is worth: rules that break the limit are no choice."""
    own = found[0]
    hand = found[1]
    allowed = rules.bad_percent
    for each in (own, hand):
        if each.bad is not None and each.bad > allowed / 100:
            yield said(f"capacity.cost.{each.name}_over", bad=each.bad, allowed=allowed)
    ours = own.way("fargate")
    by_hand = hand.way("fargate")
    if ours is not None and by_hand is not None:
        saved = by_hand.most - ours.most
        yield said(f"capacity.cost.{'less' if saved >= 0 else 'more'}", usd=abs(saved))


def _vms(old: OldFleet, kind: str | None, many: int | None, both_days: float) -> Said:
    return said(
        "capacity.cost.vms", many=many, kind=kind, usd=old.month, days=both_days, both=old.both
    )


def _plain(found: Sequence[Month], old: OldFleet | None) -> dict[str, Any]:
    return {
        "months": [
            {
                "rules": each.name,
                "mean_tasks": each.mean_tasks,
                "most_tasks": each.most_tasks,
                "bad_share": each.bad,
                "usd_a_month": {
                    way.place: {"least": way.least, "most": way.most, "prices_seen": way.seen}
                    for way in each.ways
                },
            }
            for each in found
        ],
        "old_side": None
        if old is None
        else {"usd_a_month": old.month, "usd_while_both_run": old.both, "prices_seen": old.seen},
    }
