"""Deployments of kirikae local that shift traffic: their stages as values, and a whole life of one
in a world without an engine."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.alarmstates import AlarmSeen, read_alarms
from kirikae.local.ecs.course import (
    ALL,
    STAGES,
    Seen,
    acted_on,
    advanced,
    answered,
    begun,
    keeps,
    refusal,
    shares_of,
    turned,
)
from kirikae.local.ecs.courses import Courses
from kirikae.local.ecs.deployments import begin
from kirikae.local.ecs.ending import stop
from kirikae.local.ecs.outside import Outside
from kirikae.local.ecs.services import Services
from kirikae.local.ecs.shifting import bindings_of
from kirikae.local.ecs.showndeployments import show_service_deployment
from kirikae.local.ecs.strategies import ROLLING, wished
from kirikae.local.ecs.taskrow import is_live
from kirikae.local.elb.actions import forward_groups
from kirikae.local.errors import AwsError
from kirikae.local.rows import Deployment, Service, Task
from kirikae.local.state import State

CLUSTER = "arn:aws:ecs:r:1:cluster/c"
SERVICE = "arn:aws:ecs:r:1:service/c/s"
BLUE = "arn:aws:elb:r:1:targetgroup/blue/1"
GREEN = "arn:aws:elb:r:1:targetgroup/green/2"
PRODUCTION = "arn:rule/production"
TEST = "arn:rule/test"
FUNCTION = "arn:aws:lambda:r:1:function:judge"
CANARY: Any = {
    "strategy": "CANARY",
    "bakeTimeInMinutes": 1,
    "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 2},
}
BLUE_GREEN: Any = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1}
GOOD = Seen(now=0.0, whole=True, target=1, source=1, others=0)


def hook(stage: str, kind: str = "AWS_LAMBDA", **more: Any) -> dict[str, Any]:
    target = {} if kind == "PAUSE" else {"hookTargetArn": FUNCTION, "roleArn": "r"}
    return {"targetType": kind, "lifecycleStages": [stage], **target, **more}


# --- values


def test_shares_follow_the_strategy():
    """One step, a canary and the rest, or equal steps whose last one is all of it."""
    assert shares_of(BLUE_GREEN) == ([1000], 0)
    assert shares_of({"strategy": "CANARY"}) == ([50, 1000], 10)
    assert shares_of(CANARY) == ([100, 1000], 2)
    linear: Any = {"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 33.3}}
    assert shares_of(linear) == ([333, 666, 999, 1000], 6)
    assert shares_of({"strategy": "LINEAR"})[0] == list(range(100, 1001, 100))


@given(
    st.sampled_from(["BLUE_GREEN", "LINEAR", "CANARY"]),
    st.booleans(),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 900), st.integers(0, 9))),
)
def test_a_course_never_leaves_traffic_without_tasks(kind, others, looks):
    """Whatever is seen: shares only rise until it turns, whoever has traffic is kept, and stages
    follow each other in AWS's order."""
    course = begun({"strategy": kind, "bakeTimeInMinutes": 3}, "old", others, 0.0)
    now = 0.0
    for whole, judged, passed, trouble in looks:
        now += passed
        before = course
        target, source = int(keeps(course, "target")), int(keeps(course, "source"))
        left = int(keeps(course, "other"))
        course = advanced(course, Seen(now, whole, target, source, left, judged))
        if trouble == 0:
            course = turned(course, "by hand", now)
        assert keeps(course, "target") or not (course["production"] or course["test"])
        assert keeps(course, "source") or course["production"] == ALL
        if not course["back"]:
            assert course["production"] >= before["production"]
        course = {**course, "shifted": True}
    for _ in range(60):
        now += 10_000
        target, source = int(keeps(course, "target")), int(keeps(course, "source"))
        course = {**advanced(course, Seen(now, True, target, source, 0)), "shifted": True}
    assert course["stage"] == "OVER"
    assert course["production"] == (0 if course["back"] else ALL)


