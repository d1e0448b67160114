"""Limits as expressions: ``p99<300ms``, ``errors<0.1%``, ``lost==0``, ``p95[GET /cart]<1s``.

Of a fault also ``lost@during<50`` (one window of before, during and after) and ``recovery<10s``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from kirikae.drill.errors import SloProblem
from kirikae.model.texts import shortened

_EXPRESSION = re.compile(
    r"\s*(?P<figure>p[0-9]+(?:\.[0-9]+)?|mean|max|errors|lost|wrong|slow|not_sent|rate|"
    r"recovery|detection|whole)"
    r"(?:\[(?P<route>[^\]]+)\])?(?:@(?P<window>before|during|after))?\s*"
    r"(?P<is><=|>=|==|<|>)\s*"
    r"(?P<value>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>us|ms|s|%|/s|)\s*"
)
_IS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_TIMES = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
}
COUNTS = ("errors", "lost", "wrong", "slow", "not_sent")
OF_FAULTS = ("recovery", "detection", "whole")
"""Times from the fault on: until the last bad request, until a target was taken out, until all
tasks and targets are there again."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``figure`` of one route, or of all (``route`` empty).  ``share``: of a count, whether the
    value is a share of the requests.  ``value`` in seconds, as a share, a number, or a rate.
    ``window``: of a fault; empty: each of the three."""

    text: str
    figure: str
    route: str
    sign: str
    value: float
    share: bool = False
    window: str = ""

    @property
    def of_fault(self) -> bool:
        """Does it say something only where there is a fault?"""
        return bool(self.window) or self.figure in OF_FAULTS

    def holds(self, found: float) -> bool:
        """Is it so?"""
        return _IS[self.sign](found, self.value)


def read(text: str, fault: bool = False) -> Limit:
    """``fault``: may it be a limit of a fault?  Raises SloProblem."""
    found = _read(text)
    if found.of_fault and not fault:
        raise SloProblem(
            f"{shortened(text)}: windows and recovery are those of a fault (`kirikae drill fault`)"
        )
    return found


def _read(text: str) -> Limit:
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise SloProblem(
            f"{shortened(text)} is no limit; write for example p99<300ms, errors<0.1%, lost==0, "
            "rate>=100/s, or for one route p95[GET /cart]<1s"
        )
    figure = match["figure"]
    value = float(match["value"])
    unit = match["unit"]
    problem = _unit_problem(
        figure,
        unit,
        value,
    )
    if problem:
        raise SloProblem(f"{shortened(text)}: {problem}")
    return Limit(
        text=text.strip(),
        figure=figure,
        route=match["route"] or "",
        sign=match["is"],
        value=value * _TIMES.get(unit, 0.01 if unit == "%" else 1.0),
        share=unit == "%",
        window=match["window"] or "",
    )


def _unit_problem(
    figure: str,
    unit: str,
    value: float,
) -> str:
    """What does not fit; empty: nothing."""
    if figure in COUNTS:
        return "" if unit in ("", "%") else f"{figure} is counted, or a share in %"
    if figure == "rate":
        return "" if unit == "/s" else "a rate is told in /s"
    if figure.startswith("p") and not 0 < float(figure[1:]) < 100:
        return f"{figure} is no percentile"
    return "" if unit in _TIMES else f"{figure} is a time; write its unit (us, ms, s)"
