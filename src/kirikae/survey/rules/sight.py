"""What could not be looked at: a survey tells what it did not see."""

from __future__ import annotations

from collections import defaultdict

from kirikae.survey.catalogue import Findings, observed
from kirikae.survey.view import View

_SHOWN = 10


def unreadable(view: View) -> Findings:
    """One finding for each reason."""
    places: dict[str, list[str]] = defaultdict(list)
    for missing in view.bundle.missing:
        places[missing.why].append(missing.where)
    for why, where in places.items():
        yield observed(
            "unreadable",
            where=where[0],
            says=why if len(where) == 1 else f"{why} ({len(where)} places)",
            evidence=(view.trace(place, why) for place in where[:_SHOWN]),
        )


RULES = (unreadable,)
