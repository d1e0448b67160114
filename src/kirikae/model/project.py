"""The project file ``kirikae.yml``: what is wanted, read strictly, refused with file, line, key and
remedy."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from kirikae.model.calendar import Calendar, Freeze, window_from
from kirikae.model.errors import ProjectProblem
from kirikae.model.share import WHOLE, share_from

_DURATION = re.compile(r"(\d+)\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_from(text: object) -> float:
    """Read ``"30s"``, ``"10m"``, ``"2h"``, ``"1d"`` as seconds.  Raises ValueError."""
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f'{text!r} is not a duration; write for example "30s", "10m" or "2h"')
    return float(int(match[1]) * _SECONDS[match[2]])


def milliseconds_from(text: object) -> float:
    """Read ``"150ms"`` or ``"2s"`` as milliseconds.  Raises ValueError."""
    if isinstance(text, str) and (match := re.fullmatch(r"(\d+)\s*ms", text.strip())):
        return float(match[1])
    try:
        return seconds_from(text) * 1000
    except ValueError as error:
        raise ValueError(f'{text!r} is not a time; write for example "150ms" or "2s"') from error


def part_from(text: object) -> float:
    """Read a per cent string of up to four decimals as a part of one: ``"0.05%"`` -> 0.0005.
    Raises ValueError."""
    match = (
        re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)\s*%", text.strip())
        if isinstance(text, str)
        else None
    )
    if match is None:
        raise ValueError(
            f'{text!r} is not a part; write it as a string with a per cent sign, such as "0.05%"'
        )
    return float(match[1]) / 100


def _shown(default: object) -> dict[str, Any]:
    """How a default is written in the file (the schema's own type), not how it is kept."""
    return {"default": default}


def _text_schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Share = Annotated[int, BeforeValidator(share_from), _text_schema(r"^\d{1,3}(\.\d)?%$", "10%")]
Seconds = Annotated[float, BeforeValidator(seconds_from), _text_schema(r"^\d+\s*[smhd]$", "10m")]
Milliseconds = Annotated[
    float, BeforeValidator(milliseconds_from), _text_schema(r"^\d+\s*(ms|s|m|h)$", "150ms")
]
Part = Annotated[
    float, BeforeValidator(part_from), _text_schema(r"^\d{1,4}(\.\d{1,4})?\s*%$", "0.05%")
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OldDeployer(_Strict):
    """How a release gets onto the hosts: by kirikae (`root`), or by a command of yours that takes
    the release ID."""

    root: str | None = Field(
        default=None,
        pattern=r"^/",
        description="folder on the hosts that holds `releases/ID` and the link `current`",
    )
    before: str | None = Field(
        default=None, description="run in the new release's folder before it is switched to"
    )
    reload: str | None = Field(
        default=None,
        description="makes the running service take the new release, without dropping a request",
    )
    after: str | None = Field(
        default=None, description="run in the new release's folder once it serves"
    )
    batch: int = Field(default=1, ge=1, description="hosts that change at the same time")
    patience: Seconds = Field(
        default=30.0,
        description="how long a host may take until all checks pass",
        json_schema_extra=_shown("30s"),
    )
    keep: int = Field(default=5, ge=2, description="releases that stay on a host")
    command: str | None = Field(
        default=None,
        description=(
            "instead: a shell command; RELEASE_ID, RELEASE_ARCHIVE and RELEASE_SHA256 are set"
        ),
    )

    @model_validator(mode="after")
    def _one_way(self) -> OldDeployer:
        if (self.root is None) == (self.command is None):
            raise ValueError("give `root` (and `reload`), so that kirikae deploys, or `command`")
        if self.root is not None and self.reload is None:
            raise ValueError(
                "`reload` is missing: the command that makes the service take a new "
                "release, such as `systemctl reload shop`"
            )
        return self


class OldFleet(_Strict):
    """The side on virtual machines."""

    target_group: str = Field(
        description="name of the target group that the hosts are registered in"
    )
    hosts: tuple[str, ...] = Field(default=(), description="ssh://name of each host", strict=False)
    autoscaling_group: str | None = None
    port: int = Field(
        default=80, ge=1, le=65535, description="port at which a host answers the checks"
    )
    deployer: OldDeployer | None = Field(
        default=None, description="how releases get onto the hosts"
    )


class NewDeployer(_Strict):
    """Who puts a release onto ECS, if not kirikae itself."""

    command: str = Field(
        description="a shell command; RELEASE_ID, RELEASE_ARCHIVE and RELEASE_SHA256 are set"
    )


class NewFleet(_Strict):
    """The side in containers."""

    cluster: str
    ecs_service: str
    target_group: str
    definitions: str = Field(
        default="ecs/", description="folder of ecs-task-def.json and ecs-service-def.json"
    )
    deployer: NewDeployer | None = Field(
        default=None,
        description="default: kirikae registers the task definition and updates the service",
    )


class Fleets(_Strict):
    old: OldFleet
    new: NewFleet


class Check(_Strict):
    """One request whose answer is known; it gates every step."""

    get: str = Field(pattern=r"^/")
    expect: int = Field(default=200, ge=100, le=599)
    contains: str | None = None


class SignIn(_Strict):
    """A login whose cookie must be known on both sides: signed in on one, acting on the other,
    before the share leaves 0."""

    post: str = Field(pattern=r"^/", description="where the form is sent")
    form: dict[str, str] = Field(
        description="its fields; a value `env:NAME` is read from the environment"
    )
    then: Check = Field(description="what only somebody signed in is answered")


class Database(_Strict):
    """The budget of connections while both sides run."""

    max_connections: int = Field(ge=1)
    per_host: int = Field(
        ge=0,
        description="connections that one host of the old side opens at most (pool x processes)",
    )
    per_task: int = Field(ge=0, description="the same for one task")
    reserved: int = Field(default=5, ge=0, description="for people, jobs and the superuser")


class Record(_Strict):
    """A DNS name whose answers are shared out by weights (Route 53)."""

    zone: str = Field(description="name or ID of the hosted zone")
    name: str = Field(
        description="the name that users ask for; now one simple record that leads to the old side"
    )
    type: Literal["A", "AAAA", "CNAME"] = "CNAME"
    new: str = Field(
        description="where the new side is: a host name, an address, or an alias's DNS name"
    )
    new_zone: str | None = Field(
        default=None,
        description="for an alias: the hosted zone of its target, such as the load balancer's",
    )
    ttl: Seconds = Field(
        default=60.0,
        ge=1,
        description="to which the record's TTL is lowered, one old TTL ahead",
        json_schema_extra=_shown("60s"),
    )


class Router(_Strict):
    listener_rule: str | None = Field(
        default=None,
        description=(
            "LOAD_BALANCER/RULE, where RULE is the rule's tag Name, or a listener rule's ARN"
        ),
        pattern=r"^(arn:\S+|[A-Za-z0-9-]{1,32}/.+)$",
    )
    record: Record | None = Field(default=None, description="instead: weighted DNS records")

    @model_validator(mode="after")
    def _one_way(self) -> Router:
        if (self.listener_rule is None) == (self.record is None):
            raise ValueError("give `listener_rule`, or `record`")
        return self


class JudgeSettings(_Strict):
    """How sure to be, and how much harm to put up with on the way (docs/explanation/verdict.md)."""

    false_alarms: Part = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="bound on a false back-out, over the whole move",
        json_schema_extra=_shown("1%"),
    )
    worse_requests_at_most: Part = Field(
        default=0.0005,
        gt=0,
        lt=1,
        description="part of all requests that a passed step may make worse",
        json_schema_extra=_shown("0.05%"),
    )
    bake: Seconds = Field(
        default=600.0,
        description="least time at each share before the next",
        json_schema_extra=_shown("10m"),
    )
    warm_up: Seconds = Field(
        default=30.0,
        description="after each step, for so long latency is shown and not judged",
        json_schema_extra=_shown("30s"),
    )
    ceiling: Part | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="part of failed requests on the new side above which it is backed out at once",
    )
    slower_at_most: Part | None = Field(
        default=None,
        description="how much slower than the old side; default: tighter as the share grows",
    )
    fast_enough: Milliseconds | None = Field(
        default=None,
        description="instead: an answer slower than this is a worse request, whatever the old side "
        "does",
    )

    @model_validator(mode="after")
    def _one_way_of_latency(self) -> JudgeSettings:
        if self.slower_at_most is not None and self.fast_enough is not None:
            raise ValueError("give slower_at_most (relative) or fast_enough (absolute), not both")
        return self


