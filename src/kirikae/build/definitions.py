"""The task and service definitions, with the API's own keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.build.carried import Layer
from kirikae.build.environment import BRACE, Environment, of_the_sidecar
from kirikae.build.mounts import Shared, shared_of, shared_of_web, tmpfs_of, tmpfs_of_web
from kirikae.build.roles import execution_role, task_role
from kirikae.build.sidecars import Sidecar, logs_of, sidecars_of
from kirikae.build.sizes import Size
from kirikae.model.project import Project
from kirikae.model.runtimes import ImageKind
from kirikae.model.workload import Workload

Definition = dict[str, Any]
# Fargate's longest stopTimeout.
_STOP_MAX_S = 120
# On Fargate both the default and the most.
_NOFILE_MAX = 65535
_WEB = "web"


@dataclass(frozen=True, slots=True)
class Container:
    """A service with all that its container is told."""

    workload: Workload
    environment: Environment
    layer: Layer


def notes_on(
    workload: Workload,
    project: Project,
    environment: Environment,
) -> Iterator[str]:
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
    if not execution_role(project):
        yield (
            "no `build.execution_role`: on AWS a task needs one to pull its image, to "
            "read secrets and to write logs"
        )


def task_definition(
    project: Project,
    size: Size,
    containers: Sequence[Container],
    waits: Sequence[str] = (),
) -> str:
    """The text of ``ecs-task-def.json``; ``{{ must_env `NAME` }}`` stays open until it is
    registered.  ``waits``: names that the sidecar's configuration waits for."""
    first = containers[0].workload
    running = [each for each in containers if not is_static(each.workload)]
    rows = [_service(each, project) for each in running]
    shared = [each for one in containers for each in shared_of(one.workload, project.build)]
    if first.web is not None:
        rows.append(_web(first, project, [each.workload.name for each in running], waits))
    sidecars = sidecars_of(project)
    rows += [each.container for each in sidecars]
    volumes = [*_volumes(shared), *_of_sidecars(sidecars)]
    return _task(
        project.fleets.new.ecs_service,
        project,
        size,
        rows,
        volumes,
    )


def worker_definition(
    project: Project,
    size: Size,
    container: Container,
) -> str:
    """The text of ``NAME-task-def.json``: the same image or its own, no load balancer."""
    workload = container.workload
    sidecars = sidecars_of(project)
    rows = [_service(container, project), *(each.container for each in sidecars)]
    family = f"{project.fleets.new.ecs_service}-{workload.name}"
    volumes = [*_volumes(shared_of(workload, project.build)), *_of_sidecars(sidecars)]
    return _task(
        family,
        project,
        size,
        rows,
        volumes,
    )


def _task(
    family: str,
    project: Project,
    size: Size,
    rows: Sequence[Definition],
    volumes: Sequence[Definition],
) -> str:
    definition: Definition = {
        "family": family,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "runtimePlatform": {
            "cpuArchitecture": project.build.architecture.upper(),
            "operatingSystemFamily": "LINUX",
        },
        "cpu": str(size.cpu),
        "memory": str(size.memory),
        **_roles(project),
        "containerDefinitions": list(rows),
    }
    if volumes:
        definition["volumes"] = list(volumes)
    return as_file(definition)


def _volumes(shared: Sequence[Shared]) -> list[Definition]:
    """Each once, however many mount it."""
    return [each.volume() for each in {each.name: each for each in shared}.values()]


def _of_sidecars(sidecars: Sequence[Sidecar]) -> Iterator[Definition]:
    """Empty when the task begins."""
    return ({"name": each.volume} for each in sidecars if each.volume)


def _roles(project: Project) -> dict[str, str]:
    """Those that the project file names."""
    roles = {
        "executionRoleArn": execution_role(project),
        "taskRoleArn": task_role(project),
    }
    return {key: role for key, role in roles.items() if role}


def _service(container: Container, project: Project) -> Definition:
    """The service itself, as it ran on the hosts."""
    workload = container.workload
    tmpfs = tmpfs_of(workload, project.build, container.layer)
    row: Definition = {
        **_container(workload.name, workload.image, workload, tmpfs),
        "environment": container.environment.plain_rows(),
    }
    if workload.image != workload.name:
        row["command"] = [word.replace("{{", f"{{{BRACE}") for word in workload.command]
    if container.environment.secret:
        row["secrets"] = container.environment.secret_rows()
    if 0 < workload.nofile <= _NOFILE_MAX:
        limit = {
            "name": "nofile",
            "softLimit": workload.nofile,
            "hardLimit": workload.nofile,
        }
        row["ulimits"] = [limit]
    points = [each.point() for each in shared_of(workload, project.build)]
    if points:
        row["mountPoints"] = points
    row["logConfiguration"] = logs_of(project, workload.name)
    if workload.web is None and workload.port and workload.runs == "in the task":
        row["portMappings"] = [{"containerPort": port_of(workload, project)}]
    return row


