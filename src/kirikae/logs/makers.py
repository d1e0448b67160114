"""What lines of a folder are made into: fewer objects of the same lines, JSON, or Parquet.

Each maker counts what goes in and, by reading it again, what came out; it says nothing itself of
whether both are the same.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import IO, Any, Protocol

from kirikae.logs.codec import Blocks, deflater, inflated
from kirikae.logs.columns import Columns, compute, counted_again, seconds_of
from kirikae.logs.errors import BrokenObject, NotInstalled
from kirikae.logs.formats import header_length
from kirikae.logs.records import (
    TIME,
    UNPARSED,
    Records,
    Row,
    canonical,
    canonical_unparsed,
    counted,
    from_json,
    to_json,
    unparsed_to_json,
)
from kirikae.logs.sums import NOTHING, Sums, sums_of_block

_IN_MEMORY = 8 << 20
_ROWS_AT_ONCE = 50_000
_CHUNK = 1 << 20


class Maker(Protocol):
    """``end``: of the names of its objects."""

    name: str
    end: str

    def open(self, header: bytes) -> Making:
        """One object to be.  ``header``: lines of ``#`` that objects of this tree begin with."""

    def read_again(self, body: IO[bytes]) -> Sums:
        """What lies in one that was made.  Raises BrokenObject."""


class Making(Protocol):
    """Takes blocks of whole lines.  ``put_in``: what was counted of them, before they were
    packed."""

    put_in: Sums
    unparsed: int

    def add(self, block: bytes) -> None: ...

    def close(self) -> IO[bytes]:
        """All of it, from its beginning."""


def _file() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(_IN_MEMORY)  # closed by who reads it


def _chunks(body: IO[bytes]) -> Iterator[bytes]:
    while chunk := body.read(_CHUNK):
        yield chunk


# --- the same lines


@dataclass
class _Packed:
    """Bytes in, gzip out."""

    header: bytes = b""
    file: IO[bytes] = field(default_factory=_file)
    put_in: Sums = NOTHING
    unparsed: int = 0
    _deflater: Any = field(default_factory=deflater)

    def __post_init__(self) -> None:
        self.file.write(self._deflater.compress(self.header))

    def add(self, block: bytes) -> None:
        self.put_in += sums_of_block(block)
        self.file.write(self._deflater.compress(block))

    def close(self) -> IO[bytes]:
        self.file.write(self._deflater.flush())
        self.file.seek(0)
        return self.file


@dataclass(frozen=True)
class Compact:
    """The same lines in fewer objects.  ``headed``: readers leave out their first lines."""

    headed: bool = False
    name = "compact"
    end = ".gz"

    def open(self, header: bytes) -> Making:
        return _Packed(header)

    def read_again(self, body: IO[bytes]) -> Sums:
        total = NOTHING
        for number, block in enumerate(Blocks(inflated(_chunks(body)))):
            begin = header_length(block) if number == 0 and self.headed else 0
            total += sums_of_block(block[begin:])
        return total


# --- JSON


