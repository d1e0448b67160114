"""What Application Auto Scaling takes and refuses.  Pure.

Application Auto Scaling API reference, PutScalingPolicy, PutScheduledAction and their types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from kirikae.local.alarms.forms import asked_of, check_figures
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.model.crontab.aws import Expression, Service, read_expression
from kirikae.model.crontab.zones import Zone
from kirikae.model.said import Said
from kirikae.model.scaling import Metric

NAMESPACE = "ecs"
DIMENSION = "ecs:service:DesiredCount"
STEPS = "StepScaling"
TRACKING = "TargetTrackingScaling"
MOST_POLICIES = 50
MOST_PLANNED = 200
_MOST_STEPS = 20
_MOST_TASKS = 5000
"""ECS quotas: tasks per service."""
_CONFIGURATIONS = {
    STEPS: "StepScalingPolicyConfiguration",
    TRACKING: "TargetTrackingScalingPolicyConfiguration",
}
PREDEFINED = frozenset(Metric)


def refused(why: str) -> AwsError:
    """The error (not raised yet)."""
    return AwsError("ValidationException", why)


def check_kind(params: Plain) -> None:
    """Raise AwsError for what is no service of ECS."""
    namespace = params["ServiceNamespace"]
    dimension = params.get("ScalableDimension", DIMENSION)
    if namespace != NAMESPACE or dimension != DIMENSION:
        raise refused(f"kirikae local scales services of ECS ({DIMENSION}), not {namespace}")


def place_of(resource: str) -> tuple[str, str]:
    """Cluster and service.  Raises AwsError."""
    kind, _, rest = resource.partition("/")
    cluster, _, service = rest.partition("/")
    if kind != "service" or not cluster or not service or "/" in service:
        raise refused(
            f"Unsupported service namespace, resource type or scalable dimension: "
            f"{resource} is not service/CLUSTER/SERVICE"
        )
    return cluster, service


def check_bounds(least: int, most: int) -> None:
    """Raise AwsError."""
    if not 0 <= least <= most:
        raise refused(f"Minimum capacity {least} and maximum capacity {most}: 0 <= min <= max")
    if most > _MOST_TASKS:
        raise refused(f"Maximum capacity {most}: a service has at most {_MOST_TASKS} tasks")


# --- policies


def kind_of(params: Plain, before: str) -> str:
    """TargetTracking or steps.  Raises AwsError for others, and for the other configuration."""
    kind = str(params.get("PolicyType") or before or STEPS)
    if kind not in _CONFIGURATIONS:
        raise refused(f"kirikae local does not carry out {kind}: it forecasts nothing")
    if before and kind != before:
        raise refused(f"The policy is there already, as a {before}")
    for other, member in _CONFIGURATIONS.items():
        if other != kind and params.get(member):
            raise refused(f"{member} is given for a policy of the type {kind}")
    return kind


def configuration_of(params: Plain, kind: str) -> Plain:
    """Raises AwsError."""
    member = _CONFIGURATIONS[kind]
    found: Plain | None = params.get(member)
    if not found:
        raise refused(f"{member} is required for a policy of the type {kind}")
    wrong = _wrong_steps(found) if kind == STEPS else _wrong_tracking(found)
    for why in wrong:
        raise refused(why)
    return found


def _wrong_tracking(found: Plain) -> Iterator[str]:
    if found["TargetValue"] <= 0:
        yield "TargetValue must be above 0"
    predefined = found.get("PredefinedMetricSpecification")
    own = found.get("CustomizedMetricSpecification")
    if bool(predefined) is bool(own):
        yield "Give either PredefinedMetricSpecification or CustomizedMetricSpecification"
    elif predefined:
        yield from _wrong_predefined(predefined)
    elif own:
        yield from _wrong_own(own)
    yield from _wrong_cooldowns(found, ("ScaleOutCooldown", "ScaleInCooldown"))


def _wrong_predefined(found: Plain) -> Iterator[str]:
    kind = found["PredefinedMetricType"]
    label = found.get("ResourceLabel", "")
    if kind not in PREDEFINED:
        yield f"{kind} is no metric of ECS services that kirikae local measures"
    if (kind == Metric.REQUESTS) is not bool(label):
        yield f"ResourceLabel belongs to {Metric.REQUESTS}, and to no other metric"
    if label and (not label.startswith("app/") or "/targetgroup/" not in label):
        yield f"ResourceLabel {label}: app/NAME/ID/targetgroup/NAME/ID"


def _wrong_own(found: Plain) -> Iterator[str]:
    if found.get("Metrics"):
        yield "kirikae local does not carry out expressions in Metrics"
        return
    for member in ("MetricName", "Namespace", "Statistic"):
        if not found.get(member):
            yield f"CustomizedMetricSpecification: {member} is required"
            return
    check_figures(asked_of({**found, "Period": 60}))


def _wrong_cooldowns(found: Plain, members: Sequence[str]) -> Iterator[str]:
    for member in members:
        if found.get(member, 0) < 0:
            yield f"{member} must not be negative"


def _wrong_steps(found: Plain) -> Iterator[str]:
    steps = found.get("StepAdjustments") or []
    if not found.get("AdjustmentType") or not steps:
        yield "AdjustmentType and StepAdjustments are required"
        return
    if len(steps) > _MOST_STEPS:
        yield f"StepAdjustments: at most {_MOST_STEPS}"
    percent = found["AdjustmentType"] == "PercentChangeInCapacity"
    if found.get("MinAdjustmentMagnitude") and not percent:
        yield "MinAdjustmentMagnitude belongs to PercentChangeInCapacity"
    yield from _wrong_intervals(sorted(map(bounds_of, steps)))
    yield from _wrong_cooldowns(found, ("Cooldown",))


def bounds_of(step: Mapping[str, float]) -> tuple[float, float]:
    """An open bound is infinite."""
    lower = step.get("MetricIntervalLowerBound", float("-inf"))
    return lower, step.get("MetricIntervalUpperBound", float("inf"))


def _wrong_intervals(intervals: Sequence[tuple[float, float]]) -> Iterator[str]:
    """No gap, no overlap; what goes below 0 is open below, what goes above it is open above."""
    for lower, upper in intervals:
        if lower >= upper:
            yield f"StepAdjustments: the interval from {lower} to {upper} is none"
    for (_, upper), (lower, _) in pairwise(intervals):
        if upper != lower:
            what = "overlap" if upper > lower else "leave a gap"
            yield f"StepAdjustments: intervals {what} between {upper} and {lower}"
    yield from _wrong_ends(intervals[0][0], max(upper for _, upper in intervals))


def _wrong_ends(lowest: float, highest: float) -> Iterator[str]:
    if lowest < 0 and lowest != float("-inf"):
        yield "StepAdjustments: with a negative lower bound one interval must be open below"
    if highest > 0 and highest != float("inf"):
        yield "StepAdjustments: with a positive upper bound one interval must be open above"


# --- scheduled actions


def expression_of(schedule: str) -> Expression:
    """Raises AwsError."""
    found = read_expression(schedule, Service.SCHEDULER)
    if isinstance(found, Said):
        raise refused(f"Schedule {schedule}: at(), rate() or cron() with six fields")
    return found


def zone_of(name: str) -> Zone:
    """Raises AwsError."""
    try:
        return Zone(name)
    except (KeyError, ValueError, OSError) as error:
        raise refused(f"Timezone {name} is not known") from error
