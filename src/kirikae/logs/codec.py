"""Objects as they lie there, gzip or plain text, and as blocks of whole lines.

gzip (RFC 1952): members may follow each other, and empty ones and zeros at the end are put up with;
what ends within a member, has a wrong check sum, or goes on with something else is broken.  A cut
just at the end of a member cannot be seen in the bytes: the length is compared with the listed one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from kirikae.logs.errors import BrokenObject

MAGIC = b"\x1f\x8b"
BLOCK = 2 << 20
LONGEST_LINE = 64 << 20
_AT_ONCE = 256 << 10
_OTHERS = (".zst", ".bz2", ".xz", ".zip", ".lz4", ".snappy", ".parquet", ".orc")
_GZIP = 31
"""zlib's ``wbits`` for gzip."""


class _Inflater(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, /) -> bytes: ...


class Deflater(Protocol):
    def compress(self, data: Any, /) -> bytes: ...

    def flush(self) -> bytes: ...


@cache
def library() -> tuple[str, Any, type[Exception]]:
    """isal where it is there (Intel's ISA-L, some times as fast), else Python's own zlib."""
    try:
        from isal import isal_zlib
    except ImportError:
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}", zlib, zlib.error
    broken: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]
    return "isal", isal_zlib, broken


def deflater() -> Deflater:
    """One member; the same bytes in, the same bytes out, as long as the library is the same."""
    found: Deflater = library()[1].compressobj(level=1, wbits=_GZIP)
    return found


def unreadable(key: str) -> str:
    """The extension of a compression that is not read here; empty: none."""
    return next((end for end in _OTHERS if key.lower().endswith(end)), "")


def inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Plain bytes, whatever the object is.  Raises BrokenObject."""
    source = _pieces(chunks)
    first = next(source, b"")
    while len(first) < len(MAGIC):
        more = next(source, b"")
        if not more:
            break
        first += more
    if not first.startswith(MAGIC):
        if first:
            yield first
        yield from source
        return
    yield from _members(first, source)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Small enough that what comes out of one is no flood."""
    for chunk in chunks:
        for at in range(0, len(chunk), _AT_ONCE):
            yield chunk[at : at + _AT_ONCE]


def _members(first: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    _, module, broken = library()
    data = first
    ended = True
    member: _Inflater = module.decompressobj(wbits=_GZIP)
    while data:
        if ended:
            data = data.lstrip(b"\0")
            ended = not data
        if data:
            try:
                out = member.decompress(data)
            except broken as error:
                raise BrokenObject(f"its gzip is damaged ({error})") from error
            if out:
                yield out
        if member.eof:
            data = member.unused_data
            member = module.decompressobj(wbits=_GZIP)
            ended = True
        else:
            data = b""
        data = data or next(source, b"")
    if not ended:
        raise BrokenObject("it ends in the middle of a gzip member")


@dataclass
class Blocks:
    """Whole lines, some MiB at once.  A last line without a newline gets one."""

    chunks: Iterable[bytes]
    unterminated: bool = False
    length: int = 0
    """So many came out, without the newline that was missing."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises BrokenObject."""
        held: list[bytes] = []
        pending = 0
        for chunk in self.chunks:
            held.append(chunk)
            pending += len(chunk)
            self.length += len(chunk)
            if pending < BLOCK:
                continue
            whole, rest = _cut(b"".join(held))
            held = [rest] if rest else []
            pending = len(rest)
            if pending > LONGEST_LINE:
                raise BrokenObject(f"it has a line of more than {LONGEST_LINE >> 20} MiB")
            if whole:
                yield whole
        last = b"".join(held)
        if last:
            self.unterminated = not last.endswith(b"\n")
            yield last + b"\n" if self.unterminated else last


def _cut(data: bytes) -> tuple[bytes, bytes]:
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]
