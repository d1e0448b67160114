"""Containers' output to CloudWatch Logs, as the awslogs driver delivers it: stream
``prefix/container/task-id``.

Read from the engine's own log, so nothing is lost while the control plane is away: what was
delivered last is written down after each delivery.  A SIGKILL between the two delivers a batch
again."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from kirikae.local.ecs.containers import engine_time
from kirikae.local.engine import Engine
from kirikae.local.errors import AwsError, EngineError, StartFailed
from kirikae.local.plain import Plain
from kirikae.local.rows import ContainerDefinition, Definition
from kirikae.local.state import State
from kirikae.local.stores import Stores

log = logging.getLogger("kirikae.local.logs")

_FAULT = 500
"""From this status on it is the store that failed, not what was asked."""
_BATCH = 1000
_GATHER_S = 0.5
_FINISH_S = 10
Line = tuple[str, str]
"""The engine's stamp, and the text."""
Lines = asyncio.Queue[Line | None]
"""None: the output has ended."""
Arrived = Callable[[str, str, Sequence[Plain]], Awaitable[None]]
"""Group, stream and events: filters of logs see them."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """Where a container's output goes.  ``begins``: what the first line of an event looks like."""

    group: str
    name: str
    begins: re.Pattern[str] | None


class Logs:
    """One follower per container that has a log configuration."""

    def __init__(
        self,
        state: State,
        engine: Engine,
        stores: Stores,
        arrived: Arrived | None = None,
    ) -> None:
        """No follower runs yet; ``follow`` starts them, also after a restart of the control
        plane.  ``arrived`` is told of every batch that the store has taken."""
        self._arrived = arrived
        self._state = state
        self._engine = engine
        self._stores = stores
        self._followers: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Stop following; what is not delivered yet is read again from the engine's log
        afterwards."""
        for follower in self._followers.values():
            follower.cancel()

    async def prepare(self, definition: Definition) -> None:
        """Groups must be there before a task starts, or are made where the definition says so.
        Raises StartFailed."""
        for container in definition["containerDefinitions"]:
            if options := _options(container):
                await self._prepare_group(options)

    async def _prepare_group(self, options: dict[str, str]) -> None:
        """Raises StartFailed, with the agent's words, where the log group is missing and may not be
        made."""
        group = options["awslogs-group"]
        try:
            if options.get("awslogs-create-group") == "true":
                await self._assert("CreateLogGroup", logGroupName=group)
                return
            found = await self._call("DescribeLogGroups", logGroupNamePrefix=group)
            if group not in {known["logGroupName"] for known in found["logGroups"]}:
                raise AwsError(
                    "ResourceNotFoundException", f"The specified log group does not exist: {group}"
                )
        except AwsError as error:
            if error.status >= _FAULT:
                raise OSError(str(error)) from error
            raise StartFailed(
                f"ResourceInitializationError: failed to validate logger args: {error}"
            ) from error

    def follow(
        self,
        task_id: str,
        container: ContainerDefinition,
        engine_name: str,
    ) -> None:
        """Deliver this container's output until it ends; what is followed already stays so."""
        options = _options(container)
        running = self._followers.get(engine_name)
        if options and (running is None or running.done()):
            stream = _stream(task_id, container["name"], options)
            self._followers[engine_name] = asyncio.create_task(self._deliver(engine_name, stream))

    async def finish(self, engine_names: Iterable[str]) -> None:
        """Wait until the output of these ended containers is delivered."""
        names = list(engine_names)
        followers = [self._followers.pop(name, None) for name in names]
        waiting = [follower for follower in followers if follower is not None]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_FINISH_S)
            for follower in late:
                log.warning(
                    "output of a container was not delivered within %s s of its end", _FINISH_S
                )
                follower.cancel()
        for name in names:
            self._state.delivered.drop(name)

    async def _deliver(self, engine_name: str, stream: _Stream) -> None:
        """One container's output, batch by batch, until it ends.

        The stamp is written down only after the store took the batch, so a crash repeats lines and
        never loses any.
        """
        lines: Lines = asyncio.Queue(maxsize=10 * _BATCH)
        reading = asyncio.create_task(self._read(engine_name, lines))
        place = {
            "logGroupName": stream.group,
            "logStreamName": stream.name,
        }
        try:
            await self._keep_trying("CreateLogStream", **place)
            over = False
            while not over:
                batch, over = await _gather(lines)
                if batch:
                    events = as_events(batch, stream.begins)
                    await self._keep_trying("PutLogEvents", **place, logEvents=events)
                    if self._arrived is not None:
                        await self._arrived(stream.group, stream.name, events)
                    self._state.delivered.put(engine_name, {"stamp": batch[-1][0]})
        finally:
            reading.cancel()

    async def _read(self, engine_name: str, lines: Lines) -> None:
        """Put what the engine has beyond the last delivered stamp into ``lines``; None at the end,
        also where the engine broke off."""
        delivered = self._state.delivered.get(engine_name)
        last = delivered["stamp"] if delivered is not None else ""
        since = engine_time(last) if last else 0
        try:
            async for stamp, text in self._engine.output(engine_name, since):
                if stamp > last:
                    await lines.put((stamp, text.decode(errors="replace")))
        except EngineError as error:
            log.warning("%s", error)
        await lines.put(None)

    async def _call(self, operation: str, **params: object) -> Plain:
        """The store's answer to an operation of CloudWatch Logs.  Raises AwsError for a refusal."""
        return await self._stores.call("logs", f"Logs_20140328.{operation}", params)

    async def _assert(self, operation: str, **params: object) -> None:
        """As ``_call``, but what is there already is well: it may be called again after a crash."""
        try:
            await self._call(operation, **params)
        except AwsError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    async def _keep_trying(self, operation: str, **params: object) -> None:
        """Until the store takes it: while it is away nothing is thrown away, and the engine keeps
        what is not read yet."""
        is_told = False
        while True:
            try:
                await self._assert(operation, **params)
                return
            except (AwsError, OSError) as error:
                if not is_told:
                    log.warning("container output is not delivered yet: %s", error)
                is_told = True
                await asyncio.sleep(1)


