"""Many records at once: columns are cut out of a block by the places of a few bytes, without a loop
over lines.

Only lines that can be cut in one way alone are taken: letters of ASCII, no escapes, each mark as
often as the format has it.  All others are read by the plain way (``records.py``), line by line,
and both must give the same (``tests/unit/test_logs_columns.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kirikae.logs.fast import usable
from kirikae.logs.records import TIME, Records, seconds, written
from kirikae.logs.sums import Sums, sums_of, sums_of_block
from kirikae.logs.zones import HOUR_S

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Marks = NDArray[np.bool_]

Arrays = list[Any]
"""Columns of pyarrow."""
_NEWLINE = ord("\n")
_TAB = ord("\t")
_SPACE = ord(" ")
_QUOTE = ord('"')
_COLON = ord(":")
_OPEN = ord("[")
_ESCAPE = ord("\\")
_CLOSE = ord("]")
_QUOTES = 6
_COUNTED = "\x1f"
_MISSING = "\0"
_MINUTE_S = 60
_FIRST = b"00:00"
_LAST = b"59:59"
"""Minute and second of an hour."""
_TO_MINUTE = len("2026-11-27T01:00:")
_SECONDS = {f"{second:02d}Z": second for second in range(_MINUTE_S)}


def compute() -> Any:
    """pyarrow's functions; None where it is not installed."""
    try:
        import pyarrow.compute
    except ImportError:
        return None
    return pyarrow.compute


@dataclass
class _Lines:
    """A block and where its lines are.  ``ends``: of their newlines."""

    raw: NDArray[np.uint8]
    starts: Numbers
    ends: Numbers

    @classmethod
    def of(cls, block: bytes) -> _Lines:
        import numpy as np

        raw = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(raw == _NEWLINE)
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
        return cls(raw, starts, ends)

    def simple(self, also: int = _SPACE) -> Marks:
        """Lines of letters that are what they are in every form.  ``also``: one more byte."""
        import numpy as np

        bad = (self.raw < _SPACE) | (self.raw > ord("~")) | (self.raw == _ESCAPE)
        bad &= (self.raw != _NEWLINE) & (self.raw != also)
        lines = np.searchsorted(self.ends, np.flatnonzero(bad))
        fits = np.ones(len(self.ends), np.bool_)
        fits[lines] = False
        return fits

    def places(self, byte: int) -> _Places:
        import numpy as np

        found = np.flatnonzero(self.raw == byte)
        return _Places(
            np.append(found, [len(self.raw)] * _QUOTES),
            np.searchsorted(found, self.starts),
            np.searchsorted(found, self.ends),
        )


@dataclass
class _Places:
    """Where a byte stands.  Behind the last one comes the block's end."""

    all: Numbers
    first: Numbers
    last: Numbers

    @property
    def count(self) -> Numbers:
        """In each line."""
        return self.last - self.first

    def of(self, number: int) -> Numbers:
        """In each line the place of the so-manieth; beyond the line where it has not so many."""
        import numpy as np

        return self.all[np.minimum(self.first + number, len(self.all) - 1)]

    def since(self, begin: Numbers) -> tuple[Numbers, Numbers]:
        """The first two from there."""
        import numpy as np

        found = np.searchsorted(self.all, begin)
        last = len(self.all) - 1
        return self.all[np.minimum(found, last)], self.all[np.minimum(found + 1, last)]


@dataclass
class _Cut:
    """``fits``: which lines.  ``bounds``: begin and end of each column, of all lines; None: missing
    in all of them.  ``minute``: where in the column of the time minutes and seconds stand."""

    fits: Marks
    bounds: list[tuple[Numbers, Numbers] | None]
    minute: int

    def chosen(self, place: int) -> tuple[Numbers, Numbers]:
        bound = self.bounds[place]
        assert bound is not None
        return bound[0][self.fits], bound[1][self.fits]


def _combined(lines: _Lines, records: Records) -> _Cut:
    """``host ident user [time] "request" status size "referer" "agent"``, and what follows."""
    quotes = lines.places(_QUOTE)
    opens = lines.places(_OPEN)
    closes = lines.places(_CLOSE)
    spaces = lines.places(_SPACE)
    first, second, third, fourth, fifth, sixth = map(quotes.of, range(_QUOTES))
    begin = opens.of(0)
    end = closes.of(0)
    host = spaces.of(0)
    ident = spaces.of(1)
    status, size = spaces.since(second + 2)
    fits = lines.simple() & (quotes.count == _QUOTES)
    fits &= (opens.count == 1) & (closes.count == 1) & (begin < end) & (first == end + 2)
    fits &= (lines.starts < host) & (host + 1 < ident) & (ident + 2 <= begin)
    fits &= (second + 2 < status) & (status + 1 < size) & (size == third - 1)
    fits &= fifth == fourth + 2
    for place in (begin - 1, end + 1, second + 1, fourth + 1):
        fits &= lines.raw[place.clip(0, len(lines.raw) - 1)] == _SPACE
    return _Cut(
        fits,
        [
            (lines.starts, host),
            (host + 1, ident),
            (ident + 1, begin - 1),
            (begin + 1, end),
            (first + 1, second),
            (second + 2, status),
            (status + 1, size),
            (third + 1, fourth),
            (fifth + 1, sixth),
            (sixth + 1, lines.ends),
        ],
        len("27/Nov/2026:10:"),
    )


