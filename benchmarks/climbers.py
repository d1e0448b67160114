"""Tools that climb the same ladder on the same figures, one look a minute: kirikae's judge, and
other tools' rules, written after their documentation.

- **Flagger** (docs.flagger.app, "How it works", "Metrics analysis"): each minute the last minute's
  requests must succeed to at least 99%, where asked for with a p99 below 500 ms; no requests are a
  failed check.  A failed check adds one to a count that success never lowers; a later check rolls
  back once the threshold (5; 10 on its page) is reached.  A passed check takes the next step.
- **Argo Rollouts** (argo-rollouts.readthedocs.io, "Analysis"): the same condition each minute,
  failureLimit 0: the first failed measurement ends it.  The page's example: a background analysis,
  each five minutes at least 95% over five minutes, failureLimit 3, while each step pauses for ten
  minutes.
- **Kayenta** (spinnaker.io, "Canary judge", "Best practices"): one point a minute and metric of the
  whole old side and of the new one; each ten minutes over all points of this step a Mann-Whitney
  test; below 75 it ends at once, and the step after an hour below 95.

All read the same counts.  What hung has no time of an answer and counts as failed for every tool:
the kinder reading, since a 5xx count of the targets alone knows nothing of it.  The other tools
promote after the step at 50% and look no more: above it their comparisons only lose.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from statistics import median
from typing import NamedTuple, Protocol

from benchmarks.peers import is_high
from benchmarks.worlds import MINUTE_S, Answers, Minute, Stand, World
from kirikae.model.evidence import Verdict
from kirikae.model.share import WHOLE
from kirikae.move.dispersion import on_fewer_targets
from kirikae.move.judge import QUANTILES
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.comparison import bounds_of
from kirikae.traffic.figures import dispersion_of
from kirikae.traffic.judging import margins_of, trial_of
from kirikae.traffic.settings import TrafficMove

HALF = 500
BEFORE = 1440
"""Minutes of the old side alone, before the first step: what a move reads of its past."""


class End(StrEnum):
    DONE = "done"
    OUT = "out"
    OPEN = "open"


class Climb(NamedTuple):
    """How one ladder ended.

    ``minutes``, ``exposed``: from the first step on, and requests that the new side answered.
    ``reached``: the share when it ended.
    ``reason``: why it ended, or what it waits for.
    ``peak``: the largest log evidence of harm that it saw; it is backed out from log 100 on.
    """

    end: End
    minutes: int
    exposed: int
    reached: int
    reason: str = ""
    peak: float = 0.0


class Climber(Protocol):
    share: int
    reason: str
    peak: float

    def before(self, past: Callable[[], Sequence[Answers]]) -> None:
        """The old side's past, minute by minute, for who asks for it."""

    def take(self, t: int, minute: Minute) -> End | None:
        """One minute at ``share``, which it may raise; None: it goes on."""


def climb(climber: Climber, world: World, horizon: int) -> Climb:
    """Until it is done, backs out, or so many minutes are over."""
    climber.before(lambda: [world.minute(t, Stand(0, t)).old for t in range(BEFORE)])
    since = 0
    exposed = 0
    for t in range(horizon):
        share = climber.share
        minute = world.minute(BEFORE + t, Stand(share, t - since))
        exposed += minute.new.requests
        end = climber.take(BEFORE + t, minute)
        if end is not None:
            return Climb(end, t + 1, exposed, share, climber.reason, climber.peak)
        if climber.share != share:
            since = t + 1
    return Climb(End.OPEN, horizon, exposed, climber.share, climber.reason, climber.peak)


# --- ours


class Kirikae:
    """The judge of a live move, fed as a move feeds it."""

    def __init__(
        self, settings: TrafficMove, sticky: bool = False, targets: tuple[int, int] = (1, 1)
    ) -> None:
        """``targets``: healthy ones of the old and of the new side."""
        self._targets = targets
        self._margins = margins_of(settings)
        self._plan = settings.plan
        self._trial = trial_of(settings, settings.plan, sticky)
        self._exact = not sticky and settings.router.record is None
        self._logs = settings.figures.source == "access_log"
        self._recent: deque[Answers] = deque(maxlen=5)
        self._step = 0
        self._tau: dict[str, float] = {}
        self._dispersion: dict[str, float] = {}
        self.share = self._plan[0]
        self.reason = ""
        self.peak = 0.0

    def before(self, past: Callable[[], Sequence[Answers]]) -> None:
        minutes = past()
        self._recent.extend(minutes)
        self._begin()
        bounds = sorted(set(self._tau.values()))
        arms = [_arm(answers, bounds) for answers in minutes]
        past = dispersion_of(arms, self._tau)
        self._dispersion = on_fewer_targets(past, *self._targets)

    def _begin(self) -> None:
        """The old side's quantiles as they stand when a step begins."""
        found = [answers.quantiles() for answers in self._recent]
        for metric in QUANTILES:
            known = [each[metric] for each in found if metric in each]
            if known:
                self._tau[metric] = round(median(known), 4)

    def take(self, t: int, minute: Minute) -> End | None:
        look = self._trial.look(self._batch(t, minute))
        self._recent.append(minute.old)
        self.reason = look.reason.key
        self.peak = max(self.peak, look.log_e["harm"])
        if look.verdict is Verdict.FAIL:
            return End.OUT
        if look.verdict is not Verdict.PASS:
            return None
        if self.share == WHOLE:
            return End.DONE
        self.share = self._trial.next_share(self.share)
        self._step += 1
        self._begin()
        return None

    def _batch(self, t: int, minute: Minute) -> Batch:
        bounds = bounds_of(self._margins, self._tau, self._trial.measured_by(self.share))
        sides = {
            "old": _arm(minute.old, bounds["old"], self._logs),
            "new": _arm(minute.new, bounds["new"], self._logs),
        }
        return Batch(
            float(t * MINUTE_S),
            MINUTE_S,
            self.share,
            {"": sides},
            self._step,
            self._tau,
            exact=self._exact,
            dispersion=self._dispersion,
        )


