"""What is written for a service, and why: a pure function from the workload and the project file to
texts by path.

The same facts give the same bytes; nothing here asks the network, an engine or the clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from kirikae.build import definitions, images
from kirikae.build.sizes import Size, size_of, sizes_page
from kirikae.model.project import Project
from kirikae.model.workload import Workload


@dataclass(frozen=True)
class Plan:
    """``files`` are texts by path (image files below ``build.folder``, definitions below
    ``fleets.new.definitions``)."""

    files: Mapping[str, str]
    size: Size
    notes: tuple[str, ...]
    base_key: str
    """SHA-256 over everything that the base storey is made from."""


def plan(workload: Workload, project: Project) -> Plan:
    """All files of one service."""
    size = size_of(workload, project.build.tasks)
    environment = definitions.environment_of(workload, project)
    base = {
        "base.Dockerfile": images.base_dockerfile(workload, project),
        "base.packages": images.packages_file(workload),
    }
    of_images = {
        **base,
        "app.Dockerfile": images.app_dockerfile(workload),
        ".dockerignore": images.ignore_file(),
        "SIZES.md": sizes_page(workload, size),
        **_sidecar(workload, project),
    }
    of_ecs = {
        "ecs-task-def.json": definitions.task_definition(workload, project, size, environment),
        "ecs-service-def.json": definitions.service_definition(workload, project),
    }
    files = {
        **_below(project.build.folder, of_images),
        **_below(project.fleets.new.definitions, of_ecs),
    }
    notes = (*workload.questions, *definitions.notes_on(workload, project, environment))
    key = hashlib.sha256("".join(base.values()).encode()).hexdigest()
    return Plan(dict(sorted(files.items())), size, notes, key)


def _sidecar(workload: Workload, project: Project) -> dict[str, str]:
    """Nothing where no web server is in front."""
    if workload.web is None:
        return {}
    return {
        "web.Dockerfile": images.web_dockerfile(workload.web, workload),
        "web.packages": images.web_packages_file(workload.web),
        "nginx.conf": images.nginx_conf(workload.web, project.build.port),
    }


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    """The same files, by their path from the project file's folder."""
    return {f"{folder.rstrip('/')}/{name}": text for name, text in files.items()}
