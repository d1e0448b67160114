"""Where tasks go on container instances: expressions, constraints, strategies, and the ports of
this machine (developer guide, "Amazon ECS task placement")."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.ecs.newtasks import with_subnet
from kirikae.local.ecs.query import Seen, parsed
from kirikae.local.errors import AwsError
from tests.local_plane import LocalPlane

SEEN = Seen(
    {"ecs.instance-type": "t2.small", "ecs.availability-zone": "us-east-1a", "stack": "prod"},
    {"ec2InstanceId": "i-1", "agentVersion": "1.10.0", "runningTasksCount": "2"},
    frozenset({"service:web"}),
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("attribute:ecs.instance-type == t2.small", True),
        ("attribute:ecs.instance-type equals t2.micro", False),
        ("attribute:ecs.instance-type =~ t2.*", True),
        ("(attribute:ecs.instance-type matches t3.*)", False),
        ("attribute:ecs.availability-zone in [us-east-1a, us-east-1b]", True),
        ("attribute:ecs.availability-zone not_in [us-east-1a]", False),
        ("attribute:stack exists", True),
        ("attribute:gpu exists", False),
        ("attribute:gpu !exists", True),
        ("attribute:gpu != x", True),
        ("not(attribute:stack == prod)", False),
        ("task:group == service:web", True),
        ("not(task:group == database)", True),
        ("ec2InstanceId in ['i-1', i-2]", True),
        ("agentVersion > 1.9.0", True),
        ("runningTasksCount <= 1", False),
        ("attribute:stack == prod and runningTasksCount == 0 || task:group == service:web", True),
        ("attribute:stack == prod && (runningTasksCount == 0 || task:group == x)", False),
        ('attribute:stack == "prod"', True),
    ],
)
def test_an_expression_means_what_the_developer_guide_says(text, holds):
    """With the short and the long names of operators."""
    assert parsed(text)(SEEN) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "attribute:stack",
        "attribute: == x",
        "stack == prod",
        "attribute:stack == ",
        "attribute:stack ~ prod",
        "attribute:stack in prod",
        "attribute:stack in [prod",
        "(attribute:stack == prod",
        "attribute:stack == prod attribute:stack == prod",
        "attribute:stack =~ [",
        "attribute:stack =~ (a+)+b",
        "attribute:stack =~ .*.*.*.*x",
        "(" * 60 + "attribute:stack == prod" + ")" * 60,
        "attribute:stack == " + "x" * 3000,
        "attribute:stack == 'a",
    ],
)
def test_what_is_no_expression_is_refused(text):
    """Patterns that could keep the control plane busy for ever, too."""
    with pytest.raises(AwsError, match=r"expression|patterns"):
        parsed(text)


class Ground:
    """A cluster with container instances of several kinds."""

    def __init__(self, folder: Path) -> None:
        self.plane = LocalPlane(folder, runs_at_once=True)
        self.operations = self.plane.ecs.operations()
        self.ask("CreateCluster", clusterName="c")
        self.define("plain")
        self.zones: dict[str, str] = {}

    def ask(self, operation: str, **params: Any) -> Any:
        return asyncio.run(self.operations[operation](params))

    def define(self, family: str, mappings: list[Any] | None = None, **more: Any) -> None:
        container: dict[str, Any] = {"name": "a", "image": "x", "memory": 64, "cpu": 128}
        if mappings is not None:
            container["portMappings"] = mappings
        self.ask("RegisterTaskDefinition", family=family, containerDefinitions=[container], **more)

    def instance(self, zone: str, kind: str = "t2.small") -> str:
        said = {
            "instanceId": f"i-{len(self.zones)}",
            "instanceType": kind,
            "availabilityZone": zone,
        }
        asked = {"cluster": "c", "instanceIdentityDocument": json.dumps(said)}
        made = self.ask("RegisterContainerInstance", **asked)["containerInstance"]
        arn: str = made["containerInstanceArn"]
        self.zones[arn] = zone
        return arn

    def run(self, family: str = "plain", **asked: Any) -> tuple[list[str], list[str]]:
        """Where the tasks are, and why others are not there."""
        told = self.ask("RunTask", cluster="c", taskDefinition=family, **asked)
        placed = [each["containerInstanceArn"] for each in told["tasks"]]
        return placed, [each["reason"] for each in told["failures"]]


@pytest.fixture
def ground(tmp_path: Path) -> Any:
    made = Ground(tmp_path)
    yield made
    made.plane.close()


def test_constraints_of_a_request_and_of_a_definition_are_both_held(ground):
    """With ECS's own words for what they do not fit."""
    small, large = ground.instance("a"), ground.instance("b", "m5.large")
    of_type = "attribute:ecs.instance-type =~ m5.*"
    ground.define("large", placementConstraints=[{"type": "memberOf", "expression": of_type}])
    assert ground.run("large", count=3) == ([large] * 3, [])
    in_a = {"type": "memberOf", "expression": "attribute:ecs.availability-zone == a"}
    assert ground.run(placementConstraints=[in_a]) == ([small], [])
    placed, reasons = ground.run("large", placementConstraints=[in_a])
    assert placed == [] and reasons == ["MemberOf placement constraint unsatisfied."] * 2


