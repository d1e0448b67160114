"""Schedules and rules as moto keeps them, in one form: what fires when, and whom it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kirikae.local.plain import Plain
from kirikae.model.crontab import aws
from kirikae.model.crontab.aws import At, Expression, Rate, Service, read_expression
from kirikae.model.crontab.zones import Zone
from kirikae.model.said import Said

LONGEST_BACK_MIN = 1440
"""An event is delivered within a day, or not at all (MaximumEventAgeInSeconds)."""


@dataclass(frozen=True, slots=True)
class Target:
    """``arn``: of a queue, or of a cluster with ``ecs``.  ``input``: as it was written; None: the
    event itself.  ``dead``: ARN of the queue for what cannot be delivered."""

    arn: str
    input: str | None = None
    group: str = ""
    ecs: Mapping[str, Any] | None = None
    dead: str = ""
    attempts: int = 185
    age_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Timed:
    """``begin`` and ``end``: minutes between which it fires; None: for ever."""

    arn: str
    name: str
    kind: Service
    expression: Expression
    zone: Zone
    targets: tuple[Target, ...]
    begin: int | None = None
    end: int | None = None
    goes_after: bool = False
    """It is deleted when it will fire no more."""

    def dues(self, seen: int, last: int, now: int) -> list[int]:
        """Minutes after ``last`` and until ``now``.  ``seen``: when it was first there; a schedule
        of a rate fires at once then, a rule one period later."""
        first = self.begin if self.begin is not None and self.begin > seen else seen
        phase = first
        since = max(last + 1, now - LONGEST_BACK_MIN)
        if isinstance(self.expression, Rate) and self.kind is Service.RULES:
            since = max(since, first + 1)
        found = aws.dues(self.expression, self.zone, since, now + 1, phase)
        return [due for due in found if self._is_open(due, first)]

    def _is_open(self, due: int, first: int) -> bool:
        """At a time of its own it fires whatever begin and end say."""
        if isinstance(self.expression, At):
            return due >= first - 1
        return due >= first and (self.end is None or due <= self.end)

    @property
    def once(self) -> bool:
        """It fires a single time."""
        return isinstance(self.expression, At)


def schedule_of(told: Plain) -> Timed | None:
    """Of GetSchedule; None for one that does not fire."""
    expression = read_expression(str(told["ScheduleExpression"]), Service.SCHEDULER)
    if told.get("State", "ENABLED") != "ENABLED" or isinstance(expression, Said):
        return None
    target = _target_of_schedule(told["Target"])
    return Timed(
        str(told["Arn"]),
        str(told["Name"]),
        Service.SCHEDULER,
        expression,
        Zone(str(told.get("ScheduleExpressionTimezone") or "UTC")),
        (target,),
        _minute(told.get("StartDate")),
        _minute(told.get("EndDate")),
        told.get("ActionAfterCompletion") == "DELETE",
    )


def _target_of_schedule(told: Plain) -> Target:
    retry = told.get("RetryPolicy") or {}
    return Target(
        str(told["Arn"]),
        told.get("Input"),
        str((told.get("SqsParameters") or {}).get("MessageGroupId", "")),
        told.get("EcsParameters"),
        str((told.get("DeadLetterConfig") or {}).get("Arn", "")),
        int(retry.get("MaximumRetryAttempts", 185)),
        float(retry.get("MaximumEventAgeInSeconds", 86_400)),
    )


def rule_of(told: Plain, targets: Sequence[Plain]) -> Timed | None:
    """Of DescribeRule and ListTargetsByRule; None for one that does not fire by time."""
    text = told.get("ScheduleExpression")
    if not text or told.get("State", "ENABLED") != "ENABLED":
        return None
    expression = read_expression(str(text), Service.RULES)
    if isinstance(expression, Said):
        return None
    found = tuple(target_of_rule(each) for each in targets)
    return Timed(str(told["Arn"]), str(told["Name"]), Service.RULES, expression, Zone("UTC"), found)


def target_of_rule(told: Plain) -> Target:
    """Of ListTargetsByRule."""
    return _target_of_schedule(told)


def _minute(told: object) -> int | None:
    if told is None:
        return None
    if isinstance(told, int | float):
        return int(told // 60)
    return int(datetime.fromisoformat(str(told).replace("Z", "+00:00")).timestamp() // 60)


def refusal(service: str, operation: str, asked: Plain) -> str:
    """What AWS says of an expression or a zone that it does not take; empty: it takes it."""
    text = asked.get("ScheduleExpression")
    if not isinstance(text, str) or not text:
        return ""
    kind = Service.SCHEDULER if service == "scheduler" else Service.RULES
    if isinstance(read_expression(text, kind), Said):
        if kind is Service.SCHEDULER:
            return f"Invalid Schedule Expression {text}."
        return "Parameter ScheduleExpression is not valid."
    named = asked.get("ScheduleExpressionTimezone")
    try:
        Zone(str(named or "UTC"))
    except (KeyError, ValueError, OSError):
        return "The ScheduleExpressionTimezone is not valid."
    return ""


def of_queue(arn: str) -> bool:
    """Else it is a cluster, or something that nobody starts here."""
    return arn.split(":")[2:3] == ["sqs"]


def of_cluster(arn: str) -> bool:
    """Tasks are run in it."""
    return arn.split(":")[2:3] == ["ecs"]


def regions(names: Iterator[str] | Sequence[str], home: str) -> list[str]:
    """Those in which somebody has asked for anything, and the instance's own."""
    return list(dict.fromkeys([home, *names]))
