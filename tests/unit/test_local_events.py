"""EventBridge Scheduler and rules of kirikae local: they fire, once, into queues and clusters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from kirikae.local.events.clockwork import Clockwork, Listening
from kirikae.local.events.delivery import Delivery, Order, run_task_of
from kirikae.local.events.deploying import Deployings
from kirikae.local.events.kept import Target, Timed, refusal, rule_of, schedule_of
from kirikae.local.events.making import clockwork_of
from kirikae.local.events.moto import OfMoto, _read
from kirikae.local.events.patterns import fits, problem_of
from kirikae.local.state import State
from kirikae.local.stores import Stores
from tests.keeper import KeeperProcess
from tests.local_plane import REGION, LocalPlane

NOON = int(datetime(2026, 3, 8, 12, tzinfo=UTC).timestamp() // 60)
SQS = f"arn:aws:sqs:{REGION}:123456789012:"
SCHEDULE = f"arn:aws:scheduler:{REGION}:123456789012:schedule/default/nightly"


def schedule(expression: str, target: dict[str, Any] | None = None, **more: Any) -> Timed:
    """As moto tells one."""
    told = {
        "Arn": SCHEDULE,
        "Name": "nightly",
        "ScheduleExpression": expression,
        "State": "ENABLED",
        "Target": target or {"Arn": f"{SQS}jobs"},
        **more,
    }
    found = schedule_of(told)
    assert found is not None
    return found


def rule(expression: str, *targets: dict[str, Any]) -> Timed:
    arn = f"arn:aws:events:{REGION}:123456789012:rule/tick"
    told = {"Arn": arn, "Name": "tick", "ScheduleExpression": expression}
    found = rule_of(told, targets or ({"Arn": f"{SQS}jobs"},))
    assert found is not None
    return found


# --- when


def wall(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() // 60)


@pytest.mark.parametrize(
    ("timed", "seen", "last", "now", "dues"),
    [
        (schedule("rate(5 minutes)"), NOON, NOON - 1, NOON + 10, [0, 5, 10]),
        (rule("rate(5 minutes)"), NOON, NOON - 1, NOON + 10, [5, 10]),
        (rule("rate(1 minute)"), NOON, NOON + 1, NOON + 2, [2]),
        (schedule("cron(30 12 * * ? *)"), NOON, NOON - 1, NOON + 59, [30]),
        (schedule("cron(0/20 12 8 3 ? 2026)"), NOON, NOON + 5, NOON + 59, [20, 40]),
        (schedule("cron(0 12 L * ? *)"), NOON, NOON - 1, NOON + 59, []),
        (schedule("at(2026-03-08T12:10:00)"), NOON, NOON - 1, NOON + 59, [10]),
        (schedule("at(2026-03-08T11:00:00)"), NOON, NOON - 1, NOON + 59, []),
    ],
)
def test_it_fires_in_the_minutes_of_its_expression(timed, seen, last, now, dues):
    assert [due - NOON for due in timed.dues(seen, last, now)] == dues


def test_a_zone_s_clock_is_followed_and_a_gap_is_left_out():
    """New York, 2026-03-08: 02:30 does not exist; EventBridge Scheduler does not fire then."""
    timed = schedule("cron(30 2 * * ? *)", ScheduleExpressionTimezone="America/New_York")
    begin = wall("2026-03-07T00:00:00+00:00")
    dues = timed.dues(begin, begin - 1, begin + 1440)
    assert dues == [wall("2026-03-07T02:30:00-05:00")]
    dues = timed.dues(begin, begin + 1440, begin + 2880)
    assert dues == []


def test_begin_and_end_hold_for_all_but_a_single_time():
    at = {"StartDate": (NOON + 10) * 60, "EndDate": (NOON + 20) * 60}
    assert [
        due - NOON for due in schedule("rate(5 minutes)", **at).dues(NOON, NOON, NOON + 60)
    ] == [
        10,
        15,
        20,
    ]
    once = schedule("at(2026-03-08T12:30:00)", **at)
    assert [due - NOON for due in once.dues(NOON, NOON, NOON + 60)] == [30]


@pytest.mark.parametrize("change", [{"State": "DISABLED"}, {"ScheduleExpression": "nonsense"}])
def test_what_is_disabled_or_no_expression_does_not_fire(change):
    told = {"Arn": SCHEDULE, "Name": "x", "ScheduleExpression": "rate(1 minute)"}
    assert schedule_of({**told, "Target": {"Arn": f"{SQS}jobs"}, **change}) is None


@pytest.mark.parametrize(
    ("service", "expression", "zone", "taken"),
    [
        ("scheduler", "cron(0 1 * * * *)", None, False),
        ("scheduler", "rate(10 seconds)", None, False),
        ("scheduler", "at(2021-12-31T23:59:59Z)", None, False),
        ("scheduler", "at(2021-12-31T23:59:59)", "Asia/Tokyo", True),
        ("scheduler", "rate(1 minutes)", None, True),
        ("events", "rate(1 minutes)", None, False),
        ("events", "at(2021-12-31T23:59:59)", None, False),
        ("scheduler", "rate(1 minute)", "Nowhere/At_all", False),
        ("events", "", None, True),
    ],
)
def test_what_aws_does_not_take_is_refused(service, expression, zone, taken):
    """moto keeps every nonsense."""
    asked = {"ScheduleExpression": expression, "ScheduleExpressionTimezone": zone}
    assert (refusal(service, "", asked) == "") is taken


# --- which events


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ({"source": ["aws.ecs"]}, True),
        ({"source": ["aws.ec2", "aws.ecs"], "detail": {"lastStatus": ["STOPPED"]}}, True),
        ({"detail": {"lastStatus": ["RUNNING"]}}, False),
        ({"detail": {"group": [{"prefix": "service:"}]}}, True),
        ({"detail": {"group": [{"anything-but": ["service:web"]}]}}, False),
        ({"detail": {"group": [{"anything-but": {"prefix": "family:"}}]}}, True),
        ({"detail": {"startedBy": [{"exists": False}]}}, True),
        ({"detail": {"group": [{"exists": False}]}}, False),
        ({"detail": {"cpu": [{"numeric": [">", 100, "<=", 256]}]}}, True),
        ({"detail": {"none": ["x"]}}, False),
        ({"detail": {"names": ["b"]}}, True),
        ({"nothing": {"inside": ["x"]}}, False),
        ({"detail": {"group": [{"wildcard": "serv*:*b"}]}}, True),
        ({"detail": {"group": [{"wildcard": "service.*"}]}}, False),
        ({"detail": {"group": [{"wildcard": "service:we\\*"}]}}, False),
        ({"detail": {"group": [{"anything-but": {"wildcard": "*web"}}]}}, False),
        ({"detail": {"group": [{"prefix": {"equals-ignore-case": "SERVICE"}}]}}, True),
        ({"detail": {"address": [{"cidr": "10.0.0.0/24"}]}}, True),
        ({"detail": {"group": [{"cidr": "10.0.0.0/24"}]}}, False),
        ({"$or": [{"source": ["x"]}, {"detail": {"cpu": [256]}}]}, True),
        ({"detail": {"$or": [{"cpu": [1]}, {"group": ["x"]}]}}, False),
    ],
)
def test_a_pattern_wants_an_event_or_not(pattern, wanted):
    detail = {
        "lastStatus": "STOPPED",
        "group": "service:web",
        "cpu": 256,
        "names": ["a", "b"],
        "address": "10.0.0.7",
    }
    assert problem_of(pattern) == ""
    assert fits(pattern, {"source": "aws.ecs", "detail": detail}) is wanted


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ([], "is an object"),
        ({}, "is an object"),
        ({"source": "aws.ecs"}, "must be an object or an array"),
        ({"source": []}, "must be an object or an array"),
        ({"detail": {"x": [{"prefix": 5}]}}, "'prefix' does not take 5"),
        ({"detail": {"x": [{"numeric": ["<"]}]}}, "'numeric' does not take"),
        ({"detail": {"x": [{"numeric": ["<", "5"]}]}}, "'numeric' does not take"),
        ({"detail": {"x": [{"exists": "true"}]}}, "'exists' does not take"),
        ({"detail": {"x": [{"cidr": "10.0.0.0/64"}]}}, "'cidr' does not take"),
        ({"detail": {"x": [{"wildcard": "a**"}]}}, "'wildcard' does not take"),
        ({"detail": {"x": [{"anything-but": {"numeric": ["<", 1]}}]}}, "does not take"),
        ({"detail": {"x": [{"regex": "a"}]}}, "no comparison"),
        ({"detail": {"x": [{"prefix": "a", "suffix": "b"}]}}, "one comparison"),
        ({"$or": [{"source": 5}]}, "must be an object or an array"),
        ({"detail": {"x": [["a"]]}}, "an array in an array"),
    ],
)
def test_a_pattern_that_nothing_could_be_compared_with_is_none(pattern, why):
    """One of these once ended the control plane, and again at each start."""
    assert why in problem_of(pattern)


# --- whom


class Kept:
    """Schedules and rules as a test writes them."""

    def __init__(self, *timed: Timed) -> None:
        self.all = list(timed)
        self.rules: list[Listening] = []
        self.deleted: list[str] = []
        self.away = False

    async def timed(self, region: str) -> list[Timed]:
        if self.away:
            raise OSError("away")
        return self.all

    async def listening(self, region: str) -> list[Listening]:
        return self.rules

    async def gone(self, region: str, timed: Timed) -> None:
        self.deleted.append(timed.name)


class Place:
    """The API without an engine; tasks run as soon as they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plane = LocalPlane(folder, runs_at_once=True)
        self.now = NOON * 60.0
        self.paused: list[float] = []

    def clockwork(self, kept: Kept) -> Clockwork:
        made = clockwork_of(self.plane.state, self.plane.stores, self.plane.regions())
        made._kept = kept
        made._clock = lambda: self.now
        return made

    async def ask(self, service: str, operation: str, **asked: Any) -> Any:
        return await Delivery(self.plane.regions().services, "http://x").ask(
            REGION, service, operation, asked
        )

    async def bodies(self, queue: str = "jobs") -> list[str]:
        found = await self.ask(
            "sqs", "ReceiveMessage", QueueUrl=f"http://x/1/{queue}", MaxNumberOfMessages=10
        )
        return [each["Body"] for each in found.get("Messages", [])]

    async def look(self, clockwork: Clockwork) -> None:
        await clockwork.look()
        await asyncio.gather(*clockwork._delivery._under_way)


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.plane.close()


