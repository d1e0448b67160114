"""What is kept and told without being carried out: load balancers of networks, groups and listeners
that do not speak HTTP, and the container instances that placement honours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.grounds import Grounds
from kirikae.local.ecs.outside import Outside
from kirikae.local.ecs.services import Services
from kirikae.local.elb.networking import OfStores
from kirikae.local.errors import AwsError
from kirikae.local.state import Within
from kirikae.local.wire import Json, Query, validate
from tests.local_plane import REGION, LocalPlane

INVALID = {"ecs": "InvalidParameterException", "elbv2": "ValidationError"}
CERTIFICATE = f"arn:aws:acm:{REGION}:123456789012:certificate/one"
OTHER = f"arn:aws:acm:{REGION}:123456789012:certificate/two"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:f"


class Account:
    """``ask``: as a client would, checked against the model."""

    def __init__(self, folder: Path) -> None:
        self.plane = LocalPlane(folder, runs_at_once=True)
        self._answering: dict[str, Any] = {
            "ecs": (Json("ecs", INVALID["ecs"]), self.plane.ecs.operations()),
            "elbv2": (Query("elbv2", INVALID["elbv2"]), self.plane.elb.operations()),
        }

    def ask(self, call: str, **params: Any) -> Any:
        service, operation = call.split()
        protocol, operations = self._answering[service]
        validate(protocol.model.operation_model(operation).input_shape, params, INVALID[service])
        return asyncio.run(operations[operation](params))

    def balancer(self, kind: str) -> str:
        subnets = ["subnet-1", "subnet-2"]
        made = self.ask("elbv2 CreateLoadBalancer", Name=f"a-{kind}", Subnets=subnets, Type=kind)
        return str(made["LoadBalancers"][0]["LoadBalancerArn"])

    def group(self, protocol: str, kind: str = "ip", **more: Any) -> str:
        asked = {"Name": f"g-{protocol.replace('_', '-')}-{kind}", "TargetType": kind, **more}
        if protocol:
            asked |= {"Protocol": protocol, "Port": 6081, "VpcId": "vpc-1"}
        made = self.ask("elbv2 CreateTargetGroup", **asked)
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def listener(self, balancer: str, group: str, **more: Any) -> Any:
        forward = {"Type": "forward", "TargetGroupArn": group}
        asked = {"LoadBalancerArn": balancer, "DefaultActions": [forward], **more}
        return self.ask("elbv2 CreateListener", **asked)["Listeners"][0]


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    found = Account(tmp_path)
    yield found
    found.plane.close()


# --- load balancing


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "TLS", "TCP_UDP"])
def test_a_load_balancer_of_a_network_is_told_and_does_not_listen(account, protocol):
    """Port 443 is free of it, and so is every other program of it; its targets are asked
    nothing."""
    arn = account.balancer("network")
    group = account.group("TCP" if protocol == "TLS" else protocol)
    secure = {"Certificates": [{"CertificateArn": CERTIFICATE}]} if protocol == "TLS" else {}
    made = account.listener(arn, group, Protocol=protocol, Port=443, **secure)
    assert ":loadbalancer/net/" in arn and ":listener/net/" in made["ListenerArn"]
    assert (made["Protocol"], made["Port"]) == (protocol, 443)
    assert "443" not in account.plane.door.text
    targets = [{"Id": "10.0.0.1"}]
    account.ask("elbv2 RegisterTargets", TargetGroupArn=group, Targets=targets)
    health = account.ask("elbv2 DescribeTargetHealth", TargetGroupArn=group)
    told = health["TargetHealthDescriptions"][0]["TargetHealth"]
    assert (told["State"], told["Reason"]) == ("unused", "Target.InvalidState")
    assert "10.0.0.1" not in account.plane.door.text


def test_https_is_kept_with_its_certificates(account):
    """The first is the default one; it is replaced by ModifyListener alone."""
    balancer = account.balancer("application")
    group = account.group("HTTP")
    with pytest.raises(AwsError, match="certificate must be specified"):
        account.listener(balancer, group, Protocol="HTTPS", Port=443)
    with pytest.raises(AwsError, match="Certificate lalala not found"):
        wrong = [{"CertificateArn": "lalala"}]
        account.listener(balancer, group, Protocol="HTTPS", Port=443, Certificates=wrong)
    default = [{"CertificateArn": CERTIFICATE}]
    made = account.listener(balancer, group, Protocol="HTTPS", Port=443, Certificates=default)
    assert made["SslPolicy"] == "ELBSecurityPolicy-2016-08" and made["Certificates"] == default
    arn = {"ListenerArn": made["ListenerArn"]}
    account.ask("elbv2 AddListenerCertificates", **arn, Certificates=[{"CertificateArn": OTHER}])
    found = account.ask("elbv2 DescribeListenerCertificates", **arn)["Certificates"]
    assert [(each["CertificateArn"], each["IsDefault"]) for each in found] == [
        (CERTIFICATE, True),
        (OTHER, False),
    ]
    with pytest.raises(AwsError, match="default certificate"):
        account.ask("elbv2 RemoveListenerCertificates", **arn, Certificates=default)
    changed = account.ask("elbv2 ModifyListener", **arn, Protocol="HTTP", Port=19001)
    assert changed["Listeners"][0]["Protocol"] == "HTTP"
    assert "127.0.0.1:19001" in account.plane.door.text
    back = {**arn, "Protocol": "HTTPS", "Certificates": default}
    account.ask("elbv2 ModifyListener", **back)
    assert "127.0.0.1:19001" not in account.plane.door.text


@pytest.mark.parametrize(
    ("balancer", "group", "protocol"),
    [
        ("application", "TCP", "HTTP"),
        ("network", "HTTP", "TCP"),
        ("network", "GENEVE", "TCP"),
        ("gateway", "TCP", ""),
    ],
)
def test_what_a_load_balancer_cannot_forward_to_is_refused(account, balancer, group, protocol):
    """Protocols go together (ELB API reference, CreateListener: IncompatibleProtocols)."""
    place = {"Protocol": protocol, "Port": 19001} if protocol else {}
    with pytest.raises(AwsError) as told:
        account.listener(account.balancer(balancer), account.group(group), **place)
    assert told.value.code == "IncompatibleProtocols"
    assert account.plane.state.listeners.all() == []


def test_functions_and_load_balancers_as_targets(account):
    """Each kind of target has names of its own."""
    functions = account.group("", "lambda")
    told = account.ask("elbv2 DescribeTargetGroups")["TargetGroups"][0]
    assert "Port" not in told and told["HealthCheckEnabled"] is False
    with pytest.raises(AwsError, match="Lambda"):
        account.ask("elbv2 RegisterTargets", TargetGroupArn=functions, Targets=[{"Id": "10.0.0.1"}])
    account.ask("elbv2 RegisterTargets", TargetGroupArn=functions, Targets=[{"Id": FUNCTION}])
    health = account.ask("elbv2 DescribeTargetHealth", TargetGroupArn=functions)
    assert health["TargetHealthDescriptions"][0]["Target"] == {"Id": FUNCTION}
    with pytest.raises(AwsError, match="must have the protocol TCP"):
        account.group("HTTP", "alb")
    of_balancers = account.group("TCP", "alb")
    targets = [{"Id": account.balancer("application")}]
    account.ask("elbv2 RegisterTargets", TargetGroupArn=of_balancers, Targets=targets)


def test_what_is_kept_has_its_own_attributes(account):
    """They may be set; those of others are not recognised."""
    group = account.group("TCP")
    sticky = [{"Key": "stickiness.enabled", "Value": "true"}]
    account.ask("elbv2 ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=sticky)
    for key, value in (
        ("stickiness.type", "lb_cookie"),
        ("slow_start.duration_seconds", "30"),
        ("deregistration_delay.timeout_seconds", "3601"),
    ):
        wrong = [{"Key": key, "Value": value}]
        with pytest.raises(AwsError):
            account.ask("elbv2 ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=wrong)
    arn = account.balancer("network")
    zones = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    told = account.ask("elbv2 ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=zones)
    assert {"Key": "load_balancing.cross_zone.enabled", "Value": "true"} in told["Attributes"]
    idle = [{"Key": "idle_timeout.timeout_seconds", "Value": "60"}]
    with pytest.raises(AwsError, match="not recognized"):
        account.ask("elbv2 ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=idle)


SUBNETS = """<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><subnetSet>
<item><subnetId>subnet-1</subnetId><vpcId>vpc-7</vpcId>
<availabilityZone>ap-northeast-1d</availabilityZone></item></subnetSet></DescribeSubnetsResponse>"""


class Ec2:
    """EC2's part of the stores, with one subnet."""

    async def query(self, service: str, params: Any, region: str) -> str:
        assert (service, params["Action"], region) == ("ec2", "DescribeSubnets", REGION)
        return SUBNETS


