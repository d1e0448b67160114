"""Logs as a thing that moves: the share is the part of the folders that readers get from the
new tree, the oldest first.

What moves the bytes are the verbs of ``kirikae logs``; the move shifts readers, and only where
every closed folder is proven.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from kirikae.logs.errors import LogsNotReady, OldTreeNeeded
from kirikae.logs.layout import Layout
from kirikae.logs.manifest import Judged, Manifest, State
from kirikae.logs.owners import Owner
from kirikae.logs.settings import LogsMove
from kirikae.logs.shared import opened, shelf_of
from kirikae.logs.verify import worst
from kirikae.logs.view import ViewFile
from kirikae.model.catalogue import load
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Finding, Trace, blocking, with_accepted
from kirikae.model.move import Move, Phase
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE, percent
from kirikae.move.errors import assert_no_hand
from kirikae.move.journal import Journal
from kirikae.move.kind import Fact, Prospect, Prospects, Told

CATALOGUE = load("kirikae.logs")


def manifest_file(folder: Path, name: str) -> Path:
    """Where the manifest of a move is kept."""
    return folder / ".kirikae" / "logs" / f"{name}.db"


class LogsThing:
    """One instance per process."""

    look_every_s = 30.0
    delay_s = 0.0

    def __init__(
        self,
        settings: LogsMove,
        project: Project,
        journal: Journal,
        clock: Callable[[], float],
        folder: Path,
        name: str,
    ) -> None:
        self._settings = settings
        self._project = project
        self._journal = journal
        self._clock = clock
        self._folder = folder
        self._name = name

    @property
    def subject(self) -> str:
        return f"{self._settings.old.at} -> {self._settings.new.at}"

    @cached_property
    def view(self) -> ViewFile:
        return ViewFile(self._settings, self._folder)

    @property
    def _file(self) -> Path:
        return manifest_file(self._folder, self._name)

    @cached_property
    def _new(self) -> Layout:
        return self._settings.new.layout(self._folder)[1]

    def judged(self) -> dict[str, Judged]:
        """The last verdict on each folder; none where nothing was verified here."""
        with self._manifest() as manifest:
            return {} if manifest is None else manifest.judged()

    @contextmanager
    def _manifest(self) -> Iterator[Manifest | None]:
        """None: nothing was moved here, nor by another machine of the team."""
        shelf = shelf_of(self._project, self._journal.store, self._name)
        if not self._file.exists() and (shelf is None or shelf.empty()):
            yield None
            return
        with closing(opened(self._file, shelf)) as manifest:
            yield manifest

    def _closed(self) -> dict[str, Judged]:
        """Those that no line can come into any more: the newest ones are never proven, since both
        writers go on."""
        judged = self.judged()
        return {label: each for label, each in judged.items() if not self._still_open(label)}

    def _begins(self, judged: dict[str, Judged]) -> list[int]:
        """Of the folders that stand for a time, in order."""
        spans = [self._new.label_span(label) for label in judged]
        return sorted(span.begin for span in spans if span is not None)

    # --- the seven acts

    def prepare(self, move: Move) -> None:
        in_the_way = blocking(self.obstacles(), "logs")
        if in_the_way:
            raise LogsNotReady("\n".join(map(str, in_the_way)))

    def start(self, move: Move) -> None:
        """Nothing of it changes what readers get: the view stands at 0 already, or is not there."""

    def compare(self, move: Move) -> Evidence:
        found = self.found()
        if move.phase is Phase.SETTLED:
            evidence = Evidence(Verdict.UNSURE, said("logs.settled"))
        elif found != move.share:
            evidence = Evidence(Verdict.UNSURE, said("logs.changed_elsewhere"))
        else:
            evidence = self._evidence(move)
        return replace(evidence, found=found)

    def _evidence(self, move: Move) -> Evidence:
        judged = self._closed()
        figures = _figures(judged)
        decides = worst(judged)
        if decides is None:
            return Evidence(
                Verdict.UNSURE,
                said("logs.unproven"),
                None,
                figures,
            )
        if decides.verdict != Verdict.PASS:
            return self._against(move, decides, figures)
        age = self._clock() - min(each.at for each in judged.values())
        if age > self._settings.proof_max_age:
            return Evidence(
                Verdict.UNSURE,
                said("logs.old_proof", seconds=age),
                None,
                figures,
            )
        left = 0.0 if move.share == 0 else self._left_s(move)
        if left > 0:
            return Evidence(
                Verdict.UNSURE,
                said("logs.baking", seconds=left),
                None,
                figures,
            )
        says = said("logs.proven", folders=len(judged), lines=int(figures["lines"]))
        return Evidence(
            Verdict.PASS,
            says,
            None,
            figures,
        )

    def _against(
        self,
        move: Move,
        decides: Judged,
        figures: dict[str, float],
    ) -> Evidence:
        """A folder that readers get and that is wrong sends them back; one that they do not get yet
        only keeps the next step from being taken."""
        reasons = [Said.from_plain(raw) for raw in decides.facts["reasons"]]
        says = said(
            "logs.folder_says",
            folder=decides.label,
            why=reasons[0] if reasons else said("logs.unproven"),
        )
        failed = decides.verdict == Verdict.FAIL and move.share > 0
        verdict = Verdict.FAIL if failed else Verdict.UNSURE
        return Evidence(
            verdict,
            says,
            None,
            figures,
        )

    def _left_s(self, move: Move) -> float:
        return self._journal.stepped_at(move) + self._settings.bake - self._clock()

    def shift(
        self,
        name: str,
        share: int,
        expected: tuple[int, ...] | None,
    ) -> None:
        found = self.found()
        assert_no_hand(found, expected)
        if found != share:
            self.view.set(share, self._begins(self._closed()))

    def found(self) -> int | None:
        return self.view.found()

    def settle(self, move: Move) -> None:
        """The double write goes on: without it, going back would lose lines."""
        self.shift(move.name, WHOLE, (WHOLE,))

    def retire(self, move: Move) -> None:
        """Deletes nothing: whoever retires writes the removal plan."""

    def discard(self, move: Move) -> None:
        self.shift(move.name, 0, None)

    # --- the eight looks

    def plan(self) -> tuple[int, ...]:
        return self._settings.plan

    def obstacles(self) -> list[Finding]:
        day = datetime.fromtimestamp(self._clock(), UTC).date()
        return with_accepted(list(self._obstacles()), self._project.accepted, day)

    def _obstacles(self) -> Iterator[Finding]:
        judged = self.judged()
        if not judged:
            yield self._finding("LM01", self._name, "no folder of the new tree is proven here")
        for label, each in judged.items():
            if each.verdict == Verdict.FAIL:
                yield self._finding("LM02", label, f"{label} does not hold what it should")
        if self._settings.on is None:
            yield self._finding("LM03", self._name, "`double_write_since` is not set")
        if self._settings.new.time == "arrival":
            yield self._finding("LM04", self._settings.new.at, "its folders go by arrival")
        if self._settings.readers.apply is None:
            says = f"nobody gives {self._settings.readers.file} to the query engine"
            yield self._finding("LM05", self._settings.readers.file, says)

    def _finding(
        self,
        code: str,
        where: str,
        says: str,
    ) -> Finding:
        return CATALOGUE[code].found(where, says, [Trace("", where, says)])

    def prospects(self) -> Prospects:
        folders = len(self._begins(self._closed()))
        steps = [self._prospect(share, folders) for share in self.plan()]
        return Prospects(tuple(steps))

    def _prospect(
        self,
        share: int,
        folders: int,
    ) -> Prospect:
        mine = -(-folders * share // WHOLE)
        bake = self._settings.bake
        says = said(
            "logs.prospect.step",
            folders=mine,
            all=folders,
            seconds=bake,
        )
        return Prospect(
            share,
            bake,
            (says,),
            {"folders": mine, "all_folders": folders},
        )

    def facts(self, move: Move | None) -> list[Fact]:
        share = self.found()
        shown = None if share is None else percent(share)
        judged = self.judged()
        counts = Counter(each.verdict for each in judged.values())
        plain: dict[str, Any] = {str(verdict): counts[str(verdict)] for verdict in Verdict}
        on = self._settings.double_write_since
        since = said("logs.fact.no_double_write")
        if on is not None:
            since = said("logs.fact.double_write", since=on.isoformat())
        view = f"{self._settings.readers.database}.{self._settings.readers.view}"
        return [
            Fact("found_share", shown, said("logs.fact.share", view=view, share=shown)),
            Fact("folders", plain, said("logs.fact.folders", **plain)),
            Fact("double_write_since", None if on is None else on.isoformat(), since),
        ]

    def recorded(self, move: Move) -> Evidence | None:
        """The manifest is the record."""
        above = move.phase is Phase.RUNNING and move.share > 0
        return self._evidence(move) if above else None

    def told(self, evidence: Evidence) -> Told | None:
        figures = evidence.figures
        if "pass" not in figures:
            return None
        blanks = {name: int(value) for name, value in figures.items()}
        return Told(said("logs.line.folders", **blanks), said("logs.line.sentence", **blanks))

    def assert_may_retire(self, move: Move) -> None:
        """Four conditions must hold before the old writer may stop.  Raises OldTreeNeeded."""
        judged = self._closed()
        reasons = [*self._of_proof(judged), *self._of_objects()]
        if self.found() != WHOLE:
            reasons.append("readers still get folders from the old tree: its share is not 100%")
        if reasons:
            raise OldTreeNeeded("; ".join(reasons))

    def _of_proof(self, judged: dict[str, Judged]) -> Iterator[str]:
        bad = [label for label, each in judged.items() if each.verdict != Verdict.PASS]
        if bad or not judged:
            example = bad[0] if bad else "none was looked at"
            yield f"not every folder is proven ({example}): `kirikae logs verify {self._name}`"
        live = [
            each
            for each in judged.values()
            if each.facts["owner"] == Owner.LIVE and each.verdict == Verdict.PASS
        ]
        if len(live) < self._settings.agree:
            yield (
                f"{len(live)} folders that both writers filled hold the same lines, "
                f"{self._settings.agree} must (`agree`)"
            )

    def _still_open(self, label: str) -> bool:
        span = self._new.label_span(label)
        return span is not None and span.end + self._settings.lateness > self._clock()

    def _of_objects(self) -> Iterator[str]:
        with self._manifest() as manifest:
            rows = [] if manifest is None else manifest.rows().values()
        left = [row for row in rows if row.state not in (State.DONE, State.WAITS)]
        if left:
            yield (
                f"{len(left)} objects of the old tree are not moved, such as "
                f"{left[0].listed.key} ({left[0].state})"
            )

    def removal(self, move: Move) -> Said:
        readers = self._settings.readers
        return said(
            "logs.removal.plan",
            name=move.name,
            service=self._project.service,
            environment=self._project.environment,
            old=self._settings.old.at,
            new=self._settings.new.at,
            table=f"{readers.database}.{readers.old}",
            writer=self._settings.old.writer,
        )


def _figures(judged: dict[str, Judged]) -> dict[str, float]:
    counts = Counter(each.verdict for each in judged.values())
    lines = 0
    for each in judged.values():
        sums = each.facts.get("sums")
        lines += sums["lines"] if sums else 0
    return {
        "pass": float(counts["pass"]),
        "fail": float(counts["fail"]),
        "unsure": float(counts["unsure"]),
        "lines": float(lines),
    }
