"""Who hears of an alarm: topics of SNS, and EventBridge's rules.

A change of state is written down together with its news; news are told until they were, so a
control plane that is killed tells some of them twice, and loses none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from kirikae.local.alarms.book import Book, region_of
from kirikae.local.alarms.forms import ACTIONS
from kirikae.local.alarms.rows import METRIC, Alarm, News, State
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.wire import ACCOUNT

log = logging.getLogger("kirikae.local.alarms")
Publish = Callable[[str, Plain], Awaitable[None]]
"""EventBridge: a region, and an event for its rules.  Raises AwsError, OSError."""
_FAULT = 500
_LONGEST_SUBJECT = 100
_TRIGGER = (
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Unit",
    "Period",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "ComparisonOperator",
    "Threshold",
    "TreatMissingData",
)


class Topics(Protocol):
    """SNS."""

    async def query(
        self,
        service: str,
        params: Mapping[str, str],
        region: str,
    ) -> str:
        """Raises AwsError where it is refused, OSError where it does not answer."""
        ...


class Teller:
    """Of all regions."""

    def __init__(
        self,
        book: Book,
        topics: Topics,
        publish: Publish,
    ) -> None:
        self._book = book
        self._topics = topics
        self._publish = publish

    async def tell(self) -> None:
        """All that waits.  Raises OSError where somebody does not answer: then it waits on."""
        for key, news in list(self._book.waiting()):
            alarm = news["alarm"]
            await self._publish(region_of(alarm["arn"]), event_of(news, key))
            for action in actions_of(alarm):
                await self._act(action, news)
            self._book.news.drop(key)

    async def _act(
        self,
        action: str,
        news: News,
    ) -> None:
        """Policies of Application Auto Scaling look at the alarm by themselves."""
        if not is_topic(action):
            return
        try:
            await self._topics.query(
                "sns",
                publication(action, news),
                region_of(action),
            )
        except AwsError as error:
            log.warning(
                "%s: %s was not told: %s",
                news["alarm"]["name"],
                action,
                error,
            )
            self._book.acted(
                news["alarm"],
                action,
                error.message,
            )
            return
        self._book.acted(news["alarm"], action)


def actions_of(alarm: Alarm) -> list[str]:
    """What is to be done when its state begins."""
    form = alarm["form"]
    if not form["ActionsEnabled"]:
        return []
    return list(form[ACTIONS[alarm["state"]["value"]]])


def is_topic(action: str) -> bool:
    """Is it one of SNS?"""
    return action.split(":")[2:3] == ["sns"]


def is_policy(action: str) -> bool:
    """Is it one of Application Auto Scaling, for a service of ECS?"""
    return action.split(":")[2:3] == ["autoscaling"] and ":resource/ecs/service/" in action


def publication(topic: str, news: News) -> dict[str, str]:
    """SNS's Publish."""
    alarm = news["alarm"]
    value = alarm["state"]["value"]
    subject = f'{value}: "{alarm["name"]}" in {region_of(alarm["arn"])}'
    return {
        "Action": "Publish",
        "Version": "2010-03-31",
        "TopicArn": topic,
        "Subject": subject[:_LONGEST_SUBJECT],
        "Message": json.dumps(message_of(news)),
    }


def message_of(news: News) -> Plain:
    """As topics get it (CloudWatch User Guide, "Notifying users on alarm changes")."""
    alarm = news["alarm"]
    form = alarm["form"]
    told = {
        "AlarmName": alarm["name"],
        "AlarmDescription": form.get("AlarmDescription"),
        "AWSAccountId": ACCOUNT,
        "AlarmConfigurationUpdatedTimestamp": _time(alarm["configured"]),
        "NewStateValue": alarm["state"]["value"],
        "NewStateReason": alarm["state"]["reason"],
        "StateChangeTime": _time(alarm["state"]["at"]),
        "Region": region_of(alarm["arn"]),
        "AlarmArn": alarm["arn"],
        "OldStateValue": news["before"]["value"],
        **{member: form[member] for member in ACTIONS.values()},
    }
    if alarm["kind"] != METRIC:
        return {**told, "AlarmRule": form["AlarmRule"]}
    trigger = {key: form[key] for key in _TRIGGER if key in form}
    dimensions = [{"name": each["Name"], "value": each["Value"]} for each in form["Dimensions"]]
    return {**told, "Trigger": {**trigger, "Dimensions": dimensions}}


def event_of(news: News, key: str) -> Plain:
    """CloudWatch User Guide, "Alarm events and EventBridge"."""
    alarm = news["alarm"]
    return {
        "version": "0",
        "id": f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": ACCOUNT,
        "time": f"{_time(alarm['state']['at'])[:19]}Z",
        "region": region_of(alarm["arn"]),
        "resources": [alarm["arn"]],
        "detail": {
            "alarmName": alarm["name"],
            "configuration": _configuration(alarm),
            "previousState": _state(news["before"]),
            "state": _state(alarm["state"]),
        },
    }


def _configuration(alarm: Alarm) -> Plain:
    form = alarm["form"]
    told = {"description": form.get("AlarmDescription", "")}
    if alarm["kind"] != METRIC:
        return {**told, "alarmRule": form["AlarmRule"]}
    metric = {
        "namespace": form["Namespace"],
        "name": form["MetricName"],
        "dimensions": {each["Name"]: each["Value"] for each in form["Dimensions"]},
    }
    statistic = form.get("Statistic") or form["ExtendedStatistic"]
    stat = {
        "metric": metric,
        "period": form["Period"],
        "stat": statistic,
    }
    return {
        **told,
        "metrics": [
            {
                "id": "m1",
                "metricStat": stat,
                "returnData": True,
            }
        ],
    }


def _state(state: State) -> Plain:
    told = {
        "value": state["value"],
        "reason": state["reason"],
        "timestamp": _time(state["at"]),
    }
    return {**told, "reasonData": state["data"]} if state["data"] else told


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.000+0000}"
