"""What ``ecs wait`` waits for, read and proven before it waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.model.errors import UsageProblem

STABLE = "stable"
DEPLOYED = "deployed"
PAUSED = "paused"
_ECS = "ecs:"
_CODEDEPLOY = "codedeploy:"
STAGES = (
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
)
"""Of a native deployment that shifts traffic, in order (API reference, lifecycleStage)."""
EVENTS = (
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "AllowTestTraffic",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AllowTraffic",
    "AfterAllowTraffic",
)
"""Of a deployment to ECS by CodeDeploy, in order (user guide, AppSpec hooks for ECS)."""
_GOING_ON = ("PENDING", "IN_PROGRESS")


@dataclass(frozen=True, slots=True)
class Until:
    """``kind``: ``stable``, ``deployed``, ``paused``; with a ``stage`` of ECS or an ``event`` of
    CodeDeploy, what was written."""

    kind: str
    stage: str = ""
    event: str = ""

    @classmethod
    def read(cls, text: str) -> Until:
        """Raises UsageProblem."""
        if text in (STABLE, DEPLOYED, PAUSED):
            return cls(text)
        if text.removeprefix(_ECS) in STAGES and text.startswith(_ECS):
            return cls(text, stage=text.removeprefix(_ECS))
        if text.removeprefix(_CODEDEPLOY) in EVENTS and text.startswith(_CODEDEPLOY):
            return cls(text, event=text.removeprefix(_CODEDEPLOY))
        raise UsageProblem(
            f"--wait-until {text}: write {STABLE}, {DEPLOYED}, {PAUSED}, {_ECS}STAGE or "
            f"{_CODEDEPLOY}EVENT; stages are {', '.join(STAGES)}; events are {', '.join(EVENTS)}"
        )

    def assert_can_come(self, service: Mapping[str, Any]) -> None:
        """That this service has such a stage or event at all.  Raises UsageProblem."""
        controller = (service.get("deploymentController") or {}).get("type", "ECS")
        name = service.get("serviceName", "the service")
        if self.event and controller != "CODE_DEPLOY":
            raise UsageProblem(
                f"--wait-until {self.kind}: {name} has the deployment controller {controller}; "
                "only CODE_DEPLOY has such events"
            )
        if self.stage:
            self._assert_shifts(service, controller, str(name))

    def _assert_shifts(self, service: Mapping[str, Any], controller: str, name: str) -> None:
        strategy = (service.get("deploymentConfiguration") or {}).get("strategy", "ROLLING")
        if controller != "ECS" or strategy == "ROLLING":
            raise UsageProblem(
                f"--wait-until {self.kind}: {name} is deployed by {controller}, {strategy}; only "
                "BLUE_GREEN, LINEAR and CANARY of ECS have stages: wait until deployed"
            )
        if not service.get("currentServiceDeployment") and _goes_on(service):
            raise UsageProblem(
                f"--wait-until {self.kind}: ECS names no service deployment of {name}, so that no "
                "stage of it can be seen; wait until deployed"
            )


def _goes_on(service: Mapping[str, Any]) -> bool:
    return any(each.get("rolloutState") != "COMPLETED" for each in service.get("deployments", ()))


def reached(way: Mapping[str, Any], stage: str) -> bool:
    """At this stage or beyond: stages may pass between two looks.  What goes back or has ended has
    no stage any more."""
    now = way.get("lifecycleStage")
    if not stage or way.get("status") not in _GOING_ON or now not in STAGES:
        return False
    return STAGES.index(str(now)) >= STAGES.index(stage)
