"""What is wanted: the nouns of the project file ``kirikae.yml``."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from kirikae.model.build_settings import BuildSettings
from kirikae.model.calendar import Calendar, Freeze, window_from
from kirikae.model.chat_settings import Chat
from kirikae.model.errors import UsageProblem
from kirikae.model.hosts import address_from
from kirikae.model.texts import shortened
from kirikae.model.values import Given, Name, Seconds, Strict, shown

_URL_PATH = r"^/[!-~]*$"
"""As a request has it: no spaces, no line breaks, no letters beyond ASCII."""
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/]+)*/?")


def _host_url(url: str) -> str:
    """Raises ValueError."""
    try:
        address_from(url)
    except UsageProblem as problem:
        raise ValueError(str(problem)) from problem
    return url


HostUrl = Annotated[str, AfterValidator(_host_url)]
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class OldDeployer(Strict):
    """How a release gets onto the hosts: by kirikae (`root`), or by a command of yours that takes
    the release ID."""

    root: str | None = Field(
        default=None,
        pattern=r"^/",
        description="folder on the hosts that holds `releases/ID` and the link `current`",
    )
    before: str | None = Field(
        default=None,
        description="run in the new release's folder before it is switched to",
    )
    reload: str | None = Field(
        default=None,
        description="makes the running service take the new release, without dropping a request",
    )
    after: str | None = Field(
        default=None,
        description="run in the new release's folder once it serves",
    )
    drain: bool = Field(
        default=False,
        description="take a host out of the target group while it reloads: for a reload that drops "
        "requests",
    )
    batch: int = Field(default=1, ge=1, description="hosts that change at the same time")
    pause: Seconds = Field(
        default=0.0,
        ge=0,
        description="time between two batches",
        json_schema_extra=shown("0s"),
    )
    silent: int = Field(
        default=0,
        ge=0,
        description="hosts that may be silent: they are named and left out, and the same deploy "
        "run again catches them up",
    )
    patience: Seconds = Field(
        default=30.0,
        ge=1,
        description="how long a host may take until all checks pass",
        json_schema_extra=shown("30s"),
    )
    keep: int = Field(default=5, ge=2, description="releases that stay on a host")
    agent: str | None = Field(
        default=None,
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]+(/[^\s]*)?|/[^\s]+)$",
        description="hosts fetch releases themselves, without SSH, by what `kirikae release agent` "
        "prints: from `s3://BUCKET/PREFIX`, or from a folder that they share with this machine",
    )
    within: Seconds = Field(
        default=300.0,
        ge=1,
        description="with `agent`: how long a host may take until it reports",
        json_schema_extra=shown("5m"),
    )
    command: str | None = Field(
        default=None,
        description=(
            "instead: a shell command; RELEASE_ID, RELEASE_ARCHIVE and RELEASE_SHA256 are set"
        ),
    )

    @model_validator(mode="after")
    def _one_way(self) -> OldDeployer:
        """Either kirikae deploys, and then knows how, or a command does."""
        if (self.root is None) == (self.command is None):
            raise ValueError("give `root` (and `reload`), so that kirikae deploys, or `command`")
        if self.agent is not None and self.root is None:
            raise ValueError("`agent` needs `root` and `reload`, which it carries out on the hosts")
        if self.root is not None and self.reload is None:
            raise ValueError(
                "`reload` is missing: the command that makes the service take a new "
                "release, such as `systemctl reload shop`",
            )
        return self


def _given_group(name: str | None, side: str) -> str:
    """Moves of jobs, workers and logs turn no traffic: their project file need not name one."""
    if name is None:
        raise UsageProblem(
            f"`fleets.{side}.target_group` is missing in the project file: the name of the target "
            f"group of the {side} side"
        )
    return name


class OldFleet(Strict):
    """The side on virtual machines."""

    group: Given | None = Field(
        default=None,
        alias="target_group",
        description="name of the target group that the hosts are registered in; moves of traffic "
        "need it",
    )
    hosts: tuple[HostUrl, ...] = Field(
        default=(),
        description="ssh://name of each host",
        strict=False,
    )
    autoscaling_group: str | None = None
    port: int = Field(
        default=80,
        ge=1,
        le=65535,
        description="port at which a host answers the checks",
    )
    deployer: OldDeployer | None = Field(
        default=None,
        description="how releases get onto the hosts",
    )

    @property
    def target_group(self) -> str:
        """Raises UsageProblem where there is none."""
        return _given_group(self.group, "old")


class CodeDeploy(Strict):
    """CodeDeploy puts a release onto the service (deployment controller CODE_DEPLOY)."""

    application: Given | None = Field(
        default=None,
        description="the application (default: ecspresso.yml's, else the one that drives the "
        "service)",
    )
    group: Given | None = Field(
        default=None,
        description="its deployment group (default: ecspresso.yml's, else the one that drives the "
        "service)",
    )
    config: str | None = Field(
        default=None,
        description="a deployment configuration, such as CodeDeployDefault.ECSAllAtOnce (default: "
        "the group's)",
    )


class NewDeployer(Strict):
    """Who puts a release onto ECS, if not kirikae itself: one of these."""

    command: str | None = Field(
        default=None,
        description="a shell command; RELEASE_ID, RELEASE_ARCHIVE and RELEASE_SHA256 are set",
    )
    ecspresso: str | None = Field(
        default=None,
        pattern=r"\S",
        description="your own ecspresso and its options, such as `ecspresso --envfile prod.env`; "
        "it reads ecspresso.yml in `definitions`, and kirikae itself waits for the outcome",
    )
    codedeploy: CodeDeploy | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> NewDeployer:
        given = [self.command, self.ecspresso, self.codedeploy]
        if len([each for each in given if each is not None]) != 1:
            raise ValueError("give one of `command`, `ecspresso` and `codedeploy`")
        return self


class FurtherService(Strict):
    """A further ECS service of the new fleet: it gets every release under the same ID."""

    definitions: Given = Field(
        description="folder of its ecs-task-def.json and ecs-service-def.json",
    )
    target_group: str | None = Field(
        default=None,
        description="name of its target group, for TARGET_GROUP_ARN (default: nobody asks it)",
    )


ServiceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]


class NewFleet(Strict):
    """The side in containers."""

    cluster: Given
    ecs_service: Given
    group: Given | None = Field(
        default=None,
        alias="target_group",
        description="name of the service's target group; moves of traffic need it",
    )
    definitions: Given = Field(
        default="ecs/",
        description="folder of ecs-task-def.json and ecs-service-def.json",
    )
    deployer: NewDeployer | None = Field(
        default=None,
        description="default: kirikae registers the task definition and updates the service",
    )
    services: dict[ServiceName, FurtherService] = Field(
        default={},
        description="further services in the same cluster, by name, in the order in which a "
        "release reaches them after `ecs_service`",
    )

    @model_validator(mode="after")
    def _once(self) -> NewFleet:
        if self.ecs_service in self.services:
            raise ValueError(
                f"`services` names {self.ecs_service}, which is `ecs_service` already; leave one "
                "of both out"
            )
        return self

    @property
    def target_group(self) -> str:
        """Raises UsageProblem where there is none."""
        return _given_group(self.group, "new")


class Fleets(Strict):
    old: OldFleet
    new: NewFleet


class Check(Strict):
    """One request whose answer is known; it gates every step."""

    get: str = Field(pattern=_URL_PATH)
    expect: int = Field(default=200, ge=100, le=599)
    contains: str | None = None


class SignIn(Strict):
    """A login whose cookie must be known on both sides: signed in on one, acting on the other,
    before the share leaves 0."""

    post: str = Field(pattern=_URL_PATH, description="where the form is sent")
    form: dict[str, str] = Field(
        description="its fields; a value `env:NAME` is read from the environment",
    )
    then: Check = Field(description="what only somebody signed in is answered")


class Database(Strict):
    """The budget of connections while both sides run."""

    max_connections: int = Field(ge=1)
    per_host: int = Field(
        ge=0,
        description="connections that one host of the old side opens at most (pool x processes)",
    )
    per_task: int = Field(ge=0, description="the same for one task")
    reserved: int = Field(default=5, ge=0, description="for people, jobs and the superuser")


class MoveSettings(Strict):
    """What every kind of move has; each kind adds its own keys in its own room."""

    kind: str
    advance: Literal["ask", "window", "auto"] = Field(
        default="ask",
        description="ask: a proven step waits for `move approve`; window: it is taken within "
        "`windows`; auto: it is taken",
    )
    windows: tuple[str, ...] = Field(
        default=(),
        strict=False,
        json_schema_extra={"examples": [["Mon-Fri 10:00-17:00"]]},
        description="when a step may be taken, whoever asked for it; default: always, but for "
        "`freezes`",
    )
    approver: Literal["anyone", "another"] = Field(
        default="anyone",
        description="another: who approves a step must not be who drives the move",
    )

    @property
    def between_groups(self) -> bool:
        """Does it turn traffic between the target groups of both fleets?"""
        return False

    @property
    def turns(self) -> Mapping[tuple[str, ...], str]:
        """What of the world it turns, by the place in its section: no other move may turn that."""
        return {}

    @field_validator("windows")
    @classmethod
    def _windows_can_be_read(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        """A window that cannot be read is told now, not when a step is due."""
        for text in windows:
            window_from(text)
        return windows

    @model_validator(mode="after")
    def _a_window_is_given(self) -> Self:
        """Without one, no step would ever be taken by itself."""
        if self.advance == "window" and not self.windows:
            raise ValueError('advance: window needs `windows`, such as ["Mon-Fri 10:00-17:00"]')
        return self


class FreezeDays(Strict):
    """Days on which no share rises; a back-out is never frozen."""

    begins: datetime.date = Field(alias="from", description="first day")
    until: datetime.date = Field(description="last day, included")
    why: str

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> FreezeDays:
        """A freeze that ends before it begins would freeze nothing."""
        if self.until < self.begins:
            raise ValueError(f"the freeze ends ({self.until}) before it begins ({self.begins})")
        return self


class Slack(Strict):
    """Where messages go, and where the secret for it lies: `env:NAME` or `ssm:NAME`, never the
    secret itself."""

    webhook: str | None = Field(
        default=None,
        pattern=r"^(env|ssm):\S+$",
        description="an incoming webhook; it cannot keep a thread",
    )
    token: str | None = Field(
        default=None,
        pattern=r"^(env|ssm):\S+$",
        description="a bot token with chat:write: one thread per move",
    )
    channel: str | None = Field(default=None, description="with `token`: the channel's ID")
    api: str = Field(
        default="https://slack.com/api",
        pattern=r"^https?://",
        description="with `token`: where Slack's API is",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Slack:
        """Either an incoming webhook, or a token with the channel that it writes to."""
        if (self.webhook is None) == (self.token is None):
            raise ValueError("give `webhook`, or `token` and `channel`")
        if self.token is not None and self.channel is None:
            raise ValueError(
                "`channel` is missing: the ID of the channel that the token may write to",
            )
        return self


class Notify(Strict):
    """Who is told what a move does: verdict first, number second, the command to undo third."""

    language: Literal["en", "ja"] = "en"
    slack: Slack | None = None
    sns: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:sns:",
        description="ARN of a topic",
    )

    @model_validator(mode="after")
    def _somebody_is_told(self) -> Notify:
        """A section that tells nobody is a mistake."""
        if self.slack is None and self.sns is None:
            raise ValueError("give `slack`, `sns` or both")
        return self


class SurveySettings(Strict):
    """Which machines are looked at, and how old a look may be when a move starts."""

    also: tuple[HostUrl, ...] = Field(
        default=(),
        strict=False,
        description="ssh://name of hosts beside the old fleet's, such as a batch server",
    )
    max_age: Seconds = Field(
        default=7 * 86400.0,
        description="a move does not start on an older survey",
        json_schema_extra=shown("7d"),
    )


class Accepted(Strict):
    """A finding that somebody answers for, until a day."""

    finding: Given
    where: Given
    why: Given
    by: Given
    until: datetime.date
    use: str | None = Field(
        default=None,
        description="for CF05: the host whose version is the right one",
    )


class Project(Strict):
    service: Name
    environment: Name
    account: str = Field(
        pattern=r"^[0-9]{12}$",
        description="AWS account number in quotes; kirikae acts in no other",
    )
    region: str = Field(default="ap-northeast-1", pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$")
    store: str = Field(
        default=".kirikae/state.db",
        description="where the journal lies: a file, relative to the project file, or "
        "s3://BUCKET/PREFIX for a team",
    )
    time_zone: str = Field(
        default="UTC",
        description="IANA time zone in which windows and freezes are meant, such as Asia/Tokyo",
    )
    release_header: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        description="response header in which every member of both fleets says its release ID",
    )
    fleets: Fleets
    checks: tuple[Check, ...] = Field(default=(), strict=False)
    sign_in: SignIn | None = Field(default=None, description="a login that both sides must know")
    database: Database | None = Field(
        default=None,
        description="budget of database connections for both sides",
    )
    survey: SurveySettings = Field(default=SurveySettings(), json_schema_extra=shown({}))
    build: BuildSettings = Field(default=BuildSettings(), json_schema_extra=shown({}))
    moves: dict[Name, MoveSettings] = Field(default_factory=dict)
    freezes: tuple[FreezeDays, ...] = Field(
        default=(),
        strict=False,
        description="days on which no share rises, in any move",
    )
    notify: Notify | None = Field(default=None, description="who is told what a move does")
    chat: Chat | None = Field(default=None, description="who may command from Slack")
    accepted: tuple[Accepted, ...] = Field(default=(), strict=False)

    @field_validator("store")
    @classmethod
    def _store_can_be_used(cls, store: str) -> str:
        """A path of this machine, or a bucket by its name (S3 user guide, "General purpose bucket
        naming rules")."""
        if _SCHEME.match(store):
            if not _BUCKET.fullmatch(store):
                raise ValueError(
                    f"{shortened(store)} is not a place for the journal; write a file's path or "
                    "s3://BUCKET/PREFIX",
                )
        elif (
            store.startswith("~") or store.endswith(("/", "/.", "/..")) or store in ("", ".", "..")
        ):
            raise ValueError(
                f"{shortened(store)} is no file for the journal; write a file's path in full, or "
                "relative to the project file, such as .kirikae/state.db",
            )
        return store

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        """Refused now, and not when the first window is looked at."""
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{shortened(zone)} is not a time zone; write its IANA name, such as Asia/Tokyo",
            ) from error
        return zone

    def calendar_of(self, name: str) -> Calendar:
        """When this move may take a step."""
        windows = tuple(window_from(text) for text in self.moves[name].windows)
        return Calendar(
            self.time_zone,
            windows,
            tuple(Freeze(f.begins, f.until, f.why) for f in self.freezes),
        )
