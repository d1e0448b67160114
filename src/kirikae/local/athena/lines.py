"""Rows out of the bytes of an object, by the Regex SerDe; pure.

Athena user guide, "Regex SerDe": a line that does not match is a row of NULLs.  Hadoop's reader of
lines ends one at LF, CR and CRLF; text is taken as compressed by the end of the object's name, in
lower case only.
"""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from collections.abc import Sequence

from kirikae.local.errors import QueryFailed

_END = re.compile(rb"\r\n|\n|\r")
Row = Sequence[str | None]


def pattern_of(regex: str, columns: int) -> re.Pattern[str]:
    """Java's and Python's patterns are alike for what logs need.  Raises QueryFailed."""
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise QueryFailed(f"input.regex cannot be read here: {error}") from error
    if pattern.groups != columns:
        raise QueryFailed(
            "HIVE_CURSOR_ERROR: Number of matching groups doesn't match the number of columns"
        )
    return pattern


def inflated(key: str, data: bytes) -> bytes:
    """Raises QueryFailed for an object that does not hold what its name says."""
    try:
        if key.endswith(".gz"):
            return gzip.decompress(data)
        if key.endswith(".bz2"):
            return bz2.decompress(data)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise QueryFailed(f"HIVE_CURSOR_ERROR: Failed to read file: {key}: {error}") from error
    if key.endswith((".zst", ".snappy", ".lz4")):
        raise QueryFailed(f"kirikae local does not read {key.rpartition('.')[2]}: {key}")
    return data


def lines_of(data: bytes) -> list[bytes]:
    """The last one may have no end."""
    found = _END.split(data)
    if found and not found[-1]:
        found.pop()
    return found


def columns_of(data: bytes, pattern: re.Pattern[str], skipped: int) -> list[list[str | None]]:
    """Column by column.  NUL becomes U+FFFD (ours), and so does what is no UTF-8."""
    columns: list[list[str | None]] = [[] for _ in range(pattern.groups)]
    for line in lines_of(data)[skipped:]:
        text = line.decode("utf-8", "replace").replace("\0", "\ufffd")
        match = pattern.fullmatch(text)
        groups = match.groups() if match is not None else (None,) * len(columns)
        for column, value in zip(columns, groups, strict=True):
            column.append(value)
    return columns