class Figures(_Strict):
    """Where figures come from, how fine and how late they are.  CloudWatch: 60 s, about two minutes
    late; access logs: some ten."""

    source: Literal["cloudwatch", "access_log"] = Field(
        default="cloudwatch",
        description="access_log: the load balancer's, from its bucket: one vote per client, single "
        "routes",
    )
    count: Literal["clients", "requests"] = Field(
        default="clients", description="with access_log: who has a vote in a period"
    )
    routes: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="with access_log: patterns of paths that are judged by themselves as well, "
        "such as /pay/*",
    )
    period: Seconds = Field(
        default=60.0, description="length of one batch of figures", json_schema_extra=_shown("60s")
    )
    lateness: Seconds = Field(
        default=120.0,
        description="how long figures take to arrive; with access_log by default 10m",
        json_schema_extra=_shown("120s"),
    )

    @model_validator(mode="before")
    @classmethod
    def _logs_come_later(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("source") == "access_log":
            return {"lateness": "10m", **raw}
        return raw

    @model_validator(mode="after")
    def _routes_need_a_log(self) -> Figures:
        if self.routes and self.source == "cloudwatch":
            raise ValueError("routes: CloudWatch does not tell of them; give `source: access_log`")
        return self


class TrafficMove(_Strict):
    kind: Literal["traffic"]
    router: Router
    plan: tuple[Share, ...] = Field(
        default=(1, 10, 50, 250, 500, WHOLE),
        strict=False,
        min_length=1,
        description="rising shares, the last 100%",
        json_schema_extra=_shown(["0.1%", "1%", "5%", "25%", "50%", "100%"]),
    )
    advance: Literal["ask", "window", "auto"] = Field(
        default="ask",
        description="ask: a proven step waits for `move approve`; window: it is taken within "
        "`windows`; auto: it is taken",
    )
    windows: tuple[str, ...] = Field(
        default=(),
        strict=False,
        json_schema_extra=_shown(["Mon-Fri 10:00-17:00"]),
        description="when a step may be taken, whoever asked for it; default: always, but for "
        "`freezes`",
    )
    approver: Literal["anyone", "another"] = Field(
        default="anyone", description="another: who approves a step must not be who drives the move"
    )
    judge: JudgeSettings = Field(default=JudgeSettings(), json_schema_extra=_shown({}))
    figures: Figures = Field(default=Figures(), json_schema_extra=_shown({}))

    @model_validator(mode="after")
    def _plan_rises_to_the_whole(self) -> TrafficMove:
        if list(self.plan) != sorted(set(self.plan)) or self.plan[-1] != WHOLE or self.plan[0] < 1:
            raise ValueError("the plan must rise and end at 100%")
        if self.router.record is not None and any(
            not 4 <= share <= 996 for share in self.plan[:-1]
        ):
            raise ValueError(
                "by DNS weights (0 to 255) a step is at least 0.4% and at most 99.6%, or "
                "100%; correct `plan`"
            )
        if self.router.record is not None and self.figures.source == "access_log":
            raise ValueError(
                "figures of a move by DNS come from CloudWatch: both sides may have load "
                "balancers of their own"
            )
        if self.advance == "window" and not self.windows:
            raise ValueError('advance: window needs `windows`, such as ["Mon-Fri 10:00-17:00"]')
        return self

    @field_validator("windows")
    @classmethod
    def _windows_can_be_read(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        for text in windows:
            window_from(text)
        return windows


class FreezeDays(_Strict):
    """Days on which no share rises; a back-out is never frozen."""

    begins: datetime.date = Field(alias="from", description="first day")
    until: datetime.date = Field(description="last day, included")
    why: str

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> FreezeDays:
        if self.until < self.begins:
            raise ValueError(f"the freeze ends ({self.until}) before it begins ({self.begins})")
        return self


class Slack(_Strict):
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
        if (self.webhook is None) == (self.token is None):
            raise ValueError("give `webhook`, or `token` and `channel`")
        if self.token is not None and self.channel is None:
            raise ValueError(
                "`channel` is missing: the ID of the channel that the token may write to"
            )
        return self


class Notify(_Strict):
    """Who is told what a move does: verdict first, number second, the command to undo third."""

    language: Literal["en", "ja"] = "en"
    slack: Slack | None = None
    sns: str | None = Field(
        default=None, pattern=r"^arn:aws[a-z-]*:sns:", description="ARN of a topic"
    )

    @model_validator(mode="after")
    def _somebody_is_told(self) -> Notify:
        if self.slack is None and self.sns is None:
            raise ValueError("give `slack`, `sns` or both")
        return self


class SurveySettings(_Strict):
    """Which machines are looked at, and how old a look may be when a move starts."""

    also: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="ssh://name of hosts beside the old fleet's, such as a batch server",
    )
    max_age: Seconds = Field(
        default=7 * 86400.0,
        description="a move does not start on an older survey",
        json_schema_extra=_shown("7d"),
    )


class Accepted(_Strict):
    """A finding that somebody answers for, until a day."""

    finding: str
    where: str
    why: str
    by: str
    until: datetime.date
    use: str | None = Field(
        default=None, description="for CF05: the host whose version is the right one"
    )


class BuildSettings(_Strict):
    """What the generated images and definitions need and no host can tell."""

    folder: str = Field(
        default="image/",
        description="where the Dockerfiles are written, relative to the project file",
    )
    distribution: str | None = Field(
        default=None,
        description="image that the base storey begins with; default: the hosts' own distribution",
    )
    unit: str | None = Field(
        default=None, description="the service to build; default: the hosts' only own unit"
    )
    tasks: int = Field(default=2, ge=1, description="tasks to begin with")
    port: int = Field(default=8080, ge=1024, le=65535, description="port of the task")
    subnets: tuple[str, ...] = Field(default=(), strict=False, description="subnets of the tasks")
    security_groups: tuple[str, ...] = Field(default=(), strict=False)
    execution_role: str | None = Field(
        default=None, description="role with which ECS pulls images, reads secrets and writes logs"
    )
    task_role: str | None = Field(
        default=None, description="role of the service itself, instead of static keys"
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="values for the task that differ from the hosts'"
    )
    secrets: dict[str, str] = Field(
        default_factory=dict,
        description="where each secret lies; default: /SERVICE/name-of-variable in SSM",
    )


class Project(_Strict):
    service: Name
    environment: Name
    account: str = Field(
        pattern=r"^\d{12}$", description="AWS account number in quotes; kirikae acts in no other"
    )
    region: str = "ap-northeast-1"
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
        description="response header in which every member of both fleets says its release ID",
    )
    fleets: Fleets
    checks: tuple[Check, ...] = Field(default=(), strict=False)
    sign_in: SignIn | None = Field(default=None, description="a login that both sides must know")
    database: Database | None = Field(
        default=None, description="budget of database connections for both sides"
    )
    survey: SurveySettings = Field(default=SurveySettings(), json_schema_extra=_shown({}))
    build: BuildSettings = Field(default=BuildSettings(), json_schema_extra=_shown({}))
    moves: dict[Name, TrafficMove] = Field(default_factory=dict)
    freezes: tuple[FreezeDays, ...] = Field(
        default=(), strict=False, description="days on which no share rises, in any move"
    )
    notify: Notify | None = Field(default=None, description="who is told what a move does")
    accepted: tuple[Accepted, ...] = Field(default=(), strict=False)

    @field_validator("store")
    @classmethod
    def _store_can_be_used(cls, store: str) -> str:
        if "://" in store and not re.fullmatch(
            r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/]+)*/?", store
        ):
            raise ValueError(
                f"{store!r} is not a place for the journal; write a file's path or "
                "s3://BUCKET/PREFIX"
            )
        return store

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f"{zone!r} is not a time zone; write its IANA name, such as Asia/Tokyo"
            ) from error
        return zone

    @property
    def rules(self) -> list[str]:
        """The listener rules that moves turn."""
        return [
            move.router.listener_rule
            for move in self.moves.values()
            if move.router.listener_rule is not None
        ]

    def calendar_of(self, name: str) -> Calendar:
        """When this move may take a step."""
        windows = tuple(window_from(text) for text in self.moves[name].windows)
        return Calendar(
            self.time_zone, windows, tuple(Freeze(f.begins, f.until, f.why) for f in self.freezes)
        )


