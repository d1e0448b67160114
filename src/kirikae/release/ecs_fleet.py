"""Put a release onto an ECS service: register the task definition, create or update the service,
and wait for the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kirikae.aws import ecs, elbv2, shapes
from kirikae.aws.session import Aws
from kirikae.release.definitions import FORMS, Files, configured, files_of
from kirikae.release.errors import DefinitionProblem, NoImages, NotFinished, NothingBefore
from kirikae.release.fleet import NEW, Place, Step, Tell
from kirikae.release.ledger import OpenEntry
from kirikae.release.manifest import Releases
from kirikae.release.scaling import Asked, Rescaling, rescaling
from kirikae.release.service_deployment import ServiceDeployment, counts_of, lines_of
from kirikae.release.tags import Tagging, tagging
from kirikae.release.way_back import Good

Definition = dict[str, Any]
"""A file's content, or parameters of an operation: the API's own keys."""
_SERVICE = "service"
"""The key of the task definition's ARN in what ran before."""
_OURS = {
    "cluster": "the project file names it",
    "service": "the project file names it",
    "serviceName": "the project file names it",
    "taskDefinition": "it is the revision that was registered just before",
}
"""Keys of a service definition whose value kirikae gives by itself."""
_TAGS = "tags"
_BY_ECS = "ECS"
_INSTEAD = {
    "CODE_DEPLOY": "write `deployer: {codedeploy: {}}` under `fleets.new`",
    "EXTERNAL": "let a command of your own do it (`deployer: {command: ...}` under `fleets.new`)",
}
"""Deployment controller -> who can deploy such a service."""
_LEFT_ALONE = {
    "desiredCount": "it is set at creation; afterwards capacity belongs to whoever scales",
    "deploymentController": "it is set at creation; another controller is another service",
}
"""Keys that an update leaves as they are."""


@dataclass(frozen=True, slots=True)
class Change:
    """What will be called: a revision of the task definition, and the service that runs it."""

    task: Definition
    service: Definition
    exists: bool
    """The service is there, and is updated."""
    unsent: Mapping[str, str] = field(default_factory=dict)
    """Keys of the service definition that are not sent, and why."""
    desired: int | None = None
    """How many tasks shall run, as far as that is known."""
    hooks: Any = None
    """Of the AppSpec, where CodeDeploy drives the service."""
    tagging: Tagging = field(default_factory=Tagging)
    """Of a service that is there already."""
    controller: str = _BY_ECS
    """Who deploys it."""
    scaling: Rescaling = field(default_factory=Rescaling)

    @property
    def operation(self) -> str:
        return "UpdateService" if self.exists else "CreateService"

    def steps(self, place: Place) -> list[Step]:
        register = Step(
            f"register a revision of {self.task.get('family')}",
            "RegisterTaskDefinition",
            self.task,
        )
        act = "update" if self.exists else "create"
        says = [f"{act} the service {place.ecs_service} in {place.cluster}", *self.remarks()]
        return [
            register,
            *self.tagging.steps(),
            *self.scaling.steps(),
            Step(
                "; ".join(says),
                self.operation,
                self.service,
            ),
        ]

    def remarks(self) -> list[str]:
        """What whoever asks for this change may not expect."""
        told = [f"`{key}` is not sent: {why}" for key, why in self.unsent.items()]
        told += self.scaling.remarks()
        if self.desired == 0:
            told.append("its desired count is 0: nothing will run, and nothing will be proven")
        return told


