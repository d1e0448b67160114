"""What must hold before a share leaves 0, and what should be known: conditions that are checked,
not hoped for.

Most rows stand for a way in which requests were lost in moves by hand
(docs/explanation/zero-loss.md lists them all)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from kirikae.aws import ecs, elbv2
from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.session import Aws
from kirikae.model.catalogue import load
from kirikae.model.finding import Confidence, Finding, Trace
from kirikae.model.owners import owner_of
from kirikae.model.project import Project
from kirikae.traffic.figures import Places
from kirikae.traffic.settings import TrafficMove

_STOP_S = 30
"""ECS's stopTimeout where a container gives none (ECS API reference, ContainerDefinition)."""


def _found(
    code: str,
    where: str,
    says: str,
    confidence: Confidence,
) -> Finding:
    entry = load("kirikae.traffic")[code]
    return entry.found(
        where,
        entry.title,
        [Trace("", where, says)],
        confidence,
    )


def _observed(code: str, where: str, says: str) -> Finding:
    return _found(
        code,
        where,
        says,
        Confidence.OBSERVED,
    )


def obstacles(
    aws: Aws,
    project: Project,
    settings: TrafficMove,
    places: Places,
    now: float,
) -> list[Finding]:
    """Everything of the catalogue that is so now."""
    old = places.old
    if old.arn == places.new.arn:
        return [_observed("TR09", old.arn, f"both are {old.name}")]
    found: list[Finding] = []
    if places.rule_arn is not None:
        found += _of_the_rule(
            aws,
            settings,
            places.rule_arn,
            places,
        )
    states = [target.state for target in elbv2.targets(aws, old)]
    if "healthy" not in states:
        found.append(_observed("TR03", old.arn, "no target is healthy"))
    longest = _longest_s(
        aws,
        old,
        places.old_balancer,
        now - settings.figures.lateness,
    )
    for group in (old, places.new):
        found += _of_the_group(group, longest)
    found += _of_the_definition(aws, project, longest)
    found += _of_the_database(aws, project, len(states))
    return found


def _of_the_group(group: elbv2.TargetGroup, longest: float) -> Iterator[Finding]:
    delay_s = group.deregistration_delay_s
    if delay_s < longest:
        says = f"deregistration delay {delay_s} s, longest request of the last hour {longest:.1f} s"
        yield _observed("TR04", group.arn, says)
    if group.anomaly_mitigation:
        says = "load_balancing.algorithm.anomaly_mitigation is on"
        yield _found(
            "TR07",
            group.arn,
            says,
            Confidence.CONFIGURED,
        )


def _of_the_rule(
    aws: Aws,
    settings: TrafficMove,
    rule_arn: str,
    places: Places,
) -> Iterator[Finding]:
    rule = elbv2.rule(aws, rule_arn)
    ours = {places.old.arn, places.new.arn}
    if places.old.arn not in rule.weights or set(rule.weights) - ours:
        yield _observed(
            "TR01",
            rule_arn,
            f"it forwards to {', '.join(sorted(rule.weights))}",
        )
    bake_s = settings.judge.bake
    if rule.stickiness_s > bake_s:
        says = f"stickiness {rule.stickiness_s} s, bake {bake_s:.0f} s"
        yield _observed("TR02", rule_arn, says)
    owner = owner_of(elbv2.tags(aws, rule_arn))
    if owner is not None:
        yield _found(
            "TR06",
            rule_arn,
            f"its tags say {owner}",
            Confidence.PRESENT,
        )


def _longest_s(
    aws: Aws,
    old: elbv2.TargetGroup,
    balancer: str,
    until: float,
) -> float:
    end = math.floor(until / 60) * 60
    slowest = Query(
        old.dimension,
        balancer,
        "TargetResponseTime",
        "Maximum",
    )
    [worst] = metric_data(
        aws,
        [slowest],
        end - 3600,
        end,
        60,
    )
    return max(worst.values(), default=0.0)


def _service(aws: Aws, project: Project) -> dict[str, Any] | None:
    return ecs.service(aws, project.fleets.new.cluster, project.fleets.new.ecs_service)


def _of_the_definition(aws: Aws, project: Project, longest: float) -> Iterator[Finding]:
    service = _service(aws, project)
    if service is None:
        return
    name = service["taskDefinition"]
    for container in ecs.task_definition(aws, name)["containerDefinitions"]:
        stop_s = container.get("stopTimeout", _STOP_S)
        if container.get("portMappings") and stop_s < longest:
            says = f"stopTimeout {stop_s} s, longest request of the last hour {longest:.1f} s"
            yield _observed("TR05", f"{name} {container['name']}", says)


def _of_the_database(aws: Aws, project: Project, hosts: int) -> Iterator[Finding]:
    """The budget of connections while both sides run and one deployment doubles the tasks that it
    replaces."""
    budget = project.database
    if budget is None:
        return
    tasks = _most_tasks(_service(aws, project), project.build.tasks)
    needed = hosts * budget.per_host + tasks * budget.per_task + budget.reserved
    if needed > budget.max_connections:
        says = (
            f"{hosts} hosts x {budget.per_host} + {tasks} tasks (while one release replaces "
            f"another) x {budget.per_task} + {budget.reserved} reserved = {needed}, "
            f"max_connections {budget.max_connections}"
        )
        yield _found(
            "TR08",
            "database",
            says,
            Confidence.CONFIGURED,
        )


def _most_tasks(service: dict[str, Any] | None, planned: int) -> int:
    """While one release replaces another."""
    if service is None:
        return planned * 2
    percent = service.get("deploymentConfiguration", {}).get("maximumPercent", 200)
    return int(service["desiredCount"]) * int(percent) // 100


def requests_at(
    aws: Aws,
    group: elbv2.TargetGroup,
    balancer: str,
    until: float,
    period_s: int,
    periods: int,
) -> int:
    """Requests that a target group answered in the last periods that are known."""
    end = math.floor(until / period_s) * period_s
    asked = Query(
        group.dimension,
        balancer,
        "RequestCount",
        "Sum",
    )
    [served] = metric_data(
        aws,
        [asked],
        end - periods * period_s,
        end,
        period_s,
    )
    return round(sum(served.values()))
