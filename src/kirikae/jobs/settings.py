"""A move of jobs in the project file."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from kirikae.model.crontab.fields import Dialect
from kirikae.model.project import MoveSettings
from kirikae.model.share import WHOLE
from kirikae.model.values import Given, Part, Seconds, Share, Strict, shown


class Stays(Strict):
    """A job that does not move, and why; from the day on it blocks the move until somebody says
    something new."""

    job: str = Field(description="the job's ID")
    reason: str = Field(min_length=1, description="why it stays")
    until: datetime.date = Field(description="until when that is so")


class Relay(Strict):
    """Where the mail of jobs goes that use the host's own mail server: a sidecar takes it, keeps it
    while the other end is away, and passes it on."""

    to: str = Field(
        pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$",
        description="the mail server that takes it, with TLS",
        json_schema_extra={"examples": ["email-smtp.eu-west-1.amazonaws.com:587"]},
    )
    login: Given = Field(
        description="secret (SSM parameter or Secrets Manager ARN) that holds NAME:PASSWORD"
    )
    image: Given = Field(description="image made of the relay.Dockerfile that `jobs write` writes")


class NewJobs(Strict):
    """What `jobs write` makes: queue, ledger, schedulers and workers of the new side."""

    queue: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,70}\.fifo$",
        description="the FIFO queue (default: SERVICE-MOVE.fifo)",
    )
    image: Given = Field(
        description="image made of the scheduler.Dockerfile that `jobs write` writes"
    )
    worker_image: str | None = Field(
        default=None,
        min_length=1,
        description="image made of the worker.Dockerfile that `jobs write` writes: the "
        "application's own, with a worker in it (default: `image`; then every job needs "
        "`runs-in=own-task`)",
    )
    task_definition: str | None = Field(
        default=None,
        min_length=1,
        description="family of the tasks of jobs with `runs-in=own-task`",
    )
    task_roles: tuple[Given, ...] = Field(
        default=(),
        strict=False,
        description="ARNs of the roles in that task definition: the worker has to pass them on",
    )
    container: Given = Field(
        default="job", description="the container of that task definition whose command is replaced"
    )
    schedulers: int = Field(default=2, ge=1, le=3, description="all of them are active at once")
    workers: int = Field(default=2, ge=1, le=1000, description="tasks of the worker's service")
    at_once: int = Field(default=4, ge=1, le=1000, description="runs of one worker")
    cpu: int = Field(default=512, description="CPU units of a worker's task")
    memory: int = Field(default=1024, description="MiB of a worker's task")
    stop_within: Seconds = Field(
        default=120.0,
        ge=20,
        le=120,
        description="from SIGTERM to SIGKILL: the worker's stopTimeout",
        json_schema_extra=shown("120s"),
    )
    passed: tuple[Given, ...] = Field(
        default=(),
        strict=False,
        description="patterns of variables of the worker's task that commands get, such as `DB_*`",
    )
    tell: tuple[Given, ...] = Field(
        default=(),
        strict=False,
        description="who is told: `sns:ARN`, `slack`, `mail:ADDRESS` or `command:COMMAND`",
    )
    token_secret: str | None = Field(
        default=None,
        min_length=1,
        description="secret that holds the token of a ledger over HTTP",
    )
    relay: Relay | None = Field(default=None, description="for jobs that send mail")


class JobsMove(MoveSettings):
    """A move of a crontab's jobs from a host's cron to schedulers and workers."""

    kind: Literal["jobs"]
    crontab: str = Field(
        description="the crontab that the schedulers read, below the project file's folder"
    )
    name: str | None = Field(
        default=None,
        description="the crontab's name, as schedulers and guards know it (default: the file's)",
    )
    system: bool = Field(default=False, description="has it a column of users?")
    dialect: Literal["debian", "cronie"] = Field(
        default="debian", description="whose cron runs it on the old side"
    )
    time_zone: str = Field(
        default="UTC",
        description="the time zone that cron runs in",
        json_schema_extra={"examples": ["Asia/Tokyo"]},
    )
    ledger: str = Field(description="http://HOST:PORT of `kirikae jobs serve`, or dynamodb://TABLE")
    token_file: str | None = Field(
        default=None, description="with http: the file of its token (default: KIRIKAE_JOBS_TOKEN)"
    )
    plan: tuple[Share, ...] = Field(
        default=(100, 250, 500, WHOLE),
        strict=False,
        min_length=1,
        description="rising parts of the jobs, the last 100%; each step is the smallest that "
        "chained jobs allow",
        json_schema_extra=shown(["10%", "25%", "50%", "100%"]),
    )
    order: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="IDs of jobs, the most harmless first; jobs that are not named come "
        "afterwards, those that may be run again before the others",
    )
    groups: tuple[tuple[str, ...], ...] = Field(
        default=(),
        strict=False,
        description="IDs of jobs that move together, beside those that are seen to share a lock or "
        "a file",
    )
    stays: tuple[Stays, ...] = Field(
        default=(),
        strict=False,
        description="jobs that do not move",
    )
    bake: Seconds = Field(
        default=86_400.0,
        description="least time at each share, and before the first step",
        json_schema_extra=shown("24h"),
    )
    late: Seconds = Field(
        default=60.0,
        description="a job that starts so long after its due minute is late",
        json_schema_extra=shown("60s"),
    )
    late_at_most: Part = Field(
        default=0.05,
        description="part of the new side's firings that may be late",
        json_schema_extra=shown("5%"),
    )
    settles_within: Seconds = Field(
        default=300.0,
        description="a firing is counted as missing when so long after its due minute nobody has "
        "run it",
        json_schema_extra=shown("5m"),
    )
    new: NewJobs | None = Field(default=None, description="what `jobs write` makes")
    log: str | None = Field(
        default=None,
        description="cron's own log, with its CMD lines: a file here, or ssh://HOST/PATH",
    )

    @property
    def turns(self) -> Mapping[tuple[str, ...], str]:
        """No other move may hand over the same jobs."""
        return {("crontab",): self.named}

    @property
    def named(self) -> str:
        """The crontab's name in the ledger."""
        return self.name or self.crontab.rpartition("/")[2]

    @property
    def rules(self) -> Dialect:
        """Whose rules count."""
        return Dialect(self.dialect)

    @field_validator("plan")
    @classmethod
    def _plan_rises(cls, plan: tuple[int, ...]) -> tuple[int, ...]:
        if list(plan) != sorted(set(plan)) or plan[-1] != WHOLE or plan[0] < 1:
            raise ValueError("the plan must rise to 100%")
        return plan

    @model_validator(mode="after")
    def _nobody_is_told_twice(self) -> JobsMove:
        stays = [each.job for each in self.stays]
        if len(set(stays)) < len(stays):
            raise ValueError("a job stands in `stays` once")
        return self
