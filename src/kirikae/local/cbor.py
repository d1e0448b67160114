"""CBOR (RFC 8949), as much of it as AWS's clients send and read: Smithy's rpc-v2-cbor."""

from __future__ import annotations

import io
import struct
from datetime import datetime
from typing import Any

_DEEPEST = 64
_FALSE = 20
_TRUE = 21
_NULL = 22
_UNDEFINED = 23
_HALF = 25
_SINGLE = 26
_DOUBLE = 27
_BREAK = 31
_EPOCH = 1
"""The tag of a number of seconds since 1970."""
_BIG = (2, 3)
"""Tags of numbers that are written as bytes, positive and negative."""


def decoded(body: bytes) -> Any:
    """Raises ValueError for what is no CBOR, or more than one item of it."""
    reader = _Reader(body)
    try:
        item = reader.item(0)
    except (struct.error, IndexError, OverflowError, TypeError) as error:
        raise ValueError(f"it ends too early, or holds what CBOR has not: {error}") from error
    if reader.rest():
        raise ValueError("something stands behind its end")
    return item


_END = object()
"""Stands where something ends whose length was not said."""


class _Reader:
    """Reads one item after the other."""

    def __init__(self, body: bytes) -> None:
        """Nothing is read yet."""
        self._in = io.BytesIO(body)

    def rest(self) -> bytes:
        """What was not read."""
        return self._in.read()

    def _bytes(self, count: int) -> bytes:
        """Raises ValueError where there are fewer."""
        found = self._in.read(count)
        if len(found) < count:
            raise ValueError("it ends too early")
        return found

    def _count(self, info: int) -> int | None:
        """The number that follows a head; None: until a break comes."""
        if info < 24:
            return info
        if info == _BREAK:
            return None
        return int.from_bytes(self._bytes(1 << (info - 24)), "big")

    def item(self, depth: int) -> Any:
        """The next item, with all that is in it."""
        found = self._next(depth)
        if found is _END:
            raise ValueError("a break where none may be")
        return found

    def _next(self, depth: int) -> Any:
        """The next item, or the end."""
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        head = self._bytes(1)[0]
        major = head >> 5
        info = head & 31
        if 27 < info < _BREAK:
            raise ValueError(f"a head of {head}")
        if major == 7:
            return self._simple(info)
        count = self._count(info)
        if major in (0, 1):
            number = _known(count)
            return number if major == 0 else -1 - number
        if major == 6:
            return self._tagged(_known(count), depth)
        return self._several(major, count, depth)

    def _several(self, major: int, count: int | None, depth: int) -> Any:
        """Bytes, text, a list or a map."""
        if major in (2, 3):
            found = self._bytes(count) if count is not None else self._parts(depth)
            return found if major == 2 else found.decode()
        if major == 4:
            return self._items(count, depth)
        pairs = self._items(count if count is None else 2 * count, depth)
        return dict(zip(pairs[::2], pairs[1::2], strict=True))

    def _parts(self, depth: int) -> bytes:
        """Text or bytes in parts, until a break."""
        parts = self._items(None, depth)
        return b"".join(part.encode() if isinstance(part, str) else part for part in parts)

    def _items(self, count: int | None, depth: int) -> list[Any]:
        """So many items, or all until a break."""
        if count is not None:
            return [self.item(depth + 1) for _ in range(count)]
        found: list[Any] = []
        while (item := self._next(depth + 1)) is not _END:
            found.append(item)
        return found

    def _tagged(self, tag: int, depth: int) -> Any:
        """A large number; what other tags say of an item is dropped: whoever asked for it knows its
        shape."""
        item = self.item(depth + 1)
        if tag in _BIG:
            number = int.from_bytes(item, "big")
            return number if tag == _BIG[0] else -1 - number
        return item

    def _simple(self, info: int) -> Any:
        """True, false, nothing, and fractions."""
        formats = {_HALF: ">e", _SINGLE: ">f", _DOUBLE: ">d"}
        if info in formats:
            return struct.unpack(formats[info], self._bytes(struct.calcsize(formats[info])))[0]
        if info == _BREAK:
            return _END
        known = {_FALSE: False, _TRUE: True, _NULL: None, _UNDEFINED: None}
        if info not in known:
            raise ValueError(f"a simple value of {info}")
        return known[info]


def _known(count: int | None) -> int:
    """Raises ValueError where a number must be, and none is."""
    if count is None:
        raise ValueError("a number without an end")
    return count


def encoded(shape: Any, value: Any) -> bytes:
    """The value as this shape of botocore's model; members that the shape has not are left out,
    and so is what is not known."""
    if value is None:
        return bytes([0xE0 | _NULL])
    match shape.type_name if shape is not None else _plain_type(value):
        case "structure":
            known = [
                (name, shape.members[name], part)
                for name, part in value.items()
                if name in shape.members and part is not None
            ]
            body = b"".join(_text(name) + encoded(member, part) for name, member, part in known)
            return _head(5, len(known)) + body
        case "list":
            return _head(4, len(value)) + b"".join(encoded(shape.member, part) for part in value)
        case "map":
            parts = [_text(key) + encoded(shape.value, part) for key, part in value.items()]
            return _head(5, len(parts)) + b"".join(parts)
        case "timestamp":
            return _head(6, _EPOCH) + _double(_seconds(value))
        case _:
            return _scalar(shape, value)


def error_of(code: str, message: str) -> bytes:
    """An error, as rpc-v2-cbor writes it."""
    pairs = {"__type": code, "message": message}
    return _head(5, 2) + b"".join(_text(key) + _text(text) for key, text in pairs.items())


def _plain_type(value: Any) -> str:
    """Of a value without a shape."""
    return "string" if isinstance(value, str) else "double"


def _scalar(shape: Any, value: Any) -> bytes:
    """A number, a text, bytes or a truth."""
    if isinstance(value, bool):
        return bytes([0xE0 | (_TRUE if value else _FALSE)])
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _text(value)
    if shape is not None and shape.type_name in ("integer", "long"):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    return _double(float(value))


def _seconds(value: Any) -> float:
    """A stamp as Unix seconds."""
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _text(text: str) -> bytes:
    """As UTF-8 with its length."""
    body = text.encode()
    return _head(3, len(body)) + body


def _double(number: float) -> bytes:
    """Always in eight bytes: every reader takes that."""
    return bytes([0xE0 | _DOUBLE]) + struct.pack(">d", number)


def _head(major: int, number: int) -> bytes:
    """Of an item, in as few bytes as can be."""
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError(f"{number} is too large for CBOR")
