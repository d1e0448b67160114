"""All codes of findings, of every room."""

from __future__ import annotations

from collections.abc import Mapping

from kirikae.console import kinds
from kirikae.model.catalogue import Entry, load


def catalogue() -> Mapping[str, Entry]:
    """Code -> entry."""
    found = {**load("kirikae.survey"), **load("kirikae.guard"), **load("kirikae.drill")}
    for kind in kinds.every():
        found |= kind.catalogue
    return found
