"""Scales services: at each moment in which a datapoint becomes known or a schedule is due, the law
of scaling decides, and what it decides is one transaction with what it remembers."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kirikae.local.alarms.book import Book as Alarms
from kirikae.local.alarms.book import region_of
from kirikae.local.alarms.rows import ALARM, MISSING, OK
from kirikae.local.errors import AwsError
from kirikae.local.scaling.activities import settled
from kirikae.local.scaling.book import Book
from kirikae.local.scaling.datapoints import Datapoints
from kirikae.local.scaling.deciding import Look, decided, states_of
from kirikae.local.scaling.fleet import Fleet, Now
from kirikae.local.scaling.policies import Rings, Rule, rules_of
from kirikae.local.scaling.rows import Planned, Target
from kirikae.local.scaling.schedule import is_due
from kirikae.model.scaling import Measured, TargetTracking

log = logging.getLogger("kirikae.local.scaling")
_MINUTE_S = 60


class Autoscaler:
    """Of all regions."""

    def __init__(
        self,
        book: Book,
        alarms: Alarms,
        datapoints: Datapoints,
        fleet: Fleet,
    ) -> None:
        self._book = book
        self._alarms = alarms
        self._datapoints = datapoints
        self._fleet = fleet

    async def at(self, moment: int) -> None:
        """Every service of which something is to be decided; a moment that was decided on already
        is passed over."""
        for target in self._book.targets.all():
            if moment != target["last"]:
                try:
                    await self._look(target, moment)
                except (AwsError, OSError) as error:
                    log.warning(
                        "%s does not scale now: %s",
                        target["resource"],
                        error,
                    )

    async def _look(
        self,
        target: Target,
        moment: int,
    ) -> None:
        now = self._fleet.now(region_of(target["arn"]), target["resource"])
        if now is None:
            return
        self._settle(
            target,
            now,
            moment,
        )
        rules = rules_of(self._book.policies_of(target), self._alarms.alarms.all())
        found = await self._datapoints.at(
            target,
            rules,
            moment,
        )
        planned = self._due(target, moment)
        if found or planned:
            look = Look(
                moment,
                now,
                rules,
                found,
                self._ringing(rules),
                planned,
            )
            self._decide(target["arn"], look)

    def _due(
        self,
        target: Target,
        moment: int,
    ) -> list[Planned]:
        if moment % _MINUTE_S:
            return []
        minute = moment // _MINUTE_S
        return [each for each in self._book.planned_of(target) if is_due(each, minute)]

    def _ringing(self, rules: Sequence[Rule]) -> dict[str, bool]:
        """Users' own alarms of step policies."""
        found = {}
        for rule in rules:
            if isinstance(rule.source, Rings):
                alarm = self._alarms.alarms.get(rule.source.alarm)
                rings = alarm is not None and alarm["state"]["value"] == ALARM
                found[rule.policy.name] = rings
        return found

    def _decide(
        self,
        arn: str,
        look: Look,
    ) -> None:
        """All of it, or nothing of it.  Rows are read again: somebody may have changed them while
        figures were asked for."""
        region = region_of(arn)
        target = self._book.targets.get(arn)
        now = None if target is None else self._fleet.now(region, target["resource"])
        if target is None or now is None:
            return
        look = replace(look, now=now)
        found = decided(target, look)
        with self._book.store.together():
            self._book.targets.put(arn, found.target)
            self._book.note(
                region,
                target["resource"],
                found.activities,
            )
            if found.desired != look.now.desired:
                self._fleet.want(target, found.desired)
                log.info(
                    "%s: %s -> %s tasks",
                    target["resource"],
                    look.now.desired,
                    found.desired,
                )
            for rule in look.rules:
                self._show(
                    rule,
                    found.target,
                    look.datapoints,
                    look.moment,
                )

    def _show(
        self,
        rule: Rule,
        target: Target,
        datapoints: Mapping[Measured, float],
        moment: int,
    ) -> None:
        """The alarms of target tracking say what was counted."""
        if not isinstance(rule.policy, TargetTracking) or rule.policy.metric not in datapoints:
            return
        value = datapoints[rule.policy.metric]
        for name, rings in zip(
            rule.alarms,
            states_of(rule, target),
            strict=True,
        ):
            alarm = self._alarms.named(region_of(target["arn"]), name) if name else None
            if alarm is None:
                continue
            state = MISSING if math.isnan(value) else ALARM if rings else OK
            threshold = alarm["form"]["Threshold"]
            reason = f"The datapoint {value} beside the threshold {threshold}, as scaling counts."
            self._alarms.turn(
                alarm["arn"],
                state,
                reason,
                moment,
            )

    def _settle(
        self,
        target: Target,
        now: Now,
        moment: int,
    ) -> None:
        region = region_of(target["arn"])
        items = self._book.items(region, target["resource"])
        self._book.keep_items(
            region,
            target["resource"],
            settled(
                items,
                now.running,
                float(moment),
            ),
        )
