"""Requests made from botocore's models: each is answered as AWS answers, never with a bare 500, and
none leaves a store that cannot be gone on with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp.test_utils import TestClient, TestServer

from kirikae.local.ecs import api as ecs_api
from kirikae.local.elb import api as elb_api
from kirikae.local.elb import cloudwatch
from kirikae.local.sqs import messageapi, queueapi
from tests.local_plane import LocalPlane
from tests.requests import Request, made

SEED = 20261127
SLICE = 300
WHOLE = 2000


CARRIED_OUT = {
    "ecs": ecs_api.NAMES,
    "elbv2": elb_api.NAMES,
    "sqs": frozenset([*queueapi.OPERATIONS, *messageapi.OPERATIONS]),
    "cloudwatch": frozenset(cloudwatch.OPERATIONS),
}


async def _begun(plane: LocalPlane) -> dict[str, str]:
    """Something to be found, by the members that name it."""
    ecs, elb = plane.ecs.operations(), plane.elb.operations()
    await ecs["CreateCluster"]({})
    container = {"name": "web", "image": "x", "memory": 64}
    await ecs["RegisterTaskDefinition"]({"family": "web", "containerDefinitions": [container]})
    await ecs["CreateService"]({"serviceName": "web", "taskDefinition": "web"})
    task = (await ecs["RunTask"]({"taskDefinition": "web"}))["tasks"][0]["taskArn"]
    balancer = (
        await elb["CreateLoadBalancer"]({"Name": "a", "Subnets": ["subnet-1", "subnet-2"]})
    )["LoadBalancers"][0]["LoadBalancerArn"]
    group = (
        await elb["CreateTargetGroup"](
            {"Name": "a", "Protocol": "HTTP", "Port": 80, "TargetType": "ip", "VpcId": "vpc-1"}
        )
    )["TargetGroups"][0]["TargetGroupArn"]
    asked = {"LoadBalancerArn": balancer, "Port": 19001, "Protocol": "HTTP"}
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}
    await elb["CreateListener"]({**asked, "DefaultActions": [fixed]})
    listener = plane.state.listeners.all()[0]["arn"]
    path = {"Field": "path-pattern", "Values": ["/x"]}
    rule = await elb["CreateRule"](
        {"ListenerArn": listener, "Priority": 1, "Conditions": [path], "Actions": [fixed]}
    )
    await plane.services()["sqs"].serve(
        {"X-Amz-Target": "AmazonSQS.CreateQueue"}, b'{"QueueName": "q"}'
    )
    return {
        "cluster": "default",
        "clusters": "default",
        "service": "web",
        "services": "web",
        "task": task,
        "tasks": task,
        "taskDefinition": "web:1",
        "containerName": "web",
        "image": "x",
        "LoadBalancerArn": balancer,
        "TargetGroupArn": group,
        "ListenerArn": listener,
        "RuleArn": rule["Rules"][0]["RuleArn"],
        "Id": "10.0.0.1",
        "QueueUrl": "http://127.0.0.1:1/123456789012/q",
        "QueueName": "q",
        "TargetType": "ip",
        "Protocol": "HTTP",
        "Namespace": "AWS/ECS",
        "resourceArn": task,
        "ResourceArns": group,
    }


def _fault_of(request: Request, status: int, body: bytes) -> str | None:
    """What is wrong with this answer; None if a client can read it and it is no fault of ours."""
    if status >= 500 and b"InternalFailure" in body:
        return f"a fault of ours: {body[:600]!r}"
    if status >= 500 and b"ServiceUnavailable" not in body:
        return f"status {status}: {body[:300]!r}"
    try:
        told: Any = json.loads(body)
        readable = status < 400 or "__type" in told
    except ValueError:
        try:
            ElementTree.fromstring(body)
            readable = True
        except ElementTree.ParseError:
            readable = False
    return None if readable else f"no client can read {body[:300]!r}"


async def _faults(folder: Path, seed: int, count: int) -> list[str]:
    """Of so many requests over HTTP."""
    plane = LocalPlane(folder)
    known = await _begun(plane)
    found = []
    async with TestClient(TestServer(plane.gateway().application())) as client:
        for request in made(seed, count, known, CARRIED_OUT):
            async with client.post("/", data=request.body, headers=request.headers) as told:
                body = await told.read()
                fault = _fault_of(request, told.status, body)
            if fault is not None:
                found.append(f"{request}: {fault}")
        plane.configuration.rendered()
    plane.close()
    return found


def test_a_slice_of_requests_is_answered_as_aws_would(tmp_path):
    """No bare 500 and no fault of ours; afterwards HAProxy's file can still be written."""
    assert asyncio.run(_faults(tmp_path, SEED, SLICE)) == []


@pytest.mark.prove
def test_all_requests_are_answered_as_aws_would(tmp_path):
    """The whole of it."""
    assert asyncio.run(_faults(tmp_path, SEED + 1, WHOLE)) == []


def test_the_same_seed_makes_the_same_requests():
    """So that a failure can be looked at again."""
    first, again, other = (list(made(seed, 40, {}, CARRIED_OUT)) for seed in (5, 5, 6))
    assert first == again != other
