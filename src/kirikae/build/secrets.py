"""Secrets by name: where each lies on the hosts and where it shall lie, and a script that puts the
values there without anybody seeing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from kirikae.build.environment import Environment, secret_name
from kirikae.build.sidecars import sidecars_of
from kirikae.build.texts import text_of
from kirikae.model.project import Project
from kirikae.model.workload import Workload

_MANAGER = "arn:aws:secretsmanager:"


@dataclass(frozen=True, slots=True)
class SecretRow:
    """``unit``: whose process has it on the hosts; ``file``: the file of configuration that holds
    it instead.  Both are empty for one that only the project file names."""

    name: str
    place: str
    unit: str
    file: str

    @property
    def in_manager(self) -> bool:
        """In Secrets Manager; otherwise it is a parameter of SSM."""
        return self.place.startswith(_MANAGER)

    def to_plain(self) -> dict[str, str]:
        """Plain data for ``--json``."""
        return asdict(self)


def rows_of(
    workload: Workload,
    project: Project,
    environments: Mapping[str, Environment],
    waits: Sequence[str],
) -> list[SecretRow]:
    """By name; each once, whichever service has it."""
    found: dict[str, SecretRow] = {}
    for one in workload.every:
        for name, place in environments[one.name].secret.items():
            found.setdefault(name, _row(one, name, place))
    for name in waits:
        row = SecretRow(name, secret_name(project, name), "", next(_files(workload, name), ""))
        found.setdefault(name, row)
    for sidecar in sidecars_of(project):
        for secret in sidecar.container.get("secrets", ()):
            row = SecretRow(secret["name"], secret["valueFrom"], "", "")
            found.setdefault(row.name, row)
    return [found[name] for name in sorted(found)]


def _row(
    workload: Workload,
    name: str,
    place: str,
) -> SecretRow:
    """In the environment of a process, unless a file of configuration says it."""
    declared = {variable.name for variable in workload.environment}
    file = next(_files(workload, name), "")
    unit = workload.unit if name in declared and not file else ""
    return SecretRow(name, place, unit, file)


def _files(workload: Workload, name: str) -> Iterator[str]:
    """Carried files in which a masked value stands behind this name."""
    for carried in workload.carried:
        if any(name.lower() in line.lower() and "<masked:" in line for line in carried.lines):
            yield carried.path
    web = workload.web
    if web is not None and any(name.lower() in line.lower() for line in web.lines):
        yield from web.carried[:1]


def script(rows: Sequence[SecretRow], project: Project) -> str:
    """POSIX sh; values go from the host's ssh into the store's client, through no file and no
    argument."""
    host = project.fleets.old.hosts[0] if project.fleets.old.hosts else "ssh://HOST"
    return text_of("put-secrets.sh", rows=rows, host=host, region=project.region)
