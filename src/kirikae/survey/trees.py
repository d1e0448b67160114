"""A host's files without the host: an unpacked root directory, or a tar archive read once and never
unpacked.  Links are kept as links; nothing here follows one, so this machine's own files stay out.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, Protocol, cast

from kirikae.survey.errors import TreeProblem
from kirikae.survey.paths import HOME_OF_ROOT

MOST_READ = 256 << 10
"""Larger files are no configuration and no code that somebody wrote."""
_RECORDS = (
    "/var/lib/dpkg/",
    "/lib/apk/db/",
    "/var/lib/apt/extended_states",
    "/var/lib/rpm/",
    "/usr/lib/sysimage/rpm/",
)
_MOST_OF_RECORDS = 256 << 20
"""What package managers write down of a whole system."""
HEAD = 20
_AT_ONCE = 1 << 20
_WANTED = (
    "/etc/",
    "/opt/",
    "/srv/",
    "/home/",
    "/data/",
    "/usr/local/",
    "/var/",
    "/lib/systemd/",
    "/usr/lib/systemd/",
    "/usr/lib/os-release",
    f"{HOME_OF_ROOT}/.ssh/",
    "/lib/apk/db/",
    "/usr/lib/sysimage/rpm/",
)
_SUMMED = ("/usr/", "/bin/", "/sbin/", "/lib", "/etc/")
"""What packages keep MD5 sums of."""
_UNWANTED = ("/var/log/", "/var/cache/", "/var/lib/apt/lists/")


class Entry(NamedTuple):
    """``kind`` is find(1)'s letter: d, f, l, or another one for what holds nothing."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    modified: int
    changed: int
    target: str = ""


class Tree(Protocol):
    """What the producer of a bundle asks for."""

    entries: dict[str, Entry]
    lost: list[tuple[str, str]]
    """(path, why) of what could not be read."""

    def read(
        self,
        path: str,
    ) -> bytes | None:
        """A regular file that is not larger than ``most_of`` says; None for anything else."""

    def head(
        self,
        path: str,
    ) -> bytes:
        """What it begins with."""

    def sha256(
        self,
        path: str,
    ) -> str:
        """Of the whole file, in hexadecimal; empty where it could not be read."""

    def md5(
        self,
        path: str,
    ) -> str:
        """The same, of what packages may own: they keep sums of this kind."""


def most_of(path: str) -> int:
    """How large a file may be that is read whole."""
    return _MOST_OF_RECORDS if path.startswith(_RECORDS) else MOST_READ


# --- a directory


