"""What a second `build write` changes in a file, as a person reads it."""

from __future__ import annotations

import difflib

_LINES_AT_MOST = 40


def difference(
    path: str,
    before: bytes,
    after: str,
) -> list[str]:
    """A unified diff, cut off where it is long; of what is no text, nothing."""
    try:
        text = before.decode()
    except UnicodeDecodeError:
        return [f"  {path} holds no text"]
    rows = difflib.unified_diff(
        text.splitlines(),
        after.splitlines(),
        f"{path} (there)",
        f"{path} (planned)",
        lineterm="",
    )
    lines = [f"  {row}" for row in rows]
    if len(lines) > _LINES_AT_MOST:
        more = len(lines) - _LINES_AT_MOST
        return [*lines[:_LINES_AT_MOST], f"  ... and {more} more lines"]
    return lines
