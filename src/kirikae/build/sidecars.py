"""Containers beside the service: who takes its output, its mail, and watches it; and what it means
when one of them ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.build.mounts import TMP
from kirikae.model.mail import RELAY_WRITES
from kirikae.model.project import Project

Row = dict[str, Any]
_FLUENT_BIT = "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"
_AGENT = "{{ env `IMAGE_DATADOG_AGENT` `public.ecr.aws/datadog/agent:7` }}"
_AGENT_CONFIG = "datadog-config"
_WRITES_MIB = 64


@dataclass(frozen=True, slots=True)
class Sidecar:
    """``means``: what happens when it ends.  ``volume``: a name of one that it shares."""

    container: Row
    memory: int
    means: str
    volume: str = ""


def sidecars_of(project: Project) -> list[Sidecar]:
    """Those that the project file asks for."""
    found = [each for name in project.build.sidecars for each in _SIDECARS[name](project)]
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
        return {
            "logDriver": "awsfirelens",
            "options": options,
        }
    return _awslogs(project, container)


def _awslogs(project: Project, container: str) -> Row:
    """A sidecar's own output never goes through itself."""
    options = {
        "awslogs-group": f"/ecs/{project.service}",
        "awslogs-region": project.region,
        "awslogs-stream-prefix": container,
        "awslogs-create-group": "true",
    }
    return {
        "logDriver": "awslogs",
        "options": options,
    }


def _firelens(project: Project) -> Sidecar:
    container = {
        "name": "log-router",
        "image": f"{{{{ env `IMAGE_LOG_ROUTER` `{_FLUENT_BIT}` }}}}",
        "essential": True,
        "firelensConfiguration": {"type": "fluentbit"},
        "memoryReservation": 64,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"tmpfs": [TMP]},
        "logConfiguration": _awslogs(project, "log-router"),
    }
    return Sidecar(
        container,
        64,
        "the task ends and is replaced: without it the containers' output is lost",
    )


def _relay(project: Project) -> list[Sidecar]:
    """Postfix with the image of `jobs write`; mail waits in it while the other end is away."""
    place = f"/{project.service}/relay-login"
    container = {
        "name": "relay",
        "image": "{{ must_env `IMAGE_RELAY` }}",
        "essential": False,
        "environment": [
            {
                "name": "RELAY_TO",
                "value": f"email-smtp.{project.region}.amazonaws.com:587",
            }
        ],
        "secrets": [
            {
                "name": "RELAY_LOGIN",
                "valueFrom": place,
            }
        ],
        "memoryReservation": 64,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"tmpfs": [TMP, *map(_in_memory, RELAY_WRITES)]},
        "logConfiguration": _awslogs(project, "relay"),
    }
    means = (
        "mail cannot be handed over until the task is replaced; what waited in it is lost: watch "
        "its log group"
    )
    return [Sidecar(container, 64, means)]


def _in_memory(path: str) -> Row:
    return {
        "containerPath": path,
        "size": _WRITES_MIB,
        "mountOptions": ["mode=0755"],
    }


def _datadog(project: Project) -> list[Sidecar]:
    """The agent writes into its folder of configuration: a first container lays that out in a
    volume, for the agent's own root is read-only (Datadog: "Amazon ECS on AWS Fargate")."""
    before = Sidecar(
        _laying_out(project),
        0,
        "it ends by itself; where it fails, the agent does not begin",
    )
    agent = Sidecar(
        _agent(project),
        256,
        "the service goes on, and nobody sees its figures",
        _AGENT_CONFIG,
    )
    return [before, agent]


def _laying_out(project: Project) -> Row:
    return {
        "name": _AGENT_CONFIG,
        "image": _AGENT,
        "essential": False,
        "entryPoint": ["/bin/sh", "-c"],
        "command": ["cp -R /etc/datadog-agent/. /laid-out/"],
        "readonlyRootFilesystem": True,
        "mountPoints": [{"sourceVolume": _AGENT_CONFIG, "containerPath": "/laid-out"}],
        "logConfiguration": _awslogs(project, _AGENT_CONFIG),
    }


def _agent(project: Project) -> Row:
    return {
        "name": "datadog-agent",
        "image": _AGENT,
        "essential": False,
        "environment": [
            {"name": "ECS_FARGATE", "value": "true"},
            {"name": "DD_SERVICE", "value": project.service},
            {"name": "DD_ENV", "value": project.environment},
        ],
        "secrets": [{"name": "DD_API_KEY", "valueFrom": f"/{project.service}/dd-api-key"}],
        "memoryReservation": 256,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"tmpfs": [TMP, _in_memory("/opt/datadog-agent/run")]},
        "mountPoints": [{"sourceVolume": _AGENT_CONFIG, "containerPath": "/etc/datadog-agent"}],
        "dependsOn": [{"containerName": _AGENT_CONFIG, "condition": "SUCCESS"}],
        "logConfiguration": _awslogs(project, "datadog-agent"),
    }


_SIDECARS = {
    "relay": _relay,
    "datadog": _datadog,
}


def page(sidecars: Mapping[str, str]) -> list[str]:
    """Rows of a table: name, and what its end means."""
    return [f"| {name} | {means} |" for name, means in sidecars.items()]
