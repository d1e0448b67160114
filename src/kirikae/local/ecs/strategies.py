"""Strategies of deployments: what a request says of them, checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from kirikae.local.ecs.course import LAMBDA, PAUSE, SHIFT, TEST_SHIFT
from kirikae.local.ecs.names import invalid, unsupported
from kirikae.local.plain import Plain
from kirikae.local.rows import Alarms, Binding, Service, Strategy

ROLLING: Strategy = {"strategy": "ROLLING"}
_OF = {
    "linearConfiguration": "LINEAR",
    "canaryConfiguration": "CANARY",
}
"""Parts of a request that belong to one strategy."""
_PERCENTS = {
    "linearConfiguration": ("stepPercent", 3.0),
    "canaryConfiguration": ("canaryPercent", 0.1),
}
"""Where a percentage stands, and the least one; multiples of 0.1 up to 100 (ECS API reference)."""
_BAKES = {
    "linearConfiguration": "stepBakeTimeInMinutes",
    "canaryConfiguration": "canaryBakeTimeInMinutes",
}
_LONGEST_BAKE = 1440
_LONGEST_PAUSE = 20160
"""Minutes; two weeks (ours, AWS does not publish it)."""
_KEPT = ("bakeTimeInMinutes", "lifecycleHooks", "linearConfiguration", "canaryConfiguration")


def strategy_of(service: Service) -> Strategy:
    """How this service deploys."""
    return service.get("_deploys", ROLLING)


def shifts_traffic(service: Service) -> bool:
    """Is it another strategy than ROLLING?"""
    return strategy_of(service)["strategy"] != "ROLLING"


def wished(asked: Plain, before: Strategy) -> Strategy:
    """What is asked over what was so before.  Raises AwsError for what AWS refuses, and for what is
    not carried out."""
    if asked.get("earlySuccessCriteria", {}).get("enable"):
        raise unsupported(
            "kirikae local does not carry out earlySuccessCriteria of a deployment yet"
        )
    kind: str = asked.get("strategy", before["strategy"])
    wish: Plain = {"strategy": kind}
    for key in _KEPT:
        value = asked.get(key, before.get(key))
        belongs = _OF.get(key, kind) == kind
        if key in asked and asked[key] and not belongs:
            raise invalid(f"{key} is only valid with the strategy {_OF[key]}.")
        if value is not None and belongs:
            wish[key] = value
    _check_shifting(kind, wish)
    if (alarms := _alarms(asked, before)) is not None:
        wish["alarms"] = alarms
    return cast(Strategy, wish)


def _check_shifting(kind: str, wish: Plain) -> None:
    """Raise AwsError for shares, times and hooks that cannot be."""
    if kind == "BLUE_GREEN" and "bakeTimeInMinutes" not in wish:
        raise invalid("bakeTimeInMinutes is required for the strategy BLUE_GREEN.")
    _check_minutes("bakeTimeInMinutes", wish.get("bakeTimeInMinutes", 0))
    for part, (name, least) in _PERCENTS.items():
        percent = wish.get(part, {}).get(name, 100.0)
        tenths = percent * 10
        if not least <= percent <= 100 or abs(tenths - round(tenths)) > 1e-6:
            raise invalid(f"{name} {percent}: a multiple of 0.1 from {least} to 100.0.")
        _check_minutes(_BAKES[part], wish.get(part, {}).get(_BAKES[part], 0))
    hooks = wish.get("lifecycleHooks", [])
    if hooks and kind == "ROLLING":
        raise invalid("lifecycleHooks need the strategy BLUE_GREEN, LINEAR or CANARY.")
    for hook in hooks:
        _check_hook(hook)


def _check_minutes(name: str, minutes: int) -> None:
    """Raise AwsError for a time that AWS does not take."""
    if not 0 <= minutes <= _LONGEST_BAKE:
        raise invalid(f"{name} {minutes}: 0 to {_LONGEST_BAKE}.")


def _check_hook(hook: Plain) -> None:
    """Raise AwsError for a hook that nobody could call, or that could not hold anything."""
    stages = hook.get("lifecycleStages") or []
    if not stages:
        raise invalid("A lifecycle hook needs at least one of lifecycleStages.")
    if hook.get("targetType", LAMBDA) == LAMBDA:
        if ":function:" not in hook.get("hookTargetArn", "") or not hook.get("roleArn"):
            raise invalid("A lifecycle hook needs the ARN of a function, and a roleArn.")
    elif {SHIFT, TEST_SHIFT} & set(stages):
        # Developer guide, "Pause hooks".
        raise invalid(f"A {PAUSE} hook cannot be at {TEST_SHIFT} or {SHIFT}.")
    minutes = (hook.get("timeoutConfiguration") or {}).get("timeoutInMinutes", 1)
    if not 1 <= minutes <= _LONGEST_PAUSE:
        raise invalid(f"timeoutInMinutes {minutes}: 1 to {_LONGEST_PAUSE}.")


def _alarms(asked: Plain, before: Strategy) -> Alarms | None:
    """None where none are named.  Raises AwsError for alarms that are switched on without a
    name."""
    given = asked.get("alarms")
    if given is None:
        return before.get("alarms")
    if given["enable"] and not given["alarmNames"]:
        raise invalid("alarms: alarmNames are needed where alarms are enabled.")
    return cast(Alarms, given)


def watched(strategy: Strategy) -> Alarms | None:
    """The alarms that end its deployments; None where there are none."""
    alarms = strategy.get("alarms")
    return alarms if alarms is not None and alarms["enable"] else None


def functions_of(strategy: Plain) -> list[str]:
    """ARNs of the functions that its hooks call."""
    hooks = strategy.get("lifecycleHooks") or []
    return [hook["hookTargetArn"] for hook in hooks if hook.get("targetType", LAMBDA) == LAMBDA]


def check_balancers(strategy: Strategy, balancers: Iterable[Binding]) -> None:
    """Raise AwsError for a load balancer whose traffic could not be shifted."""
    if strategy["strategy"] == "ROLLING":
        return
    for each in balancers:
        if "advancedConfiguration" not in each:
            raise invalid(
                f"The strategy {strategy['strategy']} needs an advancedConfiguration for each load "
                "balancer: alternateTargetGroupArn, productionListenerRule and roleArn."
            )
