"""What kirikae local makes in its state directory: nothing else there is ever removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from kirikae.local.errors import LocalError

_LAST = "settings.json"
"""By this file an instance is known: it goes last, so that a `down` that is killed can be run
again."""
MAKING = "making"
"""Names of the containers that the engine is making at this moment."""
_FOLDERS = (MAKING, "registry", "accesslogs", "athena", "firelens")
_FILES = (
    "lock",
    ".settings.json.????????",
    "control.pid",
    "control.log",
    "state.db*",
    "sqs.db*",
    "firehose.db*",
    "athena.log",
    "forward.sock",
    "stores.db*",
    "stores.pid",
    "stores.log",
    "registry.yml",
    "registry.pid",
    "registry.log",
    "haproxy.cfg",
    "haproxy.trial.cfg",
    "haproxy.err",
    "haproxy.pid",
    "haproxy.log.pipe",
    "haproxy.sock*",
    "master.sock*",
    "weights.map",
)


def assert_empty(directory: Path) -> None:
    """Raise LocalError for a folder that holds anything: it is somebody's."""
    found = sorted(each.name for each in directory.iterdir())
    if found:
        raise LocalError(
            f"{directory} holds {found[0]} and is no folder of kirikae local; name an empty one, "
            "or one that is not there yet, with --dir"
        )


def remove_ours(directory: Path) -> list[str]:
    """Remove what kirikae local made there, and the folder if that was all.  Answers the names of
    what stays."""
    for path in _ours(directory):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (directory / _LAST).unlink(missing_ok=True)
    with suppress(OSError):
        directory.rmdir()
    return sorted(each.name for each in directory.iterdir()) if directory.exists() else []


def _ours(directory: Path) -> Iterator[Path]:
    """Those that are there now, without the one that goes last."""
    for path in sorted(directory.iterdir()) if directory.exists() else []:
        known = _FOLDERS if path.is_dir() and not path.is_symlink() else _FILES
        if any(_is(path.name, pattern) for pattern in known):
            yield path


def _is(name: str, pattern: str) -> bool:
    """Is it this file, or one of which a killed process had only begun to write it?"""
    return fnmatch(name, pattern) or fnmatch(name, f".{pattern}.????????")
