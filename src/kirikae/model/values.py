"""How values are written in the project file: shares and parts with a per cent sign, times with a
unit."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from kirikae.model.share import share_from
from kirikae.model.texts import shortened

_DURATION = re.compile(r"([0-9]{1,9})\s*(s|m|h|d)")
_LONGEST_S = 3660 * 86400
_MILLISECONDS = re.compile(r"([0-9]{1,9})\s*ms")
_PART = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,4})?)\s*%")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_from(text: object) -> float:
    """Read ``"30s"``, ``"10m"``, ``"2h"``, ``"1d"`` as seconds.  Raises ValueError."""
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    seconds = int(match[1]) * _SECONDS[match[2]] if match else None
    if seconds is None or seconds > _LONGEST_S:
        most = "" if seconds is None else ", ten years at most"
        raise ValueError(
            f'{shortened(text)} is not a duration; write for example "30s", "10m" or "2h"{most}'
        )
    return float(seconds)


def milliseconds_from(text: object) -> float:
    """Read ``"150ms"`` or ``"2s"`` as milliseconds.  Raises ValueError."""
    if isinstance(text, str) and (match := _MILLISECONDS.fullmatch(text.strip())):
        return float(match[1])
    try:
        return seconds_from(text) * 1000
    except ValueError as error:
        raise ValueError(
            f'{shortened(text)} is not a time; write for example "150ms" or "2s"'
        ) from error


def part_from(text: object) -> float:
    """Read a per cent string of up to four decimals as a part of one: ``"0.05%"`` -> 0.0005.
    Raises ValueError."""
    match = _PART.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{shortened(text)} is not a part; write it as a string with a per cent sign, such as "
            '"0.05%"',
        )
    return float(match[1]) / 100


def shown(default: object) -> dict[str, Any]:
    """How a default is written in the file (the schema's own type), not how it is kept."""
    return {"default": default}


def _text_schema(pattern: str, example: str) -> WithJsonSchema:
    """A value is a text in the file, whatever it is kept as."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Share = Annotated[int, BeforeValidator(share_from), _text_schema(r"^[0-9]{1,3}(\.[0-9])?%$", "10%")]
Seconds = Annotated[
    float, BeforeValidator(seconds_from), _text_schema(r"^[0-9]{1,9}\s*[smhd]$", "10m")
]
Milliseconds = Annotated[
    float,
    BeforeValidator(milliseconds_from),
    _text_schema(r"^[0-9]{1,9}\s*(ms|s|m|h|d)$", "150ms"),
]
Part = Annotated[
    float,
    BeforeValidator(part_from),
    _text_schema(r"^[0-9]{1,4}(\.[0-9]{1,4})?\s*%$", "0.05%"),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]

Given = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""


class Strict(BaseModel):
    """A section of the project file: unknown keys are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
