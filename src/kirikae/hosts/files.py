"""Durable files: a reader sees the old text or the new, never half of one, also after a crash."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STATE_FOLDER = ".kirikae"
"""Where kirikae keeps its state beside a project file."""
_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


def write_durably(
    path: Path,
    body: str | bytes,
    mode: int = 0o644,
    owner: tuple[int, int] | None = None,
) -> None:
    """Write to a temporary file beside it, sync, rename, sync the folder.

    The folder is made where it is missing.  ``owner``: user and group; None: who writes it.
    Raises OSError; the former file then stands as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with _named(path), os.fdopen(handle, "wb") as file:
            file.write(_bytes(body))
            file.flush()
            os.fchmod(file.fileno(), mode)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_privately(path: Path, body: str | bytes) -> None:
    """As ``write_durably``, in kirikae's own folder, and for nobody else's eyes."""
    keep_private(path.parent)
    write_durably(path, body, _PRIVATE_FILE)


def read_privately(path: Path) -> bytes:
    """What a former version left open for everybody is closed when it is met.  Raises OSError."""
    _close(path, _PRIVATE_FILE)
    return path.read_bytes()


def keep_private(folder: Path) -> None:
    """Make the folder.  A ``.kirikae`` on the way is nobody else's, and git does not see it."""
    own = next((each for each in (folder, *folder.parents) if each.name == STATE_FOLDER), None)
    if own is None:
        folder.mkdir(parents=True, exist_ok=True)
        return
    own.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
    _close(own, _PRIVATE_FOLDER)
    create_durably(own / ".gitignore", "*\n")
    folder.mkdir(parents=True, exist_ok=True)


def _close(path: Path, mode: int) -> None:
    """Take away what others may do; a file of another user's is left as it is."""
    with suppress(OSError):
        found = stat.S_IMODE(path.stat().st_mode)
        if found & ~mode:
            path.chmod(found & mode)


def create_durably(path: Path, body: str | bytes, mode: int = _PRIVATE_FILE) -> bool:
    """Write a file that must not be there yet; False where it is, and it is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return False
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with _named(path), os.fdopen(handle, "wb") as file:
            file.write(_bytes(body))
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A full disk says of no file that it could not be written, and would be taken for another's,
    such as standard output's."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _bytes(body: str | bytes) -> bytes:
    """What a host wrote in another encoding is written as it came."""
    return body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body


def _sync_folder(folder: Path) -> None:
    """A rename is durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
