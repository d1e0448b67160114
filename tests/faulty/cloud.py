"""A small AWS in this process that does everything wrong, by seed, on a clock of its own.

Errors of every kind, answers that are lost although the call took effect, calls that take effect
late, looks that lag, figures that are incomplete, late or corrected.  Time goes on only when
somebody sleeps or calls.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from botocore.exceptions import ClientError, ConnectTimeoutError
from botocore.parsers import ResponseParserError

from kirikae.aws.clock import ServerClock
from kirikae.model.errors import AwsUnreachable, Changed, StoreBroken, Taken
from kirikae.model.store import Stored

BEGAN = 1_795_230_000.0
ACCOUNT = "123456789012"
_HEAD = f"arn:aws:elasticloadbalancing:eu-west-1:{ACCOUNT}:"
OLD = f"{_HEAD}targetgroup/old/1"
NEW = f"{_HEAD}targetgroup/new/2"
RULE = f"{_HEAD}listener-rule/app/shop/1/2/3"
PER_S = 40
CALL_S = 0.05
SILENT_S = 8.0
"""How long the client waits for an answer that does not come."""


@dataclass(frozen=True)
class Faults:
    """How often each goes wrong; 0: never."""

    error: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    lag_s: float = 0.0
    store: float = 0.0
    incomplete: float = 0.0
    late_errors_s: float = 0.0

    @classmethod
    def by(cls, rng: random.Random) -> Faults:
        """Every mixture, from a quiet day to a bad one."""
        return cls(
            rng.choice((0.0, 0.1, 0.3)),
            rng.choice((0.0, 0.1, 0.3)),
            rng.choice((0.0, 0.1, 0.2)),
            rng.choice((0.0, 1.0, 3.0)),
            rng.choice((0.0, 0.05, 0.1)),
            rng.choice((0.0, 0.1, 0.3)),
            rng.choice((0.0, 0.0, 6.0)),
        )


class Clock:
    """Time that goes on when it is told to; what is due happens on the way."""

    def __init__(self) -> None:
        self.at = BEGAN
        self._due: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        until = self.at + seconds
        while self._due and min(at for at, _ in self._due) <= until:
            first = min(self._due, key=lambda each: each[0])
            self._due.remove(first)
            self.at = max(self.at, first[0])
            first[1]()
        self.at = max(self.at, until)

    def at_time(self, at: float, act: Callable[[], None]) -> None:
        self._due.append((at, act))


@dataclass
class Cloud:
    """One listener rule with two target groups, and users who never stop asking.

    ``harm``: the part of requests that fail on the new side.
    ``inside``: called in the middle of a ModifyRule, before it takes effect.
    """

    clock: Clock
    rng: random.Random
    faults: Faults = field(default_factory=Faults)
    harm: float = 0.0
    inside: Callable[[], None] = lambda: None
    shares: list[tuple[float, int]] = field(default_factory=lambda: [(BEGAN - 3600, 0)])

    @property
    def share(self) -> int:
        return self.shares[-1][1]

    def set_share(self, share: int) -> None:
        self.shares.append((self.clock(), share))

    def share_at(self, at: float) -> int:
        return next((share for since, share in reversed(self.shares) if since <= at), 0)

    def exposed(self) -> float:
        """Requests that failed on the new side."""
        ends = [at for at, _ in self.shares[1:]] + [self.clock()]
        spans = zip(self.shares, ends, strict=True)
        return sum((end - at) * PER_S * share / 1000 for (at, share), end in spans) * self.harm

    # --- what goes wrong with any call

    def stumble(self, operation: str) -> None:
        self.clock.sleep(CALL_S)
        if self.rng.random() >= self.faults.error:
            return
        self._fail(operation)

    def _fail(self, operation: str) -> None:
        kind = self.rng.randrange(5)
        if kind == 0:
            self.clock.sleep(2.0)
            raise ConnectTimeoutError(endpoint_url="https://aws")
        if kind == 1:
            raise ResponseParserError("<html>proxy</html>")
        code, status = (("Throttling", 400), ("InternalFailure", 500), ("ExpiredToken", 403))[
            kind - 2
        ]
        error = {"Code": code, "Message": "by seed"}
        raise ClientError(
            {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
        )


class FaultyAws:
    """Stands where ``Aws`` stands; one per process that is played.  ``off_s``: how far the clock of
    its machine is off."""

    def __init__(self, cloud: Cloud, off_s: float = 0.0) -> None:
        self.cloud = cloud
        self._time = ServerClock(lambda: cloud.clock() + off_s, cloud.clock)

    def client(self, service: str) -> Any:
        self._time.hear({"date": formatdate(int(self.cloud.clock()), usegmt=True)})
        return {"elbv2": _Balancer, "cloudwatch": _Figures}[service](self.cloud)

    def now(self) -> float:
        return self._time.now()

    def take_request_ids(self) -> tuple[str, ...]:
        return ()


@dataclass
class _Balancer:
    cloud: Cloud

    def describe_target_groups(self, Names: list[str]) -> dict[str, Any]:
        self.cloud.stumble("DescribeTargetGroups")
        arns = {"old": OLD, "new": NEW}
        groups = [{"TargetGroupName": name, "TargetGroupArn": arns[name]} for name in Names]
        return {"TargetGroups": groups}

    def describe_target_group_attributes(self, **_: Any) -> dict[str, Any]:
        self.cloud.stumble("DescribeTargetGroupAttributes")
        return {"Attributes": []}

    def describe_target_health(self, **_: Any) -> dict[str, Any]:
        self.cloud.stumble("DescribeTargetHealth")
        health = {"Target": {"Id": "10.0.0.1", "Port": 80}, "TargetHealth": {"State": "healthy"}}
        return {"TargetHealthDescriptions": [health]}

    def describe_rules(self, **_: Any) -> dict[str, Any]:
        cloud = self.cloud
        cloud.stumble("DescribeRules")
        lag = cloud.rng.random() * cloud.faults.lag_s
        return {"Rules": [_rule(cloud.share_at(cloud.clock() - lag))]}

    def modify_rule(self, Actions: list[Any], **_: Any) -> dict[str, Any]:
        cloud = self.cloud
        cloud.stumble("ModifyRule")
        cloud.inside()
        weights = {
            group["TargetGroupArn"]: group["Weight"]
            for group in Actions[-1]["ForwardConfig"]["TargetGroups"]
        }
        share = round(1000 * weights[NEW] / sum(weights.values()))
        if cloud.rng.random() < cloud.faults.late:
            after = cloud.clock() + cloud.rng.uniform(SILENT_S, 14.0)
            cloud.clock.at_time(after, lambda: cloud.set_share(share))
            cloud.clock.sleep(SILENT_S)
            raise ConnectTimeoutError(endpoint_url="https://aws")
        cloud.set_share(share)
        if cloud.rng.random() < cloud.faults.lost:
            cloud._fail("ModifyRule")
        return {"Rules": [{"Actions": Actions}]}


def _rule(share: int) -> dict[str, Any]:
    old, new = (999, 0) if share == 0 else (0, 999) if share == 1000 else (1000 - share, share)
    groups = [{"TargetGroupArn": OLD, "Weight": old}, {"TargetGroupArn": NEW, "Weight": new}]
    return {"Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]}


@dataclass
class _Figures:
    cloud: Cloud

    def get_metric_data(
        self,
        MetricDataQueries: list[Any],
        StartTime: datetime,
        EndTime: datetime,
        **_: Any,
    ) -> dict[str, Any]:
        cloud = self.cloud
        cloud.stumble("GetMetricData")
        begin = max(StartTime.timestamp(), self.cloud.shares[0][0] - 300)
        seconds = range(int(begin), int(EndTime.timestamp()))
        results = []
        for query in MetricDataQueries:
            results.append(self._result(query, seconds))
        return {"MetricDataResults": results}

    def _result(self, query: dict[str, Any], seconds: range) -> dict[str, Any]:
        cloud = self.cloud
        metric = query["MetricStat"]["Metric"]
        name = metric["MetricName"]
        group = metric["Dimensions"][0]["Value"]
        if cloud.rng.random() < cloud.faults.incomplete / 12:
            status = cloud.rng.choice(("InternalError", "PartialData"))
            return {"Id": query["Id"], "Timestamps": [], "Values": [], "StatusCode": status}
        late = cloud.faults.late_errors_s if name.startswith("HTTPCode") else 1.0
        values = {
            second: self._value(_counted(name, query), group, second)
            for second in seconds
            if second + late < cloud.clock()
        }
        known = {second: value for second, value in values.items() if value}
        return {
            "Id": query["Id"],
            "Timestamps": [datetime.fromtimestamp(second, UTC) for second in known],
            "Values": list(known.values()),
            "StatusCode": "Complete",
        }

    def _value(self, metric: str, group: str, second: int) -> float:
        new = group.startswith("targetgroup/new")
        share = self.cloud.share_at(second + 0.5)
        requests = round(PER_S * (share if new else 1000 - share) / 1000)
        if metric in ("RequestCount", "TargetResponseTime"):  # its SampleCount: all are answered
            return float(requests)
        if metric == "HTTPCode_Target_5XX_Count" and new:
            whole = requests * self.cloud.harm
            return float(int(whole) + (random.Random(second).random() < whole % 1))
        return 0.0


def _counted(name: str, query: dict[str, Any]) -> str:
    """Of times only their number is known here: none is above any bound."""
    return f"{name} {query['MetricStat']['Stat']}" if "TC(" in query["MetricStat"]["Stat"] else name


class FaultyStore:
    """A store in memory that all processes share: it refuses, and loses answers."""

    def __init__(self, cloud: Cloud, kept: dict[str, Stored] | None = None) -> None:
        self._cloud = cloud
        self._kept = {} if kept is None else kept
        self._tags = 0

    def _stumble(self) -> None:
        self._cloud.clock.sleep(0.005)
        if self._cloud.rng.random() < self._cloud.faults.store:
            raise self._cloud.rng.choice((AwsUnreachable("503"), StoreBroken("403")))

    def get(self, key: str) -> Stored | None:
        self._stumble()
        return self._kept.get(key)

    def list(self, prefix: str) -> list[str]:
        self._stumble()
        return sorted(key for key in self._kept if key.startswith(prefix))

    def create_if_absent(self, key: str, body: str) -> str:
        self._stumble()
        if key in self._kept:
            raise Taken(key)
        return self._put(key, body)

    def replace_if_match(self, key: str, body: str, tag: str) -> str:
        self._stumble()
        if key not in self._kept or self._kept[key].tag != tag:
            raise Changed(key)
        return self._put(key, body)

    def _put(self, key: str, body: str) -> str:
        self._tags += 1
        self._kept[key] = Stored(body, str(self._tags))
        if self._cloud.rng.random() < self._cloud.faults.store / 2:
            raise AwsUnreachable("the answer was lost")
        return str(self._tags)