def test_a_schedule_sends_its_input_once_a_minute_and_not_again_after_a_crash(place):
    """The time it was due at stands in it, as kirikae's own export wants it."""
    target = {"Arn": f"{SQS}jobs", "Input": '{"due": "<aws.scheduler.scheduled-time>"}'}
    kept = Kept(schedule("rate(1 minute)", target))

    async def play() -> list[str]:
        await place.ask("sqs", "CreateQueue", QueueName="jobs")
        first = place.clockwork(kept)
        for _ in range(2):
            await place.look(first)
        place.now += 60
        await place.look(first)
        again = place.clockwork(kept)
        await place.look(again)
        place.now += 120
        await place.look(again)
        return await place.bodies()

    times = [json.loads(body)["due"] for body in asyncio.run(play())]
    assert sorted(times) == [f"2026-03-08T12:0{n}:00Z" for n in range(4)]


def test_stores_that_do_not_answer_lose_no_minute(place):
    kept = Kept(schedule("cron(1 12 * * ? *)"))

    async def play() -> list[str]:
        await place.ask("sqs", "CreateQueue", QueueName="jobs")
        clockwork = place.clockwork(kept)
        await place.look(clockwork)
        kept.away = True
        place.now += 60
        with pytest.raises(OSError):
            await clockwork.look()
        kept.away = False
        await place.look(clockwork)
        return await place.bodies()

    assert asyncio.run(play()) == ["{}"]