def is_static(workload: Workload) -> bool:
    """Is the sidecar all of it?"""
    return workload.runtime.image is ImageKind.STATIC


def port_of(workload: Workload, project: Project) -> int:
    """Where the service itself listens in a task."""
    return project.build.port if workload.runtime.image is ImageKind.APACHE else workload.port


def _web(
    workload: Workload,
    project: Project,
    behind: Sequence[str],
    waits: Sequence[str],
) -> Definition:
    """The sidecar in front of it."""
    row: Definition = {
        **_container(_WEB, _WEB, workload, tmpfs_of_web(bool(waits))),
        "portMappings": [{"containerPort": project.build.port}],
    }
    if behind:
        row["dependsOn"] = [
            {
                "containerName": name,
                "condition": "START",
            }
            for name in behind
        ]
    points = [each.point() for each in shared_of_web(workload, project.build)]
    if points:
        row["mountPoints"] = points
    if waits:
        row["secrets"] = of_the_sidecar(project, waits).secret_rows()
    row["logConfiguration"] = logs_of(project, _WEB)
    return row


def _container(
    name: str,
    image: str,
    workload: Workload,
    tmpfs: list[Definition],
) -> Definition:
    """What all containers have: their image, time to stop, a root that nobody writes to."""
    return {
        "name": name,
        "image": f"{{{{ must_env `IMAGE_{image.upper().replace('-', '_')}` }}}}",
        "essential": True,
        "stopTimeout": min(_STOP_MAX_S, workload.stop_s),
        "readonlyRootFilesystem": True,
        "linuxParameters": {"tmpfs": tmpfs},
    }


def service_definition(workload: Workload, project: Project) -> str:
    """The text of ``ecs-service-def.json``. 100 and 200 per cent: no task goes before its
    replacement is healthy."""
    balanced = {
        "targetGroupArn": "{{ must_env `TARGET_GROUP_ARN` }}",
        **_front(workload, project),
    }
    return as_file(
        {
            **_capacity(project),
            "desiredCount": project.build.tasks,
            "deploymentConfiguration": _deployment(100, 200),
            "healthCheckGracePeriodSeconds": 30,
            "loadBalancers": [balanced],
            **_network(project),
        },
    )


def worker_service(
    workload: Workload,
    project: Project,
    tasks: int,
) -> str:
    """The text of ``NAME-service-def.json``: no load balancer asks it."""
    return as_file(
        {
            **_capacity(project),
            "desiredCount": tasks,
            "deploymentConfiguration": _deployment(100, 200),
            **_network(project),
        },
    )


def _deployment(least: int, most: int) -> Definition:
    return {
        "minimumHealthyPercent": least,
        "maximumPercent": most,
        "deploymentCircuitBreaker": {
            "enable": True,
            "rollback": True,
        },
    }


def _network(project: Project) -> Definition:
    network: Definition = {"subnets": list(project.build.subnets)}
    if project.build.security_groups:
        network["securityGroups"] = list(project.build.security_groups)
    return {"networkConfiguration": {"awsvpcConfiguration": network}}


def _capacity(project: Project) -> Definition:
    """Fargate, or the strategy that the project file gives."""
    strategy = capacity_of(project)
    return {"capacityProviderStrategy": strategy} if strategy else {"launchType": "FARGATE"}


def capacity_of(project: Project) -> list[Definition]:
    """Rows of the strategy; empty: the project file gives none."""
    capacity = project.build.capacity
    if capacity is None:
        return []
    fargate = {
        "capacityProvider": "FARGATE",
        "base": capacity.base,
        "weight": capacity.fargate,
    }
    spot = {
        "capacityProvider": "FARGATE_SPOT",
        "weight": capacity.spot,
    }
    return [fargate, spot] if capacity.spot else [fargate]


def _front(workload: Workload, project: Project) -> Definition:
    return {
        "containerName": front_of(workload),
        "containerPort": front_port(workload, project),
    }


def front_of(workload: Workload) -> str:
    """The container that the load balancer talks to."""
    return workload.name if workload.web is None else _WEB


def front_port(workload: Workload, project: Project) -> int:
    """At which the load balancer asks a task."""
    return port_of(workload, project) if workload.web is None else project.build.port


def meanings(project: Project) -> dict[str, str]:
    """Name of a sidecar -> what happens when it ends."""
    found: list[Sidecar] = sidecars_of(project)
    return {each.container["name"]: each.means for each in found}


def as_file(definition: Definition) -> str:
    """JSON that a person can read and change; the same definition gives the same text."""
    text = json.dumps(definition, indent=2, ensure_ascii=False)
    return text.replace(BRACE, r"\u007b") + "\n"
