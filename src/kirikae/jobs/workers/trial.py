"""Judge an attempt of a move of workers, period by period: failures of both sides, and what each
finishes.

Failures are judged by the same judge as traffic (``move/judge.py``): a message that failed is a bad
answer.  Beside it stands a test of throughput: does a consumer of the new side finish at least half
of what one of the old side does?  Both are e-values, so they may be read at any moment; they share
the bound on false alarms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log
from typing import Any, Self

from kirikae.jobs.workers.units import Counted
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE
from kirikae.move.judge import SAFE_BAR, Judge, Margins, Outcome

OF_FAILURES = 0.8
"""The part of the bound on false alarms that failures may use up; the rest is throughput's."""
_TOGETHER = 10
"""ReceiveMessage gives out up to ten messages at once (API reference): they count as one."""
_ENOUGH = 0.5
_FAR_TOO_LITTLE = 0.1
_ROUNDS = 3
_STRONGEST = 600.0
_ERRORS = {"errors": 1.0}


@dataclass(frozen=True, slots=True)
class Period:
    """What both sides finished in ``seconds`` from ``start`` (Unix seconds) on.

    ``tasks``: of the new side, that ran at its end; ``wanted``: that should have.
    ``oldest_s``: how long the oldest message had waited; None: not known.
    """

    start: float
    seconds: float
    share: int
    step: int
    old: Counted
    new: Counted
    tasks: int
    wanted: int
    oldest_s: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "start": self.start,
            "seconds": self.seconds,
            "share": self.share,
            "step": self.step,
            "old": [self.old.done, self.old.failed],
            "new": [self.new.done, self.new.failed],
            "tasks": [self.tasks, self.wanted],
            "oldest_s": self.oldest_s,
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        return cls(
            raw["start"],
            raw["seconds"],
            raw["share"],
            raw["step"],
            Counted(*raw["old"]),
            Counted(*raw["new"]),
            raw["tasks"][0],
            raw["tasks"][1],
            raw["oldest_s"],
        )


@dataclass(slots=True)
class _Throughput:
    """Log evidence that the new side's consumers finish less than half of what they should, at this
    step.  ``steps``: how many were tested; each has its part of the bound, 1/(k(k+1))."""

    steps: int = 0
    log_e: float = 0.0

    def begin_step(self) -> None:
        self.steps += 1
        self.log_e = 0.0

    def add(self, share: int, old: int, new: int) -> None:
        """A share of 1000 leaves nobody to compare with."""
        if share in (0, WHOLE):
            return
        usual = _part(share, _ENOUGH)
        little = _part(share, _FAR_TOO_LITTLE)
        gained = new * log(little / usual) + old * log((1 - little) / (1 - usual))
        self.log_e = max(self.log_e + gained / _TOGETHER, -_STRONGEST)

    def bar(self, bound: float) -> float:
        """What it must reach at this step."""
        return log(max(1, self.steps * (self.steps + 1)) / bound)


def _part(share: int, pace: float) -> float:
    """The part of all messages that the new side finishes at ``pace`` times the old side's."""
    mine = pace * share
    return mine / (mine + WHOLE - share)


@dataclass(slots=True)
class _Totals:
    """What was finished at this step."""

    old: Counted = field(default_factory=Counted)
    new: Counted = field(default_factory=Counted)


