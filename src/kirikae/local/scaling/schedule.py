"""When a scheduled action is due.  Pure."""

from __future__ import annotations

from kirikae.local.scaling.forms import expression_of, zone_of
from kirikae.local.scaling.rows import Planned
from kirikae.model.crontab.aws import dues

_MINUTE_S = 60


def is_due(planned: Planned, minute: int) -> bool:
    """In this minute (since 1970)?  A rate counts from its start, or from when it was made."""
    first = planned["start"] if planned["start"] is not None else planned["created"]
    phase = int(first // _MINUTE_S)
    if minute < phase or _is_over(planned, minute):
        return False
    expression = expression_of(planned["schedule"])
    return bool(
        list(
            dues(
                expression,
                zone_of(planned["zone"]),
                minute,
                minute + 1,
                phase,
            )
        )
    )


def _is_over(planned: Planned, minute: int) -> bool:
    return planned["end"] is not None and minute * _MINUTE_S > planned["end"]
