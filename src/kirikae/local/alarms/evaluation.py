"""Is it time for an alarm?  Pure.

CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data": more datapoints than
the alarm needs are looked at, and missing ones are made good only where there are too few.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kirikae.local.alarms.rows import ALARM, MISSING, OK

EXTRA = 2
"""So many datapoints more are looked at than the alarm evaluates (in the guide's examples: 5
instead of 3)."""
COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


@dataclass(frozen=True, slots=True)
class Rule:
    """``most``: datapoints that are evaluated; ``least``: of them, so many must breach."""

    comparison: str
    threshold: float
    most: int
    least: int
    missing: str

    def breaches(self, value: float) -> bool:
        """Is it beyond the threshold?"""
        return COMPARISONS[self.comparison][0](value, self.threshold)


def state_of(rule: Rule, values: Sequence[float | None]) -> str | None:
    """``values``: of the evaluated periods and ``EXTRA`` before them, oldest first; None for
    missing ones.  Answers the state; None: it stays as it is."""
    real = [value for value in values if value is not None][-rule.most :]
    beyond = sum(map(rule.breaches, real))
    if beyond >= rule.least:
        return ALARM
    if len(real) == rule.most:
        return OK
    if rule.missing == "breaching" and beyond + rule.most - len(real) >= rule.least:
        return ALARM
    if rule.missing in ("breaching", "notBreaching") or beyond < len(real):
        return OK
    return None if rule.missing == "ignore" else _only_breaching(rule, values)


def _only_breaching(rule: Rule, values: Sequence[float | None]) -> str | None:
    """Too few, and none of them is calm: "the oldest breaching datapoint is at least as old as the
    value of Datapoints to Alarm, and all of the more recent ones are breaching or missing"."""
    ages = [len(values) - index for index, value in enumerate(values) if value is not None]
    if not ages:
        return MISSING
    return ALARM if max(ages) >= rule.least else None


def reason_of(
    rule: Rule,
    values: Sequence[float | None],
    state: str,
) -> str:
    """In AWS's manner."""
    real = [value for value in values if value is not None][-rule.most :]
    if not real:
        what = "datapoint was" if rule.most == 1 else "datapoints were"
        return f"Insufficient Data: {rule.most} {what} unknown."
    beyond = [value for value in real if rule.breaches(value)]
    shown = ", ".join(repr(float(value)) for value in (beyond if state == ALARM else real))
    word = COMPARISONS[rule.comparison][1]
    not_ = "" if state == ALARM else "not "
    return (
        f"Threshold Crossed: {len(beyond)} out of the last {len(real)} datapoints [{shown}] "
        f"were {not_}{word} the threshold ({rule.threshold}) (minimum {rule.least} "
        f"datapoints for OK -> ALARM transition)."
    )