def test_zones_come_from_the_subnets():
    """As EC2's part of the stores knows them."""
    found = asyncio.run(OfStores(Ec2(), REGION).subnets(["subnet-1", "subnet-2"]))
    assert {key: (each.zone, each.vpc) for key, each in found.items()} == {
        "subnet-1": ("ap-northeast-1d", "vpc-7")
    }


# --- container instances


def cluster_of(account: Account, *totals: int) -> list[str]:
    """A cluster with instances of so many CPU units, and a definition that wants 1024."""
    account.ask("ecs CreateCluster")
    container = {"name": "web", "image": "x", "memory": 64, "cpu": 1024}
    account.ask("ecs RegisterTaskDefinition", family="web", containerDefinitions=[container])
    arns = []
    for number, total in enumerate(totals):
        document = json.dumps({"instanceId": f"i-{number:017x}"})
        room = [{"name": "CPU", "type": "INTEGER", "integerValue": total}]
        made = account.ask(
            "ecs RegisterContainerInstance", instanceIdentityDocument=document, totalResources=room
        )
        arns.append(made["containerInstance"]["containerInstanceArn"])
    return arns


def where(told: Any) -> list[str]:
    return [task["containerInstanceArn"] for task in told["tasks"]]


def left(account: Account, arn: str) -> int:
    told = account.ask("ecs DescribeContainerInstances", containerInstances=[arn])
    resources = told["containerInstances"][0]["remainingResources"]
    return next(each["integerValue"] for each in resources if each["name"] == "CPU")


