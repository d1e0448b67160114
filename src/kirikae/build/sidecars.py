"""Containers beside the service: who takes its output, its mail, and watches it; and what it means
when one of them ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.build.mounts import TMP
from kirikae.model.project import Project

Row = dict[str, Any]
_FLUENT_BIT = "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"


@dataclass(frozen=True, slots=True)
class Sidecar:
    """``means``: what happens when it ends."""

    container: Row
    memory: int
    means: str


def sidecars_of(project: Project) -> list[Sidecar]:
    """Those that the project file asks for."""
    found = [_SIDECARS[name](project) for name in project.build.sidecars]
    if project.build.logs == "firelens":
        found.insert(0, _firelens(project))
    return found


def logs_of(project: Project, container: str) -> Row:
    """LG01: standard output and error, one stream a container."""
    if project.build.logs == "firelens":
        options = {
            "Name": "cloudwatch_logs",
            "region": project.region,
            "log_group_name": f"/ecs/{project.service}",
            "log_stream_prefix": f"{container}/",
            "auto_create_group": "true",
        }
        return {"logDriver": "awsfirelens", "options": options}
    return _awslogs(project, container)


def _awslogs(project: Project, container: str) -> Row:
    """A sidecar's own output never goes through itself."""
    options = {
        "awslogs-group": f"/ecs/{project.service}",
        "awslogs-region": project.region,
        "awslogs-stream-prefix": container,
        "awslogs-create-group": "true",
    }
    return {"logDriver": "awslogs", "options": options}


def _firelens(project: Project) -> Sidecar:
    container = {
        "name": "log-router",
        "image": f"{{{{ env `IMAGE_LOG_ROUTER` `{_FLUENT_BIT}` }}}}",
        "essential": True,
        "firelensConfiguration": {"type": "fluentbit"},
        "memoryReservation": 64,
        "logConfiguration": _awslogs(project, "log-router"),
    }
    return Sidecar(
        container,
        64,
        "the task ends and is replaced: without it the containers' output is lost",
    )


def _relay(project: Project) -> Sidecar:
    """Postfix with the image of `jobs write`; mail waits in it while the other end is away."""
    place = f"/{project.service}/relay-login"
    container = {
        "name": "relay",
        "image": "{{ must_env `IMAGE_RELAY` }}",
        "essential": False,
        "environment": [
            {"name": "RELAY_TO", "value": f"email-smtp.{project.region}.amazonaws.com:587"}
        ],
        "secrets": [{"name": "RELAY_LOGIN", "valueFrom": place}],
        "memoryReservation": 64,
        "logConfiguration": _awslogs(project, "relay"),
    }
    return Sidecar(
        container,
        64,
        "mail cannot be handed over until the task is replaced; what waited in it is lost: watch "
        "its log group",
    )


def _datadog(project: Project) -> Sidecar:
    container = {
        "name": "datadog-agent",
        "image": "{{ env `IMAGE_DATADOG_AGENT` `public.ecr.aws/datadog/agent:7` }}",
        "essential": False,
        "environment": [
            {"name": "ECS_FARGATE", "value": "true"},
            {"name": "DD_SERVICE", "value": project.service},
            {"name": "DD_ENV", "value": project.environment},
        ],
        "secrets": [{"name": "DD_API_KEY", "valueFrom": f"/{project.service}/dd-api-key"}],
        "memoryReservation": 256,
        "linuxParameters": {"tmpfs": [TMP]},
        "logConfiguration": _awslogs(project, "datadog-agent"),
    }
    return Sidecar(container, 256, "the service goes on, and nobody sees its figures")


_SIDECARS = {"relay": _relay, "datadog": _datadog}


def page(sidecars: Mapping[str, str]) -> list[str]:
    """Rows of a table: name, and what its end means."""
    return [f"| {name} | {means} |" for name, means in sidecars.items()]