class FolderTree:
    """An unpacked root, such as a mounted disk."""

    def __init__(
        self,
        root: Path,
    ) -> None:
        """Raises TreeProblem."""
        if not root.is_dir():
            raise TreeProblem(f"{root} is no directory; name the root of the host's file system")
        self._root = os.fsencode(root.absolute())
        self.lost: list[tuple[str, str]] = []
        self.entries = {entry.path: entry for entry in self._walk()}

    def _walk(self) -> Iterator[Entry]:
        """Folders before what lies in them; never into another file system's /proc or /sys."""
        todo = [b"/"]
        while todo:
            path = todo.pop()
            entry = self._seen(path)
            if entry is None:
                continue
            yield entry
            if entry.kind == "d" and path not in (b"/proc", b"/sys", b"/dev"):
                names = self._names_in(path)
                todo += [path.rstrip(b"/") + b"/" + name for name in reversed(names)]

    def _seen(self, path: bytes) -> Entry | None:
        """It may have vanished: the walk goes on, and says so."""
        try:
            return self._entry(path)
        except OSError as error:
            self.lost.append((os.fsdecode(path), error.strerror or "unreadable"))
            return None

    def _names_in(self, folder: bytes) -> list[bytes]:
        """In order; none of one that nobody may look into, which is told."""
        try:
            with os.scandir(self._place(folder)) as found:
                return sorted(each.name for each in found)
        except OSError as error:
            self.lost.append((os.fsdecode(folder), error.strerror or "unreadable"))
            return []

    def _place(
        self,
        path: bytes,
    ) -> bytes:
        """Where it lies on this machine."""
        return self._root + path

    def _entry(
        self,
        path: bytes,
    ) -> Entry:
        """Raises OSError."""
        place = self._place(path)
        seen = os.lstat(place)
        link = stat.S_ISLNK(seen.st_mode)
        target = str(Path(os.fsdecode(place)).readlink()) if link else ""
        return Entry(
            path=os.fsdecode(path),
            kind=_kind(seen.st_mode),
            mode=stat.S_IMODE(seen.st_mode),
            uid=seen.st_uid,
            gid=seen.st_gid,
            size=_on_the_disk(seen),
            modified=int(seen.st_mtime),
            changed=int(seen.st_ctime),
            target=target,
        )

    def _open(
        self,
        path: str,
    ) -> io.BufferedReader:
        """Only what the walk saw as a regular file.  Raises OSError."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        return os.fdopen(os.open(self._place(os.fsencode(path)), flags), "rb")

    def read(
        self,
        path: str,
    ) -> bytes | None:
        """As Tree."""
        entry = self.entries.get(path)
        if entry is None or entry.kind != "f" or entry.size > most_of(path):
            return None
        try:
            with self._open(path) as file:
                return file.read(most_of(path))
        except OSError as error:
            self.lost.append((path, error.strerror or "unreadable"))
            return None

    def head(
        self,
        path: str,
    ) -> bytes:
        """As Tree."""
        with suppress(OSError), self._open(path) as file:
            return file.read(HEAD)
        return b""

    def sha256(
        self,
        path: str,
    ) -> str:
        """As Tree."""
        with suppress(OSError), self._open(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return ""

    def md5(
        self,
        path: str,
    ) -> str:
        """As Tree."""
        with suppress(OSError), self._open(path) as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
            return digest.hexdigest()
        return ""


def _on_the_disk(seen: os.stat_result) -> int:
    """A large file with holes is as large as what the disk holds of it (stat(2): 512 bytes)."""
    if seen.st_size <= _AT_ONCE:
        return seen.st_size
    return min(seen.st_size, seen.st_blocks * 512)


_KINDS = (
    (stat.S_ISDIR, "d"),
    (stat.S_ISREG, "f"),
    (stat.S_ISLNK, "l"),
    (stat.S_ISFIFO, "p"),
    (stat.S_ISSOCK, "s"),
    (stat.S_ISBLK, "b"),
)


def _kind(mode: int) -> str:
    """find(1)'s letter."""
    return next((letter for fits, letter in _KINDS if fits(mode)), "c")


# --- an archive


class _Stream(io.RawIOBase):
    """What an archive holds when it is unpacked, with its end remembered: tarfile takes one that
    was cut off between two members for a whole one."""

    _END = bytes(1024)

    def __init__(
        self,
        file: IO[bytes],
    ) -> None:
        """Compressed or not, told by how it begins."""
        packed = io.BufferedReader(file)  # type: ignore[type-var]
        begin = packed.peek(8)
        openers = (opener for magic, opener in _PACKED.items() if begin.startswith(magic))
        opener = next(openers, None)
        self._file: IO[bytes] = packed if opener is None else opener(packed)
        self._last = b""

    def read(
        self,
        size: int = -1,
    ) -> bytes:
        """As a file does."""
        block = self._file.read(size)
        self._last = (self._last + block)[-len(self._END) :]
        return block

    def assert_whole(self) -> None:
        """An archive ends with two empty blocks (tar(5)).  Raises EOFError."""
        while self.read(_AT_ONCE):
            pass
        if self._last != self._END:
            raise EOFError("its end is missing")


_PACKED: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file)),
    b"BZh": lambda file: cast(IO[bytes], bz2.BZ2File(file)),
    # No file is opened here: what it reads from is closed by whoever opened it.
    b"\xfd7zXZ": lambda file: cast(IO[bytes], lzma.LZMAFile(file)),  # noqa: SIM115
}


class _Kept(NamedTuple):
    """What is remembered of a file of an archive; ``packed`` is None for one that is too large."""

    packed: bytes | None
    head: bytes
    sha256: str