def test_tasks_go_where_there_is_room(account):
    """And come back to it when they stop; what has no room stands in the failures, with why."""
    small, large = cluster_of(account, 1024, 2048)
    told = account.ask("ecs RunTask", taskDefinition="web", count=4)
    assert sorted(where(told)) == sorted([small, large, large])
    assert told["failures"] == [
        {"arn": small, "reason": "RESOURCE:CPU"},
        {"arn": large, "reason": "RESOURCE:CPU"},
    ]
    assert (left(account, small), left(account, large)) == (0, 0)
    listed = account.ask("ecs ListTasks", containerInstance=large, launchType="EC2")
    assert len(listed["taskArns"]) == 2
    assert account.ask("ecs ListTasks", launchType="FARGATE")["taskArns"] == []
    account.ask("ecs StopTask", task=listed["taskArns"][0])
    assert left(account, large) == 1024


def test_nothing_new_goes_to_a_draining_instance(account):
    """Its tasks stay; it goes once they are gone, or by force."""
    first, second = cluster_of(account, 4096, 4096)
    drain = {"containerInstances": [first], "status": "DRAINING"}
    account.ask("ecs UpdateContainerInstancesState", **drain)
    assert where(account.ask("ecs RunTask", taskDefinition="web", count=2)) == [second, second]
    with pytest.raises(AwsError, match="running tasks"):
        account.ask("ecs DeregisterContainerInstance", containerInstance=second)
    account.ask("ecs DeregisterContainerInstance", containerInstance=second, force=True)
    left_there = account.ask("ecs ListContainerInstances")["containerInstanceArns"]
    assert left_there == [first]
    told = account.ask("ecs RunTask", taskDefinition="web")
    assert told["failures"] == [{"arn": first, "reason": "INACTIVE"}]


def test_without_an_instance_ec2_places_nothing(account):
    """In AWS's words; without a word about EC2 the task runs as on Fargate (ours)."""
    cluster_of(account)
    with pytest.raises(AwsError, match="No Container Instances were found in your cluster"):
        account.ask("ecs RunTask", taskDefinition="web", launchType="EC2")
    assert account.ask("ecs RunTask", taskDefinition="web")["tasks"][0]["launchType"] == "FARGATE"


def test_start_task_names_its_instances(account):
    """One task on each; one that is not there stands in the failures."""
    first, second = cluster_of(account, 1024, 1024)
    names = [first, second.rpartition("/")[2], "nowhere"]
    told = account.ask("ecs StartTask", taskDefinition="web", containerInstances=names)
    assert where(told) == [first, second]
    assert [each["reason"] for each in told["failures"]] == ["MISSING"]


