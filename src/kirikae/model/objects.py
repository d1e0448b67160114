"""The port at which rooms meet a tree of objects: a bucket below a prefix, or a folder.

Nothing is ever overwritten: what is written is new, and what is read is the very object that was
listed (``If-None-Match``, ``If-Match``, ``x-amz-copy-source-if-match`` of S3's API reference).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol


@dataclass(frozen=True, slots=True)
class Listed:
    """One object.  ``key``: below the tree's root.  ``modified``: Unix seconds.  ``storage``: S3's
    storage class."""

    key: str
    etag: str
    size: int
    modified: float
    storage: str = "STANDARD"


class Objects(Protocol):
    """Every call may raise Unfinished where the tree cannot be reached."""

    @property
    def url(self) -> str:
        """Where it is, with a slash at its end."""

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """All whose keys begin so, in the order of keys."""

    def look(self, key: str) -> Listed | None:
        """One object, or None."""

    def read(self, listed: Listed) -> Iterator[bytes]:
        """All of it.  Raises Changed where it is no longer the one that was listed, or where more
        or fewer bytes come than were listed."""

    def create(self, key: str, body: IO[bytes]) -> Listed:
        """Raises Taken where there is one."""

    def copy_from(self, source: Objects, listed: Listed, key: str) -> Listed:
        """The object of another tree as it is, under this key.  Raises Taken where there is one,
        Changed where the source is no longer the one that was listed."""

    def delete(self, listed: Listed) -> None:
        """Only the one that was listed.  Raises Changed."""
