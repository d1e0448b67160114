"""CloudWatch's alarms on kirikae local: evaluated by the minute, told to whom it concerns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.alarms.evaluation import Rule, state_of
from kirikae.local.alarms.rule import alarms_in, read_rule
from kirikae.local.errors import RuleError
from tests.unit.test_local_scaling import CPU_OF_SERVICE, NOON, Refused, World

TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:people"
OWN = {
    "Namespace": "shop",
    "MetricName": "backlog",
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    found.look(NOON)
    yield found
    found.plane.close()


def put(world: World, name: str = "a", **more: Any) -> None:
    """``None`` takes a member away."""
    asked = {key: value for key, value in {**OWN, **more}.items() if value is not None}
    world.alarm("PutMetricAlarm", AlarmName=name, **asked)


def state(world: World, name: str = "a", kind: str = "MetricAlarm") -> str:
    told = world.alarm("DescribeAlarms", AlarmNames=[name], AlarmTypes=[kind])
    return str(told[f"{kind}s"][0]["StateValue"])


def figures(world: World, *values: float | None) -> None:
    """Minute by minute, and a look when the last one is over."""
    world.heard.figures = {
        NOON + 60 * minute: value for minute, value in enumerate(values) if value is not None
    }
    world.look(NOON + 60 * len(values))


# --- is it time for an alarm?

ALWAYS = ("missing", "ignore", "breaching", "notBreaching")


@pytest.mark.parametrize(
    ("seen", "states"),
    [
        ("0-X-X", "OK OK OK OK"),
        ("0----", "OK OK OK OK"),
        ("-----", "INSUFFICIENT_DATA same ALARM OK"),
        ("0XX-X", "ALARM ALARM ALARM ALARM"),
        ("--X--", "ALARM same ALARM OK"),
    ],
)
def test_three_of_three_as_the_guide_tells_it(seen, states):
    """CloudWatch User Guide, "How alarm state is evaluated when data is missing", first table."""
    assert _states(3, seen) == states.split()


@pytest.mark.parametrize(
    ("seen", "states"),
    [
        ("0-X-X", "ALARM ALARM ALARM ALARM"),
        ("00X0X", "ALARM ALARM ALARM ALARM"),
        ("0-X--", "OK OK ALARM OK"),
        ("----0", "OK OK ALARM OK"),
        ("---X-", "ALARM same ALARM OK"),
    ],
)
def test_two_of_three_as_the_guide_tells_it(seen, states):
    """The same page, second table."""
    assert _states(2, seen) == states.split()


def _states(least: int, seen: str) -> list[str]:
    values = {"X": 9.0, "0": 1.0, "-": None}
    rules = [Rule("GreaterThanThreshold", 5.0, 3, least, missing) for missing in ALWAYS]
    return [state_of(rule, [values[each] for each in seen]) or "same" for rule in rules]


def test_one_breach_among_missing_ones_is_no_alarm_yet():
    """The same page, "Avoiding premature transitions to alarm state"."""
    assert _states(3, "----X")[0] == _states(3, "---X-")[0] == "same"


@pytest.mark.parametrize(
    ("comparison", "value", "rings"),
    [
        ("GreaterThanThreshold", 5.0, False),
        ("GreaterThanOrEqualToThreshold", 5.0, True),
        ("LessThanThreshold", 5.0, False),
        ("LessThanOrEqualToThreshold", 5.0, True),
    ],
)
def test_comparisons(comparison, value, rings):
    assert (state_of(Rule(comparison, 5.0, 1, 1, "missing"), [value]) == "ALARM") is rings


# --- over figures


def test_an_alarm_rings_and_calms_down_and_is_told(world):
    """States, history, the topic and EventBridge; each change once."""
    put(world, AlarmActions=[TOPIC], OKActions=[TOPIC])
    assert state(world) == "INSUFFICIENT_DATA"
    figures(world, 9, 9)
    assert state(world) == "INSUFFICIENT_DATA"
    figures(world, 1, 9, 9)
    assert state(world) == "OK"
    figures(world, 1, 9, 9, 9)
    assert state(world) == "ALARM"
    figures(world, 1, 9, 9, 9, 1)
    assert state(world) == "OK"
    subjects = [each["Subject"] for each in world.heard.published]
    assert subjects == [f'{word}: "a" in ap-northeast-1' for word in ("OK", "ALARM", "OK")]
    told = json.loads(world.heard.published[1]["Message"])
    assert (told["OldStateValue"], told["NewStateValue"]) == ("OK", "ALARM")
    assert told["Trigger"]["MetricName"] == "backlog"
    details = [each["detail"]["state"]["value"] for each in world.events]
    assert details == ["OK", "ALARM", "OK"]
    assert world.events[0]["detail-type"] == "CloudWatch Alarm State Change"
    told = world.alarm("DescribeAlarmHistory", AlarmName="a", HistoryItemType="StateUpdate")
    summaries = [each["HistorySummary"] for each in told["AlarmHistoryItems"]]
    assert summaries[0] == "Alarm updated from ALARM to OK"
    assert len(summaries) == 3


def test_what_was_not_told_before_a_sigkill_is_told_after_it(world):
    """And while the topic's store is away, it waits."""
    put(world, AlarmActions=[TOPIC])
    world.alarm("SetAlarmState", AlarmName="a", StateValue="ALARM", StateReason="a try")
    world.heard.is_away = True
    with pytest.raises(OSError, match="away"):
        world.look(NOON + 5)
    world.killed()
    world.heard.is_away = False
    world.look(NOON + 10)
    assert [each["TopicArn"] for each in world.heard.published] == [TOPIC]
    world.look(NOON + 20)
    assert len(world.heard.published) == 1