def test_a_service_on_instances_waits_for_room(account):
    """It says so, and goes on when an instance comes."""
    arns = cluster_of(account, 1024)
    account.ask("ecs CreateService", serviceName="web", taskDefinition="web", desiredCount=2)
    plane = account.plane
    service = plane.state.services.all()[0]
    assert service["launchType"] == "EC2"

    async def look() -> None:
        """One look at the service, and the moment when it looks again."""
        agenda = Agenda(lambda: 1000.0)
        start = plane.ecs.new_tasks.start_of_service
        Services(plane.state, agenda, plane.tasks, start).reconcile(service["serviceArn"], 1000.0)

    asyncio.run(look())
    tasks = plane.state.tasks.all()
    assert [task.get("containerInstanceArn") for task in tasks] == arns
    events = [event["message"] for event in plane.state.services.all()[0]["events"]]
    assert any("unable to place a task" in event for event in events)
    cluster_of(account, 1024, 1024)
    asyncio.run(look())
    assert len(plane.state.tasks.all()) == 2


def test_a_capacity_provider_s_tasks_go_to_instances(account):
    """Only once it is the cluster's; it cannot be deleted then."""
    (arn,) = cluster_of(account, 4096)
    group = {"autoScalingGroupArn": "arn:aws:autoscaling:a"}
    made = account.ask("ecs CreateCapacityProvider", name="own", autoScalingGroupProvider=group)
    assert made["capacityProvider"]["autoScalingGroupProvider"]["managedScaling"] == {
        "status": "DISABLED",
        "targetCapacity": 100,
        "minimumScalingStepSize": 1,
        "maximumScalingStepSize": 10000,
        "instanceWarmupPeriod": 300,
    }
    strategy = [{"capacityProvider": "own", "weight": 1}]
    with pytest.raises(AwsError, match="not associated"):
        account.ask("ecs RunTask", taskDefinition="web", capacityProviderStrategy=strategy)
    account.ask(
        "ecs PutClusterCapacityProviders",
        cluster="default",
        capacityProviders=["own"],
        defaultCapacityProviderStrategy=strategy,
    )
    told = account.ask("ecs RunTask", taskDefinition="web")
    assert where(told) == [arn] and told["tasks"][0]["capacityProviderName"] == "own"
    with pytest.raises(AwsError, match="in use"):
        account.ask("ecs DeleteCapacityProvider", capacityProvider="own")
    failures = account.ask("ecs DescribeCapacityProviders", capacityProviders=["x"])["failures"]
    assert [each["reason"] for each in failures] == ["MISSING"]


def test_attributes_of_instances(account):
    """Put on one or on all, found by name and value, and taken away."""
    first, second = cluster_of(account, 1024, 1024)
    one = {"name": "stack", "value": "a", "targetId": first}
    account.ask("ecs PutAttributes", attributes=[one, {"name": "team", "value": "b"}])
    asked = {"targetType": "container-instance", "attributeName": "team"}
    found = account.ask("ecs ListAttributes", **asked)["attributes"]
    assert {each["targetId"] for each in found} == {first, second}
    account.ask("ecs DeleteAttributes", attributes=[one])
    gone = {"targetType": "container-instance", "attributeName": "stack"}
    assert account.ask("ecs ListAttributes", **gone)["attributes"] == []
    with pytest.raises(AwsError) as told:
        account.ask("ecs PutAttributes", attributes=[{**one, "targetId": "nowhere"}])
    assert told.value.code == "TargetNotFoundException"


def test_task_sets_are_kept_and_told(account):
    """Of services whose controller is EXTERNAL, and of no others."""
    cluster_of(account)
    account.ask("ecs CreateService", serviceName="own", taskDefinition="web")
    with pytest.raises(AwsError, match="EXTERNAL"):
        account.ask("ecs DescribeTaskSets", cluster="default", service="own")
    account.ask(
        "ecs CreateService",
        serviceName="theirs",
        deploymentController={"type": "EXTERNAL"},
        desiredCount=4,
    )
    of = {"cluster": "default", "service": "theirs"}
    half = {"value": 50.0, "unit": "PERCENT"}
    made = account.ask("ecs CreateTaskSet", **of, taskDefinition="web", scale=half)["taskSet"]
    assert (made["computedDesiredCount"], made["runningCount"]) == (2, 0)
    primary = account.ask("ecs UpdateServicePrimaryTaskSet", **of, primaryTaskSet=made["id"])
    assert primary["taskSet"]["status"] == "PRIMARY"
    shown = account.ask("ecs DescribeServices", services=["theirs"])["services"][0]
    assert [each["id"] for each in shown["taskSets"]] == [made["id"]]
    with pytest.raises(AwsError, match="scaled above 0"):
        account.ask("ecs DeleteTaskSet", **of, taskSet=made["taskSetArn"])
    tenth = {"value": 10.0, "unit": "PERCENT"}
    scaled = account.ask("ecs UpdateTaskSet", **of, taskSet=made["id"], scale=tenth)["taskSet"]
    assert scaled["computedDesiredCount"] == 1
    account.ask("ecs DeleteTaskSet", **of, taskSet=made["taskSetArn"], force=True)
    assert account.ask("ecs DescribeTaskSets", **of)["taskSets"] == []


