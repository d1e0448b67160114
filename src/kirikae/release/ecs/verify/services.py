"""Checks of a service definition: balancers, networks, volumes, capacity, and whether a rolling
update can move at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kirikae.aws import proofs
from kirikae.model import fargate
from kirikae.release.ecs.verify import strategies
from kirikae.release.ecs.verify.bench import Bench
from kirikae.release.ecs.verify.checked import (
    GOOD,
    Check,
    Reply,
    ok,
    remedied,
    skipped,
    wrong,
    wrong_as_told,
)
from kirikae.release.ecs.verify.containers import role

_ECS = "ecs.amazonaws.com"
_MOST_DEFINITION = 64 * 1024
"""Service quotas of Amazon ECS: task definition size."""
_GRACE_S = 30
"""What ECS gives a container that is asked to stop (API reference, stopTimeout)."""
Row = Mapping[str, Any]


def checks(bench: Bench) -> list[Check]:
    if bench.loaded.service is None:
        none = Check("ServiceDefinition", lambda: skipped("no_service"))
        return [none, *_of_task(bench)]
    service = Check(
        "ServiceDefinition",
        lambda: _whole(bench),
        [
            *_balancers(bench),
            *_volumes(bench),
            *_networks(bench),
            *_capacity(bench),
            *strategies.checks(bench),
            Check("RollingUpdate", lambda: _can_move(bench)),
            Check("AutoScaling", lambda: _floor(bench)),
        ],
    )
    return [service, *_of_task(bench)]


def _whole(bench: Bench) -> Reply:
    service = bench.service
    more = {"taskDefinition": "x"}
    assert bench.loaded.service is not None
    problems = bench.loaded.service.problems("CreateService", more)
    if problems:
        return wrong_as_told("; ".join(problems))
    network = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if bench.task.get("networkMode") == "awsvpc" and not network:
        return remedied("no_network")
    if not service.get("loadBalancers") and "healthCheckGracePeriodSeconds" in service:
        return remedied("grace_alone")
    return GOOD


# --- balancers


def _balancers(bench: Bench) -> Iterator[Check]:
    for number, balancer in enumerate(bench.service.get("loadBalancers", ())):
        yield Check(f"LoadBalancer[{number}]", _asks_balancer(bench, balancer))


def _asks_balancer(bench: Bench, balancer: Row) -> Any:
    return lambda: _balancer(bench, balancer)


def _balancer(bench: Bench, balancer: Row) -> Reply:
    name = balancer.get("containerName")
    port = balancer.get("containerPort")
    arn = balancer.get("targetGroupArn")
    if not _has_port(
        bench,
        name,
        port,
    ):
        return wrong("no_port", name=name, port=port)
    if not arn:
        return skipped("no_group")
    group = proofs.target_group(bench.aws, arn)
    wanted = "ip" if bench.task.get("networkMode") == "awsvpc" else "instance"
    if group.get("TargetType") != wanted:
        mode = bench.task.get("networkMode") or "bridge"
        return wrong("target_type", found=group.get("TargetType"), mode=mode, wanted=wanted)
    if not group.get("LoadBalancerArns"):
        return remedied("no_listener")
    return _reached(
        bench,
        group,
        port,
    ) or _drained(bench, arn)


def _has_port(bench: Bench, name: Any, port: Any) -> bool:
    for container in bench.containers:
        if container.get("name") == name:
            ports = [each.get("containerPort") for each in container.get("portMappings", ())]
            return port in ports
    return False


def _reached(bench: Bench, group: Row, port: Any) -> Reply | None:
    """The tasks' security groups let the balancer in; None: they do, or it is not known."""
    own = _awsvpc(bench).get("securityGroups")
    balancers = [each for each in group["LoadBalancerArns"] if "/app/" in each]
    if not own or not balancers or not isinstance(port, int):
        return None
    allowed = proofs.balancer_groups(bench.aws, balancers)
    if not allowed or _lets_any_in(
        proofs.security_groups(bench.aws, own),
        port,
        allowed,
    ):
        return None
    return remedied("not_reached", own=list(own), balancers=sorted(allowed), port=port)


