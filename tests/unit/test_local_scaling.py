"""Application Auto Scaling on kirikae local: the API as clients send it, and decisions that are the
simulator's, minute by minute, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kirikae.capacity.simulate import Course, Rules, Task, simulate
from kirikae.capacity.trace import Trace
from kirikae.local.clock import Clock
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.usage import Usage
from kirikae.local.scaling.rounds import MOST_BACK_S, STEP_S, moments
from kirikae.model.scaling import (
    PUBLISHED_AFTER_S,
    Metric,
    Seen,
    Step,
    StepScaling,
    TargetTracking,
)
from tests.local_plane import REGION, LocalPlane

NOON = 1_780_012_800
"""A whole minute."""
RESOURCE = "service/default/web"
PLACE = {
    "ServiceNamespace": "ecs",
    "ResourceId": RESOURCE,
    "ScalableDimension": "ecs:service:DesiredCount",
}
TASK = Task(requests_per_s=25, answer_s=0.2, start_s=80, drain_s=30)
CPU = {"PredefinedMetricSpecification": {"PredefinedMetricType": Metric.CPU}}
FAST = {"PredefinedMetricSpecification": {"PredefinedMetricType": Metric.CPU_20S}}


class Heard:
    """moto's part: topics, and figures that others have put."""

    url = ""

    def __init__(self) -> None:
        self.published: list[Mapping[str, str]] = []
        self.figures: dict[int, float] = {}
        self.is_away = False

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """S3's part."""

    async def query(self, service: str, params: Mapping[str, str], region: str) -> str:
        if self.is_away:
            raise OSError("moto is away")
        if params["Action"] == "Publish":
            self.published.append(params)
            return "<PublishResponse/>"
        times = "".join(f"<member>{_iso(at)}</member>" for at in self.figures)
        values = "".join(f"<member>{value}</member>" for value in self.figures.values())
        return f"<R><Timestamps>{times}</Timestamps><Values>{values}</Values></R>"


def _iso(seconds: int) -> str:
    return str(np.datetime64(seconds, "s")) + "Z"


