"""Values that take their time: made on a thread of their own, kept for a while, never waited for
longer than a page can wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kirikae.model.errors import KirikaeError

WAIT_S = 1.5
T = TypeVar("T")


@dataclass(slots=True)
class Kept(Generic[T]):
    """A value that is made again on a thread of its own when it is asked for and too old."""

    make: Callable[[], T]
    fresh_s: float
    clock: Callable[[], float] = time.monotonic
    _value: T | None = None
    _made: float | None = None
    _thread: threading.Thread | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def get(self, wait_s: float = WAIT_S) -> T | None:
        """The newest one; None where none came within the time."""
        with self._guard:
            made = self._made
            if made is not None and self.clock() - made < self.fresh_s:
                return self._value
            thread = self._thread
            if thread is None or not thread.is_alive():
                thread = threading.Thread(
                    target=self._make,
                    name="look",
                    daemon=True,
                )
                self._thread = thread
                thread.start()
        thread.join(wait_s)
        return self._value

    def forget(self) -> None:
        """Whoever asks next waits for a new one."""
        self._made = None

    @property
    def last(self) -> T | None:
        """Without waiting and without asking anew."""
        return self._value

    def _make(self) -> None:
        self._value = self.make()
        self._made = self.clock()


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Something that was looked at, or why it could not be."""

    value: T | None
    trouble: str = ""


def tried(make: Callable[[], T]) -> Found[T]:
    """What a room refuses is told on the page."""
    try:
        return Found(make())
    except (KirikaeError, OSError) as error:
        return Found(None, str(error))