def test_a_share_is_given_on_only_by_alarms_that_were_read():
    """No figure is no pass: without a reading, the canary stays where it is."""
    course = {**begun(CANARY, "old", False, 0.0), "shifted": True}
    course = {**advanced(course, GOOD), "shifted": True}
    course = {**advanced(course, GOOD), "shifted": True}
    assert (course["stage"], course["production"]) == ("PRODUCTION_TRAFFIC_SHIFT", 100)
    late = {"now": 1000.0, "whole": True, "target": 1, "source": 1, "others": 0}
    assert advanced(course, Seen(**late, judged=False)) == course
    assert advanced(course, Seen(**late, judged=True))["production"] == ALL


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ({"hookStatus": "SUCCEEDED"}, "SUCCEEDED"),
        ({"hookStatus": "FAILED"}, "FAILED"),
        ({"hookStatus": "succeeded"}, "FAILED"),
        ({}, "FAILED"),
        (None, "FAILED"),
        (["SUCCEEDED"], "FAILED"),
    ],
)
def test_a_function_says_how_it_goes_on(reply, status):
    """Anything but a status that AWS knows is a failure."""
    course = begun({**CANARY, "lifecycleHooks": [hook("PRE_SCALE_UP")]}, "old", False, 0.0)
    after = answered(course, course["hooks"][0]["id"], reply, 1.0)
    assert after["hooks"][0]["status"] == status
    assert bool(refusal(after)) == (status == "FAILED")
    assert (advanced(after, GOOD)["stage"] == "PRE_SCALE_UP") == (status == "FAILED")


def test_a_function_that_is_not_done_is_asked_again():
    """After its own delay, with what it gave itself."""
    course = begun({**CANARY, "lifecycleHooks": [hook("PRE_SCALE_UP")]}, "old", False, 0.0)
    own = course["hooks"][0]["id"]
    reply = {"hookStatus": "IN_PROGRESS", "callBackDelay": 60, "hookDetails": {"n": 1}}
    after = answered(course, own, reply, 5.0)["hooks"][0]
    assert (after["due"], after["details"]) == (65.0, {"n": 1})
    assert answered(course, own, {"hookStatus": "IN_PROGRESS"}, 5.0)["hooks"][0]["due"] == 35.0


def test_a_pause_waits_until_somebody_acts_or_its_time_is_over():
    """CONTINUE goes on, ROLLBACK back; after the time-out the action that was asked for."""
    pause = hook("POST_SCALE_UP", "PAUSE", timeoutConfiguration={"timeoutInMinutes": 5})
    course = begun({**CANARY, "lifecycleHooks": [pause]}, "old", False, 0.0)
    course = advanced({**course, "shifted": True}, GOOD)
    own = course["hooks"][0]["id"]
    assert course["stage"] == "POST_SCALE_UP"
    assert acted_on(course, "another", "CONTINUE") is None
    assert advanced(acted_on(course, own, "CONTINUE"), GOOD)["stage"] == "TEST_TRAFFIC_SHIFT"
    assert refusal(acted_on(course, own, "ROLLBACK"))
    late = Seen(now=300.0, whole=True, target=1, source=1, others=0)
    assert "timed out" in refusal(advanced(course, late))
    going_on = {**course["hooks"][0], "timeoutAction": "CONTINUE"}
    assert advanced({**course, "hooks": [going_on]}, late)["stage"] == "TEST_TRAFFIC_SHIFT"


