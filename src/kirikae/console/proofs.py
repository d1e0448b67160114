"""What a move needs, and whether it is there: proven, missing, or not proven.

What could not be looked at is never taken for what is there, and never for what is missing.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from kirikae.aws import cloudwatch, ecs, elbv2
from kirikae.aws.cloudwatch import Query
from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.context import Desk, desk_of, open_store
from kirikae.console.here import Here
from kirikae.console.outlook import difference
from kirikae.console.progress import Progress
from kirikae.model.errors import KirikaeError, StoreBroken
from kirikae.model.evidence import Verdict
from kirikae.model.finding import blocking
from kirikae.model.move import Move, Phase
from kirikae.model.project import Project
from kirikae.model.said import Said, said, text
from kirikae.move.errors import UnknownMove
from kirikae.move.kind import LISTENER_RULE
from kirikae.release.fleet import NEW
from kirikae.release.ledger import Ledger, Outcome

_HOUR_S = 3600
_MINUTE_S = 60
_PATIENCE_S = 5.0
"""How long the doctor waits for a journal that another process has locked."""


class State(StrEnum):
    PROVEN = "proven"
    MISSING = "missing"
    UNPROVEN = "not proven"


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing that a move needs.  ``kind``: a word of ``console.needed``; ``why``: what was
    seen, or why nothing could be."""

    state: State
    kind: str
    what: str = ""
    why: Said | None = None

    @property
    def says(self) -> Said:
        """The thing itself, and why."""
        needed = said(f"console.needed.{self.kind}", what=self.what)
        return needed if self.why is None else said("console.because", what=needed, why=self.why)


def proven(kind: str, what: str = "") -> Proof:
    return Proof(State.PROVEN, kind, what)


def missing(kind: str, what: str = "", why: Said | str | None = None) -> Proof:
    return Proof(State.MISSING, kind, what, _said(why))


def unproven(kind: str, what: str = "", why: Said | str | None = None) -> Proof:
    return Proof(State.UNPROVEN, kind, what, _said(why))


def _said(why: Said | str | None) -> Said | None:
    return text(why) if isinstance(why, str) else why


def looked(kind: str, what: str, look: Callable[[], Iterable[Proof]]) -> list[Proof]:
    """What a look proves.  AWS says that the thing is not there: missing.  Anything else that goes
    wrong proves nothing."""
    try:
        return list(look())
    except (NotThere, StoreBroken) as error:
        return [missing(kind, what, str(error))]
    except KirikaeError as error:
        return [unproven(kind, what, str(error))]


@dataclass(frozen=True, slots=True)
class Sight:
    """Who looks, with what."""

    here: Here
    project: Project
    aws: Aws
    who: str
    progress: Progress

    def desks(self) -> list[Desk]:
        """One for each move of the project file."""
        project = self.project
        return [
            desk_of(self.here, project, name, self.aws, self.who, _PATIENCE_S)
            for name in project.moves
        ]


def on_aws(sight: Sight) -> list[Proof]:
    """Everything of the two sides that AWS can tell, by reading calls."""
    fleets = sight.project.fleets
    found = _clock(sight)
    for side, name in (("old", fleets.old.group), ("new", fleets.new.group)):
        if name is None:
            continue
        sight.progress.step(f"target group {name}")
        found += looked("target_group", name, partial(_group, sight, side, name))
    service = f"{fleets.new.cluster}/{fleets.new.ecs_service}"
    sight.progress.step(f"service {service}")
    found += looked("service", service, partial(_service, sight, service))
    found += looked("store", sight.project.store, partial(_store, sight))
    for desk in sight.desks():
        sight.progress.step(f"move {desk.name}")
        found += looked("rule", desk.name, partial(_turned, sight, desk))
    return found


def _clock(sight: Sight) -> list[Proof]:
    """AWS's own time came with the answer to who we are."""
    ahead_s = sight.aws.now() - time.time()
    if abs(ahead_s) < 1:
        return [proven("clock")]
    return [missing("clock", why=said("console.doctor.clock", seconds=round(ahead_s)))]


# --- the two sides


def _group(sight: Sight, side: str, name: str) -> Iterator[Proof]:
    """There, behind a load balancer, with targets that are healthy, and with figures."""
    group = elbv2.target_group(sight.aws, name)
    yield proven("target_group", name)
    states = [target.state for target in elbv2.targets(sight.aws, group)]
    healthy = states.count("healthy")
    if healthy and healthy == len(states):
        yield proven("healthy", name)
    elif states:
        yield missing("healthy", name, said("console.doctor.healthy", n=healthy, of=len(states)))
    else:
        yield missing("healthy", name, said("console.doctor.no_targets"))
    if not group.balancer:
        yield missing("attached", name)
        return
    yield from looked("figures", name, partial(_figures, sight, group))


def _figures(sight: Sight, group: elbv2.TargetGroup) -> Iterator[Proof]:
    """A group without users still tells how many of its targets are healthy."""
    until = math.floor(sight.aws.now() / _MINUTE_S) * _MINUTE_S
    asked = [
        Query(group.dimension, group.balancer, metric, statistic)
        for metric, statistic in (("HealthyHostCount", "Maximum"), ("RequestCount", "Sum"))
    ]
    series = cloudwatch.metric_data(sight.aws, asked, until - _HOUR_S, until, _MINUTE_S)
    if any(series):
        yield proven("figures", group.name)
    else:
        yield missing("figures", group.name, said("console.doctor.no_figures"))


