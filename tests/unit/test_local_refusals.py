"""What AWS refuses is refused here: a table of calls, each with who says so
(``tests/data/refusals.toml``)."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.errors import AwsError
from kirikae.local.sqs.api import Sqs
from kirikae.local.sqs.places import Place
from kirikae.local.wire import Json, Query, validate
from tests.local_plane import REGION, LocalPlane

FILE = Path(__file__).parents[1] / "data" / "refusals.toml"
TABLE: list[dict[str, str]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["refusal"]
LEAST = 290
INVALID = {
    "ecs": "InvalidParameterException",
    "elb": "ValidationError",
    "sqs": "InvalidParameterValue",
}
QUEUES = Place(REGION, REGION, "http://127.0.0.1:1")

NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1", "subnet-2"]}}
PATH = {"Field": "path-pattern", "Values": ["/x"]}
FIXED = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}
DEFINITION = {
    "family": "web",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
    "containerDefinitions": [
        {
            "name": "web",
            "image": "x",
            "portMappings": [{"containerPort": 8000}],
            "stopTimeout": 2,
        }
    ],
}
RIGHT: dict[str, dict[str, Any]] = {
    "ecs RegisterTaskDefinition": DEFINITION,
    "ecs RunTask": {
        "taskDefinition": "web",
        "launchType": "FARGATE",
        "networkConfiguration": NETWORK,
    },
    "ecs CreateService": {
        "serviceName": "one",
        "taskDefinition": "web",
        "launchType": "FARGATE",
        "networkConfiguration": NETWORK,
    },
    "ecs CreateCluster": {"clusterName": "one"},
    "ecs TagResource": {"resourceArn": "CLUSTER", "tags": [{"key": "a", "value": "b"}]},
    "elb CreateLoadBalancer": {"Name": "one", "Subnets": ["subnet-1", "subnet-2"]},
    "elb CreateTargetGroup": {
        "Name": "one",
        "Protocol": "HTTP",
        "Port": 80,
        "TargetType": "ip",
        "VpcId": "vpc-1",
    },
    "elb CreateListener": {
        "LoadBalancerArn": "BALANCER",
        "Protocol": "HTTP",
        "Port": 19002,
        "DefaultActions": [FIXED],
    },
    "elb CreateRule": {
        "ListenerArn": "LISTENER",
        "Priority": 1,
        "Conditions": [PATH],
        "Actions": [FIXED],
    },
    "elb RegisterTargets": {"TargetGroupArn": "GROUP", "Targets": [{"Id": "10.0.0.1"}]},
    "ecs UpdateService": {"service": "kept", "desiredCount": 0},
    "ecs CreateCapacityProvider": {
        "name": "group",
        "autoScalingGroupProvider": {"autoScalingGroupArn": "arn:aws:autoscaling:::x"},
    },
    "ecs StopTask": {"task": "TASK"},
    "sqs CreateQueue": {"QueueName": "one"},
    "sqs SendMessage": {"QueueUrl": "QUEUE", "MessageBody": "x"},
    "sqs ReceiveMessage": {"QueueUrl": "QUEUE"},
    "sqs SetQueueAttributes": {"QueueUrl": "QUEUE", "Attributes": {"DelaySeconds": "1"}},
    "sqs ChangeMessageVisibility": {
        "QueueUrl": "QUEUE",
        "ReceiptHandle": "RECEIPT",
        "VisibilityTimeout": 1,
    },
    "sqs DeleteMessage": {"QueueUrl": "QUEUE", "ReceiptHandle": "RECEIPT"},
    "sqs SendMessageBatch": {
        "QueueUrl": "QUEUE",
        "Entries": [{"Id": "a", "MessageBody": "x"}],
    },
    "sqs TagQueue": {"QueueUrl": "QUEUE", "Tags": {"a": "b"}},
    "sqs GetQueueUrl": {"QueueName": "q"},
    "ecs DescribeServices": {"services": ["kept"]},
    "ecs ListClusters": {},
    "ecs ListTasks": {},
    "ecs ListTaskDefinitions": {},
    "ecs DeleteCluster": {"cluster": "free"},
    "ecs DeleteService": {"service": "kept", "force": True},
    "ecs DeregisterTaskDefinition": {"taskDefinition": "web:1"},
    "ecs UpdateTaskProtection": {
        "cluster": "default",
        "tasks": ["TASK"],
        "protectionEnabled": True,
    },
    "ecs PutAccountSetting": {"name": "containerInsights", "value": "enhanced"},
    "elb AddTags": {"ResourceArns": ["BALANCER"], "Tags": [{"Key": "a", "Value": "b"}]},
    "elb DescribeRules": {"ListenerArn": "LISTENER"},
    "elb DescribeListeners": {"LoadBalancerArn": "BALANCER"},
    "elb DescribeTargetGroups": {"Names": ["a"]},
    "elb DescribeLoadBalancers": {"Names": ["a"]},
    "elb ModifyTargetGroupAttributes": {
        "TargetGroupArn": "GROUP",
        "Attributes": [{"Key": "slow_start.duration_seconds", "Value": "30"}],
    },
    "elb ModifyLoadBalancerAttributes": {
        "LoadBalancerArn": "BALANCER",
        "Attributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "4000"}],
    },
    "elb SetSecurityGroups": {"LoadBalancerArn": "BALANCER", "SecurityGroups": ["sg-1"]},
    "elb DeleteTargetGroup": {"TargetGroupArn": "GROUP"},
}
"""A right call of each operation: each row of the table changes one."""


class Account:
    """A cluster, a definition for Fargate and one that is not, a balancer with a listener, and two
    target groups of which one is used."""

    def __init__(self, folder: Path) -> None:
        self.plane = LocalPlane(folder)
        self._answering: dict[str, Any] = {
            "ecs": (Json("ecs", INVALID["ecs"]), self.plane.ecs.operations()),
            "elb": (Query("elbv2", INVALID["elb"]), self.plane.elb.operations()),
            "sqs": (Json("sqs", INVALID["sqs"]), Sqs(self.plane.queues, QUEUES).operations()),
        }
        cluster = self.ask("ecs CreateCluster", {})["cluster"]["clusterArn"]
        self.ask("ecs CreateCluster", {"clusterName": "free"})
        self.ask("ecs RegisterTaskDefinition", DEFINITION)
        plain = [{"name": "web", "image": "x", "memory": 64}]
        self.ask("ecs RegisterTaskDefinition", {"family": "plain", "containerDefinitions": plain})
        mapping = {"portMappings": [{"containerPort": 8000, "hostPort": 80}]}
        published = {"family": "published", "containerDefinitions": [{**plain[0], **mapping}]}
        self.ask("ecs RegisterTaskDefinition", published)
        balancer = self.ask(
            "elb CreateLoadBalancer", {"Name": "a", "Subnets": ["subnet-1", "subnet-2"]}
        )["LoadBalancers"][0]["LoadBalancerArn"]
        group = {"Protocol": "HTTP", "Port": 80, "TargetType": "ip", "VpcId": "vpc-1"}
        unused, used = (
            self.ask("elb CreateTargetGroup", {"Name": name, **group})["TargetGroups"][0][
                "TargetGroupArn"
            ]
            for name in ("a", "b")
        )
        listener = self.ask(
            "elb CreateListener",
            {
                "LoadBalancerArn": balancer,
                "Protocol": "HTTP",
                "Port": 19001,
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": used}],
            },
        )["Listeners"][0]["ListenerArn"]
        vms = self.ask(
            "elb CreateTargetGroup",
            {"Name": "vms", "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-1"},
        )
        self.arns = {
            "VMS": vms["TargetGroups"][0]["TargetGroupArn"],
            "CLUSTER": cluster,
            "BALANCER": balancer,
            "GROUP": unused,
            "USED": used,
            "LISTENER": listener,
            **self._queues(),
            **self._running(),
        }

    def _queues(self) -> dict[str, str]:
        """A queue with a message in flight, and a FIFO queue."""
        url = self.ask("sqs CreateQueue", {"QueueName": "q"})["QueueUrl"]
        self.ask("sqs SendMessage", {"QueueUrl": url, "MessageBody": "x"})
        [took] = self.ask("sqs ReceiveMessage", {"QueueUrl": url})["Messages"]
        fifo = {"QueueName": "f.fifo", "Attributes": {"FifoQueue": "true"}}
        of_fifo = self.ask("sqs CreateQueue", fifo)["QueueUrl"]
        return {"QUEUE": url, "RECEIPT": took["ReceiptHandle"], "FIFO": of_fifo}

    def _running(self) -> dict[str, str]:
        """A task, and a service ``kept``."""
        self.ask("ecs CreateService", {**RIGHT["ecs CreateService"], "serviceName": "kept"})
        return {"TASK": self.ask("ecs RunTask", RIGHT["ecs RunTask"])["tasks"][0]["taskArn"]}

    def ask(self, call: str, params: Any) -> Any:
        """As a client would: checked against the model, then carried out."""
        service, operation = call.split()
        protocol, operations = self._answering[service]
        shape = protocol.model.operation_model(operation).input_shape
        validate(shape, params, INVALID[service])
        return asyncio.run(operations[operation](params))

    def named(self, params: Any) -> Any:
        """With the ARNs of what is there in the place of their names."""
        text = json.dumps(params)
        for name, arn in self.arns.items():
            text = text.replace(f'"{name}"', json.dumps(arn))
        return json.loads(text)


def changed(base: Any, change: Any) -> Any:
    """The base with these members changed; null takes one away."""
    if isinstance(base, list) and isinstance(change, dict):
        return [changed(base[0], change), *base[1:]]
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    merged = {**base}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = changed(base[key], value) if key in base else value
    return merged


@pytest.fixture
def account(tmp_path: Path) -> Any:
    found = Account(tmp_path)
    yield found
    found.plane.close()


@pytest.mark.parametrize("call", RIGHT)
def test_the_right_call_is_carried_out(account, call):
    """So that it is the change of a row that is refused, and nothing else."""
    account.ask(call, account.named(RIGHT[call]))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['call']} {row['change'][:90]}")
def test_what_aws_refuses_is_refused(account, row):
    """With AWS's error code, and nothing is kept of it."""
    params = account.named(changed(RIGHT[row["call"]], json.loads(row["change"])))
    before = json.dumps([table.all() for table in account.plane.tables()])
    with pytest.raises(AwsError) as told:
        account.ask(row["call"], params)
    assert told.value.code == row["code"], told.value
    assert row["words"] in told.value.message, told.value
    assert json.dumps([table.all() for table in account.plane.tables()]) == before


def test_the_table_is_long_enough_and_each_row_has_its_authority():
    """No row stands there twice."""
    assert len(TABLE) >= LEAST
    assert all(row["by"] for row in TABLE)
    assert len({(row["call"], row["change"]) for row in TABLE}) == len(TABLE)
