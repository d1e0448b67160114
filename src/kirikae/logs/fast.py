"""Many lines at once: the bytes that decide are compared as numbers, without a loop over lines.

A line's folder depends on a few bytes of it: day, hour, offset.  Where these stay the same from one
line to the next, nothing is looked at; where they change, one line is read by the plain reader and
speaks for all that have the same bytes.  Whatever does not look as expected is read by the plain
reader, line by line: both ways must give the same (``tests/unit/test_logs_fast.py``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kirikae.logs.formats import Untimed
from kirikae.logs.stretches import Place, Reader, Stretch, plain
from kirikae.logs.zones import whole_hours

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Words = NDArray[np.uint64]
    Marks = NDArray[np.bool_]

_PAD = bytes(64)


def usable() -> bool:
    """Is numpy there, and this machine's byte order the one that words are written for?"""
    try:
        import numpy  # noqa: F401 - is it there?
    except ImportError:
        return False
    return sys.byteorder == "little"


@dataclass(frozen=True)
class _Form:
    """Bytes as a pattern: ``0`` any digit, ``5`` a digit up to 5, ``?`` anything, others as they
    are."""

    exact: int
    limits: int
    careless: int

    @classmethod
    def of(cls, text: str) -> _Form:
        exact = bytes(ord("0") if letter in "05" else ord(letter) for letter in text)
        limits = bytes(_LIMITS.get(letter, 0x7F) for letter in text)
        careless = bytes(0 if letter == "?" else 0xFF for letter in text)
        return cls(_number(exact), _number(limits), _number(careless))

    def fits(self, words: Words) -> Marks:
        """A byte is in order where it differs from the pattern by no more than its limit: adding
        what is left up to 127 then leaves the highest bit unset."""
        import numpy as np

        high = np.uint64(0x8080808080808080)
        apart = (words ^ np.uint64(self.exact)) & np.uint64(self.careless)
        over = ((apart & ~high) + np.uint64(self.limits)) | apart
        fits: Marks = (over & high & np.uint64(self.careless)) == 0
        return fits


_LIMITS = {
    "0": 0x7F - 9,
    "5": 0x7F - 5,
    "?": 0,
}


def _number(eight: bytes) -> int:
    assert len(eight) == 8
    return int.from_bytes(eight, "little")


@dataclass
class _View:
    """A block and its lines as numbers."""

    block: bytes
    raw: NDArray[np.uint8]
    words: Words
    starts: Numbers
    ends: Numbers

    @classmethod
    def of(cls, block: bytes) -> _View:
        import numpy as np

        padded = block + _PAD
        raw = np.frombuffer(padded, np.uint8)
        words = np.ndarray(
            (len(padded) - 7,),
            np.dtype("<u8"),
            padded,
            0,
            (1,),
        )
        ends = np.flatnonzero(raw[: len(block)] == 10) + 1
        starts = np.empty_like(ends)
        if len(ends):
            starts[0] = 0
            starts[1:] = ends[:-1]
        return cls(
            block,
            raw,
            words,
            starts,
            ends,
        )

    def first(self, byte: int) -> Numbers:
        """Of each line the place after the first such byte; beyond the line where it has none."""
        import numpy as np

        found = np.flatnonzero(self.raw[: len(self.block)] == byte)
        found = np.append(found, len(self.block))
        at: Numbers = found[np.searchsorted(found, self.starts)] + 1
        return np.minimum(at, self.ends)


@dataclass
class _Keys:
    """Of each line: do its bytes look as expected, and those that decide."""

    fits: Marks
    words: list[Words]
    minutes: Words


@dataclass(frozen=True)
class _Finder:
    """Where the bytes that decide are, and what they must look like all together: where they do
    not, the lines that have them are read one by one."""

    find: Callable[[_View, Reader], _Keys]
    sure: re.Pattern[bytes]
    offset_minutes: int | None = 4
    """Which byte of the third word; None: it is always UTC."""


_MINUTES = _Form.of(":50:50??")
_BEFORE_OFFSET = _Form.of(":50:50 ?")


def _at(
    view: _View,
    places: Numbers,
    offset: int,
) -> Words:
    found: Words = view.words[places + offset]
    return found


def _enough(
    view: _View,
    places: Numbers,
    length: int,
) -> Marks:
    """Places near the end of a line are left to the plain reader; the padding keeps what is read
    for them inside of the buffer."""
    enough: Marks = places + length <= view.ends
    return enough


