"""Read the database of rpm without rpm: the headers of installed packages, from a file's bytes.

Two of its forms are read: Berkeley DB (`Packages`, up to RHEL 8 and Amazon Linux 2) and SQLite
(`rpmdb.sqlite`, RHEL 9 and Amazon Linux 2023).  The header is that of rpm's documentation ("Header
format"); a page of Berkeley DB that of its db_page.h: numbers of the machine that wrote it.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple


class _Tag(IntEnum):
    """What is asked of a header."""

    NAME = 1000
    VERSION = 1001
    RELEASE = 1002
    INSTALLED = 1008
    GROUP = 1016
    ARCH = 1022
    DIGESTS = 1035
    FLAGS = 1037
    DIRECTORY_OF = 1116
    NAMES = 1117
    DIRECTORIES = 1118
    ALGORITHM = 5011


_INT32 = 4
_STRING = 6
_STRINGS = 8
_I18N = 9
_SHA256 = 8
_ENTRY = struct.Struct(">4I")
_CONFIG = 1
_GHOST = 64
_COUNTER = 4
_MOST = 1 << 20
"""Entries of a header, bytes of a page: more is damage."""


class Owned(NamedTuple):
    """A file of a package, as it was delivered; an empty digest for folders and links."""

    path: str
    digest: str
    flags: int

    @property
    def configuration(self) -> bool:
        """Whoever runs the machine may change it."""
        return bool(self.flags & _CONFIG)

    @property
    def ghost(self) -> bool:
        """Not delivered: it need not be there."""
        return bool(self.flags & _GHOST)


class Rpm(NamedTuple):
    """One installed package.  ``algorithm``: of its digests, such as md5."""

    name: str
    version: str
    architecture: str
    group: str
    installed: int | None
    algorithm: str
    files: tuple[Owned, ...]


def packages_of(raw: bytes) -> tuple[list[Rpm], int]:
    """The packages of a database, and how many entries could not be read."""
    found = []
    lost = 0
    for blob in _blobs(raw):
        if len(blob) == _COUNTER:
            continue  # how many there were, under the number 0
        package = package_from(blob)
        if package is None:
            lost += 1
        elif package.name != "gpg-pubkey":
            found.append(package)
    return sorted(found), lost


def is_database(raw: bytes) -> bool:
    """In a form that is read here."""
    return raw.startswith(b"SQLite format 3\0") or _order(raw) is not None


def _blobs(raw: bytes) -> Iterator[bytes]:
    """Of any form; nothing for what is none."""
    if raw.startswith(b"SQLite format 3\0"):
        yield from _in_sqlite(raw)
    elif _order(raw) is not None:
        yield from _in_berkeley(raw)


# --- SQLite


def _in_sqlite(raw: bytes) -> Iterator[bytes]:
    """A database that was written with a log beside it is read without that log."""
    database = sqlite3.connect(":memory:")
    try:
        # Bytes 18 and 19 say how it is written; 1: without a log (SQLite, "Database File Format").
        database.deserialize(raw[:18] + b"\1\1" + raw[20:])
        for (blob,) in database.execute("SELECT blob FROM Packages"):
            if isinstance(blob, bytes):
                yield blob
    except sqlite3.Error:
        yield b""  # one entry that could not be read
    finally:
        database.close()


# --- Berkeley DB, hash


_HASH_MAGIC = 0x061561
_PAGE = struct.Struct("16xIIHHBB")
"""Behind the log's number and this page's: former, next, entries, free area, level, kind."""
_HEAD = 26
_HASH_PAGES = (2, 13)
_ON_PAGE = 1
_OFF_PAGE = 3


def _order(raw: bytes) -> str | None:
    """``<`` or ``>``, as the machine wrote its numbers; None for another form."""
    if len(raw) < 72:
        return None
    for order in "<>":
        if struct.unpack_from(f"{order}I", raw, 12)[0] == _HASH_MAGIC:
            return order
    return None


def _in_berkeley(raw: bytes) -> Iterator[bytes]:
    """Every value; the keys between them are numbers of rpm's own."""
    order = _order(raw)
    (size,) = struct.unpack_from(f"{order}I", raw, 20)
    if not 512 <= size <= _MOST or order is None:
        yield b""
        return
    for start in range(size, len(raw) - size + 1, size):
        kind = raw[start + 25]
        if kind in _HASH_PAGES:
            yield from _values(raw, start, size, order)


