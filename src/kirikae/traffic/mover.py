"""The traffic mover: weights on a listener rule, readiness at share 0, figures of both sides above
it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from kirikae.aws import elbv2, logs_bucket
from kirikae.aws.session import Aws
from kirikae.model.errors import KirikaeError
from kirikae.model.evidence import Arm, Batch, Evidence, Verdict
from kirikae.model.finding import Finding, blocking, with_accepted
from kirikae.model.move import Move, Phase
from kirikae.model.project import Project, TrafficMove
from kirikae.model.share import WHOLE, percent
from kirikae.move.journal import Journal
from kirikae.move.judge import Margins
from kirikae.move.mover import HandOnKnob
from kirikae.move.trial import Trial
from kirikae.traffic import ready
from kirikae.traffic.access_log import AccessLog
from kirikae.traffic.figures import CloudWatch, Figures, Places
from kirikae.traffic.forecast import StepForecast, Today, forecast, today
from kirikae.traffic.old_side import Pin
from kirikae.traffic.probes import Probe, probe_all, sign_in_trouble
from kirikae.traffic.routers import RecordRouter, Router, RuleRouter

PROBE_EVERY_S = 5.0
RETIRE_TTLS = 10
"""By DNS, the old side must have been asked nothing for so many TTLs: resolvers pin beyond it."""


class NotPrepared(KirikaeError):
    """Something that must stand before the share may rise does not stand."""


def margins_of(settings: TrafficMove) -> Margins:
    judge = settings.judge
    return Margins(
        judge.false_alarms,
        judge.worse_requests_at_most,
        judge.bake,
        judge.slower_at_most,
        judge.fast_enough or 0.0,
    )


def trial_of(settings: TrafficMove, plan: Sequence[int], sticky: bool = False) -> Trial:
    """The judge of an attempt, with the guards that the project file asks for."""
    # DNS answers are no share of requests
    judge = settings.judge
    sticky = sticky or settings.router.record is not None
    return Trial(
        margins_of(settings),
        plan,
        judge.warm_up,
        1.0 if judge.ceiling is None else judge.ceiling,
        sticky,
        times=True,
    )


def trial_over(
    settings: TrafficMove, move: Move, batches: Iterable[Batch], sticky: bool = False
) -> Trial:
    """A trial that has judged these batches of the move's attempt."""
    trial = trial_of(settings, move.plan, sticky)
    for batch in batches:
        trial.look(batch)
    return trial.at(move.stepped, move.share)


class StillAsked(KirikaeError):
    """The old side still answers requests."""


