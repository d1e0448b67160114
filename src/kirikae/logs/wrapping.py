"""Lines as log routers wrap them: what the container itself said is taken out, for comparing it
with what the old side wrote.

firelens: Fluent Bit's record of a container's line, one JSON object a line, the line in ``log``
(ECS developer guide, "Send Amazon ECS logs to an AWS service or AWS Partner"); the runtime cuts
lines at 16 KiB and marks the pieces ``partial_message``.  cloudwatch: what a subscription filter
sends, JSON objects one behind the other with ``logEvents``; control messages hold no log
(CloudWatch Logs user guide, "Real-time processing of log data with subscriptions").
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from kirikae.logs.codec import Blocks, inflated
from kirikae.logs.errors import BrokenObject

Wrapped = Literal["", "firelens", "cloudwatch"]
_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


def unwrapped(chunks: Iterable[bytes], how: Wrapped) -> Iterator[bytes]:
    """Plain lines of an object.  Raises BrokenObject."""
    if how == "":
        yield from chunks
    elif how == "firelens":
        yield from _of_firelens(Blocks(inflated(chunks)))
    else:
        yield from _of_cloudwatch(b"".join(inflated(chunks)))


def _of_firelens(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of one line belong together, though others may stand between them."""
    held: dict[str, str] = {}
    for block in blocks:
        out = []
        for raw in block.split(b"\n")[:-1]:
            if not raw:
                continue  # a newline of the router's own, and one that Firehose puts behind it
            row = _object(raw)
            line = row.get("log")
            if not isinstance(line, str):
                raise BrokenObject(f"a record has no `log`: {raw[:80]!r}")
            whose = f"{row.get('container_id')} {row.get('source')} {row.get('partial_id')}"
            whole = held.pop(whose, "") + line
            if _goes_on(row):
                held[whose] = whole
            else:
                out.append(_line(whole))
        yield b"".join(out)
    # The last piece of these is in another object, or nowhere: what is there is a line.
    yield b"".join(map(_line, held.values()))


def _goes_on(row: dict[str, Any]) -> bool:
    return str(row.get("partial_message")) == "true" and str(row.get("partial_last")) != "true"


def _line(text: str) -> bytes:
    """With one newline; bytes that were no UTF-8 have been lost before."""
    return text.removesuffix("\n").encode("utf-8", "replace") + b"\n"


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BrokenObject(f"a line is no JSON: {raw[:80]!r}") from error
    if not isinstance(found, dict):
        raise BrokenObject(f"a line is no JSON object: {raw[:80]!r}")
    return found


def _of_cloudwatch(body: bytes) -> Iterator[bytes]:
    """Nothing need stand between two objects."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BrokenObject(f"it is no UTF-8 at byte {error.start}") from error
    at = 0
    while at < len(text):
        if text[at] in _SPACE:
            at += 1
            continue
        try:
            found, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise BrokenObject(f"at character {at} no JSON object begins") from error
        yield b"".join(_events(found))


def _events(found: Any) -> Iterator[bytes]:
    if not isinstance(found, dict) or "messageType" not in found:
        raise BrokenObject("a JSON object in it is none that a subscription filter sends")
    if found["messageType"] != "CONTROL_MESSAGE":
        for event in found.get("logEvents", ()):
            yield _line(str(event["message"]))
