"""Which revisions of a task definition may be deregistered: never one that something runs, or that
a way back names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs_revisions
from kirikae.aws.session import Aws
from kirikae.model.errors import KirikaeError, UsageProblem
from kirikae.release.errors import NotFinished

LATEST = "latest"
_BETWEEN_S = 1.0
"""As ecspresso: ECS lets a whole account deregister but few revisions a second."""
InUse = Mapping[str, str]
"""family:revision -> by what."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``going``: revisions (family:revision) that are deregistered, the oldest first; ``used``:
    those that stay since something uses them; ``kept``: those that stay since they are new."""

    going: Sequence[str]
    used: InUse
    kept: Sequence[str] = ()


def short(arn: str) -> str:
    """family:revision."""
    return arn.rpartition("/")[2]


def in_use(aws: Aws, cluster: str, family: str) -> dict[str, str]:
    """By every service of the cluster, with all of its deployments, and by every task of the
    family.  Raises AwsRefused, AwsUnreachable: what cannot be looked at may be used."""
    found: dict[str, str] = {}
    for row in ecs_revisions.services(aws, cluster):
        for name in _of_service(row):
            found.setdefault(name, f"the service {row['serviceName']}")
    for task in ecs_revisions.tasks(aws, cluster, family):
        name = short(str(task["taskDefinitionArn"]))
        found.setdefault(name, f"the task {short(str(task['taskArn']))}")
    return {name: by for name, by in found.items() if name.rpartition(":")[0] == family}


def _of_service(row: Mapping[str, Any]) -> Iterator[str]:
    """What it runs now, and what each deployment or task set of it runs."""
    rows = [row, *(row.get("deployments") or ()), *(row.get("taskSets") or ())]
    return (short(str(each["taskDefinition"])) for each in rows if each.get("taskDefinition"))


def beyond(active: Sequence[str], used: InUse, keeps: int) -> Plan:
    """All but the newest ``keeps``; what is used does not count among these.  ``active``: newest
    first."""
    names = [short(arn) for arn in active]
    free = [name for name in names if name not in used]
    stay = {name: used[name] for name in names if name in used}
    return Plan(free[keeps:][::-1], stay, free[:keeps])


def one(active: Sequence[str], used: InUse, family: str, revision: str) -> Plan:
    """Raises UsageProblem where there is none, KirikaeError where it is used."""
    names = [short(arn) for arn in active]
    name = names[0] if revision == LATEST and names else f"{family}:{revision}"
    if name not in names:
        raise UsageProblem(f"{name} is no ACTIVE task definition; {_there(names)}")
    if name in used:
        raise KirikaeError(
            f"{name} is used by {used[name]} and is not deregistered: whatever runs it could begin "
            "no further task with it; deploy another revision first"
        )
    return Plan([name], {})


def _there(names: Sequence[str]) -> str:
    return f"those are {', '.join(names)}" if names else "there is none of this family"


def deregistered(
    aws: Aws,
    names: Sequence[str],
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """One after the other.  Raises NotFinished where the first of them are gone and others not."""
    done: list[str] = []
    for name in names:
        if done:
            sleep(_BETWEEN_S)
        try:
            ecs_revisions.deregister(aws, name)
        except KirikaeError as error:
            if not done:
                raise
            raise NotFinished(
                f"{', '.join(done)}: deregistered; {name}: {error}; run it again for the rest"
            ) from error
        done.append(name)
        tell(f"{name} is deregistered")


def deleted(aws: Aws, names: Sequence[str]) -> None:
    """Raises NotFinished: deregistered they are in any case."""
    failed: list[str] = []
    step = ecs_revisions.AT_ONCE
    for start in range(0, len(names), step):
        try:
            rows = ecs_revisions.delete(aws, names[start : start + step])
        except KirikaeError as error:
            left = ", ".join(names[start:])
            raise NotFinished(f"deregistered and not deleted: {left}: {error}") from error
        failed += [f"{short(str(row.get('arn', '')))}: {row.get('reason', '')}" for row in rows]
    if failed:
        raise NotFinished(f"deregistered and not deleted: {'; '.join(failed)}")