def _ltsv(lines: _Lines, records: Records) -> _Cut:
    """The labels of the columns, all of them, in their order, and no others."""
    import numpy as np

    labels = [f"{name}:".encode() for name in records.columns[:-1]]
    tabs = lines.places(_TAB)
    fits = lines.simple(_TAB) & (lines.places(_QUOTE).count == 0)
    fits &= tabs.count == len(labels) - 1
    begin = lines.starts
    most = len(lines.raw) - 1
    bounds: list[tuple[Numbers, Numbers] | None] = []
    for number, label in enumerate(labels):
        end = tabs.of(number) if number + 1 < len(labels) else lines.ends
        for at, byte in enumerate(label):
            fits &= lines.raw[np.minimum(begin + at, most)] == byte
        fits &= begin + len(label) <= end
        bounds.append((begin + len(label), end))
        begin = end + 1
    return _Cut(fits, [*bounds, None], len("2026-11-27T10:"))


_CUTS: Mapping[str, Callable[[_Lines, Records], _Cut]] = {
    "combined": _combined,
    "ltsv": _ltsv,
}


def _timed(
    lines: _Lines,
    cut: _Cut,
    records: Records,
    place: int,
    block: bytes,
) -> Numbers:
    """Unix seconds.  One line of each hour is read by the plain reader, with its first second and
    its last: only where these are 3599 s apart, all between them are as clocks go.  The others fit
    no longer."""
    import numpy as np

    begin, end = cut.chosen(place)
    at = np.minimum(begin + cut.minute, max(len(lines.raw) - len(_FIRST), 0))
    digits = [lines.raw[at + place].astype(np.int64) - ord("0") for place in (0, 1, 3, 4)]
    sound = (end >= at + len(_FIRST)) & (lines.raw[at + 2] == _COLON)
    for digit, limit in zip(digits, (6, 10, 6, 10), strict=True):
        sound &= (digit >= 0) & (digit < limit)
    times = _texts(block, [(begin, end)], np.arange(len(begin)))[0]
    hours = compute().utf8_replace_slice(
        times,
        start=cut.minute,
        stop=cut.minute + len(_FIRST),
        replacement=_FIRST.decode(),
    )
    which = hours.dictionary_encode().indices.to_numpy()
    _, firsts = np.unique(which, return_index=True)
    starts = lines.starts[cut.fits][firsts]
    ends = lines.ends[cut.fits][firsts]
    found = [
        _hour(block[start:finish], int(minute - start), records)
        for start, finish, minute in zip(starts, ends, at[firsts], strict=True)
    ]
    sound &= np.array([hour is not None for hour in found], np.bool_)[which]
    cut.fits[cut.fits] = sound
    within = sum(digit * worth for digit, worth in zip(digits, (600, 60, 10, 1), strict=True))
    unix: Numbers = np.array([hour or 0 for hour in found], np.int64)[which] + within
    of_sound: Numbers = unix[sound]
    return of_sound


def _hour(
    line: bytes,
    at: int,
    records: Records,
) -> int | None:
    """Unix seconds at which the hour of this line begins."""
    after = at + len(_FIRST)
    first, last = (records.told(line[:at] + end + line[after:]) for end in (_FIRST, _LAST))
    if first is None or last is None or last - first != HOUR_S - 1 or first % _MINUTE_S:
        return None
    return first


