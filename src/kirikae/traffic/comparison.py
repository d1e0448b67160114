"""Above share 0: figures of both sides are read, recorded and judged; probes go on beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from kirikae.aws.errors import FiguresIncomplete
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move
from kirikae.model.said import Said, said
from kirikae.move.journal import Journal
from kirikae.move.judge import Margins
from kirikae.traffic.batches import (
    CORRECTION_S,
    Arm,
    Batch,
    correction,
    of_step,
    record,
    recorded,
)
from kirikae.traffic.figures import Asked, Figures
from kirikae.traffic.judging import margins_of, trial_over
from kirikae.traffic.readiness import Readiness
from kirikae.traffic.routers import Router
from kirikae.traffic.settings import TrafficMove
from kirikae.traffic.trial import Trial

PROBE_EVERY_S = 5.0
LATER_S = 600.0
_WITH_SUSPECT = {
    "traffic.failed_probes": "traffic.failed_probes_at",
    "traffic.probes_again": "traffic.probes_again_at",
}


@dataclass(slots=True)
class _Judged:
    """The judge of one step, and what was read for it.

    ``since``: from when on figures are still to be read.
    ``counted``: the periods of this step as they were read last; late figures are found by reading
    them again.
    ``last``: where the latest of them begins in the record.
    """

    step: int
    trial: Trial
    began: float
    since: float
    counted: dict[float, Batch]
    last: float

    def again_from(self, again_s: float) -> float:
        return max(self.began, self.since - again_s)

    def correction(self, read: Batch) -> Batch | None:
        """What came late of a period that was counted; None: nothing."""
        counted = self.counted.get(read.start)
        if counted is None:
            return None
        return correction(read, counted, round(self.last + CORRECTION_S, 3))

    def take(self, batch: Batch, read: Batch) -> None:
        """``batch``: as it was recorded; ``read``: the whole period."""
        self.trial.look(batch)
        self.counted[read.start] = read
        self.last = batch.start
        self.since = max(self.since, read.start + read.seconds)


@dataclass(slots=True)
class _Quantiles:
    """The old side's quantiles in seconds as they stood when a step began."""

    step: int
    tau: dict[str, float]


