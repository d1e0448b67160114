"""The file ``capacity.yml``: a task's figures, the limit, and the rules to try.

Its rules are those of Application Auto Scaling; what AWS would refuse is refused here, with the
line.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kirikae.capacity.errors import RulesProblem
from kirikae.capacity.simulate import Daily, Rules, Task
from kirikae.model.errors import ProjectProblem
from kirikae.model.fargate import size_problem
from kirikae.model.project_yaml import Source, assert_size, source_of
from kirikae.model.scaling import (
    Adjustment,
    Metric,
    Policy,
    Step,
    StepScaling,
    TargetTracking,
)
from kirikae.model.texts import shortened

METRICS = {
    "cpu": Metric.CPU,
    "memory": Metric.MEMORY,
    "requests": Metric.REQUESTS,
    "cpu_20s": Metric.CPU_20S,
    "memory_20s": Metric.MEMORY_20S,
}
MetricName = Literal["cpu", "requests", "cpu_20s"]
"""Memory does not follow load in this simulation: a rule by it cannot be tried here."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
_ADJUSTMENTS: dict[str, Adjustment] = {
    "tasks": Adjustment.CHANGE,
    "percent": Adjustment.PERCENT,
    "exact": Adjustment.EXACT,
}


_ALL_CPU = 100


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
    )


class TaskSettings(_Part):
    """One task.  ``requests_per_s``: what it carries at 100% CPU, by your own load test."""

    cpu: int = 1024
    memory: int = 2048
    requests_per_s: float = Field(gt=0, le=1e6)
    answer_ms: float = Field(gt=0, le=600_000)
    start_s: float = Field(
        default=81,
        gt=0,
        le=3600,
    )
    drain_s: float = Field(
        default=30,
        gt=0,
        le=3600,
    )

    @model_validator(mode="after")
    def _runs_on_fargate(self) -> TaskSettings:
        problem = size_problem(self.cpu, self.memory)
        if problem:
            raise ValueError(problem)
        return self


class TasksSettings(_Part):
    """Bounds; the first ``base`` run on FARGATE and the others, if ``spot``, on FARGATE_SPOT."""

    min: int = Field(ge=0, le=5000)
    max: int = Field(ge=1, le=5000)
    base: int = Field(
        default=0,
        ge=0,
        le=5000,
    )
    spot: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> TasksSettings:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class StepSettings(_Part):
    """``from`` and ``to`` are relative to the alarm's threshold, as in AWS."""

    lower: float | None = Field(default=None, alias="from")
    upper: float | None = Field(default=None, alias="to")
    add: int = Field(ge=-5000, le=5000)