@pytest.mark.parametrize("expression", ["rate(1 minute)", "cron(* * * * ? *)"])
def test_what_was_disabled_or_deleted_makes_up_nothing_when_it_is_back(place, expression):
    """Only what the control plane itself has missed is delivered late."""
    kept = Kept(schedule(expression))

    async def play() -> list[str]:
        await place.ask("sqs", "CreateQueue", QueueName="jobs")
        clockwork = place.clockwork(kept)
        await place.look(clockwork)
        timed, kept.all = kept.all, []
        place.now += 60
        await place.look(clockwork)
        place.now += 6 * 3600
        again = place.clockwork(kept)
        kept.all = timed
        await place.look(again)
        return await place.bodies()

    assert asyncio.run(play()) == ["{}", "{}"]


def test_a_rule_sends_a_scheduled_event(place):
    async def play() -> list[str]:
        await place.ask("sqs", "CreateQueue", QueueName="jobs")
        clockwork = place.clockwork(Kept(rule("rate(1 minute)")))
        await place.look(clockwork)
        place.now += 60
        await place.look(clockwork)
        return await place.bodies()

    [body] = asyncio.run(play())
    event = json.loads(body)
    assert (event["detail-type"], event["time"]) == ("Scheduled Event", "2026-03-08T12:01:00Z")