def test_an_update_keeps_the_state_and_switched_off_actions_are_silent(world):
    """API reference, PutMetricAlarm."""
    put(world, AlarmActions=[TOPIC])
    figures(world, 9, 9, 9)
    put(world, AlarmActions=[TOPIC], Threshold=100.0)
    assert state(world) == "ALARM"
    figures(world, 9, 9, 9, 9)
    assert state(world) == "OK"
    world.alarm("DisableAlarmActions", AlarmNames=["a"])
    before = len(world.heard.published)
    world.alarm("SetAlarmState", AlarmName="a", StateValue="ALARM", StateReason="a try")
    world.look(NOON + 245)
    assert len(world.heard.published) == before


def test_own_figures_are_as_late_as_at_aws(world):
    """CPU of services: an alarm knows a minute three minutes after its end; seen at once, at
    once."""
    more = {"EvaluationPeriods": 1, "Threshold": 80.0}
    put(world, **{**CPU_OF_SERVICE, **more})
    world.used(NOON, 90.0)
    world.look(NOON + 60 + 175)
    assert state(world) == "INSUFFICIENT_DATA"
    world.look(NOON + 60 + 180)
    assert state(world) == "ALARM"


def test_a_queue_that_waits_rings(world):
    """By the figures that kirikae local writes of it; no data is no trouble where it is said."""
    queue = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": "jobs"}],
        "Statistic": "Maximum",
        "EvaluationPeriods": 2,
        "TreatMissingData": "notBreaching",
    }
    put(world, **queue)
    world.look(NOON + 60)
    assert state(world) == "OK"
    for minute in (2, 3):
        row = {"ApproximateNumberOfMessagesVisible": 7.0}
        world.plane.state.put_figure("sqs/jobs", NOON + 60 * minute, row)
    world.look(NOON + 4 * 60 + 60)
    assert state(world) == "ALARM"


@pytest.mark.parametrize(
    ("statistic", "metric"),
    [("p99", "TargetResponseTime"), ("Sum", "HTTPCode_Target_5XX_Count"), ("Sum", "RequestCount")],
)
def test_a_balancer_s_figures_ring(world, statistic, metric):
    """What judges a deployment: slow answers, and wrong ones."""
    kind = "ExtendedStatistic" if statistic == "p99" else "Statistic"
    place = [{"Name": "TargetGroup", "Value": "targetgroup/web/abcd"}]
    where = {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": place}
    one = {"EvaluationPeriods": 1, "Threshold": 0.5}
    put(world, **where, **one, **{"Statistic": None, kind: statistic})
    counted = {"counts": {"RequestCount": 9, metric: 9}, "times": {"900": 9}}
    world.plane.state.put_figure("abcd", NOON + 7, counted)
    world.look(NOON + 60 + 180)
    assert state(world) == "ALARM"


def test_older_clients_ask_by_query_and_newer_ones_by_cbor(world):
    """The same alarm, whichever way it is asked for."""
    put(world)
    asked = b"Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1=a"
    told = asyncio.run(world.services["monitoring-query"].serve({}, asked))
    assert b"<AlarmName>a</AlarmName>" in told.body and told.status == 200
    headers = {"X-Kirikae-Operation": "DescribeAlarms"}
    told = asyncio.run(world.services["monitoring-cbor"].serve(headers, b""))
    assert b"backlog" in told.body and told.status == 200


# --- composite alarms


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('ALARM("a")', True),
        ("ALARM(a) AND OK(b)", True),
        ("ALARM(a) AND ALARM(b)", False),
        ("ALARM(a) OR ALARM(b) AND ALARM(c)", True),
        ("(ALARM(a) OR ALARM(b)) AND ALARM(c)", False),
        ("NOT ALARM(b) AND NOT NOT ALARM(a)", True),
        ("INSUFFICIENT_DATA(c)", True),
        ("TRUE AND NOT FALSE", True),
    ],
)
def test_rules_of_composite_alarms(text, holds):
    """API reference, PutCompositeAlarm.AlarmRule: OR binds least."""
    states = {"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA"}
    assert read_rule(text).holds(states.__getitem__) is holds
    assert set(alarms_in(read_rule(text))) <= set(states)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ALARM",
        "ALARM(a) ALARM(b)",
        "(ALARM(a)",
        "ALARM(a) AND",
        "RINGS(a)",
        "AT_LEAST(1, ALARM, (a, b))",
        "(" * 99 + "TRUE" + ")" * 99,
    ],
)
def test_what_is_no_rule(text):
    with pytest.raises(RuleError):
        read_rule(text)


