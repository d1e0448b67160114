"""What every file that is written for a service may ask for, worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kirikae.build.carried import Layer, layer_of, names_in
from kirikae.build.definitions import Container
from kirikae.build.environment import Environment, environment_of
from kirikae.build.masks import clashing, names_of
from kirikae.build.needs import Needs
from kirikae.build.sidecar import nginx_conf
from kirikae.build.sidecars import sidecars_of
from kirikae.build.sizes import Size, size_of
from kirikae.model.project import Project
from kirikae.model.workload import Runs, Workload


@dataclass(frozen=True)
class Facts:
    """What every output may ask for.  ``layers`` and ``environments`` are by name of a service;
    ``conf`` is the sidecar's nginx.conf, empty where there is none."""

    workload: Workload
    project: Project
    size: Size
    layers: Mapping[str, Layer]
    environments: Mapping[str, Environment]
    conf: str
    needs: Needs

    @property
    def waits(self) -> tuple[str, ...]:
        """Variables that the sidecar's configuration waits for."""
        return names_in(self.conf)

    def container(self, workload: Workload) -> Container:
        """A service with all that its container is told."""
        name = workload.name
        return Container(workload, self.environments[name], self.layers[name])

    @property
    def in_the_task(self) -> list[Container]:
        """Services that run side by side; the first is the one in front."""
        every = self.workload.every
        return [self.container(one) for one in every if one.runs is Runs.IN_THE_TASK]

    @property
    def apart(self) -> list[Workload]:
        """Services with a task of their own."""
        return [one for one in self.workload.every if one.runs is not Runs.IN_THE_TASK]


def facts_of(
    workload: Workload,
    project: Project,
    needs: Needs | None = None,
) -> Facts:
    """Worked out once for all outputs."""
    port = project.build.port
    names = names_of(workload)
    clashes = clashing(workload)
    layers = {one.name: layer_of(one, port, names) for one in workload.every}
    ports = {socket: n for layer in layers.values() for socket, n in layer.ports.items()}
    environments = {
        one.name: environment_of(one, project, layers[one.name].names, clashes)
        for one in workload.every
    }
    more = sum(each.memory for each in sidecars_of(project))
    web = workload.web
    return Facts(
        workload=workload,
        project=project,
        size=size_of(workload, project.build.tasks, more),
        layers=layers,
        environments=environments,
        conf=nginx_conf(web, port, ports, names) if web is not None else "",
        needs=needs or Needs(),
    )