def _values(
    raw: bytes,
    start: int,
    size: int,
    order: str,
) -> Iterator[bytes]:
    """Keys and values lie in turns; what is larger than a page lies on pages of its own."""
    (many,) = struct.unpack_from(f"{order}H", raw, start + 20)
    many = min(many, (size - _HEAD) // 2)
    places = struct.unpack_from(f"{order}{many}H", raw, start + _HEAD)
    for key, value in zip(places[::2], places[1::2], strict=False):
        place = start + value
        kind = raw[place] if value < size else None
        if kind == _OFF_PAGE and value + 12 <= size:
            page, length = struct.unpack_from(f"{order}II", raw, place + 4)
            yield _chained(raw, page, length, size, order)
        elif kind == _ON_PAGE:
            # Items fill a page from its end: each reaches as far as the one before it begins.
            yield raw[place + 1 : start + key]
        else:
            yield b""


def _chained(
    raw: bytes,
    page: int,
    length: int,
    size: int,
    order: str,
) -> bytes:
    """A value on pages that name the next one; short where one of them is not there."""
    parts = []
    left = min(length, len(raw))
    while page and left > 0 and (page + 1) * size <= len(raw):
        start = page * size
        part = raw[start + _HEAD : start + min(size, _HEAD + left)]
        parts.append(part)
        left -= len(part)
        (page,) = struct.unpack_from(f"{order}I", raw, start + 16)
    return b"".join(parts)


# --- a header


def package_from(blob: bytes) -> Rpm | None:
    """None for what is no whole header of a package."""
    try:
        tags = _tags(blob)
    except (struct.error, ValueError, IndexError):
        return None
    name = _first(tags, _Tag.NAME)
    if not name:
        return None
    return Rpm(
        name=name,
        version=f"{_first(tags, _Tag.VERSION)}-{_first(tags, _Tag.RELEASE)}",
        architecture=_first(tags, _Tag.ARCH),
        group=_first(tags, _Tag.GROUP),
        installed=_number(tags, _Tag.INSTALLED),
        algorithm="sha256" if _number(tags, _Tag.ALGORITHM) == _SHA256 else "md5",
        files=tuple(_files(tags)),
    )


Tags = dict[int, Sequence[str] | Sequence[int]]


def _tags(blob: bytes) -> Tags:
    """Raises struct.error, ValueError, IndexError."""
    many, length = struct.unpack_from(">II", blob)
    if many > _MOST or 8 + 16 * many + length > len(blob):
        raise ValueError("cut off")
    store = blob[8 + 16 * many :]
    found: Tags = {}
    for number in range(many):
        tag, kind, offset, count = _ENTRY.unpack_from(blob, 8 + 16 * number)
        read = _READERS.get(kind)
        if read is not None and tag in _WANTED:
            found[tag] = read(store, offset, count)
    return found


_WANTED = frozenset(_Tag)


def _numbers(
    store: bytes,
    offset: int,
    count: int,
) -> list[int]:
    return list(struct.unpack_from(f">{min(count, len(store))}I", store, offset))


def _strings(
    store: bytes,
    offset: int,
    count: int,
) -> list[str]:
    """Each ends with a zero byte."""
    if count > len(store):
        raise ValueError("more strings than bytes")
    found = []
    for _ in range(count):
        end = store.index(b"\0", offset)
        found.append(store[offset:end].decode("utf-8", "surrogateescape"))
        offset = end + 1
    return found


def _string(
    store: bytes,
    offset: int,
    _: int,
) -> list[str]:
    return _strings(store, offset, 1)


_READERS: dict[int, Callable[[bytes, int, int], Sequence[str] | Sequence[int]]] = {
    _INT32: _numbers,
    _STRING: _string,
    _STRINGS: _strings,
    _I18N: _strings,
}


def _first(
    tags: Tags,
    tag: int,
) -> str:
    """Empty for a tag that is not there."""
    return str(next(iter(tags.get(tag, ())), ""))


def _number(
    tags: Tags,
    tag: int,
) -> int | None:
    """None for a tag that is not there."""
    found = next(iter(tags.get(tag, ())), None)
    return found if isinstance(found, int) else None


def _files(tags: Tags) -> Iterator[Owned]:
    """A name, the number of its folder, its digest and flags stand at the same place of four
    lists."""
    folders = tags.get(_Tag.DIRECTORIES, ())
    digests = tags.get(_Tag.DIGESTS, ())
    flags = tags.get(_Tag.FLAGS, ())
    names = zip(
        tags.get(_Tag.NAMES, ()),
        tags.get(_Tag.DIRECTORY_OF, ()),
        strict=False,
    )
    for at, (name, folder) in enumerate(names):
        if not isinstance(folder, int) or folder >= len(folders):
            continue
        digest = digests[at] if at < len(digests) else ""
        flag = flags[at] if at < len(flags) else 0
        yield Owned(
            path=f"{folders[folder]}{name}",
            digest=str(digest),
            flags=int(flag),
        )
