"""Objects as they lie there, gzip, zstd or plain text, and as blocks of whole lines.

gzip (RFC 1952): members may follow each other, and empty ones and zeros at the end are put up with;
what ends within a member, has a wrong check sum, or goes on with something else is broken.  A cut
just at the end of a member cannot be seen in the bytes: the length is compared with the listed one.
zstd (RFC 8878): frames follow each other in the same way; whether one has a check sum is up to
whoever wrote it, and what we write has.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from typing import Any, Protocol

from kirikae.logs.errors import BrokenObject

GZIP = "gzip"
ZSTD = "zstd"
PLAIN = ""
_MAGICS = {
    GZIP: re.compile(rb"\x1f\x8b"),
    # A frame, or one that is skipped (RFC 8878, 3.1.2), as pzstd begins its files.
    ZSTD: re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
}
_LONGEST_MAGIC = 10
_UNREAD = {
    "bzip2": re.compile(rb"BZh[1-9]1AY&SY"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "zip": re.compile(rb"PK\x03\x04"),
    "lz4": re.compile(rb"\x04\x22\x4d\x18"),
    "Snappy": re.compile(rb"\xff\x06\x00\x00sNaPpY"),
    "Parquet": re.compile(rb"PAR1"),
    **_MAGICS,
}
"""What plain bytes never begin with: lines would be looked for in something packed."""
BLOCK = 2 << 20
LONGEST_LINE = 64 << 20
_AT_ONCE = 256 << 10
_ZST = ".zst"
_OTHERS = (
    ".bz2",
    ".xz",
    ".zip",
    ".lz4",
    ".snappy",
    ".parquet",
    ".orc",
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.zst",
)
_WBITS = 31
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


@cache
def _zstandard() -> Any:
    """None where it is not installed."""
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard


def deflater(packing: str = GZIP) -> Deflater:
    """One member; the same bytes in, the same bytes out, as long as the library is the same."""
    if packing == ZSTD:
        made: Deflater = _zstandard().ZstdCompressor(level=1, write_checksum=True).compressobj()
        return made
    found: Deflater = library()[1].compressobj(level=1, wbits=_WBITS)
    return found


def unreadable(key: str) -> str:
    """The extension of a compression that is not read here; empty: none."""
    low = key.lower()
    if low.endswith(_ZST) and _zstandard() is None:
        return _ZST
    return next((end for end in _OTHERS if low.endswith(end)), "")


def packing_of(begin: bytes) -> str:
    """``begin``: some of its first bytes."""
    return next((name for name, magic in _MAGICS.items() if magic.match(begin)), PLAIN)


def inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Plain bytes, whatever the object is.  Raises BrokenObject."""
    first, source = _begun(_pieces(chunks))
    packing = packing_of(first)
    out = chain([first], source) if packing == PLAIN else _members(first, source, packing)
    first, source = _begun(out)
    _assert_plain(first, packing)
    if first:
        yield first
    yield from source


def _begun(source: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Enough of its beginning to see what it is, and the rest."""
    first = b""
    for more in source:
        first += more
        if len(first) >= _LONGEST_MAGIC:
            break
    return first, source


def _assert_plain(begin: bytes, packing: str) -> None:
    """Raises BrokenObject."""
    found = next((name for name, magic in _UNREAD.items() if magic.match(begin)), "")
    if found:
        where = f"inside of its {packing}, it" if packing else "it"
        raise BrokenObject(f"{where} is {found}, which is not read here: unpack it")


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Small enough that what comes out of one is no flood."""
    for chunk in chunks:
        for at in range(0, len(chunk), _AT_ONCE):
            yield chunk[at : at + _AT_ONCE]


def _inflaters(packing: str) -> tuple[Callable[[], _Inflater], type[Exception]]:
    """What begins a member, and what it raises.  Raises BrokenObject."""
    if packing == ZSTD:
        module = _zstandard()
        if module is None:
            raise BrokenObject("it is packed by zstd; `pip install 'kirikae[logs]'` reads it")
        return module.ZstdDecompressor().decompressobj, module.ZstdError
    _, library_of_gzip, broken = library()
    return partial(library_of_gzip.decompressobj, wbits=_WBITS), broken


def _members(
    first: bytes,
    source: Iterator[bytes],
    packing: str,
) -> Iterator[bytes]:
    begun, broken = _inflaters(packing)
    data = first
    ended = True
    member = begun()
    while data:
        if ended:
            data = data.lstrip(b"\0")
            ended = not data
        if data:
            try:
                out = member.decompress(data)
            except broken as error:
                raise BrokenObject(f"its {packing} is damaged ({error})") from error
            if out:
                yield out
        if member.eof:
            data = member.unused_data
            member = begun()
            ended = True
        else:
            data = b""
        data = data or next(source, b"")
    if not ended:
        raise BrokenObject(f"it ends in the middle of a {packing} member")


@dataclass
class Blocks:
    """Whole lines, some MiB at once.  A last line without a newline gets one."""

    chunks: Iterable[bytes]
    unterminated: bool = False
    length: int = 0
    """So many came out, without the newline that was missing."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises BrokenObject."""
        held: list[bytes | memoryview] = []
        pending = 0
        unended = 0
        for chunk in self.chunks:
            self.length += len(chunk)
            end = chunk.rfind(b"\n") + 1
            unended = len(chunk) - end if end else unended + len(chunk)
            if unended > LONGEST_LINE:
                raise BrokenObject(f"it has a line of more than {LONGEST_LINE >> 20} MiB")
            if pending + len(chunk) < BLOCK or not end:
                held.append(chunk)
                pending += len(chunk)
                continue
            # Put together once: a block is copied no more than it must be.
            yield b"".join([*held, memoryview(chunk)[:end]])
            rest = chunk[end:]
            held = [rest] if rest else []
            pending = len(rest)
        last = b"".join(held)
        if last:
            self.unterminated = not last.endswith(b"\n")
            yield last + b"\n" if self.unterminated else last