def test_alarms_are_read_from_the_answer_of_cloudwatch():
    """State, and how far its evaluation looks back; what is no answer is an error."""
    told = """<DescribeAlarmsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/">
    <DescribeAlarmsResult><MetricAlarms><member><AlarmName>a</AlarmName><StateValue>ALARM
    </StateValue><Period>60</Period><EvaluationPeriods>3</EvaluationPeriods></member></MetricAlarms>
    <CompositeAlarms><member><AlarmName>b</AlarmName><StateValue>OK</StateValue></member>
    </CompositeAlarms></DescribeAlarmsResult></DescribeAlarmsResponse>"""
    assert read_alarms(told) == {"a": AlarmSeen(True, 180.0), "b": AlarmSeen(False, 0.0)}
    with pytest.raises(OSError, match="cannot be read"):
        read_alarms("<html>")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"strategy": "BLUE_GREEN"}, "bakeTimeInMinutes is required"),
        ({"bakeTimeInMinutes": 1441, "strategy": "CANARY"}, "0 to 1440"),
        ({"strategy": "CANARY", "linearConfiguration": {"stepPercent": 10.0}}, "only valid with"),
        ({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 0.05}}, "multiple of 0.1"),
        ({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 2.9}}, "from 3.0"),
        ({"lifecycleHooks": [hook("PRE_SCALE_UP")]}, "need the strategy"),
        ({"strategy": "CANARY", "lifecycleHooks": [hook("TEST_TRAFFIC_SHIFT", "PAUSE")]}, "cannot"),
        ({"strategy": "CANARY", "lifecycleHooks": [{"lifecycleStages": ["PRE_SCALE_UP"]}]}, "ARN"),
        ({"strategy": "CANARY", "lifecycleHooks": [{"hookTargetArn": FUNCTION}]}, "Stages"),
        ({"alarms": {"alarmNames": [], "enable": True, "rollback": True}}, "alarmNames"),
        ({"earlySuccessCriteria": {"enable": True}}, "does not carry out"),
    ],
)
def test_what_cannot_be_deployed_so_is_refused(asked, why):
    """Shares, times, hooks and alarms, each by its name."""
    with pytest.raises(AwsError, match=why):
        wished(asked, ROLLING)


def test_what_is_not_asked_anew_stays():
    """But for what belongs to another strategy; and what is switched off is no wish."""
    assert wished({}, CANARY) == CANARY
    quick = wished({"bakeTimeInMinutes": 0}, CANARY)
    assert quick == {**CANARY, "bakeTimeInMinutes": 0}
    assert wished({"strategy": "BLUE_GREEN"}, CANARY) == BLUE_GREEN
    assert wished({"earlySuccessCriteria": {"enable": False}}, ROLLING) == ROLLING


# --- a whole life


class Alarms:
    """CloudWatch's part; None: it does not answer."""

    def __init__(self) -> None:
        self.states: dict[str, bool] | None = {}

    async def of(self, names: Sequence[str]) -> Mapping[str, AlarmSeen]:
        if self.states is None:
            raise OSError("nobody answers")
        known = [name for name in names if name in self.states]
        return {name: AlarmSeen(self.states[name], 60.0) for name in known}