@dataclass
class World:
    """kirikae local in this process, at a time of its own."""

    folder: Path
    clock: Clock = field(default_factory=lambda: Clock(lambda: float(NOON)))
    heard: Heard = field(default_factory=Heard)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    delay_s: int = 60

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Also again, over the same store: as after a SIGKILL."""
        self.plane = LocalPlane(self.folder, stores=self.heard, runs_at_once=True)
        self.scaled = self.plane.scaled(self.clock)
        rounds = self.scaled.rounds(self.heard, self._publish, "http://127.0.0.1:1", self.delay_s)
        self.rounds = rounds
        self.services = self.plane.services(clock=self.clock)

    def killed(self) -> None:
        self.plane.close()
        self.begin()

    async def _publish(self, region: str, event: Mapping[str, Any]) -> None:
        self.events.append(event)

    def ask(self, operation: str, of: str = "application-autoscaling", /, **params: Any) -> Any:
        told = asyncio.run(
            self.services[of].serve(
                {"X-Amz-Target": f"Any.{operation}"}, json.dumps(params).encode()
            )
        )
        body = json.loads(told.body)
        if told.status != 200:
            raise Refused(body["__type"], body["message"])
        return body

    def alarm(self, operation: str, **params: Any) -> Any:
        return self.ask(operation, "monitoring", **params)

    def service(self, desired: int = 3, name: str = "web") -> None:
        """With so many tasks that run, and no deployment under way."""
        self.ask("CreateCluster", "ecs")
        container = {"name": "app", "image": "app"}
        place = {"family": "web", "networkMode": "awsvpc", "cpu": "256", "memory": "512"}
        self.ask("RegisterTaskDefinition", "ecs", **place, containerDefinitions=[container])
        self.ask(
            "CreateService",
            "ecs",
            serviceName=name,
            taskDefinition="web",
            desiredCount=desired,
            networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1234abcd"]}},
        )
        self.settle("COMPLETED")
        self.runs(desired)

    def runs(self, number: int) -> None:
        """So many tasks of the service run now."""
        [service] = self.plane.state.services.all()
        tasks = self.plane.state.tasks
        for index, row in enumerate(tasks.all()):
            if index >= number:
                tasks.drop(row["id"])
        for index in range(len(tasks.all()), number):
            row: Any = {
                "id": f"{index}",
                "taskArn": f"arn:aws:ecs:{REGION}:123456789012:task/default/{index}",
                "group": "service:web",
                "_revision": "r",
                "clusterArn": service["clusterArn"],
                "lastStatus": "RUNNING",
                "desiredStatus": "RUNNING",
            }
            tasks.put(row["id"], row)

    def settle(self, rollout: str) -> None:
        [row] = self.plane.state.services.all()
        deployments = [{**each, "rolloutState": rollout} for each in row["deployments"]]
        self.plane.state.services.put(
            row["serviceArn"],
            {**row, "deployments": deployments},  # type: ignore[typeddict-item]
        )

    @property
    def desired(self) -> int:
        return int(self.plane.state.services.all()[0]["desiredCount"])

    def used(self, second: int, cpu: float) -> None:
        """A figure of CPU, of the period that begins then."""
        self.plane.state.put_figure("ecs/default/web", second, {"CPUUtilization": cpu})

    def look(self, second: float) -> None:
        """At this moment."""
        self.clock.ahead_s = second - NOON
        asyncio.run(self.rounds.look())

    def at(self, second: float) -> int:
        """Look at this moment; answers the desired count."""
        self.look(second)
        return self.desired

    def minutes(self, *cpu: float | None, begin: int = NOON) -> int:
        """Figures minute by minute, and a look when the last one has become known."""
        for number, value in enumerate(cpu):
            if value is not None:
                self.used(begin + 60 * number, value)
        return self.at(begin + 60 * len(cpu) + PUBLISHED_AFTER_S[60])


class Refused(Exception):
    """Code and message."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    found.service()
    found.at(NOON)
    yield found
    found.plane.close()


def register(world: World, least: int = 1, most: int = 40, **more: Any) -> str:
    bounds = {"MinCapacity": least, "MaxCapacity": most}
    return str(world.ask("RegisterScalableTarget", **PLACE, **bounds, **more)["ScalableTargetARN"])


def track(world: World, target: float = 60.0, name: str = "t", **more: Any) -> Any:
    form = {"TargetValue": target, **CPU, **more}
    return world.ask(
        "PutScalingPolicy",
        **PLACE,
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=form,
    )


# --- the same decisions as the simulator's


class Played(Course):
    """The simulator's world, in which kirikae local decides."""

    def __init__(self, world: World, metric: Metric, trace: Trace, rules: Rules) -> None:
        begins = np.array([float(NOON)])
        super().__init__(trace.rates[:, None], begins, TASK, rules, 0.5)
        self._world = world
        self._metric = metric
        self.log: list[tuple[float, int, int]] = []

    def scale(self, index: int, seen: Seen) -> None:
        value = seen.datapoints.get(self._metric)
        if value is not None:
            period = self._metric.period_s
            begin = NOON + seen.now - PUBLISHED_AFTER_S[period] - period
            self._world.used(int(begin), float(value[0]))
        self._world.runs(int(seen.running[0]))
        former = self._world.desired
        desired = self._world.at(NOON + seen.now)
        if desired != former:
            self.log.append((seen.now, former, desired))
            self.fleet.towards(np.array([float(desired)]), index)