class Comparison:
    """What it remembers between looks can be rebuilt from the journal."""

    def __init__(
        self,
        settings: TrafficMove,
        journal: Journal,
        router: Router,
        source: Figures,
        readiness: Readiness,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._router = router
        self._source = source
        self._readiness = readiness
        self._clock = clock
        self._margins = margins_of(settings)
        self._judged: _Judged | None = None
        self._quantiles: _Quantiles | None = None
        self._next_probes = 0.0
        self._troubled = False
        self._suspects: Mapping[str, Said] = {}

    def evidence(self, move: Move) -> Evidence:
        judged = self._judge_of(move)
        self._probe_round(move, judged.trial)
        until = self._clock() - self._settings.figures.lateness
        try:
            alone = self._read(move, judged, until)
        except FiguresIncomplete as error:
            return self._incomplete(judged, error)
        if not alone:
            # A rival recorded this time: judge what stands in the journal, at the next look.
            self._judged = None
            return Evidence(Verdict.UNSURE, said("traffic.rival_records"))
        self._judged = judged
        return self._with_unread(self._suspected(judged.trial.evidence(), until - judged.since))

    def _read(self, move: Move, judged: _Judged, until: float) -> bool:
        """Record and judge what is new, and what came late of what was read before.  False: another
        driver records as well."""
        tau = self._tau_of(move)
        bounds = bounds_of(self._margins, tau, judged.trial.next_share(move.share))
        since = judged.again_from(again_s(self._settings))
        found = self._source.batches(Asked(move.share, move.stepped, since, until, tau, bounds))
        for read in found:
            new = read.start >= judged.since
            batch = read if new else judged.correction(read)
            if batch is None:
                continue
            if not record(self._journal, move, batch):
                return False
            judged.take(batch, read)
        return True

    def _incomplete(self, judged: _Judged, error: FiguresIncomplete) -> Evidence:
        """The clock stands still; what is proven already counts all the same."""
        known = judged.trial.evidence()
        if known.verdict is Verdict.FAIL:
            return known
        says = said("traffic.figures_incomplete", metric=error.metric, status=error.status)
        return Evidence(Verdict.UNSURE, says)

    def _with_unread(self, evidence: Evidence) -> Evidence:
        """What of the source could not be read is told while something is waited for."""
        unread = self._source.unread
        if not unread:
            return evidence
        figures = {
            **evidence.figures,
            "unread_lines": float(unread.lines),
            "unread_files": float(unread.files),
        }
        evidence = replace(evidence, figures=figures)
        if evidence.verdict is not Verdict.UNSURE:
            return evidence
        says = said(
            "traffic.unread", reason=evidence.reason, lines=unread.lines, files=unread.files
        )
        return replace(evidence, reason=says)

    def _suspected(self, evidence: Evidence, silent_s: float) -> Evidence:
        """The evidence with the target that failed its last probe, if one did."""
        figures = {**evidence.figures, "behind_s": max(0.0, silent_s)}
        evidence = replace(evidence, figures=figures)
        if not self._suspects:
            return evidence
        target, trouble = next(iter(self._suspects.items()))
        suspect = said("traffic.suspect", target=target, trouble=trouble)
        reason = evidence.reason
        if reason.key in _WITH_SUSPECT:
            blanks = {**reason.blanks, "suspect": suspect}
            return replace(evidence, reason=Said(_WITH_SUSPECT[reason.key], blanks))
        if evidence.verdict is Verdict.PASS:
            says = said("traffic.suspected", suspect=suspect)
            return replace(evidence, verdict=Verdict.UNSURE, reason=says)
        return evidence

    def _judge_of(self, move: Move) -> _Judged:
        """Figures count from the first whole period after the share was set, so that no batch mixes
        two shares."""
        if self._judged is not None and self._judged.step == move.stepped:
            return self._judged
        batches = recorded(self._journal, move)
        trial = trial_over(self._settings, move, batches, not self._router.exact)
        entries = self._journal.entries(move.name)
        stepped_at = next(entry.at for entry in entries if entry.move.seq == move.stepped)
        # The clock that wrote the entry may have been ahead: no step begins after now.
        began = min(stepped_at + self._router.delay_s, self._clock())
        read = [b for b in of_step(batches, move.stepped) if not b.only_probes]
        since = max([began, *(b.start + b.seconds for b in read)]) if read else began
        last = max((b.start for b in read), default=began)
        return _Judged(move.stepped, trial, began, since, _counted(read), last)

    def _tau_of(self, move: Move) -> dict[str, float]:
        """The old side's quantiles as they stood when this step began; none where one fixed bound
        judges."""
        if self._margins.fast_enough_ms:
            return {}
        if self._quantiles is not None and self._quantiles.step == move.stepped:
            return self._quantiles.tau
        of_this = of_step(recorded(self._journal, move), move.stepped)
        known = next((dict(batch.tau) for batch in of_this if batch.tau), None)
        if known is None:
            known = self._source.quantiles(self._clock() - self._settings.figures.lateness)
        if known:  # otherwise no figures of the old side yet: asked again at the next look
            self._quantiles = _Quantiles(move.stepped, known)
        return known

    def _probe_round(self, move: Move, trial: Trial) -> None:
        """Ask every healthy target of both sides the project's checks, now and then; a round is a
        batch without requests."""
        now = self._clock()
        if not self._readiness.project.checks or now < self._next_probes:
            return
        self._next_probes = now + PROBE_EVERY_S
        failed_old = self._troubles("old")
        failed_new = self._troubles("new")
        # One bad answer may be chance, as in an incident of both sides: harm is a target that fails
        # in one round after another.
        lasting = [target for target in failed_new if target in self._suspects]
        self._suspects = failed_new
        sides = {"old": Arm(probe_failed=len(failed_old)), "new": Arm(probe_failed=len(lasting))}
        batch = Batch(round(now, 3), PROBE_EVERY_S, move.share, {"": sides}, move.stepped)
        trouble = any(arm.probe_failed for arm in sides.values())
        if trouble or self._troubled:
            # Of rounds without trouble only the first after one is worth keeping.
            record(self._journal, move, batch)
        self._troubled = trouble
        trial.look(batch)

    def _troubles(self, side: str) -> dict[str, Said]:
        probes = self._readiness.probes(self._readiness.members(side))
        return {probe.target: probe.trouble for probe in probes if probe.trouble is not None}


def again_s(settings: TrafficMove) -> float:
    """For how long a period is read again: figures may come later than `lateness`, and may be
    corrected."""
    figures = settings.figures
    most = figures.lateness + LATER_S
    return min(max(4 * figures.lateness, 10 * figures.period), most)


def _counted(recorded: Iterable[Batch]) -> dict[float, Batch]:
    """The periods of a step as the record has them, corrections added."""
    found: dict[float, Batch] = {}
    for batch in recorded:
        start = batch.start if batch.corrects is None else batch.corrects
        before = found.get(start)
        found[start] = batch if before is None else replace(before.then(batch), start=start)
    return found


def bounds_of(
    margins: Margins, tau: Mapping[str, float], next_share: int
) -> dict[str, list[float]]:
    """The times in seconds at which each side's answers are counted."""
    if margins.fast_enough_ms:
        bound = margins.fast_enough_ms / 1000
        return {"old": [bound], "new": [bound]}
    wider = {bound for old in tau.values() for bound in margins.bounds(old, next_share)}
    return {"old": sorted(set(tau.values())), "new": sorted(wider)}
