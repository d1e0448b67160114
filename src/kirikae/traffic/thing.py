"""Traffic as a thing that moves: weights, readiness at share 0, figures of both sides above it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property

from kirikae.aws import elbv2, logs_bucket
from kirikae.aws.errors import AwsRefused
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable, KirikaeError
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Finding, blocking, with_accepted
from kirikae.model.move import Move, Phase
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE, percent
from kirikae.move.errors import assert_no_hand
from kirikae.move.journal import Journal
from kirikae.move.kind import Fact, Prospects, Told
from kirikae.traffic import obstacles, telling
from kirikae.traffic.access_log import AccessLog
from kirikae.traffic.alike import against_itself
from kirikae.traffic.batches import Batch, recorded
from kirikae.traffic.comparison import Comparison
from kirikae.traffic.cost import extra_cost_per_day
from kirikae.traffic.errors import NotPrepared, StillAsked
from kirikae.traffic.figures import (
    PAST_PERIOD_S,
    CloudWatch,
    Figures,
    Places,
)
from kirikae.traffic.forecast import (
    Today,
    forecast,
    smaller_plan,
    today,
)
from kirikae.traffic.judging import margins_of, trial_of
from kirikae.traffic.old_side import OldSide, Pin
from kirikae.traffic.past import Past, past_of
from kirikae.traffic.places import places_of
from kirikae.traffic.prospects import prospects_of
from kirikae.traffic.readiness import Readiness
from kirikae.traffic.removal import removal_plan
from kirikae.traffic.routers import RecordRouter, Router, rule_router
from kirikae.traffic.settings import TrafficMove
from kirikae.traffic.trial import Trial

RETIRE_TTLS = 10
"""By DNS, the old side must have been asked nothing for so many TTLs: resolvers pin beyond it."""


class TrafficThing:
    """One instance per process; what it remembers between looks can be rebuilt from the journal."""

    look_every_s = 1.0

    def __init__(
        self,
        aws: Aws,
        project: Project,
        settings: TrafficMove,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self._aws = aws
        self._project = project
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._margins = margins_of(settings)
        self._onlooker = _Onlooker()
        self.pin = Pin(
            aws,
            project.fleets.old,
            journal,
            clock,
        )

    @property
    def subject(self) -> str:
        router = self._settings.router
        turned = router.listener_rule or (router.record.name if router.record else "")
        fleets = self._project.fleets
        return f"{turned}: {fleets.old.target_group} -> {fleets.new.target_group}"

    # --- where things are; each raises NotThere

    @cached_property
    def places(self) -> Places:
        return places_of(self._aws, self._project.fleets, self._settings.router)

    @cached_property
    def router(self) -> Router:
        record = self._settings.router.record
        if record is not None:
            return RecordRouter(
                self._aws,
                record,
                self._journal,
                self._clock,
            )
        name = self._settings.router.listener_rule
        assert name is not None
        return rule_router(self._aws, self._project, name)

    @cached_property
    def source(self) -> Figures:
        """The source that the project file names."""
        places = self.places
        settings = self._settings.figures
        period_s = int(settings.period)
        if settings.source == "cloudwatch" or places.rule_arn is None:
            return CloudWatch(self._aws, places, period_s)
        place = logs_bucket.place_of(self._aws, elbv2.balancer_arn(places.rule_arn))
        per_client = settings.count == "clients"
        return AccessLog(
            self._aws,
            place,
            places.old,
            places.new,
            period_s,
            settings.routes,
            per_client,
        )

    @cached_property
    def readiness(self) -> Readiness:
        return Readiness(self._aws, self._project, self.places)

    @cached_property
    def comparison(self) -> Comparison:
        return Comparison(
            self._settings,
            self._journal,
            self.router,
            self.source,
            self.readiness,
            self._clock,
        )

    # --- the seven acts

    def prepare(self, move: Move) -> None:
        in_the_way = blocking(self.obstacles(), "traffic")
        if in_the_way:
            raise NotPrepared("\n".join(map(str, in_the_way)))
        self.router.prepare(move)

    def start(self, move: Move) -> None:
        found = self.router.share()
        if found != 0:
            at = "an unknown share" if found is None else percent(found)
            raise NotPrepared(
                f"the weights are at {at} before the move began; "
                "set the new side's weight to 0 first"
            )
        self.router.set_share(0)
        self.pin.pin(move, self.places.old)

    def compare(self, move: Move) -> Evidence:
        found = self.router.share()
        if move.phase is Phase.SETTLED:
            evidence = Evidence(Verdict.UNSURE, said("traffic.settled"))
        elif found != move.share:
            evidence = Evidence(Verdict.UNSURE, said("traffic.changed_elsewhere"))
        elif move.share == 0:
            evidence = self._readiness(move)
        else:
            evidence = self.comparison.evidence(move)
        return replace(evidence, found=found)

    def _readiness(self, move: Move) -> Evidence:
        waits_for = self.router.not_ready(move)
        if waits_for is not None:
            return Evidence(Verdict.UNSURE, waits_for)
        return self.readiness.evidence()

    def shift(
        self,
        name: str,
        share: int,
        expected: tuple[int, ...] | None,
    ) -> None:
        if expected is None and share == 0:
            self.router.back_out()
            return
        if expected is not None:
            found = self.router.share()
            assert_no_hand(found, expected)
            if found == share:
                return
        self.router.set_share(share)

    def found(self) -> int | None:
        return self.router.share()

    @property
    def delay_s(self) -> float:
        return self.router.delay_s

    def settle(self, move: Move) -> None:
        self.shift(move.name, WHOLE, (WHOLE,))

    def retire(self, move: Move) -> None:
        """The old side's bounds as they were; the share is pinned, and the removal plan is written
        by whoever retires."""
        self.pin.release(move)

    def discard(self, move: Move) -> None:
        self.shift(move.name, 0, None)
        self.pin.release(move)

    # --- the eight looks

    def plan(self) -> tuple[int, ...]:
        return self._settings.plan

    def obstacles(self) -> list[Finding]:
        now = self._clock()
        found = obstacles.obstacles(
            self._aws,
            self._project,
            self._settings,
            self.places,
            now,
        )
        day = datetime.fromtimestamp(now, UTC).date()
        return with_accepted(found, self._project.accepted, day)

    def prospects(self) -> Prospects:
        figures = self._settings.figures
        plan = self.plan()
        now = self._clock()
        known = today(
            self._aws,
            self.places,
            self._margins,
            plan,
            now,
            figures.lateness,
        )
        late_s = figures.lateness + figures.period
        past = self._past(known, now - figures.lateness)
        if past is not None:
            known = replace(known, dispersion=past.zones.dispersion)
        forecasts = forecast(
            self._margins,
            plan,
            known,
            late_s,
        )
        return prospects_of(
            self._margins,
            plan,
            known,
            forecasts,
            None if past is None else against_itself(self._margins, past.parts()),
            smaller_plan(
                self._margins,
                plan,
                known,
                late_s,
            ),
        )

    def _past(self, known: Today, until: float) -> Past | None:
        """None where nothing is known of the old side."""
        if not known.per_s:
            return None
        logs = self._settings.figures.source == "access_log"
        return past_of(
            CloudWatch(self._aws, self.places, PAST_PERIOD_S),
            self._access_log() if logs else None,
            self._margins,
            known.tau,
            until,
        )

    def _access_log(self) -> AccessLog | None:
        """None: a plan may be made before the log can be read, and says that it is not known."""
        try:
            source = self.source
        except AwsRefused:
            return None
        return source if isinstance(source, AccessLog) else None

    def facts(self, move: Move | None) -> list[Fact]:
        old = self.pin.look(move, self.places.old)
        found = [
            self._share_fact(),
            Fact("old_side", old.to_plain(), old.says),
        ]
        delay_s = self._back_out_delay_s()
        if delay_s:
            says = said("traffic.fact.back_out_delay", seconds=delay_s)
            found.append(Fact("back_out_delay_s", delay_s, says))
        if move is None or not move.over:
            found.append(self._cost_fact(old))
        return found

    def _share_fact(self) -> Fact:
        share = self.router.share()
        by_rule = self._settings.router.record is None
        shown: Said | str = said("traffic.fact.share_unknown") if share is None else percent(share)
        says = said(
            "traffic.fact.share_rule" if by_rule else "traffic.fact.share_dns",
            share=shown,
        )
        return Fact(
            "found_share",
            None if share is None else percent(share),
            says,
        )

    def _back_out_delay_s(self) -> float | None:
        """By DNS a back-out is as slow as resolvers forget."""
        try:
            return self.router.delay_s
        except (KirikaeError, AwsUnreachable):
            return None

    def _cost_fact(self, old: OldSide) -> Fact:
        cost = extra_cost_per_day(self._aws, self._project)
        raised = said("traffic.fact.not_raised")
        if old.added:
            raised = said("traffic.fact.raised", n=old.added)
        says = said("traffic.fact.cost_unknown", raised=raised)
        if cost is not None:
            says = said("traffic.fact.cost", cost=cost, raised=raised)
        return Fact("extra_cost_per_day_usd", cost, says)

    def recorded(self, move: Move) -> Evidence | None:
        """By the same judge as the driver's: where clients stick, the share that arrives is shown
        and not tested."""
        if move.phase is not Phase.RUNNING or not move.share:
            return None
        trial = self._onlooker.trial_of(move, self._fresh_trial)
        self._onlooker.look_at(recorded(self._journal, move), trial)
        return trial.at(move.stepped, move.share).evidence()

    def _fresh_trial(self, move: Move) -> Trial:
        return trial_of(self._settings, move.plan, not self.router.exact)

    def told(self, evidence: Evidence) -> Told | None:
        return telling.told(evidence.figures)

    def assert_may_retire(self, move: Move) -> None:
        """Raises StillAsked: clients that stick to the old side, or another rule that leads
        there."""
        places = self.places
        source = self._settings.figures
        period_s = 1 if source.period < 60 else 60
        seconds = max(3 * period_s, RETIRE_TTLS * self.router.delay_s)
        periods = math.ceil(seconds / period_s)
        until = self._clock() - source.lateness
        asked = obstacles.requests_at(
            self._aws,
            places.old,
            places.old_balancer,
            until,
            period_s,
            periods,
        )
        if asked:
            raise StillAsked(
                f"{places.old.name} answered {asked} request(s) in the last {periods * period_s} s "
                "that are known: wait until clients that stick to it and resolvers that remember "
                "it are gone, look for another way that leads there, then retire again"
            )

    def removal(self, move: Move) -> Said:
        record = self._settings.router.record
        return removal_plan(
            move.name,
            self._project,
            self.places,
            record,
        )


class _Onlooker:
    """What the recorded figures say, fed with what is new at each look."""

    def __init__(self) -> None:
        self._attempt: int | None = None
        self._seen = -math.inf
        self._trial: Trial | None = None

    def trial_of(self, move: Move, fresh: Callable[[Move], Trial]) -> Trial:
        if self._trial is None or move.attempt != self._attempt:
            self._trial = fresh(move)
            self._attempt = move.attempt
            self._seen = -math.inf
        return self._trial

    def look_at(self, batches: Iterable[Batch], trial: Trial) -> None:
        for batch in batches:
            if batch.start > self._seen:
                trial.look(batch)
                self._seen = batch.start