def test_a_composite_alarm_follows_its_alarms(world):
    """And they cannot be deleted under it."""
    put(world)
    put(world, "b")
    with pytest.raises(Refused, match="no alarm c"):
        world.alarm("PutCompositeAlarm", AlarmName="both", AlarmRule="ALARM(a) AND ALARM(c)")
    world.alarm(
        "PutCompositeAlarm",
        AlarmName="both",
        AlarmRule="ALARM(a) AND ALARM(b)",
        AlarmActions=[TOPIC],
    )
    world.look(NOON + 5)
    assert state(world, "both", "CompositeAlarm") == "OK"
    figures(world, 9, 9, 9)
    world.look(NOON + 185)
    assert state(world, "both", "CompositeAlarm") == "ALARM"
    assert [each["TopicArn"] for each in world.heard.published] == [TOPIC]
    with pytest.raises(Refused, match="in the rule"):
        world.alarm("DeleteAlarms", AlarmNames=["a"])
    world.alarm("DeleteAlarms", AlarmNames=["both", "a", "b"])
    assert world.alarm("DescribeAlarms")["MetricAlarms"] == []


# --- what is refused


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"AlarmActions": ["arn:aws:lambda:ap-northeast-1:123456789012:function:f"]}, "lambda"),
        ({"AlarmActions": ["arn:aws:automate:ap-northeast-1:ec2:reboot"]}, "automate"),
        ({"OKActions": ["arn:aws:autoscaling:r:1:scalingPolicy:x:resource/ecs/service/c/s"]}, "OK"),
        ({"Namespace": "AWS/RDS"}, "would never ring"),
        ({"Namespace": "AWS/ECS", "MetricName": "RunningTaskCount"}, "is not measured"),
        ({"Namespace": "AWS/SQS", "MetricName": "NumberOfMessagesSent", "Period": 10}, "minutes"),
        ({"Statistic": None, "ExtendedStatistic": "p99"}, "p99"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "GreaterThanUpper"),
        ({"Period": 45}, "multiple of 60"),
        ({"EvaluationPeriods": 2000}, "at most 86400"),
        ({"DatapointsToAlarm": 4}, "EvaluationPeriods"),
        ({"TreatMissingData": "never"}, "TreatMissingData"),
        ({"ExtendedStatistic": "p99"}, "Exactly one"),
        ({"Metrics": [{"Id": "e", "Expression": "a+b"}]}, "expressions"),
    ],
)
def test_alarms_that_would_not_do_as_they_say_are_refused(world, more, says):
    with pytest.raises(Refused, match=says):
        put(world, **more)


def test_alarms_of_policies_belong_to_their_policies(world):
    """Whoever wants another threshold changes the policy."""
    world.service()
    bounds = {"MinCapacity": 1, "MaxCapacity": 5}
    place = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/default/web",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    world.ask("RegisterScalableTarget", **place, **bounds)
    form = {
        "TargetValue": 60.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "ECSServiceAverageMemoryUtilization"
        },
    }
    told = world.ask(
        "PutScalingPolicy",
        **place,
        PolicyName="t",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=form,
    )
    name = told["Alarms"][0]["AlarmName"]
    with pytest.raises(Refused, match="belongs to the scaling policy"):
        put(world, name)
    with pytest.raises(Refused, match="belongs to the scaling policy"):
        world.alarm("DeleteAlarms", AlarmNames=[name])
    found = world.alarm("DescribeAlarms", ActionPrefix=told["PolicyARN"])["MetricAlarms"]
    assert len(found) == 2


def test_alarms_by_their_metric_and_with_their_tags(world):
    put(world, Tags=[{"Key": "team", "Value": "shop"}])
    found = world.alarm("DescribeAlarmsForMetric", Namespace="shop", MetricName="backlog")
    [alarm] = found["MetricAlarms"]
    arn = alarm["AlarmArn"]
    world.alarm("TagResource", ResourceARN=arn, Tags=[{"Key": "x", "Value": "1"}])
    world.alarm("UntagResource", ResourceARN=arn, TagKeys=["team"])
    tags = world.alarm("ListTagsForResource", ResourceARN=arn)["Tags"]
    assert tags == [{"Key": "x", "Value": "1"}]
    with pytest.raises(Refused, match="no alarm none"):
        world.alarm("SetAlarmState", AlarmName="none", StateValue="OK", StateReason="-")