def schema() -> dict[str, Any]:
    """The JSON Schema of the project file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kirikae.yml",
    } | Project.model_json_schema()


def project_from(text: str, name: str) -> Project:
    """Read the text of a project file called ``name``.  Raises ProjectProblem that names every
    fault and its line."""
    yaml = YAML(typ="rt", pure=True)
    try:
        raw = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ProjectProblem(f"{name}{line}: not YAML: {error.problem or error}") from error
    except (YAMLError, ValueError) as error:
        position = getattr(error, "position", None)
        line = f":{text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else ""
        raise ProjectProblem(f"{name}{line}: not YAML: {error}") from error
    if not isinstance(raw, Mapping):
        raise ProjectProblem(f"{name}: the file must be a mapping that begins with `service:`")
    try:
        return Project.model_validate(_plain(raw))
    except ValidationError as error:
        lines = [_fault(name, raw, fault) for fault in error.errors()]
        raise ProjectProblem("\n".join(lines)) from error


def _plain(node: Any) -> Any:
    """ruamel's commented containers as ordinary ones: strict models take no subclasses for
    granted."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(value) for value in node]
    if isinstance(node, str):
        return str(node)
    return node


def _fault(name: str, raw: Any, fault: Mapping[str, Any]) -> str:
    path = [
        part
        for part in fault["loc"]
        if isinstance(part, int) or not str(part).startswith("function-")
    ]
    line = _line_of(raw, path)
    key = ".".join(str(part) for part in path) or "the file"
    return f"{name}:{line}: {key}: {_remedy(fault, path)}"


