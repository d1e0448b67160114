"""SQS of kirikae local through boto3, and in the query protocol of older clients."""

from __future__ import annotations

import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Endpoint
from tests.pace import slowly

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def sqs(local: Endpoint) -> Any:
    return local.client("sqs")


@pytest.fixture
def queue(local: Endpoint, sqs: Any) -> Callable[..., str]:
    """Makes a queue that goes with the test; the answer is its URL."""

    def make(name: str, **more: Any) -> str:
        url: str = sqs.create_queue(QueueName=name, **more)["QueueUrl"]
        local.scope.add(lambda: sqs.delete_queue(QueueUrl=url))
        return url

    return make


def test_a_fifo_queue_deduplicates_after_the_delete(sqs, queue):
    """Send, receive, delete, send again: delivered once."""
    url = queue("jobs.fifo", Attributes={"FifoQueue": "true"})
    sent = {
        "QueueUrl": url,
        "MessageBody": "run",
        "MessageGroupId": "g",
        "MessageDeduplicationId": "1",
    }
    first = sqs.send_message(**sent)
    got = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"][0]
    assert (
        got["Attributes"]["MessageGroupId"] == "g"
        and got["Attributes"]["SequenceNumber"] == first["SequenceNumber"]
    )
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    assert sqs.send_message(**sent)["MessageId"] == first["MessageId"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    with pytest.raises(ClientError, match="MessageGroupId"):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageDeduplicationId="2")
    with pytest.raises(ClientError, match="ContentBasedDeduplication"):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g")


def test_long_polling_wakes_on_the_send(sqs, queue):
    """Not a moment later, and without asking again and again."""
    url = queue("poll")
    threading.Timer(1.0, lambda: sqs.send_message(QueueUrl=url, MessageBody="now")).start()
    began = time.monotonic()
    assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"][0]["Body"] == "now"
    assert 0.9 < time.monotonic() - began < slowly(3)
    began = time.monotonic()
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert time.monotonic() - began > 0.9


def test_batches_attributes_and_errors(sqs, queue):
    """Ten at once; each failure by itself; AWS's error names."""
    url = queue("batch", Attributes={"VisibilityTimeout": "60"}, tags={"team": "shop"})
    entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(9)] + [
        {"Id": "bad", "MessageBody": "x", "DelaySeconds": 901}
    ]
    told = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert len(told["Successful"]) == 9 and told["Failed"][0]["Id"] == "bad"
    got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert sorted(m["Body"] for m in got) == [str(n) for n in range(9)]
    sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in got[:4]],
    )
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (found["ApproximateNumberOfMessagesNotVisible"], found["VisibilityTimeout"]) == (
        "5",
        "60",
    )
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "shop"}
    attributes = {
        "k": {"DataType": "String", "StringValue": "v"},
        "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    sqs.send_message(QueueUrl=url, MessageBody="with", MessageAttributes=attributes)
    got = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"][0][
        "MessageAttributes"
    ]
    assert got["k"]["StringValue"] == "v" and got["b"]["BinaryValue"] == b"\x00\x01"
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as caught:
        sqs.get_queue_url(QueueName="none")
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName="batch", Attributes={"VisibilityTimeout": "61"})
    with pytest.raises(sqs.exceptions.BatchEntryIdsNotDistinct):
        sqs.send_message_batch(QueueUrl=url, Entries=entries[:1] * 2)
    queue("dead.fifo", Attributes={"FifoQueue": "true"})
    with pytest.raises(ClientError, match="same type"):
        policy = (
            '{"deadLetterTargetArn": "arn:aws:sqs:ap-northeast-1:123456789012:dead.fifo", '
            '"maxReceiveCount": 3}'
        )
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})


def test_older_clients_speak_query(local, sqs, queue):
    """The same queues in XML."""
    url = queue("old")

    def ask(**params: str) -> str:
        scope = "Credential=k/20260101/ap-northeast-1/sqs/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
        body = urllib.parse.urlencode({"Version": "2012-11-05", **params}).encode()
        request = urllib.request.Request(local.status["endpoint"], data=body, headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())

    told = ask(Action="SendMessage", QueueUrl=url, MessageBody="hello")
    assert "<MD5OfMessageBody>5d41402abc4b2a76b9719d911017c592</MD5OfMessageBody>" in told
    told = ask(Action="ReceiveMessage", QueueUrl=url, **{"AttributeName.1": "All"})
    assert "<Body>hello</Body>" in told and "<Name>ApproximateReceiveCount</Name>" in told
    assert "<Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in ask(
        Action="GetQueueUrl", QueueName="none"
    )
