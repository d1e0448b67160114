"""Answers in pages."""

from __future__ import annotations

from typing import Any

from kirikae.local.errors import AwsError
from kirikae.local.state import Row


def page(key: str, items: list[Any], params: Row, default: int, most: int = 100) -> Row:
    """One page; the token is the number of items already given.  Raises AwsError for a size or
    token that is none."""
    size = params.get("maxResults") or default
    if not 1 <= size <= most:
        raise AwsError("InvalidParameterException", f"maxResults must be between 1 and {most}.")
    token = params.get("nextToken") or "0"
    if not token.isdigit():
        raise AwsError("InvalidParameterException", "Invalid token.")
    begin = int(token)
    more = {"nextToken": str(begin + size)} if begin + size < len(items) else {}
    return {key: items[begin : begin + size], **more}
