"""The API of Application Auto Scaling, for services of ECS."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from kirikae.local.alarms.book import Book as Alarms
from kirikae.local.alarms.book import arn_of
from kirikae.local.alarms.rows import METRIC
from kirikae.local.errors import AwsError
from kirikae.local.pages import TOKEN
from kirikae.local.plain import Plain
from kirikae.local.scaling.activities import change, shown
from kirikae.local.scaling.book import Book
from kirikae.local.scaling.deciding import NEVER
from kirikae.local.scaling.fleet import Fleet
from kirikae.local.scaling.forms import (
    DIMENSION,
    MOST_PLANNED,
    MOST_POLICIES,
    NAMESPACE,
    STEPS,
    check_bounds,
    check_kind,
    configuration_of,
    expression_of,
    kind_of,
    place_of,
    refused,
    zone_of,
)
from kirikae.local.scaling.policies import alarms_of
from kirikae.local.scaling.rows import Planned, Policy, Suspension, Target
from kirikae.local.wire import ACCOUNT, Handlers, Json, Service, bound

_MOST_RESULTS = 50
_MOST_TARGETS = 3000
"""Quota: scalable targets of ECS in an account and region."""
_ROLE = (
    f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_ECSService"
)
_AWAKE: Suspension = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}
_WITH_CONFIGURATION = {
    STEPS: "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
}


class Scaling:
    """Of one region."""

    def __init__(
        self,
        book: Book,
        alarms: Alarms,
        fleet: Fleet,
        region: str,
        clock: Callable[[], float],
    ) -> None:
        """``book`` and ``alarms`` are those of the region."""
        self._book = book
        self._alarms = alarms
        self._fleet = fleet
        self._region = region
        self._clock = clock

    # --- targets

    async def register(self, params: Plain) -> Plain:
        """RegisterScalableTarget: what is not given stays; a desired count outside of the bounds
        is set to them at once."""
        check_kind(params)
        resource = params["ResourceId"]
        place_of(resource)
        before = self._book.target(resource)
        now = self._fleet.now(self._region, resource)
        if now is None:
            raise refused(f"ECS service doesn't exist: {resource}")
        if before is None and len(self._book.targets.all()) >= _MOST_TARGETS:
            raise AwsError("LimitExceededException", f"at most {_MOST_TARGETS} scalable targets")
        target = self._registered(params, before)
        within = min(max(now.desired, target["least"]), target["most"])
        with self._book.store.together():
            self._book.targets.put(target["arn"], target)
            if within != now.desired:
                self._set(
                    target,
                    within,
                    within > now.desired,
                )
        return {"ScalableTargetARN": target["arn"]}

    def _set(
        self,
        target: Target,
        desired: int,
        raised: bool,
    ) -> None:
        word = "minimum" if raised else "maximum"
        cause = f"{word} capacity was set to {desired}"
        self._fleet.want(target, desired)
        activity = change(
            cause,
            desired,
            self._clock(),
        )
        self._book.note(
            self._region,
            target["resource"],
            [activity],
        )

    def _registered(
        self,
        params: Plain,
        before: Target | None,
    ) -> Target:
        """Raises AwsError for a new one without bounds."""
        target = before if before is not None else self._new(params)
        least = int(params.get("MinCapacity", target["least"]))
        most = int(params.get("MaxCapacity", target["most"]))
        check_bounds(least, most)
        suspended = {**target["suspended"], **params.get("SuspendedState", {})}
        return {
            **target,
            "least": least,
            "most": most,
            "role": params.get("RoleARN", target["role"]),
            "suspended": cast(Suspension, suspended),
        }

    def _new(self, params: Plain) -> Target:
        for member in ("MinCapacity", "MaxCapacity"):
            if member not in params:
                raise refused(f"{member} is required for a new scalable target")
        head = f"arn:aws:application-autoscaling:{self._region}:{ACCOUNT}:scalable-target/"
        now = self._clock()
        return {
            "arn": head + uuid.uuid4().hex,
            "resource": params["ResourceId"],
            "least": 0,
            "most": 0,
            "role": _ROLE,
            "created": now,
            "suspended": _AWAKE,
            "tags": dict(params.get("Tags", {})),
            "last": now,
            "cooling": NEVER,
            "breaches": {},
        }

    async def deregister(self, params: Plain) -> Plain:
        """DeregisterScalableTarget, with its policies, their alarms and its scheduled actions."""
        target = self._target(params)
        with self._book.store.together():
            for policy in self._book.policies_of(target):
                self._drop(policy)
            for planned in self._book.planned_of(target):
                self._book.planned.drop(planned["arn"])
            self._book.targets.drop(target["arn"])
        return {}

    async def targets(self, params: Plain) -> Plain:
        """DescribeScalableTargets."""
        check_kind(params)
        wanted = params.get("ResourceIds")
        found = [
            _show_target(each)
            for each in self._book.targets.all()
            if not wanted or each["resource"] in wanted
        ]
        return _page(
            "ScalableTargets",
            found,
            params,
        )

    def _target(self, params: Plain) -> Target:
        """Raises AwsError where the service is not registered."""
        check_kind(params)
        found = self._book.target(params["ResourceId"])
        if found is None:
            raise _missing("scalable target", params["ResourceId"])
        return found

    # --- policies

    async def put_policy(self, params: Plain) -> Plain:
        """PutScalingPolicy.  A policy that is put again begins to count anew."""
        target = self._target(params)
        others = self._book.policies_of(target)
        name = params["PolicyName"]
        before = next((each for each in others if each["name"] == name), None)
        if before is None and len(others) >= MOST_POLICIES:
            raise AwsError("LimitExceededException", f"at most {MOST_POLICIES} policies")
        kind = kind_of(params, before["kind"] if before is not None else "")
        form = configuration_of(params, kind)
        policy: Policy = {
            "arn": before["arn"] if before is not None else self._policy_arn(params),
            "name": name,
            "resource": target["resource"],
            "kind": kind,
            "form": form,
            "created": before["created"] if before is not None else self._clock(),
        }
        with self._book.store.together():
            self._forget_counts(target, name)
            if before is not None:
                self._drop_alarms(before)
            self._book.policies.put(policy["arn"], policy)
            for alarm in alarms_of(policy, str(uuid.uuid4())):
                arn = arn_of(self._region, alarm["AlarmName"])
                self._alarms.put(
                    arn,
                    METRIC,
                    alarm,
                    {},
                    policy["arn"],
                )
        return {"PolicyARN": policy["arn"], "Alarms": self._alarms_of(policy)}

    def _policy_arn(self, params: Plain) -> str:
        place = f"resource/{NAMESPACE}/{params['ResourceId']}:policyName/{params['PolicyName']}"
        number = uuid.uuid4()
        return f"arn:aws:autoscaling:{self._region}:{ACCOUNT}:scalingPolicy:{number}:{place}"

    def _forget_counts(
        self,
        target: Target,
        name: str,
    ) -> None:
        counts = {key: value for key, value in target["breaches"].items() if key != name}
        self._book.targets.put(target["arn"], {**target, "breaches": counts})

    async def policies(self, params: Plain) -> Plain:
        """DescribeScalingPolicies."""
        check_kind(params)
        names = params.get("PolicyNames")
        resource = params.get("ResourceId")
        found = [
            self._show_policy(each)
            for each in self._book.policies.all()
            if (not names or each["name"] in names) and resource in (None, each["resource"])
        ]
        return _page(
            "ScalingPolicies",
            found,
            params,
        )

    def _show_policy(self, policy: Policy) -> Plain:
        return {
            "PolicyARN": policy["arn"],
            "PolicyName": policy["name"],
            **_place(policy["resource"]),
            "PolicyType": policy["kind"],
            _WITH_CONFIGURATION[policy["kind"]]: policy["form"],
            "Alarms": self._alarms_of(policy),
            "CreationTime": policy["created"],
        }

    def _alarms_of(self, policy: Policy) -> list[Plain]:
        """Its own, or those that trigger it."""
        arn = policy["arn"]
        return [
            {"AlarmName": each["name"], "AlarmARN": each["arn"]}
            for each in self._alarms.alarms.all()
            if arn in each["form"]["AlarmActions"]
        ]

    async def delete_policy(self, params: Plain) -> Plain:
        """DeleteScalingPolicy."""
        target = self._target(params)
        for policy in self._book.policies_of(target):
            if policy["name"] == params["PolicyName"]:
                with self._book.store.together():
                    self._forget_counts(target, policy["name"])
                    self._drop(policy)
                return {}
        raise _missing("scaling policy", params["PolicyName"])

    def _drop(self, policy: Policy) -> None:
        """Users' alarms that triggered it stay, without this action."""
        self._drop_alarms(policy)
        self._book.policies.drop(policy["arn"])
        for alarm in self._alarms.alarms.all():
            actions = alarm["form"]["AlarmActions"]
            if policy["arn"] in actions:
                left = [each for each in actions if each != policy["arn"]]
                form = {**alarm["form"], "AlarmActions": left}
                self._alarms.alarms.put(alarm["arn"], {**alarm, "form": form})

    def _drop_alarms(self, policy: Policy) -> None:
        for alarm in self._alarms.alarms.all():
            if alarm["owner"] == policy["arn"]:
                self._alarms.drop(alarm)

    # --- scheduled actions

    async def put_planned(self, params: Plain) -> Plain:
        """PutScheduledAction: of one that is there, what is not given stays, but start and end."""
        target = self._target(params)
        others = self._book.planned_of(target)
        name = params["ScheduledActionName"]
        before = next((each for each in others if each["name"] == name), None)
        if before is None and len(others) >= MOST_PLANNED:
            raise AwsError("LimitExceededException", f"at most {MOST_PLANNED} scheduled actions")
        planned = self._planned(
            params,
            before,
            target,
        )
        expression_of(planned["schedule"])
        zone_of(planned["zone"])
        _check_planned(planned)
        self._book.planned.put(planned["arn"], planned)
        return {}

    def _planned(
        self,
        params: Plain,
        before: Planned | None,
        target: Target,
    ) -> Planned:
        resource = target["resource"]
        name = params["ScheduledActionName"]
        bounds = params.get("ScalableTargetAction", {})
        head = f"arn:aws:autoscaling:{self._region}:{ACCOUNT}:scheduledAction:{uuid.uuid4()}"
        numbers = [each["number"] for each in self._book.planned_of(target)]
        new: Planned = {
            "arn": f"{head}:resource/{NAMESPACE}/{resource}:scheduledActionName/{name}",
            "name": name,
            "resource": resource,
            "schedule": "",
            "zone": "UTC",
            "start": None,
            "end": None,
            "least": None,
            "most": None,
            "created": self._clock(),
            "number": max(numbers, default=0) + 1,
        }
        old = before if before is not None else new
        kept = ("least", "most") if not bounds else ()
        return {
            **old,
            "schedule": params.get("Schedule", old["schedule"]),
            "zone": params.get("Timezone", old["zone"]),
            "start": params.get("StartTime"),
            "end": params.get("EndTime"),
            "least": old["least"] if "least" in kept else bounds.get("MinCapacity"),
            "most": old["most"] if "most" in kept else bounds.get("MaxCapacity"),
        }

    async def planned(self, params: Plain) -> Plain:
        """DescribeScheduledActions."""
        check_kind(params)
        names = params.get("ScheduledActionNames")
        resource = params.get("ResourceId")
        found = [
            _show_planned(each)
            for each in self._book.planned.all()
            if (not names or each["name"] in names) and resource in (None, each["resource"])
        ]
        return _page(
            "ScheduledActions",
            found,
            params,
        )

    async def delete_planned(self, params: Plain) -> Plain:
        """DeleteScheduledAction."""
        for each in self._book.planned_of(self._target(params)):
            if each["name"] == params["ScheduledActionName"]:
                self._book.planned.drop(each["arn"])
                return {}
        raise _missing("scheduled action", params["ScheduledActionName"])

    # --- activities and tags

    async def activities(self, params: Plain) -> Plain:
        """DescribeScalingActivities: the newest first."""
        check_kind(params)
        resource = params.get("ResourceId")
        with_unscaled = bool(params.get("IncludeNotScaledActivities"))
        found = [
            told
            for each in self._book.activities.all()
            if resource in (None, each["resource"])
            for told in shown(
                each["resource"],
                each["items"],
                with_unscaled,
            )
        ]
        found.sort(key=lambda each: -each["StartTime"])
        return _page(
            "ScalingActivities",
            found,
            params,
        )

    async def tag(self, params: Plain) -> Plain:
        """TagResource."""
        target = self._tagged(params)
        tags = {**target["tags"], **params["Tags"]}
        self._book.targets.put(target["arn"], {**target, "tags": tags})
        return {}

    async def untag(self, params: Plain) -> Plain:
        """UntagResource."""
        target = self._tagged(params)
        gone = params["TagKeys"]
        tags = {key: value for key, value in target["tags"].items() if key not in gone}
        self._book.targets.put(target["arn"], {**target, "tags": tags})
        return {}

    async def tags(self, params: Plain) -> Plain:
        """ListTagsForResource."""
        return {"Tags": self._tagged(params)["tags"]}

    def _tagged(self, params: Plain) -> Target:
        found = self._book.targets.get(params["ResourceARN"])
        if found is None:
            why = f"{params['ResourceARN']} is not there"
            raise AwsError("ResourceNotFoundException", why)
        return found


