"""Which services of a host belong to what it is for, and not to the operating system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kirikae.model.bundle import Bundle, Process, Unit
from kirikae.survey.known import debian, matches
from kirikae.survey.sections import number

ROOT = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A unit of somebody's own; ``began`` is None where it does not run."""

    unit: Unit
    processes: tuple[Process, ...]
    uids: frozenset[int]
    began: int | None
    package: str | None
    """The package that brought it; None for a unit of this host's own."""

    @property
    def name(self) -> str:
        """Of its unit, without ``.service``."""
        return self.unit.name.removesuffix(".service")

    @property
    def stem(self) -> str:
        """The name without the instance of a template: ``postgresql`` of ``postgresql@15-main``."""
        return self.name.split("@")[0]

    @property
    def web(self) -> bool:
        """A web server, which stands in front of an application."""
        program = self.unit.program
        return any(
            self.name == server or program.endswith(f"/{server}") for server in debian().web_servers
        )


def services_of(bundle: Bundle) -> Iterator[Service]:
    """Units that run or would, without the operating system's own and agents."""
    by_unit: dict[str, list[Process]] = defaultdict(list)
    for process in bundle.processes:
        by_unit[process.unit].append(process)
    for unit in bundle.units:
        if _counts(unit):
            yield _service(bundle, unit, by_unit[unit.name])


def _counts(unit: Unit) -> bool:
    """A unit file of nobody's that does not run yet and is enabled is a service as well; a link to
    nothing is not."""
    known = debian()
    if matches(unit.name, [*known.units, *known.agents]):
        return False
    if unit.running:
        return True
    return unit.own and unit.enabled and bool(unit.command)


def _service(
    bundle: Bundle,
    unit: Unit,
    processes: Iterable[Process],
) -> Service:
    """Where nothing runs, the user is the one that the unit names."""
    every = tuple(processes)
    uids = {process.uid for process in every} or _declared_uids(bundle, unit)
    package = None if unit.own else bundle.owner(unit.get("FragmentPath"))
    return Service(
        unit,
        every,
        frozenset(uids),
        _began(every),
        package,
    )


def _declared_uids(bundle: Bundle, unit: Unit) -> set[int]:
    """Whom it would run as; empty where this host's own list of users does not know."""
    uid = uid_of(bundle, unit.get("User") or "root")
    return set() if uid is None else {uid}


def _began(processes: Iterable[Process]) -> int | None:
    """When its workers began, not the master that outlives a graceful reload: they are what runs
    the code of now.

    A worker runs the program that its master runs; what a script calls for a moment is none.
    """
    every = list(processes)
    masters = {(process.parent, process.exe) for process in every}
    workers = [process for process in every if (process.pid, process.exe) not in masters]
    return min((process.began for process in workers), default=None)


def uid_of(bundle: Bundle, name: str) -> int | None:
    """Of a name or a number in a unit file; None for a name that /etc/passwd does not have."""
    if name.isdecimal():
        return number(name)
    user = bundle.users.get(name)
    return None if user is None else user.uid
