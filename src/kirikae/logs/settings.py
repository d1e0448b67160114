"""A move of logs in the project file."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from kirikae.logs.formats import FORMATS
from kirikae.logs.layout import Layout, layout_from
from kirikae.logs.trees import S3, taken_apart
from kirikae.logs.work import Trees
from kirikae.logs.zones import Grain, zone_named
from kirikae.model.errors import UsageProblem
from kirikae.model.project import MoveSettings
from kirikae.model.share import WHOLE
from kirikae.model.texts import shortened
from kirikae.model.values import Given, Seconds, Share, Strict, shown

_AT = r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.*|[^:]*)%[^:]*$"
_TABLE = r"^[a-z_][a-z0-9_]{0,127}$"


class Tree(Strict):
    """One tree of logs: where it is, whose time its paths are, and what its lines are."""

    at: str = Field(
        pattern=_AT,
        description="template of its folders, in a bucket or below the project file's folder",
        json_schema_extra={"examples": ["s3://BUCKET/logs/%Y/%m/%d/%H/"]},
    )
    zone: str = Field(
        default="UTC",
        description="the time zone of its paths, and of lines that name no offset",
        json_schema_extra={"examples": ["Asia/Tokyo"]},
    )
    grain: Literal["hour", "day"] = Field(
        default="hour", description="how long the time is that one folder stands for"
    )
    time: Literal["event", "arrival"] = Field(
        default="event",
        description="does a folder hold what happened in its time (fluentd), or what arrived then "
        "(Firehose)?",
    )
    format: str = Field(
        default="combined",
        description="what its lines are: combined, ltsv, json, out_file, alb or cloudfront",
        json_schema_extra={"examples": ["combined"]},
    )
    key: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_@.-]{0,64}$",
        description="label of the time in ltsv and json; default: time",
    )
    has_time: bool = Field(
        default=True,
        description="do its lines say when they happened? fluentd's `<format> json` leaves it out "
        "unless `<inject>` is set",
    )
    name: str = Field(
        default="",
        description="template of its objects' names, where they say a finer time, such as "
        "%Y%m%d%H%M_*.gz",
    )
    slice: Seconds | None = Field(
        default=None, description="with `name`: how long the time in a name stands for"
    )
    wrapped: Literal["", "firelens", "cloudwatch"] = Field(
        default="",
        description="of the new tree: lines stand inside of records of FireLens (in `log`), or of "
        "a subscription filter; they are taken out to be compared with the old side's",
    )
    errors: str = Field(
        default="",
        pattern=r"^([^/].*/)?$",
        description="of the new tree: below this prefix of it lies what the writer could not file "
        "(Firehose's ErrorOutputPrefix)",
        json_schema_extra={"examples": ["errors/"]},
    )
    writer: Literal["fluentd", "fluent-bit", "vector", "rsyslog", "firehose", "other"] = Field(
        default="other", description="who writes it; `logs double` writes its configuration"
    )

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        """Refused now, and not when the first object is looked at."""
        try:
            zone_named(zone)
        except UsageProblem as problem:
            raise ValueError(str(problem)) from problem
        return zone

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, name: str) -> str:
        if name not in FORMATS:
            raise ValueError(f"{shortened(name)} is none of {', '.join(FORMATS)}")
        return name

    @model_validator(mode="after")
    def _can_be_read(self) -> Tree:
        """A template that names no day would put all of a tree into one folder."""
        try:
            layout_from(self.at, self.name)
        except UsageProblem as problem:
            raise ValueError(str(problem)) from problem
        if self.name and self.slice is None:
            raise ValueError("`name` needs `slice`: how long the time in a name stands for")
        if self.grain == "hour" and "%H" not in self.at:
            raise ValueError("`grain: hour` needs %H in `at`; or write `grain: day`")
        return self

    def layout(self, folder: Path) -> tuple[str, Layout]:
        """The tree's root, and what lies below it."""
        root, template = taken_apart(self.at, folder)
        prefix, name = layout_from(template, self.name)
        return root, Layout(
            prefix,
            self.zone,
            Grain(self.grain),
            self.time,
            self.format,
            name,
            None if self.slice is None else int(self.slice),
            self.has_time,
            self.key,
            self.wrapped,
            self.errors,
        )


class Readers(Strict):
    """What people search by: one view over both trees, whose boundary tells the share."""

    file: Given = Field(description="where the view's SQL is kept, below the project file's folder")
    database: str = Field(default="default", pattern=_TABLE)
    view: str = Field(pattern=_TABLE, description="the view that people search")
    old: str = Field(pattern=_TABLE, description="table over the old tree")
    new: str = Field(pattern=_TABLE, description="table over the new tree")
    apply: str | None = Field(
        default=None,
        description="a shell command that gives the view to your query engine; it gets the SQL on "
        "its standard input",
    )