def _missing(what: str, name: str) -> AwsError:
    return AwsError("ObjectNotFoundException", f"No {what} found for {name}.")


def _check_planned(planned: Planned) -> None:
    """Raise AwsError."""
    if planned["least"] is None and planned["most"] is None:
        raise refused("ScalableTargetAction: give MinCapacity, MaxCapacity, or both")
    least = planned["least"] or 0
    check_bounds(least, planned["most"] if planned["most"] is not None else least)
    start = planned["start"]
    end = planned["end"]
    if start is not None and end is not None and start >= end:
        raise refused("StartTime must be before EndTime")


def _place(resource: str) -> Plain:
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource,
        "ScalableDimension": DIMENSION,
    }


def _show_target(target: Target) -> Plain:
    return {
        **_place(target["resource"]),
        "MinCapacity": target["least"],
        "MaxCapacity": target["most"],
        "RoleARN": target["role"],
        "CreationTime": target["created"],
        "SuspendedState": dict(target["suspended"]),
        "ScalableTargetARN": target["arn"],
    }


def _show_planned(planned: Planned) -> Plain:
    bounds = {"MinCapacity": planned["least"], "MaxCapacity": planned["most"]}
    times = {"StartTime": planned["start"], "EndTime": planned["end"]}
    return {
        **_place(planned["resource"]),
        "ScheduledActionName": planned["name"],
        "ScheduledActionARN": planned["arn"],
        "Schedule": planned["schedule"],
        "Timezone": planned["zone"],
        "ScalableTargetAction": {key: n for key, n in bounds.items() if n is not None},
        "CreationTime": planned["created"],
        **{key: when for key, when in times.items() if when is not None},
    }


