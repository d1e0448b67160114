"""Durations as Go writes them: ``10m0s``, ``1h30m``, ``1.5h``."""

from __future__ import annotations

import re

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "m": 60,
    "h": 3600,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
LONG_S = 30 * 86400.0
"""A bare number above this was probably meant in nanoseconds, as ecspresso 2 reads it."""


def seconds(value: object) -> float:
    """A bare number is seconds, as ecspresso 3 reads it.  Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no duration, such as 10m")
    if not isinstance(value, str):
        return float(value)
    parts = _PART.findall(value)
    if value in ("0", "+0", "-0"):
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != value.lstrip("+"):
        raise ValueError(f"{value!r} is no duration, such as 10m or 1h30m")
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))
