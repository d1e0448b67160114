"""What a fault cost, request by request: three windows, recovery, and is the loss plausible?

A request belongs to the fault's window if its time from due to done overlaps the fault: those in
flight as it began were hit, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.columns import Error, Record
from kirikae.drill.slo import OF_FAULTS, Limit
from kirikae.drill.targets import Target
from kirikae.drill.verdict import Figures, Verdict, figures_of, found_of, verdicts_of
from kirikae.drill.verdict import doubts_of as doubts_of_engine
from kirikae.model.said import Said, said

WINDOWS = ("before", "during", "after")
_BAD = (Verdict.SLOW, Verdict.WRONG, Verdict.LOST)
_TIMES = ("mean", "max")
_QUIET_S = 1.0
"""So long without a bad request at the plan's end, or the service has not recovered."""
_TWICE = 2.0
_ALREADY_BAD = 0.001
_FEW = 10
"""Counts below this agree with everything."""


@dataclass(frozen=True, slots=True)
class Span:
    """When the fault was: seconds since the plan's begin.  ``ends``: when it was undone, or when
    its window was over."""

    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What a fault should cost at most, said before it: requests a second x ``share`` of the fleet
    x ``detection_s``, in which a broken target is found.  None: nobody can tell."""

    rate: float
    share: float
    detection_s: float | None

    @property
    def bad(self) -> float | None:
        """Requests."""
        return None if self.detection_s is None else self.bad_in(self.detection_s)

    def bad_in(self, seconds: float) -> float:
        """Requests that go to the broken part in this time."""
        return self.rate * self.share * seconds


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the service meanwhile, seconds from the fault on; None: it was not seen.

    ``detection_s``: until a target that was hit no longer got requests.  ``whole_s``: until all
    tasks and targets were there again.
    """

    detection_s: float | None = None
    whole_s: float | None = None


