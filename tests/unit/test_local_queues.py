"""Queues of kirikae local with a clock of their own: what AWS's developer guide says of FIFO and
standard queues."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kirikae.local.errors import AwsError
from kirikae.local.sqs.api import Sqs, addressed
from kirikae.local.sqs.limits import attributes_md5, message_bytes
from kirikae.local.sqs.places import Place
from kirikae.local.sqs.queues import Counts, Draft, Queues
from kirikae.local.wire import Json

FIFO = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "true",
    "VisibilityTimeout": "30",
    "MessageRetentionPeriod": "345600",
}
STANDARD = {"VisibilityTimeout": "30", "MessageRetentionPeriod": "60"}


class Clocked:
    """Queues whose time moves only when told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ms = 1_000_000
        self.open()

    def open(self) -> None:
        self.q = Queues(self.path, lambda: self.ms)

    def make(self, name: str, attributes: dict[str, str], **more: str) -> None:
        self.q.put(name, {"attributes": attributes | more, "tags": {}})

    def send(
        self, name: str, body: str, group: str = "", dedup: str = "", delay_s: int = 0
    ) -> bool:
        draft = Draft(body, group=group, dedup=dedup, delay_s=delay_s)
        return self.q.send(name, draft).fresh

    def get(
        self, name: str, most: int = 10, visibility_s: int | None = None, attempt: str = ""
    ) -> list[tuple[str, str]]:
        return [
            (row["body"], row["receipt"])
            for row in self.q.receive(name, most, visibility_s, attempt)
        ]

    def bodies(
        self, name: str, most: int = 10, visibility_s: int | None = None, attempt: str = ""
    ) -> list[str]:
        return [body for body, _ in self.get(name, most, visibility_s, attempt)]


@pytest.fixture
def queues(tmp_path: Path) -> Clocked:
    found = Clocked(tmp_path / "q.db")
    found.make("f.fifo", FIFO)
    found.make("s", STANDARD)
    return found


def test_a_deduplication_id_is_remembered_after_the_delete(queues):
    """The fault of moto: two redundant schedulers would run the job twice.  After five minutes the
    ID is free again."""
    assert queues.send("f.fifo", "job", "g", "2026-11-21T03:00")
    ((_, receipt),) = queues.get("f.fifo")
    queues.q.remove("f.fifo", receipt)
    queues.ms += 299_999
    assert (
        not queues.send("f.fifo", "job", "g", "2026-11-21T03:00") and queues.bodies("f.fifo") == []
    )
    queues.open()  # a restart forgets nothing
    assert not queues.send("f.fifo", "job", "g", "2026-11-21T03:00")
    queues.ms += 1
    assert queues.send("f.fifo", "job", "g", "2026-11-21T03:00") and queues.bodies("f.fifo") == [
        "job"
    ]


def test_content_is_its_own_deduplication_id(queues):
    """The same body in another group is the same message, unless the scope is the group."""
    assert queues.send("f.fifo", "x", "a") and not queues.send("f.fifo", "x", "b")
    queues.make("g.fifo", FIFO, DeduplicationScope="messageGroup")
    assert (
        queues.send("g.fifo", "x", "a")
        and queues.send("g.fifo", "x", "b")
        and not queues.send("g.fifo", "x", "a")
    )


def test_a_group_is_locked_while_one_of_its_messages_is_in_flight(queues):
    """In order within a group; another group goes on; the lock ends with delete or with the
    visibility timeout."""
    for group, body in (("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")):
        queues.send("f.fifo", body, group)
    ((first, receipt),) = queues.get("f.fifo", 1)
    assert first == "a1" and queues.bodies("f.fifo") == ["b1"] and queues.bodies("f.fifo") == []
    queues.q.remove("f.fifo", receipt)
    assert queues.bodies("f.fifo") == ["a2", "a3"], "a batch may hold several of a group, in order"
    queues.ms += 30_000
    assert queues.bodies("f.fifo") == ["a2", "b1", "a3"]


def test_receipts_expire(queues):
    """FIFO: a stale receipt is an error; standard: it succeeds and deletes nothing."""
    queues.send("f.fifo", "x", "g")
    ((_, receipt),) = queues.get("f.fifo")
    queues.ms += 30_000
    with pytest.raises(AwsError, match="expired"):
        queues.q.remove("f.fifo", receipt)
    queues.send("s", "y")
    ((_, old),) = queues.get("s")
    queues.ms += 30_000
    ((_, new),) = queues.get("s")
    queues.q.remove("s", old)
    assert queues.q.counts("s") == Counts(0, 1, 0)
    queues.q.remove("s", new)
    queues.q.remove("s", new)
    assert queues.q.counts("s") == Counts(0, 0, 0)
    with pytest.raises(AwsError, match="ReceiptHandleIsInvalid"):
        queues.q.remove("s", "nonsense")


