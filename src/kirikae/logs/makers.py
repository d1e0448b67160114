"""What lines of a folder are made into: fewer objects of the same lines, JSON, or Parquet.

Each maker counts what goes in and, by reading it again, what came out; it says nothing itself of
whether both are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from kirikae.logs.codec import Blocks, deflater, inflated
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
    packed: _Packed = field(default_factory=_Packed)
    put_in: Sums = NOTHING
    unparsed: int = 0

    def add(self, block: bytes) -> None:
        made = []
        seen = []
        for line in block.split(b"\n")[:-1]:
            found = self.records.row(line)
            if found is None:
                self.unparsed += 1
                seen.append(canonical_unparsed(line))
                made.append(unparsed_to_json(line))
            else:
                seen.append(canonical(*found))
                made.append(to_json(self.records, *found))
        self.put_in += counted(seen)
        self.packed.add(b"\n".join(made) + b"\n")

    def close(self) -> IO[bytes]:
        return self.packed.close()


@dataclass(frozen=True)
class Json:
    """One object a line, gzip."""

    records: Records
    name = "json"
    end = ".json.gz"

    def open(self, header: bytes) -> Making:
        return _Json(self.records)

    def read_again(self, body: IO[bytes]) -> Sums:
        total = NOTHING
        for block in Blocks(inflated(_chunks(body))):
            try:
                lines = block.split(b"\n")[:-1]
                total += counted(from_json(self.records, line) for line in lines)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise BrokenObject(f"a line of it is not what was written ({error})") from error
        return total


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
    file: IO[bytes] = field(default_factory=_file)
    put_in: Sums = NOTHING
    unparsed: int = 0
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _writer: Any = None

    def __post_init__(self) -> None:
        _, parquet = _arrow()
        self._writer = parquet.ParquetWriter(self.file, self.schema, compression="zstd")

    def add(self, block: bytes) -> None:
        nothing = (None,) * len(self.records.columns)
        seen = []
        for line in block.split(b"\n")[:-1]:
            found = self.records.row(line)
            if found is None:
                self.unparsed += 1
                seen.append(canonical_unparsed(line))
                self._rows.append((*nothing, None, line))
            else:
                row, when = found
                seen.append(canonical(row, when))
                self._rows.append((*row, None if when is None else when * 1000, None))
        self.put_in += counted(seen)
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._write()

    def _write(self) -> None:
        arrow, _ = _arrow()
        columns = [
            arrow.array(column, kind)
            for column, kind in zip(
                zip(*self._rows, strict=True),
                self.schema.types,
                strict=True,
            )
        ]
        self._rows = []
        self._writer.write_table(arrow.Table.from_arrays(columns, schema=self.schema))

    def close(self) -> IO[bytes]:
        if self._rows:
            self._write()
        self._writer.close()
        self.file.seek(0)
        return self.file


@dataclass(frozen=True)
class Parquet:
    """Columns of text, the time in UTC, and what is no record as it is; packed by zstd."""

    records: Records
    name = "parquet"
    end = ".parquet"

    def _schema(self) -> Any:
        arrow, _ = _arrow()
        columns = [(name, arrow.string()) for name in self.records.columns]
        return arrow.schema(
            [*columns, (TIME, arrow.timestamp("ms", "UTC")), (UNPARSED, arrow.binary())]
        )

    def open(self, header: bytes) -> Making:
        return _Parquet(self.records, self._schema())

    def read_again(self, body: IO[bytes]) -> Sums:
        arrow, parquet = _arrow()
        total = NOTHING
        try:
            for batch in parquet.ParquetFile(body).iter_batches(_ROWS_AT_ONCE):
                total += counted(_of_batch(arrow, batch))
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise BrokenObject(f"it is not the Parquet that was written ({error})") from error
        return total


def _of_batch(arrow: Any, batch: Any) -> Iterator[bytes]:
    """What is counted of each row."""
    texts = [column.to_pylist() for column in batch.columns[:-2]]
    seconds = batch.columns[-2].cast(arrow.timestamp("s", "UTC"))
    times = seconds.cast(arrow.int64()).to_pylist()
    unparsed = batch.columns[-1].to_pylist()
    rows: Iterable[Row] = zip(*texts, strict=True)
    for row, when, line in zip(rows, times, unparsed, strict=True):
        yield canonical(row, when) if line is None else canonical_unparsed(line)
