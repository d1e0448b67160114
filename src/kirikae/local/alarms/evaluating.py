"""Evaluate the alarms that are due at a moment.  Those of target tracking are not evaluated here:
they show what the law of scaling has counted."""

from __future__ import annotations

import json
import logging

from kirikae.local.alarms.book import Book, region_of
from kirikae.local.alarms.evaluation import EXTRA, reason_of, state_of
from kirikae.local.alarms.figures import Figures
from kirikae.local.alarms.forms import Asked, asked_of, rule_of
from kirikae.local.alarms.rows import ALARM, METRIC, OK, Alarm
from kirikae.local.alarms.rule import read_rule
from kirikae.local.errors import AwsError, RuleError
from kirikae.model.scaling import PUBLISHED_AFTER_S

log = logging.getLogger("kirikae.local.alarms")
LAG_S = 5
"""Where figures are seen at once: the last second of a minute is written down a little later."""
_MINUTE_S = 60
_LIKE_SCALING = ("AWS/ECS", "AWS/ApplicationELB")
"""Their alarms know a minute as late as those of target tracking do."""


class Evaluator:
    """Of all regions."""

    def __init__(
        self,
        book: Book,
        figures: Figures,
        delay_s: int,
    ) -> None:
        """``delay_s``: how late figures are seen; 0: at once, also by alarms."""
        self._book = book
        self._figures = figures
        self._delay_s = delay_s
        self._latest: dict[str, float] = {}

    def latest(self, arn: str) -> float | None:
        """The newest datapoint that this alarm was evaluated by; None where there was none."""
        return self._latest.get(arn)

    async def at(self, moment: int) -> None:
        """Every alarm that is due now; one whose figures do not answer waits for its next time."""
        for alarm in self._book.alarms.all():
            if not alarm["owner"] and alarm["kind"] == METRIC and self._is_due(alarm, moment):
                try:
                    await self._evaluate(alarm, moment)
                except (AwsError, OSError) as error:
                    log.warning(
                        "alarm %s is not evaluated: %s",
                        alarm["name"],
                        error,
                    )
        self._evaluate_composites(moment)

    async def _evaluate(
        self,
        alarm: Alarm,
        moment: int,
    ) -> None:
        asked = asked_of(alarm["form"])
        rule = rule_of(alarm["form"])
        period = asked.period_s
        until = int(moment - self._late_s(asked)) // period * period
        begins = range(
            until - (rule.most + EXTRA) * period,
            until,
            period,
        )
        region = region_of(alarm["arn"])
        self._latest.pop(alarm["arn"], None)
        points = await self._figures.points(
            region,
            asked,
            begins.start,
            until,
        )
        values = [points.get(begin) for begin in begins]
        real = [value for value in values if value is not None][-rule.most :]
        if real:
            self._latest[alarm["arn"]] = real[-1]
        state = state_of(rule, values)
        if state is not None:
            reason = reason_of(
                rule,
                values,
                state,
            )
            data = {
                "version": "1.0",
                "recentDatapoints": real,
                "threshold": rule.threshold,
            }
            self._book.turn(
                alarm["arn"],
                state,
                reason,
                moment,
                json.dumps(data),
            )

    def _late_s(self, asked: Asked) -> float:
        """Between the end of a period and an alarm that knows it."""
        if self._delay_s and asked.namespace in _LIKE_SCALING:
            return PUBLISHED_AFTER_S[_MINUTE_S]
        return self._delay_s if asked.is_measured_here else 0.0

    def _is_due(self, alarm: Alarm, moment: int) -> bool:
        """At its periods, and at least each minute; never for a time in which it was not there."""
        every = min(int(alarm["form"]["Period"]), _MINUTE_S)
        lag = 0 if self._delay_s else LAG_S
        return (moment - lag) % every == 0 and moment >= alarm["configured"]

    def _evaluate_composites(self, moment: int) -> None:
        """Each by what the others say now; one that stands on another composite alarm may come one
        round later."""
        for alarm in self._book.alarms.all():
            if alarm["kind"] != METRIC and moment >= alarm["configured"]:
                self._evaluate_composite(alarm, moment)

    def _evaluate_composite(
        self,
        alarm: Alarm,
        moment: int,
    ) -> None:
        region = region_of(alarm["arn"])

        def state_now(name: str) -> str:
            found = self._book.named(region, name)
            return found["state"]["value"] if found is not None else ""

        text = alarm["form"]["AlarmRule"]
        try:
            state = ALARM if read_rule(text).holds(state_now) else OK
        except RuleError as error:
            log.warning(
                "alarm %s: %s",
                alarm["name"],
                error,
            )
            return
        word = "is" if state == ALARM else "is not"
        reason = f"{alarm['arn']} {word} in ALARM by its rule {text}"
        self._book.turn(
            alarm["arn"],
            state,
            reason,
            moment,
        )
