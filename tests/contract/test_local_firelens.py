"""Log lines of tasks on the real engine: FireLens with a router of one's own, and with the one that
kirikae local plays; subscriptions; Firehose; and Athena over what came of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.forward.messages import Message
from kirikae.local.forward.receiver import Receiver
from tests.conftest import WEB_IMAGE, Endpoint
from tests.pace import eventually
from tests.tidy import gone

pytestmark = [pytest.mark.engine, pytest.mark.prove]

BUCKET = "firelens-lines"
ROUTER = {
    "name": "router",
    "image": "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable",
    "memory": 64,
    "firelensConfiguration": {"type": "fluentbit"},
    "healthCheck": {"command": ["CMD-SHELL", "nc 127.0.0.1 8877"], "interval": 5, "retries": 1},
}
SAYS = ["sh", "-c", "echo one; echo two; exec sleep 600"]


class Bench:
    """A cluster, a bucket, and streams that deliver at once."""

    def __init__(self, local: Endpoint) -> None:
        self.local = local
        self.ecs = local.client("ecs")
        self.s3 = local.client("s3")
        self.firehose = local.client("firehose")
        self.ecs.create_cluster(clusterName="firelens")
        place = {"LocationConstraint": "ap-northeast-1"}
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)

    def stream(self, name: str, **more: Any) -> str:
        """Its ARN; it goes with the test."""
        made = self.firehose.create_delivery_stream(
            DeliveryStreamName=name,
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/hose",
                "BucketARN": f"arn:aws:s3:::{BUCKET}",
                "Prefix": f"{name}/!{{timestamp:yyyy/MM/dd/HH}}/",
                "ErrorOutputPrefix": "bad/!{firehose:error-output-type}/",
                "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
                "CompressionFormat": "GZIP",
                **more,
            },
        )
        self.local.scope.add(lambda: self.firehose.delete_delivery_stream(DeliveryStreamName=name))
        return str(made["DeliveryStreamARN"])

    def run(self, *containers: dict[str, Any]) -> str:
        """The ID of a task that goes with the test."""
        self.ecs.register_task_definition(family="lines", containerDefinitions=list(containers))
        made = self.ecs.run_task(cluster="firelens", taskDefinition="lines")
        task = str(made["tasks"][0]["taskArn"])
        self.local.scope.add(lambda: gone(self.ecs.stop_task, cluster="firelens", task=task))
        return task.rpartition("/")[2]

    def lines(self, prefix: str) -> list[str]:
        """Of every object below it."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        lines = []
        for each in found:
            body = self.s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
            lines += gzip.decompress(body).decode().splitlines()
        return lines

    def until_there(self, prefix: str, count: int) -> list[str]:
        eventually(
            lambda: len(self.lines(prefix)) >= count,
            lambda: f"{count} lines below {prefix}: {self.lines(prefix)}",
        )
        return self.lines(prefix)


@pytest.fixture(scope="module")
def bench(local: Endpoint) -> Bench:
    return Bench(local)


