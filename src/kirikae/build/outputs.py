"""Everything that is written for a service: one line in ``OUTPUTS`` for each kind of file.

A new kind of file is a function from ``Facts`` to texts by path, and its line in the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from kirikae.build import ci, compose, definitions, images, infrastructure, secrets
from kirikae.build.contents import STATE
from kirikae.build.facts import Facts
from kirikae.build.sizes import size_of, sizes_page
from kirikae.build.texts import text_of
from kirikae.model.project import Project
from kirikae.model.workload import Runs, Workload


class Output(NamedTuple):
    """One kind of file: ``below`` names the folder that its paths begin at."""

    name: str
    below: Callable[[Project], str]
    files: Callable[[Facts], Mapping[str, str]]


def _images(facts: Facts) -> dict[str, str]:
    """Dockerfiles, with the files that they copy."""
    files = {
        ".dockerignore": images.ignore_file(),
        STATE: images.state_file(facts.workload),
        **_sidecar(facts),
    }
    storeys = [one for one in facts.workload.every if not definitions.is_static(one)]
    if storeys:
        files["base.Dockerfile"] = images.base_dockerfile(facts.workload, facts.project)
        files["base.packages"] = images.packages_file(facts.workload)
    assets = facts.project.build.assets
    if assets is not None:
        files["assets.Dockerfile"] = images.assets_dockerfile(facts.workload.name, assets)
    for one in storeys:
        if one.image == one.name:
            files |= _storey(one, facts)
    return files


def _storey(workload: Workload, facts: Facts) -> dict[str, str]:
    name = workload.name
    layer = facts.layers[name]
    settings = facts.project.build
    if name != facts.workload.name:
        settings = settings.model_copy(update={"assets": None})
    files = {f"{name}.Dockerfile": images.app_dockerfile(workload, settings, layer)}
    files |= {f"carried/{name}/{path}": text for path, text in layer.files.items()}
    if layer.names:
        start = text_of("start", names=layer.names)
        files[f"carried/{name}/usr/share/kirikae/start"] = start
    if layer.links:
        files[f"carried/{name}.links"] = images.links_file(layer)
    return files


def _sidecar(facts: Facts) -> dict[str, str]:
    """Nothing where no web server is in front."""
    web = facts.workload.web
    if web is None:
        return {}
    settings = facts.project.build
    files = {
        "web.Dockerfile": images.web_dockerfile(web, facts.workload, settings, facts.waits),
        "web.packages": images.web_packages_file(web),
        "nginx.conf": facts.conf,
    }
    if facts.waits:
        files["start"] = text_of("start", names=facts.waits)
    return files


def _sizes(facts: Facts) -> dict[str, str]:
    meanings = definitions.meanings(facts.project)
    return {"SIZES.md": sizes_page(facts.workload, facts.size, meanings)}


def _definitions(facts: Facts) -> dict[str, str]:
    """Of the task in front, and of each service with a task of its own."""
    project = facts.project
    files = {
        "ecs-task-def.json": definitions.task_definition(
            project, facts.size, facts.in_the_task, facts.waits
        ),
        "ecs-service-def.json": definitions.service_definition(facts.workload, project),
    }
    for one in facts.apart:
        size = size_of(one, max(1, _tasks(one, project)))
        container = facts.container(one)
        task = definitions.worker_definition(project, size, container)
        files[f"{one.name}-task-def.json"] = task
        if one.runs is Runs.ALONE:
            service = definitions.worker_service(one, project, _tasks(one, project))
            files[f"{one.name}-service-def.json"] = service
    return files


def _tasks(workload: Workload, project: Project) -> int:
    settings = project.build.services.get(workload.name)
    return settings.tasks if settings is not None else 1


def _ecspresso(facts: Facts) -> dict[str, str]:
    """For whoever deploys with ecspresso: the same definitions."""
    fleet = facts.project.fleets.new
    return dict(_ecspresso_files(facts, fleet.cluster, fleet.ecs_service))


def _ecspresso_files(
    facts: Facts,
    cluster: str,
    service: str,
) -> Iterator[tuple[str, str]]:
    values = {
        "region": facts.project.region,
        "cluster": cluster,
    }
    yield "ecspresso.yml", text_of("ecspresso.yml", **values, service=service, name="ecs")
    for one in facts.apart:
        if one.runs is Runs.ALONE:
            text = text_of(
                "ecspresso.yml", **values, service=f"{service}-{one.name}", name=one.name
            )
            yield f"{one.name}-ecspresso.yml", text


def _compose(facts: Facts) -> dict[str, str]:
    return compose.files(facts.workload, facts.project, facts.environments, facts.waits)


def _secrets(facts: Facts) -> dict[str, str]:
    """Nothing where there are none."""
    rows = secrets.rows_of(facts.workload, facts.project, facts.environments, facts.waits)
    return {"put-secrets.sh": secrets.script(rows, facts.project)} if rows else {}


def _image_folder(project: Project) -> str:
    return project.build.folder


def _definition_folder(project: Project) -> str:
    return project.fleets.new.definitions


def _terraform_folder(project: Project) -> str:
    settings = project.build.terraform
    return settings.folder if settings is not None else ""


def _top(_: Project) -> str:
    """Where CI systems look."""
    return ""


OUTPUTS = (
    Output("images", _image_folder, _images),
    Output("sizes", _image_folder, _sizes),
    Output("development", _image_folder, _compose),
    Output("secrets", _image_folder, _secrets),
    Output("definitions", _definition_folder, _definitions),
    Output("ecspresso", _definition_folder, _ecspresso),
    Output("infrastructure", _terraform_folder, infrastructure.files),
    Output("ci", _top, ci.files),
)


def files_of(facts: Facts) -> dict[str, str]:
    """Texts by their paths from the project file's folder, sorted."""
    files = {}
    for output in OUTPUTS:
        folder = output.below(facts.project).rstrip("/")
        for name, text in output.files(facts).items():
            files[f"{folder}/{name}".lstrip("/")] = text
    return dict(sorted(files.items()))
