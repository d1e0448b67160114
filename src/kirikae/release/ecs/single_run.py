"""Begin a task of its own, once, look at it until it has ended, and say the truth about how."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kirikae.aws import ecs_tasks
from kirikae.aws.errors import AwsRefused, NotThere
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable, KirikaeError
from kirikae.release.ending import Ending
from kirikae.release.errors import NotFinished
from kirikae.release.service_deployment import pause_s
from kirikae.release.stopped import StoppedTask, Stops

Row = Mapping[str, Any]
_AGAIN_S = (1.0, 2.0, 4.0)
"""So long after a call without an answer it is sent again, with its token: none begins twice."""
_BY_ITSELF = ("", "EssentialContainerExited", "TaskFailedToStart")
"""Stop codes of a task that nobody stopped (API reference, Task)."""
_ENDED = "STOPPED"
_RUNS = "RUNNING"
_ON_ITS_WAY = ("PROVISIONING", "PENDING", "ACTIVATING")
_MOST_PAGES = 50
_FORGOTTEN_S = 60.0
"""AWS forgets a task about an hour after its end (API reference, ListTasks): whoever slept so long
does not hear of it any more."""
_LAG_S = 2.0
"""The log driver sends the last lines a moment after the container has ended."""


class How(StrEnum):
    """How a task of its own ended, or what else is known of it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Run:
    """One task.  ``exit_code``: of the watched container; None: it has none."""

    how: How
    arn: str
    exit_code: int | None
    told: StoppedTask | None
    """With every container; None: it still runs."""

    @property
    def task(self) -> str:
        return self.arn.rpartition("/")[2]

    def to_plain(self) -> dict[str, Any]:
        told = {} if self.told is None else self.told.to_plain()
        told.pop("times", None)
        return {"task": self.task, "ending": self.how, "exit_code": self.exit_code, **told}


def judged(row: Row, watched: str) -> tuple[How, int | None]:
    """Of a task that has ended.  A container without an exit code never ran, and one that ended
    with 0 because it was told to stop may have done half of its work."""
    own: Row = next((each for each in row.get("containers", ()) if each["name"] == watched), {})
    code = own.get("exitCode")
    if row.get("stopCode", "") not in _BY_ITSELF:
        return How.STOPPED, code
    well = code == 0 and not own.get("reason")
    return (How.SUCCEEDED if well else How.FAILED), code


def begin(
    aws: Aws,
    asked: Mapping[str, Any],
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[Row], list[Row]]:
    """(tasks, why others were not begun).  Raises KirikaeError where none was, NotFinished where
    that is not known."""
    for pause in _AGAIN_S:
        try:
            return _begun(aws, asked)
        except AwsUnreachable:
            sleep(pause)
    try:
        return _begun(aws, asked)
    except AwsUnreachable as error:
        number = str(asked["taskDefinition"]).rpartition(":")[2]
        raise NotFinished(
            f"whether the task was begun is not known: {error}; once AWS answers, ask again with "
            f"--revision {number} --client-token {asked['clientToken']}, which begins it at most "
            "once"
        ) from error


