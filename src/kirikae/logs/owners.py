"""Who fills a folder of the new tree: the backfill, the new writer, or both.  Pure.

Each folder has just one owner.  ``on``: when the first record was seen in the new tree, not when a
configuration was changed.  A folder that ends before is the backfill's, one that begins after is
the new writer's; between them lies the boundary, where the backfill adds what the writer did not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kirikae.logs.layout import Layout
from kirikae.logs.zones import Span


class Owner(StrEnum):
    """Of a folder of the new tree."""

    BACKFILL = "backfill"
    LIVE = "live"
    BOUNDARY = "boundary"
    OPEN = "open"
    """Records may still come: it is left alone until its lateness is over."""


@dataclass(frozen=True)
class Owners:
    """``lateness_s``: for how long after its end a folder is waited for."""

    new: Layout
    now: float
    lateness_s: float
    on: int | None = None

    def of(self, label: str) -> Owner:
        span = self.new.label_span(label)
        if span is None:
            return Owner.BACKFILL
        if self.on is not None and span.begin >= self.on:
            return Owner.LIVE
        if span.end + self.lateness_s > self.now:
            return Owner.OPEN
        if self.on is None or span.end <= self.on - self.lateness_s:
            return Owner.BACKFILL
        return Owner.BOUNDARY

    def at_boundary(self) -> tuple[str, ...]:
        """The folders in which both the backfill and the new writer have lines."""
        if self.on is None:
            return ()
        near = self.new.labels(Span(self.on - int(self.lateness_s) - 1, self.on + 1))
        return tuple(label for label in near if self.of(label) is Owner.BOUNDARY)

    def closed(self, label: str) -> bool:
        """Is its lateness over?"""
        span = self.new.label_span(label)
        return span is None or span.end + self.lateness_s <= self.now
