"""Since when the new tree gets lines: from the first record seen in it, never from the time of a
change of configuration."""

from __future__ import annotations

from kirikae.logs.carrier import Carrier
from kirikae.logs.codec import Blocks, inflated
from kirikae.logs.errors import BrokenObject
from kirikae.logs.formats import Untimed
from kirikae.logs.wrapping import unwrapped
from kirikae.model.objects import Listed

_FOLDERS = 2
"""Of the oldest ones all objects are read: lines of one hour may lie in the next."""


def first_record(carrier: Carrier, theirs: list[Listed]) -> int | None:
    """The earliest time of a line, in Unix seconds; None where there is none.  Raises Changed.

    A line that came late does not count from before the first folder that was written.
    """
    folders = sorted({listed.key[: listed.key.rfind("/") + 1] for listed in theirs})[:_FOLDERS]
    found = [
        first
        for listed in theirs
        if listed.key[: listed.key.rfind("/") + 1] in folders
        and (first := _first_of(carrier, listed)) is not None
    ]
    if not found:
        return None
    begins = carrier.trees.new.label_span(folders[0])
    return min(found) if begins is None else max(min(found), begins.begin)


def _first_of(carrier: Carrier, listed: Listed) -> int | None:
    reader = carrier.trees.reader()
    first: int | None = None
    try:
        lines = unwrapped(carrier.new.read(listed), carrier.trees.new.wrapped)
        for block in Blocks(inflated(lines)):
            for line in block.split(b"\n")[:-1]:
                when = reader.clock.epoch(reader.format.stamp(line, reader.format.key))
                if not isinstance(when, Untimed) and (first is None or when < first):
                    first = when
    except BrokenObject:
        return first
    return first
