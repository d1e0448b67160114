"""Both sides' figures in one line: a short one for a terminal, a sentence for a chat."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

from kirikae.model.said import Said, said
from kirikae.move.judge import QUANTILES
from kirikae.move.kind import Told

METRICS = ("errors", "rejected", "latency", *QUANTILES)
_MUCH = 2.0
_LN10 = log(10)
Figures = Mapping[str, float]


def told(figures: Figures) -> Told | None:
    """None where no request was counted."""
    if not figures.get("new_requests") and not figures.get("old_requests"):
        return None
    return Told(_line(figures), _sentence(figures))


def _line(figures: Figures) -> Said:
    part = figures.get("delivered")
    return said(
        "traffic.line.sides",
        new=_side(figures, "new"),
        old=_side(figures, "old"),
        delivered=None if part is None else said("traffic.line.delivered", part=part),
        harm=_harm(figures),
    )


def _harm(figures: Figures) -> Said:
    """With what the evidence is divided by, where that is much."""
    bursts = _bursts(figures)
    if not bursts:
        return said("traffic.line.harm", part=_proven(figures))
    return said(
        "traffic.line.harm_divided",
        part=_proven(figures),
        bursts=bursts,
    )


def _bursts(figures: Figures) -> list[Said]:
    """What does not come one by one: errors in bursts, times that wobble by themselves."""
    found = []
    for metric in METRICS:
        phi = figures.get(f"dispersion_{metric}", 1.0)
        if phi >= _MUCH:
            known = said(f"traffic.metric.{metric}")
            counted = metric in ("errors", "rejected")
            key = "traffic.line.bursts" if counted else "traffic.line.wobbles"
            found.append(Said(key, {"metric": known, "bursts": phi}))
    return found


def _proven(figures: Figures) -> float:
    """How much of the bar the evidence of harm has reached; below 1 to 1 odds it is none."""
    bar = figures["bar_harm"]
    return min(max(figures["log_harm"] / bar, 0.0), 1.0) if bar > 0 else 0.0


def _powers(figures: Figures) -> dict[str, float]:
    """Evidence and the bar that it must reach, as powers of ten."""
    return {
        "evidence": figures["log_harm"] / _LN10,
        "bar": figures["bar_harm"] / _LN10,
    }


def _side(figures: Figures, side: str) -> Said:
    blanks = {
        "n": figures[f"{side}_requests"],
        "errors": figures[f"{side}_errors"],
        "rate": _rate(figures.get(f"{side}_rate_per_s")),
    }
    if side == "new":
        blanks["slow"] = _slow(figures)
    return Said(f"traffic.line.{side}", blanks)


def _rate(per_s: float | None) -> Said:
    if per_s is None:
        return said("traffic.line.no_rate")
    return said("traffic.line.rate", per_s=per_s)


def _slow(figures: Figures) -> Said:
    if any(f"timed_{metric}" in figures for metric in QUANTILES):
        bounds = "/".join(_bound(figures, metric) for metric in QUANTILES)
        parts = "/".join(_part(figures, metric) for metric in QUANTILES)
        return said("traffic.line.over_old", bounds=bounds, parts=parts)
    if "timed_latency" in figures:
        return said("traffic.line.over_bound", n=figures["new_over_latency"])
    return said("traffic.line.not_slow")


def _bound(figures: Figures, metric: str) -> str:
    key = f"tau_{metric}_ms"
    return f"{figures[key]:.0f}" if key in figures else "?"


def _part(figures: Figures, metric: str) -> str:
    """The part of the new side's answers above the old side's quantile: 50%, 5%, 1% where nothing
    has changed."""
    timed = figures.get(f"timed_{metric}", 0)
    return f"{figures[f'new_over_{metric}'] / timed:.1%}" if timed else "?"


def _sentence(figures: Figures) -> Said:
    n_new = figures["new_requests"]
    return said(
        "traffic.told.counted",
        bad_new=round(figures["new_errors"]),
        n_new=round(figures["new_requests"]),
        part=figures["new_errors"] / n_new if n_new else None,
        bad_old=round(figures["old_errors"]),
        n_old=round(figures["old_requests"]),
        slower=_slower(figures),
        **_powers(figures),
    )


def _slower(figures: Figures) -> Said:
    timed = [metric for metric in QUANTILES if figures.get(f"timed_{metric}")]
    if not timed:
        return said("traffic.told.not_slower")
    parts = "/".join(_part(figures, metric) for metric in timed)
    return said("traffic.told.slower", metrics="/".join(timed), parts=parts)