def _page(
    key: str,
    items: list[Any],
    params: Plain,
) -> Plain:
    """One page; the token is the number of items already given."""
    token = params.get("NextToken") or "0"
    if not TOKEN.fullmatch(token):
        raise AwsError("InvalidNextTokenException", "Invalid token.")
    size = int(params.get("MaxResults", _MOST_RESULTS))
    if not 1 <= size <= _MOST_RESULTS:
        raise AwsError("ValidationException", f"MaxResults must be between 1 and {_MOST_RESULTS}.")
    end = int(token) + size
    answer: Plain = {key: items[int(token) : end]}
    return {**answer, "NextToken": str(end)} if end < len(items) else answer


OPERATIONS: Handlers[Scaling] = {
    "RegisterScalableTarget": Scaling.register,
    "DeregisterScalableTarget": Scaling.deregister,
    "DescribeScalableTargets": Scaling.targets,
    "PutScalingPolicy": Scaling.put_policy,
    "DescribeScalingPolicies": Scaling.policies,
    "DeleteScalingPolicy": Scaling.delete_policy,
    "PutScheduledAction": Scaling.put_planned,
    "DescribeScheduledActions": Scaling.planned,
    "DeleteScheduledAction": Scaling.delete_planned,
    "DescribeScalingActivities": Scaling.activities,
    "TagResource": Scaling.tag,
    "UntagResource": Scaling.untag,
    "ListTagsForResource": Scaling.tags,
}
PARTLY = {
    "RegisterScalableTarget": "desired counts of ECS services",
    "PutScalingPolicy": "target tracking and steps, no forecasts; metrics without expressions",
    "DescribeScalingActivities": "the last hundred of each service",
}
"""Operations of which something is missing, and what."""


def service_of(scaling: Scaling) -> Service:
    """In its protocol."""
    protocol = Json("application-autoscaling", "ValidationException")
    return Service(
        protocol,
        bound(OPERATIONS, scaling),
        "ValidationException",
    )
