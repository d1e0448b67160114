"""Secrets by name: where each lies on the hosts and where it shall lie, and a script that puts the
values there without anybody seeing them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kirikae.build.environment import Environment, secret_name, why_left_out
from kirikae.build.masks import names_of, origin_of
from kirikae.build.sidecars import sidecars_of
from kirikae.build.texts import text_of
from kirikae.model.bundle import MASKED
from kirikae.model.project import Project
from kirikae.model.workload import Workload

_MANAGER = "arn:aws:secretsmanager:"


@dataclass(frozen=True, slots=True)
class SecretRow:
    """``unit``: whose process has it on the hosts; ``file`` and ``line``: where a configuration
    holds it instead, between ``before`` and ``after`` (``ends``: the line's end follows).  Both are
    empty for one that only the project file names."""

    name: str
    place: str
    unit: str
    file: str
    line: int = 0
    before: str = ""
    after: str = ""
    ends: bool = True

    @property
    def in_manager(self) -> bool:
        """In Secrets Manager; otherwise it is a parameter of SSM."""
        return self.place.startswith(_MANAGER)

    @property
    def lies(self) -> str:
        """Where, for people."""
        return f"{self.file}:{self.line}" if self.file else self.unit

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self)


def rows_of(
    workload: Workload,
    project: Project,
    environments: Mapping[str, Environment],
    waits: Sequence[str],
) -> list[SecretRow]:
    """By place; each once, whichever service has it."""
    masks = {name: mask for mask, name in names_of(workload).items()}
    found: dict[str, SecretRow] = {}
    for one in workload.every:
        for name, place in environments[one.name].secret.items():
            found.setdefault(place, _row(workload, one, name, place, masks))
    for name in waits:
        place = secret_name(project, name)
        found.setdefault(place, _from_file(workload, name, place, masks.get(name, "")))
    for sidecar in sidecars_of(project):
        for secret in sidecar.container.get("secrets", ()):
            row = SecretRow(secret["name"], secret["valueFrom"], "", "")
            found.setdefault(row.place, row)
    return sorted(found.values(), key=lambda row: (row.name, row.place))


def left_out(workload: Workload, given: Collection[str]) -> Iterator[tuple[str, str]]:
    """(name, why): secrets of the hosts that no task is given.  ``given``: names that one is."""
    seen: set[str] = set(given)
    for one in workload.every:
        for variable in one.environment:
            why = why_left_out(variable) if variable.secret else None
            if why is not None and variable.name not in seen:
                seen.add(variable.name)
                yield variable.name, why


def _row(
    workload: Workload,
    one: Workload,
    name: str,
    place: str,
    masks: Mapping[str, str],
) -> SecretRow:
    """In the environment of a process, unless a file of configuration says it."""
    declared = {variable.name: variable.value for variable in one.environment}
    row = _from_file(workload, name, place, declared.get(name) or masks.get(name, ""))
    if row.file or name not in declared:
        return row
    return SecretRow(name, place, one.unit, "")


def _from_file(
    workload: Workload,
    name: str,
    place: str,
    value: str,
) -> SecretRow:
    """``value``: a mask, or a text with one in it."""
    origin = origin_of(workload, value) if MASKED in value else None
    if origin is None:
        return SecretRow(name, place, "", "")
    return SecretRow(name, place, "", **asdict(origin))


def script(rows: Sequence[SecretRow], project: Project) -> str:
    """POSIX sh; values go from the host's ssh into the store's client, through no file and no
    argument."""
    host = project.fleets.old.hosts[0] if project.fleets.old.hosts else "ssh://HOST"
    return text_of("put-secrets.sh", rows=rows, host=host, region=project.region)
