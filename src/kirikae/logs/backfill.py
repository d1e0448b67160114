"""Move the past: all objects of the old tree, in shuffled order, as fast as is allowed.

One process owns the manifest and the throttle; with several workers each object is worked on in one
of them.  Killed at any point, the next run does what was in flight once more, finds it there, and
writes nothing twice.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from kirikae.logs.carrier import Carrier
from kirikae.logs.classify import Class, Classified, classified
from kirikae.logs.codec import library
from kirikae.logs.counting import name_of
from kirikae.logs.errors import LogsNotReady
from kirikae.logs.folder import FolderObjects
from kirikae.logs.layout import OURS
from kirikae.logs.manifest import Manifest, Part, Row, State
from kirikae.logs.owners import Owner
from kirikae.logs.pools import DaskPool, Outcome, Pool, processes, threads
from kirikae.logs.throttle import Throttle
from kirikae.logs.worker import Place
from kirikae.model.errors import Unfinished
from kirikae.model.objects import Listed

_TRIES = 12
_LONGEST_REST_S = 30.0
_AT_ONCE = 64
_KEPT_WITHIN_S = 1.0
_LOOKS_EVERY_S = 5.0


@dataclass
class Done:
    """What a run did.  ``left``: objects that another run must look at."""

    states: Counter[str] = field(default_factory=Counter)
    written: int = 0
    unchanged: int = 0
    slowed: int = 0
    stopped: bool = False

    def to_plain(self) -> dict[str, Any]:
        return {
            "objects": dict(sorted(self.states.items())),
            "parts_written": self.written,
            "unchanged": self.unchanged,
            "slowed_down": self.slowed,
            "window_closed": self.stopped,
        }


@dataclass
class Backfill:
    """``open_window``: may an object be begun now?"""

    place: Place
    manifest: Manifest
    throttle: Throttle
    workers: int = 1
    at_once: int = 1
    """With one worker: objects in flight, each in a thread."""
    open_window: Callable[[], bool] = lambda: True
    tell: Callable[[str], None] = lambda line: None
    sleep: Callable[[float], None] = time.sleep
    on: str = ""
    """``dask://HOST:PORT``: workers elsewhere."""
    keep_up: Callable[[], None] = lambda: None
    """Called now and then: workers that were lost may be made up for."""
    _names: set[str] = field(default_factory=set)
    """Of all parts that old objects can become."""
    _asked: frozenset[str] = frozenset()
    """Old objects whose parts `logs verify` did not find as they were written."""

    def run(self, aws: Any = None) -> Done:
        """Raises ManifestOwned, TreeTrouble, AwsUnreachable where it does not get better."""
        with self.manifest.owned():
            carrier = self.place.carrier(aws)
            if isinstance(carrier.new, FolderObjects):
                carrier.new.sweep()
            self.manifest.set_head("codec", library()[0])
            done = Done()
            objects = list(carrier.old.list())
            self._names = {name_of(carrier.trees.part_key("", each)) for each in objects}
            self._names |= {name_of(part.new_key) for part in self.manifest.parts()}
            self._assert_nobody_else(carrier)
            self._asked = self.manifest.asked_again()
            wanted, boundary = self._wanted(carrier, objects, done)
            self._all(carrier, wanted, done)
            if not done.stopped:
                self._reconcile(carrier, boundary, done)
                self.manifest.answered(self._asked)
            done.slowed = self.throttle.slowed
            return done

    def _assert_nobody_else(self, carrier: Carrier) -> None:
        """Where another writer is at work, it must be known since when: else its lines would be
        there twice.  Raises LogsNotReady."""
        if carrier.owners.on is not None:
            return
        for listed in carrier.new.list():
            if listed.key.startswith(OURS) or name_of(listed.key) in self._names:
                continue
            if carrier.trees.new.label_span(listed.key[: listed.key.rfind("/") + 1]) is not None:
                raise LogsNotReady(
                    f"{carrier.new.url}{listed.key} is there, and kirikae has not put it there: "
                    "somebody writes the new tree already; measure since when with `kirikae logs "
                    "double status MOVE`, and write it as `double_write_since`"
                )

    def _wanted(
        self,
        carrier: Carrier,
        objects: Iterable[Listed],
        done: Done,
    ) -> tuple[list[Classified], list[Classified]]:
        """What is to be done, shuffled so that no one prefix of S3 is hit; and what lies at the
        boundary, in the order of keys."""
        known = self.manifest.rows()
        parts = _by_old_key(self.manifest.parts())
        wanted: list[Classified] = []
        boundary: list[Classified] = []
        for listed in objects:
            row = known.pop(listed.key, None)
            found = classified(carrier.trees, listed)
            if row is not None and _changed_since(row, parts[listed.key], listed):
                self._look_again(row, listed, done)
            elif Owner.BOUNDARY in map(carrier.owners.of, _labels(found, row)):
                boundary.append(found)
            elif row is not None and self._settled(row, parts[listed.key], carrier):
                self._look_again(row, listed, done)
            else:
                wanted.append(found)
        random.Random(carrier.old.url).shuffle(wanted)
        for row in known.values():
            self._vanished(row, done)
        return wanted, boundary

    def _settled(
        self,
        row: Row,
        parts: set[str],
        carrier: Carrier,
    ) -> bool:
        """Nothing more is to be written of it: it is whole, or it changed after some of it was.

        Whose a folder is may change with `double_write_since`: then a part of it may be missing.
        """
        if row.state is State.CHANGED:
            return bool(parts)
        if row.state is not State.DONE or row.listed.key in self._asked:
            return False
        mine = {label for label in row.labels if carrier.owners.of(label) is Owner.BACKFILL}
        return mine <= parts

    def _look_again(
        self,
        row: Row,
        listed: Listed,
        done: Done,
    ) -> None:
        """An object that changed after it was moved is told, never moved a second time."""
        if row.listed.etag == listed.etag and row.state is State.DONE:
            done.unchanged += 1
            return
        self._keep_changed(row, "it was changed after it had been moved")
        done.states[str(State.CHANGED)] += 1

    def _vanished(
        self,
        row: Row,
        done: Done,
    ) -> None:
        self._keep_changed(row, "it is no longer there")
        done.states[str(State.CHANGED)] += 1

    def _keep_changed(
        self,
        row: Row,
        why: str,
    ) -> None:
        parts = [part for part in self.manifest.parts() if part.old_key == row.listed.key]
        changed = Row(
            row.listed,
            row.kind,
            row.why,
            State.CHANGED,
            row.labels,
            why,
            row.sums,
            row.facts,
        )
        self.manifest.keep_all([(changed, parts)])

    def _all(
        self,
        carrier: Carrier,
        wanted: list[Classified],
        done: Done,
    ) -> None:
        seen = 0
        kept: list[Outcome] = []
        last = time.monotonic()
        try:
            for outcome in self._outcomes(carrier, wanted):
                seen += 1
                _count(done, outcome)
                if self._in_the_way(outcome):
                    continue
                kept.append(outcome)
                if len(kept) >= _AT_ONCE or time.monotonic() - last > _KEPT_WITHIN_S:
                    self.manifest.keep_all(kept)
                    kept = []
                    last = time.monotonic()
                    self.tell(_progress(done, len(wanted)))
        finally:
            self.manifest.keep_all(kept)
        done.stopped = seen < len(wanted)

    def _in_the_way(self, outcome: Outcome) -> bool:
        """Where an altered part still lies, what was written once stays known: nothing is put over
        what somebody else put there."""
        row, _ = outcome
        if row.state is not State.CONFLICT or row.listed.key not in self._asked:
            return False
        self._asked -= {row.listed.key}
        return True

    def _begun(self, wanted: Iterable[Classified]) -> Iterator[Classified]:
        """As fast as the throttle and the window allow."""
        for found in wanted:
            if not self.open_window():
                return
            copied = found.kind is Class.COPY
            self.throttle.before(2 if copied else 3, 0 if copied else found.listed.size)
            yield found

    def _patiently(self, work: Callable[[], Outcome]) -> Outcome:
        """503 and silence are tried again, more slowly each time."""
        for attempt in range(_TRIES):
            try:
                outcome = work()
            except Unfinished:
                self.throttle.refused()
                if attempt + 1 == _TRIES:
                    raise
                self.sleep(min(0.2 * 2**attempt, _LONGEST_REST_S))
            else:
                self.throttle.passed()
                return outcome
        raise AssertionError("the last attempt returns or raises")

    def _outcomes(
        self,
        carrier: Carrier,
        wanted: list[Classified],
    ) -> Iterator[Outcome]:
        """One after the other; or many in flight: what S3 copies costs us waiting only."""
        pool = self._pool(carrier)
        if pool is not None:
            yield from self._in_flight(wanted, pool)
            return
        for found in self._begun(wanted):
            yield self._patiently(partial(carrier.moved, found.listed))

    def _pool(self, carrier: Carrier) -> Pool | None:
        if self.on:
            return DaskPool(self.place, self.on)
        if self.workers > 1:
            return processes(self.place, self.workers)
        return threads(carrier.moved, self.at_once) if self.at_once > 1 else None

    def _in_flight(
        self,
        wanted: list[Classified],
        pool: Pool,
    ) -> Iterator[Outcome]:
        flying: dict[Future[Outcome], Listed] = {}
        try:
            for found in self._begun(wanted):
                flying[pool.submit(found.listed)] = found.listed
                while len(flying) >= pool.most():
                    yield from self._landed(pool, flying)
            while flying:
                yield from self._landed(pool, flying)
        except pool.ends as error:
            raise pool.explained(error) from error
        finally:
            pool.close()

    def _landed(
        self,
        pool: Pool,
        flying: dict[Future[Outcome], Listed],
    ) -> Iterator[Outcome]:
        ready, _ = wait(flying, _LOOKS_EVERY_S, FIRST_COMPLETED)
        pool.assert_alive()
        self.keep_up()
        for future in ready:
            tries = chain([future], _again(pool, flying.pop(future)))
            yield self._patiently(lambda tries=tries: next(tries).result())  # type: ignore[misc]

    def _reconcile(
        self,
        carrier: Carrier,
        boundary: list[Classified],
        done: Done,
    ) -> None:
        """All of them in the order of keys, or none: what is missing depends on what came
        before."""
        known = self.manifest.rows()
        parts = _by_old_key(self.manifest.parts())
        folders = list(carrier.owners.at_boundary())
        settled = (
            (row := known.get(found.listed.key)) is not None
            and self._settled(row, parts[found.listed.key], carrier)
            for found in boundary
        )
        if self.manifest.head("reconciled") == folders and all(settled):
            done.unchanged += len(boundary)
            return
        present = self.place.present(carrier, self._names)
        for found in boundary:
            outcome = self._patiently(partial(carrier.moved, found.listed, present))
            self.manifest.keep_all([outcome])
            _count(done, outcome)
        extra = {label: sum(counts.values()) for label, counts in present.items()}
        self.manifest.set_head("boundary_extra", extra)
        self.manifest.set_head("reconciled", folders)


def _again(pool: Pool, listed: Listed) -> Iterator[Future[Outcome]]:
    """Once more, as often as is asked."""
    while True:
        yield pool.submit(listed)


def _by_old_key(parts: list[Part]) -> dict[str, set[str]]:
    """The folders in which an old object has parts."""
    found: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        found[part.old_key].add(part.label)
    return found


def _changed_since(
    row: Row,
    parts: set[str],
    listed: Listed,
) -> bool:
    """After some of it was written: what it holds now must not be moved beside it."""
    return bool(parts) and row.listed.etag != listed.etag


def _labels(found: Classified, row: Row | None) -> tuple[str, ...]:
    return found.labels or (() if row is None else row.labels)


def _count(done: Done, outcome: Outcome) -> None:
    row, parts = outcome
    done.states[str(row.state)] += 1
    done.written += len(parts)


def _progress(done: Done, of: int) -> str:
    return f"{sum(done.states.values())} of {of} objects"
