"""The same images for development: ``compose.yaml`` and a stage on the same base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kirikae.build.definitions import is_static, port_of
from kirikae.build.distributions import distribution_of
from kirikae.build.environment import Environment
from kirikae.build.images import command_of
from kirikae.build.mounts import passing_of
from kirikae.build.texts import text_of
from kirikae.model.project import Project
from kirikae.model.workload import Workload


def files(
    workload: Workload,
    project: Project,
    environments: Mapping[str, Environment],
    waits: Sequence[str],
) -> dict[str, str]:
    """Containers of one task share their network here as well."""
    port = project.build.port if workload.web is not None else port_of(workload, project)
    every = [one for one in workload.every if not is_static(one)]
    services = [_service(one, environments[one.name]) for one in every]
    text = text_of(
        "compose.yaml",
        service=project.service,
        port=project.build.port,
        first=workload.name,
        front_port=port,
        services=services,
        web=workload.web is not None,
        distribution=distribution_of(workload, project.build),
        waits=list(waits),
    )
    stage = text_of("dev.Dockerfile", uid=workload.uid, gid=workload.gid)
    return {
        "compose.yaml": text,
        "dev.Dockerfile": stage,
    }


def _service(workload: Workload, environment: Environment) -> dict[str, object]:
    return {
        "name": workload.name,
        "folder": workload.folder,
        "release": workload.release,
        "command": [word.replace("$", "$$") for word in command_of(workload)],
        "user": f"{workload.uid}:{workload.gid}",
        "environment": {
            name: value for name, value in sorted(environment.plain.items()) if name != "RELEASE_ID"
        },
        "secrets": sorted(environment.secret),
        "tmpfs": passing_of(workload),
    }
