"""The two definition files of a service, fitted to AWS's own shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.aws import fitting, shapes
from kirikae.aws.fitting import Unknown
from kirikae.release.ecs.reading import JSONNET, Surroundings, parsed, rendered
from kirikae.release.errors import DefinitionProblem

Plain = dict[str, Any]
TASK = "RegisterTaskDefinition"
SERVICE = "CreateService"


@dataclass(frozen=True, slots=True)
class Definition:
    """What a file says, with AWS's own names of keys.  ``unknown``: keys that no call takes."""

    path: Path
    plain: Plain
    unknown: tuple[Unknown, ...] = ()
    text: str = ""
    """As it was rendered."""
    left_out: Mapping[str, Any] = field(default_factory=dict)
    """What of the outermost object no call takes."""

    @property
    def remarks(self) -> list[str]:
        return [f"{self.path}: {each.says}" for each in self.unknown]

    def mistyped(self, operation: str) -> list[str]:
        """Values of another kind than AWS knows, each with the file's name."""
        return [
            f"{self.path}: {each}"
            for each in shapes.mistyped(
                "ecs",
                operation,
                self.plain,
            )
        ]

    def problems(self, operation: str, more: Mapping[str, Any] | None = None) -> list[str]:
        """What AWS would refuse, each with the file's name."""
        given = {**self.plain, **(more or {})}
        return [
            f"{self.path}: {each}"
            for each in shapes.problems(
                "ecs",
                operation,
                given,
            )
        ]


def task_definition(path: Path, around: Surroundings) -> Definition:
    """The input of RegisterTaskDefinition, bare or inside of ``taskDefinition``.  Raises
    DefinitionProblem."""
    text, plain = _object(path, around)
    inner = _in_any_case(plain, "taskDefinition")
    if isinstance(inner, dict):
        tags = _in_any_case(plain, "tags")
        plain = {**inner, **({"tags": tags} if tags else {})}
    fitted, unknown = fitting.fitted(
        "ecs",
        TASK,
        plain,
        "TaskDefinition",
    )
    if not fitted.get("tags", True):
        del fitted["tags"]
    return Definition(
        path,
        fitted,
        tuple(unknown),
        text,
    )


def service_definition(path: Path, around: Surroundings, name: str) -> Definition:
    """The name comes from the configuration, never from the file.  Raises DefinitionProblem."""
    text, plain = _object(path, around)
    for wrapper in ("services", "service"):
        if isinstance(_in_any_case(plain, wrapper), dict | list):
            raise DefinitionProblem(
                f"{path}: everything stands inside `{wrapper}`, as AWS answers it; keep only what "
                "is inside"
            )
    fitted, unknown = fitting.fitted(
        "ecs",
        SERVICE,
        plain,
        "Service",
    )
    fitted.pop("serviceName", None)
    named = {"serviceName": name} if name else {}
    left_out = {each.place: plain[each.place] for each in unknown if each.place in plain}
    return Definition(
        path,
        {**fitted, **named},
        tuple(unknown),
        text,
        left_out,
    )


def _in_any_case(plain: Plain, wanted: str) -> Any:
    """The value of a key, however it is written: Go's reader of JSON takes any case."""
    return next((value for key, value in plain.items() if key.lower() == wanted.lower()), None)


def _object(path: Path, around: Surroundings) -> tuple[str, Plain]:
    text = rendered(
        path,
        around,
        path.suffix == JSONNET,
    )
    plain = parsed(path, text)
    if not isinstance(plain, dict):
        raise DefinitionProblem(f"{path}: the file must hold one object")
    return text, plain