def test_distinct_instances_take_one_task_of_a_group_each(ground):
    """The third of three has no place on two."""
    both = {ground.instance("a"), ground.instance("b")}
    placed, reasons = ground.run(count=3, placementConstraints=[{"type": "distinctInstance"}])
    assert set(placed) == both
    assert reasons == ["DistinctInstance placement constraint unsatisfied."] * 2


def test_strategies_choose_among_those_that_fit(ground):
    """Spread by zone, and packed by memory."""
    one, two, other = ground.instance("a"), ground.instance("a"), ground.instance("b")
    by_zone = [{"type": "spread", "field": "attribute:ecs.availability-zone"}]
    placed, _ = ground.run(count=4, placementStrategy=by_zone)
    assert sorted(ground.zones[arn] for arn in placed) == ["a", "a", "b", "b"]
    packed, _ = ground.run(count=3, placementStrategy=[{"type": "binpack", "field": "memory"}])
    assert len(set(packed)) == 1 and packed[0] == other
    assert {one, two} <= set(ground.run(count=3)[0])


def test_a_service_keeps_its_constraints_and_tells_them(ground):
    """Changed without a new deployment."""
    there = [{"type": "memberOf", "expression": "attribute:ecs.availability-zone == a"}]
    asked = {"cluster": "c", "serviceName": "s", "taskDefinition": "plain", "desiredCount": 1}
    ground.define("bound", placementConstraints=there)
    bound = {**asked, "serviceName": "bound", "taskDefinition": "bound"}
    assert ground.ask("CreateService", **bound)["service"]["launchType"] == "EC2"
    ground.instance("a")
    made = ground.ask("CreateService", **asked, placementConstraints=there)["service"]
    assert made["placementConstraints"] == there and made["launchType"] == "EC2"
    by_host = [{"type": "spread", "field": "instanceId"}]
    changed = ground.ask("UpdateService", cluster="c", service="s", placementStrategy=by_host)
    assert changed["service"]["placementStrategy"] == by_host
    assert changed["service"]["placementConstraints"] == there
    assert len(changed["service"]["deployments"]) == 1


def test_instances_are_listed_by_an_expression(ground):
    """Also by the groups of their tasks."""
    free, busy = ground.instance("b"), ground.instance("a")
    here = {"type": "memberOf", "expression": "attribute:ecs.availability-zone == a"}
    ground.run(group="night", placementConstraints=[here])
    for text, found in (
        ("task:group == night", busy),
        ("not(task:group == night)", free),
        ("runningTasksCount == 0", free),
    ):
        told = ground.ask("ListContainerInstances", cluster="c", filter=text)
        assert told["containerInstanceArns"] == [found]


