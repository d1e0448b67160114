"""A service's policies as the law of scaling takes them, with the alarms that show them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kirikae.local.alarms.forms import Asked, asked_of
from kirikae.local.alarms.rows import Alarm
from kirikae.local.plain import Plain
from kirikae.local.scaling.forms import STEPS, TRACKING, place_of
from kirikae.local.scaling.rows import Policy as Row
from kirikae.model.scaling import (
    HIGH_DATAPOINTS,
    LOW_DATAPOINTS,
    LOW_SHARE,
    Adjustment,
    Measured,
    Metric,
    OwnMetric,
    Policy,
    Step,
    StepScaling,
    TargetTracking,
)

_COOLDOWN_S = 300.0
_MINUTE_S = 60
_USED = {
    Metric.CPU: "CPUUtilization",
    Metric.CPU_20S: "CPUUtilization",
    Metric.MEMORY: "MemoryUtilization",
    Metric.MEMORY_20S: "MemoryUtilization",
}


@dataclass(frozen=True, slots=True)
class Used:
    """A service's use of CPU or memory."""

    figure: str


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests a minute for each target of a group, by the group's ID."""

    group: str


@dataclass(frozen=True, slots=True)
class Rings:
    """A user's own alarm, by its ARN."""

    alarm: str


Source = Used | Requests | Rings | Asked


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy, or one alarm of a step policy, and where its datapoints come from.  ``alarms``:
    names of the alarm for more and of the one for less."""

    policy: Policy
    row: Row
    source: Source
    alarms: tuple[str, str]


def rules_of(rows: Iterable[Row], alarms: Iterable[Alarm]) -> list[Rule]:
    """In the order in which the policies were made."""
    known = sorted(alarms, key=lambda each: each["arn"])
    found: list[Rule] = []
    for row in sorted(rows, key=lambda each: (each["created"], each["name"])):
        if row["kind"] == TRACKING:
            found.append(_tracking(row, known))
        else:
            found += _stepped(row, known)
    return found


def _tracking(row: Row, alarms: Iterable[Alarm]) -> Rule:
    form = row["form"]
    metric, source = _metric(row)
    policy = TargetTracking(
        row["name"],
        metric,
        float(form["TargetValue"]),
        float(form.get("ScaleOutCooldown", _COOLDOWN_S)),
        float(form.get("ScaleInCooldown", _COOLDOWN_S)),
        not form.get("DisableScaleIn", False),
    )
    own = [each["name"] for each in alarms if each["owner"] == row["arn"]]
    high = next((name for name in own if "-AlarmHigh-" in name), "")
    low = next((name for name in own if "-AlarmLow-" in name), "")
    return Rule(
        policy,
        row,
        source,
        (high, low),
    )


def _metric(row: Row) -> tuple[Measured, Source]:
    """What a policy looks at, and who knows it."""
    own = row["form"].get("CustomizedMetricSpecification")
    if own:
        return OwnMetric(row["name"]), asked_of({**own, "Period": _MINUTE_S})
    told = row["form"]["PredefinedMetricSpecification"]
    metric = Metric(told["PredefinedMetricType"])
    if metric is Metric.REQUESTS:
        return OwnMetric(row["name"]), Requests(told["ResourceLabel"].rpartition("/")[2])
    return metric, Used(_USED[metric])


def _stepped(row: Row, alarms: Iterable[Alarm]) -> Iterator[Rule]:
    """Once for each alarm that triggers it."""
    form = row["form"]
    for alarm in alarms:
        told = alarm["form"]
        if not told["ActionsEnabled"] or row["arn"] not in told["AlarmActions"]:
            continue
        name = f"{row['name']} {alarm['name']}"
        policy = StepScaling(
            name=name,
            metric=OwnMetric(name, min(int(told["Period"]), _MINUTE_S)),
            threshold=float(told["Threshold"]),
            above=told["ComparisonOperator"].startswith("Greater"),
            steps=tuple(map(_step, form["StepAdjustments"])),
            adjustment=Adjustment(form["AdjustmentType"]),
            datapoints=1,
            cooldown_s=float(form.get("Cooldown", _COOLDOWN_S)),
            least_change=float(form.get("MinAdjustmentMagnitude", 0)),
        )
        yield Rule(
            policy,
            row,
            Rings(alarm["arn"]),
            (alarm["name"], alarm["name"]),
        )


def _step(told: Mapping[str, float]) -> Step:
    return Step(
        told.get("MetricIntervalLowerBound"),
        told.get("MetricIntervalUpperBound"),
        float(told["ScalingAdjustment"]),
    )


# --- alarms that show target tracking


def alarms_of(row: Row, number: str) -> list[Plain]:
    """As PutMetricAlarm would be told them; without scale-in there is no low one.  A step policy
    has none of its own.  ``number``: what makes their names different from all others."""
    if row["kind"] == STEPS:
        return []
    target = float(row["form"]["TargetValue"])
    period = _metric(row)[0].period_s
    high = _alarm(
        row,
        f"AlarmHigh-{number}",
        HIGH_DATAPOINTS,
        target,
        "GreaterThanThreshold",
    )
    if row["form"].get("DisableScaleIn"):
        return [high]
    least = LOW_DATAPOINTS[period]
    low = _alarm(
        row,
        f"AlarmLow-{number}",
        least,
        LOW_SHARE * target,
        "LessThanThreshold",
    )
    return [high, low]


def _alarm(
    row: Row,
    end: str,
    datapoints: int,
    threshold: float,
    comparison: str,
) -> Plain:
    metric = _metric(row)[0]
    return {
        "AlarmName": f"TargetTracking-{row['resource']}-{end}",
        "AlarmDescription": "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy "
        f"{row['arn']}.",
        "ActionsEnabled": True,
        "AlarmActions": [row["arn"]],
        "OKActions": [],
        "InsufficientDataActions": [],
        "Period": metric.period_s,
        "EvaluationPeriods": datapoints,
        "Threshold": threshold,
        "ComparisonOperator": comparison,
        "TreatMissingData": "missing",
        **_shown_metric(row),
    }


def _shown_metric(row: Row) -> Plain:
    """Namespace, metric, dimensions and statistic as an alarm shows them."""
    own = row["form"].get("CustomizedMetricSpecification")
    if own:
        members = ("Namespace", "MetricName", "Statistic", "Unit")
        found = {member: own[member] for member in members if member in own}
        return {**found, "Dimensions": own.get("Dimensions", [])}
    told = row["form"]["PredefinedMetricSpecification"]
    metric = Metric(told["PredefinedMetricType"])
    if metric is Metric.REQUESTS:
        balancer, _, group = told["ResourceLabel"].partition("/targetgroup/")
        dimensions = {"LoadBalancer": balancer, "TargetGroup": f"targetgroup/{group}"}
        names = ("AWS/ApplicationELB", "RequestCountPerTarget", "Sum")
    else:
        cluster, service = place_of(row["resource"])
        dimensions = {"ClusterName": cluster, "ServiceName": service}
        names = ("AWS/ECS", _USED[metric], "Average")
    listed = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    shown = dict(
        zip(
            ("Namespace", "MetricName", "Statistic"),
            names,
            strict=True,
        )
    )
    return {**shown, "Dimensions": listed}
