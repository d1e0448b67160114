"""Entries of a tar, one after the other and never extracted, from whoever wrote it.

What would trick a reader is refused with the file and the entry: paths that climb out, sizes that
are none, headers that are larger than any, archives that unpack without end, and broken ones.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Self

from kirikae.guard.errors import BrokenTar, NoZstd, ObjectProblem

MOST_BYTES = 64 * 1024**3
"""Unpacked, of one image; Fargate's largest disk is 200 GiB, with the task's own data in it."""
MOST_ENTRIES = 3_000_000
MOST_IMAGES = 1000
"""In one archive; an index has one for each platform."""
_LONGEST_PATH = 4096
_LONGEST_HEADER = 1024**2
"""Of a name in a header of its own: Linux takes 4096 bytes of a path, attributes a little more."""
_BOMB_FROM = 1024**3
_BOMB_RATIO = 200
"""Files of a system are packed to a third; zeros of a gigabyte and more are no program."""
_HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE),
    *(tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


def _broken_ways() -> tuple[type[Exception], ...]:
    """How the libraries say that an archive is none."""
    found = (
        *(tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError),
        # A header that is followed by a header, a thousand times over.
        RecursionError,
    )
    try:
        from zstandard import ZstdError
    except ImportError:
        return found
    return (*found, ZstdError)


BROKEN: tuple[type[Exception], ...] = (BrokenTar, *_broken_ways())


class Header(tarfile.TarInfo):
    """One whose sizes are believed only within reason."""

    @classmethod
    def frombuf(
        cls,
        buf: bytes | bytearray,
        encoding: str,
        errors: str,
    ) -> Self:
        """Raises BrokenTar where the library would stop as if the archive ended there."""
        try:
            found = super().frombuf(
                buf,
                encoding,
                errors,
            )
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise BrokenTar(f"a header is broken ({error})") from error
        if found.size < 0:
            raise BrokenTar(f"the size of {found.name} is negative")
        if found.type in _HEADERS and found.size > _LONGEST_HEADER:
            raise BrokenTar(f"a header of {found.size:,} bytes")
        return found


@dataclass
class Counted:
    """A stream that knows how much came out of it, and its sum."""

    inner: IO[bytes]
    most: int
    read_bytes: int = 0
    sum: Any = field(default_factory=hashlib.sha256)

    def read(self, size: int = -1) -> bytes:
        """Raises BrokenTar where it is too much."""
        found = self.inner.read(size)
        self.read_bytes += len(found)
        self.sum.update(found)
        if self.read_bytes > self.most:
            raise BrokenTar(f"more than {self.most:,} bytes come out of it")
        return found

    def drain(self) -> None:
        """To the end: the sum is of the whole."""
        while self.read(1024**2):
            pass


@dataclass
class Budget:
    """What one archive may cost in all: a list that names one layer a million times is short."""

    left_bytes: int = MOST_BYTES
    left_images: int = MOST_IMAGES

    def image(self) -> None:
        """One more.  Raises BrokenTar."""
        self.left_images -= 1
        if self.left_images < 0:
            raise BrokenTar(f"it names more than {MOST_IMAGES:,} images")

    def unpacked(self, size: int) -> None:
        """So many bytes more.  Raises BrokenTar."""
        self.left_bytes -= size
        if self.left_bytes < 0:
            raise BrokenTar(f"its images unpack to more than {MOST_BYTES:,} bytes in all")


@dataclass
class _Unpacked:
    """What comes out, measured against what went in, and its sum."""

    inner: Any
    packed: Counted
    budget: Budget
    out: int = 0
    sum: Any = field(default_factory=hashlib.sha256)

    def read(self, size: int = -1) -> bytes:
        """Raises BrokenTar for a bomb."""
        found: bytes = self.inner.read(size)
        self.out += len(found)
        self.sum.update(found)
        self.budget.unpacked(len(found))
        if self.out > _BOMB_FROM and self.out > _BOMB_RATIO * self.packed.read_bytes:
            raise BrokenTar(f"{self.packed.read_bytes:,} bytes unpack to more than {self.out:,}")
        return found


class _Begun:
    """A stream of which the first bytes were looked at."""

    def __init__(
        self,
        begun: bytes,
        rest: Counted,
    ) -> None:
        self._begun = begun
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        """Those first."""
        if not self._begun:
            return self._rest.read(size)
        if size < 0:
            found = self._begun + self._rest.read()
            self._begun = b""
            return found
        found = self._begun[:size]
        self._begun = self._begun[size:]
        return found


def unpacked(packed: Counted, budget: Budget) -> _Unpacked:
    """As it is, or out of gzip or zstd: told by its first bytes, not by what somebody says.

    Raises NoZstd, BrokenTar.
    """
    begun = packed.read(4)
    whole: Any = _Begun(begun, packed)
    if begun.startswith(_GZIP):
        whole = gzip.GzipFile(fileobj=whole, mode="rb")
    elif begun == _ZSTD:
        whole = _zstd(whole)
    return _Unpacked(
        whole,
        packed,
        budget,
    )


def _zstd(packed: Any) -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise NoZstd from error
    return zstandard.ZstdDecompressor().stream_reader(
        packed,
        read_across_frames=True,
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """``path``: without a slash at its beginning.  ``link``: of a hard link, likewise."""

    path: str
    info: tarfile.TarInfo
    archive: tarfile.TarFile

    def content(self, most: int) -> bytes:
        """Its first bytes; none of what is no file.  Raises BrokenTar."""
        if not self.info.isreg():
            return b""
        try:
            file = self.archive.extractfile(self.info)
            found = b"" if file is None else file.read(most)
        except BROKEN as error:
            raise BrokenTar(f"{_after(self.info.name)}{error}") from error
        if len(found) < min(most, self.info.size):
            raise BrokenTar(f"{_after(self.info.name)}it ends in the middle")
        return found


def entries(stream: Any) -> Iterator[Entry]:
    """In their order; each is to be read before the next.  Raises BrokenTar."""
    last = ""
    try:
        with tarfile.open(
            fileobj=stream,
            mode="r|",
            tarinfo=Header,
        ) as archive:
            for number, info in enumerate(archive):
                if number >= MOST_ENTRIES:
                    raise BrokenTar(f"more than {MOST_ENTRIES:,} entries")
                # The library keeps every header that it has seen.
                archive.members = []  # type: ignore[attr-defined]
                last = info.name
                if not 0 <= info.size <= MOST_BYTES:
                    raise BrokenTar("its size is negative, or larger than any disk")
                yield Entry(
                    _within(info),
                    info,
                    archive,
                )
    except BROKEN as error:
        raise BrokenTar(f"{_after(last)}{str(error) or type(error).__name__}") from error


def _after(last: str) -> str:
    return f"at entry {last!r:.200}: " if last else ""


def _within(info: tarfile.TarInfo) -> str:
    """Raises BrokenTar for a path, or a hard link, that climbs out of the image."""
    if info.islnk() and ".." in info.linkname.split("/"):
        raise BrokenTar(f"its link {info.linkname!r:.200} leads out of the image")
    if len(info.name) > _LONGEST_PATH:
        raise BrokenTar(f"its path has more than {_LONGEST_PATH} letters")
    parts = [part for part in info.name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BrokenTar("its path leads out of the image")
    return "/".join(parts)


def refused(name: str, problem: Exception) -> ObjectProblem:
    """With the file's name and the next step."""
    return ObjectProblem(
        f"{name}: {problem}; nothing of it was looked at: write it anew (docker save, or a copy as "
        "an OCI layout)"
    )