def _options(container: ContainerDefinition) -> dict[str, str]:
    """The options of awslogs; none where the engine keeps the output by itself."""
    configuration = container.get("logConfiguration")
    if configuration is None or configuration["logDriver"] != "awslogs":
        return {}
    return configuration.get("options", {})


def _stream(task_id: str, container: str, options: dict[str, str]) -> _Stream:
    """AWS's names: ``prefix/container/task-id`` with a prefix.

    Raises KeyError without ``awslogs-group``, which no registered definition lacks.
    """
    prefix = options.get("awslogs-stream-prefix")
    name = f"{prefix}/{container}/{task_id}" if prefix else f"{task_id}-{container}"
    pattern = options.get("awslogs-multiline-pattern")
    begins = re.compile(pattern) if pattern is not None else None
    return _Stream(options["awslogs-group"], name, begins)


async def _gather(lines: Lines) -> tuple[list[Line], bool]:
    """What comes within half a second of the first line, at most a thousand lines; True at the end
    of the output."""
    first = await lines.get()
    if first is None:
        return [], True
    batch = [first]
    deadline = time.monotonic() + _GATHER_S
    while len(batch) < _BATCH and (left := deadline - time.monotonic()) > 0:
        try:
            line = await asyncio.wait_for(lines.get(), left)
        except TimeoutError:
            break
        if line is None:
            return batch, True
        batch.append(line)
    return batch, False


def as_events(lines: Iterable[Line], begins: re.Pattern[str] | None) -> list[Plain]:
    """Log events (milliseconds, oldest first); with a pattern, a line that does not match goes on
    with the event before it."""
    events: list[Plain] = []
    for stamp, text in lines:
        if begins is not None and events and not begins.search(text):
            events[-1]["message"] += "\n" + text
            continue
        at = round(engine_time(stamp) * 1000)
        if events:
            at = max(at, events[-1]["timestamp"])
        events.append(
            {
                "timestamp": at,
                "message": text or " ",
            }
        )
    return events
