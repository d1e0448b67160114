"""Why tasks of a deployment stopped: what ECS says, which container ended how, and the last lines
that it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kirikae.aws import ecs, logs
from kirikae.aws.session import Aws
from kirikae.model.errors import KirikaeError

SHOWN = 3
"""So many different causes are told; the newest say best what is wrong now."""
_LINES = 5
_WIDE = 500
_ON_PURPOSE = ("ServiceSchedulerInitiated", "UserInitiated")
_STOPPED_BY_ECS = 137
"""128 + SIGKILL: a container that had to end because another one did."""


@dataclass(frozen=True, slots=True)
class EndedContainer:
    """``exit_code`` None: it never ran.  ``log``: its last lines, oldest first."""

    name: str
    exit_code: int | None
    reason: str
    log: tuple[str, ...] = ()
    log_trouble: str = ""
    """Why its lines could not be read; empty: they were, or it keeps none."""

    @property
    def says(self) -> str:
        how = f"exited with {self.exit_code}" if self.exit_code is not None else "did not run"
        return f"{self.name} {how}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class StoppedTask:
    """``times``: so many tasks stopped for the same cause; this is the newest."""

    task: str
    stop_code: str
    reason: str
    containers: tuple[EndedContainer, ...]
    times: int = 1

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def says(self) -> str:
        """In one line, without what it wrote."""
        many = f"{self.times} tasks stopped" if self.times > 1 else "a task stopped"
        return f"{many}: {self.cause}"

    @property
    def cause(self) -> str:
        ends = [each.says for each in self.containers]
        known = [cause for cause in (self.stop_code, self.reason, *ends) if cause]
        return "; ".join(known) or "AWS gives no reason"

    def lines(self) -> list[str]:
        """With the last lines of each container."""
        told = [self.says]
        for container in self.containers:
            told += [f"    {container.name} | {line}" for line in container.log]
            if container.log_trouble:
                told.append(f"    {container.name}: {container.log_trouble}")
        return told


@dataclass(frozen=True, slots=True)
class Stops:
    """Why tasks of one service stopped."""

    aws: Aws
    cluster: str
    service: str

    def of(self, deployment: str) -> tuple[StoppedTask, ...]:
        """Each cause once, the newest first.  Never raises: whoever asks has an outcome to tell
        already, and this only says why."""
        try:
            rows = ecs.stopped_tasks(
                self.aws,
                self.cluster,
                self.service,
                deployment,
            )
        except KirikaeError:
            return ()
        return tuple(self._with_log(row, times, _guilty(row)) for row, times in _causes(rows))

    def whole(self, row: Mapping[str, Any]) -> StoppedTask:
        """One task with every container of it, also those that ended well.  Never raises."""
        return self._with_log(row, 1, row.get("containers", ()))

    def _with_log(
        self,
        row: Mapping[str, Any],
        times: int,
        told: Sequence[Mapping[str, Any]],
    ) -> StoppedTask:
        """Definition and log are only asked for where something is to be told."""
        settings = self._log_settings(row)
        name = row["taskArn"].rpartition("/")[2]
        containers = [
            self._container(
                each,
                settings.get(each["name"], {}),
                name,
            )
            for each in told
        ]
        return StoppedTask(
            task=name,
            stop_code=row.get("stopCode", ""),
            reason=_one_line(row.get("stoppedReason", "")),
            containers=tuple(containers),
            times=times,
        )

    def _log_settings(self, row: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
        """Container -> options of its log, where that is CloudWatch's."""
        try:
            definition = ecs.task_definition(self.aws, row["taskDefinitionArn"])
        except KirikaeError:
            return {}
        found = {}
        for container in definition["containerDefinitions"]:
            settings = container.get("logConfiguration", {})
            if settings.get("logDriver") == "awslogs":
                found[container["name"]] = settings.get("options", {})
        return found

    def _container(
        self,
        row: Mapping[str, Any],
        options: Mapping[str, str],
        task: str,
    ) -> EndedContainer:
        said, trouble = self._log_of(
            row["name"],
            options,
            task,
        )
        return EndedContainer(
            name=row["name"],
            exit_code=row.get("exitCode"),
            reason=_one_line(row.get("reason", "")),
            log=tuple(said),
            log_trouble=trouble,
        )

    def _log_of(
        self,
        name: str,
        options: Mapping[str, str],
        task: str,
    ) -> tuple[list[str], str]:
        """(lines, why there are none)."""
        group = options.get("awslogs-group")
        prefix = options.get("awslogs-stream-prefix")
        if not group or not prefix:
            return [], ""
        stream = f"{prefix}/{name}/{task}"
        region = options.get("awslogs-region", "")
        try:
            lines = logs.last_lines(
                self.aws,
                region,
                group,
                stream,
                _LINES,
            )
        except KirikaeError as error:
            return [], f"its log {group} {stream} was not read: {_one_line(str(error))}"
        return [line.rstrip()[:_WIDE] for line in lines], ""


def _causes(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int]]:
    """(newest task, how many stopped alike), the newest cause first; what was stopped on purpose
    says nothing about the release."""
    failed = [row for row in rows if row.get("stopCode") not in _ON_PURPOSE or _blames(row)]
    times = Counter(_cause(row) for row in failed)
    newest: dict[object, Mapping[str, Any]] = {}
    for row in failed:
        newest.setdefault(_cause(row), row)
    return [(row, times[cause]) for cause, row in list(newest.items())[:SHOWN]]


def _blames(row: Mapping[str, Any]) -> bool:
    """ECS stops a task itself, too, that fails its health checks, and says so."""
    return "health check" in row.get("stoppedReason", "").lower()


def _cause(row: Mapping[str, Any]) -> object:
    """What tasks that stopped alike have in common."""
    ends = [(each["name"], each.get("exitCode"), each.get("reason")) for each in _guilty(row)]
    return row.get("stopCode"), row.get("stoppedReason"), tuple(ends)


def _guilty(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The containers that ended badly by themselves; all that ended badly, if there is no such."""
    bad = [each for each in row.get("containers", ()) if _ended_badly(each)]
    own = [each for each in bad if each.get("exitCode") != _STOPPED_BY_ECS]
    telling = [each for each in own if "exitCode" in each or each.get("reason")]
    return telling or own or bad


def _ended_badly(container: Mapping[str, Any]) -> bool:
    """One without an exit code never ran."""
    return container.get("exitCode") != 0 or bool(container.get("reason"))


def _one_line(text: str) -> str:
    return " ".join(text.split())