def change(
    exists: bool,
    name: str,
    task: Definition,
    service: Definition,
    cluster: str = "",
    desired: int | None = None,
) -> Change:
    """The desired count is set at creation and left alone afterwards: capacity belongs to whoever
    scales the service.  Every other key is sent, or told with the reason why it is not."""
    known = shapes.parameters_of("ecs", "UpdateService" if exists else "CreateService")
    own = {
        "cluster": cluster,
        "service": name,
        "serviceName": name,
    }
    sent = {}
    unsent = {}
    for key, value in service.items():
        if key in _OURS:
            if value != own.get(key):
                unsent[key] = _OURS[key]
        elif exists and key in _LEFT_ALONE:
            unsent[key] = _LEFT_ALONE[key]
        elif exists and key == _TAGS:
            continue  # they have calls of their own
        elif key in known:
            sent[key] = value
        else:
            unsent[key] = _why_unknown(key, exists)
    if exists:
        return Change(
            task,
            sent,
            exists,
            unsent,
            desired,
        )
    return Change(
        task,
        {**sent, "serviceName": name},
        exists,
        unsent,
        sent.get("desiredCount"),
    )


def _controller(service: Mapping[str, Any]) -> str:
    """Of one that is there, or of the file that it will be created from."""
    return str((service.get("deploymentController") or {}).get("type") or _BY_ECS)


def _why_unknown(key: str, exists: bool) -> str:
    if exists and key in shapes.parameters_of("ecs", "CreateService"):
        return "AWS takes it only when a service is created"
    return "AWS knows no such key"