def played(world: World, metric: Metric, trace: Trace, rules: Rules) -> list[Any]:
    course = Played(world, metric, trace, rules)
    for index in range(len(trace.rates) * 60 // STEP_S):
        course.serve(index)
        course.decide(index)
    return course.log


def load(*spans: tuple[int, float]) -> Trace:
    """Minutes, and requests a second."""
    return Trace(NOON, np.concatenate([np.full(minutes, rate) for minutes, rate in spans]))


@pytest.mark.parametrize(
    ("metric", "seconds"),
    [(Metric.CPU, 363), (Metric.CPU_20S, 86)],
)
def test_a_step_in_load_is_answered_as_fast_as_at_aws(world, metric, seconds):
    """AWS News Blog of 2026-06-18: 363 s and 86 s; within 5%, and just as the simulator has it."""
    step = load((10, 45), (12, 180), (30, 40))
    rules = Rules((TargetTracking("t", metric, 60.0),), 3, 40)
    expected = simulate([step], TASK, rules, 0.5)
    register(world, least=3)
    track(world, PredefinedMetricSpecification={"PredefinedMetricType": metric})
    found = played(world, metric, step, rules)
    assert found == [(each.at, each.former, each.desired) for each in expected.log]
    assert found[0][0] - 600 == pytest.approx(seconds, rel=0.05)
    assert any(desired < former for _, former, desired in found)


def test_steps_behind_an_own_alarm_decide_as_the_simulator_does(world):
    """The alarm is the user's; the simulator counts the datapoints itself."""
    step = load((10, 45), (20, 230), (40, 40))
    steps = (Step(0.0, 15.0, 2.0), Step(15.0, None, 5.0))
    rush = StepScaling("rush", Metric.CPU, 80.0, True, steps, datapoints=3)
    calm = StepScaling("calm", Metric.CPU, 40.0, False, (Step(None, 0.0, -1.0),), datapoints=10)
    expected = simulate([step], TASK, Rules((rush, calm), 3, 40), 0.5)
    register(world, least=3)
    _stepped(world, rush, [{"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 15}, {}])
    _stepped(world, calm, [{"MetricIntervalUpperBound": 0}])
    found = played(world, Metric.CPU, step, Rules((rush, calm), 3, 40))
    assert found == [(each.at, each.former, each.desired) for each in expected.log]
    assert {desired > former for _, former, desired in found} == {True, False}


def _stepped(world: World, policy: StepScaling, intervals: list[dict[str, float]]) -> str:
    if len(intervals) > 1:
        intervals[1]["MetricIntervalLowerBound"] = 15
    amounts = [
        {**interval, "ScalingAdjustment": int(step.amount)}
        for interval, step in zip(intervals, policy.steps, strict=True)
    ]
    arn = world.ask(
        "PutScalingPolicy",
        **PLACE,
        PolicyName=policy.name,
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": amounts,
            "Cooldown": 300,
        },
    )["PolicyARN"]
    comparison = "GreaterThanOrEqualTo" if policy.above else "LessThanOrEqualTo"
    world.alarm(
        "PutMetricAlarm",
        AlarmName=policy.name,
        **CPU_OF_SERVICE,
        EvaluationPeriods=policy.datapoints,
        Threshold=policy.threshold,
        ComparisonOperator=f"{comparison}Threshold",
        AlarmActions=[arn],
    )
    return str(arn)


CPU_OF_SERVICE = {
    "Namespace": "AWS/ECS",
    "MetricName": "CPUUtilization",
    "Dimensions": [
        {"Name": "ClusterName", "Value": "default"},
        {"Name": "ServiceName", "Value": "web"},
    ],
    "Statistic": "Average",
    "Period": 60,
}


# --- what is decided, and what is not


def test_a_scale_out_and_its_alarms(world):
    """AWS's names, states and activities; the alarms show what is counted."""
    register(world)
    told = track(world)
    high, low = (each["AlarmName"] for each in told["Alarms"])
    assert high.startswith(f"TargetTracking-{RESOURCE}-AlarmHigh-")
    assert low.startswith(f"TargetTracking-{RESOURCE}-AlarmLow-")
    shown = world.alarm("DescribeAlarms", AlarmNames=[high, low])["MetricAlarms"]
    numbers = [(each["Threshold"], each["EvaluationPeriods"], each["Period"]) for each in shown]
    assert numbers == [(60, 3, 60), (54, 15, 60)]
    assert {each["StateValue"] for each in shown} == {"INSUFFICIENT_DATA"}
    assert world.minutes(90, 90) == 3
    assert world.minutes(90, 90, 90) == 5
    shown = world.alarm("DescribeAlarms", AlarmNames=[high, low])["MetricAlarms"]
    assert [each["StateValue"] for each in shown] == ["ALARM", "OK"]
    [activity] = world.ask("DescribeScalingActivities", ServiceNamespace="ecs")["ScalingActivities"]
    assert activity["Description"] == "Setting desired count to 5."
    assert activity["Cause"] == f"monitor alarm {high} in state ALARM triggered policy t"
    assert activity["StatusCode"] == "InProgress"
    assert [each["detail"]["alarmName"] for each in world.events] == [high, low, high]


def test_where_figures_are_seen_at_once_so_are_decisions(tmp_path):
    """`kirikae local up --figures now`; steps behind an own alarm too."""
    world = World(tmp_path, delay_s=0)
    world.service()
    world.at(NOON)
    register(world)
    track(world)
    rush = StepScaling("rush", Metric.CPU, 95.0, True, (Step(0.0, None, 4.0),), datapoints=2)
    _stepped(world, rush, [{"MetricIntervalLowerBound": 0}])
    for minute, value in enumerate((90.0, 90.0, 90.0, 99.0, 99.0)):
        world.used(NOON + 60 * minute, value)
    assert world.at(NOON + 180 + 4) == 3
    assert world.at(NOON + 180 + 5) == 5
    world.runs(5)
    assert world.at(NOON + 300 + 4) == 5
    assert world.at(NOON + 300 + 5) > 5
    world.plane.close()


def test_minutes_without_figures_scale_nothing_and_their_alarms_say_so(world):
    """Missing is not zero."""
    register(world)
    track(world)
    assert world.minutes(90, 90, None, 90, 90, None) == 3
    shown = world.alarm("DescribeAlarms")["MetricAlarms"]
    assert {each["StateValue"] for each in shown} == {"INSUFFICIENT_DATA"}


@pytest.mark.parametrize(
    ("switch", "cpu", "then"),
    [
        ("DynamicScalingOutSuspended", [90.0] * 3, 3),
        ("DynamicScalingInSuspended", [1.0] * 15, 3),
        ("DynamicScalingInSuspended", [90.0] * 3, 5),
        ("DynamicScalingOutSuspended", [1.0] * 15, 1),
    ],
)
def test_what_is_suspended_is_not_done(world, switch, cpu, then):
    register(world, SuspendedState={switch: True})
    track(world)
    assert world.minutes(*cpu) == then


def test_while_a_deployment_runs_nothing_is_scaled_in(world):
    """ECS developer guide: scale-in is off, scale-out goes on."""
    register(world)
    track(world)
    world.settle("IN_PROGRESS")
    assert world.minutes(*[1.0] * 20) == 3
    world.settle("COMPLETED")
    assert world.minutes(*[1.0] * 21) == 1


def test_bounds_hold_and_the_reason_is_told_once(world):
    """AlreadyAtMaxCapacity, whenever somebody asks for it."""
    register(world, most=3)
    track(world)
    assert world.minutes(*[90.0] * 8) == 3
    place = {"ServiceNamespace": "ecs", "ResourceId": RESOURCE}
    assert world.ask("DescribeScalingActivities", **place)["ScalingActivities"] == []
    [told] = world.ask("DescribeScalingActivities", **place, IncludeNotScaledActivities=True)[
        "ScalingActivities"
    ]
    [why] = told["NotScaledReasons"]
    assert why == {"Code": "AlreadyAtMaxCapacity", "CurrentCapacity": 3, "MaxCapacity": 3}


def test_registering_moves_the_count_into_the_bounds_at_once(world):
    """API reference, RegisterScalableTarget."""
    register(world, least=6)
    assert world.desired == 6
    world.ask("RegisterScalableTarget", **PLACE, MinCapacity=0, MaxCapacity=2)
    assert world.desired == 2
    [told] = world.ask("DescribeScalableTargets", ServiceNamespace="ecs")["ScalableTargets"]
    assert (told["MinCapacity"], told["MaxCapacity"]) == (0, 2)
    with pytest.raises(Refused, match="doesn't exist"):
        world.ask(
            "RegisterScalableTarget",
            **{**PLACE, "ResourceId": "service/default/none"},
            MinCapacity=0,
            MaxCapacity=2,
        )


def test_requests_for_each_target_scale_too_and_none_are_a_real_zero(world):
    """ALBRequestCountPerTarget: counted by the load balancer, per minute."""
    register(world)
    label = "app/shop/1234/targetgroup/web/abcd"
    kind = {"PredefinedMetricType": Metric.REQUESTS, "ResourceLabel": label}
    track(world, 100.0, PredefinedMetricSpecification=kind)
    for minute in range(3):
        counted = {"counts": {"RequestCount": 600}, "times": {}}
        world.plane.state.put_figure("abcd", NOON + 60 * minute + 7, counted)
        hosts = {"HealthyHostCount": 3, "UnHealthyHostCount": 0}
        world.plane.state.put_figure("gauge/abcd", NOON + 60 * minute + 10, hosts)
    assert world.at(NOON + 180 + 180) == 6
    assert world.at(NOON + 180 + 180 + 15 * 60) == 1


def test_a_backlog_that_somebody_puts_as_a_figure_scales_workers(world):
    """A customized metric: moto keeps what PutMetricData brings; while it is away, nobody
    decides."""
    register(world)
    own = {"Namespace": "shop", "MetricName": "backlog", "Dimensions": [], "Statistic": "Average"}
    form = {"TargetValue": 10.0, "CustomizedMetricSpecification": own}
    world.ask(
        "PutScalingPolicy",
        **PLACE,
        PolicyName="b",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=form,
    )
    world.heard.figures = {NOON + 60 * minute: 20.0 for minute in range(10)}
    world.heard.is_away = True
    assert world.at(NOON + 400) == 3
    world.heard.is_away = False
    assert world.at(NOON + 640) == 6


# --- scheduled actions


def plan(world: World, schedule: str, name: str = "p", **more: Any) -> Any:
    return world.ask(
        "PutScheduledAction", **PLACE, ScheduledActionName=name, Schedule=schedule, **more
    )


def test_scheduled_actions_set_bounds_and_move_the_count_at_once(world):
    """In their zone, in their minute; nothing goes back by itself."""
    register(world, most=10)
    clock = np.datetime64(NOON + 120, "s").item()
    wall = clock.hour * 60 + clock.minute + 9 * 60
    at = f"cron({wall % 60} {wall // 60 % 24} * * ? *)"
    plan(world, at, Timezone="Asia/Tokyo", ScalableTargetAction={"MinCapacity": 8})
    assert world.at(NOON + 119) == 3
    assert world.at(NOON + 120) == 8
    told = world.ask("DescribeScalingActivities", ServiceNamespace="ecs")["ScalingActivities"]
    causes = {each["Cause"] for each in told}
    assert causes == {"scheduled action name p was triggered", "minimum capacity was set to 8"}
    plan(world, "rate(1 minute)", "q", ScalableTargetAction={"MinCapacity": 0, "MaxCapacity": 2})
    assert world.at(NOON + 240) == 2
    listed = world.ask("DescribeScheduledActions", ServiceNamespace="ecs")["ScheduledActions"]
    assert [each["ScheduledActionName"] for each in listed] == ["p", "q"]
    world.ask("DeleteScheduledAction", **PLACE, ScheduledActionName="q")
    assert world.at(NOON + 3600) == 2


def test_a_suspended_schedule_and_one_that_is_over_do_nothing(world):
    register(world, SuspendedState={"ScheduledScalingSuspended": True})
    plan(world, "rate(1 minute)", ScalableTargetAction={"MinCapacity": 9})
    assert world.at(NOON + 120) == 3
    awake = {"ScheduledScalingSuspended": False}
    world.ask("RegisterScalableTarget", **PLACE, SuspendedState=awake)
    bounds = {"ScalableTargetAction": {"MinCapacity": 9}, "EndTime": NOON + 150}
    plan(world, "rate(1 minute)", **bounds)
    assert world.at(NOON + 600) == 3


@pytest.mark.parametrize("schedule", ["cron(0 0 * * *)", "rate(0 minutes)", "at(noon)", "daily"])
def test_schedules_that_are_none_are_refused(world, schedule):
    register(world)
    with pytest.raises(Refused, match="six fields"):
        plan(world, schedule, ScalableTargetAction={"MinCapacity": 9})


# --- SIGKILL, and a clock that jumps


def test_killed_in_the_middle_of_counting_it_counts_on(world):
    """Nothing is counted twice, and what was missed meanwhile is done afterwards."""
    register(world)
    track(world)
    world.minutes(90, 90)
    world.killed()
    world.at(NOON + 120 + 180)
    assert world.desired == 3
    world.killed()
    assert world.minutes(90, 90, 90) == 5
    world.killed()
    assert world.minutes(90, 90, 90, 90) == 5


def test_a_schedule_that_was_due_while_nobody_lived_is_done_afterwards(world):
    register(world)
    plan(world, "at(2026-05-29T00:05:00)", ScalableTargetAction={"MinCapacity": 7})
    world.killed()
    assert world.at(NOON + 3000) == 7


def test_moments_are_every_five_seconds_and_not_older_than_figures():
    assert list(moments(None, 1003.0)) == [1000]
    assert list(moments(1000.0, 1011.9)) == [1005, 1010]
    assert list(moments(1000.0, 1004.0)) == []
    assert moments(0.0, 100_000.0)[0] == 100_000 - MOST_BACK_S + STEP_S
    assert list(moments(5000.0, 1000.0)) == [1000]


class Engine:
    """A container that uses half of what its task has reserved."""

    def __init__(self) -> None:
        self.now = 1000.0

    async def stats(self, name: str) -> Any:
        used_ns = self.now * 1e9 * 256 / 1024 / 2
        memory = {"usage": 128 << 20, "stats": {}}
        return {"cpu_stats": {"cpu_usage": {"total_usage": used_ns}}, "memory_stats": memory}


def measured(world: World, *moments: tuple[float, float]) -> list[int]:
    """Seconds of the machine and of the clock; answers the begins of the points, from NOON on."""
    [service] = world.plane.state.services.all()
    row: Any = {
        "id": "t",
        "taskArn": f"arn:aws:ecs:{REGION}:123456789012:task/default/t",
        "group": "service:web",
        "clusterArn": service["clusterArn"],
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "cpu": "256",
        "memory": "512",
        "containers": [{"name": "app"}],
    }
    world.runs(0)
    world.plane.state.tasks.put("t", row)
    engine: Any = Engine()
    usage = Usage(world.plane.state, engine, EngineNames("i"))
    for machine, clock in moments:
        engine.now = machine
        asyncio.run(usage.measure(machine, NOON + clock))
    found = world.plane.state.gauged("ecs/default/web", NOON - 600, NOON + 6000)
    assert {row["CPUUtilization"] for _, row in found} == {50.0}
    return [second - NOON for second, _ in found]


def test_minutes_that_the_clock_jumps_over_have_the_mean_of_the_time_between(world):
    """What was used is measured by the machine's time, and filed by the clock's."""
    assert measured(world, (0, 30), (60, 90), (61, 330)) == [60, 120, 180, 240, 300]


def test_figures_of_twenty_seconds_where_a_service_asks_for_them(world):
    """CreateService's ``monitoring``: the policies' High Resolution metrics are of these."""
    names = ["CPUUtilization", "MemoryUtilization"]
    fine = {"metricConfigurations": [{"metricNames": names, "resolutionSeconds": 20}]}
    world.runs(0)
    world.ask("UpdateService", "ecs", service="web", monitoring=fine)
    assert measured(world, (0, 10), (20, 30), (40, 50), (61, 70)) == [20, 40, 60]
    wrong = {"metricConfigurations": [{"metricNames": names, "resolutionSeconds": 30}]}
    world.plane.state.tasks.drop("t")
    with pytest.raises(Refused, match="20 or 60"):
        world.ask("UpdateService", "ecs", service="web", monitoring=wrong)


# --- what is refused, and by which words


STEPS = {"AdjustmentType": "ChangeInCapacity"}


@pytest.mark.parametrize(
    ("intervals", "says"),
    [
        ([(0, 10), (20, None)], "leave a gap"),
        ([(0, 10), (5, None)], "overlap"),
        ([(0, 10)], "open above"),
        ([(-10, 0), (0, None)], "open below"),
        ([(10, 10)], "is none"),
    ],
)
def test_step_intervals_have_no_gap_and_no_overlap(world, intervals, says):
    """API reference, StepAdjustment."""
    register(world)
    names = ("MetricIntervalLowerBound", "MetricIntervalUpperBound")
    steps = [
        {name: bound for name, bound in zip(names, each, strict=True) if bound is not None}
        | {"ScalingAdjustment": 1}
        for each in intervals
    ]
    form = {**STEPS, "StepAdjustments": steps}
    with pytest.raises(Refused, match=says):
        world.ask(
            "PutScalingPolicy",
            **PLACE,
            PolicyName="s",
            PolicyType="StepScaling",
            StepScalingPolicyConfiguration=form,
        )


def test_forecasts_and_other_services_are_refused_by_name(world):
    register(world)
    with pytest.raises(Refused, match="PredictiveScaling"):
        world.ask("PutScalingPolicy", **PLACE, PolicyName="p", PolicyType="PredictiveScaling")
    place = {
        "ServiceNamespace": "dynamodb",
        "ResourceId": "table/t",
        "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
    }
    with pytest.raises(Refused, match="services of ECS"):
        world.ask("RegisterScalableTarget", **place, MinCapacity=1, MaxCapacity=2)
    with pytest.raises(Refused, match="is no metric of ECS services"):
        track(
            world,
            PredefinedMetricSpecification={
                "PredefinedMetricType": "RDSReaderAverageCPUUtilization"
            },
        )
    with pytest.raises(Refused, match="No scalable target"):
        world.ask("DeregisterScalableTarget", **{**PLACE, "ResourceId": "service/default/none"})


def test_deregistering_takes_policies_alarms_and_schedules_with_it(world):
    register(world)
    track(world)
    plan(world, "rate(1 day)", ScalableTargetAction={"MinCapacity": 2})
    world.ask("DeregisterScalableTarget", **PLACE)
    for operation in ("ScalableTargets", "ScalingPolicies", "ScheduledActions"):
        assert world.ask(f"Describe{operation}", ServiceNamespace="ecs")[operation] == []
    assert world.alarm("DescribeAlarms")["MetricAlarms"] == []
    assert world.minutes(90, 90, 90) == 3


def test_a_policy_without_scale_in_has_no_low_alarm(world):
    register(world)
    [alarm] = track(world, DisableScaleIn=True)["Alarms"]
    assert "-AlarmHigh-" in alarm["AlarmName"]
    assert world.minutes(*[1.0] * 20) == 3
    world.ask("DeleteScalingPolicy", **PLACE, PolicyName="t")
    assert world.ask("DescribeScalingPolicies", ServiceNamespace="ecs")["ScalingPolicies"] == []


def test_regions_have_services_of_their_own(world):
    """A target of one region is not there in another."""
    register(world)
    there = world.plane.services("eu-west-1", world.clock)["application-autoscaling"]
    headers = {"X-Amz-Target": "AnyScaleFrontendService.DescribeScalableTargets"}
    told = asyncio.run(there.serve(headers, b'{"ServiceNamespace": "ecs"}'))
    assert json.loads(told.body) == {"ScalableTargets": []}
    assert REGION != "eu-west-1"
