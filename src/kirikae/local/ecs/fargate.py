"""What Fargate asks of a task definition beyond what ECS does (API reference,
RegisterTaskDefinition; developer guide, "task definition differences for Fargate")."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence

from kirikae.local.ecs.names import refused, unsupported
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import ContainerDefinition
from kirikae.model.fargate import size_problem

_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+")
_STORAGE_GIB = (21, 200)
_MACHINES = {
    "x86_64": "X86_64",
    "aarch64": "ARM64",
}
_DRIVERS = ("awslogs", "splunk", "awsfirelens")
_LOGS_NEED = ("awslogs-region", "awslogs-stream-prefix")
VERSIONS = ("LATEST", "1.4.0", "1.3.0")
"""Platform versions of Linux that a task may still be started on."""


def check_fargate(
    params: Plain,
    containers: Sequence[ContainerDefinition],
    cpu: int | None,
    memory: int | None,
) -> None:
    """Raise AwsError for a definition that Fargate does not run."""
    family = params["family"]
    if params.get("networkMode") != "awsvpc":
        raise refused(f"{family}: Fargate only supports network mode 'awsvpc'.")
    if cpu is None or memory is None:
        raise refused(f"{family}: Fargate requires task definition to have cpu and memory.")
    if problem := size_problem(cpu, memory):
        raise refused(f"{family}: No Fargate configuration exists for given values: {problem}")
    if not params.get("executionRoleArn"):
        for what in _needs_role(containers):
            raise refused(
                f"{family}: Fargate requires task definition to have execution role ARN to "
                f"support {what}."
            )
    for container in containers:
        _check_logs(f"{family}/{container['name']}", container)


def runs_on_fargate(
    params: Plain,
    containers: Sequence[ContainerDefinition],
    cpu: int | None,
    memory: int | None,
) -> bool:
    """Would Fargate run this definition?"""
    if params.get("placementConstraints"):
        return False
    try:
        check_fargate(params, containers, cpu, memory)
    except AwsError:
        return False
    return True


def _needs_role(containers: Sequence[ContainerDefinition]) -> Iterator[str]:
    """What the agent can only do in the name of the execution role."""
    for container in containers:
        logs = container.get("logConfiguration")
        if logs is not None and logs["logDriver"] == "awslogs":
            yield "log driver awslogs"
        if _ECR.fullmatch(container["image"]):
            yield "ECR images"
        if container.get("secrets"):
            yield "secrets"


def _check_logs(where: str, container: ContainerDefinition) -> None:
    """``awslogs`` needs more on Fargate than on instances (API reference, LogConfiguration)."""
    logs = container.get("logConfiguration")
    if logs is None:
        return
    if logs["logDriver"] not in _DRIVERS:
        raise refused(
            f"{where}: Fargate supports the log drivers {', '.join(_DRIVERS)}, not "
            f"{logs['logDriver']}."
        )
    for key in _LOGS_NEED:
        if not logs.get("options", {}).get(key):
            raise refused(f"{where}: Log driver awslogs requires option {key} on Fargate.")


def check_platform(params: Plain) -> None:
    """Raise AwsError for a platform that this machine is not: another container would run than the
    one that was asked for."""
    family = params["family"]
    wanted = params.get("runtimePlatform") or {}
    system = wanted.get("operatingSystemFamily", "LINUX")
    if system != "LINUX":
        raise unsupported(f"{family}: kirikae local runs Linux, not {system}")
    here = _MACHINES.get(platform.machine(), platform.machine())
    if wanted.get("cpuArchitecture", here) != here:
        raise unsupported(
            f"{family}: kirikae local runs {here} here, not {wanted['cpuArchitecture']}"
        )
    storage = (params.get("ephemeralStorage") or {}).get("sizeInGiB")
    low, high = _STORAGE_GIB
    if storage is not None and not low <= storage <= high:
        raise refused(f"{family}: ephemeralStorage must be between {low} and {high} GiB.")
