"""Rules and schedules fire for real: into queues, and as tasks whose containers run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import WEB_IMAGE, Endpoint
from tests.pace import eventually
from tests.tidy import gone

pytestmark = pytest.mark.engine

CLUSTER = "events"
ROLE = "arn:aws:iam::123456789012:role/fires"
ACCOUNT = "arn:aws:{}:ap-northeast-1:123456789012:{}"


class Bureau:
    """A cluster, a definition whose container ends, and queues that are asked."""

    def __init__(self, local: Endpoint) -> None:
        self.local = local
        self.ecs, self.sqs, self.events, self.scheduler = map(
            local.client, ("ecs", "sqs", "events", "scheduler")
        )
        self.cluster = self.ecs.create_cluster(clusterName=CLUSTER)["cluster"]["clusterArn"]
        container = {"name": "a", "image": WEB_IMAGE, "memory": 32, "stopTimeout": 0}
        made = self.ecs.register_task_definition(
            family="fired",
            containerDefinitions=[{**container, "command": ["sh", "-c", "exit 0"]}],
        )
        self.definition = made["taskDefinition"]["taskDefinitionArn"]

    def queue(self, name: str) -> tuple[str, str]:
        """Its URL and its ARN; it goes with the test."""
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.local.scope.add(lambda: gone(self.sqs.delete_queue, QueueUrl=url))
        return url, ACCOUNT.format("sqs", name)

    def rule(self, name: str, target: dict[str, Any], **asked: Any) -> None:
        """It goes with the test."""
        self.events.put_rule(Name=name, **asked)
        told = self.events.put_targets(Rule=name, Targets=[{"Id": "1", **target}])
        assert told["FailedEntryCount"] == 0, told
        self.local.scope.add(lambda: self._drop(name))

    def _drop(self, name: str) -> None:
        with suppress(ClientError):
            self.events.remove_targets(Rule=name, Ids=["1"])
            self.events.delete_rule(Name=name)

    def messages(self, url: str) -> Iterator[Any]:
        """Taken out."""
        asked = {"QueueUrl": url, "MaxNumberOfMessages": 10}
        for each in self.sqs.receive_message(**asked).get("Messages", []):
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
            yield json.loads(each["Body"])

    def told(self, url: str, enough: Callable[[list[Any]], Any], seconds: float) -> list[Any]:
        """All messages, once there are enough."""
        found: list[Any] = []

        def look() -> Any:
            found.extend(self.messages(url))
            return enough(found)

        eventually(look, f"enough messages came: {found}", seconds, lambda: len(found))
        return found

    def stopped(self, started_by: str) -> list[dict[str, Any]]:
        """Tasks that somebody started, and that have ended."""
        asked = {"cluster": CLUSTER, "startedBy": started_by, "desiredStatus": "STOPPED"}
        arns = self.ecs.list_tasks(**asked)["taskArns"]
        if not arns:
            return []
        found = self.ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]
        return [each for each in found if each["lastStatus"] == "STOPPED"]


@pytest.fixture(scope="module")
def bureau(local: Endpoint) -> Bureau:
    return Bureau(local)


def test_a_rule_hears_how_a_task_ends(bureau):
    """ECS Task State Change, with the task as DescribeTasks tells it."""
    url, arn = bureau.queue("ends")
    pattern = {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {"lastStatus": ["STOPPED"], "clusterArn": [bureau.cluster]},
    }
    bureau.rule("ends", {"Arn": arn}, EventPattern=json.dumps(pattern))
    ran = bureau.ecs.run_task(cluster=CLUSTER, taskDefinition="fired")["tasks"][0]["taskArn"]
    event = bureau.told(url, len, 60)[0]
    assert event["resources"] == [ran] and event["detail"]["lastStatus"] == "STOPPED"
    assert event["detail"]["containers"][0]["exitCode"] == 0
    assert event["detail"]["stopCode"] == "EssentialContainerExited"


@pytest.mark.prove
def test_schedules_and_rules_fire_when_their_minute_comes(bureau):
    """A single time and a rate: a task in a container of its own, and messages."""
    url, arn = bureau.queue("fires")
    runs = {
        "Arn": bureau.cluster,
        "RoleArn": ROLE,
        "EcsParameters": {"TaskDefinitionArn": bureau.definition, "TaskCount": 2},
    }
    bureau.rule(
        "each", {"Arn": arn, "Input": '{"by": "rule"}'}, ScheduleExpression="rate(1 minute)"
    )
    bureau.rule("tasks", runs, ScheduleExpression="rate(1 minute)")
    soon = time.strftime("%Y-%m-%dT%H:%M:00", time.gmtime(time.time() + 60))
    for name, target in (
        ("once", {"Arn": arn, "RoleArn": ROLE, "Input": '{"by": "schedule"}'}),
        ("once-tasks", runs),
    ):
        bureau.scheduler.create_schedule(
            Name=name,
            ScheduleExpression=f"at({soon})",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target=target,
        )
    heard = bureau.told(url, lambda found: len({each["by"] for each in found}) == 2, 150)
    assert sum(each["by"] == "schedule" for each in heard) == 1
    for by in ("events-rule/tasks", "chronos-schedule/once-tasks"):
        eventually(lambda by=by: len(bureau.stopped(by)) >= 2, f"both of {by} ran", 60)
        ended = bureau.stopped(by)
        assert {each["containers"][0]["exitCode"] for each in ended} == {0}
    eventually(
        lambda: "once" not in str(bureau.scheduler.list_schedules()["Schedules"]),
        "what fires once goes",
        30,
    )
