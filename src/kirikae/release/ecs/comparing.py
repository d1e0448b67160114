"""Compare the files of a configuration with what runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kirikae.aws.session import Aws
from kirikae.model.errors import UsageProblem
from kirikae.release.ecs import loading, remote
from kirikae.release.ecs.canonical import Form, Why, service_form, task_form
from kirikae.release.ecs.config import EcsConfig
from kirikae.release.ecs.difference import Compared, Difference, compared
from kirikae.release.ecs.loading import Definition
from kirikae.release.errors import DefinitionProblem

Plain = dict[str, Any]
SERVICE = "service"
TASK = "taskdef"
_FIXED = ("launchType", "schedulingStrategy", "deploymentController")
"""AWS takes them when a service is created, and never again (API reference, UpdateService)."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The definitions of a configuration; ``service`` None: the task definition stands alone."""

    task: Definition
    service: Definition | None

    @property
    def remarks(self) -> list[str]:
        found = [*self.task.remarks]
        return found if self.service is None else [*found, *self.service.remarks]

    def assert_comparable(self) -> None:
        """Raises DefinitionProblem where a value is of another kind than AWS knows."""
        wrong = self.task.mistyped(loading.TASK)
        if self.service is not None:
            wrong += self.service.mistyped(loading.SERVICE)
        if wrong:
            raise DefinitionProblem("\n".join(wrong))


@dataclass(frozen=True, slots=True)
class Which:
    """The task definition that the file is compared with: a revision of its family, the newest
    one, or none at all; else the one that the service uses."""

    revision: int | None = None
    latest: bool = False
    skipped: bool = False

    @property
    def options(self) -> list[str]:
        """As they are asked for on the command line."""
        asked = {
            "--revision": self.revision is not None,
            "--latest-task-definition": self.latest,
            "--skip-task-definition": self.skipped,
        }
        return [option for option, on in asked.items() if on]


OF_SERVICE = Which()


def _registered(
    aws: Aws, loaded: Loaded, there: remote.Service | None, which: Which
) -> remote.Task | None:
    """Raises UsageProblem for a revision that is not there."""
    family = str(loaded.task.plain.get("family", ""))
    if which.revision is not None:
        found = remote.task(aws, f"{family}:{which.revision}")
        if found is None:
            raise UsageProblem(f"--revision {which.revision}: {family} has no such revision")
        return found
    name = family if which.latest or there is None else there.task_definition
    return remote.task(aws, name) if name else None


def load_all(config: EcsConfig) -> Loaded:
    """Raises DefinitionProblem."""
    task = task_of(config)
    return Loaded(task, service_of(config) if config.service else None)


def task_of(config: EcsConfig) -> Definition:
    """Raises DefinitionProblem."""
    if config.task_definition is None:
        raise DefinitionProblem(f"{config.path}: `task_definition` is missing: name its file")
    return loading.task_definition(config.task_definition, config.around)


def service_of(config: EcsConfig) -> Definition:
    """Raises DefinitionProblem."""
    if config.service_definition is None:
        raise DefinitionProblem(f"{config.path}: `service_definition` is missing: name its file")
    return loading.service_definition(
        config.service_definition,
        config.around,
        config.service,
    )


def differences(
    config: EcsConfig,
    aws: Aws,
    loaded: Loaded,
    with_service: bool = True,
    which: Which = OF_SERVICE,
) -> Iterator[Compared]:
    """Of the service, then of the task definition that it uses, else of the newest one."""
    loaded.assert_comparable()
    there = None
    if loaded.service is not None:
        there = remote.service(
            aws,
            config.cluster,
            config.service,
        )
        if with_service:
            yield of_service(
                loaded.service,
                there,
                config.ignored_tags,
            )
    if which.skipped:
        return
    found = _registered(aws, loaded, there, which)
    yield of_task(
        loaded.task,
        found,
        config.ignored_tags,
    )


def sides(
    config: EcsConfig,
    aws: Aws,
    loaded: Loaded,
    with_service: bool = True,
    which: Which = OF_SERVICE,
) -> Iterator[tuple[str, tuple[Plain, Plain]]]:
    """For a command that compares by itself: each target with what runs (empty: nothing) and what
    the files say, in the forms that ``differences`` compares."""
    loaded.assert_comparable()
    there = None
    ignored = config.ignored_tags
    if loaded.service is not None:
        there = remote.service(aws, config.cluster, config.service)
        if with_service:
            runs = {} if there is None else _form_there(loaded.service, there, ignored).plain
            yield SERVICE, (runs, service_form(loaded.service.plain, ignored).plain)
    if which.skipped:
        return
    task = _registered(aws, loaded, there, which)
    registered = {} if task is None else task_form(task.plain, ignored).plain
    yield TASK, (registered, task_form(loaded.task.plain, ignored).plain)


def _form_there(local: Definition, there: remote.Service, ignored_tags: frozenset[str]) -> Form:
    """A desired count that the file does not name belongs to whoever scales."""
    plain = dict(there.plain)
    left_alone = "desiredCount" not in local.plain
    if left_alone:
        plain.pop("desiredCount", None)
    form = service_form(plain, ignored_tags)
    if left_alone:
        form.note("desiredCount", Why.IGNORED)
    return form


def of_service(
    local: Definition, there: remote.Service | None, ignored_tags: frozenset[str]
) -> Compared:
    here = service_form(local.plain, ignored_tags)
    if there is None:
        return compared(
            SERVICE,
            None,
            here,
            "",
            str(local.path),
        )
    form = _form_there(local, there, ignored_tags)
    found = compared(
        SERVICE,
        form,
        here,
        there.arn,
        str(local.path),
    )
    fixed = tuple(_fixed(local, there))
    return Compared(
        found.target,
        found.text,
        (*found.differences, *fixed),
        found.hidden,
    )


def _fixed(local: Definition, there: remote.Service) -> Iterator[Difference]:
    """What the file wants otherwise and no update can bring about."""
    for key in _FIXED:
        wanted = local.plain.get(key)
        runs = there.plain.get(key)
        if wanted is not None and runs is not None and wanted != runs:
            yield Difference(
                key,
                Why.FIXED,
                runs,
                wanted,
            )


def of_task(local: Definition, there: remote.Task | None, ignored_tags: frozenset[str]) -> Compared:
    here = task_form(local.plain, ignored_tags)
    if there is None:
        return compared(
            TASK,
            None,
            here,
            "",
            str(local.path),
        )
    form = task_form(there.plain, ignored_tags)
    return compared(
        TASK,
        form,
        here,
        there.arn,
        str(local.path),
    )
