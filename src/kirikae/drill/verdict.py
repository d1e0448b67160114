"""One verdict for every request, and one for the run.

A request is ok, slow (right, but too late), wrong (another status or text than
expected), lost (no complete
answer, or a 502, 503 or 504, which balancers make), or not sent: the engine's fault, not the
service's.  Latency counts from when a request was due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.columns import Error, Record
from kirikae.drill.slo import COUNTS, Limit
from kirikae.drill.targets import Target
from kirikae.model.said import Said, said

LATE_S = 0.05
"""Sent so much after it was due: the engine's own queue, which no user has."""
MOST_NOT_SENT = 0.001
_BUSY_CORE = 0.8
_PACE_P99_S = 0.005
_OF_BALANCERS = (502, 503, 504)


class Verdict(IntEnum):
    """Of one request."""

    OK = 0
    SLOW = 1
    WRONG = 2
    LOST = 3
    NOT_SENT = 4
    STOPPED = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """Of all requests, or of one route.

    ``waited``: seconds from due of each that was sent; infinite: no answer.  ``rate``: right
    answers a second.  ``mean``: of those that were answered.
    """

    requests: int
    counts: dict[str, int]
    waited: NDArray[np.float64]
    mean: float
    most: float
    rate: float
    statuses: dict[int, int]
    errors: dict[str, int]

    def share(self, figure: str) -> float:
        """Of the requests; ``errors`` are wrong and lost ones."""
        return self.count(figure) / self.requests if self.requests else 0.0

    def percentile(self, of: float) -> float:
        """The least time that so many per cent do not exceed; infinite without a request."""
        if not len(self.waited):
            return np.inf
        place = min(len(self.waited) - 1, max(0, int(np.ceil(len(self.waited) * of / 100)) - 1))
        return float(np.partition(self.waited, place)[place])

    def count(self, figure: str) -> int:
        """Of the requests."""
        if figure == "errors":
            return self.counts["wrong"] + self.counts["lost"]
        return self.counts[figure]


@dataclass(frozen=True, slots=True)
class Checked:
    """One limit and what was found; ``holds`` None: nothing of that route was asked."""

    limit: Limit
    found: float | None
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """``doubts``: why no verdict on the service can be given."""

    figures: Figures
    routes: dict[str, Figures]
    checked: tuple[Checked, ...]
    doubts: tuple[Said, ...]
    verdicts: NDArray[np.uint8]
    pace_p50_s: float
    pace_p99_s: float

    @property
    def word(self) -> str:
        """``pass``, ``fail`` or ``unsure``."""
        if any(each.holds is False for each in self.checked) and not self.doubts:
            return "fail"
        if self.doubts or any(each.holds is None for each in self.checked):
            return "unsure"
        return "pass"


def verdicts_of(
    record: Record,
    targets: Sequence[Target],
    slow_s: float | None,
) -> NDArray[np.uint8]:
    """One ``Verdict`` for each request.  ``slow_s`` None: nothing is too slow."""
    found = np.full(
        len(record.due),
        Verdict.OK,
        np.uint8,
    )
    if slow_s is not None:
        found[record.latency_s > slow_s] = Verdict.SLOW
    found[~_expected(record, targets)] = Verdict.WRONG
    if record.lacks is not None:
        found[record.lacks == 1] = Verdict.WRONG
    lost = np.isin(record.error, (Error.REFUSED, Error.CLOSED, Error.TIMED_OUT, Error.NO_HTTP))
    found[lost | np.isin(record.status, _OF_BALANCERS)] = Verdict.LOST
    found[(record.error == Error.NOT_SENT) | (record.late_s > LATE_S)] = Verdict.NOT_SENT
    found[record.error == Error.STOPPED] = Verdict.STOPPED
    return found


def _expected(record: Record, targets: Sequence[Target]) -> NDArray[np.bool_]:
    right = (record.status >= 200) & (record.status < 400)
    by_expected: dict[frozenset[int], list[int]] = {}
    for number, target in enumerate(targets):
        by_expected.setdefault(target.expected, []).append(number)
    for expected, numbers in by_expected.items():
        if expected:
            mine = np.isin(record.target, numbers)
            right[mine] = np.isin(record.status[mine], sorted(expected))
    return right