def _combined(view: _View, reader: Reader) -> _Keys:
    at = view.first(ord("["))
    time = _at(view, at, 14)
    fits = _enough(view, at, 30) & _BEFORE_OFFSET.fits(time)
    return _Keys(fits, [_at(view, at, 0), _at(view, at, 6), _at(view, at, 21)], time)


def _iso(
    view: _View,
    at: Numbers,
    ends_with: bytes,
) -> _Keys:
    """``ends_with``: what follows the time.  Which form of offset the block has, its first line
    says."""
    import numpy as np

    time = _at(view, at, 13)
    length = _tail_length(view.block[at[0] : at[0] + 28], ends_with)
    tail = _at(view, at, 19) & np.uint64((1 << 8 * length) - 1)
    fits = _enough(view, at, 20 + length) & _MINUTES.fits(time)
    return _Keys(fits, [_at(view, at, 0), _at(view, at, 5), tail], time)


def _tail_length(time: bytes, ends_with: bytes) -> int:
    """Of an offset and what follows it."""
    match = re.match(rb"(Z|[+-]\d\d:\d\d)?" + re.escape(ends_with), time[19:])
    return 7 if match is None else len(match[0])


def _iso_pattern(between: bytes, ends_with: bytes) -> re.Pattern[bytes]:
    offset = rb"(?:Z|[+-]\d\d:\d\d)?" + ends_with + rb"\0*"
    return re.compile(rb"\d{4}-\d\d-\d\d-\d\d" + between + rb"\d\d" + offset)


def _after(
    view: _View,
    lead: bytes,
    ends_with: bytes,
) -> _Keys:
    """Lines that begin with ``lead`` and then the time."""
    import numpy as np

    at = np.minimum(view.starts + len(lead), view.ends)
    keys = _iso(view, at, ends_with)
    keys.fits &= _begin(view, lead)
    return keys


def _begin(view: _View, lead: bytes) -> Marks:
    """Lines that begin so."""
    import numpy as np

    fits = np.ones(len(view.starts), np.bool_)
    for at in range(0, len(lead), 8):
        part = lead[at : at + 8]
        places = np.minimum(view.starts + at, len(view.block))
        kept = np.uint64((1 << 8 * len(part)) - 1)
        fits &= (_at(view, places, 0) & kept) == np.uint64(int.from_bytes(part, "little"))
    return fits


def _ltsv(view: _View, reader: Reader) -> _Keys:
    return _after(view, reader.format.key + b":", b"\t")


def _json(view: _View, reader: Reader) -> _Keys:
    return _after(view, b'{"' + reader.format.key + b'":"', b'"')


def _out_file(view: _View, reader: Reader) -> _Keys:
    return _iso(view, view.starts, b"\t")


def _alb(view: _View, reader: Reader) -> _Keys:
    """The type of the request stands before the time: it decides whether the line can be read."""
    import numpy as np

    at = view.first(ord(" "))
    time = _at(view, at, 13)
    length = at - view.starts
    fits = _enough(view, at, 29) & _MINUTES.fits(time)
    fits &= _FRACTION.fits(_at(view, at, 20))
    point = _at(view, at, 19) & np.uint64(0xFF)
    kind = _at(view, view.starts, 0) & _first_bytes(length)
    words = [_at(view, at, 0), _at(view, at, 5), point, kind, length.astype(np.uint64)]
    return _Keys(fits, words, time)


_FRACTION = _Form.of("000000Z ")


def _first_bytes(lengths: Numbers) -> Words:
    """Masks of so many bytes, eight at most."""
    import numpy as np

    masks = np.array([(1 << 8 * length) - 1 for length in range(9)], np.uint64)
    found: Words = masks[np.minimum(lengths, 8)]
    return found


def _cloudfront(view: _View, reader: Reader) -> _Keys:
    return _iso(view, view.starts, b"\t")


_CLF = re.compile(
    rb"\d\d/(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d"
    rb"/\d{4}:\d\d"
    rb'[+-]\d{4}\] "'
)
_FINDERS: dict[str, _Finder] = {
    "combined": _Finder(_combined, _CLF, 3),
    "ltsv": _Finder(_ltsv, _iso_pattern(b"T", rb"\t")),
    "json": _Finder(_json, _iso_pattern(b"T", b'"')),
    "out_file": _Finder(_out_file, _iso_pattern(b"T", rb"\t")),
    "alb": _Finder(_alb, re.compile(rb"\d{4}-\d\d-\d\d-\d\dT\d\d\.\0{7}(?s:.*)"), None),
    "cloudfront": _Finder(_cloudfront, _iso_pattern(rb"\t", rb"\t"), None),
}