def test_a_fifo_queue_needs_content_based_deduplication_else_the_dead_letter_queue_has_it(place):
    """And a constant input would be suppressed for five minutes: the time makes it another one."""
    target = {
        "Arn": f"{SQS}jobs.fifo",
        "Input": "<aws.scheduler.scheduled-time>",
        "SqsParameters": {"MessageGroupId": "nightly"},
        "DeadLetterConfig": {"Arn": f"{SQS}dead"},
    }
    kept = Kept(schedule("rate(1 minute)", target))

    async def play(by_content: str) -> tuple[list[str], list[str]]:
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": by_content}
        await place.ask("sqs", "CreateQueue", QueueName="jobs.fifo", Attributes=attributes)
        await place.ask("sqs", "CreateQueue", QueueName="dead")
        await place.look(place.clockwork(kept))
        found = await place.bodies("jobs.fifo"), await place.bodies("dead")
        await place.ask("sqs", "DeleteQueue", QueueUrl="http://x/1/jobs.fifo")
        place.now += 60
        return found

    assert asyncio.run(play("true")) == (["2026-03-08T12:00:00Z"], [])
    assert asyncio.run(play("false")) == ([], ["2026-03-08T12:01:00Z"])


def test_a_single_time_is_deleted_when_it_is_asked_for(place):
    once = schedule("at(2026-03-08T12:01:00)", ActionAfterCompletion="DELETE")
    kept = Kept(once)

    async def play() -> None:
        await place.ask("sqs", "CreateQueue", QueueName="jobs")
        clockwork = place.clockwork(kept)
        await place.look(clockwork)
        assert kept.deleted == []
        place.now += 60
        await place.look(clockwork)

    asyncio.run(play())
    assert kept.deleted == ["nightly"]


def test_tasks_are_run_in_a_cluster_and_their_changes_are_told(place):
    """RunTask by a schedule; a rule with a pattern sends what became of the task to a queue."""
    cluster = f"arn:aws:ecs:{REGION}:123456789012:cluster/shop"
    overrides = {"containerOverrides": [{"name": "job", "command": ["true"]}]}
    target = {
        "Arn": cluster,
        "Input": json.dumps(overrides),
        "EcsParameters": {
            "TaskDefinitionArn": "job",
            "TaskCount": 2,
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": ["subnet-1"]}},
        },
    }
    pattern = {"source": ["aws.ecs"], "detail": {"lastStatus": ["RUNNING"]}}
    kept = Kept(schedule("cron(1 12 * * ? *)", target))
    kept.rules = [Listening("arn:aws:events:x:1:rule/r", pattern, (Target(f"{SQS}jobs"),))]

    async def play() -> tuple[list[Any], list[str]]:
        await place.ask("sqs", "CreateQueue", QueueName="jobs")
        await place.ask("ecs", "CreateCluster", clusterName="shop")
        container = {"name": "job", "image": "busybox", "memory": 64}
        await place.ask(
            "ecs",
            "RegisterTaskDefinition",
            family="job",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[container],
        )
        clockwork = place.clockwork(kept)
        await place.look(clockwork)
        place.now += 60
        await place.look(clockwork)
        await place.look(clockwork)
        told = await place.ask("ecs", "ListTasks", cluster="shop")
        tasks = await place.ask("ecs", "DescribeTasks", cluster="shop", tasks=told["taskArns"])
        return tasks["tasks"], await place.bodies()

    tasks, bodies = asyncio.run(play())
    assert len(tasks) == 2
    assert {task["startedBy"] for task in tasks} == {"chronos-schedule/nightly"}
    assert tasks[0]["overrides"]["containerOverrides"][0]["command"] == ["true"]
    events = [json.loads(body) for body in bodies]
    assert {event["detail"]["taskArn"] for event in events} == {t["taskArn"] for t in tasks}
    assert {event["detail-type"] for event in events} == {"ECS Task State Change"}


