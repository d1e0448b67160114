"""What a file is, by its name and by what stands in it, and the objects in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

from kirikae.guard import cloudformation, scans, terraform
from kirikae.guard.dockerfile import dockerfile
from kirikae.guard.errors import ObjectProblem
from kirikae.guard.objects import Object, Task
from kirikae.guard.plainly import plain_of

_DOCKERFILES = ("dockerfile", "dockerfile.*", "*.dockerfile", "containerfile", "containerfile.*")
_CONTAINERS = "containerDefinitions"
_REGISTERED = "taskDefinition"
"""``aws ecs describe-task-definition`` wraps what it prints."""


def is_dockerfile(name: str) -> bool:
    """By its name: nothing within tells for sure."""
    small = PurePath(name).name.lower()
    return any(fnmatchcase(small, pattern) for pattern in _DOCKERFILES)


def objects_in(name: str, text: str) -> Sequence[Object]:
    """Raises ObjectProblem where there is none."""
    if is_dockerfile(name):
        file = dockerfile(name, text)
        if not file.lineage:
            raise ObjectProblem(f"{name}: no FROM stands in it; is it a Dockerfile?")
        return [file]
    return objects_of(name, plain_of(name, text))


def objects_of(name: str, plain: Any) -> Sequence[Object]:
    """Raises ObjectProblem where there is none."""
    found: list[Object]
    if scans.is_scan(plain):
        found = list(scans.merged(scans.scans_in(name, plain)))
    elif terraform.is_plan(plain):
        found = list(terraform.objects(name, plain))
    elif cloudformation.is_template(plain):
        found = list(cloudformation.objects(name, plain))
    else:
        found = [*_raw(name, plain)]
    if not found:
        raise ObjectProblem(
            f"{name}: no task definition stands in it; guard reads Dockerfiles, images (docker "
            "save, OCI layouts), task definitions (the API's JSON or YAML, ecspresso.yml, a "
            "CloudFormation template, the JSON that `terraform show -json` prints of a plan), and "
            "results of ECR, Inspector, Trivy and Grype"
        )
    return found


def _raw(name: str, plain: Any) -> list[Task]:
    """As RegisterTaskDefinition takes it, or as DescribeTaskDefinition answers it."""
    if not isinstance(plain, Mapping):
        return []
    inner = plain.get(_REGISTERED)
    if isinstance(inner, Mapping) and _CONTAINERS in inner:
        return [Task(name, inner)]
    return [Task(name, plain)] if _CONTAINERS in plain else []
