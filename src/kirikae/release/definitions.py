"""The definition files of a service: ecspresso's, found by its configuration or by their usual
names, with the release's own variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.aws.session import Aws
from kirikae.release.ecs import config, loading
from kirikae.release.ecs.config import EcsConfig, Wanted
from kirikae.release.ecs.gotmpl.environment import of_environment
from kirikae.release.ecs.gotmpl.template import render as carried_out
from kirikae.release.ecs.loading import Definition
from kirikae.release.ecs.offered import Functions, of_variables
from kirikae.release.ecs.plugins import Bench
from kirikae.release.ecs.reading import JSONNET, YAMLS, Surroundings, parsed, rendered
from kirikae.release.errors import DefinitionProblem
from kirikae.release.fleet import Place, by_name

TASK_FILE = "ecs-task-def.json"
SERVICE_FILE = "ecs-service-def.json"
FORMS = (".json", JSONNET, *YAMLS)


def render(text: str, name: str, values: Mapping[str, str]) -> str:
    """With the functions that every template has.  Raises DefinitionProblem with every line that
    cannot be."""
    return carried_out(
        text,
        name,
        of_environment(values),
    )


def load(folder: Path, file: str, values: Mapping[str, str]) -> dict[str, Any]:
    """One file as it stands, without a configuration.  Raises DefinitionProblem."""
    path = named(folder, file)
    around = Surroundings(of_variables(values))
    plain = parsed(
        path,
        rendered(
            path,
            around,
            path.suffix == JSONNET,
        ),
    )
    if not isinstance(plain, dict):
        raise DefinitionProblem(f"{path}: the file must hold one object")
    return plain


def named(folder: Path, file: str) -> Path:
    """The file of this name, in whichever form it lies there.  Raises DefinitionProblem."""
    path = folder / file
    forms = [path, *(path.with_suffix(form) for form in FORMS)]
    found = [form for form in forms if form.exists()]
    if not found:
        raise DefinitionProblem(
            f"{path}: No such file or directory; `fleets.new.definitions` names the folder of "
            f"{file} or of {config.NAME}"
        )
    return found[0]


@dataclass(frozen=True, slots=True)
class Files:
    """Both definitions of a service.  ``ignored_tags``: of which neither is set nor removed."""

    task: Definition
    service: Definition
    ignored_tags: frozenset[str] = field(default_factory=frozenset)
    remarks: tuple[str, ...] = ()
    appspec: Mapping[str, Any] = field(default_factory=dict)
    """What the configuration adds to it, for CodeDeploy."""
    configured: bool = False
    """By a configuration of ecspresso, whose rules hold then."""

    @property
    def tags(self) -> list[dict[str, Any]] | None:
        """What the service's tags shall be; None: nothing is said of them."""
        none: list[dict[str, Any]] | None = [] if self.configured else None
        return self.service.plain.get("tags", none)

    @property
    def mistyped(self) -> list[str]:
        """Keys that nobody knows: what they were meant to say would be lost."""
        both = (self.task, self.service)
        return [
            f"{each.path}: {unknown.says}"
            for each in both
            for unknown in each.unknown
            if not unknown.answered
        ]


def are_in(folder: Path) -> bool:
    """Whether definitions lie there at all."""
    forms = (folder / TASK_FILE).with_suffix
    return config.found_in(folder) is not None or any(forms(form).exists() for form in FORMS)


def files_of(
    folder: Path,
    values: Mapping[str, str],
    aws: Aws,
    place: Place,
) -> Files:
    """By ``ecspresso.yml`` where there is one.  Raises DefinitionProblem."""
    file = config.found_in(folder)
    if file is None:
        functions = _usual(
            folder,
            values,
            aws,
        )
        around = Surroundings(functions)
        task = loading.task_definition(named(folder, TASK_FILE), around)
        return Files(
            task,
            loading.service_definition(
                named(folder, SERVICE_FILE),
                around,
                "",
            ),
        )
    found = config.load(
        Wanted(
            folder,
            values,
            lambda _: aws,
            file,
        )
    )
    _assert_same(found, place)
    if found.task_definition is None or found.service_definition is None:
        raise DefinitionProblem(f"{file}: name `service_definition` and `task_definition`")
    return Files(
        loading.task_definition(found.task_definition, found.around),
        loading.service_definition(
            found.service_definition,
            found.around,
            "",
        ),
        found.ignored_tags,
        found.remarks,
        found.appspec,
        configured=True,
    )


def configured(folder: Path, values: Mapping[str, str], aws: Aws) -> Mapping[str, Any]:
    """What the configuration of ecspresso says, without its definitions; empty: there is none.
    Raises DefinitionProblem."""
    file = config.found_in(folder)
    if file is None:
        return {}
    wanted = Wanted(folder, values, lambda _: aws, file)
    return config.load(wanted).plain


def _usual(folder: Path, values: Mapping[str, str], aws: Aws) -> Functions:
    """The functions that are there without a configuration."""
    return config.with_defaults(
        of_variables(values),
        Bench(
            folder,
            values,
            lambda: aws,
        ),
    )


def _assert_same(found: EcsConfig, place: Place) -> None:
    """Two files that name two services would change one and wait for the other."""
    for key, ours in (("cluster", place.cluster), ("service", place.ecs_service)):
        theirs = getattr(found, key)
        if theirs and by_name(theirs) != by_name(ours):
            raise DefinitionProblem(
                f"{found.path}: `{key}` is {theirs}, and the project file says {ours} "
                "(`fleets.new`); let both name the same"
            )