def judged(
    record: Record,
    targets: Sequence[Target],
    limits: Sequence[Limit],
    slow_s: float | None = None,
    warm_s: float = 0.0,
) -> Outcome:
    """The run's verdict.  The first ``warm_s`` seconds of the plan are left out."""
    verdicts = verdicts_of(
        record,
        targets,
        slow_s,
    )
    counted = (verdicts != Verdict.STOPPED) & (record.due >= record.began_ns + warm_s * 1e9)
    figures = figures_of(
        record,
        verdicts,
        counted,
    )
    names = np.array([target.name for target in targets])
    routes = {}
    for name in dict.fromkeys(names.tolist()):
        mine = np.isin(record.target, np.flatnonzero(names == name))
        routes[name] = figures_of(
            record,
            verdicts,
            counted & mine,
        )
    late = record.late_s[counted & (record.sent > 0)]
    pace = np.percentile(late, (50, 99)) if len(late) else np.zeros(2)
    return Outcome(
        figures=figures,
        routes=routes,
        checked=tuple(
            _check(
                limit,
                figures,
                routes,
            )
            for limit in limits
        ),
        doubts=tuple(
            doubts_of(
                record,
                figures,
                float(pace[1]),
            )
        ),
        verdicts=verdicts,
        pace_p50_s=float(pace[0]),
        pace_p99_s=float(pace[1]),
    )


def figures_of(
    record: Record,
    verdicts: NDArray[np.uint8],
    counted: NDArray[np.bool_],
) -> Figures:
    """What has no answer is slower than everything."""
    mine = verdicts[counted]
    latency = record.latency_s[counted]
    waited = np.where(
        np.isnan(latency),
        np.inf,
        latency,
    )[mine != Verdict.NOT_SENT]
    answered = waited[np.isfinite(waited)]
    due = record.due[counted]
    lasted = (int(due.max()) - int(due.min())) / 1e9 if len(due) > 1 else 0.0
    statuses = np.unique(record.status[counted], return_counts=True)
    errors = np.unique(record.error[counted], return_counts=True)
    right = int(np.isin(mine, (Verdict.OK, Verdict.SLOW)).sum())
    return Figures(
        requests=int(counted.sum()),
        counts={each.name.lower(): int((mine == each).sum()) for each in list(Verdict)[:5]},
        waited=waited,
        mean=float(answered.mean()) if len(answered) else np.inf,
        most=float(waited.max()) if len(waited) else np.inf,
        rate=right / lasted if lasted else 0.0,
        statuses={int(status): int(many) for status, many in zip(*statuses, strict=True) if status},
        errors={
            Error(int(error)).name.lower(): int(many)
            for error, many in zip(*errors, strict=True)
            if error
        },
    )


def _check(
    limit: Limit,
    whole: Figures,
    routes: dict[str, Figures],
) -> Checked:
    figures = whole if not limit.route else routes.get(limit.route)
    if figures is None or not figures.requests:
        return Checked(
            limit,
            None,
            None,
        )
    found = found_of(limit, figures)
    return Checked(
        limit,
        found,
        limit.holds(found),
    )


def found_of(limit: Limit, figures: Figures) -> float:
    if limit.figure in COUNTS:
        return figures.share(limit.figure) if limit.share else float(figures.count(limit.figure))
    if limit.figure == "rate":
        return figures.rate
    if limit.figure in ("mean", "max"):
        return figures.mean if limit.figure == "mean" else figures.most
    return figures.percentile(float(limit.figure[1:]))


def doubts_of(
    record: Record,
    figures: Figures,
    pace_p99_s: float,
) -> Iterator[Said]:
    """The engine was measured, and not the service."""
    if not figures.requests:
        yield said("drill.doubt.nothing")
        return
    if figures.share("not_sent") > MOST_NOT_SENT:
        yield said("drill.doubt.not_sent", share=figures.share("not_sent"))
    busiest = max(record.cores, default=0.0)
    if busiest > _BUSY_CORE:
        yield said("drill.doubt.busy", core=busiest)
    if pace_p99_s > _PACE_P99_S:
        yield said("drill.doubt.pace", ms=pace_p99_s * 1000)