def test_lines_reach_s3_by_a_router_that_is_played_and_by_a_subscription(bench):
    """With the task's metadata; and Athena counts them there."""
    bench.stream("played")
    subscribed = bench.stream(
        "subscribed",
        ProcessingConfiguration={
            "Enabled": True,
            "Processors": [
                {"Type": "Decompression"},
                {
                    "Type": "CloudWatchLogProcessing",
                    "Parameters": [
                        {"ParameterName": "DataMessageExtraction", "ParameterValue": "true"}
                    ],
                },
            ],
        },
    )
    logs = bench.local.client("logs")
    logs.create_log_group(logGroupName="/lines")
    bench.local.scope.add(lambda: logs.delete_log_group(logGroupName="/lines"))
    logs.put_subscription_filter(
        logGroupName="/lines", filterName="two", filterPattern="two", destinationArn=subscribed
    )
    say = {"image": WEB_IMAGE, "memory": 64, "command": SAYS, "stopTimeout": 2}
    firehose = {"Name": "firehose", "region": "ap-northeast-1", "delivery_stream": "played"}
    awslogs = {"awslogs-group": "/lines", "awslogs-region": "ap-northeast-1"}
    task = bench.run(
        ROUTER,
        {
            **say,
            "name": "web",
            "logConfiguration": {"logDriver": "awsfirelens", "options": firehose},
            "dependsOn": [{"containerName": "router", "condition": "HEALTHY"}],
        },
        {**say, "name": "job", "logConfiguration": {"logDriver": "awslogs", "options": awslogs}},
    )
    told = [json.loads(line) for line in bench.until_there("played/", 2)]
    assert [each["log"] for each in told] == ["one", "two"]
    assert {each["ecs_task_arn"].rpartition("/")[2] for each in told} == {task}
    assert bench.until_there("subscribed/", 1) == ["two"]
    found = logs.filter_log_events(logGroupName="/lines", filterPattern="-two")["events"]
    assert [each["message"] for each in found] == ["one"]


class Router:
    """The program of a router of one's own, played by the test: it takes what the engine's driver
    sends to the socket in the task's folder."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    async def keep(self, message: Message) -> None:
        self.heard.append(message)

    def listen(self, socket: Path, count: int) -> list[Any]:
        """The first records."""

        def lines() -> list[Any]:
            return [entry.record for message in self.heard for entry in message.entries]

        async def play() -> None:
            running = asyncio.create_task(Receiver(socket, self.keep).run())
            await asyncio.to_thread(eventually, lambda: len(lines()) >= count, lambda: str(lines()))
            running.cancel()

        asyncio.run(play())
        return lines()


def test_a_router_of_one_s_own_gets_its_configuration_and_the_lines(bench):
    """As ECS generates it, where ECS mounts it; the engine's own driver sends to its socket."""
    shows = "cat /fluent-bit/etc/fluent-bit.conf; exec sleep 600"
    awslogs = {
        "awslogs-group": "/router",
        "awslogs-region": "ap-northeast-1",
        "awslogs-stream-prefix": "p",
        "awslogs-create-group": "true",
    }
    own = {
        "name": "router",
        "image": WEB_IMAGE,
        "memory": 64,
        "stopTimeout": 2,
        "command": ["sh", "-c", shows],
        "firelensConfiguration": {"type": "fluentbit"},
        "logConfiguration": {"logDriver": "awslogs", "options": awslogs},
    }
    output = {"Name": "stdout", "Format": "json_lines"}
    web = {
        "name": "web",
        "image": WEB_IMAGE,
        "memory": 64,
        "stopTimeout": 2,
        "command": ["sh", "-c", "echo $FLUENT_HOST:$FLUENT_PORT; exec sleep 600"],
        "logConfiguration": {"logDriver": "awsfirelens", "options": output},
    }
    task = bench.run(web, own)
    run = Path(json.loads((bench.local.directory / "settings.json").read_text())["run"])
    folder = run / "firelens" / task / "socket"
    eventually(folder.exists, "the router has its folder")
    [record] = Router().listen(folder / "fluent.sock", 1)
    assert record["log"] == "127.0.0.1:24224" and record["container_name"].endswith("-web")
    logs = bench.local.client("logs")
    bench.local.scope.add(lambda: logs.delete_log_group(logGroupName="/router"))

    def shown() -> str:
        found = logs.filter_log_events(logGroupName="/router")["events"]
        return "\n".join(each["message"] for each in found)

    eventually(lambda: "json_lines" in shown(), shown)
    assert "    Match web-firelens*\n    Format json_lines" in shown()
    assert f"    Record ecs_task_definition {bench_definition(bench, task)}" in shown()


def bench_definition(bench: Bench, task: str) -> str:
    """family:revision."""
    found = bench.ecs.describe_tasks(cluster="firelens", tasks=[task])["tasks"][0]
    return str(found["taskDefinitionArn"]).rpartition("/")[2]