class PolicySettings(_Part):
    """Either ``target``, or ``above`` or ``below`` with ``steps``."""

    name: Name
    metric: MetricName = "cpu"
    target: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
    )
    out_cooldown_s: int = Field(
        default=300,
        ge=0,
        le=86_400,
    )
    in_cooldown_s: int = Field(
        default=300,
        ge=0,
        le=86_400,
    )
    scale_in: bool = True
    above: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
    )
    below: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
    )
    steps: tuple[StepSettings, ...] = ()
    by: Literal["tasks", "percent", "exact"] = "tasks"
    datapoints: int = Field(
        default=3,
        ge=1,
        le=1440,
    )
    least_change: int = Field(
        default=0,
        ge=0,
        le=5000,
    )

    @model_validator(mode="after")
    def _one_kind(self) -> PolicySettings:
        given = [name for name in ("target", "above", "below") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give one of `target`, `above` and `below`")
        if self.metric != "requests" and getattr(self, given[0]) > _ALL_CPU:
            raise ValueError(f"CPU ends at {_ALL_CPU}%: a rule with more never acts")
        if (given == ["target"]) == bool(self.steps):
            raise ValueError("`above` and `below` need `steps`, and `target` has none")
        if self.steps:
            problem = steps_problem(self.steps)
            if problem:
                raise ValueError(problem)
        return self

    def rule(self) -> Policy:
        """The same as the law takes it."""
        metric = METRICS[self.metric]
        if self.target is not None:
            return TargetTracking(
                self.name,
                metric,
                self.target,
                float(self.out_cooldown_s),
                float(self.in_cooldown_s),
                self.scale_in,
            )
        above = self.above is not None
        threshold = self.above if self.above is not None else self.below
        assert threshold is not None
        return StepScaling(
            name=self.name,
            metric=metric,
            threshold=threshold,
            above=above,
            steps=tuple(
                Step(
                    each.lower,
                    each.upper,
                    float(each.add),
                )
                for each in self.steps
            ),
            adjustment=_ADJUSTMENTS[self.by],
            datapoints=self.datapoints,
            cooldown_s=float(self.out_cooldown_s),
            least_change=float(self.least_change),
        )


class DailySettings(_Part):
    """From this minute of every day at least ``min`` tasks."""

    at: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    min: int = Field(ge=0, le=5000)
    zone: str = "UTC"

    @model_validator(mode="after")
    def _zone_is_known(self) -> DailySettings:
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"zone {shortened(self.zone)} is unknown") from error
        return self

    def utc_minute(self, at: int) -> int:
        """Its minute of the day in UTC, with the offset that its zone has at ``at``."""
        offset = datetime.datetime.fromtimestamp(at, ZoneInfo(self.zone)).utcoffset()
        assert offset is not None
        wall = int(self.at[:2]) * 60 + int(self.at[3:])
        return (wall - int(offset.total_seconds()) // 60) % 1440


class CapacityFile(_Part):
    """``limit_ms``: answers slower than this are bad; ``bad_percent``: so many may be."""

    region: str = "ap-northeast-1"
    task: TaskSettings
    tasks: TasksSettings
    limit_ms: float = Field(gt=0, le=600_000)
    bad_percent: float = Field(
        default=0.1,
        gt=0,
        le=100,
    )
    policies: tuple[PolicySettings, ...] = Field(min_length=1, max_length=50)
    daily: tuple[DailySettings, ...] = Field(default=(), max_length=200)

    @model_validator(mode="after")
    def _floors_are_possible(self) -> CapacityFile:
        """A scheduled action with a minimum above the maximum fails when its hour comes."""
        floors: dict[tuple[str, str], int] = {}
        for each in self.daily:
            if each.min > self.tasks.max:
                raise ValueError(
                    f"the floor of {each.at} is {each.min} tasks, and tasks.max is {self.tasks.max}"
                )
            if floors.setdefault((each.at, each.zone), each.min) != each.min:
                raise ValueError(f"two floors differ at {each.at} ({each.zone}): which one holds?")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> CapacityFile:
        names = [policy.name for policy in self.policies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two policies are called {twice[0]}")
        return self

    def rules(self, at: int) -> Rules:
        """``at``: when the trace begins, for the offsets of the schedules' zones."""
        return Rules(
            policies=tuple(policy.rule() for policy in self.policies),
            least=float(self.tasks.min),
            most=float(self.tasks.max),
            schedules=tuple(
                Daily(float(each.utc_minute(at)), float(each.min)) for each in self.daily
            ),
        )

    def one_task(self) -> Task:
        """Seconds for milliseconds."""
        return Task(
            self.task.requests_per_s,
            self.task.answer_ms / 1000,
            self.task.start_s,
            self.task.drain_s,
        )


def steps_problem(steps: tuple[StepSettings, ...]) -> str:
    """What AWS refuses of a policy's steps; empty: nothing (Application Auto Scaling User Guide,
    "Step adjustments")."""
    if len(steps) > 20:
        return f"{len(steps)} steps; AWS takes 20"
    lowest = [step for step in steps if step.lower is None]
    highest = [step for step in steps if step.upper is None]
    if len(lowest) > 1 or len(highest) > 1:
        return "only one step may leave out `from`, and only one `to`"
    ordered = sorted(steps, key=lambda step: -float("inf") if step.lower is None else step.lower)
    for step in ordered:
        if step.lower is not None and step.upper is not None and step.lower >= step.upper:
            return f"the step from {step.lower:g} to {step.upper:g} holds nothing"
    for one, next_one in pairwise(ordered):
        if one.upper != next_one.lower:
            return "there is a gap or an overlap between two steps: each begins where one ends"
    if any(step.lower is not None and step.lower < 0 for step in steps) and not lowest:
        return "a step below 0 needs one that leaves out `from`"
    if any(step.upper is not None and step.upper > 0 for step in steps) and not highest:
        return "a step above 0 needs one that leaves out `to`"
    return ""


def read(path: Path) -> CapacityFile:
    """Raises RulesProblem that names every fault and its line."""
    try:
        assert_size(path.stat().st_size, str(path))
        source = source_of(
            path.read_text(encoding="utf-8"),
            str(path),
            begins="task",
        )
    except (OSError, UnicodeDecodeError) as error:
        raise RulesProblem(
            f"{path}: cannot be read: {error}; `kirikae capacity init` writes one"
        ) from error
    except ProjectProblem as error:
        raise RulesProblem(str(error)) from error
    if source.faults:
        raise RulesProblem("\n".join(source.faults))
    try:
        return CapacityFile.model_validate(source.plain)
    except ValidationError as error:
        raise RulesProblem("\n".join(_told(source, error))) from error


def _told(source: Source, error: ValidationError) -> Iterator[str]:
    for fault in error.errors()[:20]:
        path = list(fault["loc"])
        key = ".".join(map(str, path)) or "the file"
        says = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            says = "no such key"
        elif fault["type"] == "missing":
            says = "this key must be given"
        elif not isinstance(fault["input"], dict):
            says = f"{says} (got {shortened(fault['input'])})"
        yield f"{source.name}:{source.line(path)}: {key}: {says}"
