"""Checks of what a native blue/green, linear or canary deployment leans on: the other target group,
the rules that it turns, its hooks, its alarms (Amazon ECS developer guide, blue/green
deployments)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from kirikae.aws import proofs
from kirikae.release.ecs.verify.bench import Bench
from kirikae.release.ecs.verify.checked import GOOD, Check, Reply, ok, remedied, skipped, wrong
from kirikae.release.ecs.verify.containers import role

_ECS = "ecs.amazonaws.com"
_PAUSE = "PAUSE"
Row = Mapping[str, Any]


def checks(bench: Bench) -> Iterator[Check]:
    for number, balancer in enumerate(bench.service.get("loadBalancers") or ()):
        if balancer.get("advancedConfiguration"):
            name = f"AdvancedConfiguration[{number}]"
            yield Check(name, partial(_advanced, bench, balancer))
    settings = bench.service.get("deploymentConfiguration") or {}
    for number, hook in enumerate(settings.get("lifecycleHooks") or ()):
        yield Check(f"LifecycleHook[{number}]", partial(_hook, bench, hook))
    alarms = settings.get("alarms") or {}
    if alarms.get("enable") and alarms.get("alarmNames"):
        names = [str(each) for each in alarms["alarmNames"]]
        yield Check(f"DeploymentAlarms[{' '.join(names)}]", partial(_alarms, bench, names))


def _advanced(bench: Bench, balancer: Row) -> Reply:
    settings = balancer["advancedConfiguration"]
    own = balancer.get("targetGroupArn")
    other = settings.get("alternateTargetGroupArn")
    if not own or not other or own == other:
        return remedied("one_group")
    trusted = role(bench, str(settings.get("roleArn") or ""), _ECS)
    if trusted is not GOOD:
        return trusted
    kinds = {proofs.target_group(bench.aws, arn).get("TargetType") for arn in (own, other)}
    if len(kinds) > 1:
        return wrong("two_types", types=sorted(map(str, kinds)))
    return _turned(bench, settings, {own, other})


def _turned(bench: Bench, settings: Row, groups: set[str]) -> Reply:
    """The rules are there, and production leads to one of both groups."""
    production = settings.get("productionListenerRule")
    if not production:
        return remedied("no_rule")
    if not proofs.leads_to(bench.aws, production) & groups:
        return remedied("leads_elsewhere", rule=production)
    test = settings.get("testListenerRule")
    if test:
        proofs.leads_to(bench.aws, test)
    return GOOD


def _hook(bench: Bench, hook: Row) -> Reply:
    if hook.get("targetType") == _PAUSE:
        return skipped("hook_pauses")
    trusted = role(bench, str(hook.get("roleArn") or ""), _ECS)
    if trusted is not GOOD:
        return trusted
    name = str(hook.get("hookTargetArn") or "")
    if not name:
        return wrong("no_hook")
    state = proofs.function_state(bench.aws, name)
    return GOOD if state == "Active" else wrong("hook_state", name=name, state=state)


def _alarms(bench: Bench, names: list[str]) -> Reply:
    states = proofs.alarm_states(bench.aws, names)
    missing = [name for name in names if name not in states]
    if missing:
        return remedied("no_alarm", names=missing)
    ringing = [name for name in names if states[name] == "ALARM"]
    if ringing:
        return remedied("rings", names=ringing)
    return ok("quiet", states=[f"{name}: {states[name]}" for name in names])
