"""What one side consists of, as a release sees it: hosts, an ECS service, or a command that knows.

Each fleet can say what it would do, do it, and put back what ran before; a killed act is done again
by the same call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from kirikae.release.ledger import OpenEntry
from kirikae.release.way_back import Good

OLD = "old"
NEW = "new"
_FURTHER = f"{NEW}/"
"""In front of a further service of the new fleet, in the ledger and wherever fleets are named."""
Tell = Callable[[str], None]
"""Hears how a deploy comes along, a sentence at a time."""


def further(service: str) -> str:
    """The fleet's name that a further service of the new fleet has."""
    return f"{_FURTHER}{service}"


def service_in(fleet: str) -> str:
    """The further service that this is; empty: it is the fleet's first, or hosts."""
    return fleet.removeprefix(_FURTHER) if fleet.startswith(_FURTHER) else ""


def asked_as(fleet: str) -> str:
    """The options that name it on the command line."""
    service = service_in(fleet)
    return f"--to {NEW} --service {service}" if service else f"--to {fleet}"


class Place(Protocol):
    """Where an ECS service is; ``target_group`` is a name, None: nobody asks it."""

    @property
    def cluster(self) -> str: ...
    @property
    def ecs_service(self) -> str: ...
    @property
    def target_group(self) -> str | None: ...


def by_name(cluster_or_service: str) -> str:
    """The name, where files or calls may give the ARN."""
    text = cluster_or_service
    return text.rpartition("/")[2] if text.startswith("arn:") else text


@dataclass(frozen=True, slots=True)
class ServicePlace:
    """The place of a further service."""

    cluster: str
    ecs_service: str
    target_group: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a fleet will do: in words, and as the operation that changes something."""

    says: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)


class Fleet(Protocol):
    @property
    def side(self) -> str:
        """``old``, ``new``, or a further service of the new one (``new/NAME``)."""

    def steps(self, release_id: str) -> list[Step]:
        """What ``deploy`` would do now, in order.  Changes nothing; raises what stands in the
        way."""

    def running(self) -> dict[str, str]:
        """What runs now, as the ledger keeps it under ``previous``; empty: nothing that is
        known."""

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        """Put the release there and wait until it really serves; the answer is the ledger's
        ``detail``.

        What ran before stands in the entry already.  Raises RolledBack when that serves again,
        NotFinished when somebody has to look.
        """

    def assert_can_go_back(self, target: Good) -> None:
        """That this release can be put back.  Changes nothing.  Raises NothingBefore."""

    def put_back(self, target: Good, entry: OpenEntry) -> str:
        """Put a release back that was done before and wait until it serves; the answer is the
        ledger's ``detail``.  Raises NotFinished, RolledBack."""