def _begun(aws: Aws, asked: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
    tasks, failures = ecs_tasks.run(aws, asked)
    if not tasks:
        raise KirikaeError(
            f"no task was begun: {'; '.join(map(why_not, failures)) or 'AWS gives no reason'}"
        )
    fewer = len(tasks) < asked["count"] and not failures
    return [*tasks], [{"reason": "AWS gives no reason"}] if fewer else [*failures]


def why_not(failure: Row) -> str:
    """Why ECS did not begin a task."""
    parts = (failure.get("reason"), failure.get("detail"), failure.get("arn"))
    return " ".join(str(part) for part in parts if part)


@dataclass(slots=True)
class _Following:
    """The log of the watched container of one task, line by line.  ``trouble``: why no more of it
    is read."""

    group: str
    stream: str
    prefix: str
    token: str = ""
    trouble: str = ""

    def new(self, aws: Aws) -> list[str]:
        """What was not told yet.  Never raises."""
        found: list[str] = []
        for _ in range(0 if self.trouble else _MOST_PAGES):
            try:
                lines, token = ecs_tasks.log_since(aws, self.group, self.stream, self.token)
            except (NotThere, AwsUnreachable):
                break
            except AwsRefused as error:
                self.trouble = f"the log {self.group} {self.stream} is not followed: {error}"
                return [*found, self.trouble]
            found += [f"{self.prefix}{line.rstrip()}" for line in lines]
            if token == self.token:
                break
            self.token = token
        return found


@dataclass
class Watch:
    """Looks at tasks until they have ended; ``log``: options of the watched container's log, where
    that is CloudWatch's."""

    aws: Aws
    cluster: str
    arns: Sequence[str]
    watched: str
    log: Mapping[str, str]
    tell: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _status: dict[str, str] = field(default_factory=dict)
    _unseen: dict[str, float] = field(default_factory=dict)
    """Since when AWS does not tell of a task that it told of before."""
    _follows: list[_Following] = field(init=False)

    def __post_init__(self) -> None:
        self._follows = list(self._followings())

    def until(self, status: str, timeout_s: float | None) -> list[Run]:
        """RUNNING or STOPPED; what has ended already runs no more.  ``timeout_s`` None: however
        long it lasts.  Raises NotFinished."""
        began = self.clock()
        rows = {**self._look()}
        while not all(self._is(rows.get(arn), status) for arn in self.arns):
            waited_s = self.clock() - began
            if timeout_s is not None and waited_s > timeout_s:
                raise self._timed_out(rows, timeout_s)
            self._assert_known(rows)
            self.sleep(pause_s(waited_s))
            rows |= self._look()
        self._read_out(rows)
        return [self._run(rows[arn]) for arn in self.arns]

    def _is(self, row: Row | None, status: str) -> bool:
        if row is None:
            return False
        last = row.get("lastStatus")
        return last == _ENDED or (status == _RUNS and last not in _ON_ITS_WAY)

    def _look(self) -> Mapping[str, Row]:
        """A call without an answer says nothing of the tasks."""
        try:
            rows = ecs_tasks.described(self.aws, self.cluster, self.arns)
        except AwsUnreachable as error:
            self.tell(str(error))
            return {}
        unseen = self._status.keys() - rows.keys()
        self._unseen = {arn: self._unseen.get(arn, self.clock()) for arn in unseen}
        for arn, row in rows.items():
            status = str(row.get("lastStatus"))
            if self._status.get(arn) != status:
                self._status[arn] = status
                self.tell(f"{arn.rpartition('/')[2]}: {status}")
        self._tell_logs()
        return rows

    def _assert_known(self, rows: Mapping[str, Row]) -> None:
        """Raises NotFinished."""
        for arn, since in self._unseen.items():
            ended = rows[arn].get("lastStatus") == _ENDED
            if not ended and self.clock() - since > _FORGOTTEN_S:
                raise NotFinished(
                    f"AWS does not tell of {arn.rpartition('/')[2]} any more, and how it ended is "
                    "not known; its log and the container's own traces say it"
                )

    def _tell_logs(self) -> None:
        for each in self._follows:
            for line in each.new(self.aws):
                self.tell(line)

    def _read_out(self, rows: Mapping[str, Row]) -> None:
        """The last lines come a moment later."""
        if self._follows and any(row.get("lastStatus") == _ENDED for row in rows.values()):
            self.sleep(_LAG_S)
            self._tell_logs()

    def _run(self, row: Row) -> Run:
        arn = str(row["taskArn"])
        if row.get("lastStatus") != _ENDED:
            return Run(How.RUNNING, arn, None, None)
        how, code = judged(row, self.watched)
        return Run(how, arn, code, Stops(self.aws, self.cluster, "").whole(row))

    def _timed_out(self, rows: Mapping[str, Row], timeout_s: float) -> NotFinished:
        states = [
            f"{arn.rpartition('/')[2]} is {rows[arn].get('lastStatus')}"
            if arn in rows
            else f"AWS has not told of {arn.rpartition('/')[2]}"
            for arn in self.arns
        ]
        return NotFinished(
            f"after {timeout_s:.0f} s {', '.join(states)}; nothing was stopped: look at it in ECS, "
            "or wait longer (--timeout)",
            ending=Ending.TIMED_OUT,
        )

    def _followings(self) -> list[_Following]:
        group = self.log.get("awslogs-group")
        start = self.log.get("awslogs-stream-prefix")
        region = self.log.get("awslogs-region") or self.aws.region
        if not group or not start or region != self.aws.region:
            return []
        names = [arn.rpartition("/")[2] for arn in self.arns]
        return [
            _Following(
                group,
                f"{start}/{self.watched}/{name}",
                f"{name[:8]} | " if len(names) > 1 else "",
            )
            for name in names
        ]