def test_visibility_is_changed_only_in_flight(queues):
    """Longer, shorter, given back at once; not for a message that nobody holds."""
    queues.make("long", STANDARD | {"MessageRetentionPeriod": "3600"})
    queues.send("long", "x")
    ((_, receipt),) = queues.get("long")
    queues.q.set_visibility("long", receipt, 100)
    queues.ms += 99_999
    assert queues.bodies("long") == []
    queues.q.set_visibility("long", receipt, 0)
    with pytest.raises(AwsError, match="MessageNotInflight"):
        queues.q.set_visibility("long", receipt, 10)


def test_a_delayed_message_waits(queues):
    """Per message on standard queues; retention ends it."""
    queues.make("long", STANDARD | {"MessageRetentionPeriod": "3600"})
    queues.send("long", "later", delay_s=900)
    assert queues.q.counts("long") == Counts(0, 0, 1)
    queues.ms += 900_000
    assert queues.bodies("long") == ["later"]
    queues.send("s", "old")
    queues.ms += 60_001
    assert queues.bodies("s") == []


def test_dead_letters(queues):
    """After maxReceiveCount receives the message moves on, keeps its ID, and can be moved back."""
    queues.make("dead", STANDARD)
    queues.make(
        "s",
        STANDARD,
        RedrivePolicy=json.dumps(
            {"deadLetterTargetArn": "arn:aws:sqs:r:1:dead", "maxReceiveCount": "2"}
        ),
    )
    queues.send("s", "poison")
    for _ in range(2):
        assert queues.bodies("s", visibility_s=0) == ["poison"]
    assert queues.bodies("s") == []
    (dead,) = queues.q.receive("dead", 10, 0, "")
    assert (dead["body"], dead["source"]) == ("poison", "s")
    assert queues.q.move("dead", None) == 1 and queues.bodies("s") == ["poison"]


def test_the_same_attempt_gets_the_same_messages(queues):
    """A receive whose answer was lost on the way: same messages, same receipts; not once one of
    them is gone."""
    for n in range(3):
        queues.send("f.fifo", f"m{n}", "g")
    first = queues.get("f.fifo", 2, attempt="try-1")
    assert (
        queues.get("f.fifo", 2, attempt="try-1") == first
        and queues.get("f.fifo", 2, attempt="try-2") == []
    )
    queues.q.remove("f.fifo", first[0][1])
    assert queues.get("f.fifo", 2, attempt="try-1") == []


def test_sizes_and_digests_are_aws_s():
    """The digest of the developer guide's rule; the value is what AWS answered for this
    attribute."""
    attributes = {
        "a": {"DataType": "String", "StringValue": "1"},
        "b": {"DataType": "Binary", "BinaryValue": "AQI="},
    }
    assert message_bytes("é", attributes) == 2 + (1 + 6 + 1) + (1 + 6 + 2)
    known = {"timestamp": {"DataType": "Number", "StringValue": "1493147359900"}}
    assert attributes_md5(known) == "235c5c510d26fb653d073faed50ae77c"


ACTS = st.lists(
    st.tuples(st.sampled_from(["send", "receive", "delete", "late", "again"]), st.integers(0, 5)),
    max_size=60,
)


@settings(max_examples=60)
@given(ACTS)
def test_nothing_is_lost_and_order_holds_in_each_group(tmp_path_factory, acts):
    """Random sends, receives, deletes, timeouts and restarts: every message is delivered until
    deleted, groups keep their order."""
    queues = Clocked(tmp_path_factory.mktemp("q") / "q.db")
    queues.make("f.fifo", FIFO)
    sent: dict[str, list[str]] = {}
    held: dict[str, str] = {}
    for number, (act, n) in enumerate(acts):
        if act == "send":
            group = f"g{n % 3}"
            queues.send("f.fifo", f"{group}-{number}", group)
            sent.setdefault(group, []).append(f"{group}-{number}")
        elif act == "receive":
            got = queues.get("f.fifo", n + 1)
            for group in {body[:2] for body, _ in got}:
                mine = [body for body, _ in got if body.startswith(group)]
                assert mine == sent[group][: len(mine)], "the oldest of its group, in order"
            assert not {body[:2] for body, _ in got} & {body[:2] for body in held}, (
                "the group was locked"
            )
            held |= dict(got)
        elif act == "delete" and held:
            body = sorted(held)[n % len(held)]
            queues.q.remove("f.fifo", held.pop(body))
            sent[body[:2]].remove(body)
        elif act == "late":
            queues.ms += 30_000
            held.clear()
        elif act == "again":
            queues.open()
    queues.ms += 30_000
    left = []
    while got := queues.get("f.fifo"):
        left += [body for body, _ in got]
        for _, receipt in got:
            queues.q.remove("f.fifo", receipt)
    assert sorted(left) == sorted(body for group in sent.values() for body in group)


