"""One decision about one service: what was seen, through the law of scaling, to what is kept.
Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kirikae.local.scaling.activities import bounds_set, change, reason_of, unchanged
from kirikae.local.scaling.fleet import Now
from kirikae.local.scaling.policies import Rule
from kirikae.local.scaling.rows import Activity, Cooling, Planned, Target
from kirikae.model.scaling import (
    Bounds,
    Breaches,
    Decision,
    Measured,
    Scaling,
    Seen,
    Suspended,
    TargetTracking,
    advance,
    needed,
    not_scaled,
)

NEVER: Cooling = {
    "out_until": None,
    "base": 0.0,
    "in_until": None,
}


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that a decision is made by.  ``ringing``: by a step policy's name."""

    moment: int
    now: Now
    rules: Sequence[Rule]
    datapoints: Mapping[Measured, float]
    ringing: Mapping[str, bool]
    planned: Sequence[Planned]


@dataclass(frozen=True, slots=True)
class Decided:
    """``target``: its row afterwards; ``activities``: the oldest first."""

    target: Target
    desired: int
    activities: tuple[Activity, ...]


def decided(target: Target, look: Look) -> Decided:
    """By ``model.scaling``."""
    suspended = suspended_of(target)
    policies = tuple(rule.policy for rule in look.rules)
    seen = Seen(
        now=float(look.moment),
        running=np.array([float(look.now.running)]),
        datapoints={key: np.array([value]) for key, value in look.datapoints.items()},
        deploying=look.now.deploying,
        scheduled=tuple(Bounds(each["least"], each["most"]) for each in look.planned),
        ringing=look.ringing,
    )
    state, decision = advance(
        policies,
        _remembered(target, look.now),
        seen,
        suspended,
    )
    after = _kept(
        target,
        state,
        look.moment,
    )
    desired = int(state.desired[0])
    activities = [] if suspended.scheduled else _of_planned(look)
    activities += _of_decision(
        target,
        after,
        look,
        state,
        decision,
    )
    return Decided(
        after,
        desired,
        tuple(activities),
    )


def suspended_of(target: Target) -> Suspended:
    """What somebody has switched off."""
    told = target["suspended"]
    return Suspended(
        scale_in=told["DynamicScalingInSuspended"],
        scale_out=told["DynamicScalingOutSuspended"],
        scheduled=told["ScheduledScalingSuspended"],
    )


# --- between rows and the law's state


def _remembered(target: Target, now: Now) -> Scaling:
    """The desired count is the service's own: somebody else may have changed it."""
    cooling = target["cooling"]
    fresh = Scaling.of(
        now.desired,
        target["least"],
        target["most"],
    )
    return Scaling(
        desired=fresh.desired,
        least=fresh.least,
        most=fresh.most,
        out_until=np.array([_moment(cooling["out_until"])]),
        out_base=np.array([cooling["base"]]),
        in_until=np.array([_moment(cooling["in_until"])]),
        breaches={
            name: Breaches(np.array([high]), np.array([low]))
            for name, (high, low) in target["breaches"].items()
        },
    )


def _moment(known: float | None) -> float:
    return -math.inf if known is None else known


def _kept(
    target: Target,
    state: Scaling,
    moment: int,
) -> Target:
    cooling: Cooling = {
        "out_until": _finite(state.out_until[0]),
        "base": float(state.out_base[0]),
        "in_until": _finite(state.in_until[0]),
    }
    return {
        **target,
        "least": int(state.least[0]),
        "most": int(state.most[0]),
        "last": float(moment),
        "cooling": cooling,
        "breaches": {
            name: (float(each.high[0]), float(each.low[0])) for name, each in state.breaches.items()
        },
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# --- what is told of it


def _of_planned(look: Look) -> list[Activity]:
    moment = look.moment
    return [
        bounds_set(
            each["name"],
            each["least"],
            each["most"],
            moment,
        )
        for each in look.planned
    ]


def _of_decision(
    before: Target,
    after: Target,
    look: Look,
    state: Scaling,
    decision: Decision,
) -> list[Activity]:
    desired = int(state.desired[0])
    by = int(decision.by[0])
    if desired != look.now.desired:
        raised = desired > look.now.desired
        cause = _cause(look.rules[by], after) if by >= 0 else _by_bound(raised, desired)
        return [
            change(
                cause,
                desired,
                look.moment,
            )
        ]
    code = not_scaled(state, decision)
    if code is None:
        return []
    ringing = [rule for rule in look.rules if _rings(rule, after) is not None]
    if not ringing:
        return []
    why = reason_of(
        code,
        after["least"],
        after["most"],
        desired,
    )
    return [
        unchanged(
            _cause(ringing[0], after),
            why,
            look.moment,
        )
    ]


def _by_bound(raised: bool, desired: int) -> str:
    word = "minimum" if raised else "maximum"
    return f"{word} capacity was set to {desired}"


def _cause(rule: Rule, after: Target) -> str:
    alarm = rule.alarms[_rings(rule, after) or 0]
    return f"monitor alarm {alarm} in state ALARM triggered policy {rule.row['name']}"


def _rings(rule: Rule, target: Target) -> int | None:
    """0: its high alarm, 1: its low one; None: neither."""
    counted = target["breaches"].get(rule.policy.name, (0.0, 0.0))
    for index, (count, least) in enumerate(
        zip(
            counted,
            needed(rule.policy),
            strict=True,
        )
    ):
        if count >= least:
            return index
    return None


def states_of(rule: Rule, target: Target) -> tuple[bool, bool]:
    """Of a target tracking policy: does its alarm for more ring, and the one for less?"""
    assert isinstance(rule.policy, TargetTracking)
    high, low = target["breaches"].get(rule.policy.name, (0.0, 0.0))
    most, least = needed(rule.policy)
    return high >= most, low >= least