class TrafficMover:
    """One instance per process; what it remembers between looks can be rebuilt from the journal."""

    def __init__(
        self,
        aws: Aws,
        project: Project,
        settings: TrafficMove,
        journal: Journal,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._aws = aws
        self._project = project
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._margins = margins_of(settings)
        self._places: Places | None = None
        self._router: Router | None = None
        self._judged: tuple[int, Trial, float] | None = None
        self._tau: tuple[int, dict[str, float]] | None = None
        self._source: Figures | None = None
        self._next_probes = 0.0
        self._troubled = False
        self._suspects = dict[str, str]()
        self.pin = Pin(aws, project.fleets.old, journal, clock)

    # --- where things are

    def places(self) -> Places:
        """Raises NotThere."""
        if self._places is None:
            fleets = self._project.fleets
            asked = self._settings.router
            old, new = (
                elbv2.target_group(self._aws, fleet.target_group)
                for fleet in (fleets.old, fleets.new)
            )
            if asked.listener_rule is None:
                for group in (old, new):
                    if not group.balancer:
                        raise NotPrepared(
                            f"target group {group.name} stands behind no load balancer, "
                            "which is where figures come from"
                        )
                self._places = Places(None, old, new, old.balancer, new.balancer)
            else:
                rule_arn = elbv2.find_rule(self._aws, asked.listener_rule)
                balancer = elbv2.rule(self._aws, rule_arn).balancer_dimension
                self._places = Places(rule_arn, old, new, balancer, balancer)
        return self._places

    @property
    def router(self) -> Router:
        """Raises NotThere."""
        if self._router is None:
            record = self._settings.router.record
            places = self.places()
            if record is not None:
                self._router = RecordRouter(self._aws, record, self._journal, self._clock)
            else:
                assert places.rule_arn is not None
                self._router = RuleRouter(self._aws, places.rule_arn, places.old, places.new)
        return self._router

    def found_share(self) -> int | None:
        """The share that the weights give now; None if they say nothing about it."""
        return self.router.share()

    def findings(self) -> list[Finding]:
        """What stands in the way of this move, or should be known before it."""
        found = ready.findings(
            self._aws, self._project, self._settings, self.places(), self._clock()
        )
        return with_accepted(
            found, self._project.accepted, datetime.fromtimestamp(self._clock(), UTC).date()
        )

    # --- the seven methods

    def prepare(self, move: Move) -> None:
        if in_the_way := blocking(self.findings(), "traffic"):
            raise NotPrepared("\n".join(map(str, in_the_way)))
        self.router.prepare(move)

    def start(self, move: Move) -> None:
        found = self.found_share()
        if found != 0:
            at = "an unknown share" if found is None else percent(found)
            raise NotPrepared(
                f"the weights are at {at} before the move began; set the new side's "
                "weight to 0 first"
            )
        self.router.set_share(0)
        self.pin.pin(move, self.places().old)

    def shift(self, move: Move, share: int, expected: tuple[int, ...] | None) -> None:
        found = self.found_share()
        if expected is not None and found not in expected:
            at = "weights of its own" if found is None else percent(found)
            raise HandOnKnob(
                -1 if found is None else found,
                move.share,
                f"somebody else set the weights to {at} while the step to "
                f"{percent(share)} was due; it is left as it is: "
                f"`kirikae move resume {move.name}` sets it back to "
                f"{percent(move.share)} and goes on",
            )
        if found != share:
            self.router.set_share(share)

    def settle(self, move: Move) -> None:
        self.shift(move, WHOLE, (WHOLE,))

    def retire(self, move: Move) -> None:
        """The old side's bounds as they were; the share is pinned, and the removal plan is written
        by whoever retires."""
        self.pin.release(move)

    def assert_nobody_asks_the_old_side(self) -> None:
        """Asked before an order to retire.  Raises StillAsked: clients that stick to it, or another
        rule that leads there."""
        places = self.places()
        source = self._settings.figures
        period_s = 1 if source.period < 60 else 60
        seconds = max(3 * period_s, RETIRE_TTLS * self.router.delay_s)
        periods = math.ceil(seconds / period_s)
        asked = ready.requests_at(
            self._aws,
            places.old,
            places.old_balancer,
            self._clock() - source.lateness,
            period_s,
            periods,
        )
        if asked:
            raise StillAsked(
                f"{places.old.name} answered {asked} request(s) in the last "
                f"{periods * period_s} s that are known: wait until clients that "
                "stick to it and resolvers that remember it are gone, look for another "
                "way that leads there, then retire again"
            )

    def discard(self, move: Move) -> None:
        if self.found_share() not in (0, None):
            self.shift(move, 0, None)
        self.pin.release(move)

    def compare(self, move: Move) -> Evidence:
        found = self.found_share()
        if move.phase is Phase.SETTLED:
            evidence = Evidence(Verdict.UNSURE, "settled; the share is watched")
        elif found != move.share:
            evidence = Evidence(Verdict.UNSURE, "the share was changed by somebody else")
        elif move.share == 0:
            evidence = self._readiness(move)
        else:
            evidence = self._look_at_figures(move)
        return replace(evidence, found_share=-1 if found is None else found)

    def forecast(self, plan: Sequence[int]) -> tuple[Today, list[StepForecast]]:
        """What today's figures are, and what each step of the plan will take at them."""
        places = self.places()
        source = self._settings.figures
        known = today(self._aws, places, self._margins, plan, self._clock(), source.lateness)
        return known, forecast(self._margins, plan, known, source.lateness + source.period)

    # --- readiness at share 0

    def probes(self, group: elbv2.TargetGroup) -> list[Probe]:
        healthy = [
            (t.address, t.port) for t in elbv2.targets(self._aws, group) if t.state == "healthy"
        ]
        return probe_all(healthy, self._project.checks, self._project.release_header)

    def _readiness(self, move: Move) -> Evidence:
        if waits_for := self.router.not_ready(move):
            return Evidence(Verdict.UNSURE, waits_for)
        old = self.places().old
        new = self.places().new
        figures: dict[str, float] = {}
        releases = set()
        for side, group in (("old", old), ("new", new)):
            states = [t.state for t in elbv2.targets(self._aws, group)]
            figures |= {f"{side}_healthy": states.count("healthy"), f"{side}_targets": len(states)}
            if "healthy" not in states:
                return Evidence(
                    Verdict.UNSURE,
                    f"the {side} side has no healthy target yet ({group.name})",
                    None,
                    figures,
                )
            unready = [s for s in states if s not in ("healthy", "draining")]
            if unready:
                return Evidence(
                    Verdict.UNSURE,
                    f"{len(unready)} target(s) of the {side} side are {unready[0]} ({group.name})",
                    None,
                    figures,
                )
            for answered in self.probes(group):
                if answered.trouble:
                    return Evidence(
                        Verdict.UNSURE,
                        f"{answered.target} on the {side} side: {answered.trouble}",
                        None,
                        figures,
                    )
                releases.add(answered.release)
        if self._project.release_header and (len(releases) != 1 or None in releases):
            shown = ", ".join(sorted(r or "none" for r in releases))
            return Evidence(
                Verdict.UNSURE,
                f"the members of both sides do not report one release ID but: {shown}",
                None,
                figures,
            )
        if trouble := self._sign_in():
            return Evidence(Verdict.UNSURE, trouble, None, figures)
        release = (
            f", release {next(iter(releases))} on both sides"
            if self._project.release_header
            else ""
        )
        return Evidence(
            Verdict.PASS,
            f"ready: {figures['old_healthy']:.0f} old and {figures['new_healthy']:.0f} "
            "new targets healthy, "
            f"{len(self._project.checks)} checks answered by each{release}",
            None,
            figures,
        )

    def _sign_in(self) -> str:
        """Signed in on one side, known on the other?  Both ways; empty: yes, or the project file
        says nothing of it."""
        settings = self._project.sign_in
        if settings is None:
            return ""
        sides = {}
        for side, group in (("old", self.places().old), ("new", self.places().new)):
            sides[side] = next(
                (t.address, t.port) for t in elbv2.targets(self._aws, group) if t.state == "healthy"
            )
        for there, here in (("old", "new"), ("new", "old")):
            if trouble := sign_in_trouble(sides[there], sides[here], settings):
                return f"signed in on the {there} side, not known on the {here} side: {trouble}"
        return ""

    # --- figures above share 0

    def _look_at_figures(self, move: Move) -> Evidence:
        trial, since = self._trial_of(move)
        self._probe_round(move, trial)
        late = self._settings.figures.lateness
        tau = self._tau_of(move)
        bounds = self._bounds(tau, trial.next_share(move.share))
        for batch in self._figures().batches(move, since, self._clock() - late, tau, bounds):
            if not self._journal.record(move, batch):
                # a rival recorded this time: judge what stands in the journal, at the next look
                self._judged = None
                return Evidence(Verdict.UNSURE, "another driver is recording figures of this step")
            trial.look(batch)
            since = batch.start + batch.seconds
        self._judged = (move.stepped, trial, since)
        evidence = trial.evidence()
        silent = self._clock() - late - since
        suspect = next((f"{target}: {trouble}" for target, trouble in self._suspects.items()), "")
        if suspect and "probes" in evidence.reason:
            evidence = replace(evidence, reason=f"{evidence.reason}: {suspect}")
        elif suspect and evidence.verdict is Verdict.PASS:
            evidence = replace(
                evidence,
                verdict=Verdict.UNSURE,
                reason=f"a probe of the new side failed and is asked again: {suspect}",
            )
        return replace(evidence, figures={**evidence.figures, "behind_s": max(0.0, silent)})

    def _bounds(self, tau: dict[str, float], next_share: int) -> dict[str, list[float]]:
        """The times at which each side's answers are counted."""
        if self._margins.fast_enough_ms:
            bound = self._margins.fast_enough_ms / 1000
            return {"old": [bound], "new": [bound]}
        wider = {bound for old in tau.values() for bound in self._margins.bounds(old, next_share)}
        return {"old": sorted(set(tau.values())), "new": sorted(wider)}

    def _trial_of(self, move: Move) -> tuple[Trial, float]:
        """The judge of this attempt and the time from which figures are still to be read.

        Figures count from the first whole period after the share was set, so that no batch mixes
        two shares."""
        if self._judged is not None and self._judged[0] == move.stepped:
            return self._judged[1], self._judged[2]
        batches = self._journal.batches(move)
        trial = trial_over(self._settings, move, batches, not self.router.exact)
        stepped_at = (
            next(e.at for e in self._journal.entries(move.name) if e.move.seq == move.stepped)
            + self.router.delay_s
        )
        return trial, max(
            [b.start + b.seconds for b in batches if b.step == move.stepped and not b.only_probes],
            default=stepped_at,
        )

    def _tau_of(self, move: Move) -> dict[str, float]:
        """The old side's quantiles as they stood when this step began; none where one fixed bound
        judges."""
        if self._margins.fast_enough_ms:
            return {}
        if self._tau is None or self._tau[0] != move.stepped:
            known = [
                dict(b.tau) for b in self._journal.batches(move) if b.step == move.stepped and b.tau
            ]
            tau = (
                known[0]
                if known
                else self._figures().quantiles(self._clock() - self._settings.figures.lateness)
            )
            if not tau:
                return {}  # no figures of the old side yet: asked again at the next look
            self._tau = (move.stepped, tau)
        return self._tau[1]

    def _figures(self) -> Figures:
        """The source that the project file names.  Raises NotThere."""
        if self._source is None:
            places = self.places()
            settings = self._settings.figures
            if settings.source == "access_log" and places.rule_arn is not None:
                place = logs_bucket.place_of(self._aws, elbv2.balancer_arn(places.rule_arn))
                per_client = settings.count == "clients"
                period_s = int(settings.period)
                self._source = AccessLog(
                    self._aws, place, places.old, places.new, period_s, settings.routes, per_client
                )
            else:
                self._source = CloudWatch(self._aws, places, int(settings.period))
        return self._source

    def _probe_round(self, move: Move, trial: Trial) -> None:
        """Ask every healthy target of both sides the project's checks, now and then; a round is a
        batch without requests."""
        now = self._clock()
        if not self._project.checks or now < self._next_probes:
            return
        self._next_probes = now + PROBE_EVERY_S
        troubles = {
            side: {p.target: p.trouble for p in self.probes(group) if p.trouble}
            for side, group in (("old", self.places().old), ("new", self.places().new))
        }
        # One bad answer may be chance, as in an incident of both sides: harm is a target that fails
        # in one round after another.
        lasting = [target for target in troubles["new"] if target in self._suspects]
        self._suspects = troubles["new"]
        sides = {
            "old": Arm(probe_failed=len(troubles["old"])),
            "new": Arm(probe_failed=len(lasting)),
        }
        batch = Batch(round(now, 3), PROBE_EVERY_S, move.share, {"": sides}, move.stepped)
        if any(arm.probe_failed for arm in sides.values()) or self._troubled:
            self._journal.record(
                move, batch
            )  # of rounds without trouble only the first after one is worth keeping
        self._troubled = any(arm.probe_failed for arm in sides.values())
        trial.look(batch)
