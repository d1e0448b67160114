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
from collections.abc import Iterable

from kirikae.local.ecs.containers import engine_time
from kirikae.local.engine import Engine
from kirikae.local.errors import AwsError, EngineError, StartFailed
from kirikae.local.state import Row, State
from kirikae.local.stores import Stores

log = logging.getLogger("kirikae.local.logs")

_BATCH = 1000
_GATHER_S = 0.5
_FINISH_S = 10


class Logs:
    def __init__(self, state: State, engine: Engine, stores: Stores) -> None:
        self._state = state
        self._engine = engine
        self._stores = stores
        self._followers: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        for follower in self._followers.values():
            follower.cancel()

    async def prepare(self, definition: Row) -> None:
        """Groups must be there before a task starts, or are made where the definition says so.
        Raises StartFailed."""
        for container in definition["containerDefinitions"]:
            options = container.get("logConfiguration", {}).get("options")
            if not options:
                continue
            group = options["awslogs-group"]
            try:
                if options.get("awslogs-create-group") == "true":
                    await self._assert("CreateLogGroup", logGroupName=group)
                else:
                    found = await self._call("DescribeLogGroups", logGroupNamePrefix=group)
                    if group not in {g["logGroupName"] for g in found["logGroups"]}:
                        raise AwsError(
                            "ResourceNotFoundException",
                            f"The specified log group does not exist: {group}",
                        )
            except AwsError as error:
                raise StartFailed(
                    f"ResourceInitializationError: failed to validate logger args: {error}"
                ) from error

    def follow(self, task: Row, container: Row, engine_name: str) -> None:
        """Deliver this container's output until it ends; what is followed already stays so."""
        options = container.get("logConfiguration", {}).get("options")
        running = self._followers.get(engine_name)
        if options and (running is None or running.done()):
            prefix = options.get("awslogs-stream-prefix")
            stream = (
                f"{prefix}/{container['name']}/{task['id']}"
                if prefix
                else f"{task['id']}-{container['name']}"
            )
            self._followers[engine_name] = asyncio.create_task(
                self._deliver(engine_name, options, stream)
            )

    async def finish(self, engine_names: Iterable[str]) -> None:
        """Wait until the output of these ended containers is delivered."""
        waiting = [f for name in engine_names if (f := self._followers.pop(name, None)) is not None]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_FINISH_S)
            for follower in late:
                log.warning(
                    "output of a container was not delivered within %s s of its end", _FINISH_S
                )
                follower.cancel()
        for name in engine_names:
            self._state.drop("delivered", name)

    async def _deliver(self, engine_name: str, options: Row, stream: str) -> None:
        group = options["awslogs-group"]
        begins = re.compile(options.get("awslogs-multiline-pattern", ""))
        lines: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue(maxsize=10 * _BATCH)
        reading = asyncio.create_task(self._read(engine_name, lines))
        try:
            await self._keep_trying("CreateLogStream", logGroupName=group, logStreamName=stream)
            over = False
            while not over:
                batch, over = await _gather(lines)
                if not batch:
                    continue
                events = as_events(
                    batch, begins if "awslogs-multiline-pattern" in options else None
                )
                await self._keep_trying(
                    "PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=events
                )
                self._state.put("delivered", engine_name, {"stamp": batch[-1][0]})
        finally:
            reading.cancel()

    async def _read(self, engine_name: str, lines: asyncio.Queue[tuple[str, str] | None]) -> None:
        last = (self._state.get("delivered", engine_name) or {}).get("stamp", "")
        try:
            async for stamp, text in self._engine.output(
                engine_name, engine_time(last) if last else 0
            ):
                if stamp > last:
                    await lines.put((stamp, text.decode(errors="replace")))
        except EngineError as error:
            log.warning("%s", error)
        await lines.put(None)

    async def _call(self, operation: str, **params: object) -> Row:
        return await self._stores.call("logs", f"Logs_20140328.{operation}", params)

    async def _assert(self, operation: str, **params: object) -> None:
        try:
            await self._call(operation, **params)
        except AwsError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    async def _keep_trying(self, operation: str, **params: object) -> None:
        """Until the store takes it: while it is away nothing is thrown away, and the engine keeps
        what is not read yet."""
        told = False
        while True:
            try:
                await self._assert(operation, **params)
                return
            except (AwsError, OSError) as error:
                if not told:
                    log.warning("container output is not delivered yet: %s", error)
                told = True
                await asyncio.sleep(1)


async def _gather(
    lines: asyncio.Queue[tuple[str, str] | None],
) -> tuple[list[tuple[str, str]], bool]:
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


def as_events(lines: Iterable[tuple[str, str]], begins: re.Pattern[str] | None) -> list[Row]:
    """Log events (milliseconds, oldest first); with a pattern, a line that does not match goes on
    with the event before it."""
    events: list[Row] = []
    for stamp, text in lines:
        at = round(engine_time(stamp) * 1000)
        if begins is not None and events and not begins.search(text):
            events[-1]["message"] += "\n" + text
        else:
            events.append(
                {
                    "timestamp": max(at, events[-1]["timestamp"]) if events else at,
                    "message": text or " ",
                }
            )
    return events