def _service(sight: Sight, name: str) -> Iterator[Proof]:
    """Active, with the tasks that it wants, behind the new group, with a release of ours."""
    new = sight.project.fleets.new
    ecs.cluster_exists(sight.aws, new.cluster)
    row = ecs.service(sight.aws, new.cluster, new.ecs_service)
    if row is None:
        yield missing("service", name)
        return
    running = int(row["runningCount"])
    desired = int(row["desiredCount"])
    if desired and running >= desired:
        yield proven("service", name)
    else:
        why = said("console.doctor.tasks", running=running, desired=desired)
        yield missing("service", name, why)
    if new.group is not None:
        yield _behind(sight, new.group, row)
    yield from looked("release", new.ecs_service, partial(_release, sight))


def _behind(sight: Sight, group: str, row: Mapping[str, Any]) -> Proof:
    """Does the new group lead to the service?"""
    [arn] = elbv2.group_arns(sight.aws, [group])
    behind = [each.get("targetGroupArn") for each in row.get("loadBalancers", ())]
    return proven("behind", group) if arn in behind else missing("behind", group)


def _release(sight: Sight) -> Iterator[Proof]:
    """A service that runs what others put there is no release that kirikae knows."""
    project = sight.project
    store = open_store(sight.here, project, sight.aws, _PATIENCE_S)
    ledger = Ledger(store, project.environment, project.service, sight.who)
    done = [each for each in ledger.all() if each.fleet == NEW and each.outcome is Outcome.DONE]
    if done:
        yield proven("release", done[-1].release)
    else:
        yield unproven("release", "", said("console.doctor.no_release"))


# --- the journal


def _store(sight: Sight) -> Iterator[Proof]:
    """It can be read; whether a bucket may be written is asked of IAM."""
    project = sight.project
    open_store(sight.here, project, sight.aws, _PATIENCE_S).list("move/")
    if project.store.startswith("s3://"):
        yield proven("store", project.store)
        return
    file = sight.here.folder / project.store
    if os.access(_nearest(file), os.W_OK):
        yield proven("store", project.store)
    else:
        yield missing("store", project.store, said("console.doctor.not_writable"))


def _nearest(path: Path) -> Path:
    """The file, or the folder in which it would be made."""
    return next(each for each in (path, *path.parents) if each.exists())


# --- the moves


def _turned(sight: Sight, desk: Desk) -> Iterator[Proof]:
    """What it turns can be read and turned; nothing is in the way; both sides are ready."""
    share = desk.thing.found()
    yield from _rules(sight, desk)
    try:
        move = desk.journal.read(desk.name)
    except UnknownMove:
        move = None
    yield _share(desk, move, share)
    in_the_way = blocking(desk.thing.obstacles(), desk.kind.name)
    for finding in in_the_way:
        yield missing("obstacle", desk.name, str(finding))
    if not in_the_way:
        yield proven("obstacle", desk.name)
    if share == 0 and (move is None or move.over or move.phase is Phase.PLANNED):
        yield _ready(sight, desk)


def _rules(sight: Sight, desk: Desk) -> Iterator[Proof]:
    """The listener's own default rule is none that could be turned."""
    for turned in desk.kind.turns(desk.settings):
        is_rule = turned.what == LISTENER_RULE
        arn = elbv2.find_rule(sight.aws, turned.name) if is_rule else ""
        if arn and elbv2.rule(sight.aws, arn).is_default:
            yield missing("rule", desk.name, said("console.doctor.default_rule"))
        else:
            yield proven("rule", desk.name)


def _share(desk: Desk, move: Move | None, share: int | None) -> Proof:
    """As the journal has it; 0 where there is no journal."""
    if move is None or (move.over and move.phase is not Phase.RETIRED):
        if share == 0:
            return proven("share", desk.name)
        return missing("share", desk.name, said("console.doctor.share", share=share))
    differs = difference(move, share)
    return proven("share", desk.name) if differs is None else missing("share", desk.name, differs)


def _ready(sight: Sight, desk: Desk) -> Proof:
    """By the very look that a move waits for before its first step.  A login is no reading call."""
    if sight.project.sign_in is not None:
        return unproven("ready", desk.name, said("console.doctor.sign_in"))
    move = Move(desk.name, desk.thing.plan(), Phase.PREPARED, 0)
    evidence = desk.thing.compare(move)
    if evidence.verdict is Verdict.PASS:
        return proven("ready", desk.name)
    return missing("ready", desk.name, evidence.reason)


def turns(sight: Sight) -> list[str]:
    """ARNs of the rules that the moves turn; what cannot be found is left out."""
    found = []
    for each in kinds.turned(sight.project):
        if each.what == LISTENER_RULE:
            try:
                found.append(elbv2.find_rule(sight.aws, each.name))
            except KirikaeError:
                continue
    return found
