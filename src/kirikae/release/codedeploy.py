"""What a deployment of CodeDeploy says, as one of our seven endings; and the AppSpec that begins
one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.release.ending import Ending

Row = Mapping[str, Any]
CONTROLLER = "CODE_DEPLOY"
_PRIMARY = "PRIMARY"
_SENT = frozenset(
    [
        "deploymentConfiguration",
        "enableECSManagedTags",
        "healthCheckGracePeriodSeconds",
        "placementConstraints",
        "placementStrategy",
        "propagateTags",
    ]
)
"""What of a service that CodeDeploy drives can be updated (API reference, UpdateService)."""
_IN_APPSPEC = frozenset(
    ["capacityProviderStrategy", "loadBalancers", "networkConfiguration", "platformVersion"]
)


@dataclass(frozen=True, slots=True)
class Sight:
    """One look.  ``status``: CodeDeploy's own; ``held``: all traffic is on the new tasks, and the
    former ones are kept for a while; ``going_back``: a deployment that takes it back has not ended;
    ``serving``: the task definition of the primary task set (empty: there is none)."""

    status: str
    held: bool
    going_back: bool
    serving: str
    desired: int


def judged(sight: Sight, wanted: str, former: str) -> Ending | None:
    """None: it goes on.  ``wanted`` and ``former``: ARNs of task definitions."""
    if sight.going_back:
        return None
    if sight.status == "Succeeded" or sight.held:
        return _of_success(sight, wanted)
    if sight.status == "Ready":
        return Ending.PAUSED
    if sight.status not in ("Failed", "Stopped"):
        return None
    back = bool(former) and former != wanted and sight.serving == former
    return Ending.ROLLED_BACK if back else Ending.STOPPED


def _of_success(sight: Sight, wanted: str) -> Ending:
    if sight.serving != wanted:
        return Ending.SUPERSEDED
    return Ending.SUCCEEDED if sight.desired else Ending.SCALED_TO_ZERO


def primary(service: Row) -> str:
    """The task definition that has the traffic; empty: no task set has."""
    for row in service.get("taskSets", ()):
        if row["status"] == _PRIMARY:
            return str(row["taskDefinition"])
    return ""


def hold_minutes(info: Row) -> int:
    """How long the former tasks are kept once all traffic has left them."""
    group = info.get("blueGreenDeploymentConfiguration") or {}
    ending = group.get("terminateBlueInstancesOnDeploymentSuccess") or {}
    return int(ending.get("terminationWaitTimeInMinutes") or 0)


def updates(definition: Row) -> dict[str, Any]:
    """What of a service definition UpdateService takes here."""
    return {key: value for key, value in definition.items() if key in _SENT}


def unsent(definition: Row) -> dict[str, str]:
    """Key -> why it is not sent to ECS."""
    why = {}
    for key in definition:
        if key in _IN_APPSPEC:
            why[key] = "the AppSpec says it to CodeDeploy"
        elif key not in _SENT:
            why[key] = "a service that CodeDeploy drives takes it only when it is created"
    return why


def appspec(task_definition: str, definition: Row, hooks: Any) -> str:
    """As JSON (CodeDeploy user guide, AppSpec for Amazon ECS)."""
    balancer = definition["loadBalancers"][0]
    properties: dict[str, Any] = {
        "TaskDefinition": task_definition,
        "LoadBalancerInfo": {
            "ContainerName": balancer["containerName"],
            "ContainerPort": balancer["containerPort"],
        },
    }
    for key in ("platformVersion", "networkConfiguration", "capacityProviderStrategy"):
        if definition.get(key):
            properties[_capital(key)] = _in_capitals(definition[key])
    target = {"Type": "AWS::ECS::Service", "Properties": properties}
    whole: dict[str, Any] = {"version": 0.0, "Resources": [{"TargetService": target}]}
    if hooks:
        whole["Hooks"] = hooks
    return json.dumps(whole, sort_keys=True)


def _capital(key: str) -> str:
    return key[:1].upper() + key[1:]


def _in_capitals(value: Any) -> Any:
    """AppSpec writes the API's keys with a capital."""
    if isinstance(value, dict):
        return {_capital(key): _in_capitals(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_in_capitals(each) for each in value]
    return value
