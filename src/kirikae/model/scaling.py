"""The rules of Application Auto Scaling for an ECS service, as one pure function.

Its numbers may be arrays: `kirikae local` asks for one service, the simulator for thousands of
candidates at once, and both get the same law.  Needs numpy.

Sources: Application Auto Scaling User Guide, "Target tracking scaling policies", "Step scaling
policies", "Scheduled scaling"; Amazon ECS Developer Guide, "Automatically scale your Amazon ECS
service".  AWS does not publish the formula of target tracking: what stands here in its place is
marked as ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
"""One number for each candidate."""
Number: TypeAlias = float | Numbers
"""The same for all candidates, or one for each."""
Truths: TypeAlias = NDArray[np.bool_]

HIGH_DATAPOINTS = 3
LOW_DATAPOINTS = {60: 15, 20: 45}
"""Datapoints of target tracking's low alarm by their period in seconds.  For 20 s AWS tells no
number: ours lasts as long."""
LOW_SHARE = 0.9
"""Scale-in begins below this share of the target: AWS says "usually more than 10% lower"."""
PUBLISHED_AFTER_S = {60: 180.0, 20: 25.0}
"""Between the end of a datapoint's period and the alarm that knows it, by period.  Fitted to AWS's
figures of 363 s and 86 s from a step in load to the decision (AWS News Blog, 2026-06-18), not
measured by us."""


class Metric(StrEnum):
    """What a policy looks at; AWS's names of predefined metrics."""

    CPU = "ECSServiceAverageCPUUtilization"
    MEMORY = "ECSServiceAverageMemoryUtilization"
    REQUESTS = "ALBRequestCountPerTarget"
    CPU_20S = "ECSServiceAverageCPUUtilizationHighResolution"
    MEMORY_20S = "ECSServiceAverageMemoryUtilizationHighResolution"

    @property
    def period_s(self) -> int:
        """Between two datapoints."""
        return 20 if self in (Metric.CPU_20S, Metric.MEMORY_20S) else 60


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A metric that AWS does not predefine; ``name`` tells it from the others of its service."""

    name: str
    period_s: int = 60


Measured: TypeAlias = Metric | OwnMetric


class Adjustment(StrEnum):
    """What the amount of a step means (API reference, StepScalingPolicyConfiguration)."""

    CHANGE = "ChangeInCapacity"
    EXACT = "ExactCapacity"
    PERCENT = "PercentChangeInCapacity"


class NotScaled(StrEnum):
    """AWS's words for a wish that changed nothing (API reference, NotScaledReason)."""

    AT_MOST = "AlreadyAtMaxCapacity"
    AT_LEAST = "AlreadyAtMinCapacity"
    AS_WISHED = "AlreadyAtDesiredCapacity"


@dataclass(frozen=True, slots=True)
class TargetTracking:
    """Keep the average at ``target``.  ``scale_in`` False: AWS's DisableScaleIn."""

    name: str
    metric: Measured
    target: Number
    out_cooldown_s: Number = 300.0
    in_cooldown_s: Number = 300.0
    scale_in: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """Bounds relative to the alarm's threshold; None: open.  Above it the lower bound belongs to
    the step, below it the upper one."""

    lower: Number | None
    upper: Number | None
    amount: Number


@dataclass(frozen=True, slots=True)
class StepScaling:
    """Steps behind an alarm of one's own: ``datapoints`` in a row above or below it."""

    name: str
    metric: Measured
    threshold: Number
    above: bool
    steps: tuple[Step, ...]
    adjustment: Adjustment = Adjustment.CHANGE
    datapoints: int = 3
    cooldown_s: Number = 300.0
    least_change: Number = 0.0


Policy: TypeAlias = TargetTracking | StepScaling


@dataclass(frozen=True, slots=True)
class Suspended:
    """What somebody has switched off (API reference, SuspendedState)."""

    scale_in: bool = False
    scale_out: bool = False
    scheduled: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """A scheduled action that is due.  ``where``: for these candidates; None keeps a bound."""

    least: Number | None = None
    most: Number | None = None
    where: bool | Truths = True


@dataclass(frozen=True, slots=True)
class Breaches:
    """Datapoints in a row beyond the high and below the low threshold of one policy."""

    high: Numbers
    low: Numbers