@dataclass
class _Json:
    """Each line as an object."""

    records: Records
    quick: bool = True
    packed: _Packed = field(default_factory=_Packed)
    put_in: Sums = NOTHING
    unparsed: int = 0

    def add(self, block: bytes) -> None:
        columns = Columns.of(self.records, block) if self.quick else None
        if columns is None:
            self.packed.add(b"".join(self._each(block.split(b"\n")[:-1])))
            return
        self.put_in += columns.counted()
        made = columns.json()
        if not columns.fits.all():
            left = compress(block.split(b"\n"), ~columns.fits)
            made = b"".join(_woven(columns.fits, made.splitlines(True), list(self._each(left))))
        self.packed.add(made)

    def _each(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Line by line."""
        seen = []
        for line in lines:
            found = self.records.row(line)
            if found is None:
                self.unparsed += 1
                seen.append(canonical_unparsed(line))
                yield unparsed_to_json(line) + b"\n"
            else:
                seen.append(canonical(*found))
                yield to_json(self.records, *found) + b"\n"
        self.put_in += counted(seen)

    def close(self) -> IO[bytes]:
        return self.packed.close()


def _woven(
    fits: Any,
    quick: list[bytes],
    slow: list[bytes],
) -> Iterator[bytes]:
    """Both in the order of lines."""
    ways = (iter(slow), iter(quick))
    return (next(ways[fit]) for fit in fits.tolist())


@dataclass(frozen=True)
class Json:
    """One object a line, gzip."""

    records: Records
    quick: bool = True
    name = "json"
    end = ".json.gz"

    def open(self, header: bytes) -> Making:
        return _Json(self.records, self.quick)

    def read_again(self, body: IO[bytes]) -> Sums:
        total = NOTHING
        for block in Blocks(inflated(_chunks(body))):
            try:
                found = _quickly(self.records, block) if self.quick else None
                if found is None:
                    lines = block.split(b"\n")[:-1]
                    found = counted(from_json(self.records, line) for line in lines)
                total += found
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise BrokenObject(f"a line of it is not what was written ({error})") from error
        return total


def _quickly(records: Records, block: bytes) -> Sums | None:
    """By pyarrow's reader.  None: line by line; it may not be what was written."""
    if compute() is None:
        return None
    import pyarrow
    import pyarrow.json as reader

    names = (*records.columns, TIME, UNPARSED)
    schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
    try:
        table = reader.read_json(
            io.BytesIO(block),
            reader.ReadOptions(use_threads=False, block_size=len(block) + 1),
            reader.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except pyarrow.ArrowException:
        return None
    table = table.combine_chunks()
    *texts, times, unparsed = (column.chunk(0) for column in table.columns)
    if table.num_rows != block.count(b"\n"):
        return None
    return _counted_with(texts, seconds_of(times), unparsed, base64.b64decode)


def _counted_with(
    texts: list[Any],
    whens: Any,
    unparsed: Any,
    line_of: Callable[[Any], bytes],
) -> Sums:
    """Of columns that were read.  ``line_of``: a line that is no record, from how it is kept."""
    if unparsed.null_count == len(unparsed):
        return counted_again(texts, whens)
    parsed = unparsed.is_null()
    lines = [line_of(each) for each in unparsed.drop_null().to_pylist()]
    total = counted(map(canonical_unparsed, lines))
    return total + counted_again([text.filter(parsed) for text in texts], whens.filter(parsed))


# --- Parquet


def _arrow() -> tuple[Any, Any]:
    """Raises NotInstalled."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NotInstalled(
            "Parquet needs pyarrow, which is not installed; "
            "`pip install 'kirikae[logs,parquet]'` brings it"
        ) from error
    return pyarrow, pyarrow.parquet


@dataclass
class _Parquet:
    """Rows are held until there are enough for a group."""

    records: Records
    schema: Any
    quick: bool = True
    file: IO[bytes] = field(default_factory=_file)
    put_in: Sums = NOTHING
    unparsed: int = 0
    _held: list[Any] = field(default_factory=list)
    _writer: Any = None

    def __post_init__(self) -> None:
        _, parquet = _arrow()
        self._writer = parquet.ParquetWriter(self.file, self.schema, compression="zstd")

    def add(self, block: bytes) -> None:
        columns = Columns.of(self.records, block) if self.quick else None
        if columns is None:
            arrays = self._each(block.split(b"\n")[:-1])
        else:
            self.put_in += columns.counted()
            arrays = columns.rows(self.schema)
            if not columns.fits.all():
                left = self._each(compress(block.split(b"\n"), ~columns.fits))
                arrays = _in_order(columns.fits, arrays, left)
        arrow, _ = _arrow()
        self._held.append(arrow.Table.from_arrays(arrays, schema=self.schema))
        if sum(map(len, self._held)) >= _ROWS_AT_ONCE:
            self._write()

    def _each(self, lines: Iterable[bytes]) -> list[Any]:
        """Line by line."""
        nothing = (None,) * len(self.records.columns)
        seen = []
        rows: list[tuple[Any, ...]] = []
        for line in lines:
            found = self.records.row(line)
            if found is None:
                self.unparsed += 1
                seen.append(canonical_unparsed(line))
                rows.append((*nothing, None, line))
            else:
                row, when = found
                seen.append(canonical(row, when))
                rows.append((*row, None if when is None else when * 1000, None))
        self.put_in += counted(seen)
        arrow, _ = _arrow()
        columns = zip(*rows, strict=True) if rows else [()] * len(self.schema.types)
        return [
            arrow.array(column, kind)
            for column, kind in zip(columns, self.schema.types, strict=True)
        ]

    def _write(self) -> None:
        arrow, _ = _arrow()
        self._writer.write_table(arrow.concat_tables(self._held).combine_chunks())
        self._held = []

    def close(self) -> IO[bytes]:
        if self._held:
            self._write()
        self._writer.close()
        self.file.seek(0)
        return self.file


def _in_order(
    fits: Any,
    quick: list[Any],
    slow: list[Any],
) -> list[Any]:
    """Columns of both, in the order of lines."""
    arrow, _ = _arrow()
    slows = (~fits).cumsum() + fits.sum() - 1
    order = arrow.array(fits.astype(int).choose([slows, fits.cumsum() - 1]))
    return [arrow.concat_arrays(each).take(order) for each in zip(quick, slow, strict=True)]


@dataclass(frozen=True)
class Parquet:
    """Columns of text, the time in UTC, and what is no record as it is; packed by zstd."""

    records: Records
    quick: bool = True
    name = "parquet"
    end = ".parquet"

    def _schema(self) -> Any:
        arrow, _ = _arrow()
        columns = [(name, arrow.string()) for name in self.records.columns]
        return arrow.schema(
            [*columns, (TIME, arrow.timestamp("ms", "UTC")), (UNPARSED, arrow.binary())]
        )

    def open(self, header: bytes) -> Making:
        return _Parquet(self.records, self._schema(), self.quick)

    def read_again(self, body: IO[bytes]) -> Sums:
        arrow, parquet = _arrow()
        total = NOTHING
        try:
            for batch in parquet.ParquetFile(body).iter_batches(_ROWS_AT_ONCE):
                total += _of_columns(batch) if self.quick else counted(_of_batch(batch))
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise BrokenObject(f"it is not the Parquet that was written ({error})") from error
        return total


def _seconds(batch: Any) -> Any:
    arrow, _ = _arrow()
    return batch.columns[-2].cast(arrow.timestamp("s", "UTC")).cast(arrow.int64())


def _of_columns(batch: Any) -> Sums:
    return _counted_with(batch.columns[:-2], _seconds(batch), batch.columns[-1], bytes)


def _of_batch(batch: Any) -> Iterator[bytes]:
    """What is counted of each row."""
    texts = [column.to_pylist() for column in batch.columns[:-2]]
    times = _seconds(batch).to_pylist()
    unparsed = batch.columns[-1].to_pylist()
    rows: Iterable[Row] = zip(*texts, strict=True)
    for row, when, line in zip(rows, times, unparsed, strict=True):
        yield canonical(row, when) if line is None else canonical_unparsed(line)