@dataclass(frozen=True, slots=True)
class InWindow:
    """One limit in one window; ``window`` empty: a figure of the whole fault."""

    limit: Limit
    window: str
    found: float | None
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What the fault did to those who asked.

    ``recovery_s``: from the fault to when the last bad request was due; 0: there was none; None: it
    went on to the end.  ``bad``: slow, wrong and lost ones from the fault on.
    """

    span: Span
    windows: dict[str, Figures]
    expected: Expected
    seen: Seen
    recovery_s: float | None
    bad: int
    lost: int
    checked: tuple[InWindow, ...]
    doubts: tuple[Said, ...]
    verdicts: NDArray[np.uint8]

    @property
    def word(self) -> str:
        """``pass``, ``fail`` or ``unsure``."""
        if self.doubts or any(each.holds is None for each in self.checked):
            return "unsure"
        return "fail" if any(not each.holds for each in self.checked) else "pass"

    @property
    def explained(self) -> float | None:
        """Bad requests that rate, share and time explain: the time until a target that was hit got
        no more of them, or until they were answered again, whichever came first.  None: neither
        came."""
        times = [each for each in (self.seen.detection_s, self.recovery_s) if each is not None]
        return self.expected.bad_in(min(times)) if times else None

    @property
    def plausible(self) -> bool | None:
        """Does what was lost agree with what explains it?  False: the fault knocks on to tasks that
        it did not hit, or the engine starved.  None: nothing to compare with."""
        explained = self.explained
        if explained is None or self.expected.share == 0:
            return None
        return self.bad <= max(_FEW, _TWICE * explained)


def cost_of(
    record: Record,
    targets: Sequence[Target],
    limits: Sequence[Limit],
    span: Span,
    expected: Expected,
    seen: Seen,
    slow_s: float | None = None,
    warm_s: float = 0.0,
) -> Cost:
    """The verdict on the service.  The first ``warm_s`` seconds of the plan are left out."""
    verdicts = verdicts_of(
        record,
        targets,
        slow_s,
    )
    windows = windows_of(record, span, warm_s)
    counted = verdicts != Verdict.STOPPED
    figures = {name: figures_of(record, verdicts, counted & mine) for name, mine in windows.items()}
    since = counted & ~windows["before"] & (record.due >= record.began_ns + warm_s * 1e9)
    bad = np.isin(verdicts, _BAD) & since
    recovery = recovery_of(record, bad, counted, span)
    judge = _Judge(
        record,
        targets,
        verdicts,
        {name: counted & mine for name, mine in windows.items()},
        {
            "recovery": recovery,
            "detection": seen.detection_s,
            "whole": seen.whole_s,
        },
    )
    checked = tuple(each for limit in limits for each in judge.checked(limit))
    return Cost(
        span=span,
        windows=figures,
        expected=expected,
        seen=seen,
        recovery_s=recovery,
        bad=int(bad.sum()),
        lost=int((since & (verdicts == Verdict.LOST)).sum()),
        checked=checked,
        doubts=tuple(
            _doubts(
                record,
                verdicts,
                figures,
                checked,
                counted & (record.due >= record.began_ns + warm_s * 1e9),
            )
        ),
        verdicts=verdicts,
    )


def windows_of(
    record: Record,
    span: Span,
    warm_s: float = 0.0,
) -> dict[str, NDArray[np.bool_]]:
    """Which requests belong where; a request that was never answered nor given up is open to the
    end."""
    due = (record.due - record.began_ns) / 1e9
    done = np.where(
        record.done > 0,
        (record.done - record.began_ns) / 1e9,
        np.inf,
    )
    never = (record.error == Error.NOT_SENT) & (record.done == 0)
    done = np.where(
        never,
        due,
        done,
    )
    warm = due >= warm_s
    return {
        "before": warm & (done < span.begins),
        "during": warm & (done >= span.begins) & (due <= span.ends),
        "after": warm & (due > span.ends),
    }


def recovery_of(
    record: Record,
    bad: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    span: Span,
) -> float | None:
    """Seconds from the fault on; None: there were bad requests to the end of the load."""
    if not bad.any():
        return 0.0
    due = (record.due - record.began_ns) / 1e9
    last = float(due[bad].max())
    return None if last > float(due[counted].max()) - _QUIET_S else max(0.0, last - span.begins)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Checks limits, each in its windows."""

    record: Record
    targets: Sequence[Target]
    verdicts: NDArray[np.uint8]
    windows: dict[str, NDArray[np.bool_]]
    times: dict[str, float | None]

    def checked(self, limit: Limit) -> Iterator[InWindow]:
        if limit.figure in OF_FAULTS:
            yield self._time(limit)
            return
        for window in (limit.window,) if limit.window else WINDOWS:
            figures = self._figures(limit, window)
            found = found_of(limit, figures) if figures.requests else None
            holds = None if found is None else limit.holds(found)
            yield InWindow(
                limit,
                window,
                found,
                holds,
            )

    def _time(self, limit: Limit) -> InWindow:
        """What did not come to an end within the plan is longer than every limit."""
        found = self.times[limit.figure]
        if found is None and limit.figure == "detection":
            return InWindow(
                limit,
                "",
                None,
                None,
            )
        return InWindow(
            limit,
            "",
            np.inf if found is None else found,
            limit.holds(np.inf if found is None else found),
        )

    def _figures(
        self,
        limit: Limit,
        window: str,
    ) -> Figures:
        mine = self.windows[window]
        if limit.route:
            asked = [
                number for number, target in enumerate(self.targets) if target.name == limit.route
            ]
            mine = mine & np.isin(self.record.target, asked)
        return figures_of(
            self.record,
            self.verdicts,
            mine,
        )


def _doubts(
    record: Record,
    verdicts: NDArray[np.uint8],
    figures: dict[str, Figures],
    checked: Sequence[InWindow],
    judged: NDArray[np.bool_],
) -> Iterator[Said]:
    """Before the fault the service must have been well, and the engine all the time that is
    judged: to warm up it may take its time."""
    before = figures["before"]
    for each in checked:
        if each.window == "before" and each.holds is False:
            yield said("drill.doubt.not_steady", limit=each.limit.text)
    if not before.requests:
        yield said("drill.doubt.nothing_before")
    elif before.share("errors") > _ALREADY_BAD:
        yield said(
            "drill.doubt.bad_before",
            bad=before.count("errors"),
            requests=before.requests,
        )
    everything = figures_of(
        record,
        verdicts,
        judged,
    )
    late = record.late_s[judged & (record.sent > 0)]
    timed = any(each.limit.figure[0] == "p" or each.limit.figure in _TIMES for each in checked)
    # Seconds of recovery are not blurred by milliseconds of the engine's own.
    yield from doubts_of_engine(
        record,
        everything,
        float(np.percentile(late, 99)) if timed and len(late) else 0.0,
    )