@dataclass(frozen=True, slots=True)
class Scaling:
    """What Application Auto Scaling remembers of a service between two datapoints.

    ``out_base``: capacity from which the scale-out started whose cool-down lasts until
    ``out_until``.  Times are seconds of the caller's clock.
    """

    desired: Numbers
    least: Numbers
    most: Numbers
    out_until: Numbers
    out_base: Numbers
    in_until: Numbers
    breaches: Mapping[str, Breaches] = field(default_factory=dict)

    @classmethod
    def of(cls, desired: Number, least: Number, most: Number, candidates: int = 1) -> Scaling:
        """A service that has not been scaled yet."""
        full = np.full(candidates, -np.inf)
        return cls(
            desired=_array(desired, candidates),
            least=_array(least, candidates),
            most=_array(most, candidates),
            out_until=full,
            out_base=_array(desired, candidates),
            in_until=full.copy(),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What came since the last time.

    ``datapoints``: a metric that is not in it has none due now; NaN is missing data, on which
    nothing is scaled either way.  ``running``: tasks, from which every change starts.  ``ringing``:
    by the name of a step policy whether its alarm rings, where somebody else has evaluated it;
    such a policy's datapoints are not counted here.
    """

    now: float
    running: Numbers
    datapoints: Mapping[Measured, Numbers]
    deploying: bool = False
    scheduled: tuple[Bounds, ...] = ()
    ringing: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """``desired``: what the service shall have.  ``out``, ``into``: whether it was raised, lowered.
    ``by``: index of the policy that decided; -1: none did (a schedule, or nothing).
    ``wished``: some policy wished for a change, whether or not it was carried out."""

    desired: Numbers
    out: Truths
    into: Truths
    by: NDArray[np.int64]
    wished: Truths


def advance(
    policies: tuple[Policy, ...],
    state: Scaling,
    seen: Seen,
    suspended: Suspended = Suspended(),
) -> tuple[Scaling, Decision]:
    """Take in what was seen, and decide."""
    before = state.desired
    state = _bounded(state, () if suspended.scheduled else seen.scheduled)
    state = replace(state, breaches=_counted(policies, state, seen))
    outs = [_out_wish(policy, state, seen) for policy in policies]
    ins = _in_wishes(policies, state, seen)
    out = _largest(outs, state, suspended.scale_out)
    into = _largest(ins, state, suspended.scale_in or seen.deploying)
    wished = out.asked | into.asked
    raised, state = _scaled_out(policies, state, seen, out)
    lowered, state = _scaled_in(policies, state, seen, into, ~out.asked)
    by = np.where(raised, out.policy, np.where(lowered, into.policy, -1))
    return state, Decision(
        desired=state.desired,
        out=state.desired > before,
        into=state.desired < before,
        by=by,
        wished=wished,
    )


# --- schedules


def _bounded(state: Scaling, scheduled: tuple[Bounds, ...]) -> Scaling:
    """Scheduled actions set the bounds and lift or lower to them at once, whatever cools down."""
    for action in scheduled:
        least = state.least if action.least is None else action.least
        most = state.most if action.most is None else action.most
        least = np.where(action.where, least, state.least)
        most = np.where(action.where, most, state.most)
        within = np.clip(state.desired, least, most)
        desired = np.where(action.where, within, state.desired)
        state = replace(state, least=least, most=most, desired=desired)
    return state


# --- alarms


def _counted(policies: tuple[Policy, ...], state: Scaling, seen: Seen) -> dict[str, Breaches]:
    """Missing data ends every row of breaches: INSUFFICIENT_DATA."""
    counted: dict[str, Breaches] = {}
    zero = np.zeros_like(state.desired)
    for policy in policies:
        if isinstance(policy, StepScaling) and policy.name in seen.ringing:
            counted[policy.name] = _told(policy, seen.ringing[policy.name], zero)
            continue
        former = state.breaches.get(policy.name, Breaches(zero, zero))
        value = seen.datapoints.get(policy.metric)
        if value is None:
            counted[policy.name] = former
            continue
        high, low = _beyond(policy, value)
        counted[policy.name] = Breaches(
            high=np.where(high, former.high + 1, 0.0),
            low=np.where(low, former.low + 1, 0.0),
        )
    return counted


def _told(policy: StepScaling, rings: bool, zero: Numbers) -> Breaches:
    """As many as the policy needs, or none."""
    full = zero + policy.datapoints if rings else zero
    return Breaches(full, zero) if policy.above else Breaches(zero, full)


def _beyond(policy: Policy, value: Numbers) -> tuple[Truths, Truths]:
    """Comparisons with NaN are False: missing data is beyond nothing."""
    if isinstance(policy, TargetTracking):
        return value > policy.target, value < LOW_SHARE * np.asarray(policy.target)
    if policy.above:
        return value >= policy.threshold, np.zeros_like(value, bool)
    return np.zeros_like(value, bool), value <= policy.threshold


def needed(policy: Policy) -> tuple[int, int]:
    """Datapoints in a row for a scale-out and for a scale-in."""
    if isinstance(policy, StepScaling):
        return policy.datapoints, policy.datapoints
    return HIGH_DATAPOINTS, LOW_DATAPOINTS[policy.metric.period_s]


# --- what each policy wishes


@dataclass(frozen=True, slots=True)
class _Wish:
    """``asked``: the policy's alarm rings and a datapoint came."""

    asked: Truths
    capacity: Numbers


@dataclass(frozen=True, slots=True)
class _Chosen:
    asked: Truths
    capacity: Numbers
    policy: NDArray[np.int64]


def _base(state: Scaling, seen: Seen) -> Numbers:
    """Inside a cool-down the capacity already added counts: +2 and then a step of +3 add 1."""
    return np.where(seen.now < state.out_until, state.out_base, seen.running)


def _out_wish(policy: Policy, state: Scaling, seen: Seen) -> _Wish:
    """Towards more.  Of a step policy this is any step that gives more than now runs."""
    value = seen.datapoints.get(policy.metric)
    if value is None:
        return _no_wish(state)
    base = _base(state, seen)
    rings = state.breaches[policy.name].high >= needed(policy)[0]
    if isinstance(policy, StepScaling):
        rings |= state.breaches[policy.name].low >= policy.datapoints
        wanted = _stepped(policy, base, value)
        return _Wish(rings & (wanted > base), wanted)
    at_zero = (seen.running <= 0) & (value > 0)
    wanted = np.where(at_zero, 1.0, _proportional(base, value, policy.target))
    return _Wish((rings & (wanted > base)) | at_zero, wanted)


def _in_wishes(policies: tuple[Policy, ...], state: Scaling, seen: Seen) -> list[_Wish]:
    """Towards less: target tracking only where all of its policies that may scale in agree, steps
    by themselves."""
    tracking = [p for p in policies if isinstance(p, TargetTracking) and p.scale_in]
    agreed = np.ones_like(state.desired, bool)
    for one in tracking:
        agreed &= state.breaches[one.name].low >= needed(one)[1]
    wishes = []
    for policy in policies:
        value = seen.datapoints.get(policy.metric)
        if value is None or (isinstance(policy, TargetTracking) and not policy.scale_in):
            wishes.append(_no_wish(state))
        elif isinstance(policy, TargetTracking):
            wishes.append(_Wish(agreed, _proportional(seen.running, value, policy.target)))
        else:
            wishes.append(_step_in(policy, state, seen, value))
    return wishes


def _step_in(policy: StepScaling, state: Scaling, seen: Seen, value: Numbers) -> _Wish:
    breaches = state.breaches[policy.name]
    rings = np.maximum(breaches.high, breaches.low) >= policy.datapoints
    wanted = _stepped(policy, seen.running, value)
    return _Wish(rings & (wanted < seen.running), wanted)


def _no_wish(state: Scaling) -> _Wish:
    return _Wish(np.zeros_like(state.desired, bool), np.zeros_like(state.desired))


def _proportional(running: Numbers, value: Numbers, target: Number) -> Numbers:
    """Ours: so many that the same load would meet the target, rounded up."""
    return np.ceil(np.nan_to_num(running * value / target) - 1e-9)


def _stepped(policy: StepScaling, capacity: Numbers, value: Numbers) -> Numbers:
    """The capacity after the step in which the value lies; the same where it lies in none."""
    over = value - policy.threshold
    amount = np.zeros_like(capacity)
    within_any = np.zeros_like(capacity, bool)
    for step in policy.steps:
        within = _within(step, over, policy.above)
        amount = np.where(within, step.amount, amount)
        within_any |= within
    if policy.adjustment == Adjustment.EXACT:
        return np.where(within_any, amount, capacity)
    if policy.adjustment == Adjustment.PERCENT:
        amount = rounded_percent(capacity * amount / 100)
        least = np.where(amount == 0, 0.0, policy.least_change)
        amount = np.sign(amount) * np.maximum(np.abs(amount), least)
    return np.maximum(capacity + amount, 0.0)


def _within(step: Step, over: Numbers, above: bool) -> Truths:
    lower = -np.inf if step.lower is None else step.lower
    upper = np.inf if step.upper is None else step.upper
    if above:
        return (over >= lower) & (over < upper)
    return (over > lower) & (over <= upper)


def rounded_percent(change: Numbers) -> Numbers:
    """Beyond 1 towards zero; between 0 and 1 it is 1, between -1 and 0 it is -1 (User Guide,
    "Scaling adjustment types")."""
    small = (np.abs(change) < 1) & (change != 0)
    return np.where(small, np.sign(change), np.trunc(change))


# --- the decision


def _largest(wishes: list[_Wish], state: Scaling, off: bool) -> _Chosen:
    """Of several policies the one that gives the largest capacity wins, for more and for less."""
    asked = np.zeros_like(state.desired, bool)
    capacity = np.full_like(state.desired, -np.inf)
    policy = np.full(state.desired.shape, -1, np.int64)
    if not off:
        for index, wish in enumerate(wishes):
            better = wish.asked & (wish.capacity > capacity)
            capacity = np.where(better, wish.capacity, capacity)
            policy = np.where(better, index, policy)
            asked |= wish.asked
    return _Chosen(asked, capacity, policy)


def _scaled_out(
    policies: tuple[Policy, ...],
    state: Scaling,
    seen: Seen,
    chosen: _Chosen,
) -> tuple[Truths, Scaling]:
    """Raise, and begin the cool-down; it ends one that holds back scale-in."""
    wanted = np.clip(chosen.capacity, state.least, state.most)
    raised = chosen.asked & (wanted > state.desired)
    cooled = np.zeros_like(state.desired)
    for index, policy in enumerate(policies):
        cooldown = policy.cooldown_s if isinstance(policy, StepScaling) else policy.out_cooldown_s
        cooled = np.where(chosen.policy == index, cooldown, cooled)
    return raised, replace(
        state,
        desired=np.where(raised, wanted, state.desired),
        out_base=np.where(raised, _base(state, seen), state.out_base),
        out_until=np.where(raised, seen.now + cooled, state.out_until),
        in_until=np.where(raised, -np.inf, state.in_until),
    )


def _scaled_in(
    policies: tuple[Policy, ...],
    state: Scaling,
    seen: Seen,
    chosen: _Chosen,
    free: Truths,
) -> tuple[Truths, Scaling]:
    """Lower where nobody wishes for more and no scale-in cools down."""
    wanted = np.clip(chosen.capacity, state.least, state.most)
    lowered = chosen.asked & free & (seen.now >= state.in_until) & (wanted < state.desired)
    cooled = np.zeros_like(state.desired)
    for index, policy in enumerate(policies):
        cooldown = policy.cooldown_s if isinstance(policy, StepScaling) else policy.in_cooldown_s
        cooled = np.where(chosen.policy == index, cooldown, cooled)
    return lowered, replace(
        state,
        desired=np.where(lowered, wanted, state.desired),
        in_until=np.where(lowered, seen.now + cooled, state.in_until),
    )


def not_scaled(state: Scaling, decision: Decision, candidate: int = 0) -> NotScaled | None:
    """Why a wish changed nothing; None where there was none, or it changed something."""
    if decision.out[candidate] or decision.into[candidate] or not decision.wished[candidate]:
        return None
    if state.desired[candidate] >= state.most[candidate]:
        return NotScaled.AT_MOST
    if state.desired[candidate] <= state.least[candidate]:
        return NotScaled.AT_LEAST
    return NotScaled.AS_WISHED


def _array(value: Number, candidates: int) -> Numbers:
    return np.broadcast_to(np.asarray(value, np.float64), (candidates,)).copy()
