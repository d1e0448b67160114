"""Where a line goes that kirikae local itself routes: by the options of its container, as AWS's
plugins of Fluent Bit read them; pure.

Fluent Bit documentation, "Amazon Kinesis Data Firehose" and "Amazon CloudWatch" (their core and Go
forms take the same options).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.local.errors import StartFailed
from kirikae.local.forward.messages import Entry
from kirikae.local.logs.rows import Event

_FIREHOSE = ("firehose", "kinesis_firehose")
_LOGS = ("cloudwatch", "cloudwatch_logs")
_OF_FIREHOSE = {"region", "delivery_stream", "log_key"}
_OF_LOGS = {
    "region",
    "log_group_name",
    "log_stream_name",
    "log_stream_prefix",
    "auto_create_group",
    "log_key",
}
_IGNORED = {
    "name",
    "retry_limit",
    "auto_retry_requests",
    "log-driver-buffer-limit",
    "workers",
    "net.keepalive",
}
"""How hard it is tried: here until it is kept."""


@dataclass(frozen=True, slots=True)
class ToFirehose:
    """``key``: of the record, which alone is sent; empty: all of it, as JSON."""

    region: str
    stream: str
    key: str

    def records(self, entries: Iterable[Entry]) -> list[bytes]:
        """Each ends with a new line, as the plugins end theirs."""
        texts = (_text(entry.record, self.key) for entry in entries)
        return [text + b"\n" for text in texts if text is not None]


@dataclass(frozen=True, slots=True)
class ToLogs:
    """``stream``: its name, or (``is_prefix``) what stands before the tag."""

    region: str
    group: str
    stream: str
    is_prefix: bool
    creates: bool
    key: str

    def stream_of(self, tag: str) -> str:
        return f"{self.stream}{tag}" if self.is_prefix else self.stream

    def events(self, entries: Iterable[Entry]) -> list[Event]:
        """Oldest first, as CloudWatch Logs wants them."""
        events: list[Event] = []
        for entry in sorted(entries, key=lambda each: each.at):
            text = _text(entry.record, self.key)
            if text:
                at = round(1000 * entry.at)
                events.append({"timestamp": at, "message": text.decode("utf-8", "replace")})
        return events


@dataclass(frozen=True, slots=True)
class Nowhere:
    """``null``."""


Output = ToFirehose | ToLogs | Nowhere


def output_of(container: str, options: Mapping[str, str], home: str) -> Output:
    """``home``: the region where none is named.  Raises StartFailed for what is not carried out."""
    given = {key.lower(): value for key, value in options.items()}
    name = given.get("name", "")
    kind = name.lower()
    if kind == "null":
        return Nowhere()
    known = _OF_FIREHOSE if kind in _FIREHOSE else _OF_LOGS if kind in _LOGS else None
    if known is None:
        raise _not_routed(container, f"the output {name or 'that is not named'}")
    if unknown := sorted(given.keys() - known - _IGNORED):
        raise _not_routed(container, f"the option {unknown[0]} of {name}")
    region = given.get("region", home)
    key = given.get("log_key", "")
    if kind in _FIREHOSE:
        return ToFirehose(region, _needed(container, given, "delivery_stream"), key)
    prefix = given.get("log_stream_prefix")
    stream = prefix if prefix is not None else _needed(container, given, "log_stream_name")
    creates = given.get("auto_create_group", "").lower() in ("true", "on")
    group = _needed(container, given, "log_group_name")
    return ToLogs(region, group, stream, prefix is not None, creates, key)


def _not_routed(container: str, what: str) -> StartFailed:
    """The error (not raised yet)."""
    return StartFailed(
        f"ResourceInitializationError: {container}: kirikae local does not route to {what}; bring "
        "an image of your own router to this engine (docker pull), and it is run"
    )


def _needed(container: str, given: Mapping[str, str], name: str) -> str:
    if not given.get(name):
        raise StartFailed(
            f"ResourceInitializationError: {container}: the log option {name} is missing"
        )
    return given[name]


def _text(record: Mapping[str, Any], key: str) -> bytes | None:
    """None where the record has not what alone is sent."""
    if not key:
        return json.dumps(record, ensure_ascii=False, default=str, separators=(",", ":")).encode(
            "utf-8", "surrogateescape"
        )
    value = record.get(key)
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")
