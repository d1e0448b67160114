"""What could not be looked at: a survey tells what it did not see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kirikae.model.finding import Finding
from kirikae.survey.catalogue import observed
from kirikae.survey.view import View

_SHOWN = 10


def unreadable(view: View) -> Iterator[Finding]:
    """One finding for each reason."""
    places: dict[str, list[str]] = defaultdict(list)
    for missing in view.bundle.missing:
        places[missing.why].append(missing.where)
    for why, where in places.items():
        says = why if len(where) == 1 else f"{why} ({len(where)} places)"
        traces = (view.trace(place, why) for place in where[:_SHOWN])
        yield observed("unreadable", where[0], says, *traces)


RULES = (unreadable,)