@dataclass
class Fast:
    """One reader, and what it has already read; for all blocks of all objects of one tree."""

    reader: Reader
    fell_back: int = 0
    """Blocks in which this way did not pass its own check."""
    _known: dict[tuple[int, ...], Place | None] = field(default_factory=dict)

    @property
    def _finder(self) -> _Finder:
        return _FINDERS[self.reader.format.name]

    def stretches(self, block: bytes) -> list[Stretch]:
        """As ``plain`` gives them."""
        return self.counted(block)[0]

    def counted(self, block: bytes) -> tuple[list[Stretch], int]:
        """And how many newlines the block has.  Called from several threads at once."""
        if not block:
            return [], 0
        view = _View.of(block)
        found = self._stretches(view)
        if not _whole(block, found):
            self.fell_back += 1
            found = list(plain(block, self.reader))
        return found, len(view.ends)

    def _stretches(self, view: _View) -> list[Stretch]:
        keys = self._finder.find(view, self.reader)
        if self._minutes_decide(keys):
            keys.words.append(_quarters(keys.minutes))
        return _joined(self._cut(view, keys))

    def _minutes_decide(self, keys: _Keys) -> bool:
        """Zones and offsets of half hours."""
        zones = (self.reader.clock.zone, self.reader.new_zone)
        if not all(whole_hours(zone) for zone in zones):
            return True
        byte = self._finder.offset_minutes
        return byte is not None and _half_hours(keys, byte)

    def _cut(
        self,
        view: _View,
        keys: _Keys,
    ) -> list[Stretch]:
        import numpy as np

        cuts = _changes(keys)
        begins = view.starts[cuts].tolist()
        ends = np.append(view.starts[cuts][1:], len(view.block)).tolist()
        firsts = view.ends[cuts].tolist()
        fits = keys.fits[cuts].tolist()
        rows = zip(*(word[cuts].tolist() for word in keys.words), strict=True)
        out: list[Stretch] = []
        for begin, first, end, fit, row in zip(
            begins,
            firsts,
            ends,
            fits,
            rows,
            strict=True,
        ):
            place = self._place(view.block[begin : first - 1], row) if fit else None
            if isinstance(place, str):
                out.append(Stretch(place, begin, end))
            else:
                out.extend(self._each(view.block, begin, end))
        return out

    def _each(
        self,
        block: bytes,
        begin: int,
        end: int,
    ) -> Iterator[Stretch]:
        """Line by line."""
        for stretch in plain(block[begin:end], self.reader):
            yield Stretch(stretch.place, begin + stretch.begin, begin + stretch.end)

    def _place(
        self,
        line: bytes,
        row: tuple[int, ...],
    ) -> Place | None:
        """None: these bytes do not decide by themselves."""
        if row not in self._known:
            eights = b"".join(word.to_bytes(8, "little") for word in row)
            sure = self._finder.sure.match(eights)
            self._known[row] = None if sure is None else self.reader.place(line)
        return self._known[row]


def _quarters(times: Words) -> Words:
    """The two digits of the minute (bytes 1 and 2)."""
    import numpy as np

    minutes: Words = times & np.uint64(0xFFFF00)
    return minutes


def _half_hours(keys: _Keys, byte: int) -> bool:
    """Is there a line with an offset that is not whole hours?  Those without one have zeros."""
    import numpy as np

    minutes = (keys.words[2][keys.fits] >> np.uint64(8 * byte)) & np.uint64(0xFFFF)
    return bool(((minutes != np.uint64(0x3030)) & (minutes != 0)).any())


def _changes(keys: _Keys) -> Any:
    """The first lines of stretches: another key than the line before, or no key."""
    import numpy as np

    new = ~keys.fits
    new[0] = True
    new[1:] |= ~keys.fits[:-1]
    for word in keys.words:
        new[1:] |= word[1:] != word[:-1]
    return np.flatnonzero(new)


def _joined(found: list[Stretch]) -> list[Stretch]:
    """Neighbours of one folder are one; lines without a time stand alone."""
    out: list[Stretch] = []
    for stretch in found:
        last = out[-1] if out else None
        if last is None or last.place != stretch.place or isinstance(stretch.place, Untimed):
            out.append(stretch)
        else:
            out[-1] = Stretch(last.place, last.begin, stretch.end)
    return out


def _whole(block: bytes, found: list[Stretch]) -> bool:
    """Every byte in just one stretch, every stretch at the end of a line."""
    at = 0
    for stretch in found:
        if stretch.begin != at or block[stretch.end - 1 : stretch.end] != b"\n":
            return False
        at = stretch.end
    return at == len(block)
