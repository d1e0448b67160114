"""What CloudWatch says of queues: what was sent, received and deleted, and what waits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.elb.cloudwatch import CloudWatch
from kirikae.local.sqs.api import Sqs
from kirikae.local.sqs.figures import COUNTED, MEASURED, OF_QUEUES, QueueFigures
from kirikae.local.sqs.places import Place
from kirikae.local.sqs.queues import Queues
from kirikae.local.state import State

HOME = "ap-northeast-1"
MINUTE = 1_800_000_000 // 60 * 60


class Account:
    """Queues under a clock that stands still until it is moved on."""

    def __init__(self, folder: Path) -> None:
        self.now = float(MINUTE)
        self.state = State(folder / "state.db")
        self.queues = Queues(folder / "sqs.db", lambda: int(self.now * 1000), HOME)
        self.figures = QueueFigures(self.queues, self.state)
        self.url = self.ask("CreateQueue", QueueName="q")["QueueUrl"]

    def ask(self, operation: str, region: str = HOME, **params: Any) -> Any:
        sqs = Sqs(self.queues, self.place(region), lambda: self.now)
        return asyncio.run(sqs.operations()[operation](params))

    def place(self, region: str) -> Place:
        return Place(region, HOME, "http://127.0.0.1:1")

    def told(self, name: str, statistic: str, region: str = HOME, queue: str = "q") -> list[float]:
        """The points of three minutes, as GetMetricData answers them, the oldest first."""
        watch = CloudWatch(self.state, 0, lambda: self.now, self.place(region))
        metric = {
            "Namespace": "AWS/SQS",
            "MetricName": name,
            "Dimensions": [{"Name": "QueueName", "Value": queue}],
        }
        query = {"Id": "a", "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}}
        when = {"StartTime": MINUTE - 60, "EndTime": MINUTE + 180, "ScanBy": "TimestampAscending"}
        asked = watch.get_metric_data({"MetricDataQueries": [query], **when})
        return list(asyncio.run(asked)["MetricDataResults"][0]["Values"])


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path)


def lived(account: Any) -> None:
    """Three are sent, two received, one of them deleted twice, and one look finds nothing."""
    for body in ("a", "b", "c"):
        account.ask("SendMessage", QueueUrl=account.url, MessageBody=body)
    took = account.ask("ReceiveMessage", QueueUrl=account.url, MaxNumberOfMessages=2)["Messages"]
    for _ in range(2):
        receipt = took[0]["ReceiptHandle"]
        account.ask("DeleteMessage", QueueUrl=account.url, ReceiptHandle=receipt)
    account.ask("ReceiveMessage", QueueUrl=account.url)
    account.ask("ReceiveMessage", QueueUrl=account.url)


def test_what_happened_is_counted_and_what_waits_is_measured(account):
    """Also when it is written down several times within a minute."""
    lived(account)
    account.figures.write(account.now)
    account.now += 20
    account.ask("SendMessage", QueueUrl=account.url, MessageBody="d")
    account.figures.write(account.now)
    assert [account.told(name, "Sum") for name in COUNTED] == [[4.0], [3.0], [1.0], [1.0]]
    assert [account.told(name, "Maximum") for name in MEASURED] == [[1.0], [2.0], [0.0], [20.0]]


def test_each_minute_begins_anew(account):
    """A second sum of a quiet minute is zero, and the oldest message grows older."""
    lived(account)
    account.figures.write(account.now)
    account.now += 60
    account.figures.write(account.now)
    assert account.told("NumberOfMessagesSent", "Sum") == [3.0, 0.0]
    assert account.told("ApproximateAgeOfOldestMessage", "Maximum") == [0.0, 60.0]


def test_what_was_received_too_often_does_not_count_for_the_age(account):
    """Developer guide: a poison pill moves to the back of a standard queue."""
    account.ask("SendMessage", QueueUrl=account.url, MessageBody="pill")
    account.now += 30
    account.ask("SendMessage", QueueUrl=account.url, MessageBody="young")
    for _ in range(4):
        took = account.ask("ReceiveMessage", QueueUrl=account.url, VisibilityTimeout=0)
        assert took["Messages"][0]["Body"] == "pill"
    account.figures.write(account.now)
    assert account.told("ApproximateAgeOfOldestMessage", "Maximum") == [0.0]


def test_figures_are_of_their_region(account):
    """Namesakes in two regions; each lists its own."""
    other = "eu-west-1"
    url = account.ask("CreateQueue", other, QueueName="q")["QueueUrl"]
    account.ask("SendMessage", other, QueueUrl=url, MessageBody="a")
    account.ask("CreateQueue", other, QueueName="there")
    account.figures.write(account.now)
    assert account.told("NumberOfMessagesSent", "Sum") == [0.0]
    assert account.told("NumberOfMessagesSent", "Sum", other) == [1.0]
    for region, names in ((HOME, {"q"}), (other, {"q", "there"})):
        watch = CloudWatch(account.state, 0, lambda: account.now, account.place(region))
        listed = asyncio.run(watch.list_metrics({"Namespace": "AWS/SQS"}))["Metrics"]
        assert {each["Dimensions"][0]["Value"] for each in listed} == names
        assert {each["MetricName"] for each in listed} == OF_QUEUES
