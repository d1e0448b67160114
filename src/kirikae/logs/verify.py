"""Is every line of the past in the new tree, just once?  One verdict for each of its folders.

Without ``deep`` the manifest's sums are compared with each other, and what lies in the new tree
with the manifest by key, length and tag.  With it every part is read again; of what was copied
unread, both copies are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from kirikae.logs.carrier import Carrier
from kirikae.logs.counting import new_folders, new_lines, old_lines
from kirikae.logs.errors import BrokenObject
from kirikae.logs.folder import digest_of
from kirikae.logs.layout import OURS
from kirikae.logs.manifest import Judged, Manifest, Part, Row, State
from kirikae.logs.owners import Owner
from kirikae.logs.sums import NOTHING, Sums, total_of
from kirikae.logs.zones import Span
from kirikae.model.errors import Changed
from kirikae.model.evidence import Verdict
from kirikae.model.objects import Listed
from kirikae.model.said import Said, said

_SEVERITY = (Verdict.PASS, Verdict.UNSURE, Verdict.FAIL)
_UNSURE = {
    State.BROKEN: "logs.verdict.broken",
    State.CHANGED: "logs.verdict.changed",
    State.SPECIAL: "logs.verdict.special",
    State.WAITS: "logs.verdict.waits",
}


def worst(verdicts: Mapping[str, Judged]) -> Judged | None:
    """The one that decides; None where there is none."""
    if not verdicts:
        return None
    return max(verdicts.values(), key=lambda each: _SEVERITY.index(Verdict(each.verdict)))


@dataclass
class _Case:
    """What speaks against a folder.  ``redo``: keys of old objects."""

    verdict: Verdict = Verdict.PASS
    reasons: list[Said] = field(default_factory=list)
    redo: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        verdict: Verdict,
        reason: Said,
        redo: str = "",
    ) -> None:
        if _SEVERITY.index(verdict) > _SEVERITY.index(self.verdict):
            self.verdict = verdict
        self.reasons.append(reason)
        if redo and redo not in self.redo:
            self.redo.append(redo)


@dataclass
class Verifier:
    """``only``: folders to look at; empty: all."""

    carrier: Carrier
    manifest: Manifest
    deep: bool = False
    only: tuple[str, ...] = ()

    def run(self, now: float) -> dict[str, Judged]:
        """Verdicts by folder; they are kept in the manifest."""
        rows = self.manifest.rows()
        parts = _by_label(self.manifest.parts())
        before = self.manifest.judged()
        there = self._there()
        found: dict[str, Judged] = {}
        for label in self._labels(rows, parts, there):
            seen = self._seen(label, there)
            if self._as_before(before.get(label), seen):
                found[label] = before[label]
                continue
            case = self._judge(
                label,
                rows,
                parts.get(label, []),
                there.get(label, {}),
            )
            facts = {
                "owner": str(self.carrier.owners.of(label)),
                "seen": seen,
                "reasons": [reason.to_plain() for reason in case.reasons],
                "redo": case.redo,
                **case.figures,
            }
            found[label] = Judged(
                label,
                str(case.verdict),
                facts,
                now,
            )
            self.manifest.judge(found[label])
        return found

    def _seen(self, label: str, there: Mapping[str, Mapping[str, Listed]]) -> str:
        """What lies where lines of this folder may be, by keys and tags."""
        folders = new_folders(self.carrier, label)
        listed = [each for folder in folders for each in there.get(folder, {}).values()]
        if self.carrier.owners.of(label) is Owner.LIVE:
            listed += self._near(label)
        rows = sorted(f"{each.key} {each.etag}\n" for each in listed)
        return digest_of("".join(rows))

    def _as_before(
        self,
        before: Judged | None,
        seen: str,
    ) -> bool:
        """Folders of both writers are read whole: once is enough, as long as nothing changes."""
        if before is None or self.deep or before.verdict != Verdict.PASS:
            return False
        return bool(before.facts["owner"] == Owner.LIVE and before.facts["seen"] == seen)

    @cached_property
    def _old_objects(self) -> list[Listed]:
        return list(self.carrier.old.list())

    def _there(self) -> dict[str, dict[str, Listed]]:
        found: dict[str, dict[str, Listed]] = defaultdict(dict)
        for listed in self.carrier.new.list():
            if not listed.key.startswith(OURS):
                label = listed.key[: listed.key.rfind("/") + 1]
                found[label][listed.key] = listed
        return found

    def _labels(self, *sources: Mapping[str, Any]) -> list[str]:
        rows, parts, there = sources
        labels = {label for row in rows.values() for label in row.labels}
        known = labels | set(parts) | {label for label in there if self._is_folder(label)}
        return sorted(label for label in known if not self.only or label in self.only)

    def _is_folder(self, label: str) -> bool:
        return self.carrier.trees.new.label_span(label) is not None or self._is_aside(label)

    def _is_aside(self, label: str) -> bool:
        """What the new writer could not file lies here, and not in its hour."""
        errors = self.carrier.trees.new.errors
        return bool(errors) and label.startswith(errors)

    def _judge(
        self,
        label: str,
        rows: Mapping[str, Row],
        parts: list[Part],
        there: Mapping[str, Listed],
    ) -> _Case:
        owner = self.carrier.owners.of(label)
        case = _Case()
        if self._is_aside(label):
            case.add(Verdict.UNSURE, said("logs.verdict.aside", objects=len(there)))
            return case
        if not self.carrier.owners.closed(label):
            case.add(Verdict.UNSURE, said("logs.verdict.open"))
            return case
        mine = [row for row in rows.values() if label in row.labels]
        if owner in (Owner.LIVE, Owner.BOUNDARY):
            self._as_multisets(case, label, mine)
        if owner is Owner.LIVE:
            return case
        _states(case, mine)
        self._listed(
            case,
            parts,
            there,
            owner,
        )
        if owner is Owner.BACKFILL:
            _algebra(
                case,
                label,
                mine,
                parts,
            )
        if self.deep:
            parts = self._deep(case, parts, there)
        case.figures |= _figures(label, mine, parts)
        return case

    def _listed(
        self,
        case: _Case,
        parts: list[Part],
        there: Mapping[str, Listed],
        owner: Owner,
    ) -> None:
        """What the new tree has, beside what the manifest says that it should have."""
        for part in parts:
            found = there.get(part.new_key)
            if found is None:
                case.add(Verdict.FAIL, said("logs.verdict.lost", key=part.new_key), part.old_key)
            elif (found.size, found.etag) != (part.size, part.etag):
                case.add(Verdict.FAIL, said("logs.verdict.altered", key=part.new_key), part.old_key)
        if owner is not Owner.BACKFILL:
            return
        for key in sorted(set(there) - {part.new_key for part in parts}):
            case.add(Verdict.FAIL, said("logs.verdict.foreign", key=key))

    def _deep(
        self,
        case: _Case,
        parts: list[Part],
        there: Mapping[str, Listed],
    ) -> list[Part]:
        """The same parts, with what was counted of those that had been copied unread."""
        read: dict[str, Part] = {}
        for part in parts:
            listed = there.get(part.new_key)
            if listed is None:
                continue
            try:
                found = self.carrier.hand.sums(self.carrier.new.read(listed))
                expected = self._expected(part)
            except (BrokenObject, Changed) as error:
                reason = said("logs.verdict.unreadable", key=part.new_key, why=str(error))
                case.add(Verdict.UNSURE, reason, part.old_key)
                continue
            if found != expected:
                reason = said(
                    "logs.verdict.differs",
                    key=part.new_key,
                    lines=found.lines,
                    expected=expected.lines,
                )
                case.add(Verdict.FAIL, reason, part.old_key)
            elif part.sums is None:
                self.manifest.learn(part.new_key, found)
                read[part.new_key] = replace(part, sums=found)
        return [read.get(part.new_key, part) for part in parts]

    def _expected(self, part: Part) -> Sums:
        """Of what was copied unread, the old object is read now.  Raises Changed."""
        if part.sums is not None:
            return part.sums
        listed = self.carrier.old.look(part.old_key)
        if listed is None:
            raise Changed(f"{part.old_key} of the old tree is no longer there")
        return self.carrier.hand.sums(self.carrier.old.read(listed))

    def _as_multisets(
        self,
        case: _Case,
        label: str,
        rows: list[Row],
    ) -> None:
        """Both writers were at work: every line of the old tree must be in the new one, as often.
        ``rows``: done again where one is missing, unless the new writer alone fills the folder.

        What the new one has besides is told: the new fleet's own lines, or some that came twice.
        """
        try:
            old = old_lines(self.carrier, label, self._near(label))
            new = new_lines(self.carrier, label)
        except (BrokenObject, Changed) as error:
            case.add(Verdict.UNSURE, said("logs.verdict.not_compared", why=str(error)))
            return
        lost = (old - new).total()
        extra = (new - old).total()
        case.figures["both"] = {
            "old": old.total(),
            "new": new.total(),
            "extra": extra,
        }
        if lost:
            case.add(Verdict.FAIL, said("logs.verdict.missing", lines=lost, of=old.total()))
            case.redo += self._again(label, rows)
        elif extra:
            case.reasons.append(said("logs.verdict.extra", lines=extra))

    def _again(self, label: str, rows: list[Row]) -> list[str]:
        live = self.carrier.owners.of(label) is Owner.LIVE
        return [] if live else [row.listed.key for row in rows]

    def _near(self, label: str) -> Iterator[Listed]:
        """Old objects that may hold lines of this folder: late ones come within the lateness."""
        span = self.carrier.trees.new.label_span(label)
        late = self.carrier.owners.lateness_s
        for listed in self._old_objects:
            theirs = self.carrier.trees.old.span(listed.key)
            if _near(theirs, span, late):
                yield listed


def _near(
    theirs: Span | None,
    span: Span | None,
    late: float,
) -> bool:
    """What says nothing of its time may hold any line."""
    if span is None or theirs is None or theirs.empty:
        return True
    return theirs.begin <= span.end + late and theirs.end >= span.begin - late


def _states(case: _Case, rows: list[Row]) -> None:
    for row in rows:
        key = row.listed.key
        if row.state is State.CONFLICT:
            case.add(Verdict.FAIL, said("logs.verdict.conflict", key=key, why=row.error), key)
        elif row.state in _UNSURE:
            case.add(Verdict.UNSURE, said(_UNSURE[row.state], key=key, why=row.error), key)


def _algebra(
    case: _Case,
    label: str,
    rows: list[Row],
    parts: list[Part],
) -> None:
    """Of each old object that has lines here there is a part, and it holds what was read."""
    written = {part.old_key: part for part in parts}
    for row in rows:
        if row.state is not State.DONE:
            continue
        part = written.get(row.listed.key)
        sums = None if row.sums is None else row.sums.get(label)
        if part is None or not _same(part.sums, sums):
            key = row.listed.key
            case.add(Verdict.FAIL, said("logs.verdict.not_written", key=key), key)


def _same(written: Sums | None, read: Sums | None) -> bool:
    """A part that was never read is judged by its length and tag, or by ``deep``."""
    return written is None or read is None or written == read


def _by_label(parts: list[Part]) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        found[part.label].append(part)
    return found


def _figures(
    label: str,
    rows: list[Row],
    parts: list[Part],
) -> dict[str, Any]:
    """``unread``: parts whose lines nobody has counted: they were copied byte by byte."""
    counted = total_of(part.sums for part in parts if part.sums is not None)
    unread = sum(part.sums is None for part in parts)
    return {
        "objects": len(rows),
        "parts": len(parts),
        "bytes": sum(part.size for part in parts),
        "sums": counted.to_plain() if counted != NOTHING or not unread else None,
        "unread": unread,
    }
