"""A move of workers in the project file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from kirikae.model.project import HostUrl, MoveSettings
from kirikae.model.texts import shortened
from kirikae.model.values import Given, Part, Seconds, Strict, shown

UNIT = r"^[A-Za-z0-9:_.\\@-]{1,240}$"
"""The characters of a unit's name (systemd.unit(5))."""
CELERY_DONE = r"Task \S+ succeeded in "
CELERY_FAILED = r"Task \S+ raised unexpected: |Task handler raised error"


class OldWorkers(Strict):
    """The consumers on virtual machines: systemd units, one consumer each."""

    units: tuple[Given, ...] = Field(
        strict=False,
        min_length=1,
        max_length=100,
        description="units that run on each host, such as celery@1.service; they stop in this "
        "order, and start in the reverse one",
    )
    hosts: tuple[HostUrl, ...] = Field(
        default=(),
        strict=False,
        description="ssh://name of each host; default: the old fleet's",
    )

    @field_validator("units")
    @classmethod
    def _units_are_names(cls, units: tuple[str, ...]) -> tuple[str, ...]:
        """They become words of a command on a host."""
        for unit in units:
            if not re.match(UNIT, unit) or unit.startswith("-"):
                raise ValueError(
                    f"{shortened(unit)} is no name of a systemd unit, such as celery@1.service"
                )
        if len(set(units)) < len(units):
            raise ValueError("a unit is named twice")
        return units


class NewWorkers(Strict):
    """The consumers in containers: tasks of an ECS service without a load balancer."""

    cluster: str | None = Field(default=None, description="default: the new fleet's")
    ecs_service: Given
    tasks: int = Field(
        ge=1,
        le=1000,
        description="tasks that do all of the work; the plan's steps come from it",
    )


class Outcomes(Strict):
    """Lines by which a consumer says that a message is done or has failed: Python's regular
    expressions.  Default: Celery's own."""

    done: str = Field(default=CELERY_DONE, description="a message that was worked through")
    failed: str = Field(default=CELERY_FAILED, description="a message that failed")

    @field_validator("done", "failed")
    @classmethod
    def _can_be_read(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{shortened(pattern)} is no regular expression: {error}") from error
        return pattern


class WorkersJudge(Strict):
    """How sure to be, and what is put up with on the way."""

    false_alarms: Part = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="bound on a false back-out, over one attempt",
        json_schema_extra=shown("1%"),
    )
    worse_messages_at_most: Part = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="part of all messages that a passed step may make fail",
        json_schema_extra=shown("1%"),
    )
    bake: Seconds = Field(
        default=600.0,
        description="least time at each share before the next",
        json_schema_extra=shown("10m"),
    )
    oldest_message: Seconds = Field(
        default=300.0,
        gt=0,
        description="no step is taken while the oldest message waits for longer",
        json_schema_extra=shown("5m"),
    )


class WorkersFigures(Strict):
    """How fine figures are, and how late log lines come."""

    period: Seconds = Field(
        default=60.0,
        ge=1,
        description="length of one batch of figures",
        json_schema_extra=shown("60s"),
    )
    lateness: Seconds = Field(
        default=60.0,
        description="how long log lines take to arrive in CloudWatch Logs",
        json_schema_extra=shown("60s"),
    )


class WorkersMove(MoveSettings):
    """Consumers of a queue: units on hosts, and tasks of an ECS service."""

    kind: Literal["workers"]
    queue: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,75}(\.fifo)?$",
        description="name of the SQS queue that both sides consume",
    )
    old: OldWorkers
    new: NewWorkers
    outcomes: Outcomes = Field(default=Outcomes(), json_schema_extra=shown({}))
    judge: WorkersJudge = Field(default=WorkersJudge(), json_schema_extra=shown({}))
    figures: WorkersFigures = Field(default=WorkersFigures(), json_schema_extra=shown({}))

    @property
    def turns(self) -> Mapping[tuple[str, ...], str]:
        return {("new", "ecs_service"): self.new.ecs_service}

    @model_validator(mode="after")
    def _periods_are_short(self) -> WorkersMove:
        if self.figures.period > self.judge.bake > 0:
            raise ValueError(
                "a batch of figures (`figures.period`) must not be longer than `judge.bake`"
            )
        return self
