"""Answers in pages."""

from __future__ import annotations

from collections.abc import Sequence

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain

_LARGEST = 100


def page(
    key: str,
    items: Sequence[object],
    params: Plain,
    default: int,
) -> Plain:
    """One page; the token is the number of items already given.  Raises AwsError for a size or
    token that is none."""
    size = params.get("maxResults") or default
    if not 1 <= size <= _LARGEST:
        raise AwsError("InvalidParameterException", f"maxResults must be between 1 and {_LARGEST}.")
    token = params.get("nextToken") or "0"
    if not token.isdigit():
        raise AwsError("InvalidParameterException", "Invalid token.")
    end = int(token) + size
    answer: Plain = {key: items[int(token) : end]}
    if end < len(items):
        answer["nextToken"] = str(end)
    return answer
