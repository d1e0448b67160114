"""What processors make of records, and the bytes of an object; pure.

Amazon Data Firehose developer guide, "Message extraction after decompression of CloudWatch Logs",
"Append a new line delimiter" and "Data delivery failure handling"; CloudWatch Logs user guide,
"Subscription filters" (the form of its payload).
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kirikae.local.errors import ProcessingError
from kirikae.local.firehose.forms import PROCESSORS, processors_of
from kirikae.local.firehose.streams import Record
from kirikae.local.plain import Plain

_FIXED = (1980, 1, 1, 0, 0, 0)
"""The time of a file in a ZIP: the same records make the same bytes."""
Parameters = Mapping[str, str]


@dataclass
class Processed:
    """``errors``: lines for the error output."""

    data: list[bytes] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)


def processed(records: list[Record], destination: Plain) -> Processed:
    """Every record is either in the one or in the other; a control message is in neither."""
    found = Processed()
    chosen = processors_of(destination)
    steps = [(_STEPS[name], chosen[name]) for name in PROCESSORS if name in chosen]
    for record in records:
        try:
            data = record.data
            for step, parameters in steps:
                data = step(data, parameters)
            found.data.append(data)
        except ProcessingError as error:
            found.errors.append(_told(record, error))
    return found


def packed(body: bytes, compression: str, name: str) -> bytes:
    """The bytes of an object; the same ones for the same body.  ``name``: of the file in a ZIP."""
    if compression == "GZIP":
        return gzip.compress(body, 6, mtime=0)
    if compression == "ZIP":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(zipfile.ZipInfo(name, _FIXED), body, zipfile.ZIP_DEFLATED)
        return out.getvalue()
    return body


def _told(record: Record, error: ProcessingError) -> bytes:
    """A line of the error output, as the guide shows it."""
    at = round(record.arrived * 1000)
    line = {
        "attemptsMade": 1,
        "arrivalTimestamp": at,
        "errorCode": error.code,
        "errorMessage": str(error),
        "attemptEndingTimestamp": at,
        "rawData": base64.b64encode(record.data).decode(),
    }
    return json.dumps(line).encode() + b"\n"


def _unpacked(data: bytes, _: Parameters) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ProcessingError("Decompression.Failed", f"the data is no gzip: {error}") from error


def _messages(data: bytes, _: Parameters) -> bytes:
    """Each message ends with a new line (ours: the guide says that there is one between them)."""
    try:
        payload = json.loads(data)
        if payload["messageType"] == "CONTROL_MESSAGE":
            return b""
        return b"".join(f"{each['message']}\n".encode() for each in payload["logEvents"])
    except (ValueError, KeyError, TypeError) as error:
        why = f"no payload of CloudWatch Logs: {type(error).__name__}: {error}"
        raise ProcessingError("CloudWatchLogProcessing.Failed", why) from error


def _delimited(data: bytes, parameters: Parameters) -> bytes:
    """Nothing is added to nothing: a control message leaves no empty line."""
    delimiter = parameters.get("Delimiter", "\\n").encode().decode("unicode_escape").encode()
    return data + delimiter if data and not data.endswith(delimiter) else data


_STEPS: Mapping[str, Callable[[bytes, Parameters], bytes]] = {
    "Decompression": _unpacked,
    "CloudWatchLogProcessing": _messages,
    "AppendDelimiterToRecord": _delimited,
}
