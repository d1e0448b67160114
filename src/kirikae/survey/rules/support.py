"""What is not maintained any more, or soon will not be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from kirikae.survey.catalogue import Findings, present
from kirikae.survey.known import Support, support
from kirikae.survey.view import View

_SOON_DAYS = 730


def ends(view: View, today: date) -> Findings:
    """Of the operating system and of runtimes (PR13)."""
    for seen, proof in _supported(view):
        left = (seen.ends - today).days
        if left < _SOON_DAYS:
            when = f"ended on {seen.ends}"
            if left >= 0:
                when = f"ends on {seen.ends}, in {left} days"
            yield present(
                "PR13",
                where=seen.name,
                says=f"support of {seen.name} {when}",
                evidence=[view.trace(proof, seen.name)],
            )


def _supported(view: View) -> Iterator[tuple[Support, str]]:
    """What is known of what is there, and where that was seen."""
    system = support().systems.get(view.bundle.distribution)
    if system is not None:
        yield system, "/etc/os-release"
    runtimes = support().runtimes
    installed = {package.name for package in view.bundle.packages}
    for name in sorted(installed & runtimes.keys()):
        if _in_use(view, name):
            yield runtimes[name], f"package {name}"


def _in_use(view: View, package: str) -> bool:
    """A PostgreSQL server may be brought by a package, and never started."""
    if not package.startswith("postgresql"):
        return True
    units = view.bundle.units
    return any(unit.running and unit.name.startswith("postgresql") for unit in units)