@pytest.mark.parametrize("name", ["ApproximateReceiveCount", "SentTimestamp", "SenderId", "All"])
def test_consumers_of_many_years_ask_by_the_older_name(tmp_path, name):
    """AttributeNames with a message's own attributes (Shoryuken, boto3 code): AWS takes them,
    though the model's enumeration is that of queues."""
    sqs = Json("sqs", "InvalidParameterValue")
    url = "http://127.0.0.1:1/123456789012/q"
    asked = {"QueueUrl": url, "AttributeNames": [name]}
    params = sqs.params("ReceiveMessage", json.dumps(asked).encode())
    queues = Queues(tmp_path / "sqs.db", lambda: 1_000_000)
    operations = Sqs(queues, Place("r", "r", "http://127.0.0.1:1")).operations()
    asyncio.run(operations["CreateQueue"]({"QueueName": "q"}))
    asyncio.run(operations["SendMessage"]({"QueueUrl": url, "MessageBody": "x"}))
    message = asyncio.run(operations["ReceiveMessage"](params))["Messages"][0]
    assert name == "All" or list(message["Attributes"]) == [name]
    with pytest.raises(AwsError, match="is not one of"):
        body = json.dumps({"QueueUrl": url, "AttributeNames": [name, "Nonsense"]})
        sqs.params("ReceiveMessage", body.encode())
    queues.close()


def test_what_is_empty_is_left_out_and_what_must_not_be_is_refused(tmp_path):
    """As AWS answers: no empty lists, and no batch, tags or keys of nothing; at most 50 tags."""
    queues = Queues(tmp_path / "sqs.db", lambda: 1_000_000)
    operations = Sqs(queues, Place("r", "r", "http://127.0.0.1:1")).operations()

    def ask(operation, **params):
        return asyncio.run(operations[operation](params))

    assert ask("ListQueues") == {}
    url = ask("CreateQueue", QueueName="q")["QueueUrl"]
    assert ask("GetQueueAttributes", QueueUrl=url) == {}
    for operation in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility"):
        with pytest.raises(AwsError, match=f"one {operation}BatchRequestEntry"):
            ask(f"{operation}Batch", QueueUrl=url, Entries=[])
    with pytest.raises(AwsError, match="Tags"):
        ask("TagQueue", QueueUrl=url, Tags={})
    with pytest.raises(AwsError, match="Tag keys"):
        ask("UntagQueue", QueueUrl=url, TagKeys=[])
    with pytest.raises(AwsError, match="Too many tags"):
        ask("TagQueue", QueueUrl=url, Tags={str(number): "x" for number in range(51)})
    queues.close()


@pytest.mark.parametrize(
    ("url", "body", "named"),
    [
        ("http://192.168.0.1:5/123456789012/mail", b"Action=ReceiveMessage", True),
        ("http://192.168.0.1:5/123456789012/mail.fifo", b"Action=ReceiveMessage", True),
        (
            "http://127.0.0.1:5/123456789012/mail",
            b"Action=X&QueueUrl=http%3A%2F%2Fa%2F1%2Fb",
            False,
        ),
        ("http://127.0.0.1:5/", b"Action=CreateQueue&QueueName=mail", False),
        ("http://127.0.0.1:5/123456789012/a/b", b"Action=ReceiveMessage", False),
    ],
)
def test_a_request_at_a_queues_own_url_names_it_by_that(url, body, named):
    """As Celery's transport sends it: the body alone does not say which queue."""
    told = dict(parse_qsl(addressed(url, body).decode()))
    assert (told.get("QueueUrl") == url) is named
    assert addressed(url, body).startswith(body)


def test_entries_of_a_batch_name_the_receipt_that_is_none(tmp_path):
    """One message alone says that its receipt is invalid; a batch's entry says which."""
    queues = Queues(tmp_path / "sqs.db", lambda: 0, "r")
    ask = Sqs(queues, Place("r", "r", "http://127.0.0.1:1")).operations()
    url = asyncio.run(ask["CreateQueue"]({"QueueName": "q"}))["QueueUrl"]
    with pytest.raises(AwsError, match="The input receipt handle is invalid"):
        asyncio.run(ask["DeleteMessage"]({"QueueUrl": url, "ReceiptHandle": "none"}))
    entries = [{"Id": "a", "ReceiptHandle": "none"}]
    told = asyncio.run(ask["DeleteMessageBatch"]({"QueueUrl": url, "Entries": entries}))
    assert told["Failed"][0]["Message"].startswith('The input receipt handle "none" is not')
