"""What is done with one object, in whatever process: read it, sum its lines by folder, write parts.

Nothing is written before the whole object was read: a broken one is never half moved.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from kirikae.logs.codec import GZIP, PLAIN, Blocks, Deflater, deflater, inflated, packing_of
from kirikae.logs.errors import BrokenObject
from kirikae.logs.fast import Fast, usable
from kirikae.logs.folder import digest_of
from kirikae.logs.formats import Clock, format_named, header_length
from kirikae.logs.layout import UNPARSED, Layout
from kirikae.logs.stretches import Placing, Reader, Stretch, plain
from kirikae.logs.sums import NOTHING, Sums, sums_of_block
from kirikae.logs.zones import zone_named
from kirikae.model.objects import Listed

_IN_MEMORY = 8 << 20
_LONGEST_NAME = 255
"""Bytes (NAME_MAX of Linux); a key of S3 may have 1,024."""
Keep = Callable[[str, bytes], bytes]
"""What of these lines of a folder is written; the boundary leaves out what is there already."""


@dataclass(frozen=True)
class Trees:
    """Both trees, and how lines are read: all that the work on an object depends on."""

    old: Layout
    new: Layout
    now: float
    began: int = 0
    multiline: bool = False
    quarantine: bool = False
    """Lines without a time go below ``_unparsed/``, not where their old path says."""

    def reader(self) -> Reader:
        form = format_named(self.old.format)
        if self.old.key:
            form = form.labelled(self.old.key)
        clock = Clock.at(zone_named(self.old.zone), self.now, self.began)
        return Reader(form, clock, self.new)

    def home(self, key: str) -> str:
        """Where a line of this object goes that has no time of its own."""
        span = self.old.span(key)
        if self.quarantine or span is None or span.empty:
            return UNPARSED
        return self.new.label(span.begin)

    def part_key(
        self,
        label: str,
        listed: Listed,
    ) -> str:
        """Depends on the folder and on the old object alone: whoever does it again writes the same.

        The extension is in small letters: Athena takes ``.GZ`` for plain text (Athena user guide,
        "Compression formats").
        """
        stem, end = _stem(listed.key.rpartition("/")[2])
        named = f"-{digest_of(f'{listed.key} {listed.etag}')}{end}"
        return label + _shortened(stem, _LONGEST_NAME - len(named.encode())) + named


def _shortened(stem: str, length: int) -> str:
    """To so many bytes: no folder takes longer names, and the digest says whose it is."""
    return stem.encode()[: max(0, length)].decode(errors="ignore")


def _stem(name: str) -> tuple[str, str]:
    """``a.log.GZ`` is ``a`` and ``.log.gz``."""
    stem, dot, rest = name.partition(".")
    return (stem, dot + rest.lower()) if stem else (name.lstrip("."), "")


@dataclass
class Read:
    """What an object holds, by the folder of the new tree that its lines belong in."""

    sums: dict[str, Sums] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    unterminated: bool = False
    header: bytes = b""
    length: int = 0

    @property
    def total(self) -> Sums:
        return sum(self.sums.values(), NOTHING)


Take = Callable[[Read, str, bytes, Sums], None]


class Hand:
    """Works on the objects of one pair of trees; remembers what it has learnt of times."""

    def __init__(
        self,
        trees: Trees,
        quick: bool = True,
    ) -> None:
        """``quick``: False for line by line."""
        self.trees = trees
        self._reader = trees.reader()
        self._fast = Fast(self._reader) if quick and usable() else None

    def _stretches(self, block: bytes) -> tuple[Iterable[Stretch], int]:
        """And how many lines there are, counted apart from what becomes of them."""
        if self._fast is not None:
            return self._fast.counted(block)
        return plain(block, self._reader), block.count(b"\n")

    def read(
        self,
        chunks: Iterable[bytes],
        key: str,
        take: Take = lambda read, label, lines, sums: None,
        home: str | None = None,
    ) -> Read:
        """``take``: gets all lines, piece by piece.  ``home``: where lines without a time go; by
        default where the old tree's key says.  Raises BrokenObject, Changed."""
        found = Read()
        blocks = Blocks(inflated(chunks))
        placing = Placing(home or self.trees.home(key), self.trees.multiline, found.reasons)
        counted = Sums()
        for number, block in enumerate(blocks):
            lines = self._without_header(block, found) if number == 0 else block
            stretches, count = self._stretches(lines)
            counted += Sums(count, len(lines))
            for label, begin, end in placing.placed(lines, stretches):
                piece = lines[begin:end]
                sums = sums_of_block(piece)
                found.sums[label] = found.sums.get(label, NOTHING) + sums
                take(
                    found,
                    label,
                    piece,
                    sums,
                )
        found.unterminated = blocks.unterminated
        found.length = blocks.length
        _assert_same(counted, found.total)
        return found

    def _without_header(
        self,
        block: bytes,
        found: Read,
    ) -> bytes:
        if not self._reader.format.headed:
            return block
        length = header_length(block)
        found.header = block[:length]
        return block[length:]

    def sums(self, chunks: Iterable[bytes]) -> Sums:
        """Of all lines of an object of either tree, wherever they belong; headers are none."""
        total = NOTHING
        for number, block in enumerate(Blocks(inflated(chunks))):
            headed = number == 0 and self._reader.format.headed
            lines = block[header_length(block) :] if headed else block
            total += sums_of_block(lines)
        return total


