"""What rises although nothing else does: latency, requests in flight, memory; pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.columns import Record

Values = NDArray[np.float64]
_FEWEST = 12
"""Steps; below, no trend is told from noise."""
_SURE = 4.0
"""Standard deviations of Mann and Kendall's statistic: one false alarm in 30,000."""
_PLATEAU = 0.5
"""What still rises does so in its last third as fast as before, at least by this part."""
_MOST_STEPS = 240


@dataclass(frozen=True, slots=True)
class Trend:
    """A series that rises and has no plateau.  ``part``: by how much of its begin it rose."""

    begins: float
    ends: float
    steps: int

    @property
    def part(self) -> float:
        return (self.ends - self.begins) / max(abs(self.begins), 1e-9)


def trend_of(values: Values, least: float) -> Trend | None:
    """None: it does not rise surely, by less than ``least`` of its begin, or has come to rest.

    Mann and Kendall's test tells a trend whatever the distribution; Theil and Sen's slope is not
    led astray by a few wild values.
    """
    known = values[np.isfinite(values)]
    if len(known) < _FEWEST or _significance(known) < _SURE:
        return None
    slope = _slope(known)
    last = known[len(known) * 2 // 3 :]
    if slope <= 0 or _slope(last) < _PLATEAU * slope:
        return None
    middle = float(np.median(known))
    half = slope * (len(known) - 1) / 2
    found = Trend(middle - half, middle + half, len(known))
    return found if found.begins <= 0 or found.part >= least else None


def _significance(values: Values) -> float:
    """Mann and Kendall's S in standard deviations; above 0 it rises.  Ties are allowed for."""
    many = len(values)
    above = np.sign(values[None, :] - values[:, None])
    total = float(np.triu(above, 1).sum())
    _, ties = np.unique(values, return_counts=True)
    spread = many * (many - 1) * (2 * many + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())
    return 0.0 if spread <= 0 else (total - np.sign(total)) / np.sqrt(spread / 18)


def _slope(values: Values) -> float:
    """Theil and Sen's: the median of all slopes between two values, for each step."""
    first, second = np.triu_indices(len(values), 1)
    if not len(first):
        return 0.0
    return float(np.median((values[second] - values[first]) / (second - first)))


def steps_of(record: Record, since_s: float) -> Values:
    """The steps' edges in seconds, from the warm-up to the plan's end; a second each at least."""
    seconds = float((record.due.max() - record.began_ns) / 1e9)
    step = max(1.0, (seconds - since_s) / _MOST_STEPS)
    return np.arange(since_s, seconds + 1e-9, step)


def medians(record: Record, edges: Values, of: float = 50.0) -> Values:
    """Of the latencies in each step, in seconds; NaN where nothing was answered."""
    due = (record.due - record.began_ns) / 1e9
    latency = record.latency_s
    found = np.full(max(0, len(edges) - 1), np.nan)
    places = np.searchsorted(due, edges)
    for number in range(len(found)):
        mine = latency[places[number] : places[number + 1]]
        mine = mine[np.isfinite(mine)]
        if len(mine):
            found[number] = np.percentile(mine, of)
    return found


def in_flight(record: Record, edges: Values) -> Values:
    """Requests that were due and not yet answered or given up, at each edge: what holds a
    connection each."""
    due = np.sort((record.due - record.began_ns) / 1e9)
    ended = record.done > 0
    done = np.sort((record.done[ended] - record.began_ns) / 1e9)
    begun = np.searchsorted(due, edges, side="right")
    gone = np.searchsorted(done, edges, side="right")
    return (begun - gone).astype(np.float64)