@dataclass(frozen=True, slots=True)
class EcsFleet:
    """``folder`` holds the two definition files, ``environment`` is what their templates may
    use."""

    aws: Aws
    place: Place
    releases: Releases
    folder: Path
    environment: Mapping[str, str]
    timeout_s: float
    tell: Tell
    side: str = NEW
    scaling: Asked = field(default_factory=Asked)

    def steps(self, release_id: str) -> list[Step]:
        """Raises DefinitionProblem, NoImages, NotThere."""
        return self._own_change(release_id).steps(self.place)

    def running(self) -> dict[str, str]:
        found = ecs.service(
            self.aws,
            self.place.cluster,
            self.place.ecs_service,
        )
        return {} if found is None else {_SERVICE: found["taskDefinition"]}

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        wanted = self._own_change(release_id)
        for remark in wanted.remarks():
            self.tell(remark)
        entry.assert_ours()
        arn = self.registered(wanted.task, entry)
        entry.assert_ours()
        # Ahead of the tasks, which may inherit them (`propagateTags`).
        wanted.tagging.carry_out(self.aws)
        wanted.scaling.carry_out(self.aws)
        with_task = {**wanted.service, "taskDefinition": arn}
        former = entry.now.previous.get(_SERVICE, "")
        if wanted.exists:
            self._update(with_task, former)
        else:
            self.wait_for(
                ecs.create_service(
                    self.aws,
                    self.place.cluster,
                    with_task,
                ),
                former,
            )
        return arn

    def assert_can_go_back(self, target: Good) -> None:
        if not target.task_definition:
            raise NothingBefore(
                f"the ledger knows no task definition of {target.release} that "
                f"{self.place.ecs_service} ran; deploy a release by its ID"
            )

    def put_back(self, target: Good, entry: OpenEntry) -> str:
        entry.assert_ours()
        former = entry.now.previous.get(_SERVICE, "")
        self._update({"taskDefinition": target.task_definition}, former)
        return target.task_definition

    def registered(self, task: Definition, entry: OpenEntry) -> str:
        """The revision that a killed run of the same deploy made, if it did; else a new one, noted
        before anything runs it."""
        if not entry.now.detail:
            entry.note(detail=ecs.register_task_definition(self.aws, task))
        return entry.now.detail

    def _update(self, changes: Definition, former: str) -> None:
        self.wait_for(
            ecs.update_service(
                self.aws,
                self.place.cluster,
                self.place.ecs_service,
                changes,
            ),
            former,
        )

    def wait_for(self, answer: Definition, former: str) -> None:
        """Until the deployment that this answer of ECS began is done.  Raises RolledBack,
        NotFinished."""
        begun = [each.get("id") for each in answer.get("deployments") or ()]
        if not begun or begun[0] is None:
            raise NotFinished(
                f"ECS took the change of {self.place.ecs_service}, and names no deployment of it; "
                "`kirikae release status` looks again"
            )
        deployment = ServiceDeployment(
            self.aws,
            self.place.cluster,
            self.place.ecs_service,
            str(begun[0]),
            arn=str(answer.get("currentServiceDeployment", "")),
            former=former,
        )
        told = ""
        for progress in deployment.wait(self.timeout_s):
            for line in lines_of(progress):
                self.tell(line)
            counts = counts_of(progress)
            if counts != told:
                self.tell(counts)
            told = counts

    def _own_change(self, release_id: str) -> Change:
        """Raises DefinitionProblem where ECS itself does not deploy the service: it would refuse
        the update once the revision is registered."""
        wanted = self.change_of(release_id)
        if wanted.controller in _INSTEAD:
            raise DefinitionProblem(
                f"{self.place.ecs_service} has the deployment controller {wanted.controller}: "
                f"{_INSTEAD[wanted.controller]}"
            )
        return wanted

    def change_of(self, release_id: str) -> Change:
        values = self.values(release_id)
        files = files_of(
            self.folder,
            values,
            self.aws,
            self.place,
        )
        ecs.cluster_exists(self.aws, self.place.cluster)
        found = ecs.service(
            self.aws,
            self.place.cluster,
            self.place.ecs_service,
            with_tags=True,
        )
        wanted = change(
            found is not None,
            self.place.ecs_service,
            files.task.plain,
            {**files.service.plain, **files.service.left_out},
            self.place.cluster,
            None if found is None else found.get("desiredCount"),
        )
        self._assert_taken(wanted, files)
        return replace(
            wanted,
            hooks=files.appspec.get("Hooks"),
            controller=_controller(found or files.service.plain),
            tagging=tagging(found or {}, files.tags if found else None, files.ignored_tags),
            scaling=rescaling(self.aws, self.place, self.scaling),
        )

    def configured_codedeploy(self) -> Mapping[str, Any]:
        """What the configuration of ecspresso says of CodeDeploy."""
        return configured(self.folder, self.environment, self.aws).get("codedeploy") or {}

    def _assert_taken(self, wanted: Change, files: Files) -> None:
        """What AWS would refuse of the two files is told before anything is registered.  Raises
        DefinitionProblem."""
        wrong = files.mistyped + files.task.problems("RegisterTaskDefinition")
        ours = {"service": self.place.ecs_service} if wanted.exists else {}
        wrong += [
            f"{files.service.path}: {each}"
            for each in shapes.problems(
                "ecs",
                wanted.operation,
                {**wanted.service, **ours},
            )
        ]
        if wanted.exists and files.tags:
            asked = {"resourceArn": self.place.ecs_service, "tags": files.tags}
            wrong += [
                f"{files.service.path}: {each}"
                for each in shapes.problems("ecs", "TagResource", asked)
            ]
        if wrong:
            raise DefinitionProblem("\n".join(wrong))

    def values(self, release_id: str) -> dict[str, str]:
        """What the definition files may name.  Raises NoImages, NotThere."""
        images = {
            f"IMAGE_{name.upper().replace('-', '_')}": image
            for name, image in self.releases.images(release_id).items()
        }
        own = {"RELEASE_ID": release_id}
        if self.place.target_group is not None:
            group = elbv2.target_group(self.aws, self.place.target_group)
            own["TARGET_GROUP_ARN"] = group.arn
        if not images and "IMAGE_APP" not in self.environment and self._names_images():
            raise NoImages(
                f"{release_id} has no images yet; `kirikae build image {release_id}` makes them"
            )
        return {
            **self.environment,
            **images,
            **own,
        }

    def _names_images(self) -> bool:
        """Whether a definition runs images of the release."""
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        return any(
            "IMAGE_" in file.read_text(encoding="utf-8", errors="replace")
            for file in files
            if file.suffix in FORMS and file.is_file()
        )