class Functions:
    """Lambda's part."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.replies: list[Any] = []

    async def call(self, arn: str, payload: Any) -> object:
        self.heard.append(payload)
        reply = self.replies.pop(0) if self.replies else {"hookStatus": "SUCCEEDED"}
        if isinstance(reply, Exception):
            raise reply
        return reply


class World:
    """Tasks run and are well as soon as they are started, unless ``sick``; HAProxy believes what
    the rules say when it is told."""

    def __init__(self, folder: Path, deploys: Any, **more: Any) -> None:
        self.path = folder / "state.db"
        self.now = 1000.0
        self.ids = itertools.count()
        self.sick = False
        self.door_fails = False
        self.told: dict[str, dict[str, int]] = {}
        self.alarms = Alarms()
        self.functions = Functions()
        self.state = State(self.path)
        for arn in (PRODUCTION, TEST):
            action = {"Type": "forward", "TargetGroupArn": BLUE}
            self.state.rules.put(arn, {"arn": arn, "actions": [action]})  # type: ignore[typeddict-item]
        advanced = {
            "alternateTargetGroupArn": GREEN,
            "productionListenerRule": PRODUCTION,
            "testListenerRule": TEST,
            "roleArn": "r",
        }
        balancer = {
            "targetGroupArn": BLUE,
            "containerName": "a",
            "containerPort": 80,
            "advancedConfiguration": advanced,
        }
        row: Any = {
            "serviceArn": SERVICE,
            "serviceName": "s",
            "clusterArn": CLUSTER,
            "status": "ACTIVE",
            "desiredCount": 2,
            "events": [],
            "deployments": [],
            "taskDefinition": "d:0",
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "healthCheckGracePeriodSeconds": 0,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            "loadBalancers": [balancer],
            "_deploys": deploys,
            **more,
        }
        begin(self.state, row)
        self.again()

    def again(self) -> None:
        """A control plane that knows only what the store says."""
        self.state.close()
        self.state = State(self.path)
        agenda = Agenda(lambda: self.now)
        self.services = Services(self.state, agenda, self, self.start, clock=lambda: self.now)
        outside: Any = Outside(None, self.functions, self.alarms)  # type: ignore[arg-type]
        self.courses = Courses(
            self.state,
            agenda,
            self.services.is_whole,
            self.tell_door,
            asyncio.Lock(),
            lambda region: outside,
            lambda: self.now,
        )

    async def tell_door(self) -> None:
        if self.door_fails:
            raise OSError("HAProxy does not answer")
        self.told = {
            rule["arn"]: dict(forward_groups(rule["actions"])) for rule in self.state.rules.all()
        }

    def stop(self, task_id: str, code: str, reason: str) -> None:
        task = self.state.tasks[task_id]
        stopped: Any = {"desiredStatus": "STOPPED", "lastStatus": "STOPPED", "stopCode": code}
        self.state.tasks.put(task_id, {**task, **stopped})
        self.assert_served()

    def start(self, service: Service, deployment: Deployment, provider: str) -> Task:
        key = f"t{next(self.ids)}"
        revision = self.state.revisions[deployment["_revision"]]
        row: Any = {
            "id": key,
            "clusterArn": CLUSTER,
            "group": "service:s",
            "startedBy": deployment["id"],
            "desiredStatus": "STOPPED" if self.sick else "RUNNING",
            "lastStatus": "STOPPED" if self.sick else "RUNNING",
            "stopCode": "TaskFailedToStart" if self.sick else "",
            "createdAt": self.now,
            "startedAt": self.now,
            "_revision": deployment["_revision"],
            "_bindings": [],
            "_group": bindings_of(revision)[0]["targetGroupArn"],
            "containers": [{"_checked": True, "essential": True}],
            "healthStatus": "HEALTHY",
        }
        return self.state.tasks.put(key, row)

    def live(self) -> dict[str, int]:
        """Target group -> its live tasks."""
        counts: dict[str, int] = {}
        for task in self.state.tasks.all():
            if is_live(task):
                group = task["_group"]  # type: ignore[typeddict-item]
                counts[group] = counts.get(group, 0) + 1
        return counts

    def assert_served(self) -> None:
        """No group to which HAProxy sends anything is without tasks."""
        if self.live():
            for weights in self.told.values():
                for group, weight in weights.items():
                    assert not weight or self.live().get(group), (self.told, self.live())

    def look(self, seconds: float = 1.0) -> None:
        """A look of both, some time later."""
        self.now += seconds
        self.services.sweep()

        async def once() -> None:
            await self.courses.look(SERVICE)
            await asyncio.gather(*self.courses._calls.values())
            self.courses._calls.clear()

        try:
            asyncio.run(once())
        except (OSError, AwsError):
            pass
        self.services.sweep()

    def deploy(self, definition: str) -> None:
        begin(self.state, {**self.service, "taskDefinition": definition})

    @property
    def service(self) -> Service:
        return self.state.services[SERVICE]

    def way(self) -> dict[str, Any]:
        """The newest service deployment as AWS shows it."""
        rows = self.state.service_deployments.all()
        row = max(rows, key=lambda each: each["createdAt"])
        return show_service_deployment(row, self.service, self.state.tasks.all())

    def until(self, stage: str, seconds: float = 1.0) -> dict[str, Any]:
        """Looks until it is in this stage, or has this status."""
        for _ in range(60):
            way = self.way()
            if stage in (way.get("lifecycleStage"), way["status"]):
                return way
            self.look(seconds)
        raise AssertionError(f"never {stage}: {self.way()}")


def started(folder: Path, deploys: Any, **more: Any) -> World:
    """A service whose first revision is there, and a second one that begins."""
    world = World(folder, {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}, **more)
    world.until("SUCCESSFUL")
    assert world.live() == {BLUE: 2}
    assert world.told[PRODUCTION] == {BLUE: 999, GREEN: 0}
    world.state.services.put(SERVICE, {**world.service, "_deploys": deploys})
    world.deploy("d:1")
    return world


def test_a_canary_goes_over_step_by_step(tmp_path):
    """Test traffic first, then a part of production, then all, then the bake time; the former
    tasks go last, and the next deployment goes back to the first group."""
    world = started(tmp_path, CANARY)
    world.until("PRODUCTION_TRAFFIC_SHIFT")
    world.look()
    assert world.told == {PRODUCTION: {BLUE: 900, GREEN: 100}, TEST: {BLUE: 0, GREEN: 999}}
    shown = world.way()
    assert shown["targetServiceRevision"]["requestedProductionTrafficWeight"] == 10.0
    assert shown["sourceServiceRevisions"][0]["requestedProductionTrafficWeight"] == 90.0
    assert world.live() == {BLUE: 2, GREEN: 2}
    world.look(100)
    assert world.told[PRODUCTION] == {BLUE: 900, GREEN: 100}, "its bake time is two minutes"
    world.until("BAKE_TIME", 30)
    assert world.told[PRODUCTION] == {BLUE: 0, GREEN: 999}
    assert world.live() == {BLUE: 2, GREEN: 2}
    world.until("SUCCESSFUL", 30)
    assert world.live() == {GREEN: 2}
    assert [each["rolloutState"] for each in world.service["deployments"]] == ["COMPLETED"]
    world.deploy("d:2")
    world.until("SUCCESSFUL", 60)
    assert world.live() == {BLUE: 2}
    assert world.told[PRODUCTION] == {BLUE: 999, GREEN: 0}


@pytest.mark.parametrize("deploys", [BLUE_GREEN, CANARY], ids=["blue-green", "canary"])
@pytest.mark.parametrize("stage", [each for each in STAGES[2:10] if each[:7] != "PRE_PRO"])
def test_stopped_anywhere_it_goes_back(tmp_path, deploys, stage):
    """StopServiceDeployment, and a control plane that is killed at every look."""
    hooks = [hook(each, "PAUSE") for each in STAGES if each.startswith("POST")]
    world = started(tmp_path, {**deploys, "lifecycleHooks": hooks})
    world.sick = stage == "SCALE_UP"
    for _ in range(60):
        world.again()
        way = world.way()
        if way.get("lifecycleStage") == stage:
            break
        for key, row in [(r["serviceDeploymentArn"], r) for r in running(world)]:
            for each in way["lifecycleHookDetails"]:
                after = acted_on(row["_course"], each["hookId"], "CONTINUE")
                if after is not None:
                    world.state.service_deployments.put(key, {**row, "_course": after})
        world.look(30)
    assert world.way()["lifecycleStage"] == stage
    stop(world.state, world.service, "by hand", True)
    world.sick = False
    for _ in range(10):
        world.again()
        world.look()
    assert world.way()["status"] == "ROLLBACK_SUCCESSFUL"
    assert world.live() == {BLUE: 2}
    assert world.service["taskDefinition"] == "d:0"
    assert {rule: each[GREEN] for rule, each in world.told.items()} == {PRODUCTION: 0, TEST: 0}


def running(world: World) -> list[Any]:
    return [r for r in world.state.service_deployments.all() if r["status"] == "IN_PROGRESS"]


def alarmed(deploys: Any, rollback: bool = True) -> Any:
    return {**deploys, "alarms": {"alarmNames": ["a"], "enable": True, "rollback": rollback}}


def test_an_alarm_takes_a_canary_back(tmp_path):
    """Production traffic at the same look, test traffic and tasks after it."""
    world = World(tmp_path, alarmed(CANARY))
    world.alarms.states = {"a": False}
    world.until("SUCCESSFUL")
    world.deploy("d:1")
    world.until("PRODUCTION_TRAFFIC_SHIFT")
    world.look()
    assert world.told[PRODUCTION][GREEN] == 100
    world.alarms.states = {"a": True}
    world.look()
    assert world.told[PRODUCTION][GREEN] == 0
    assert world.live() == {BLUE: 2, GREEN: 2}
    way = world.until("ROLLBACK_SUCCESSFUL")
    assert world.live() == {BLUE: 2}
    assert way["alarms"] == {
        "status": "TRIGGERED",
        "alarmNames": ["a"],
        "triggeredAlarmNames": ["a"],
    }
    assert "a went into ALARM" in way["rollback"]["reason"]


def test_alarms_that_do_not_answer_hold_the_share(tmp_path):
    """It waits for as long as nobody can say how the alarms stand, and goes on then."""
    world = World(tmp_path, alarmed(CANARY))
    world.alarms.states = {"a": False}
    world.until("SUCCESSFUL")
    world.deploy("d:1")
    world.until("PRODUCTION_TRAFFIC_SHIFT")
    world.alarms.states = None
    for _ in range(5):
        world.look(1000)
    assert world.way()["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT"
    world.alarms.states = {"a": False}
    world.until("SUCCESSFUL", 100)


def test_an_alarm_that_is_gone_holds_the_share(tmp_path):
    """Whoever deleted it has not said that all is well."""
    world = started(tmp_path, alarmed(CANARY))
    world.alarms.states = {"a": False}
    world.until("PRODUCTION_TRAFFIC_SHIFT")
    world.alarms.states = {}
    for _ in range(5):
        world.look(1000)
    assert world.way()["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT"


def test_an_alarm_that_rings_already_is_not_watched(tmp_path):
    """A deployment may be what silences it."""
    world = World(tmp_path, alarmed(CANARY))
    world.alarms.states = {"a": True}
    assert world.until("SUCCESSFUL", 100)["alarms"]["status"] == "DISABLED"


def test_a_rolling_deployment_is_watched_after_its_last_task(tmp_path):
    """For as long as the alarm looks back; it goes back where it rings meanwhile."""
    world = World(tmp_path, alarmed({"strategy": "ROLLING"}))
    world.alarms.states = {"a": False}
    for _ in range(5):
        world.look()
    assert world.way()["status"] == "IN_PROGRESS"
    world.until("SUCCESSFUL", 30)
    world.deploy("d:1")
    for _ in range(5):
        world.look()
    world.alarms.states = {"a": True}
    world.until("ROLLBACK_SUCCESSFUL")
    assert world.service["taskDefinition"] == "d:0"


def test_hooks_are_told_what_aws_tells_them(tmp_path):
    """Stage, weights by revision, the deployment, and what the service gave the hook."""
    asked = hook("POST_TEST_TRAFFIC_SHIFT", hookDetails={"bucket": "b"})
    world = World(tmp_path, {**BLUE_GREEN, "lifecycleHooks": [asked]})
    world.until("SUCCESSFUL")
    world.deploy("d:1")
    world.functions.heard.clear()
    world.functions.replies = [{"hookStatus": "IN_PROGRESS", "callBackDelay": 5}]
    world.until("POST_TEST_TRAFFIC_SHIFT")
    world.look()
    world.look()
    assert len(world.functions.heard) == 1
    world.until("SUCCESSFUL", 30)
    way = world.way()
    target = way["targetServiceRevision"]["arn"]
    source = way["sourceServiceRevisions"][0]["arn"]
    first, second = world.functions.heard
    assert first == second
    assert first["lifecycleStage"] == "POST_TEST_TRAFFIC_SHIFT"
    assert first["resourceArn"] == way["serviceDeploymentArn"]
    assert first["hookDetails"] == {"bucket": "b"}
    assert first["executionDetails"] == {
        "testTrafficWeights": {target: 100.0},
        "productionTrafficWeights": {source: 100.0},
        "serviceArn": SERVICE,
        "targetServiceRevisionArn": target,
    }


@pytest.mark.parametrize("reply", [{"hookStatus": "FAILED"}, {}, OSError("no answer")])
def test_a_hook_that_fails_takes_it_back(tmp_path, reply):
    """Also where the function does not answer; and a service's first deployment fails."""
    world = started(tmp_path, {**BLUE_GREEN, "lifecycleHooks": [hook("POST_SCALE_UP")]})
    world.functions.replies = [reply]
    way = world.until("ROLLBACK_SUCCESSFUL")
    assert world.live() == {BLUE: 2}
    assert "failed at POST_SCALE_UP" in way["statusReason"]
    first = World(tmp_path, {**BLUE_GREEN, "lifecycleHooks": [hook("POST_SCALE_UP")]})
    first.functions.replies = [reply]
    assert "no completed revision" in first.until("ROLLBACK_FAILED")["statusReason"]


