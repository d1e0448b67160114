"""The task definition and the service definition, with the API's own keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.build.sizes import Size
from kirikae.model.project import Project
from kirikae.model.variables import read_by_others
from kirikae.model.workload import Variable, Workload

Definition = dict[str, Any]
# Fargate's longest stopTimeout.
_STOP_MAX_S = 120
# On Fargate both the default and the most.
_NOFILE_MAX = 65535
_TMP_MIB = 64
_RELEASE_ID = "RELEASE_ID"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_REGIONS = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")
_BRACE = "\ue0ff"
"""Stands for a brace of a value until it is JSON: written as ``\\u007b`` there, two of them are no
template of the definition file."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the task is told: values, and names of secrets; ``notes`` say what was left out."""

    plain: Mapping[str, str]
    secret: Mapping[str, str]
    notes: tuple[str, ...]

    def plain_rows(self) -> list[dict[str, str]]:
        """As ``environment`` of a container definition, by name."""
        return [{"name": name, "value": value} for name, value in sorted(self.plain.items())]

    def secret_rows(self) -> list[dict[str, str]]:
        """As ``secrets`` of a container definition, by name."""
        return [{"name": name, "valueFrom": place} for name, place in sorted(self.secret.items())]


def environment_of(workload: Workload, project: Project) -> Environment:
    """Variables of the hosts' service that its code reads; the project file's go over them."""
    plain = {_RELEASE_ID: f"{{{{ must_env `{_RELEASE_ID}` }}}}"}
    secret: dict[str, str] = {}
    notes = []
    for variable in workload.environment:
        if variable.name == _RELEASE_ID or variable.name in project.build.environment:
            continue
        left_out = _why_left_out(variable)
        if left_out is not None:
            notes.append(f"{variable.name} is left out: {left_out}")
        elif variable.secret or variable.name in project.build.secrets:
            secret[variable.name] = secret_name(project, variable.name)
            if variable.partly_secret:
                notes.append(_whole_value(variable.name, secret[variable.name]))
        else:
            plain[variable.name] = variable.value.replace("{{", f"{{{_BRACE}")
    plain |= project.build.environment
    named = {name: place for name, place in project.build.secrets.items() if name not in plain}
    return Environment(plain, secret | named, tuple(notes))


def _whole_value(name: str, place: str) -> str:
    """The secret alone would not do."""
    return f"{name} has a secret inside its value (CF12): put the whole value into {place}"


def _why_left_out(variable: Variable) -> str | None:
    """None for a variable that the task is given."""
    if variable.name in _KEYS:
        return "the task has a role (SE01)"
    if variable.read is False and not read_by_others(variable.name):
        return (
            "no code reads it (CF08); where a library does, write it into `build.environment` (or "
            "`build.secrets`)"
        )
    if variable.name in _REGIONS:
        return "ECS tells a task its region"
    return None


def secret_name(project: Project, variable: str) -> str:
    """Where the secret lies: as the project file says, else ``/service/variable``."""
    own = f"/{project.service}/{variable.lower().replace('_', '-')}"
    return project.build.secrets.get(variable, own)


def notes_on(workload: Workload, project: Project, environment: Environment) -> Iterator[str]:
    """What somebody should know who reads the task definition."""
    if workload.stop_s > _STOP_MAX_S:
        yield (
            f"stopping may take {workload.stop_s} s on the hosts; Fargate allows "
            f"{_STOP_MAX_S} (PR07)"
        )
    yield from environment.notes
    if workload.nofile > _NOFILE_MAX:
        yield (
            f"the hosts allow {workload.nofile} open files; a task has {_NOFILE_MAX}, "
            "Fargate's default and its most (PR14)"
        )
    if not project.build.execution_role:
        yield (
            "no `build.execution_role`: on AWS a task needs one to pull its image, to "
            "read secrets and to write logs"
        )


def task_definition(
    workload: Workload,
    project: Project,
    size: Size,
    environment: Environment,
) -> str:
    """The text of ``ecs-task-def.json``; ``{{ must_env `NAME` }}`` stays open until it is
    registered."""
    containers = [_app(workload, project, environment)]
    if workload.web is not None:
        containers.append(_web(workload, project))
    return as_file(
        {
            "family": project.fleets.new.ecs_service,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": str(size.cpu),
            "memory": str(size.memory),
            **_roles(project),
            "containerDefinitions": containers,
        },
    )


