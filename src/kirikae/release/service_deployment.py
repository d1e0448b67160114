"""Put a release on the new fleet: register the task definition, update the service, and wait for
the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable
from kirikae.release.errors import NotFinished, RolledBack

POLL_S = 1.0
_UPDATABLE = (
    "deploymentConfiguration",
    "healthCheckGracePeriodSeconds",
    "networkConfiguration",
    "loadBalancers",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One changing call of the plan, in words and with its parameters."""

    says: str
    operation: str
    parameters: dict[str, Any]


def plan(
    exists: bool, cluster: str, service: str, task: dict[str, Any], definition: dict[str, Any]
) -> list[Call]:
    """The calls that ``deploy`` makes, in order.  The desired count is set at creation and left
    alone afterwards."""
    register = Call(f"register a revision of {task.get('family')}", "RegisterTaskDefinition", task)
    if not exists:
        return [
            register,
            Call(
                f"create the service {service} in {cluster}",
                "CreateService",
                {**definition, "serviceName": service},
            ),
        ]
    changes = {key: definition[key] for key in _UPDATABLE if key in definition}
    return [register, Call(f"update the service {service} in {cluster}", "UpdateService", changes)]


def apply(
    aws: Aws,
    cluster: str,
    service: str,
    calls: list[Call],
    registered: str,
    note: Callable[[str], None],
) -> tuple[str, str]:
    """Carry the plan out; the answer is (task definition ARN, ID of the service deployment to wait
    for).

    ``registered`` is the revision that a killed run of the same plan made, if it did; ``note`` is
    told of a new one."""
    arn = registered
    answer: dict[str, Any] = {}
    for call in calls:
        match call.operation:
            case "RegisterTaskDefinition":
                if not arn:
                    arn = ecs.register_task_definition(aws, call.parameters)
                    note(arn)
            case "CreateService":
                answer = ecs.create_service(
                    aws, cluster, {**call.parameters, "taskDefinition": arn}
                )
            case "UpdateService":
                answer = ecs.update_service(
                    aws, cluster, service, {**call.parameters, "taskDefinition": arn}
                )
    return arn, str(answer["deployments"][0]["id"])


@dataclass(frozen=True, slots=True)
class Progress:
    """What one look at the service saw; ``events`` are new since the last look, oldest first."""

    running: int
    pending: int
    desired: int
    events: tuple[str, ...]
    done: bool = False


def wait(
    aws: Aws,
    cluster: str,
    service: str,
    deployment: str,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Progress]:
    """Look until this very deployment is COMPLETED.  Raises RolledBack or NotFinished: there is no
    third way out."""
    deadline = clock() + timeout_s
    seen = set[str]()
    while True:
        try:
            found = ecs.service(aws, cluster, service)
        except AwsUnreachable:
            found = {}
        if found is None:
            raise NotFinished(f"the service {service} is gone; somebody deleted it")
        if found:
            progress = _progress(found, deployment, service, seen)
            yield progress
            if progress.done:
                return
        if clock() > deadline:
            raise NotFinished(
                f"after {timeout_s:.0f} s the deployment of {service} is still going on; "
                "`kirikae release status` looks again"
            )
        sleep(POLL_S)


def _progress(found: dict[str, Any], deployment: str, service: str, seen: set[str]) -> Progress:
    own = next((d for d in found["deployments"] if d["id"] == deployment), None)
    primary = found["deployments"][0]
    if own is not None and own["rolloutState"] == "FAILED":
        raise RolledBack(
            f"the deployment failed: {own['rolloutStateReason']} What serves is "
            f"{primary['taskDefinition'].rpartition('/')[2]}"
        )
    if own is None or primary["id"] != deployment:
        raise NotFinished(
            f"another deployment of {service} took over ({primary['id']}); this one is "
            "not waited for any more"
        )
    fresh = [
        e
        for e in reversed(found["events"])
        if e["id"] not in seen and e["createdAt"] >= own["createdAt"]
    ]
    seen.update(e["id"] for e in fresh)
    return Progress(
        own["runningCount"],
        own["pendingCount"],
        own["desiredCount"],
        tuple(e["message"] for e in fresh),
        own["rolloutState"] == "COMPLETED",
    )
