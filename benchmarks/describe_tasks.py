"""DescribeTasks of ten tasks: calls per second of kirikae local, against moto's own ECS in the same
run, over one raw connection.

Goal: five times as many.  Rounds alternate.  kirikae local answers through HAProxy, as its users
ask it."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import time

import boto3
from tests.conftest import WEB_IMAGE

from bench import local_endpoint, result
from kirikae.local.files import free_port

CALLS = 300
ROUNDS = 7
TASKS = 10
SCOPE = (
    "AWS4-HMAC-SHA256 Credential=k/20260101/ap-northeast-1/ecs/aws4_request, "
    "SignedHeaders=host, Signature=0"
)


class Caller:
    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(self, operation: str, **params: object) -> dict:
        headers = {
            "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}",
            "Authorization": SCOPE,
            "Content-Type": "application/x-amz-json-1.1",
        }
        self._connection.request("POST", "/", json.dumps(params), headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return json.loads(body or b"{}")


def tasks_of(call: Caller, port: int) -> list[str]:
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "k", "region_name": "ap-northeast-1"}
    ec2 = boto3.client("ec2", endpoint_url=f"http://127.0.0.1:{port}", **keys)
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    call("CreateCluster", clusterName="bench")
    container = {
        "name": "web",
        "image": WEB_IMAGE,
        "memory": 64,
        "cpu": 64,
        "command": ["sleep", "1000"],
    }
    call(
        "RegisterTaskDefinition",
        family="bench",
        containerDefinitions=[container],
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
    )
    network = {"awsvpcConfiguration": {"subnets": [subnet["SubnetId"]], "securityGroups": [group]}}
    told = call(
        "RunTask",
        cluster="bench",
        taskDefinition="bench",
        count=TASKS,
        launchType="FARGATE",
        networkConfiguration=network,
    )
    return [t["taskArn"] for t in told["tasks"]]


def rate(call: Caller, tasks: list[str]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        assert len(call("DescribeTasks", cluster="bench", tasks=tasks)["tasks"]) == TASKS
    return CALLS / (time.perf_counter() - began)


def main() -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as moto:
        try:
            with local_endpoint() as local:
                own = int(local.status["endpoint"].rpartition(":")[2])
                ours = Caller(own)
                theirs = Caller(port)
                mine = tasks_of(ours, own)
                foreign = tasks_of(theirs, port)
                time.sleep(5)
                pairs = [(rate(ours, mine), rate(theirs, foreign)) for _ in range(ROUNDS)]
        finally:
            moto.kill()
    a = statistics.median(p[0] for p in pairs)
    b = statistics.median(p[1] for p in pairs)
    result(
        "DescribeTasks of ten tasks",
        f"median {a:.0f} calls/s of {ROUNDS} rounds; moto {b:.0f} calls/s; ratio "
        f"{a / b:.1f} (goal at least 5)",
    )


if __name__ == "__main__":
    main()
