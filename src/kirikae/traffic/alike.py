"""The judge on the old side against itself: how often would it have failed where nothing was new?

Before a move the old side's availability zones are compared with each other over the day before,
minute by minute: each zone stands for a new side.  Where the access log is the source its targets
are.  What fails there is no harm, so the bound on false alarms becomes a figure that was measured
on this very traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kirikae.model.evidence import Verdict
from kirikae.model.share import WHOLE
from kirikae.move.judge import Margins
from kirikae.traffic.batches import NOBODY, Arm, Batch
from kirikae.traffic.trial import Guards, Trial

SHARE = 500
"""Whatever part of the requests a zone or a target has: the margins of a step to half."""
_PLAN = (SHARE // 2, SHARE, WHOLE)
_LEAST = 60
_ONE_FIGURE = 1.2
"""Where zones have more requests than there are in all, they are not told apart."""
_NOBODYS = Guards(times=True)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of the old side, by name and by the Unix time at which a period begins.

    ``whole``: requests of all of it.  ``dispersion``: of all of it (``Figures.past``).
    ``of``: what the parts are: ``zones``, ``targets``, or ``days`` at the same time of the day.
    ``others``: by name, what all the other parts have together; empty: their sum (where each
    client has one vote, votes do not add up).
    """

    period_s: float
    by_name: Mapping[str, Mapping[int, Arm]]
    whole: float
    tau: Mapping[str, float]
    dispersion: Mapping[str, float]
    of: str = "zones"
    others: Mapping[str, Mapping[int, Arm]] = field(default_factory=dict)

    def beside(self, name: str, stamp: int) -> Arm:
        """All parts but this one."""
        if self.others:
            return self.others[name].get(stamp, NOBODY)
        found = NOBODY
        for other in self.names():
            if other != name:
                found = found.plus(self.by_name[other].get(stamp, NOBODY))
        return found

    def names(self) -> list[str]:
        """Those of which enough is known."""
        return [name for name, series in self.by_name.items() if len(series) >= _LEAST]

    @property
    def told_apart(self) -> bool:
        """There are two, and they are not each the whole."""
        names = self.names()
        asked = sum(arm.asked for name in names for arm in self.by_name[name].values())
        return len(names) >= 2 and asked <= _ONE_FIGURE * self.whole


@dataclass(frozen=True, slots=True)
class Alike:
    """What the judge made of the old side against itself.

    ``compared``: parts that stood for a new side.  ``failed``: how often one of them was called
    harmful.  ``dispersion``: by metric, by how much evidence was divided at the end, at most.
    """

    compared: int
    failed: int
    hours: float
    dispersion: Mapping[str, float]
    of: str = "zones"

    def to_plain(self) -> dict[str, object]:
        return {
            "parts": self.of,
            "compared": self.compared,
            "failed": self.failed,
            "hours": round(self.hours, 1),
            "dispersion": dict(self.dispersion),
        }


def bounds_of(margins: Margins, tau: Mapping[str, float]) -> list[float]:
    """Where answers of a part must be counted, be it the old or the new side."""
    if margins.fast_enough_ms:
        return [margins.fast_enough_ms / 1000]
    wider = [bound for each in tau.values() for bound in margins.bounds(each, SHARE)]
    return sorted({*tau.values(), *wider})


def against_itself(margins: Margins, parts: Parts) -> Alike | None:
    """None: there are not two parts that can be told from each other, or too little is known."""
    names = parts.names()
    if not parts.told_apart:
        return None
    stamps = sorted({stamp for name in names for stamp in parts.by_name[name]})
    found = []
    for name in names:
        batches = [
            _batch(
                parts,
                name,
                stamp,
            )
            for stamp in stamps
        ]
        found.append(_failures(margins, batches))
    hours = len(stamps) * parts.period_s / 3600
    return Alike(
        len(names),
        sum(each.failed for each in found),
        hours,
        _worst(found),
        parts.of,
    )


def _batch(parts: Parts, new: str, stamp: int) -> Batch:
    """At one share, whatever arrived: the bounds at which answers were counted follow from it.
    That another share arrives holds a step, and is no harm."""
    sides = {
        "old": parts.beside(new, stamp),
        "new": parts.by_name[new].get(stamp, NOBODY),
    }
    return Batch(
        float(stamp),
        parts.period_s,
        _PLAN[0],
        {"": sides},
        0,
        parts.tau,
        dispersion=parts.dispersion,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    failed: int
    dispersion: Mapping[str, float]


def _failures(margins: Margins, batches: Sequence[Batch]) -> _Found:
    """After each false alarm it begins anew, as a move that is resumed does."""
    trial = Trial(margins, _PLAN, _NOBODYS)
    failed = 0
    for batch in batches:
        if trial.look(batch).verdict is Verdict.FAIL:
            failed += 1
            trial = Trial(margins, _PLAN, _NOBODYS)
    figures = trial.evidence().figures
    found = {m: figures[f"dispersion_{m}"] for m in margins.weights if f"dispersion_{m}" in figures}
    return _Found(failed, found)


def _worst(found: Sequence[_Found]) -> dict[str, float]:
    worst: dict[str, float] = {}
    for each in found:
        for metric, phi in each.dispersion.items():
            worst[metric] = max(phi, worst.get(metric, 1.0))
    return worst
