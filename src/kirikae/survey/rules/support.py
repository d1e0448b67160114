"""What is not maintained any more, or soon will not be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from kirikae.model.finding import Finding
from kirikae.survey.catalogue import present
from kirikae.survey.known import Support, support
from kirikae.survey.view import View

_SOON_DAYS = 730


def ends(view: View, today: date) -> Iterator[Finding]:
    """Of the operating system and of runtimes (PR13)."""
    for seen, proof in _supported(view):
        left = (seen.ends - today).days
        if left < _SOON_DAYS:
            when = f"ended on {seen.ends}"
            if left >= 0:
                when = f"ends on {seen.ends}, in {left} days"
            says = f"support of {seen.name} {when}"
            yield present("PR13", seen.name, says, view.trace(proof, seen.name))


def _supported(view: View) -> Iterator[tuple[Support, str]]:
    """What is known of what is there, and where that was seen."""
    system = support().systems.get(view.bundle.distribution)
    if system is not None:
        yield system, "/etc/os-release"
    installed = {package.name for package in view.bundle.packages if _in_use(view, package.name)}
    for name in sorted(installed & support().runtimes.keys()):
        yield support().runtimes[name], f"package {name}"


def _in_use(view: View, package: str) -> bool:
    """A PostgreSQL server may be brought by a package, and never started."""
    if not package.startswith("postgresql"):
        return True
    units = view.bundle.units
    return any(unit.running and unit.name.startswith("postgresql") for unit in units)
