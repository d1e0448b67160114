"""The rules of ``capacity.yml`` as calls of AWS's API for one service, and what differs from those
that are there.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.capacity.errors import RulesProblem
from kirikae.capacity.settings import (
    METRICS,
    CapacityFile,
    DailySettings,
    PolicySettings,
    StepSettings,
)
from kirikae.model.scaling import Metric

Asked = Mapping[str, Any]
_DIMENSION = "ecs:service:DesiredCount"
_ADJUSTMENTS = {
    "tasks": "ChangeInCapacity",
    "percent": "PercentChangeInCapacity",
    "exact": "ExactCapacity",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A service.  ``requests``: ``app/NAME/ID/targetgroup/NAME/ID``, for rules by requests; empty:
    not told."""

    cluster: str
    service: str
    requests: str = ""

    @property
    def resource(self) -> str:
        """As Application Auto Scaling names it."""
        return f"service/{self.cluster}/{self.service}"

    @property
    def members(self) -> dict[str, str]:
        """Of every call."""
        return {
            "ServiceNamespace": "ecs",
            "ResourceId": self.resource,
            "ScalableDimension": _DIMENSION,
        }


@dataclass(frozen=True, slots=True)
class Order:
    """One call.  ``triggers``: name of the policy that this alarm triggers; its ARN is known only
    when the policy is there."""

    operation: str
    name: str
    asked: Asked
    triggers: str = ""


def orders_of(file: CapacityFile, place: Place) -> list[Order]:
    """In the order in which they are to be sent.  Raises RulesProblem for a rule by requests where
    nobody said of which load balancer."""
    bounds = {
        "MinCapacity": file.tasks.min,
        "MaxCapacity": file.tasks.max,
    }
    found = [
        Order(
            "RegisterScalableTarget",
            place.resource,
            {
                **place.members,
                **bounds,
            },
        )
    ]
    for policy in file.policies:
        found += _of_policy(policy, place)
    return [*found, *(_of_daily(each, place) for each in file.daily)]


def _of_policy(policy: PolicySettings, place: Place) -> Iterator[Order]:
    if policy.metric == "requests" and not place.requests:
        raise RulesProblem(
            f"the rule {policy.name} is by requests; say of which load balancer and target group "
            "with --requests-of app/NAME/ID/targetgroup/NAME/ID"
        )
    head = {
        **place.members,
        "PolicyName": policy.name,
    }
    if policy.target is not None:
        yield Order(
            "PutScalingPolicy",
            policy.name,
            {
                **head,
                **_tracking(policy, place),
            },
        )
        return
    if policy.metric == "cpu_20s":
        raise RulesProblem(
            f"the rule {policy.name}: steps by figures of 20 seconds are not applied; use `target`"
        )
    yield Order(
        "PutScalingPolicy",
        policy.name,
        {
            **head,
            **_stepped(policy),
        },
    )
    name = f"{place.cluster}/{place.service} {policy.name}"
    yield Order(
        "PutMetricAlarm",
        name,
        _alarm(
            policy,
            place,
            name,
        ),
        policy.name,
    )


def _tracking(policy: PolicySettings, place: Place) -> dict[str, Any]:
    metric = METRICS[policy.metric]
    spec = {"PredefinedMetricType": str(metric)}
    if metric is Metric.REQUESTS:
        spec["ResourceLabel"] = place.requests
    form = {
        "TargetValue": policy.target,
        "PredefinedMetricSpecification": spec,
        "ScaleOutCooldown": policy.out_cooldown_s,
        "ScaleInCooldown": policy.in_cooldown_s,
        "DisableScaleIn": not policy.scale_in,
    }
    return {
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": form,
    }


def _stepped(policy: PolicySettings) -> dict[str, Any]:
    form: dict[str, Any] = {
        "AdjustmentType": _ADJUSTMENTS[policy.by],
        "StepAdjustments": [_step(each) for each in policy.steps],
        "Cooldown": policy.out_cooldown_s,
    }
    if policy.least_change and policy.by == "percent":
        form["MinAdjustmentMagnitude"] = policy.least_change
    return {
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": form,
    }


def _step(step: StepSettings) -> dict[str, float]:
    bounds = {
        "MetricIntervalLowerBound": step.lower,
        "MetricIntervalUpperBound": step.upper,
    }
    told = {key: float(bound) for key, bound in bounds.items() if bound is not None}
    return {
        **told,
        "ScalingAdjustment": step.add,
    }


def _alarm(
    policy: PolicySettings,
    place: Place,
    name: str,
) -> dict[str, Any]:
    """The one that a step policy waits for."""
    if policy.metric == "requests":
        balancer, _, group = place.requests.partition("/targetgroup/")
        dimensions = {
            "LoadBalancer": balancer,
            "TargetGroup": f"targetgroup/{group}",
        }
        metric = ("AWS/ApplicationELB", "RequestCountPerTarget", "Sum")
    else:
        dimensions = {
            "ClusterName": place.cluster,
            "ServiceName": place.service,
        }
        metric = ("AWS/ECS", "CPUUtilization", "Average")
    is_above = policy.above is not None
    side = "Greater" if is_above else "Less"
    return {
        "AlarmName": name,
        "AlarmDescription": f"Triggers the scaling policy {policy.name} (kirikae capacity apply).",
        **dict(
            zip(
                ("Namespace", "MetricName", "Statistic"),
                metric,
                strict=True,
            )
        ),
        "Dimensions": [
            {
                "Name": key,
                "Value": value,
            }
            for key, value in dimensions.items()
        ],
        "Period": 60,
        "EvaluationPeriods": policy.datapoints,
        "Threshold": float((policy.above if is_above else policy.below) or 0.0),
        "ComparisonOperator": f"{side}ThanOrEqualToThreshold",
    }


def _of_daily(daily: DailySettings, place: Place) -> Order:
    hour, _, minute = daily.at.partition(":")
    name = f"kirikae-{hour}{minute}-{daily.zone.replace('/', '-')}"
    asked = {
        **place.members,
        "ScheduledActionName": name,
        "Schedule": f"cron({int(minute)} {int(hour)} * * ? *)",
        "Timezone": daily.zone,
        "ScalableTargetAction": {"MinCapacity": daily.min},
    }
    return Order(
        "PutScheduledAction",
        name,
        asked,
    )


def differences(order: Order, there: Asked | None) -> list[str]:
    """``member: former -> wanted`` of what is not as it is wanted; everything where it is not
    there.  Members that AWS adds by itself are none."""
    return [f"{key}: {former} -> {wanted}" for key, former, wanted in _differing(order, there)]


def _differing(order: Order, there: Asked | None) -> Iterator[tuple[str, object, object]]:
    wanted = dict(_leaves("", order.asked))
    former = dict(_leaves("", there or {}))
    for key, value in wanted.items():
        if former.get(key) != value:
            yield key, former.get(key, "-"), value


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Numbers are compared as numbers: AWS answers 50.0 for 50."""
    match value:
        case Mapping():
            for key, part in value.items():
                yield from _leaves(f"{path}.{key}" if path else str(key), part)
        case list():
            for index, part in enumerate(value):
                yield from _leaves(f"{path}[{index}]", part)
        case bool() | str():
            yield path, value
        case int() | float():
            yield path, float(value)
        case _:
            yield path, value