@dataclass
class Columns:
    """``fits``: which lines of the block these are."""

    records: Records
    fits: Marks
    texts: Arrays
    unix: Numbers

    @classmethod
    def of(cls, records: Records, block: bytes) -> Columns | None:
        """None: line by line, all of it."""
        cutter = _CUTS.get(records.format.name)
        place = records.place_of_time
        if cutter is None or place is None or compute() is None or not usable():
            return None
        lines = _Lines.of(block)
        cut = cutter(lines, records)
        unix = _timed(
            lines,
            cut,
            records,
            place,
            block,
        )
        return cls(
            records,
            cut.fits,
            _taken(cut, block),
            unix,
        )

    def counted(self) -> Sums:
        """As ``counted`` does of what ``canonical`` gives."""
        import pyarrow

        return counted_again(self.texts, pyarrow.array(self.unix))

    def json(self) -> bytes:
        """As ``to_json`` writes it, a newline after each."""
        pieces: Arrays = []
        lead = "{"
        for name, column in zip(self.records.columns, self.texts, strict=True):
            if column.null_count == 0:
                pieces += [f'{lead}{json.dumps(name, ensure_ascii=False)}:"', column]
                lead = '",'
        whole = [*pieces, f'","{TIME}":"', *_written(self.unix), '"}\n']
        return _bytes(_joined(whole, ""))

    def rows(self, schema: Any) -> Arrays:
        """Columns of a table."""
        import pyarrow

        *_, time, unparsed = schema.types
        nothing = pyarrow.nulls(len(self.unix), unparsed)
        return [*self.texts, pyarrow.array(self.unix * 1000).cast(time), nothing]


def _written(unix: Numbers) -> Arrays:
    """As ``written`` does, in pieces."""
    import numpy as np
    import pyarrow

    minutes, which = np.unique(unix // _MINUTE_S, return_inverse=True)
    begins = [written(minute * _MINUTE_S)[:_TO_MINUTE] for minute in minutes.tolist()]
    pieces = ((begins, which), (list(_SECONDS), unix % _MINUTE_S))
    return [
        pyarrow.array(texts, pyarrow.string()).take(pyarrow.array(which)) for texts, which in pieces
    ]


def _texts(
    block: bytes,
    bounds: list[tuple[Numbers, Numbers]],
    which: Numbers,
) -> Arrays:
    """The block as one long array of what is a column and what is between columns; then each
    column's own.  ``which``: of the lines that have bounds."""
    import numpy as np
    import pyarrow

    edges = np.empty((len(which), 2 * len(bounds)), np.int32)
    for number, (begin, end) in enumerate(bounds):
        edges[:, 2 * number] = begin[which]
        edges[:, 2 * number + 1] = end[which]
    if not edges.size:
        return [pyarrow.array([], pyarrow.string())] * len(bounds)
    pieces = pyarrow.StringArray.from_buffers(
        edges.size - 1,
        pyarrow.py_buffer(edges),
        pyarrow.py_buffer(block),
    )
    firsts = np.arange(len(which)) * edges.shape[1]
    return [pieces.take(pyarrow.array(firsts + 2 * number)) for number in range(len(bounds))]


def _taken(cut: _Cut, block: bytes) -> Arrays:
    import numpy as np
    import pyarrow

    which = np.flatnonzero(cut.fits)
    there = [bound for bound in cut.bounds if bound is not None]
    columns = iter(_texts(block, there, which))
    missing = pyarrow.nulls(len(which), pyarrow.string())
    return [missing if bound is None else next(columns) for bound in cut.bounds]


def _joined(pieces: Arrays, between: str) -> Any:
    return compute().binary_join_element_wise(
        *pieces,
        between,
        null_handling="replace",
        null_replacement=_MISSING,
    )


def _bytes(texts: Any) -> bytes:
    """All of them, one after the other."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if not len(texts):
        return b""
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return bytes(memoryview(data)[ends[0] : ends[-1]])


def _counted(texts: Arrays, whens: Any) -> Sums:
    """``whens``: empty where there is none."""
    ended = _joined([whens, ""], "\n")
    whole = _bytes(_joined([*texts, ended], _COUNTED))
    if whole.count(b"\n") == len(whens):
        return sums_of_block(whole)
    # A value that JSON has unescaped holds a newline.
    import pyarrow

    return sums_of(_joined([*texts, whens], _COUNTED).cast(pyarrow.binary()).to_pylist())


def counted_again(texts: Arrays, seconds: Any) -> Sums:
    """Of columns that were read: as ``counted`` does of what ``canonical`` gives.  ``seconds``:
    Unix time, null where there is none."""
    import pyarrow

    return _counted(texts, seconds.cast(pyarrow.string()).fill_null(""))


def seconds_of(texts: Any) -> Any:
    """Unix time of what ``written`` wrote, null where there is none.  Raises ValueError, KeyError
    for what it never wrote."""
    import pyarrow

    minutes = compute().utf8_slice_codeunits(texts, 0, _TO_MINUTE).dictionary_encode()
    ends = compute().utf8_slice_codeunits(texts, _TO_MINUTE).dictionary_encode()
    begins = [
        None if minute is None else seconds(f"{minute}00Z")
        for minute in minutes.dictionary.to_pylist()
    ]
    after = [None if end is None else _SECONDS[end] for end in ends.dictionary.to_pylist()]
    return compute().add(
        pyarrow.array(begins, pyarrow.int64()).take(minutes.indices),
        pyarrow.array(after, pyarrow.int64()).take(ends.indices),
    )