def test_the_circuit_breaker_takes_it_back(tmp_path):
    """The former tasks have served all the time."""
    world = started(tmp_path, BLUE_GREEN)
    world.sick = True
    world.until("ROLLBACK_SUCCESSFUL", 5)
    assert world.live() == {BLUE: 2}


def test_a_deployment_over_another_reconciles_first(tmp_path):
    """The traffic goes back to what was good, what was left half done goes, and only then the new
    revision's tasks come."""
    world = started(tmp_path, CANARY)
    world.until("PRODUCTION_TRAFFIC_SHIFT")
    world.look()
    world.deploy("d:2")
    assert world.way()["lifecycleStage"] == "RECONCILE_SERVICE"
    world.look()
    assert world.told[PRODUCTION] == {BLUE: 999, GREEN: 0}
    world.until("SUCCESSFUL", 60)
    assert world.live() == {GREEN: 2}
    assert world.service["taskDefinition"] == "d:2"


def test_it_waits_for_a_load_balancer_that_does_not_answer(tmp_path):
    """No task of the former revision goes before HAProxy has taken the change."""
    world = started(tmp_path, BLUE_GREEN)
    world.until("SCALE_UP")
    world.door_fails = True
    for _ in range(5):
        world.look(1000)
    assert world.way()["lifecycleStage"] == "TEST_TRAFFIC_SHIFT"
    assert world.live() == {BLUE: 2, GREEN: 2}
    world.again()
    world.door_fails = False
    world.until("SUCCESSFUL", 100)


