"""What a fault is aimed at: an ECS service, its tasks, and the target group that sends to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs, elbv2, trouble
from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws


@dataclass(frozen=True, slots=True)
class OneTask:
    """``address``: its own in the network; empty: it has none.  ``engine_id``: of its main
    container in this machine's engine; empty: it is not there."""

    arn: str
    zone: str
    address: str
    engine_id: str
    spot: bool = False

    @property
    def name(self) -> str:
        """The last part of the ARN."""
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Group:
    """A target group and its health check."""

    arn: str
    interval_s: int
    timeout_s: int
    unhealthy_count: int
    targets: tuple[elbv2.Target, ...]

    @property
    def detection_s(self) -> float:
        """At most so long a broken target still gets requests: the check before it broke may just
        have passed, and the last one that fails takes its time."""
        return self.interval_s * self.unhealthy_count + self.timeout_s

    @property
    def healthy(self) -> frozenset[tuple[str, int]]:
        """Targets that get requests."""
        return healthy(self.targets)


@dataclass(frozen=True, slots=True)
class Fleet:
    """A service as it is before the fault.  ``container``: the main one's name.  ``rolls_back``: a
    release that fails is taken back by ECS itself.  ``has_failed``: its newest deployment has, and
    ECS starts no task any more in place of one that ends."""

    cluster: str
    service: str
    desired: int
    definition: str
    container: str
    tasks: tuple[OneTask, ...]
    group: Group | None
    rolls_back: bool
    has_failed: bool = False

    def one(self, number: int = 0) -> OneTask:
        """A task, the same one each time: the oldest comes first."""
        return self.tasks[number]


def healthy(targets: tuple[elbv2.Target, ...]) -> frozenset[tuple[str, int]]:
    """Address and port of those that get requests."""
    return frozenset((each.address, each.port) for each in targets if each.state == "healthy")


def look(
    aws: Aws,
    cluster: str,
    service: str,
    is_here: Callable[[str], bool],
) -> Fleet:
    """``is_here``: is this container one of this machine's engine?  Raises NotThere, AwsRefused."""
    found = ecs.service(aws, cluster, service)
    if found is None:
        raise NotThere(
            "DescribeServices",
            "ServiceNotFoundException",
            f"{cluster} has no service {service}; name it with --cluster and --service",
        )
    definition = ecs.task_definition(aws, str(found["taskDefinition"]))
    container = _main(definition, found)
    tasks = sorted(
        trouble.all_tasks(aws, cluster, service),
        key=lambda task: str(task.get("createdAt", "")),
    )
    return Fleet(
        cluster=cluster,
        service=service,
        desired=int(found["desiredCount"]),
        definition=str(found["taskDefinition"]),
        container=container,
        tasks=tuple(
            _task(each, container, is_here) for each in tasks if each["lastStatus"] == "RUNNING"
        ),
        group=_group(aws, found),
        rolls_back=_rolls_back(found),
        has_failed=_has_failed(found),
    )


def _main(definition: Mapping[str, Any], service: Mapping[str, Any]) -> str:
    """The container that the load balancer sends to; else the first essential one."""
    for each in service.get("loadBalancers", ()):
        if each.get("containerName"):
            return str(each["containerName"])
    essential = [c for c in definition["containerDefinitions"] if c.get("essential", True)]
    return str(essential[0]["name"])


def _rolls_back(service: Mapping[str, Any]) -> bool:
    breaker = service.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
    return bool(breaker.get("enable") and breaker.get("rollback"))


def _has_failed(service: Mapping[str, Any]) -> bool:
    newest = [each for each in service.get("deployments", ()) if each.get("status") == "PRIMARY"]
    return bool(newest) and newest[0].get("rolloutState") == "FAILED"


def _task(
    task: Mapping[str, Any],
    container: str,
    is_here: Callable[[str], bool],
) -> OneTask:
    details = {
        each["name"]: each["value"]
        for attachment in task.get("attachments", ())
        for each in attachment.get("details", ())
        if "value" in each
    }
    main: Mapping[str, Any] = next(
        (each for each in task["containers"] if each["name"] == container), {}
    )
    engine_id = str(main.get("runtimeId", ""))
    return OneTask(
        arn=str(task["taskArn"]),
        zone=str(details.get("subnetId") or task.get("availabilityZone") or ""),
        address=str(details.get("privateIPv4Address", "")),
        engine_id=engine_id if engine_id and is_here(engine_id) else "",
        spot=task.get("capacityProviderName") == "FARGATE_SPOT",
    )


def _group(aws: Aws, service: Mapping[str, Any]) -> Group | None:
    arns = [
        each["targetGroupArn"]
        for each in service.get("loadBalancers", ())
        if each.get("targetGroupArn")
    ]
    if not arns:
        return None
    check = elbv2.health_check(aws, arns[0])
    return Group(
        arn=arns[0],
        interval_s=check.interval_s,
        timeout_s=check.timeout_s,
        unhealthy_count=check.unhealthy_count,
        targets=tuple(elbv2.targets_at(aws, arns[0])),
    )
