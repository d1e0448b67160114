"""Application Auto Scaling around a deploy: suspended, resumed, or given other bounds.

As ecspresso's flags do, and at the same time: ahead of the service's update.  Nothing resumes by
itself: who suspended it before may have had a reason, so that a state that stands is told by every
deploy, rollback and status until somebody asks for its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kirikae.aws import service_scaling
from kirikae.aws.errors import AwsRefused
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable, UsageProblem
from kirikae.release.fleet import Place, Step

_REGISTER = "RegisterScalableTarget"
_ALL = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
"""What a suspended state consists of (API reference, SuspendedState)."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """``suspended``: None: it stays as it is, whatever that is; so do bounds that are None."""

    suspended: bool | None = None
    least: int | None = None
    most: int | None = None

    @property
    def anything(self) -> bool:
        return self != Asked()

    def change_of(self, target: Row) -> dict[str, Any]:
        """What of a scalable target becomes another one; a run again after it finds nothing."""
        wanted: dict[str, Any] = {"MinCapacity": self.least, "MaxCapacity": self.most}
        changes = {
            key: value
            for key, value in wanted.items()
            if value is not None and value != target.get(key)
        }
        if self.suspended is not None:
            state = dict.fromkeys(_ALL, self.suspended)
            if state != _state(target):
                changes["SuspendedState"] = state
        return changes


@dataclass(frozen=True, slots=True)
class Rescaling:
    """``target``: the scalable target as it is; None: there is none."""

    asked: Asked = field(default_factory=Asked)
    resource: str = ""
    target: Row | None = None

    @property
    def _changes(self) -> dict[str, Any]:
        return {} if self.target is None else self.asked.change_of(self.target)

    @property
    def _parameters(self) -> dict[str, Any]:
        return {**service_scaling.place_of(self.resource), **self._changes}

    def steps(self) -> Iterator[Step]:
        """What ``carry_out`` would call."""
        if self._changes:
            yield Step("; ".join(self._says()), _REGISTER, self._parameters)

    def _says(self) -> Iterator[str]:
        target = self.target or {}
        changes = self._changes
        if "SuspendedState" in changes:
            verb = "suspend" if self.asked.suspended else "resume"
            yield f"{verb} auto scaling of {self.resource} (before: {_in_words(target)})"
        for key, name in (("MinCapacity", "least"), ("MaxCapacity", "most")):
            if key in changes:
                yield (
                    f"set the {name} tasks of auto scaling of {self.resource} to {changes[key]} "
                    f"(before: {target.get(key)}); a desired count outside follows at once"
                )

    def remarks(self) -> Iterator[str]:
        """Where there is nothing to be changed."""
        if self.asked.anything and self.target is None:
            yield (
                f"{self.resource} is no scalable target: there is no auto scaling to be changed; "
                "`kirikae capacity apply` or your own rules register it"
            )

    def carry_out(self, aws: Aws) -> None:
        """Raises AwsRefused."""
        if self._changes:
            service_scaling.send(aws, _REGISTER, self._parameters)


def rescaling(aws: Aws, place: Place, asked: Asked) -> Rescaling:
    """AWS is asked where something is to be changed.  Raises UsageProblem for bounds that AWS
    would refuse once the deploy has begun, AwsRefused."""
    resource = _resource(place)
    if not asked.anything:
        return Rescaling(asked, resource)
    found = service_scaling.target(aws, resource)
    if found is not None:
        least = found["MinCapacity"] if asked.least is None else asked.least
        most = found["MaxCapacity"] if asked.most is None else asked.most
        if least > most:
            raise UsageProblem(
                f"auto scaling of {resource} would have {least} as least and {most} as most "
                f"tasks (now {found['MinCapacity']} and {found['MaxCapacity']}): give both "
                "--auto-scaling-min and --auto-scaling-max"
            )
    return Rescaling(asked, resource, found)


@dataclass(frozen=True, slots=True)
class Suspended:
    """What of a service's auto scaling is suspended; ``unknown`` says why that is not known."""

    service: str
    kinds: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def says(self) -> str:
        """Empty: nothing is suspended."""
        if self.unknown:
            return (
                f"whether auto scaling of {self.service} is suspended is not known: {self.unknown}"
            )
        if not self.kinds:
            return ""
        return (
            f"auto scaling of {self.service} is suspended ({', '.join(self.kinds)}) and stays so: "
            "`kirikae release deploy ID --to new --resume-auto-scaling` ends it"
        )

    def to_plain(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "suspended": None if self.unknown else list(self.kinds),
            "unknown": self.unknown or None,
        }


def suspended(aws: Aws, place: Place) -> Suspended:
    """As AWS says now; a service without a scalable target has nothing that could be."""
    try:
        found = service_scaling.target(aws, _resource(place))
    except (AwsRefused, AwsUnreachable) as error:
        return Suspended(place.ecs_service, unknown=" ".join(str(error).split()))
    state = {} if found is None else _state(found)
    return Suspended(place.ecs_service, tuple(_words(state)))


def _resource(place: Place) -> str:
    return f"service/{place.cluster}/{place.ecs_service}"


def _state(target: Row) -> dict[str, bool]:
    """What AWS does not name is not suspended."""
    told = target.get("SuspendedState") or {}
    return {key: bool(told.get(key)) for key in _ALL}


def _words(state: Mapping[str, bool]) -> Iterator[str]:
    names = dict(zip(_ALL, ("scaling in", "scaling out", "scheduled scaling"), strict=True))
    yield from (names[key] for key, on in state.items() if on)


def _in_words(target: Row) -> str:
    found = list(_words(_state(target)))
    return f"suspended: {', '.join(found)}" if found else "not suspended"
