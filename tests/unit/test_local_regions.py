"""Several regions on one endpoint: each has its own, and nobody reaches into another's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from tests.local_plane import REGION, LocalPlane

ELSEWHERE = "eu-west-1"
FIXED = {"DefaultActions.member.1.Type": "fixed-response"}


class Regions:
    """An endpoint that is asked as a client asks it."""

    def __init__(self, folder: Path) -> None:
        self.plane = LocalPlane(folder)
        self.regions = self.plane.regions()

    def json(self, region: str, call: str, **params: Any) -> Any:
        service, operation = call.split()
        target = {"X-Amz-Target": f"x.{operation}"}
        serve = self.regions.services(region)[service].serve
        told = asyncio.run(serve(target, json.dumps(params).encode()))
        return json.loads(told.body)

    def elb(self, region: str, operation: str, **params: str) -> list[str]:
        """ARNs and error codes of the answer."""
        body = urlencode({"Action": operation, **params}).encode()
        told = asyncio.run(self.regions.services(region)["elasticloadbalancing"].serve({}, body))
        found = [each.text or "" for each in ElementTree.fromstring(told.body).iter()]
        return [text for text in found if text.startswith("arn:") or text.endswith("NotFound")]


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[Regions]:
    found = Regions(tmp_path)
    yield found
    found.plane.close()


def test_each_region_has_its_own_clusters_and_settings(regions):
    """Names may be the same; an ARN of the other one is not found."""
    arns = {}
    for region in (REGION, ELSEWHERE):
        made = regions.json(region, "ecs CreateCluster", clusterName="shop")
        arns[region] = made["cluster"]["clusterArn"]
        assert f":{region}:" in arns[region]
        assert regions.json(region, "ecs ListClusters")["clusterArns"] == [arns[region]]
    told = regions.json(REGION, "ecs DeleteCluster", cluster=arns[ELSEWHERE])
    assert told["__type"] == "ClusterNotFoundException"
    regions.json(ELSEWHERE, "ecs PutAccountSetting", name="containerInsights", value="enabled")
    assert regions.json(REGION, "ecs ListAccountSettings")["settings"] == []
    assert len(regions.json(ELSEWHERE, "ecs ListAccountSettings")["settings"]) == 1
    deleted = regions.json(ELSEWHERE, "ecs DeleteAccountSetting", name="containerInsights")
    assert deleted["setting"]["value"] == "enabled"


def test_a_task_is_of_its_cluster_s_region(regions):
    """Also a service's; a client's token of one region says nothing in another."""
    container = {"name": "web", "image": "x", "memory": 64}
    for region in (REGION, ELSEWHERE):
        regions.json(region, "ecs CreateCluster")
        definition = {"family": "web", "containerDefinitions": [container]}
        regions.json(region, "ecs RegisterTaskDefinition", **definition)
        token = {"clientToken": "a", "taskDefinition": "web"}
        task = regions.json(region, "ecs RunTask", **token)["tasks"][0]
        again = regions.json(region, "ecs RunTask", **token)["tasks"][0]
        assert task["taskArn"] == again["taskArn"]
        assert task["taskArn"].startswith(f"arn:aws:ecs:{region}:")
        assert task["containers"][0]["containerArn"].startswith(f"arn:aws:ecs:{region}:")
        assert regions.json(region, "ecs ListTasks")["taskArns"] == [task["taskArn"]]
    regions.json(ELSEWHERE, "ecs CreateService", serviceName="web", taskDefinition="web")
    assert regions.json(REGION, "ecs ListServices")["serviceArns"] == []
    service = regions.plane.state.services.all()[0]
    started = regions.plane.ecs.new_tasks.start_of_service(service, service["deployments"][0], "")
    assert started["taskArn"].startswith(f"arn:aws:ecs:{ELSEWHERE}:")


def test_each_region_has_its_own_load_balancers(regions):
    """A group's targets are registered where the group is; backends' numbers are of all."""
    group = {"Name": "a", "Protocol": "HTTP", "Port": "80", "TargetType": "ip", "VpcId": "vpc-1"}
    balancer = {"Name": "a", "Subnets.member.1": "subnet-1", "Subnets.member.2": "subnet-2"}
    made = {}
    for region in (REGION, ELSEWHERE):
        made[region] = regions.elb(region, "CreateTargetGroup", **group)[0]
        arn = regions.elb(region, "CreateLoadBalancer", **balancer)[0]
        assert f":{region}:" in arn
        assert regions.elb(region, "DescribeLoadBalancers") == [arn]
    numbers = [row["number"] for row in regions.plane.state.groups.all()]
    assert len(set(numbers)) == len(numbers)
    targets = {"TargetGroupArn": made[ELSEWHERE], "Targets.member.1.Id": "10.0.0.1"}
    assert regions.elb(REGION, "RegisterTargets", **targets) == ["TargetGroupNotFound"]
    assert regions.plane.state.targets.all() == []
    regions.elb(ELSEWHERE, "RegisterTargets", **targets)
    assert len(regions.plane.state.targets.all()) == 1


def test_each_region_has_its_own_queues(regions):
    """Dead letters stay in their region; a queue of the other one is not moved from."""
    urls = {}
    for region in (REGION, ELSEWHERE):
        dead = regions.json(region, "sqs CreateQueue", QueueName="dead")["QueueUrl"]
        arn = f"arn:aws:sqs:{region}:123456789012:dead"
        every = regions.json(
            region, "sqs GetQueueAttributes", QueueUrl=dead, AttributeNames=["All"]
        )
        assert every["Attributes"]["QueueArn"] == arn
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        attributes = {"RedrivePolicy": policy, "VisibilityTimeout": "0"}
        asked = {"QueueName": "q", "Attributes": attributes}
        urls[region] = regions.json(region, "sqs CreateQueue", **asked)["QueueUrl"]
        sources = regions.json(region, "sqs ListDeadLetterSourceQueues", QueueUrl=dead)
        assert sources["queueUrls"] == [urls[region]]
    here = {"QueueUrl": urls[ELSEWHERE]}
    regions.json(ELSEWHERE, "sqs SendMessage", **here, MessageBody="one")
    assert regions.json(REGION, "sqs ReceiveMessage", QueueUrl=urls[REGION]) == {}
    assert len(regions.json(ELSEWHERE, "sqs ReceiveMessage", **here)["Messages"]) == 1
    assert regions.json(ELSEWHERE, "sqs ReceiveMessage", **here) == {}
    counts = {"QueueUrl": urls[ELSEWHERE].replace("/q", "/dead")}
    names = ["ApproximateNumberOfMessages"]
    told = regions.json(ELSEWHERE, "sqs GetQueueAttributes", **counts, AttributeNames=names)
    assert told["Attributes"] == {"ApproximateNumberOfMessages": "1"}
    move = {"SourceArn": f"arn:aws:sqs:{ELSEWHERE}:123456789012:dead"}
    refused = regions.json(REGION, "sqs StartMessageMoveTask", **move)
    assert "ResourceNotFound" in refused["__type"]
    assert "TaskHandle" in regions.json(ELSEWHERE, "sqs StartMessageMoveTask", **move)


def test_what_is_no_region_is_the_instance_s_own(regions):
    """Nobody makes regions up by what he signs for."""
    own = regions.regions.services(REGION)
    for name in ("", "aws-global", "x" * 40, "eu-west-1/..", "EU-WEST-1"):
        assert regions.regions.services(name) is own
    assert regions.regions.services(ELSEWHERE) is not own
