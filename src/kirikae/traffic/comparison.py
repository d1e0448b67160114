"""Above share 0: figures of both sides are read, recorded and judged; probes go on beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move
from kirikae.model.said import Said, said
from kirikae.move.journal import Journal
from kirikae.move.judge import Margins
from kirikae.traffic.batches import Arm, Batch, of_step, record, recorded
from kirikae.traffic.figures import Asked, Figures
from kirikae.traffic.judging import margins_of, trial_over
from kirikae.traffic.readiness import Readiness
from kirikae.traffic.routers import Router
from kirikae.traffic.settings import TrafficMove
from kirikae.traffic.trial import Trial

PROBE_EVERY_S = 5.0
_WITH_SUSPECT = {
    "traffic.failed_probes": "traffic.failed_probes_at",
    "traffic.probes_again": "traffic.probes_again_at",
}


@dataclass(slots=True)
class _Judged:
    """The judge of one step, and the time from which figures are still to be read."""

    step: int
    trial: Trial
    since: float


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
        late = self._settings.figures.lateness
        tau = self._tau_of(move)
        bounds = bounds_of(self._margins, tau, judged.trial.next_share(move.share))
        until = self._clock() - late
        asked = Asked(move.share, move.stepped, judged.since, until, tau, bounds)
        for batch in self._source.batches(asked):
            if not record(self._journal, move, batch):
                # A rival recorded this time: judge what stands in the journal, at the next look.
                self._judged = None
                return Evidence(Verdict.UNSURE, said("traffic.rival_records"))
            judged.trial.look(batch)
            judged.since = batch.start + batch.seconds
        self._judged = judged
        return self._suspected(judged.trial.evidence(), self._clock() - late - judged.since)

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
        read = [b for b in of_step(batches, move.stepped) if not b.only_probes]
        since = stepped_at + self._router.delay_s
        if read:
            since = max(batch.start + batch.seconds for batch in read)
        return _Judged(move.stepped, trial, since)

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


def bounds_of(
    margins: Margins, tau: Mapping[str, float], next_share: int
) -> dict[str, list[float]]:
    """The times in seconds at which each side's answers are counted."""
    if margins.fast_enough_ms:
        bound = margins.fast_enough_ms / 1000
        return {"old": [bound], "new": [bound]}
    wider = {bound for old in tau.values() for bound in margins.bounds(old, next_share)}
    return {"old": sorted(set(tau.values())), "new": sorted(wider)}
