"""Lines that arrive by the Forward protocol, on to where their container says; those of nobody's
into a log group of kirikae local's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from kirikae.local.account import ACCOUNT
from kirikae.local.ecs.names import short
from kirikae.local.errors import StartFailed
from kirikae.local.forward.firelens import TaskFacts, configuration_of, options_of, router_of
from kirikae.local.forward.messages import Entry, Message
from kirikae.local.forward.outputs import Nowhere, ToFirehose, ToLogs, output_of
from kirikae.local.plain import Plain
from kirikae.local.rows import Definition, Task
from kirikae.local.state import State

OWN_GROUP = "kirikae-local/forward"
"""Streams are the tags."""
_BETWEEN = "-firelens-"
_MOST = 1000


class Lines(Protocol):
    """CloudWatch Logs of a region."""

    async def put_events(self, params: Plain) -> Plain:
        """Raises AwsError."""
        ...

    async def assert_stream(self, group: str, stream: str, creates: bool) -> None:
        """Raises AwsError where the group is not there and may not be made."""
        ...


Receive = Callable[[str, list[bytes]], None]
"""The ARN of a stream, and records for it.  Raises AwsError."""


class Routing:
    """``keep`` is the receiver's."""

    def __init__(
        self,
        state: State,
        home: str,
        lines: Callable[[str], Lines],
        receive: Receive,
    ) -> None:
        """``lines``: those of a region; ``receive``: Firehose."""
        self._state = state
        self._home = home
        self._lines = lines
        self._receive = receive

    async def keep(self, message: Message) -> None:
        """Raises AwsError, OSError where it cannot be kept now."""
        name, found, task_id = message.tag.rpartition(_BETWEEN)
        task = self._state.tasks.get(task_id) if found else None
        if task is None:
            await self._to_own(message)
            return
        definition = self._state.definitions[task["taskDefinitionArn"]]
        container = next(
            (each for each in definition["containerDefinitions"] if each["name"] == name), None
        )
        options = options_of(container) if container is not None else {}
        try:
            output = output_of(name, options, self._home)
        except StartFailed:
            # It was refused when the task began; what it says all the same is not lost.
            await self._to_own(message)
            return
        entries = _told(message.entries, task, definition)
        match output:
            case ToFirehose():
                self._send(output, entries)
            case ToLogs():
                await self._put(output, message.tag, entries)
            case Nowhere():
                pass

    async def _to_own(self, message: Message) -> None:
        own = ToLogs(self._home, OWN_GROUP, "", True, True, "")
        await self._put(own, message.tag, message.entries)

    def _send(self, output: ToFirehose, entries: Sequence[Entry]) -> None:
        if records := output.records(entries):
            stream = f"arn:aws:firehose:{output.region}:{ACCOUNT}:deliverystream/{output.stream}"
            self._receive(stream, records)

    async def _put(self, output: ToLogs, tag: str, entries: Sequence[Entry]) -> None:
        lines = self._lines(output.region)
        stream = output.stream_of(tag)
        await lines.assert_stream(output.group, stream, output.creates)
        events = output.events(entries)
        for begin in range(0, len(events), _MOST):
            batch: Plain = {
                "logGroupName": output.group,
                "logStreamName": stream,
                "logEvents": events[begin : begin + _MOST],
            }
            await lines.put_events(batch)


def _told(entries: Sequence[Entry], task: Task, definition: Definition) -> list[Entry]:
    """With the task's metadata, as the router adds it unless it is told not to."""
    router = router_of(definition["containerDefinitions"])
    options = configuration_of(router).get("options", {}) if router is not None else {}
    if options.get("enable-ecs-log-metadata", "true") != "true":
        return list(entries)
    told = facts_of(task, definition).to_plain()
    return [replace(entry, record={**entry.record, **told}) for entry in entries]


def facts_of(task: Task, definition: Definition) -> TaskFacts:
    """Of a task."""
    name = f"{definition['family']}:{definition['revision']}"
    return TaskFacts(short(task["clusterArn"]), task["taskArn"], name)
