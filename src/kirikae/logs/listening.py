"""Where lines are heard: in log groups, or in the newest folders of a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from kirikae.logs.alerts import Heard, Seen
from kirikae.logs.codec import Blocks, inflated
from kirikae.logs.errors import BrokenObject
from kirikae.logs.layout import Layout
from kirikae.logs.zones import Span
from kirikae.model.errors import Changed
from kirikae.model.objects import Listed, Objects

CONTEXT = 2
"""So many lines before the one that is told."""
Wanted = Callable[[str], bool]


class Source(Protocol):
    """Asked again and again, each time from a little before the last."""

    def heard(
        self,
        since: float,
        now: float,
        wanted: Wanted,
    ) -> Iterator[Heard]:
        """Lines from ``since`` on, those among them that were heard before as well."""


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a log group, as the service tells it."""

    id: str
    at: float
    source: str
    line: str
    before: Callable[[], Iterable[str]] = tuple


@dataclass
class GroupSource:
    """``events``: of all groups, from a time on."""

    events: Callable[[float], Iterable[Event]]
    context: bool = True
    _known: set[str] = field(default_factory=set)

    def heard(
        self,
        since: float,
        now: float,
        wanted: Wanted,
    ) -> Iterator[Heard]:
        """Context is asked for once a line, and only where the line is wanted."""
        known: set[str] = set()
        for event in self.events(since):
            if not wanted(event.line):
                continue
            known.add(event.id)
            before: tuple[str, ...] = ()
            if self.context and event.id not in self._known:
                before = tuple(event.before())
            yield Heard(
                event.id,
                event.at,
                event.source,
                event.line,
                before,
            )
        self._known = known


@dataclass
class TreeSource:
    """New objects of a tree.  ``lateness_s``: how long after its end a folder may get some."""

    objects: Objects
    layout: Layout
    lateness_s: float
    trouble: Callable[[str], None] = lambda line: None
    _known: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Of each object its tag, and how many lines of it were read: a file may still grow."""

    def heard(
        self,
        since: float,
        now: float,
        wanted: Wanted,
    ) -> Iterator[Heard]:
        """An object is read once, when it is new; by its own time of writing."""
        known = dict(self._known)
        for listed in self._new(since, now):
            yield from self._lines(listed, known, wanted)
        self._known = known

    def _new(self, since: float, now: float) -> Iterator[Listed]:
        begin = int(since - self.lateness_s)
        for label in self.layout.labels(Span(begin, int(now) + 1)):
            for listed in self.objects.list(label):
                tag, _ = self._known.get(listed.key, ("", 0))
                if tag != listed.etag and listed.modified >= since:
                    yield listed

    def _lines(
        self,
        listed: Listed,
        known: dict[str, tuple[str, int]],
        wanted: Wanted,
    ) -> Iterator[Heard]:
        before: list[str] = []
        number = 0
        _, read = known.get(listed.key, ("", 0))
        try:
            for block in Blocks(inflated(self.objects.read(listed))):
                for raw in block.split(b"\n")[:-1]:
                    number += 1
                    line = raw.decode("utf-8", "replace")
                    if number > read and wanted(line):
                        yield Heard(
                            f"{listed.key}#{number}",
                            listed.modified,
                            listed.key,
                            line,
                            tuple(before),
                        )
                    before = [*before, line][-CONTEXT:]
        except (BrokenObject, Changed) as error:
            self.trouble(f"{listed.key}: {error}")
        known[listed.key] = (listed.etag, number)


@dataclass
class Ear:
    """Listens in rounds.  ``first``: nothing from before is asked for."""

    source: Source
    wanted: Wanted
    seen: Seen
    first: float

    def fresh(self, now: float) -> list[Heard]:
        """What was not heard before, in the order of time."""
        begin = max(self.seen.begin, self.first)
        # Whole, before anything counts as heard: the source may fail in the middle.
        found = sorted(self.source.heard(begin, now, self.wanted), key=lambda each: each.at)
        return list(self.seen.fresh(found))
