"""How each object of the old tree can be moved: copied, read first, split, or not at all.  Pure.

A: its time is known and lies within one folder of the new tree: copied, no byte is read.
B: its time is only known by reading; if one folder holds it, it is copied.
C: it reaches over several folders: read, and split by the time of each line.
D: as C, but its lines have no time: the operator says where they go.
E: archived, over 5 GB, or packed in a way that is not read here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kirikae.logs.codec import unreadable
from kirikae.logs.layout import UNPARSED
from kirikae.logs.work import Trees
from kirikae.logs.zones import Span
from kirikae.model.objects import Listed

MOST_COPIED = 5 << 30
"""CopyObject's own limit (S3 API reference)."""
ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")
_LONGEST_S = 32 * 86400


class Class(StrEnum):
    """What is done with an object."""

    COPY = "A"
    SCAN = "B"
    SPLIT = "C"
    TIMELESS = "D"
    SPECIAL = "E"


@dataclass(frozen=True, slots=True)
class Classified:
    """``why``: a word of ``logs.class``.  ``labels``: the folders it may belong in, where its path
    says so."""

    listed: Listed
    kind: Class
    why: str
    labels: tuple[str, ...] = ()
    span: Span | None = None


def classified(trees: Trees, listed: Listed) -> Classified:
    """One object."""
    special = _special(listed)
    span = trees.old.span(listed.key)
    if special:
        return Classified(
            listed,
            Class.SPECIAL,
            special,
            _labels(trees, span),
            span,
        )
    if span is None or span.empty:
        return _unknown(trees, listed, "no_path" if span is None else "no_hour")
    labels = _labels(trees, span)
    if not trees.old.has_time:
        if len(labels) == 1:
            return Classified(
                listed,
                Class.COPY,
                "one_folder",
                labels,
                span,
            )
        return Classified(
            listed,
            Class.TIMELESS,
            "no_time",
            labels,
            span,
        )
    if trees.old.writes == "arrival":
        return Classified(
            listed,
            Class.SCAN,
            "arrival",
            labels,
            span,
        )
    if len(labels) == 1:
        return Classified(
            listed,
            Class.COPY,
            "one_folder",
            labels,
            span,
        )
    return Classified(
        listed,
        Class.SPLIT,
        "several_folders",
        labels,
        span,
    )


def _labels(trees: Trees, span: Span | None) -> tuple[str, ...]:
    if span is None or span.empty or span.end - span.begin > _LONGEST_S:
        return ()
    return trees.new.labels(span)


def _unknown(
    trees: Trees,
    listed: Listed,
    why: str,
) -> Classified:
    kind = Class.SCAN if trees.old.has_time else Class.TIMELESS
    return Classified(listed, kind, why)


def _special(listed: Listed) -> str:
    if listed.storage in ARCHIVED:
        return "archived"
    if listed.size > MOST_COPIED:
        return "too_large"
    return "packed" if unreadable(listed.key) else ""


def timeless_label(trees: Trees, found: Classified) -> str:
    """Where an object of class D goes as a whole."""
    return UNPARSED if trees.quarantine or not found.labels else found.labels[0]


@dataclass
class Tally:
    """One class.  ``requests``: what S3 is asked, by its two prices."""

    objects: int = 0
    bytes: int = 0
    read_bytes: int = 0
    puts: int = 0
    gets: int = 0

    def add(self, found: Classified) -> None:
        self.objects += 1
        self.bytes += found.listed.size
        if found.kind is Class.SPECIAL:
            return
        copied = found.kind in (Class.COPY, Class.TIMELESS)
        self.puts += 1 if copied else max(1, len(found.labels))
        self.gets += 1
        if not copied:
            self.gets += 1
            self.read_bytes += found.listed.size

    def to_plain(self) -> dict[str, Any]:
        return {
            "objects": self.objects,
            "bytes": self.bytes,
            "read_bytes": self.read_bytes,
            "puts": self.puts,
            "gets": self.gets,
        }


@dataclass
class Report:
    """All of a tree."""

    by_class: dict[Class, Tally] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, all_found: Iterable[Classified]) -> Report:
        report = cls()
        for found in all_found:
            report.by_class.setdefault(found.kind, Tally()).add(found)
            report.reasons[found.why] = report.reasons.get(found.why, 0) + 1
            report.examples.setdefault(found.why, found.listed.key)
            report.labels.update(found.labels)
        return report

    @property
    def total(self) -> Tally:
        out = Tally()
        for tally in self.by_class.values():
            out.objects += tally.objects
            out.bytes += tally.bytes
            out.read_bytes += tally.read_bytes
            out.puts += tally.puts
            out.gets += tally.gets
        return out

    def dollars(
        self,
        per_1000_puts: float,
        per_1000_gets: float,
    ) -> float:
        """Requests alone; there is no price for bytes within a Region (S3 pricing page)."""
        total = self.total
        return total.puts / 1000 * per_1000_puts + total.gets / 1000 * per_1000_gets