class Scale(Strict):
    """Workers as ECS tasks, where one machine is not enough: `logs backfill --on ecs:N`."""

    image: Given = Field(description="an image with kirikae[logs,scale] of the very same version")
    cpu: int = Field(default=1024, ge=256, le=16384, description="CPU units of a worker")
    memory: int = Field(default=2048, ge=512, le=122880, description="MiB of a worker")
    task_role: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:iam::",
        description="role with which workers read and write both trees",
    )
    execution_role: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::",
        description="role with which ECS pulls the image and writes the workers' own logs",
    )


class LogsMove(MoveSettings):
    """Logs: from a tree of paths in one time zone to another tree, folder by folder."""

    kind: Literal["logs"]
    old: Tree
    new: Tree
    readers: Readers
    lateness: Seconds = Field(
        default=900.0,
        description="for how long after its end a folder may still get lines",
        json_schema_extra=shown("15m"),
    )
    no_time: Literal["path", "quarantine"] = Field(
        default="path",
        description="lines without a time: where their old path says, or below `_unparsed/`",
    )
    multiline: bool = Field(
        default=False,
        description="lines without a time belong to the line before them (stack traces)",
    )
    began: datetime.date = Field(
        default=datetime.date(2000, 1, 1),
        description="before it the service was not there: an earlier time is malformed",
        json_schema_extra=shown("2000-01-01"),
    )
    double_write_since: datetime.datetime | None = Field(
        default=None,
        description="with its offset: when the first record was seen in the new tree; "
        "`logs double status` measures it",
    )
    agree: int = Field(
        default=3,
        ge=1,
        description="so many folders that both writers filled must hold the same lines before the "
        "old one may stop",
    )
    scale: Scale | None = None
    plan: tuple[Share, ...] = Field(
        default=(100, 500, WHOLE),
        strict=False,
        min_length=1,
        description="rising parts of the folders that readers get from the new tree, the oldest "
        "first",
        json_schema_extra=shown(["10%", "50%", "100%"]),
    )
    bake: Seconds = Field(
        default=3600.0,
        description="least time at each share",
        json_schema_extra=shown("1h"),
    )
    proof_max_age: Seconds = Field(
        default=7 * 86400.0,
        description="no step is taken on an older `logs verify`",
        json_schema_extra=shown("7d"),
    )

    @property
    def turns(self) -> Mapping[tuple[str, ...], str]:
        """No other move may turn the same view."""
        return {("readers", "view"): f"{self.readers.database}.{self.readers.view}"}

    @field_validator("plan")
    @classmethod
    def _plan_rises(cls, plan: tuple[int, ...]) -> tuple[int, ...]:
        if list(plan) != sorted(set(plan)) or plan[-1] != WHOLE or plan[0] < 1:
            raise ValueError("the plan must rise to 100%")
        return plan

    @field_validator("double_write_since", mode="before")
    @classmethod
    def _read(cls, given: object) -> object:
        """In quotes it is the same moment."""
        if not isinstance(given, str):
            return given
        try:
            return datetime.datetime.fromisoformat(given)
        except ValueError:
            raise ValueError("it is no moment: write it such as 2026-11-27T01:20:00Z") from None

    @field_validator("double_write_since")
    @classmethod
    def _has_an_offset(cls, when: datetime.datetime | None) -> datetime.datetime | None:
        if when is not None and when.tzinfo is None:
            raise ValueError("write it with its offset, such as 2026-11-27T01:20:00Z")
        return when

    @model_validator(mode="after")
    def _trees_differ(self) -> LogsMove:
        if self.old.at == self.new.at and self.old.zone == self.new.zone:
            raise ValueError("both trees are the same one: nothing would move")
        if self.old.at.startswith(S3) is not self.new.at.startswith(S3):
            raise ValueError("both trees lie in buckets, or both in folders of this machine")
        if self.old.wrapped or self.old.errors:
            raise ValueError("`wrapped` and `errors` are of the new tree")
        return self

    @property
    def on(self) -> int | None:
        """When the double write began, in Unix time."""
        when = self.double_write_since
        return None if when is None else int(when.timestamp())

    def trees(
        self,
        folder: Path,
        now: float,
    ) -> Trees:
        """Both layouts, and how lines are read."""
        began = datetime.datetime.combine(self.began, datetime.time(), datetime.UTC)
        return Trees(
            self.old.layout(folder)[1],
            self.new.layout(folder)[1],
            now,
            int(began.timestamp()),
            self.multiline,
            self.no_time == "quarantine",
        )
