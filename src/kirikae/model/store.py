"""The port at which rooms meet durable state: keys, JSON bodies, and two conditional writes.

The same four calls are what an S3 bucket offers (``If-None-Match``, ``If-Match``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stored:
    """A body and the tag under which it may be replaced."""

    body: str
    tag: str


class Store(Protocol):
    """Whoever keeps state for a team writes by condition, so that of two writers one is refused and
    no entry is lost.  Every call may raise StoreBroken."""

    def get(self, key: str) -> Stored | None:
        """The body under this key, or None."""

    def list(self, prefix: str) -> list[str]:
        """All keys that begin so, sorted."""

    def create_if_absent(self, key: str, body: str) -> str:
        """Write a new key and return its tag.  Raises Taken."""

    def replace_if_match(self, key: str, body: str, tag: str) -> str:
        """Replace the body that has this tag and return the new tag.  Raises Changed."""
