"""Which of the planned files lie there already, and whether somebody has edited them since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum

BESIDE = ".new"
"""What is added to the name of a file that somebody edited."""
RECORD = ".kirikae-written.json"
"""The file, below ``build.folder``, that keeps the checksum of every file that was written."""


class State(StrEnum):
    """``CHANGED``: as kirikae wrote it, and the survey says otherwise now.  ``EDITED``: by
    somebody, since kirikae wrote it, or never written by kirikae."""

    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    EDITED = "edited"


def checksum(body: bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()


def state_of(
    wanted: str,
    there: bytes | None,
    recorded: str | None,
) -> State:
    """``there``: what the file holds (None: there is none); ``recorded``: its checksum when it was
    written."""
    if there is None:
        return State.NEW
    if there == wanted.encode():
        return State.SAME
    return State.CHANGED if recorded == checksum(there) else State.EDITED


def states(
    wanted: Mapping[str, str],
    there: Mapping[str, bytes],
    recorded: Mapping[str, str],
) -> dict[str, State]:
    """The state of every planned file, by its path."""
    return {
        path: state_of(text, there.get(path), recorded.get(path)) for path, text in wanted.items()
    }


def beside(
    wanted: Mapping[str, str],
    found: Mapping[str, State],
    recorded: Mapping[str, str],
) -> list[str]:
    """Files that somebody edited, and whose plan is another one than at the last writing: the new
    text is put beside them.  An edit of a plan that has not changed stands."""
    edited = [path for path in wanted if found[path] is State.EDITED]
    return [path for path in edited if recorded.get(path) != checksum(wanted[path].encode())]


def record_of(wanted: Mapping[str, str], recorded: Mapping[str, str]) -> dict[str, str]:
    """The record once these files are written; what was written before and is not planned any more
    stays in it."""
    return {
        **recorded,
        **{path: checksum(text.encode()) for path, text in wanted.items()},
    }
