"""The port at which rooms meet durable state: keys, JSON bodies, and two conditional writes.

The same four calls are what an S3 bucket offers (``If-None-Match``, ``If-Match``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from kirikae.model.errors import StoreBroken
from kirikae.model.texts import shortened


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


_NOT_OURS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@contextmanager
def readable(key: str) -> Iterator[None]:
    """What lies under this key is read and looked at here.

    Raises StoreBroken for what kirikae never wrote: somebody changed it by hand, or it is damaged.
    """
    try:
        yield
    except _NOT_OURS as error:
        raise StoreBroken(
            f"{key} of the store cannot be read ({type(error).__name__}: {str(error)[:200]}); put "
            "it back from a backup, or begin a store of its own (`store`)"
        ) from error


def plain_of(body: str) -> dict[str, Any]:
    """An object of JSON.  Raises ValueError for anything else."""
    plain = json.loads(body)
    if not isinstance(plain, dict):
        raise ValueError(f"no object but {shortened(plain)}")
    return plain