@pytest.mark.parametrize("change", [{"ScheduleExpressionTimezone": "Mars/Base"}, {"Target": None}])
def test_what_cannot_be_read_does_not_fire_and_stops_nothing(change):
    told = {"Arn": SCHEDULE, "Name": "x", "ScheduleExpression": "rate(1 minute)"}
    assert _read(schedule_of, {**told, "Target": {"Arn": f"{SQS}jobs"}, **change}) is None


def test_schedules_and_rules_are_read_as_moto_keeps_them(tmp_path):
    """Written through boto3, with a group, a zone and targets; the deleted one is gone."""
    keeper = KeeperProcess(tmp_path)
    try:
        client = partial(
            boto3.client,
            region_name=REGION,
            endpoint_url=keeper.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="k",
            aws_secret_access_key="k",
        )
        schedules, rules = client("scheduler"), client("events")
        schedules.create_schedule_group(Name="jobs")
        sqs = {"Arn": f"{SQS}jobs.fifo", "RoleArn": "arn:aws:iam::123456789012:role/r"}
        schedules.create_schedule(
            Name="nightly",
            GroupName="jobs",
            ScheduleExpression="cron(0 3 * * ? *)",
            ScheduleExpressionTimezone="Asia/Tokyo",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={**sqs, "SqsParameters": {"MessageGroupId": "g"}, "Input": "x"},
        )
        rules.put_rule(Name="tick", ScheduleExpression="rate(5 minutes)")
        rules.put_rule(Name="stops", EventPattern='{"source": ["aws.ecs"]}')
        rules.put_rule(Name="off", ScheduleExpression="rate(1 minute)", State="DISABLED")
        for name in ("tick", "stops", "off"):
            rules.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": f"{SQS}jobs"}])
        asyncio.run(_read_back(Stores(tmp_path, keeper.port, REGION)))
    finally:
        keeper.kill()


async def _read_back(stores: Stores) -> None:
    kept = OfMoto(stores)
    found = {each.name: each for each in await kept.timed(REGION)}
    assert set(found) == {"nightly", "tick"}
    nightly = found["nightly"]
    assert nightly.zone.name == "Asia/Tokyo" and nightly.targets[0].group == "g"
    assert nightly.targets[0].input == "x" and found["tick"].targets[0].arn == f"{SQS}jobs"
    [listening] = await kept.listening(REGION)
    assert listening.pattern == {"source": ["aws.ecs"]}
    await kept.gone(REGION, nightly)
    assert [each.name for each in await kept.timed(REGION)] == ["tick"]
    assert await kept.timed("us-west-2") == []
    await stores.close()


MANY = 60
"""More than one of moto's pages."""


