"""A share is the part of a move on its new side, in permille, so that 0.1% is the integer 1."""

from __future__ import annotations

import re

from kirikae.model.texts import shortened

WHOLE = 1000
"""All of a move, in permille."""

_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]))?%")


def share_from(text: object) -> int:
    """Read ``"0.1%"`` .. ``"100%"`` as permille (1 .. 1000).

    Raises ValueError for a bare number (is 1 one per cent or all of it?), more than one decimal, or
    more than 100%."""
    if not isinstance(text, str):
        raise ValueError(
            f'write a share as a string with a per cent sign, such as "10%", not {shortened(text)}',
        )
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f'{shortened(text)} is not a share; write for example "0.1%", "10%" or "100%" (one '
            "decimal at most)",
        )
    share = int(match[1]) * 10 + int(match[2] or 0)
    if share > WHOLE:
        raise ValueError(f"{shortened(text)} is more than the whole")
    return share


def percent(share: int) -> str:
    """Write permille for people: 1 -> ``0.1%``, 500 -> ``50%``."""
    whole, tenth = divmod(share, 10)
    return f"{whole}.{tenth}%" if tenth else f"{whole}%"
