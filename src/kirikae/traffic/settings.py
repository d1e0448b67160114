"""A move of traffic in the project file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from kirikae.model.project import MoveSettings
from kirikae.model.share import WHOLE
from kirikae.model.values import (
    Milliseconds,
    Part,
    Seconds,
    Share,
    Strict,
    shown,
)

_FINE = (1, 5, 10, 20, 30)


class Record(Strict):
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
        json_schema_extra=shown("60s"),
    )


class Router(Strict):
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


class JudgeSettings(Strict):
    """How sure to be, and how much harm to put up with on the way (docs/explanation/verdict.md)."""

    false_alarms: Part = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="bound on a false back-out, over one attempt (a resumed move begins another)",
        json_schema_extra=shown("1%"),
    )
    worse_requests_at_most: Part = Field(
        default=0.0005,
        gt=0,
        lt=1,
        description="part of all requests that a passed step may make worse",
        json_schema_extra=shown("0.05%"),
    )
    bake: Seconds = Field(
        default=600.0,
        description="least time at each share before the next",
        json_schema_extra=shown("10m"),
    )
    long_bake: Seconds = Field(
        default=86_400.0,
        description="least time at a share from 90% on, before 100%: while some of the traffic is "
        "still on the old side to compare with",
        json_schema_extra=shown("24h"),
    )
    warm_up: Seconds = Field(
        default=60.0,
        description="after each step, for so long latency is shown and not judged, and a rise of "
        "errors by less than two points is no harm",
        json_schema_extra=shown("60s"),
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
    least_slower: Milliseconds = Field(
        default=5.0,
        description="times that differ by less are alike, however fast the service is",
        json_schema_extra=shown("5ms"),
    )
    fast_enough: Milliseconds | None = Field(
        default=None,
        gt=0,
        description="instead: an answer slower than this is a worse request, whatever the old side "
        "does",
    )

    @model_validator(mode="after")
    def _one_way_of_latency(self) -> JudgeSettings:
        if self.slower_at_most is not None and self.fast_enough is not None:
            raise ValueError("give slower_at_most (relative) or fast_enough (absolute), not both")
        return self


class Figures(Strict):
    """Where figures come from, how fine and how late they are.  CloudWatch: 60 s, about two minutes
    late; access logs: some ten."""

    source: Literal["cloudwatch", "access_log"] = Field(
        default="cloudwatch",
        description="access_log: the load balancer's, from its bucket: one vote per client, single "
        "routes",
    )
    count: Literal["clients", "requests"] = Field(
        default="clients",
        description="with access_log: who has a vote in a period",
    )
    routes: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="with access_log: patterns of paths that are judged by themselves as well, "
        "such as /pay/*",
    )
    period: Seconds = Field(
        default=60.0,
        gt=0,
        description="length of one batch of figures",
        json_schema_extra=shown("60s"),
    )
    lateness: Seconds = Field(
        default=120.0,
        description="how long figures take to arrive; with access_log by default 10m",
        json_schema_extra=shown("120s"),
    )

    @model_validator(mode="before")
    @classmethod
    def _logs_come_later(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("source") == "access_log":
            return {"lateness": "10m", **raw}
        return raw

    @model_validator(mode="after")
    def _period_can_be_asked_for(self) -> Figures:
        """GetMetricData: 1, 5, 10, 20, 30 or any multiple of 60 (API reference, MetricStat)."""
        if self.source == "cloudwatch" and self.period not in _FINE and self.period % 60:
            raise ValueError(
                f"period: CloudWatch has no figures of {self.period:.0f} s; write 60s, a multiple "
                "of it, or 1s, 5s, 10s, 20s, 30s"
            )
        return self

    @model_validator(mode="after")
    def _routes_need_a_log(self) -> Figures:
        if self.routes and self.source == "cloudwatch":
            raise ValueError("routes: CloudWatch does not tell of them; give `source: access_log`")
        return self


class TrafficMove(MoveSettings):
    """Requests: weights of a listener rule, or of DNS records."""

    kind: Literal["traffic"]
    router: Router
    plan: tuple[Share, ...] = Field(
        default=(1, 10, 50, 250, 500, 950, WHOLE),
        strict=False,
        min_length=1,
        description="rising shares, the last 100%",
        json_schema_extra=shown(["0.1%", "1%", "5%", "25%", "50%", "95%", "100%"]),
    )
    judge: JudgeSettings = Field(default=JudgeSettings(), json_schema_extra=shown({}))
    figures: Figures = Field(default=Figures(), json_schema_extra=shown({}))

    @property
    def between_groups(self) -> bool:
        return True

    @property
    def turns(self) -> Mapping[tuple[str, ...], str]:
        if self.router.record is not None:
            return {("router", "record", "name"): self.router.record.name}
        return {("router", "listener_rule"): self.router.listener_rule or ""}

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
        return self
