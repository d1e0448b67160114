"""Above share 0: figures of both sides are read, recorded and judged; probes go on beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from kirikae.aws.errors import FiguresIncomplete
from kirikae.model.errors import AwsUnreachable
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move
from kirikae.model.said import Said, said
from kirikae.move.dispersion import on_fewer_targets
from kirikae.move.journal import Journal
from kirikae.move.judge import Margins
from kirikae.traffic.batches import (
    CORRECTION_S,
    Batch,
    correction,
    of_step,
    record,
    recorded,
)
from kirikae.traffic.figures import Asked, Figures
from kirikae.traffic.judging import margins_of, trial_over
from kirikae.traffic.readiness import Readiness
from kirikae.traffic.rounds import Rounds
from kirikae.traffic.routers import Router
from kirikae.traffic.settings import TrafficMove
from kirikae.traffic.trial import Trial

PROBE_EVERY_S = 5.0
LATER_S = 600.0
_WITH_SUSPECT = {
    "traffic.failed_probes": "traffic.failed_probes_at",
    "traffic.probes_again": "traffic.probes_again_at",
}


_NO_BATCH = Batch(
    0.0,
    0.0,
    None,
    {},
)


@dataclass(slots=True)
class _Judged:
    """The judge of one step, and what was read for it.

    ``since``: from when on figures are still to be read.
    ``counted``: the periods of this step as they were read last; late figures are found by reading
    them again.
    ``last``: where the latest of them begins in the record.
    ``past``: the latest batch of the attempt; None: this is its first step.
    ``exact``: does the share that arrives follow the commanded one?
    """

    step: int
    trial: Trial
    began: float
    since: float
    counted: dict[float, Batch]
    last: float
    past: Batch | None
    exact: bool

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
class _OldSide:
    """The old side as it stood when a step began: its quantiles in seconds, and its
    over-dispersion."""

    step: int
    tau: Mapping[str, float]
    dispersion: Mapping[str, float]


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
        self._old_side: _OldSide | None = None
        self._next_probes = 0.0
        self._troubled = False
        self._rounds = Rounds(readiness, clock)

    def evidence(self, move: Move) -> Evidence:
        judged = self._judge_of(move)
        self._probe_round(move, judged.trial)
        until = self._clock() - self._settings.figures.lateness
        try:
            alone = self._read(move, judged, until)
        except FiguresIncomplete as error:
            self._judged = judged
            return self._incomplete(judged, error)
        if not alone:
            # A rival recorded this time: judge what stands in the journal, at the next look.
            self._judged = None
            return Evidence(Verdict.UNSURE, said("traffic.rival_records"))
        self._judged = judged
        return self._with_unread(self._suspected(judged.trial.evidence(), until - judged.since))

    def _read(
        self,
        move: Move,
        judged: _Judged,
        until: float,
    ) -> bool:
        """Record and judge what is new, and what came late of what was read before.  False: another
        driver records as well."""
        old = self._old_side_of(move, judged)
        bounds = bounds_of(self._margins, old.tau, judged.trial.measured_by(move.share))
        asked = Asked(
            move.share,
            move.stepped,
            judged.again_from(again_s(self._settings)),
            until,
            old.tau,
            bounds,
            judged.exact,
            old.dispersion,
        )
        for read in self._source.batches(asked):
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
        says = said(
            "traffic.figures_incomplete",
            metric=error.metric,
            status=error.status,
        )
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
            "traffic.unread",
            reason=evidence.reason,
            lines=unread.lines,
            files=unread.files,
        )
        return replace(evidence, reason=says)

    def _suspected(self, evidence: Evidence, silent_s: float) -> Evidence:
        """The evidence with the target that failed its last probe, if one did."""
        figures = {**evidence.figures, "behind_s": max(0.0, silent_s)}
        evidence = replace(evidence, figures=figures)
        if not self._rounds.suspects:
            return evidence
        target, trouble = next(iter(self._rounds.suspects.items()))
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
        exact = self._router.exact
        trial = trial_over(
            self._settings,
            move,
            batches,
            not exact,
        )
        # The clock that wrote the entry may have been ahead: no step begins after now.
        began = min(
            self._journal.stepped_at(move) + self._router.delay_s,
            self._clock(),
        )
        figures = [batch for batch in batches if not batch.only_probes]
        read = of_step(figures, move.stepped)
        since = max([began, *(batch.start + batch.seconds for batch in read)])
        last = max((batch.start for batch in read), default=began)
        past = figures[-1] if figures else None
        return _Judged(
            move.stepped,
            trial,
            began,
            since,
            _counted(read),
            last,
            past,
            exact,
        )

    def _old_side_of(self, move: Move, judged: _Judged) -> _OldSide:
        """The old side's quantiles and over-dispersion as they stood when this step began, whoever
        looks and however late."""
        if self._old_side is not None and self._old_side.step == move.stepped:
            return self._old_side
        past = judged.past
        if past is not None and past.step == move.stepped and (past.tau or past.dispersion):
            return self._keep(_OldSide(move.stepped, past.tau, past.dispersion))
        found = self._ask_old_side(move.stepped, judged)
        # Without figures of the old side yet it is asked again at the next look.
        return self._keep(found) if self._is_known(found.tau) else found

    def _is_known(self, tau: Mapping[str, float]) -> bool:
        return bool(tau) or bool(self._margins.fast_enough_ms)

    def _ask_old_side(self, step: int, judged: _Judged) -> _OldSide:
        late = self._clock() - self._settings.figures.lateness
        began = min(judged.began, late)
        known = judged.past or _NO_BATCH
        # At 100% nobody asks the old side any more.
        tau = self._tau(began, late) or known.tau
        dispersion = known.dispersion
        if not dispersion and self._is_known(tau):
            dispersion = self._past(began, tau)
        return _OldSide(step, tau, dispersion)

    def _keep(self, found: _OldSide) -> _OldSide:
        self._old_side = found
        return found

    def _tau(self, began: float, late: float) -> Mapping[str, float]:
        """From before the step; where nothing was asked then, as they are; none where one fixed
        bound judges."""
        if self._margins.fast_enough_ms:
            return {}
        return self._source.quantiles(began) or self._source.quantiles(late)

    def _past(self, began: float, tau: Mapping[str, float]) -> Mapping[str, float]:
        """A day that cannot be read completely is not known: it is learnt on the way, and asked for
        again at the next step."""
        try:
            past = self._source.past(began, self._past_bounds(tau))
        except FiguresIncomplete:
            return {}
        return on_fewer_targets(past, *self._targets())

    def _targets(self) -> tuple[int, int]:
        """Healthy targets of the old and of the new side; 0: not known."""
        try:
            old = self._readiness.members("old")
            new = self._readiness.members("new")
        except AwsUnreachable:
            return 0, 0
        return len(old.healthy), len(new.healthy)

    def _past_bounds(self, tau: Mapping[str, float]) -> Mapping[str, float]:
        """Metric -> the time above which an answer counts."""
        if self._margins.fast_enough_ms:
            return {"latency": self._margins.fast_enough_ms / 1000}
        return tau

    def _probe_round(self, move: Move, trial: Trial) -> None:
        """Look at both sides' targets now and then, and ask each healthy one the project's checks;
        a round is a batch without requests."""
        now = self._clock()
        if now < self._next_probes:
            return
        self._next_probes = now + PROBE_EVERY_S
        try:
            sides = self._rounds.ask()
        except AwsUnreachable:
            return  # nobody looked; figures may be there all the same
        batch = Batch(
            round(now, 3),
            PROBE_EVERY_S,
            move.share,
            {"": sides},
            move.stepped,
        )
        trouble = any(arm.probe_failed for arm in sides.values()) or sides["new"].healthy == 0
        if trouble or self._troubled:
            # Of rounds without trouble only the first after one is worth keeping.
            record(self._journal, move, batch)
        self._troubled = trouble
        trial.look(batch)


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