def test_a_port_of_this_machine_is_given_once(ground):
    """And is free again once its task has stopped."""
    ground.instance("a")
    ground.define("web", [{"containerPort": 8080, "hostPort": 8123}])
    told = ground.ask("DescribeTaskDefinition", taskDefinition="web")["taskDefinition"]
    assert told["networkMode"] == "bridge" and told["compatibilities"] == ["EC2"]
    begun = ground.ask("RunTask", cluster="c", taskDefinition="web", count=2)
    (task,) = begun["tasks"]
    assert [each["reason"] for each in begun["failures"]] == ["RESOURCE:PORTS"]
    assert task["attachments"] == [] and task["containers"][0]["networkInterfaces"] == []
    ground.ask("StopTask", cluster="c", task=task["taskArn"])
    assert len(ground.run("web")[0]) == 1


def test_a_definition_of_bridge_needs_an_instance(ground):
    """It has no network interface of its own (API reference, RunTask.networkConfiguration)."""
    ground.define("web", [{"containerPort": 8080}], networkMode="bridge")
    with pytest.raises(AwsError, match=r"No Container Instances were found"):
        ground.run("web")
    network = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    with pytest.raises(AwsError, match=r"not valid for the given networkMode"):
        ground.run("web", networkConfiguration=network)
    shown = ground.ask("DescribeTaskDefinition", taskDefinition="web")["taskDefinition"]
    mapping = {"containerPort": 8080, "hostPort": 0, "protocol": "tcp"}
    assert shown["containerDefinitions"][0]["portMappings"] == [mapping]


def test_two_containers_cannot_listen_on_one_port_of_their_task(ground):
    """A task has one network here, also under bridge: told by name."""
    each = {"image": "x", "memory": 64, "portMappings": [{"containerPort": 80}]}
    containers = [{"name": name, **each} for name in ("a", "b")]
    with pytest.raises(AwsError, match="one network"):
        ground.ask(
            "RegisterTaskDefinition",
            family="two",
            networkMode="bridge",
            containerDefinitions=containers,
        )


def test_an_update_asks_whether_load_balancers_reach_the_new_definition(ground):
    """As CreateService does; whether their groups are still there is not asked."""
    ground.define("web", [{"containerPort": 80}], networkMode="awsvpc")
    ground.define("other", [{"containerPort": 81}], networkMode="awsvpc")
    ground.define("published", [{"containerPort": 80, "hostPort": 8123}])
    asked = {"cluster": "c", "serviceName": "s", "taskDefinition": "web", "desiredCount": 0}
    row = ground.ask("CreateService", **asked)["service"]
    bound = [{"targetGroupArn": "gone", "containerName": "a", "containerPort": 80}]
    services = ground.plane.state.services
    services.put(row["serviceArn"], {**services[row["serviceArn"]], "loadBalancers": bound})
    with pytest.raises(AwsError, match=r"does not map port 80"):
        ground.ask("UpdateService", cluster="c", service="s", taskDefinition="other")
    with pytest.raises(AwsError, match=r"incompatible with the bridge network mode"):
        ground.ask("UpdateService", cluster="c", service="s", taskDefinition="published")
    ground.ask("UpdateService", cluster="c", service="s", taskDefinition="web")


def test_a_services_tasks_are_spread_over_its_subnets():
    """As AWS spreads them over zones; a task that stands alone goes to the first."""
    network: Any = {"awsvpcConfiguration": {"subnets": ["subnet-a", "subnet-b"]}}
    placed: list[Any] = []
    for _ in range(3):
        task: Any = {}
        with_subnet(task, network, placed)
        placed.append(task)
    assert [task["_subnet"] for task in placed] == ["subnet-a", "subnet-b", "subnet-a"]
    alone: Any = {}
    with_subnet(alone, {})
    assert alone == {}
