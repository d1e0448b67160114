"""Cut a block of lines where the folder changes that they belong in.

There are two ways that give the same: line by line (here), and many lines at once (``fast.py``).
A stretch is a slice of the block, so no line is taken apart and the order stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kirikae.logs.formats import PIECE, Clock, Format, Untimed
from kirikae.logs.layout import Layout
from kirikae.logs.zones import zone_named

Place = str | Untimed
"""A folder of the new tree, or why a line has none of its own."""


class Stretch(NamedTuple):
    """Whole lines of one block.  Lines without a time are stretches of one line each."""

    place: Place
    begin: int
    end: int


@dataclass(frozen=True)
class Reader:
    """From a line to the folder that it belongs in."""

    format: Format
    clock: Clock
    new: Layout

    @property
    def new_zone(self) -> ZoneInfo:
        return zone_named(self.new.zone)

    def place(self, line: bytes) -> Place:
        """``line``: without its newline."""
        found = self.clock.epoch(self.format.stamp(line, self.format.key))
        return found if isinstance(found, Untimed) else self.new.label(found)


def plain(block: bytes, reader: Reader) -> Iterator[Stretch]:
    """Line by line.  Each line of the block ends with a newline."""
    at = 0
    begin = 0
    last: Place | None = None
    while at < len(block):
        end = block.index(b"\n", at) + 1
        place = reader.place(block[at : end - 1])
        if isinstance(place, Untimed) or place != last:
            if last is not None:
                yield Stretch(last, begin, at)
            last = place
            begin = at
        at = end
    if last is not None:
        yield Stretch(last, begin, at)


@dataclass
class Placing:
    """Where lines without a time go, from block to block of one object.

    ``home``: the folder that the old path stands for.  ``multiline``: they belong to the line
    before them that has a time (a stack trace).  A line of just 16 KiB goes on in the next one.
    """

    home: str
    multiline: bool = False
    reasons: Counter[str] = field(default_factory=Counter)
    _last: str | None = None
    _cut: bool = False

    def placed(
        self,
        block: bytes,
        stretches: Iterable[Stretch],
    ) -> Iterator[tuple[str, int, int]]:
        """(folder, begin, end); neighbours of one folder are one."""
        folder: str | None = None
        begin = 0
        end = 0
        for stretch in stretches:
            mine = self._folder(stretch)
            self._cut = _last_length(block, stretch) == PIECE
            if mine != folder:
                if folder is not None:
                    yield folder, begin, end
                folder = mine
                begin = stretch.begin
            end = stretch.end
        if folder is not None:
            yield folder, begin, end

    def _folder(self, stretch: Stretch) -> str:
        if not isinstance(stretch.place, Untimed):
            self._last = stretch.place
            return stretch.place
        if self._last is not None and (self._cut or self.multiline):
            return self._last
        self.reasons[str(stretch.place)] += 1
        return self.home


def _last_length(block: bytes, stretch: Stretch) -> int:
    """Of the last line of a stretch, without its newline."""
    before = block.rfind(b"\n", stretch.begin, stretch.end - 1)
    start = stretch.begin if before < 0 else before + 1
    return stretch.end - 1 - start
