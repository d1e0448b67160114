"""Answers in pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain

_LARGEST = 100
TOKEN = re.compile(r"[0-9]{1,9}")
"""Not ``isdigit``, which takes digits of every script."""


def page(
    key: str,
    items: Sequence[object],
    params: Plain,
    default: int,
) -> Plain:
    """One page; the token is the number of items already given.  Raises AwsError for a size or
    token that is none."""
    size = params.get("maxResults", default)
    if not 1 <= size <= _LARGEST:
        raise AwsError("InvalidParameterException", f"maxResults must be between 1 and {_LARGEST}.")
    token = params.get("nextToken") or "0"
    if not TOKEN.fullmatch(token):
        raise AwsError("InvalidParameterException", "Invalid token.")
    end = int(token) + size
    answer: Plain = {key: items[int(token) : end]}
    if end < len(items):
        answer["nextToken"] = str(end)
    return answer
