"""Move one old object: copy it, or read and split it.  Everything may be done again: a part's key
depends on the old object alone, and what is there already is compared, never written over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from kirikae.logs.classify import Class, Classified, classified, timeless_label
from kirikae.logs.errors import BrokenObject, Conflict
from kirikae.logs.manifest import Part, Row, State
from kirikae.logs.owners import Owner, Owners
from kirikae.logs.redo import Mark, aside
from kirikae.logs.sums import Sums, digest
from kirikae.logs.work import Hand, Parts, Read, Trees, peeked
from kirikae.model.errors import Changed, Taken, Withheld
from kirikae.model.objects import Listed, Objects

Present = Mapping[str, Counter[int]]
"""Of each folder at the boundary: hashes of lines that the new writer has put there, and how often;
what is found to be the same is taken out."""


_SPECIAL = {
    "archived": "it is archived",
    "too_large": "it is larger than 5 GB",
    "packed": "it is packed in a way that is not read here",
}
"""Why an object of the class E waits."""


@dataclass
class Carrier:
    """Works on one object after the other.  ``redo``: these parts failed their proof.
    ``put_aside``: what lies in their place and does not belong there is taken away; else it is told
    as a conflict."""

    trees: Trees
    owners: Owners
    old: Objects
    new: Objects
    hand: Hand
    redo: Set[Mark] = frozenset()
    put_aside: bool = False

    def moved(
        self,
        listed: Listed,
        present: Present | None = None,
    ) -> tuple[Row, list[Part]]:
        """What became of it.  ``present``: only then folders at the boundary are written."""
        found = classified(self.trees, listed)
        try:
            return self._moved(found, present)
        except BrokenObject as error:
            return _row(found, State.BROKEN, str(error)), []
        except Changed as error:
            return _row(found, State.CHANGED, str(error)), []
        except Withheld as error:
            return _row(found, State.SPECIAL, str(error)), []
        except Conflict as error:
            return _row(found, State.CONFLICT, str(error)), []

    def _moved(
        self,
        found: Classified,
        present: Present | None,
    ) -> tuple[Row, list[Part]]:
        if found.kind is Class.SPECIAL:
            return _row(found, State.SPECIAL, _SPECIAL.get(found.why, found.why)), []
        if found.kind is Class.TIMELESS:
            return self._timeless(found)
        owners = {self.owners.of(label) for label in found.labels}
        if self._must_wait(owners, present):
            return _row(found, State.WAITS), []
        if owners == {Owner.LIVE}:
            return _row(found, State.DONE), []
        if found.kind is Class.COPY and owners == {Owner.BACKFILL}:
            return self._copied_to(found, found.labels[0])
        if found.kind is Class.SCAN:
            return self._scanned(found, present)
        return self._split(found, present)

    def _must_wait(self, owners: set[Owner], present: Present | None) -> bool:
        """For lines that may still come, or for the boundary, which is done last."""
        return Owner.OPEN in owners or (Owner.BOUNDARY in owners and present is None)

    def _timeless(self, found: Classified) -> tuple[Row, list[Part]]:
        """As a whole: nothing in it says how to split it."""
        label = timeless_label(self.trees, found)
        owner = self.owners.of(label)
        if owner is Owner.OPEN:
            return _row(found, State.WAITS), []
        if owner is Owner.LIVE:
            return _row(found, State.DONE), []
        return self._copied_to(found, label)

    def _copied_to(
        self,
        found: Classified,
        label: str,
        read: Read | None = None,
    ) -> tuple[Row, list[Part]]:
        key = self.trees.part_key(label, found.listed)
        failed = (found.listed.key, label) in self.redo
        there = self._put(
            key,
            failed,
            lambda: self.new.copy_from(self.old, found.listed, key),
            lambda: self._same_copy(found.listed, key, failed),
        )
        sums = None if read is None else read.total
        part = Part(
            key,
            label,
            "copy",
            there.etag,
            there.size,
            sums,
            found.listed.key,
        )
        return _done(found, read, (label,)), [part]

    def _put(
        self,
        key: str,
        failed: bool,
        put: Callable[[], Listed],
        same: Callable[[], Listed],
    ) -> Listed:
        """Written, or found there as it should be."""
        try:
            return put()
        except Taken:
            try:
                return same()
            except Conflict:
                if not (failed and self.put_aside):
                    raise
        self._put_aside(key)
        return put()

    def _put_aside(self, key: str) -> None:
        """Kept, and taken away only as it was seen: nothing that somebody wrote is lost."""
        there = self.new.look(key)
        if there is None:
            return
        with suppress(Taken):  # by a run that was killed
            self.new.copy_from(self.new, there, aside(there))
        self.new.delete(there)

    def _same_copy(
        self,
        listed: Listed,
        key: str,
        failed: bool,
    ) -> Listed:
        """What lies there is the same: by length and tag, else (or where it failed) by its lines.
        A copy of an object that came in several parts has another tag (S3 user guide, "Checking
        object integrity")."""
        there = self.new.look(key)
        if there is None:
            raise Changed(f"{key} was there and is gone")
        if not failed and (there.size, there.etag) == (listed.size, listed.etag):
            return there
        self._assert_holds(there, self.hand.sums(self.old.read(listed)))
        return there

    def _assert_holds(self, there: Listed, expected: Sums) -> None:
        """Raises Conflict."""
        try:
            found = self.hand.sums(self.new.read(there))
        except BrokenObject as error:
            raise Conflict(f"{self.new.url}{there.key} is there and damaged: {error}") from error
        if found != expected:
            raise Conflict(f"{self.new.url}{there.key} is there and holds other lines")

    def _scanned(
        self,
        found: Classified,
        present: Present | None,
    ) -> tuple[Row, list[Part]]:
        """Only reading tells where its lines belong."""
        read = self.hand.read(self.old.read(found.listed), found.listed.key)
        owners = {self.owners.of(label) for label in read.sums}
        if self._must_wait(owners, present):
            return _row(found, State.WAITS, labels=tuple(sorted(read.sums))), []
        if len(read.sums) == 1 and owners == {Owner.BACKFILL}:
            return self._copied_to(found, next(iter(read.sums)), read)
        return self._split(found, present)

    def _split(
        self,
        found: Classified,
        present: Present | None,
    ) -> tuple[Row, list[Part]]:
        listed = found.listed
        packing, chunks = peeked(self.old.read(listed))
        parts = Parts(self._wanted, self._keep(present), packing)
        read = self.hand.read(chunks, listed.key, parts.take)
        if self._must_wait({self.owners.of(label) for label in read.sums}, present):
            # Late or early lines of another folder than its path says.
            return _row(found, State.WAITS, labels=tuple(sorted(read.sums))), []
        made = [self._written(listed, *each) for each in parts.finished()]
        return _done(found, read, tuple(sorted(read.sums))), made

    def _wanted(self, label: str) -> bool:
        return self.owners.of(label) in (Owner.BACKFILL, Owner.BOUNDARY)

    def _at_boundary(self, label: str) -> bool:
        return self.owners.of(label) is Owner.BOUNDARY

    def _keep(self, present: Present | None) -> Callable[[str, bytes], bytes]:
        def keep(label: str, lines: bytes) -> bytes:
            if present is None or not self._at_boundary(label):
                return lines
            return missing(lines, present[label])

        return keep

    def _written(
        self,
        listed: Listed,
        label: str,
        body: IO[bytes],
        sums: Sums,
    ) -> Part:
        key = self.trees.part_key(label, listed)
        mode = "boundary" if self._at_boundary(label) else "split"

        def create() -> Listed:
            body.seek(0)
            return self.new.create(key, body)

        with body:
            there = self._put(
                key,
                (listed.key, label) in self.redo,
                create,
                lambda: self._same_part(key, sums),
            )
        return Part(
            key,
            label,
            mode,
            there.etag,
            there.size,
            sums,
            listed.key,
        )

    def _same_part(
        self,
        key: str,
        sums: Sums,
    ) -> Listed:
        """Packed by another library the bytes may differ; the lines may not."""
        there = self.new.look(key)
        if there is None:
            raise Changed(f"{key} was there and is gone")
        self._assert_holds(there, sums)
        return there


def missing(lines: bytes, present: Counter[int]) -> bytes:
    """Multiset difference: what of these lines is not there yet.  ``present`` is used up."""
    hash_of = digest()
    kept = []
    for line in _lines(lines):
        hashed = hash_of(line[:-1])
        if present[hashed] > 0:
            present[hashed] -= 1
        else:
            kept.append(line)
    return b"".join(kept)


def _lines(block: bytes) -> list[bytes]:
    """Only ``\\n`` ends one."""
    return [line + b"\n" for line in block.split(b"\n")[:-1]]


def _row(
    found: Classified,
    state: State,
    error: str = "",
    labels: tuple[str, ...] | None = None,
) -> Row:
    named = found.labels if labels is None else labels
    return Row(
        found.listed,
        str(found.kind),
        found.why,
        state,
        named,
        error,
    )


def _done(
    found: Classified,
    read: Read | None,
    labels: tuple[str, ...],
) -> Row:
    """``labels``: the folders that its lines are in, as far as that is known."""
    row = _row(found, State.DONE, labels=labels)
    if read is None:
        return row
    facts = {"reasons": dict(read.reasons), "unterminated": read.unterminated}
    return Row(
        row.listed,
        row.kind,
        row.why,
        row.state,
        labels,
        "",
        dict(read.sums),
        facts,
    )