def _remedy(fault: Mapping[str, Any], path: Sequence[Any]) -> str:
    match fault["type"]:
        case "extra_forbidden":
            near = get_close_matches(str(path[-1]), _known_keys(path[:-1]), n=1)
            return "unknown key" + (
                f"; did you mean `{near[0]}`?"
                if near
                else "; remove it or see `kirikae project schema`"
            )
        case "missing":
            return "this key must be given"
        case "literal_error" if path[-1] == "kind":
            return f"{fault['input']!r} cannot be moved by this release; it moves `traffic`"
        case "literal_error":
            return (
                f"{fault['input']!r} is not possible here; choose one of {fault['ctx']['expected']}"
            )
        case "string_type":
            return f'{fault["input"]!r} must be a string; put it in quotes: "{fault["input"]}"'
        case "value_error":
            return str(fault["ctx"]["error"])
        case "string_pattern_mismatch":
            return (
                f"{fault['input']!r} does not look right; it must match {fault['ctx']['pattern']}"
            )
        case _:
            return f"{fault['msg']} (got {fault['input']!r})"


def _known_keys(path: Sequence[Any]) -> list[str]:
    """All keys anywhere in the schema: close enough to guess what was meant, whatever the
    nesting."""
    definitions = Project.model_json_schema()
    keys = set(definitions["properties"])
    for part in definitions.get("$defs", {}).values():
        keys |= set(part.get("properties", {}))
    return sorted(keys)


def _line_of(node: Any, path: Sequence[Any]) -> int:
    line = int(node.lc.line) + 1
    for part in path:
        try:
            places: Any = node.lc
            here = places.key(part) if isinstance(node, Mapping) else places.item(part)
            line = int(here[0]) + 1
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line