class TarTree:
    """A tar archive, compressed or not, from a file or a pipe: read once, from its begin to its
    end, and kept in memory as far as it may be asked for."""

    def __init__(
        self,
        file: IO[bytes],
        name: str,
    ) -> None:
        """Raises TreeProblem."""
        self.lost: list[tuple[str, str]] = []
        self.entries: dict[str, Entry] = {}
        self._kept: dict[str, _Kept] = {}
        self._sums: dict[str, str] = {}
        try:
            stream = _Stream(file)
            with tarfile.open(fileobj=stream, mode="r|", errorlevel=1) as archive:
                for member in archive:
                    self._take(archive, member)
            stream.assert_whole()
        except (
            tarfile.TarError,
            EOFError,
            OSError,
            zlib.error,
            lzma.LZMAError,
            ValueError,
        ) as error:
            raise TreeProblem(
                f"{name} cannot be read as a tar archive ({error}); make it with "
                "`tar --numeric-owner -C / -cf FILE .`"
            ) from error
        if not self.entries:
            raise TreeProblem(f"{name} holds no files")
        self.entries.setdefault(
            "/",
            Entry(
                "/",
                "d",
                0o755,
                0,
                0,
                0,
                0,
                0,
            ),
        )

    def _take(
        self,
        archive: tarfile.TarFile,
        member: tarfile.TarInfo,
    ) -> None:
        """A member of the same name later in the archive is the newer one."""
        path = _path_in(member.name)
        if member.islnk():
            self._second_name(path, _path_in(member.linkname))
            return
        self.entries[path] = _member(path, member)
        if not member.isreg() or not (_wanted(path) or path.startswith(_SUMMED)):
            return
        file = archive.extractfile(member)
        if file is None:
            return
        read = _Summing(file, path.startswith(_SUMMED))
        if _wanted(path):
            self._kept[path] = _keep(read, member.size <= most_of(path), member.size)
        if path.startswith(_SUMMED):
            self._sums[path] = read.md5()

    def _second_name(
        self,
        path: str,
        first: str,
    ) -> None:
        """A hard link: the same file under another name."""
        known = self.entries.get(first)
        if known is None:
            self.lost.append((path, f"a second name of {first}, which is not in the archive"))
            return
        self.entries[path] = known._replace(path=path)
        if first in self._kept:
            self._kept[path] = self._kept[first]
        if first in self._sums:
            self._sums[path] = self._sums[first]

    def read(
        self,
        path: str,
    ) -> bytes | None:
        """As Tree."""
        kept = self._kept.get(path)
        return None if kept is None or kept.packed is None else zlib.decompress(kept.packed)

    def head(
        self,
        path: str,
    ) -> bytes:
        """As Tree."""
        kept = self._kept.get(path)
        return b"" if kept is None else kept.head

    def sha256(
        self,
        path: str,
    ) -> str:
        """As Tree."""
        kept = self._kept.get(path)
        return "" if kept is None else kept.sha256

    def md5(
        self,
        path: str,
    ) -> str:
        """As Tree."""
        return self._sums.get(path, "")


class _Summing:
    """A member that is read once: its MD5 comes of what others read of it, and of the rest."""

    def __init__(
        self,
        file: IO[bytes],
        wanted: bool,
    ) -> None:
        self._file = file
        self._digest = hashlib.md5(usedforsecurity=False) if wanted else None

    def read(
        self,
        size: int,
    ) -> bytes:
        """As a file does."""
        block = self._file.read(size)
        if self._digest is not None:
            self._digest.update(block)
        return block

    def md5(self) -> str:
        """Of the whole file."""
        while self.read(_AT_ONCE):
            pass
        return "" if self._digest is None else self._digest.hexdigest()


def _wanted(path: str) -> bool:
    """Is its content ever asked for?"""
    return path.startswith(_WANTED) and not path.startswith(_UNWANTED)


def _path_in(name: str) -> str:
    """``./etc/x``, ``etc/x`` and ``/etc/x`` are the same; a path that climbs out stays inside."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return "/" + "/".join(parts)


def _member(
    path: str,
    member: tarfile.TarInfo,
) -> Entry:
    """An archive has no time of change."""
    kinds = ((member.isdir(), "d"), (member.isreg(), "f"), (member.issym(), "l"))
    return Entry(
        path=path,
        kind=next((letter for fits, letter in kinds if fits), "p"),
        mode=member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        size=member.size,
        modified=int(member.mtime),
        changed=int(member.mtime),
        target=member.linkname if member.issym() else "",
    )


def _keep(
    file: _Summing,
    whole: bool,
    size: int,
) -> _Kept:
    """Its sum, how it begins, and the whole of one that may be asked for."""
    digest = hashlib.sha256()
    begin = file.read(size if whole else HEAD)
    digest.update(begin)
    while block := file.read(_AT_ONCE):
        digest.update(block)
    packed = zlib.compress(begin, 1) if whole else None
    return _Kept(packed, begin[:HEAD], digest.hexdigest())
