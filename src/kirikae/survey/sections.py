"""The form of a bundle: named sections of lines, and how their lines become rows.

``@name arguments`` begins a section, each of its lines begins with ``|``, and the last line is
``@end``.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from kirikae.model.bundle import Missing
from kirikae.survey.errors import BundleProblem

VERSION = "1"
_BEGINS = "@kirikae-bundle "
_GZIP = b"\x1f\x8b"
_GZIP_FORM = 31
"""zlib's word for gzip with a header of its own."""
MOST_BYTES = 256 << 20
"""Unpacked; a host of a hundred thousand files has some 20 MiB."""
_SHOWN = 80
Row = TypeVar("Row")
Cells = list[str]


def unpacked(raw: bytes) -> str:
    """The collector's text, whether it was compressed or not.  Raises BundleProblem."""
    if raw.startswith(_GZIP):
        try:
            raw = _inflated(raw)
        except (EOFError, zlib.error) as error:
            raise BundleProblem(
                f"the bundle is cut off or damaged: {error}; collect it again"
            ) from error
    if len(raw) > MOST_BYTES:
        raise BundleProblem(
            f"the bundle is larger than {MOST_BYTES >> 20} MiB, which no look at a host is; it was "
            "not read"
        )
    return raw.decode("utf-8", "surrogateescape")


def _inflated(raw: bytes) -> bytes:
    """At most one byte more than is allowed, whatever the bundle would become.  Raises zlib.error,
    EOFError."""
    stream = zlib.decompressobj(wbits=_GZIP_FORM)
    text = stream.decompress(raw, MOST_BYTES + 1)
    if len(text) <= MOST_BYTES and not stream.eof:
        raise EOFError("its end is missing")
    return text


class Section(NamedTuple):
    """``arguments``: what stands behind the name."""

    arguments: str
    lines: list[str]


class Sections:
    """The sections of one bundle.

    What no reader understands is never thrown: it is left out, and told in ``lost``, which is whole
    once everything has been read.
    """

    def __init__(self, text: str) -> None:
        """Raises BundleProblem for what is not a whole bundle of this version."""
        lines = text.split("\n")
        _assert_whole(lines)
        self.lost: list[Missing] = []
        self._sections: dict[str, list[Section]] = defaultdict(list)
        body: list[str] = []
        for line in lines[1:]:
            if line.startswith("@"):
                name, _, arguments = line[1:].partition(" ")
                body = []
                self._sections[name].append(Section(arguments, body))
            elif line.startswith("|"):
                body.append(line[1:])
            elif line:
                self.lose("bundle", line)

    def named(self, name: str) -> list[Section]:
        """There may be several of one name, each with its own arguments."""
        return self._sections[name]

    def lines(self, name: str) -> Iterator[str]:
        """All lines of all sections of this name, without empty ones."""
        for section in self.named(name):
            yield from filter(None, section.lines)

    def rows(
        self,
        name: str,
        width: int,
        reader: Callable[[Cells], Row | None],
        separator: str = "\t",
    ) -> tuple[Row, ...]:
        """What a reader makes of each line of ``width`` cells or more; None means that it says
        no."""
        found = []
        for line in self.lines(name):
            cells = line.split(separator)
            row = reader(cells) if len(cells) >= width else None
            if row is None:
                self.lose(name, line)
            else:
                found.append(row)
        return tuple(found)

    def pairs(self, name: str) -> dict[str, str]:
        """First cell -> second cell."""
        return dict(self.rows(name, 2, lambda cells: (cells[0], cells[1])))

    def lose(self, name: str, line: str) -> None:
        self.lost.append(Missing(name, f"a line was not understood: {line[:_SHOWN]}"))


def _assert_whole(lines: list[str]) -> None:
    first = lines[0]
    if not first.startswith(_BEGINS):
        raise BundleProblem(f"not a bundle: it begins with {first[:60]!r}")
    version = first.removeprefix(_BEGINS).strip()
    if version != VERSION:
        raise BundleProblem(
            f"a bundle of version {version}; this kirikae reads version {VERSION}: collect it again"
        )
    if "@end" not in lines[-2:]:
        raise BundleProblem("the bundle is cut off: its last line is missing; collect it again")


def number(cell: str) -> int | None:
    """A whole number; some awks print a large one as 1e+09.  None for anything else."""
    try:
        return int(cell)
    except ValueError:
        pass
    try:
        return int(float(cell))
    except (ValueError, OverflowError):
        return None


def octal(cell: str) -> int | None:
    """The mode of a file."""
    try:
        return int(cell, 8)
    except ValueError:
        return None
