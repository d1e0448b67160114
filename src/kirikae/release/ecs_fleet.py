"""Put a release onto an ECS service: register the task definition, create or update the service,
and wait for the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.aws import ecs, elbv2
from kirikae.aws.session import Aws
from kirikae.model.project import NewFleet
from kirikae.release.definitions import SERVICE_FILE, TASK_FILE, load
from kirikae.release.errors import NoImages, NothingBefore
from kirikae.release.fleet import NEW, Step, Tell
from kirikae.release.ledger import Deployed, OpenEntry
from kirikae.release.manifest import Releases
from kirikae.release.service_deployment import ServiceDeployment

Definition = dict[str, Any]
"""A file's content, or parameters of an operation: the API's own keys."""
_SERVICE = "service"
"""The key of the task definition's ARN in what ran before."""
_UPDATABLE = (
    "deploymentConfiguration",
    "healthCheckGracePeriodSeconds",
    "networkConfiguration",
    "loadBalancers",
)


@dataclass(frozen=True, slots=True)
class Change:
    """What will be called: a revision of the task definition, and the service that runs it."""

    task: Definition
    service: Definition
    exists: bool
    """The service is there, and is updated."""

    def steps(self, place: NewFleet) -> list[Step]:
        register = Step(
            f"register a revision of {self.task.get('family')}", "RegisterTaskDefinition", self.task
        )
        where = f"the service {place.ecs_service} in {place.cluster}"
        if self.exists:
            return [register, Step(f"update {where}", "UpdateService", self.service)]
        return [register, Step(f"create {where}", "CreateService", self.service)]


def change(exists: bool, name: str, task: Definition, service: Definition) -> Change:
    """The desired count is set at creation and left alone afterwards: capacity belongs to whoever
    scales the service."""
    if not exists:
        return Change(task, {**service, "serviceName": name}, exists)
    return Change(task, {key: service[key] for key in _UPDATABLE if key in service}, exists)


@dataclass(frozen=True, slots=True)
class EcsFleet:
    """``folder`` holds the two definition files, ``environment`` is what their templates may
    use."""

    aws: Aws
    place: NewFleet
    releases: Releases
    folder: Path
    environment: Mapping[str, str]
    timeout_s: float
    tell: Tell
    side: str = NEW

    def steps(self, release_id: str) -> list[Step]:
        """Raises DefinitionProblem, NoImages, NotThere."""
        return self._change(release_id).steps(self.place)

    def running(self) -> dict[str, str]:
        found = ecs.service(self.aws, self.place.cluster, self.place.ecs_service)
        return {} if found is None else {_SERVICE: found["taskDefinition"]}

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        wanted = self._change(release_id)
        entry.assert_ours()
        arn = self._registered(wanted.task, entry)
        with_task = {**wanted.service, "taskDefinition": arn}
        if wanted.exists:
            self._update(with_task)
        else:
            self._wait(ecs.create_service(self.aws, self.place.cluster, with_task))
        return arn

    def assert_can_go_back(self, last: Deployed) -> None:
        if not last.previous.get(_SERVICE):
            raise NothingBefore(
                f"the ledger knows no task definition that {self.place.ecs_service} ran before; "
                "deploy a release by its ID"
            )

    def put_back(self, last: Deployed, entry: OpenEntry) -> str:
        arn = last.previous[_SERVICE]
        entry.assert_ours()
        self._update({"taskDefinition": arn})
        return arn

    def _registered(self, task: Definition, entry: OpenEntry) -> str:
        """The revision that a killed run of the same deploy made, if it did; else a new one, noted
        before anything runs it."""
        if not entry.now.detail:
            entry.note(detail=ecs.register_task_definition(self.aws, task))
        return entry.now.detail

    def _update(self, changes: Definition) -> None:
        self._wait(
            ecs.update_service(self.aws, self.place.cluster, self.place.ecs_service, changes)
        )

    def _wait(self, answer: Definition) -> None:
        """Until the deployment that this answer of ECS began is done.  Raises RolledBack,
        NotFinished."""
        deployment = ServiceDeployment(
            self.aws,
            self.place.cluster,
            self.place.ecs_service,
            str(answer["deployments"][0]["id"]),
        )
        for progress in deployment.wait(self.timeout_s):
            for event in progress.events:
                self.tell(event)

    def _change(self, release_id: str) -> Change:
        values = self._values(release_id)
        task = load(self.folder, TASK_FILE, values)
        service = load(self.folder, SERVICE_FILE, values)
        ecs.cluster_exists(self.aws, self.place.cluster)
        found = ecs.service(self.aws, self.place.cluster, self.place.ecs_service)
        return change(found is not None, self.place.ecs_service, task, service)

    def _values(self, release_id: str) -> dict[str, str]:
        """What the definition files may name.  Raises NoImages, NotThere."""
        images = {
            f"IMAGE_{name.upper().replace('-', '_')}": image
            for name, image in self.releases.images(release_id).items()
        }
        group = elbv2.target_group(self.aws, self.place.target_group)
        if not images and "IMAGE_APP" not in self.environment and self._names_images():
            raise NoImages(
                f"{release_id} has no images yet; `kirikae build image {release_id}` makes them"
            )
        own = {"RELEASE_ID": release_id, "TARGET_GROUP_ARN": group.arn}
        return {**self.environment, **images, **own}

    def _names_images(self) -> bool:
        """Whether the task definition runs images of the release; a file that is not there names
        none, and is told of when it is loaded."""
        file = self.folder / TASK_FILE
        return file.is_file() and "IMAGE_" in file.read_text(encoding="utf-8")
