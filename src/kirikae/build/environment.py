"""What tasks are told: values in clear, secrets by the place where they lie, what is left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kirikae.model.project import Project
from kirikae.model.variables import read_by_others
from kirikae.model.workload import Variable, Workload

_RELEASE_ID = "RELEASE_ID"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_REGIONS = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")
_OF_SYSTEMD = ("APACHE_STARTED_BY_SYSTEMD", "INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET")
BRACE = "\ue0ff"
"""Stands for a brace of a value until it is JSON: written as ``\\u007b`` there, two of them are no
template of the definition file."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the task is told: values, and names of secrets; ``notes`` say what was left out."""

    plain: Mapping[str, str]
    secret: Mapping[str, str]
    notes: tuple[str, ...]

    def plain_rows(self) -> list[dict[str, str]]:
        """As ``environment`` of a container definition, by name."""
        return [
            {
                "name": name,
                "value": value,
            }
            for name, value in sorted(self.plain.items())
        ]

    def secret_rows(self) -> list[dict[str, str]]:
        """As ``secrets`` of a container definition, by name."""
        return [
            {
                "name": name,
                "valueFrom": place,
            }
            for name, place in sorted(self.secret.items())
        ]


def environment_of(
    workload: Workload,
    project: Project,
    waits: Iterable[str] = (),
    clashes: Collection[str] = (),
) -> Environment:
    """Variables of the hosts' service that its code reads; the project file's go over them.
    ``waits``: names that its configuration waits for, whose values were secrets; ``clashes``: names
    that are another secret in another service, and lie apart."""
    plain = {_RELEASE_ID: f"{{{{ must_env `{_RELEASE_ID}` }}}}"}
    secret: dict[str, str] = {}
    notes = []
    for variable in workload.environment:
        if variable.name == _RELEASE_ID or variable.name in project.build.environment:
            continue
        left_out = why_left_out(variable)
        if left_out is not None:
            notes.append(f"{variable.name} is left out: {left_out}")
        elif variable.secret or variable.name in project.build.secrets:
            own = workload.name if variable.name in clashes else ""
            secret[variable.name] = secret_name(project, variable.name, own)
            if variable.partly_secret:
                notes.append(_whole_value(variable.name, secret[variable.name]))
        else:
            plain[variable.name] = variable.value.replace("{{", f"{{{BRACE}")
    plain |= project.build.environment
    named_elsewhere = (name for name in waits if name not in plain and name not in secret)
    secret |= {name: secret_name(project, name) for name in named_elsewhere}
    named = {name: place for name, place in project.build.secrets.items() if name not in plain}
    return Environment(plain, secret | named, tuple(notes))


def of_the_sidecar(project: Project, waits: Iterable[str]) -> Environment:
    """A sidecar gets the secrets that its own configuration waits for, and no others."""
    return Environment({}, {name: secret_name(project, name) for name in waits}, ())


def _whole_value(name: str, place: str) -> str:
    """The secret alone would not do."""
    return f"{name} has a secret inside its value (CF12): put the whole value into {place}"


def why_left_out(variable: Variable) -> str | None:
    """None for a variable that the task is given."""
    if variable.name in _KEYS:
        return "the task has a role (SE01)"
    if variable.name in _OF_SYSTEMD:
        return "systemd sets it"
    if variable.read is False and not read_by_others(variable.name):
        return (
            "no code reads it (CF08); where a library does, write it into `build.environment` (or "
            "`build.secrets`)"
        )
    if variable.name in _REGIONS:
        return "ECS tells a task its region"
    return None


def secret_name(project: Project, variable: str, service: str = "") -> str:
    """Where the secret lies: as the project file says, else ``/service/variable``; ``service``:
    the one that has this secret alone."""
    folder = f"/{project.service}/{service}".rstrip("/")
    own = f"{folder}/{variable.lower().replace('_', '-')}"
    return project.build.secrets.get(variable, own)
