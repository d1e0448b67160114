"""Differences that a person has looked at, one line each, in a file that is reviewed like code.

``GET /items/{} body.price type: prices are texts since release 12``.  A ``*`` in the route's path
or in the field stands for anything.  What only looks like a line is refused: it would acknowledge
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kirikae.drill.difference import Kind
from kirikae.drill.errors import AcknowledgedProblem
from kirikae.drill.noise import Difference
from kirikae.model.texts import shortened, text_from

_LINE = re.compile(r"(\S+) (\S+) (\S+) (\w+): *(\S.*)")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One line.  ``where``: file and line."""

    method: str
    path: str
    field: str
    kind: Kind
    reason: str
    where: str

    def covers(self, found: Difference) -> bool:
        """This difference was meant."""
        method, _, path = found.route.partition(" ")
        return (
            self.method in ("*", method)
            and self.kind is found.place.kind
            and _fits(self.path, path)
            and _fits(self.field, found.place.field)
        )


def _fits(pattern: str, text: str) -> bool:
    """Brackets are letters here: fields of lists have them."""
    parts = map(re.escape, pattern.split("*"))
    return re.fullmatch(".*".join(parts), text) is not None


def read(path: Path) -> list[Acknowledged]:
    """Raises AcknowledgedProblem, UsageProblem."""
    try:
        text = text_from(path.read_bytes(), str(path))
    except OSError as error:
        raise AcknowledgedProblem(f"{path}: cannot be read: {error}") from error
    return [
        _line(line.strip(), f"{path}:{number}")
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _line(text: str, where: str) -> Acknowledged:
    found = _LINE.fullmatch(text)
    if found is None:
        raise AcknowledgedProblem(
            f"{where}: {shortened(text)} is no line `METHOD PATH FIELD KIND: reason`, "
            "such as `GET /items/{} body.price type: prices are texts`"
        )
    if found[4] not in set(Kind):
        raise AcknowledgedProblem(
            f"{where}: {found[4]} is no kind of difference; write one of {', '.join(Kind)}"
        )
    return Acknowledged(
        found[1],
        found[2],
        found[3],
        Kind(found[4]),
        found[5],
        where,
    )


def line_for(found: Difference) -> str:
    """The line to which only a reason must be added."""
    return f"{found.route} {found.place.field} {found.place.kind}: "


def open_ones(
    found: Sequence[Difference], lines: Sequence[Acknowledged]
) -> tuple[list[Difference], list[Acknowledged]]:
    """Differences that nobody acknowledged, and lines that fit none: they may be struck out."""
    opened = [each for each in found if not any(line.covers(each) for line in lines)]
    idle = [line for line in lines if not any(line.covers(each) for each in found)]
    return opened, idle