def _arm(answers: Answers, bounds: Sequence[float], logs: bool = False) -> Arm:
    """As CloudWatch's figures make it, or as an access log does that counts requests."""
    within = answers.within(bounds) if answers.requests else {}
    mix = answers.mix if logs else {}
    return Arm(answers.requests, answers.errors, None, within, mix=mix)


# --- the others


class _Stepping:
    """Steps up the plan and is promoted after its last step up to 50%."""

    reason = ""
    peak = 0.0

    def __init__(self, plan: Sequence[int]) -> None:
        self._ahead = [share for share in plan if share <= HALF]
        self.share = self._ahead.pop(0)

    def before(self, past: Callable[[], Sequence[Answers]]) -> None:
        """None of them asks for it."""

    def _up(self) -> End | None:
        if not self._ahead:
            return End.DONE
        self.share = self._ahead.pop(0)
        return None


class Flagger(_Stepping):
    def __init__(
        self, plan: Sequence[int], threshold: int = 5, longest_p99_s: float | None = None
    ) -> None:
        super().__init__(plan)
        self._threshold = threshold
        self._longest_p99_s = longest_p99_s
        self._failed = 0

    def take(self, t: int, minute: Minute) -> End | None:
        if self._failed >= self._threshold:
            return End.OUT
        if not self._passes(minute.new):
            self._failed += 1
            return None
        return self._up()

    def _passes(self, new: Answers) -> bool:
        if not new.requests or new.errors > 0.01 * new.requests:
            return False
        if self._longest_p99_s is None:
            return True
        quantiles = new.quantiles()
        longest = max(quantiles.values(), default=0.0)
        return quantiles.get("p99", longest) <= self._longest_p99_s


class ArgoFirst(_Stepping):
    """The first failed measurement ends it."""

    def take(self, t: int, minute: Minute) -> End | None:
        new = minute.new
        if not new.requests or new.errors > 0.01 * new.requests:
            return End.OUT
        return self._up()


class ArgoExample(_Stepping):
    """The example of its page, in the background of steps of ten minutes."""

    pause = 10
    interval = 5
    part = 0.05
    limit = 3

    def __init__(self, plan: Sequence[int]) -> None:
        super().__init__(plan)
        self._recent: deque[Answers] = deque(maxlen=self.interval)
        self._minutes = 0
        self._failed = 0

    def take(self, t: int, minute: Minute) -> End | None:
        self._minutes += 1
        self._recent.append(minute.new)
        if self._minutes % self.interval == 0:
            requests = sum(answers.requests for answers in self._recent)
            errors = sum(answers.errors for answers in self._recent)
            self._failed += not requests or errors > self.part * requests
        if self._failed > self.limit:
            return End.OUT
        return self._up() if self._minutes % self.pause == 0 else None


class Kayenta(_Stepping):
    every = 10
    lasts = 60
    passes = 95.0
    marginal = 75.0

    def __init__(self, plan: Sequence[int]) -> None:
        super().__init__(plan)
        self._begin()

    def _begin(self) -> None:
        self._points: dict[str, tuple[list[float], list[float]]] = {
            metric: ([], []) for metric in ("errors", *QUANTILES)
        }
        self._minutes = 0

    def take(self, t: int, minute: Minute) -> End | None:
        self._minutes += 1
        for side, answers in enumerate((minute.old, minute.new)):
            if answers.requests:
                self._points["errors"][side].append(answers.errors / answers.requests)
                for metric, value in answers.quantiles().items():
                    self._points[metric][side].append(value)
        if self._minutes % self.every:
            return None
        return self._judged(self._score(), self._minutes >= self.lasts)

    def _judged(self, score: float, last: bool) -> End | None:
        if score < (self.passes if last else self.marginal):
            return End.OUT
        if not last:
            return None
        self._begin()
        return self._up()

    def _score(self) -> float:
        """Errors and times weigh alike."""
        errors = 0.0 if is_high(*self._points["errors"]) else 50.0
        calm = sum(not is_high(*self._points[metric]) for metric in QUANTILES)
        return errors + 50.0 * calm / len(QUANTILES)


PEERS: dict[str, Callable[[Sequence[int]], Climber]] = {
    "Flagger 5": Flagger,
    "Flagger 10": lambda plan: Flagger(plan, 10),
    "Flagger p99": lambda plan: Flagger(plan, 5, 0.5),
    "Argo 0": ArgoFirst,
    "Argo example": ArgoExample,
    "Kayenta": Kayenta,
}