def test_all_pages_are_read_and_what_cannot_be_read_stops_nothing(tmp_path):
    keeper = KeeperProcess(tmp_path)
    try:
        client = partial(
            boto3.client,
            region_name=REGION,
            endpoint_url=keeper.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="k",
            aws_secret_access_key="k",
        )
        schedules, rules = client("scheduler"), client("events")
        role = {"RoleArn": "arn:aws:iam::123456789012:role/r"}
        target = {"Arn": f"{SQS}jobs", **role}
        with pytest.raises(ClientError) as refused:
            schedules.create_schedule(
                Name="elsewhere",
                ScheduleExpression="rate(1 minute)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target={"Arn": "arn:aws:lambda:r:123456789012:function:f", **role},
            )
        told = refused.value.response["Error"]  # in the protocol of services with paths, too
        assert told["Code"] == "UnsupportedOperation" and "does not deliver" in told["Message"]
        for name in (*map(str, range(MANY)), "a%2Fb"):
            schedules.create_schedule(
                Name=name,
                ScheduleExpression="rate(1 minute)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target=target,
            )
            rules.put_rule(Name=name, EventPattern='{"source": ["aws.ecs"]}')
        rules.put_rule(Name="poison", EventPattern='{"detail": {"x": [{"prefix": 5}]}}')
        rules.put_rule(Name="tick", ScheduleExpression="rate(5 minutes)")
        for n in range(MANY // 10):
            targets = [{"Id": str(i), "Arn": f"{SQS}{i}"} for i in range(10 * n, 10 * n + 10)]
            rules.put_targets(Rule="tick", Targets=targets)
        rules.put_rule(Name="twice", ScheduleExpression="rate(5 minutes)")
        for n in range(MANY // 10):
            targets = [{"Id": str(i), "Arn": f"{SQS}jobs"} for i in range(10 * n, 10 * n + 10)]
            rules.put_targets(Rule="twice", Targets=targets)
        asyncio.run(_all_there(Stores(tmp_path, keeper.port, REGION)))
    finally:
        keeper.kill()


async def _all_there(stores: Stores) -> None:
    kept = OfMoto(stores)
    timed = {each.name: each for each in await kept.timed(REGION)}
    assert set(map(str, range(MANY))) <= set(timed)
    assert len({target.arn for target in timed["tick"].targets}) == MANY
    assert "twice" in timed
    assert len(await kept.listening(REGION)) == MANY + 1
    await stores.close()


def test_what_fails_is_tried_again_with_the_same_token_until_it_is_given_up():
    target = replace(
        Target("arn:aws:ecs:x:1:cluster/c"), ecs={"TaskDefinitionArn": "t"}, attempts=3
    )
    order = Order(REGION, SCHEDULE, "2026-03-08T12:00:00Z", target, "{}")
    asked: list[Any] = []
    paused: list[float] = []

    class Failing:
        async def serve(self, headers: Any, body: bytes) -> Any:
            asked.append(json.loads(body))
            return type("Reply", (), {"status": 503, "body": b'{"__type": "Unavailable"}'})

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    asyncio.run(Delivery(lambda region: {"ecs": Failing()}, "http://x", pause).deliver(order))
    assert paused == [1.0, 2.0, 4.0] and len(asked) == 4
    assert len({each["clientToken"] for each in asked}) == 1
    assert run_task_of(order, "no json")["cluster"] == target.arn


def test_what_a_target_says_of_its_tasks_goes_along():
    """Constraints, strategies and tags, in the words of rules and of schedules."""
    there = [{"type": "memberOf", "expression": "attribute:a exists"}]
    told = {
        "TaskDefinitionArn": "d",
        "PlacementConstraints": there,
        "PlacementStrategy": [{"type": "random"}],
        "EnableECSManagedTags": True,
        "Tags": [{"Key": "team", "Value": "shop"}],
    }
    arn = "arn:aws:ecs:r:1:cluster/c"
    order = Order(REGION, "arn:aws:events:r:1:rule/r", "m", Target(arn, None, "", told), "{}")
    asked = run_task_of(order, "{}")
    assert asked["placementConstraints"] == there
    assert asked["placementStrategy"] == [{"type": "random"}]
    assert asked["enableECSManagedTags"] is True
    assert asked["tags"] == [{"key": "team", "value": "shop"}]


# --- deployments


class Ways:
    """One service's deployments as ECS writes them."""

    def __init__(self, state: State) -> None:
        self.state = state

    def stand(self, *entries: tuple[str, str], back_from: str = "") -> None:
        """(ID, state) of each entry; ``back_from``: traffic goes back from this one."""
        arn = f"arn:aws:ecs:{REGION}:123456789012:service/shop/web"
        rows: Any = [
            {
                "id": key,
                "rolloutState": state,
                "rolloutStateReason": f"{key} is {state}",
                "updatedAt": 1_800_000_000.0,
                "_revision": f"revision-{key}",
                "_serviceDeployment": f"way-{key}",
            }
            for key, state in entries
        ]
        service: Any = {"serviceArn": arn, "deployments": rows}
        self.state.services.put(arn, service)
        if back_from:
            way: Any = {"_target": f"revision-{back_from}", "rollback": {"reason": "harm"}}
            self.state.service_deployments.put(f"way-{back_from}", way)

    def told(self, deployings: Deployings) -> list[tuple[str, str]]:
        """What is told now, and kept."""
        found = deployings.changes()
        for each in found:
            deployings.keep(each)
        deployings.forget()
        details = [each.event()["detail"] for each in found]
        return [
            (each["deploymentId"], each["eventName"].removeprefix("SERVICE_DEPLOYMENT_"))
            for each in details
        ]


@pytest.fixture
def ways(tmp_path) -> Iterator[Ways]:
    state = State(tmp_path / "state.db")
    yield Ways(state)
    state.close()


def test_each_deployment_is_told_once_as_it_begins_and_ends(ways):
    """One that was over before anybody listened is not told; one that is over at once has begun."""
    ways.stand(("one", "COMPLETED"))
    watch = Deployings(ways.state)
    assert ways.told(watch) == []
    ways.stand(("two", "IN_PROGRESS"), ("one", "COMPLETED"))
    assert ways.told(watch) == [("two", "IN_PROGRESS")]
    assert ways.told(watch) == []
    ways.stand(("two", "COMPLETED"))
    assert ways.told(watch) == [("two", "COMPLETED")]
    ways.stand(("three", "FAILED"), ("two", "COMPLETED"))
    assert ways.told(watch) == [("three", "IN_PROGRESS"), ("three", "FAILED")]


def test_what_traffic_went_back_from_has_failed(ways):
    """ECS shows its entry as IN_PROGRESS until it is gone."""
    watch = Deployings(ways.state)
    ways.stand(("bad", "IN_PROGRESS"), ("old", "COMPLETED"))
    assert ("bad", "IN_PROGRESS") in ways.told(watch)
    ways.stand(("old", "IN_PROGRESS"), ("bad", "IN_PROGRESS"), back_from="bad")
    assert ways.told(watch) == [("old", "IN_PROGRESS"), ("bad", "FAILED")]
    ways.stand(("old", "COMPLETED"))
    assert ways.told(watch) == [("old", "COMPLETED")]


def test_a_deployment_that_ended_as_the_control_plane_died_is_told_by_the_next_one(ways):
    """Written down only after it was told: at least once."""
    first = Deployings(ways.state)
    ways.stand(("two", "IN_PROGRESS"))
    assert ways.told(first) == [("two", "IN_PROGRESS")]
    ways.stand(("two", "COMPLETED"))
    assert [each.state for each in first.changes()] == ["COMPLETED"], "and killed before it is kept"
    assert ways.told(Deployings(ways.state)) == [("two", "COMPLETED")]
    assert ways.told(Deployings(ways.state)) == []


def test_a_rule_brings_a_deployment_to_its_queue(place):
    """With AWS's words."""
    kept = Kept()
    pattern = {"detail-type": ["ECS Deployment State Change"]}
    kept.rules = [Listening("arn:aws:events:x:1:rule/r", pattern, (Target(f"{SQS}jobs"),))]
    standing = Ways(place.plane.state)

    async def play() -> list[str]:
        await place.ask("sqs", "CreateQueue", QueueName="jobs")
        clockwork = place.clockwork(kept)
        standing.stand(("two", "IN_PROGRESS"))
        await place.look(clockwork)
        await place.look(clockwork)
        return await place.bodies()

    (body,) = asyncio.run(play())
    event = json.loads(body)
    assert (event["source"], event["resources"][0][-8:]) == ("aws.ecs", "shop/web")
    assert event["detail"] == {
        "eventType": "INFO",
        "eventName": "SERVICE_DEPLOYMENT_IN_PROGRESS",
        "deploymentId": "two",
        "updatedAt": "2027-01-15T08:00:00Z",
        "reason": "two is IN_PROGRESS",
    }
