"""The rows of Application Auto Scaling."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from kirikae.local.plain import Plain


class Cooling(TypedDict):
    """Cool-downs, in Unix seconds; None: none was begun.  ``base``: the capacity from which the
    scale-out started that cools down."""

    out_until: float | None
    base: float
    in_until: float | None


class Suspension(TypedDict):
    """Under AWS's names."""

    DynamicScalingInSuspended: bool
    DynamicScalingOutSuspended: bool
    ScheduledScalingSuspended: bool


class Target(TypedDict):
    """A service that scales; keyed by its ARN.  ``last``: the last moment that was decided on;
    ``breaches``: by the policy's name, datapoints in a row above and below."""

    arn: str
    resource: str
    least: int
    most: int
    role: str
    created: float
    suspended: Suspension
    tags: dict[str, str]
    last: float
    cooling: Cooling
    breaches: dict[str, tuple[float, float]]


class Policy(TypedDict):
    """Keyed by its ARN.  ``form``: its configuration as it was told."""

    arn: str
    name: str
    resource: str
    kind: str
    form: Plain
    created: float


class Planned(TypedDict):
    """A scheduled action; keyed by its ARN.  ``number``: the order in which they were made."""

    arn: str
    name: str
    resource: str
    schedule: str
    zone: str
    start: float | None
    end: float | None
    least: int | None
    most: int | None
    created: float
    number: int


class Activity(TypedDict):
    """Something that was done, or why nothing was."""

    id: str
    description: str
    cause: str
    began: float
    ended: float | None
    status: str
    message: str
    wanted: int | None
    why: NotRequired[Plain]


class Activities(TypedDict):
    """Of one service, the newest first; they outlive its registration."""

    resource: str
    items: list[Activity]
