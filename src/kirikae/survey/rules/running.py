"""What stands because a unit of some name runs."""

from __future__ import annotations

from collections.abc import Iterable

from kirikae.survey.catalogue import Findings, observed
from kirikae.survey.known import matches
from kirikae.survey.view import View


def running(view: View, code: str, patterns: Iterable[str], says: str) -> Findings:
    """A finding for each running unit that fits one of these shell patterns; ``says`` has a blank
    ``{unit}``."""
    known = tuple(patterns)
    for unit in view.bundle.units:
        if unit.running and matches(unit.name, known):
            yield observed(
                code,
                where=unit.name,
                says=says.format(unit=unit.name),
                evidence=[view.trace(unit.name, unit.command)],
            )