def _assert_same(counted: Sums, placed: Sums) -> None:
    """Every line that came in stands somewhere.  Raises BrokenObject."""
    if (counted.lines, counted.bytes) != (placed.lines, placed.bytes):
        raise BrokenObject(
            f"{counted.lines} lines were read and {placed.lines} placed: a fault of kirikae's own"
        )


@dataclass
class _Part:
    """One object to be written, held until the whole old object was read."""

    file: IO[bytes]
    deflater: Deflater | None
    sums: Sums = NOTHING

    @classmethod
    def begun(
        cls,
        packing: str,
        header: bytes,
    ) -> _Part:
        part = cls(
            tempfile.SpooledTemporaryFile(_IN_MEMORY),  # noqa: SIM115 - closed when it is written
            None if packing == PLAIN else deflater(packing),
        )
        if header:
            part.write(header)
        return part

    def write(self, data: bytes) -> None:
        self.file.write(data if self.deflater is None else self.deflater.compress(data))

    def add(
        self,
        lines: bytes,
        sums: Sums,
    ) -> None:
        self.write(lines)
        self.sums += sums

    def close(self) -> None:
        if self.deflater is not None:
            self.file.write(self.deflater.flush())
            self.deflater = None
        self.file.seek(0)


@dataclass
class Parts:
    """What an object becomes.  ``wanted``: whose folders are written; the others are counted
    only."""

    wanted: Callable[[str], bool] = lambda label: True
    keep: Keep = lambda label, lines: lines
    packing: str = GZIP
    made: dict[str, _Part] = field(default_factory=dict)

    def take(
        self,
        read: Read,
        label: str,
        lines: bytes,
        sums: Sums,
    ) -> None:
        if not self.wanted(label):
            return
        kept = self.keep(label, lines)
        if not kept:
            return
        if label not in self.made:
            self.made[label] = _Part.begun(self.packing, read.header)
        self.made[label].add(kept, sums if kept is lines else sums_of_block(kept))

    def finished(self) -> Iterator[tuple[str, IO[bytes], Sums]]:
        """(folder, bytes, what is in them), by folder."""
        for label in sorted(self.made):
            part = self.made[label]
            part.close()
            yield label, part.file, part.sums


def peeked(chunks: Iterator[bytes]) -> tuple[str, Iterator[bytes]]:
    """How it is packed, and all of it."""
    first = next(chunks, b"")

    def whole() -> Iterator[bytes]:
        yield first
        yield from chunks

    return packing_of(first), whole()


def plain_sums(sums: Mapping[str, Sums]) -> dict[str, Any]:
    """For the manifest."""
    return {label: each.to_plain() for label, each in sorted(sums.items())}