class Trial:
    """Feed it the periods of one attempt, oldest first; ``evidence`` reads it at any moment."""

    def __init__(
        self,
        margins: Margins,
        plan: tuple[int, ...],
        oldest_s: float,
    ) -> None:
        """``margins``: with the whole bound on false alarms.  ``oldest_s``: for how long the oldest
        message may wait."""
        self._bound = margins.false_alarms
        self._bake_s = margins.bake_s
        self._worse = margins.worse_requests
        self._judge = Judge(
            Margins(margins.false_alarms * OF_FAILURES, margins.worse_requests, margins.bake_s),
            plan,
            _ERRORS,
        )
        self._oldest_most = oldest_s
        self._throughput = _Throughput()
        self._step: int | None = None
        self._share = 0
        self._totals = _Totals()
        self._without = 0
        self._latest: Period | None = None
        self._failed: Said | None = None

    def at(self, step: int, share: int) -> Trial:
        """Stand at this step, even before its first figures come."""
        if step != self._step:
            self._step = step
            self._throughput.begin_step()
            self._totals = _Totals()
            self._latest = None
            self._without = 0
        self._share = share
        self._judge.at(step, share)
        return self

    def look(self, period: Period) -> None:
        """One more period."""
        self.at(period.step, period.share)
        self._latest = period
        self._totals.old += period.old
        self._totals.new += period.new
        self._without = self._without + 1 if period.wanted and not period.tasks else 0
        self._throughput.add(period.share, period.old.all, period.new.all)
        if period.new.all and (period.old.all or period.share == WHOLE):
            outcome = Outcome(
                period.old.failed, period.new.failed, period.old.failed, period.new.failed
            )
            self._judge.observe(period.seconds, period.old.all, period.new.all, {"errors": outcome})
        if self._failed is None:
            self._failed = self._why_failed()

    def evidence(self) -> Evidence:
        verdict, reason = self._verdict()
        return Evidence(verdict, reason, None, self._figures())

    def _verdict(self) -> tuple[Verdict, Said]:
        if self._failed is not None:
            return Verdict.FAIL, self._failed
        guard = self._guard()
        if guard is not None:
            return Verdict.UNSURE, guard
        if self._judge.log_safe_of("errors") < log(SAFE_BAR):
            return Verdict.UNSURE, self._not_shown()
        left = max(0.0, self._bake_s - self._judge.baked_s)
        if left:
            return Verdict.UNSURE, said("workers.baking", seconds=left)
        errors = min(0.5, self._worse * WHOLE / self._judge.measured_by(self._share))
        return Verdict.PASS, said("workers.passed", errors=errors, baked=self._judge.baked_s)

    def _guard(self) -> Said | None:
        """What keeps a step from being taken now, whatever is proven."""
        latest = self._latest
        if latest is None:
            return said("workers.no_figures")
        if self._without:
            return said("workers.no_task", wanted=latest.wanted)
        oldest = latest.oldest_s
        if oldest is not None and oldest > self._oldest_most:
            return said("workers.backlog", seconds=oldest, most=self._oldest_most)
        if not self._totals.new.all:
            silent = "workers.idle" if not self._totals.old.all else "workers.silent_new"
            return said(silent)
        return None

    def _not_shown(self) -> Said:
        needed = self._judge.needed("errors")
        if needed == float("inf"):
            return said("workers.never_shown")
        return said("workers.not_shown", needed=needed)

    def _why_failed(self) -> Said | None:
        latest = self._latest
        assert latest is not None
        if self._without >= _ROUNDS:
            return said("workers.failed_tasks", rounds=self._without, wanted=latest.wanted)
        totals = self._totals
        if self._throughput.log_e >= self._throughput.bar(self._bound * (1 - OF_FAILURES)):
            return said(
                "workers.too_slow",
                new=totals.new.all,
                all=totals.new.all + totals.old.all,
                part=self._share / WHOLE,
            )
        bar = log(1 / (self._bound * OF_FAILURES))
        if self._judge.log_harm() < bar:
            return None
        tally = self._judge.tally_of_harm("errors")
        return said(
            "workers.harm",
            bad=round(tally.bad_new),
            of=round(tally.n_new),
            bad_old=round(tally.bad_old),
            of_old=round(tally.n_old),
            evidence=exp(min(self._judge.log_harm(), _STRONGEST)),
            bar=exp(bar),
        )

    def _figures(self) -> dict[str, float]:
        totals = self._totals
        found = {
            "old_done": float(totals.old.done),
            "old_failed": float(totals.old.failed),
            "new_done": float(totals.new.done),
            "new_failed": float(totals.new.failed),
            "log_harm": self._judge.log_harm(),
            "log_safe": self._judge.log_safe_of("errors"),
        }
        if self._latest is not None and self._latest.oldest_s is not None:
            found["oldest_s"] = self._latest.oldest_s
        return found
