"""What must hold before a share leaves 0, and what should be known: conditions that are checked,
not hoped for.

Most rows stand for a way in which requests were lost in moves by hand
(docs/explanation/zero-loss.md lists them all)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs, elbv2
from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.session import Aws
from kirikae.model.finding import Confidence, Finding, Severity, Trace
from kirikae.model.project import Project, TrafficMove
from kirikae.traffic.figures import Places

_STOP_S = 30
"""ECS's stopTimeout where a container gives none (ECS API reference, ContainerDefinition)."""
_OWNERS = {
    "aws:cloudformation:stack-name": "CloudFormation or CDK",
    "terraform": "Terraform",
    "managed_by": "",
    "managedby": "",
    "managed-by": "",
}


@dataclass(frozen=True, slots=True)
class Condition:
    code: str
    title: str
    severity: Severity
    remedy: str

    @property
    def blocks(self) -> tuple[str, ...]:
        return ("traffic",) if self.severity is Severity.BLOCKS else ()

    def found(self, where: str, says: str, confidence: Confidence = Confidence.OBSERVED) -> Finding:
        return Finding(
            self.code,
            where,
            self.title,
            self.remedy,
            self.severity,
            confidence,
            self.blocks,
            (Trace("", where, says),),
        )


CONDITIONS = {
    c.code: c
    for c in (
        Condition(
            "TR01",
            "the listener rule does not forward to the old side alone, or to both sides",
            Severity.BLOCKS,
            "point the rule at the old target group first",
        ),
        Condition(
            "TR02",
            "clients stick to a target group for longer than a step lasts",
            Severity.HIGH,
            "switch the rule's target group stickiness off, or make it shorter than a step",
        ),
        Condition(
            "TR03",
            "the old side has no healthy target: a back-out would have nowhere to go",
            Severity.BLOCKS,
            "repair the old side first",
        ),
        Condition(
            "TR04",
            "a target that leaves has less time than the longest request takes",
            Severity.HIGH,
            "raise deregistration_delay.timeout_seconds of the target group above it",
        ),
        Condition(
            "TR05",
            "a task that stops has less time than the longest request takes",
            Severity.HIGH,
            "raise stopTimeout of the container (120 s at most on Fargate), or shorten the request",
        ),
        Condition(
            "TR06",
            "the rule belongs to a tool that may set its weights back",
            Severity.HIGH,
            "let that tool ignore the rule's weights while the move goes on (Terraform: "
            "lifecycle ignore_changes = [action])",
        ),
        Condition(
            "TR07",
            "the load balancer edits one side's errors away (anomaly mitigation)",
            Severity.HIGH,
            "switch load_balancing.algorithm.anomaly_mitigation off while the move goes on",
        ),
        Condition(
            "TR08",
            "the database has fewer connections than both sides open together",
            Severity.BLOCKS,
            "raise max_connections, put a pooler before it, or make the pools smaller; "
            "then correct `database`",
        ),
        Condition(
            "TR09",
            "both target groups are the same",
            Severity.BLOCKS,
            "give the new side a target group of its own",
        ),
    )
}


def findings(
    aws: Aws, project: Project, settings: TrafficMove, places: Places, now: float
) -> list[Finding]:
    """Everything of the list that is so now."""
    old = places.old
    new = places.new
    found: list[Finding] = []
    if old.arn == new.arn:
        return [CONDITIONS["TR09"].found(old.arn, f"both are {old.name}")]
    if places.rule_arn is not None:
        found += _of_the_rule(aws, settings, places.rule_arn, old, new)
    states = [t.state for t in elbv2.targets(aws, old)]
    if "healthy" not in states:
        found.append(CONDITIONS["TR03"].found(old.arn, "no target is healthy"))
    longest = _longest_s(aws, old, places.old_balancer, now - settings.figures.lateness)
    for group in (old, new):
        if group.deregistration_delay_s < longest:
            says = (
                f"deregistration delay {group.deregistration_delay_s} s, longest request of "
                f"the last hour {longest:.1f} s"
            )
            found.append(CONDITIONS["TR04"].found(group.arn, says))
        if group.anomaly_mitigation:
            found.append(
                CONDITIONS["TR07"].found(
                    group.arn,
                    "load_balancing.algorithm.anomaly_mitigation is on",
                    Confidence.CONFIGURED,
                )
            )
    found += _of_the_definition(aws, project, longest)
    found += _of_the_database(aws, project, len(states))
    return found