def test_a_command_inside_a_task_is_refused_with_what_does_it(account):
    """After AWS's own checks: the task, whether it may, the container."""
    cluster_of(account)
    asked = {"cluster": "default", "interactive": True, "command": "/bin/sh"}
    with pytest.raises(AwsError, match="not found"):
        account.ask("ecs ExecuteCommand", **asked, task="none")
    for enabled, why in ((False, "not enabled"), (True, r"docker exec -it engine-\w+-web /bin/sh")):
        made = account.ask("ecs RunTask", taskDefinition="web", enableExecuteCommand=enabled)
        task = made["tasks"][0]
        assert task["enableExecuteCommand"] is enabled
        with pytest.raises(AwsError, match=why):
            account.ask("ecs ExecuteCommand", **asked, task=task["taskArn"])
    with pytest.raises(AwsError, match="none of this name"):
        account.ask("ecs ExecuteCommand", **asked, task=task["taskArn"], container="other")


def test_records_are_of_their_region(account):
    """Another region's view has none of them."""
    cluster_of(account, 1024)
    elsewhere = Within(account.plane.state, "eu-west-1", REGION)
    assert elsewhere.instances.all() == [] and elsewhere.clusters.all() == []
    here = Within(account.plane.state, REGION, REGION)
    assert len(here.instances.all()) == 1


@pytest.mark.parametrize(
    ("subnet", "group", "taken"),
    [
        ("subnet-known", "sg-known", True),
        ("subnet-known", "sg-unknown", False),
        ("subnet-unknown", "sg-unknown", True),
    ],
)
def test_security_groups_are_where_their_subnets_are(subnet, group, taken):
    """Who made the subnets in EC2's part made the groups there; others name another account's."""

    class Stores:
        async def query(self, service: str, params: Any, region: str) -> str:
            known = {
                "DescribeSubnets": "<subnetId>subnet-known</subnetId><vpcId>v</vpcId>"
                "<availabilityZone>a</availabilityZone>",
                "DescribeSecurityGroups": "<groupId>sg-known</groupId>",
            }
            return f"<r><item>{known[params['Action']]}</item></r>"

    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    asked = Grounds(Outside(OfStores(Stores(), REGION))).check({"networkConfiguration": network})
    if taken:
        asyncio.run(asked)
        return
    with pytest.raises(AwsError, match="The security group 'sg-unknown' does not exist"):
        asyncio.run(asked)


def test_the_interface_of_a_task_says_where_it_is(account):
    """Its subnet is the one that was asked for; before the task has an address there is none."""
    cluster_of(account)
    network = {"awsvpcConfiguration": {"subnets": ["subnet-7", "subnet-8"]}}
    ran = account.ask("ecs RunTask", taskDefinition="web", networkConfiguration=network)
    task = ran["tasks"][0]["taskArn"].rpartition("/")[2]
    assert ran["tasks"][0]["attachments"][0]["details"] == []
    tasks = account.plane.state.tasks
    tasks.put(task, {**tasks[task], "address": "172.18.0.255"})
    told = account.ask("ecs DescribeTasks", tasks=[task])["tasks"][0]["attachments"][0]
    details = {each["name"]: each["value"] for each in told["details"]}
    assert details == {
        "subnetId": "subnet-7",
        "networkInterfaceId": f"eni-{task[:17]}",
        "macAddress": "02:42:ac:12:00:ff",
        "privateDnsName": f"ip-172-18-0-255.{REGION}.compute.internal",
        "privateIPv4Address": "172.18.0.255",
    }