def _lets_any_in(rows: Sequence[Row], port: int, groups: frozenset[str]) -> bool:
    rules = [rule for row in rows for rule in row.get("IpPermissions", ())]
    return any(
        _lets_in(
            rule,
            port,
            groups,
        )
        for rule in rules
    )


def _lets_in(rule: Row, port: int, groups: frozenset[str]) -> bool:
    first = rule.get("FromPort", 0)
    last = rule.get("ToPort", 65535)
    if rule.get("IpProtocol") not in ("-1", "tcp") or not first <= port <= last:
        return False
    from_groups = {each.get("GroupId") for each in rule.get("UserIdGroupPairs", ())}
    # Who is in a range or a prefix list is not looked at: it may be the balancer.
    somebody = ("IpRanges", "Ipv6Ranges", "PrefixListIds")
    return any(rule.get(key) for key in somebody) or bool(from_groups & groups)


def _drained(bench: Bench, arn: str) -> Reply:
    """A task that is stopped before its balancer has let go of it drops requests."""
    delay_s = proofs.deregistration_delay_s(bench.aws, arn)
    if delay_s is None:
        return GOOD
    stop_s = max([each.get("stopTimeout", _GRACE_S) for each in bench.containers], default=_GRACE_S)
    return ok("leaves", delay_s=delay_s, stop_s=stop_s)


# --- volumes


def _volumes(bench: Bench) -> Iterator[Check]:
    for number, volume in enumerate(bench.service.get("volumeConfigurations", ())):
        managed = volume.get("managedEBSVolume") or {}
        yield Check(f"VolumeConfigurations[{number}]", _asks_volume(bench, managed))


def _asks_volume(bench: Bench, managed: Row) -> Any:
    return lambda: _volume(bench, managed)


def _volume(bench: Bench, managed: Row) -> Reply:
    arn = managed.get("roleArn")
    found = (
        role(
            bench,
            arn,
            _ECS,
        )
        if arn
        else wrong("no_volume_role")
    )
    if found is GOOD and len(managed.get("tagSpecifications", ())) > 1:
        return ok("first_tags")
    return found


# --- networks


def _awsvpc(bench: Bench) -> Row:
    network = bench.service.get("networkConfiguration") or {}
    return network.get("awsvpcConfiguration") or {}


def _networks(bench: Bench) -> Iterator[Check]:
    network = _awsvpc(bench)
    if network.get("subnets"):
        yield Check("Network", lambda: _network(bench, network))
    connect = bench.service.get("serviceConnectConfiguration") or {}
    if connect.get("enabled") and connect.get("namespace"):
        name = connect["namespace"]
        yield Check(f"ServiceConnect[{name}]", lambda: _namespace(bench, name))


def _network(bench: Bench, network: Row) -> Reply:
    """Subnets and security groups are there, and in one VPC."""
    rows = proofs.subnets(bench.aws, network["subnets"])
    groups = network.get("securityGroups") or []
    rows += proofs.security_groups(bench.aws, groups) if groups else []
    homes = sorted({str(row.get("VpcId")) for row in rows})
    if len(homes) > 1:
        return wrong("several_vpcs", vpcs=homes)
    zones = {row["AvailabilityZone"] for row in rows if "AvailabilityZone" in row}
    return ok("network", vpc=homes[0], zones=len(zones)) if homes else GOOD


def _namespace(bench: Bench, name: str) -> Reply:
    if name in proofs.namespaces(bench.aws):
        return GOOD
    return remedied("no_namespace", name=name)


# --- capacity