def test_a_task_that_dies_meanwhile_is_replaced_on_its_side(tmp_path):
    """Both sides are kept at the wanted number, also at another one."""
    world = started(tmp_path, CANARY)
    world.until("PRODUCTION_TRAFFIC_SHIFT")
    for task in world.state.tasks.all():
        if task["id"] in ("t0", "t2"):
            dead: Any = {"desiredStatus": "STOPPED", "lastStatus": "STOPPED"}
            world.state.tasks.put(
                task["id"], {**task, **dead, "stopCode": "EssentialContainerExited"}
            )
    world.look()
    assert world.live() == {BLUE: 2, GREEN: 2}
    world.state.services.put(SERVICE, {**world.service, "desiredCount": 3})
    world.look()
    assert world.live() == {BLUE: 3, GREEN: 3}


@pytest.mark.parametrize("after", [CANARY, {"strategy": "ROLLING"}], ids=["canary", "rolling"])
def test_left_half_way_it_stays_as_it_is(tmp_path, after):
    """ABORT: both sides are kept until the next deployment, which leads the traffic out of the one
    that was left, also where it is a rolling one."""
    world = started(tmp_path, CANARY)
    world.until("PRODUCTION_TRAFFIC_SHIFT")
    world.look()
    stop(world.state, world.service, "by hand", False)
    for _ in range(5):
        world.look(1000)
    assert world.way()["status"] == "STOPPED"
    assert world.live() == {BLUE: 2, GREEN: 2}
    assert world.told[PRODUCTION] == {BLUE: 900, GREEN: 100}
    world.state.services.put(SERVICE, {**world.service, "_deploys": after})
    world.deploy("d:2")
    world.until("SUCCESSFUL", 60)
    assert world.live() == {GREEN: 2}
    assert world.told[PRODUCTION] == {BLUE: 0, GREEN: 999}
