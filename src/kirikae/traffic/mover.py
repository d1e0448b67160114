"""The traffic mover: weights on a listener rule, readiness at share 0, figures of both sides above it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from kirikae.aws import elbv2
from kirikae.aws.session import Aws
from kirikae.model.errors import KirikaeError
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Confidence, Finding, Severity, Trace, blocking, with_accepted
from kirikae.model.move import Move, Phase
from kirikae.model.project import Project, TrafficMove
from kirikae.model.share import WHOLE, percent
from kirikae.move.journal import Journal
from kirikae.move.judge import Judge, Margins
from kirikae.move.mover import HandOnKnob
from kirikae.traffic.figures import old_quantile_ms, read_batches
from kirikae.traffic.probes import Probe, probe
from kirikae.traffic.weights import share_of, weights_for


class NotPrepared(KirikaeError):
    """Something that must stand before the share may rise does not stand."""


def margins_of(settings: TrafficMove) -> Margins:
    judge = settings.judge
    return Margins(judge.false_alarms, judge.worse_requests_at_most, judge.bake, judge.slower_at_most, judge.fast_enough or 0.0)


class TrafficMover:
    """One instance per process; what it remembers between looks can be rebuilt from the journal."""

    def __init__(self, aws: Aws, project: Project, settings: TrafficMove, journal: Journal, clock: Callable[[], float] = time.time) -> None:
        self._aws, self._project, self._settings, self._journal, self._clock = aws, project, settings, journal, clock
        self._margins = margins_of(settings)
        self._places: tuple[str, elbv2.TargetGroup, elbv2.TargetGroup] | None = None
        self._judged: tuple[int, Judge, float] | None = None
        self._tau: tuple[int, float] | None = None

    # --- where things are -----------------------------------------------------------------------------------------

    def places(self) -> tuple[str, elbv2.TargetGroup, elbv2.TargetGroup]:
        """(rule ARN, old target group, new target group).  Raises NotThere."""
        if self._places is None:
            fleets = self._project.fleets
            self._places = (
                elbv2.find_rule(self._aws, self._settings.router.listener_rule),
                elbv2.target_group(self._aws, fleets.old.target_group),
                elbv2.target_group(self._aws, fleets.new.target_group),
            )
        return self._places

    def found_share(self) -> int | None:
        """The share that the rule's weights give now; None if they say nothing about it."""
        rule_arn, old, new = self.places()
        return share_of(elbv2.rule(self._aws, rule_arn).weights, old.arn, new.arn)

    def findings(self) -> list[Finding]:
        """What stands in the way of this move, or should be known before it."""
        rule_arn, old, new = self.places()
        rule, found = elbv2.rule(self._aws, rule_arn), []
        others = set(rule.weights) - {old.arn, new.arn}
        if old.arn not in rule.weights or others:
            found.append(
                Finding(
                    "TR01", rule_arn, "the rule does not forward to the old side alone (or to both sides)",
                    "point the rule at the old target group first", Severity.BLOCKS, Confidence.OBSERVED, ("traffic",),
                    (Trace("", rule_arn, f"it forwards to {', '.join(sorted(rule.weights))}"),),
                )
            )  # fmt: skip
        if rule.stickiness_s > self._settings.judge.bake:
            found.append(
                Finding(
                    "TR02", rule_arn, "clients stick to a target group for longer than a step lasts",
                    "switch the rule's target group stickiness off, or make it shorter than a step", Severity.HIGH,
                    evidence=(Trace("", rule_arn, f"stickiness {rule.stickiness_s} s, bake {self._settings.judge.bake:.0f} s"),),
                )
            )  # fmt: skip
        if not any(t.state == "healthy" for t in elbv2.targets(self._aws, old)):
            found.append(
                Finding(
                    "TR03", old.arn, "the old side has no healthy target: a back-out would have nowhere to go",
                    "repair the old side first", Severity.BLOCKS, Confidence.OBSERVED, ("traffic",),
                    (Trace("", old.arn, "no target is healthy"),),
                )
            )  # fmt: skip
        return with_accepted(found, self._project.accepted, datetime.fromtimestamp(self._clock(), UTC).date())

    # --- the seven methods ----------------------------------------------------------------------------------------

    def prepare(self, move: Move) -> None:
        if in_the_way := blocking(self.findings(), "traffic"):
            raise NotPrepared("\n".join(map(str, in_the_way)))
        self._with_both_groups()

    def _with_both_groups(self) -> elbv2.Rule:
        """The rule, with the new side's target group in it (at weight 0) if it was missing."""
        rule_arn, old, new = self.places()
        rule = elbv2.rule(self._aws, rule_arn)
        if new.arn in rule.weights:
            return rule
        old_weight, new_weight = weights_for(0)
        elbv2.set_weights(self._aws, rule, {old.arn: old_weight, new.arn: new_weight})
        return elbv2.rule(self._aws, rule_arn)

    def start(self, move: Move) -> None:
        found = self.found_share()
        if found != 0:
            at = "an unknown share" if found is None else percent(found)
            raise NotPrepared(f"the rule is at {at} before the move began; set the new side's weight to 0 first")

    def shift(self, move: Move, share: int, expected: tuple[int, ...] | None) -> None:
        _, old, new = self.places()
        rule = self._with_both_groups()
        found = share_of(rule.weights, old.arn, new.arn)
        if expected is not None and found not in expected:
            at = "weights of its own" if found is None else percent(found)
            raise HandOnKnob(
                -1 if found is None else found, move.share,
                f"somebody else set the rule to {at} while the step to {percent(share)} was due; it is left as it is: "
                f"`kirikae move resume {move.name}` sets it back to {percent(move.share)} and goes on",
            )  # fmt: skip
        if found == share:
            return
        old_weight, new_weight = weights_for(share)
        elbv2.set_weights(self._aws, rule, {old.arn: old_weight, new.arn: new_weight})

    def settle(self, move: Move) -> None:
        self.shift(move, WHOLE, (WHOLE,))

    def retire(self, move: Move) -> None:
        """Nothing to change: the share is pinned, and the removal plan is written by whoever retires."""

    def discard(self, move: Move) -> None:
        if self.found_share() not in (0, None):
            self.shift(move, 0, None)

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

    # --- readiness at share 0 -------------------------------------------------------------------------------------

    def probes(self, group: elbv2.TargetGroup) -> list[Probe]:
        healthy = [t for t in elbv2.targets(self._aws, group) if t.state == "healthy"]
        return [probe(t.address, t.port, self._project.checks, self._project.release_header) for t in healthy]

    def _readiness(self, move: Move) -> Evidence:
        _, old, new = self.places()
        figures: dict[str, float] = {}
        releases = set()
        for side, group in (("old", old), ("new", new)):
            states = [t.state for t in elbv2.targets(self._aws, group)]
            figures |= {f"{side}_healthy": states.count("healthy"), f"{side}_targets": len(states)}
            if "healthy" not in states:
                return Evidence(Verdict.UNSURE, f"the {side} side has no healthy target yet ({group.name})", None, figures)
            unready = [s for s in states if s not in ("healthy", "draining")]
            if unready:
                return Evidence(
                    Verdict.UNSURE, f"{len(unready)} target(s) of the {side} side are {unready[0]} ({group.name})", None, figures
                )
            for answered in self.probes(group):
                if answered.trouble:
                    return Evidence(Verdict.UNSURE, f"{answered.target} on the {side} side: {answered.trouble}", None, figures)
                releases.add(answered.release)
        if self._project.release_header and (len(releases) != 1 or None in releases):
            shown = ", ".join(sorted(r or "none" for r in releases))
            return Evidence(Verdict.UNSURE, f"the members of both sides do not report one release ID but: {shown}", None, figures)
        release = f", release {next(iter(releases))} on both sides" if self._project.release_header else ""
        return Evidence(
            Verdict.PASS,
            f"ready: {figures['old_healthy']:.0f} old and {figures['new_healthy']:.0f} new targets healthy, "
            f"{len(self._project.checks)} checks answered by each{release}", None, figures,
        )  # fmt: skip

    # --- figures above share 0 ------------------------------------------------------------------------------------

    def _look_at_figures(self, move: Move) -> Evidence:
        judge, since = self._judge_of(move)
        rule_arn, old, new = self.places()
        balancer = elbv2.rule(self._aws, rule_arn).balancer_dimension
        source = self._settings.figures
        until = self._clock() - source.lateness
        tau_ms = self._tau_ms(move, old.dimension, balancer)
        thresholds = self._margins.thresholds_ms(tau_ms, judge.next_share(move.share))
        if self._margins.fast_enough_ms:
            tau_ms = self._margins.fast_enough_ms
        rate = 0.0
        for batch in read_batches(
            self._aws, old.dimension, new.dimension, balancer, move, since, until, int(source.period), tau_ms, thresholds
        ):
            if not self._journal.record(move, batch):
                self._judged = None  # a rival recorded this time: judge what stands in the journal, at the next look
                return Evidence(Verdict.UNSURE, "another driver is recording figures of this step")
            judge.add(batch)
            since = batch.start + batch.seconds
            rate = batch.new.requests / batch.seconds
        self._judged = (move.stepped, judge, since)
        evidence = judge.evidence(rate)
        silent = self._clock() - source.lateness - since
        return replace(evidence, figures={**evidence.figures, "tau_ms": tau_ms, "rate_per_s": rate, "behind_s": max(0.0, silent)})

    def _judge_of(self, move: Move) -> tuple[Judge, float]:
        """The judge of this attempt and the time from which figures are still to be read.

        Figures count from the first whole period after the share was set, so that no batch mixes two shares.
        """
        if self._judged is not None and self._judged[0] == move.stepped:
            return self._judged[1], self._judged[2]
        judge = Judge(self._margins, move.plan)
        batches = self._journal.batches(move)
        for batch in batches:
            judge.add(batch)
        stepped_at = next(e.at for e in self._journal.entries(move.name) if e.move.seq == move.stepped)
        since = max([b.start + b.seconds for b in batches if b.step == move.stepped], default=stepped_at)
        return judge.at(move.stepped, move.share), since

    def _tau_ms(self, move: Move, old: str, balancer: str) -> float:
        """The old side's 95th percentile as it stood when this step began."""
        if self._margins.fast_enough_ms:
            return self._margins.fast_enough_ms
        if self._tau is None or self._tau[0] != move.stepped:
            known = [b.tau_ms for b in self._journal.batches(move) if b.step == move.stepped]
            tau = known[0] if known else old_quantile_ms(self._aws, old, balancer, self._clock(), self._settings.figures.lateness)
            self._tau = (move.stepped, tau)
        return self._tau[1]