def _of_the_rule(
    aws: Aws, settings: TrafficMove, rule_arn: str, old: elbv2.TargetGroup, new: elbv2.TargetGroup
) -> Iterator[Finding]:
    rule = elbv2.rule(aws, rule_arn)
    if old.arn not in rule.weights or set(rule.weights) - {old.arn, new.arn}:
        yield CONDITIONS["TR01"].found(
            rule_arn, f"it forwards to {', '.join(sorted(rule.weights))}"
        )
    if rule.stickiness_s > settings.judge.bake:
        yield CONDITIONS["TR02"].found(
            rule_arn, f"stickiness {rule.stickiness_s} s, bake {settings.judge.bake:.0f} s"
        )
    if owner := _owner(elbv2.tags(aws, rule_arn)):
        yield CONDITIONS["TR06"].found(rule_arn, f"its tags say {owner}", Confidence.PRESENT)


def _longest_s(aws: Aws, old: elbv2.TargetGroup, balancer: str, until: float) -> float:
    end = math.floor(until / 60) * 60
    [worst] = metric_data(
        aws, [Query(old.dimension, balancer, "TargetResponseTime", "Maximum")], end - 3600, end, 60
    )
    return max(worst.values(), default=0.0)


def _service(aws: Aws, project: Project) -> dict[str, Any] | None:
    return ecs.service(aws, project.fleets.new.cluster, project.fleets.new.ecs_service)


def _of_the_definition(aws: Aws, project: Project, longest: float) -> Iterator[Finding]:
    service = _service(aws, project)
    if service is None:
        return
    for container in ecs.task_definition(aws, service["taskDefinition"])["containerDefinitions"]:
        stop_s = container.get("stopTimeout", _STOP_S)
        if container.get("portMappings") and stop_s < longest:
            where = f"{service['taskDefinition']} {container['name']}"
            yield CONDITIONS["TR05"].found(
                where, f"stopTimeout {stop_s} s, longest request of the last hour {longest:.1f} s"
            )


def _of_the_database(aws: Aws, project: Project, old_targets: int) -> Iterator[Finding]:
    """The budget of connections while both sides run and one deployment doubles the tasks that it
    replaces."""
    budget = project.database
    if budget is None:
        return
    service = _service(aws, project)
    desired = service["desiredCount"] if service is not None else project.build.tasks
    percent = (service or {}).get("deploymentConfiguration", {}).get("maximumPercent", 200)
    tasks = desired * percent // 100
    needed = old_targets * budget.per_host + tasks * budget.per_task + budget.reserved
    if needed > budget.max_connections:
        says = (
            f"{old_targets} hosts x {budget.per_host} + {tasks} tasks (while one release "
            f"replaces another) x {budget.per_task} "
            f"+ {budget.reserved} reserved = {needed}, max_connections {budget.max_connections}"
        )
        yield CONDITIONS["TR08"].found("database", says, Confidence.CONFIGURED)


def _owner(tags: dict[str, str]) -> str:
    """Who manages a thing, as its tags tell; empty: nobody is named."""
    for key, value in tags.items():
        name = _OWNERS.get(key.lower())
        if name is not None and (
            name or value.lower() in ("terraform", "cdk", "cloudformation", "pulumi")
        ):
            return f"{key} = {value}" + (f" ({name})" if name else "")
    return ""


def requests_at(
    aws: Aws, group: elbv2.TargetGroup, balancer: str, until: float, period_s: int, periods: int
) -> int:
    """Requests that a target group answered in the last periods that are known."""
    end = math.floor(until / period_s) * period_s
    [served] = metric_data(
        aws,
        [Query(group.dimension, balancer, "RequestCount", "Sum")],
        end - periods * period_s,
        end,
        period_s,
    )
    return round(sum(served.values()))