def _roles(project: Project) -> dict[str, str]:
    """Those that the project file names."""
    roles = {
        "executionRoleArn": project.build.execution_role,
        "taskRoleArn": project.build.task_role,
    }
    return {key: role for key, role in roles.items() if role}


def _app(workload: Workload, project: Project, environment: Environment) -> Definition:
    """The service itself, as it ran on the hosts."""
    tmpfs = [_TMP, *(_tmpfs(path, workload) for path in _caches(workload))]
    app: Definition = {
        **_container("app", workload, tmpfs),
        "environment": environment.plain_rows(),
    }
    if environment.secret:
        app["secrets"] = environment.secret_rows()
    if 0 < workload.nofile <= _NOFILE_MAX:
        limit = {"name": "nofile", "softLimit": workload.nofile, "hardLimit": workload.nofile}
        app["ulimits"] = [limit]
    app["logConfiguration"] = _logs(project, "app")
    if workload.web is None:
        app["portMappings"] = [{"containerPort": workload.port}]
    return app


def _web(workload: Workload, project: Project) -> Definition:
    """The sidecar in front of it."""
    return {
        **_container("web", workload, [_TMP]),
        "portMappings": [{"containerPort": project.build.port}],
        "dependsOn": [{"containerName": "app", "condition": "START"}],
        "logConfiguration": _logs(project, "web"),
    }


def _container(name: str, workload: Workload, tmpfs: list[Definition]) -> Definition:
    """What both containers have: their own image, time to stop, a root that nobody writes to."""
    return {
        "name": name,
        "image": f"{{{{ must_env `IMAGE_{name.upper()}` }}}}",
        "essential": True,
        "stopTimeout": min(_STOP_MAX_S, workload.stop_s),
        "readonlyRootFilesystem": True,
        "linuxParameters": {"tmpfs": tmpfs},
    }


def _caches(workload: Workload) -> list[str]:
    """What the service itself writes and may lose; nginx's own are the sidecar's."""
    caches = {writable.path for writable in workload.writable if writable.kind == "cache"}
    return sorted(path for path in caches if not path.startswith("/var/lib/nginx"))


_TMP: Definition = {"containerPath": "/tmp", "size": _TMP_MIB, "mountOptions": ["mode=1777"]}


def _tmpfs(path: str, workload: Workload) -> Definition:
    """A cache of the service's own: in memory, and its user's."""
    options = [f"uid={workload.uid}", f"gid={workload.gid}", "mode=0755"]
    return {"containerPath": path, "size": _TMP_MIB, "mountOptions": options}


def _logs(project: Project, container: str) -> Definition:
    """LG01: standard output and error to CloudWatch Logs, one stream a container."""
    options = {
        "awslogs-group": f"/ecs/{project.service}",
        "awslogs-region": project.region,
        "awslogs-stream-prefix": container,
        "awslogs-create-group": "true",
    }
    return {"logDriver": "awslogs", "options": options}


def service_definition(workload: Workload, project: Project) -> str:
    """The text of ``ecs-service-def.json``. 100 and 200 per cent: no task goes before its
    replacement is healthy."""
    balanced = {"targetGroupArn": "{{ must_env `TARGET_GROUP_ARN` }}", **_front(workload, project)}
    network: Definition = {"subnets": list(project.build.subnets)}
    if project.build.security_groups:
        network["securityGroups"] = list(project.build.security_groups)
    return as_file(
        {
            "launchType": "FARGATE",
            "desiredCount": project.build.tasks,
            "deploymentConfiguration": {
                "minimumHealthyPercent": 100,
                "maximumPercent": 200,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            },
            "healthCheckGracePeriodSeconds": 30,
            "loadBalancers": [balanced],
            "networkConfiguration": {"awsvpcConfiguration": network},
        },
    )


def _front(workload: Workload, project: Project) -> Definition:
    """The container that the load balancer talks to."""
    if workload.web is None:
        return {"containerName": "app", "containerPort": workload.port}
    return {"containerName": "web", "containerPort": project.build.port}


def as_file(definition: Definition) -> str:
    """JSON that a person can read and change; the same definition gives the same text."""
    text = json.dumps(definition, indent=2, ensure_ascii=False)
    return text.replace(_BRACE, r"\u007b") + "\n"
