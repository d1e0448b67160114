"""Smithy's rpc-v2-cbor as AWS's clients send and read it: values of botocore's shapes as CBOR (RFC
8949)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import cbor2

_EPOCH = 1
"""The tag of a number of seconds since 1970."""


def decoded(body: bytes) -> Any:
    """Raises ValueError for what is no CBOR, or more than one item of it."""
    rest = io.BytesIO(body)
    try:
        item = cbor2.load(rest)
    except (cbor2.CBORDecodeError, RecursionError) as error:
        raise ValueError(f"it is no CBOR: {error}") from error
    if rest.read(1):
        raise ValueError("something stands behind its end")
    return item


def encoded(shape: Any, value: Any) -> bytes:
    """The value as this shape of botocore's model; members that the shape has not are left out,
    and so is what is not known."""
    return cbor2.dumps(_plain(shape, value))


def error_of(code: str, message: str) -> bytes:
    """An error, as rpc-v2-cbor writes it."""
    return cbor2.dumps({"__type": code, "message": message})


def _plain(shape: Any, value: Any) -> Any:
    """What CBOR has a form for."""
    if value is None or shape is None:
        return value
    match shape.type_name:
        case "structure":
            return _structure(shape.members, value)
        case "list":
            return [_plain(shape.member, part) for part in value]
        case "map":
            return {key: _plain(shape.value, part) for key, part in value.items()}
        case "timestamp":
            seconds = value.timestamp() if isinstance(value, datetime) else float(value)
            return cbor2.CBORTag(_EPOCH, seconds)
        case "double" | "float":
            return float(value)
        case _:
            return value


def _structure(members: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(members[name], part)
        for name, part in value.items()
        if name in members and part is not None
    }