def _capacity(bench: Bench) -> Iterator[Check]:
    strategy = bench.service.get("capacityProviderStrategy") or []
    if strategy:
        names = [str(each.get("capacityProvider")) for each in strategy]
        yield Check(f"CapacityProviders[{' '.join(names)}]", lambda: _providers(bench, names))


def _providers(bench: Bench, names: Sequence[str]) -> Reply:
    found = proofs.cluster(bench.aws, bench.config.cluster)
    if found is None:
        return skipped("cluster_gone")
    attached = found.get("capacityProviders") or []
    missing = [name for name in names if name not in attached]
    if missing:
        return remedied("not_attached", names=missing)
    return GOOD


def _can_move(bench: Bench) -> Reply:
    """Whether the percentages leave room to start or to stop one task (Amazon ECS developer guide,
    rolling update)."""
    mover = (bench.service.get("deploymentController") or {}).get("type", "ECS")
    if mover != "ECS":
        return skipped("moved_by_another", mover=mover)
    desired = bench.service.get("desiredCount")
    settings = bench.service.get("deploymentConfiguration") or {}
    if bench.service.get("schedulingStrategy") == "DAEMON" or not isinstance(desired, int):
        return skipped("count_unknown")
    if not desired:
        return skipped("count_nought")
    most = math.floor(desired * settings.get("maximumPercent", 200) / 100)
    least = math.ceil(desired * settings.get("minimumHealthyPercent", 100) / 100)
    if most <= desired and least >= desired:
        return remedied("stuck", desired=desired, most=most, least=least)
    return ok("moves", least=least, most=most)


def _floor(bench: Bench) -> Reply:
    desired = bench.service.get("desiredCount")
    floor = proofs.scalable_floor(
        bench.aws,
        bench.config.cluster,
        bench.config.service,
    )
    if floor is None:
        return skipped("not_scaled")
    if isinstance(desired, int) and desired < floor:
        return remedied("below_floor", desired=desired, floor=floor)
    return GOOD


# --- of the task, as a whole


def _of_task(bench: Bench) -> Iterator[Check]:
    yield Check("TaskSize", lambda: _size(bench))
    yield Check("DefinitionSize", lambda: _bytes(bench))
    for volume in bench.task.get("volumes", ()):
        efs = volume.get("efsVolumeConfiguration") or {}
        if efs.get("fileSystemId"):
            name = str(efs["fileSystemId"])
            yield Check(f"FileSystem[{name}]", _asks_file_system(bench, name))


def _asks_file_system(bench: Bench, name: str) -> Any:
    return lambda: _file_system(bench, name)


def _file_system(bench: Bench, name: str) -> Reply:
    state = proofs.file_system(bench.aws, name).get("LifeCycleState", "available")
    return GOOD if state == "available" else wrong("file_system", state=state)


def _size(bench: Bench) -> Reply:
    """On Fargate CPU and memory are one of the pairs that it offers."""
    if not bench.on_fargate:
        return skipped("own_hosts")
    cpu = _number(bench.task.get("cpu"))
    memory = _number(bench.task.get("memory"))
    if cpu is None or memory is None:
        return wrong("no_size")
    problem = fargate.size_problem(cpu, memory)
    return wrong_as_told(problem) if problem else GOOD


def _number(value: Any) -> int | None:
    """``1 vCPU`` and ``2 GB`` are numbers of 1024."""
    text = str(value or "").strip().lower()
    for unit in ("vcpu", "gb"):
        if text.endswith(unit):
            return _of_1024(text.removesuffix(unit))
    return int(text) if text.isdecimal() else None


def _of_1024(text: str) -> int | None:
    try:
        return int(float(text) * 1024)
    except (ValueError, OverflowError):
        return None


def _bytes(bench: Bench) -> Reply:
    size = len(json.dumps(bench.task, separators=(",", ":")).encode())
    if size > _MOST_DEFINITION:
        return wrong("too_large", size=size, most=_MOST_DEFINITION)
    return ok("bytes", size=size, most=_MOST_DEFINITION)
