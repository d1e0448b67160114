"""Messages of the Forward protocol; pure.

Fluentd, "Forward Protocol Specification v1": four modes, told apart by the second element; a time
is a number of seconds or an EventTime (ext type 0); whoever gives a ``chunk`` waits for it as an
acknowledgement.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from kirikae.local.errors import ForwardError

_EVENT_TIME = 0
_EVENT_TIME_BYTES = 8
_NANO = 1e9
LARGEST = 64 << 20
"""Bytes of one message."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``at``: Unix seconds."""

    at: float
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """``chunk``: to be acknowledged; None where nobody waits for it."""

    tag: str
    entries: tuple[Entry, ...]
    chunk: str | None


def unpacker() -> msgpack.Unpacker:
    """Of a connection.  What is no UTF-8 comes through, and goes out as the same bytes."""
    return msgpack.Unpacker(
        raw=False,
        unicode_errors="surrogateescape",
        strict_map_key=False,
        ext_hook=_ext,
        max_buffer_size=LARGEST,
    )


def _ext(code: int, data: bytes) -> Any:
    if code == _EVENT_TIME and len(data) == _EVENT_TIME_BYTES:
        seconds, nano = struct.unpack(">II", data)
        return seconds + nano / _NANO
    return msgpack.ExtType(code, data)


def message_of(value: Any) -> Message | None:
    """None for a heartbeat.  Raises ForwardError."""
    match value:
        case None:
            return None
        case [str() as tag, list() as events, *more]:
            entries = tuple(_entry(each) for each in events)
        case [str() as tag, bytes() | str() as packed, *more]:
            entries = tuple(_packed(packed, _options(more)))
        case [str() as tag, at, record, *more]:
            entries = (_entry([at, record]),)
        case _:
            raise ForwardError("a message is an array of a tag, events and options")
    chunk = _options(more).get("chunk")
    return Message(tag, entries, chunk if isinstance(chunk, str) else None)


def _options(more: list[Any]) -> Mapping[str, Any]:
    """What follows the events."""
    given = more[0] if more else None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ForwardError("the options are a map")
    return given


def _packed(given: bytes | str, options: Mapping[str, Any]) -> Iterator[Entry]:
    """Entries one after the other, packed or not; gzip may have several members."""
    # Older clients send them as text (raw of the former msgpack).
    data = given if isinstance(given, bytes) else given.encode("utf-8", "surrogateescape")
    how = options.get("compressed")
    if how == "gzip":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ForwardError(f"the entries are no gzip: {error}") from error
    elif how not in (None, "text"):
        raise ForwardError(f"entries packed by {how} are not read here")
    reader = unpacker()
    reader.feed(data)
    try:
        yield from map(_entry, reader)
    except (ValueError, msgpack.UnpackException) as error:
        raise ForwardError(f"the entries cannot be read: {error}") from error
    if reader.tell() != len(data):
        raise ForwardError("the entries end within one")


def _entry(value: Any) -> Entry:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], dict):
        raise ForwardError("an event is a time and a record")
    at = value[0]
    if isinstance(at, list) and at:
        at = at[0]  # Fluent Bit 2 on: the time stands with metadata
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise ForwardError(f"{at!r} is no time")
    return Entry(float(at), value[1])


def acknowledgement(chunk: str) -> bytes:
    """What a client that gave a chunk waits for."""
    answer: bytes = msgpack.packb({"ack": chunk})
    return answer
