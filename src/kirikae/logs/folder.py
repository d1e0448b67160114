"""A tree of objects that is a folder of this machine: every file is written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kirikae.logs.errors import TreeTrouble
from kirikae.model.errors import Changed, Taken, Withheld
from kirikae.model.objects import Listed, Objects

PENDING = ".kirikae-pending"
"""Below it lies what is being written; nobody lists it."""
_CHUNK = 1 << 20


class FolderObjects:
    """Keys are paths below ``root``.  A tag stands for length and time of change."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def url(self) -> str:
        return f"{self._root}/"

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """In the order of keys."""
        with _told(self._root):
            begin = self._root / prefix[: prefix.rfind("/") + 1]
            found = sorted(self._files(begin))
        for key in found:
            if key.startswith(prefix):
                listed = self.look(key)
                if listed is not None:
                    yield listed

    def _files(self, root: Path) -> Iterator[str]:
        for folder, names, files in os.walk(root):
            names[:] = [name for name in names if name != PENDING]
            for name in files:
                key = str((Path(folder) / name).relative_to(self._root))
                _assert_text(self._root, key)
                yield key

    def look(self, key: str) -> Listed | None:
        """None also for what holds no lines: pipes, sockets, links that lead nowhere."""
        try:
            found = (self._root / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise _trouble(self._root / key, error) from error
        if not stat.S_ISREG(found.st_mode):
            return None
        return Listed(
            key,
            _tag(found),
            found.st_size,
            found.st_mtime,
        )

    def read(self, listed: Listed) -> Iterator[bytes]:
        with _told(self._root / listed.key), self._opened(listed) as file:
            left = listed.size
            while chunk := file.read(_CHUNK):
                left -= len(chunk)
                yield chunk
            if left or _tag(os.fstat(file.fileno())) != listed.etag:
                raise _changed(listed)

    @contextmanager
    def _opened(self, listed: Listed) -> Iterator[IO[bytes]]:
        try:
            file = (self._root / listed.key).open("rb")
        except FileNotFoundError as error:
            raise _changed(listed) from error
        except PermissionError as error:
            raise Withheld(f"{listed.key}: {error.strerror}") from error
        with file:
            if _tag(os.fstat(file.fileno())) != listed.etag:
                raise _changed(listed)
            yield file

    def create(
        self,
        key: str,
        body: IO[bytes],
    ) -> Listed:
        return self._written(key, body, None)

    def copy_from(
        self,
        source: Objects,
        listed: Listed,
        key: str,
    ) -> Listed:
        """The time of change is kept, and so the tag."""
        return self._written(key, _Chunks(source.read(listed)), listed)

    def _written(
        self,
        key: str,
        body: IO[bytes] | _Chunks,
        like: Listed | None,
    ) -> Listed:
        target = self._root / key
        pending = self._root / PENDING / uuid.uuid4().hex
        with _told(target):
            if target.exists():
                raise _taken(key)
            pending.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with pending.open("xb") as file:
                    shutil.copyfileobj(body, file, _CHUNK)
                    file.flush()
                    if isinstance(like, Listed):
                        _date(file.fileno(), like)
                    os.fsync(file.fileno())
                self._link(pending, target, key)
            finally:
                pending.unlink(missing_ok=True)
        written = self.look(key)
        assert written is not None
        return written

    def _link(
        self,
        pending: Path,
        target: Path,
        key: str,
    ) -> None:
        """A link is made only where nothing is: of two writers one is refused."""
        try:
            os.link(pending, target)
        except FileExistsError as error:
            raise _taken(key) from error
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def delete(self, listed: Listed) -> None:
        with _told(self._root / listed.key):
            found = self.look(listed.key)
            if found is None or found.etag != listed.etag:
                raise _changed(listed)
            (self._root / listed.key).unlink()

    def sweep(self) -> None:
        """Remove what a killed writer left; only the owner of the manifest may.  Workers of a
        killed owner may still be at it: what they lose here is done again."""
        with _told(self._root):
            for left in (self._root / PENDING).glob("*"):
                left.unlink(missing_ok=True)
        with suppress(OSError):
            (self._root / PENDING).rmdir()


class _Chunks:
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        """The next piece, whatever its length."""
        return next(self._pieces, b"")


def _date(file: int, like: Listed) -> None:
    """The time of the source, to the nanosecond, as its tag has it."""
    nanoseconds = int(like.etag.split("-")[1], 16) if "-" in like.etag else None
    if nanoseconds is not None:
        os.utime(file, ns=(nanoseconds, nanoseconds))


def _assert_text(root: Path, key: str) -> None:
    """Keys of S3 are UTF-8, and so are those of proofs.  Raises TreeTrouble."""
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise TreeTrouble(
            f"{root}: the name {os.fsencode(key)!r} is no UTF-8: rename the file, or move it away"
        ) from error


def _tag(found: os.stat_result) -> str:
    return f"{found.st_size:x}-{found.st_mtime_ns:x}"


def _taken(key: str) -> Taken:
    return Taken(f"{key} is there already")


def _changed(listed: Listed) -> Changed:
    return Changed(f"{listed.key} is no longer the object that was listed")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _trouble(path, error) from error


def _trouble(path: Path, error: OSError) -> TreeTrouble:
    return TreeTrouble(
        f"{path}: {error.strerror or error}; see to the disk, the folder and its owner, then run "
        "the same command again: what is done is not done twice"
    )


def digest_of(text: str) -> str:
    """A short name for a long one."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
