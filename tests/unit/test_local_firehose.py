"""Firehose of kirikae local: which object a record ends in, under which name, and that none is
lost."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kirikae.local.clock import Clock
from kirikae.local.errors import PatternError
from kirikae.local.firehose.api import Firehose, service_of
from kirikae.local.firehose.delivery import GIVEN_UP_S, Delivery
from kirikae.local.firehose.javatime import formatted
from kirikae.local.firehose.streams import Streams

REGION = "ap-northeast-1"
BUCKET = "arn:aws:s3:::logs"
ROLE = "arn:aws:iam::123456789012:role/firehose"
NOON = datetime(2026, 11, 26, 23, 30, tzinfo=UTC).timestamp()
NAME = re.compile(r"web-1-2026-11-26-23-30-00-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Killed(BaseException):
    """The process ends here, without a word."""


@dataclass
class Bucket:
    """S3.  ``dies``: the process is killed in the n-th put, after S3 took it."""

    objects: dict[str, bytes] = field(default_factory=dict)
    away: bool = False
    dies: int = 0
    puts: int = 0

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        assert bucket == "logs"
        if self.away:
            raise OSError("S3 does not answer")
        self.objects[key] = body
        self.puts += 1
        if self.puts == self.dies:
            raise Killed


class Place:
    """A folder with streams, a bucket, and a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = Bucket()
        self.now = NOON
        self.clock = Clock(lambda: self.now)
        self.start()

    def start(self) -> None:
        """Also again, after a kill."""
        self.streams = Streams(self.folder / "firehose.db")
        self.service = service_of(Firehose(self.streams, REGION, self.clock))
        self.delivery = Delivery(self.streams, self.bucket, self.clock)

    def ask(self, operation: str, **params: Any) -> Any:
        """The answer; an error's code where it is refused."""
        headers = {"X-Amz-Target": f"Firehose_20150804.{operation}"}
        reply = asyncio.run(self.service.serve(headers, json.dumps(params).encode()))
        told = json.loads(reply.body or b"{}")
        return told if reply.status == 200 else f"{told['__type']}: {told['message']}"

    def create(self, name: str = "web", **more: Any) -> Any:
        destination = {"RoleARN": ROLE, "BucketARN": BUCKET, **more}
        return self.ask(
            "CreateDeliveryStream",
            DeliveryStreamName=name,
            ExtendedS3DestinationConfiguration=destination,
        )

    def put(self, *datas: bytes, name: str = "web") -> Any:
        records = [{"Data": base64.b64encode(data).decode()} for data in datas]
        return self.ask("PutRecordBatch", DeliveryStreamName=name, Records=records)

    def look(self, after_s: float = 0) -> Mapping[str, bytes]:
        self.now += after_s
        asyncio.run(self.delivery.look())
        return self.bucket.objects


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.streams.close()


def test_java_s_patterns():
    """DateTimeFormatter's own examples, and the letters of paths."""
    when = datetime(2026, 3, 5, 13, 4, 9, 123456, tzinfo=ZoneInfo("Asia/Kolkata"))
    known = {
        "yyyy/MM/dd/HH": "2026/03/05/13",
        "yy M d H m s": "26 3 5 13 4 9",
        "'year='yyyy'/month='MM": "year=2026/month=03",
        "h 'o''clock' a": "1 o'clock PM",
        "EEE EEEE MMM MMMM MMMMM": "Thu Thursday Mar March M",
        "DDD QQQ k K": "064 Q1 13 1",
        "yyyy-MM-dd'T'HH:mm:ss.SSSXXX": "2026-03-05T13:04:09.123+05:30",
        "X Z ZZZZ O VV z": "+0530 +0530 GMT+05:30 GMT+5:30 Asia/Kolkata IST",
        "yyyy[ HH]''": "2026 13'",
    }
    assert {pattern: formatted(pattern, when) for pattern in known} == known
    assert formatted("XXX xxx", when.astimezone(UTC)) == "Z +00:00"
    for wrong in ("yyyy'", "YYYY", "p", "{", "ddd", "SSSSSSSSSS"):
        with pytest.raises(PatternError):
            formatted(wrong, when)


def test_an_object_is_filed_by_its_oldest_record_in_the_zone_that_was_asked_for(place):
    """All times in it are one instant, the one in its name too; records follow each other as they
    came."""
    prefix = "logs/!{timestamp:yyyy/MM/dd/HH}/!{firehose:random-string}/"
    errors = "bad/!{firehose:error-output-type}/!{timestamp:yyyy}/"
    zone = "Asia/Tokyo"
    place.create("web", Prefix=prefix, ErrorOutputPrefix=errors, CustomTimeZone=zone)
    place.put(b"a\n", b"b")
    place.now += 100
    place.put(b"c\n")
    [key] = place.look(200)
    assert re.fullmatch(
        r"logs/2026/11/27/08/[A-Za-z0-9]{11}/web-1-2026-11-27-08-30-00-[0-9a-f-]{36}", key
    )
    assert place.bucket.objects[key] == b"a\nbc\n"


def test_a_prefix_without_a_time_gets_the_utc_hour(place):
    """With no slash put before it."""
    place.create(Prefix="logs-")
    place.put(b"a\n")
    [key] = place.look(300)
    head, _, name = key.rpartition("/")
    assert head == "logs-2026/11/26/23" and NAME.fullmatch(name)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"Prefix": "!{timestamp:yyyy}/"},
            "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions",
        ),
        (
            {"Prefix": "a", "ErrorOutputPrefix": "!{timestamp:yyyy}/"},
            "must contain !{firehose:error-output-type}",
        ),
        ({"Prefix": "!{firehose:error-output-type}", "ErrorOutputPrefix": "e/"}, "Prefix cannot"),
        ({"Prefix": "a!{"}, "outside of an expression"),
        ({"Prefix": "!{time:yyyy}", "ErrorOutputPrefix": "e/"}, "unknown namespace 'time'"),
        ({"Prefix": "!{timestamp:YYYY}", "ErrorOutputPrefix": "e/"}, "pattern letter Y"),
        ({"Prefix": "x" * 510}, "at most 512"),
        ({"CustomTimeZone": "Asia/Edo"}, "CustomTimeZone"),
        ({"BufferingHints": {"SizeInMBs": 5}}, "must be specified together"),
        ({"BufferingHints": {"SizeInMBs": 129, "IntervalInSeconds": 60}}, "at most 128"),
        ({"BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 901}}, "at most 900"),
        ({"FileExtension": "gz"}, "does not match the pattern"),
        ({"CompressionFormat": "Snappy"}, "CompressionFormat Snappy"),
        ({"DynamicPartitioningConfiguration": {"Enabled": True}}, "DynamicPartitioning"),
        ({"BucketARN": "logs"}, "BucketARN"),
    ],
)
def test_what_aws_refuses_is_refused(place, asked, words):
    """And what is not carried out here, by name; nothing is kept then."""
    told = place.create(**asked)
    assert told.startswith("InvalidArgumentException: ") and words in told
    assert place.ask("ListDeliveryStreams")["DeliveryStreamNames"] == []


def test_size_or_time_whichever_is_first(place):
    """A buffer of a megabyte is full before its time; an interval of 0 waits for nothing."""
    hints = {"SizeInMBs": 1, "IntervalInSeconds": 60}
    place.create(BufferingHints=hints)
    place.put(*[b"x" * 1000] * 400)
    assert not place.look(1)
    place.put(*[b"y" * 1000] * 400)
    place.put(*[b"z" * 1000] * 400)
    assert [len(body) for body in place.look().values()] == [1_048_000]
    assert len(place.look(58)) == 1
    assert sorted(len(body) for body in place.look(2).values()) == [152_000, 1_048_000]
    place.create("now", BufferingHints={"SizeInMBs": 1, "IntervalInSeconds": 0})
    place.put(b"a", name="now")
    assert len(place.look()) == 3


def test_compression_and_extensions(place):
    """gzip as one member; a file in a ZIP; an extension that was asked for wins."""
    place.create("gz", CompressionFormat="GZIP")
    place.create("zip", CompressionFormat="ZIP")
    place.create("own", CompressionFormat="GZIP", FileExtension=".log.gz")
    for name in ("gz", "zip", "own"):
        place.put(b"a\n", b"b\n", name=name)
    found = {key.rpartition("/")[2].split("-")[0]: key for key in place.look(300)}
    assert found["gz"].endswith(".gz") and found["own"].endswith(".log.gz")
    for name in ("gz", "own"):
        assert gzip.decompress(place.bucket.objects[found[name]]) == b"a\nb\n"
    with zipfile.ZipFile(io.BytesIO(place.bucket.objects[found["zip"]])) as file:
        [name] = file.namelist()
        assert file.read(name) == b"a\nb\n" and f"{name}.zip" == found["zip"].rpartition("/")[2]


def _payload(kind: str, *messages: str) -> bytes:
    """As CloudWatch Logs sends it."""
    events = [{"id": "1", "timestamp": 1, "message": each} for each in messages]
    return gzip.compress(json.dumps({"messageType": kind, "logEvents": events}).encode())


def test_processors(place):
    """Subscribed logs are unpacked to their lines, control messages vanish, and what cannot be read
    lies below the error prefix with its bytes."""
    processors = [
        {"Type": "AppendDelimiterToRecord"},
        {
            "Type": "CloudWatchLogProcessing",
            "Parameters": [{"ParameterName": "DataMessageExtraction", "ParameterValue": "true"}],
        },
        {"Type": "Decompression"},
    ]
    processing = {"Enabled": True, "Processors": processors}
    place.create(Prefix="logs/", ProcessingConfiguration=processing)
    place.put(_payload("DATA_MESSAGE", "a", "b"), b"plain", _payload("CONTROL_MESSAGE", "x"))
    found = place.look(300)
    [good] = [body for key, body in found.items() if key.startswith("logs/2026/11/26/23/web-1")]
    [bad] = [
        body
        for key, body in found.items()
        if key.startswith("logs/processing-failed/2026/11/26/23")
    ]
    assert good == b"a\nb\n"
    assert base64.b64decode(json.loads(bad)["rawData"]) == b"plain"
    plain = {"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord"}]}
    place.create("plain", ProcessingConfiguration=plain)
    place.put(b"a", b"b\n", name="plain")
    assert b"a\nb\n" in place.look(300).values()
    wrong = {"Enabled": True, "Processors": [processors[1]]}
    assert "needs the processor Decompression" in place.create("w", ProcessingConfiguration=wrong)


@pytest.mark.parametrize("put", [1, 2, 3])
def test_a_kill_loses_nothing_and_doubles_nothing(place, put):
    """In the middle of any delivery, after S3 took the object: the same object is put again."""
    hints = {"SizeInMBs": 1, "IntervalInSeconds": 60}
    place.create(BufferingHints=hints, CompressionFormat="GZIP")
    sent = [b"%06d " % number + b"x" * 990 + b"\n" for number in range(3000)]
    for begin in range(0, len(sent), 500):
        place.put(*sent[begin : begin + 500])
    place.bucket.dies = put
    with pytest.raises(Killed):
        place.look(60)
    place.streams.close()
    place.start()
    found = b"".join(gzip.decompress(body) for body in place.look().values())
    assert Counter(found.splitlines(keepends=True)) == Counter(sent)
    assert len(place.bucket.objects) == 3


def test_what_s3_does_not_take_is_tried_again_for_a_day(place):
    """Then it is gone, as on AWS."""
    place.create()
    place.put(b"a\n")
    place.bucket.away = True
    assert not place.look(300) and not place.look(3600)
    place.bucket.away = False
    assert list(place.look().values()) == [b"a\n"]
    place.put(b"b\n")
    place.bucket.away = True
    place.look(GIVEN_UP_S + 1)
    place.bucket.away = False
    assert len(place.look()) == 1


def test_an_update_counts_its_versions(place):
    """They stand in the names of objects; whoever knows an older one is refused."""
    place.create(Prefix="a/")
    update = {
        "DeliveryStreamName": "web",
        "CurrentDeliveryStreamVersionId": "1",
        "DestinationId": "destinationId-000000000001",
        "ExtendedS3DestinationUpdate": {"Prefix": "b/"},
    }
    assert place.ask("UpdateDestination", **update) == {}
    assert "ConcurrentModificationException" in place.ask("UpdateDestination", **update)
    told = place.ask("DescribeDeliveryStream", DeliveryStreamName="web")
    described = told["DeliveryStreamDescription"]
    [destination] = described["Destinations"]
    assert described["VersionId"] == "2"
    assert destination["ExtendedS3DestinationDescription"]["Prefix"] == "b/"
    assert "CustomTimeZone" not in destination["S3DestinationDescription"]
    place.put(b"a")
    [key] = place.look(300)
    assert key.startswith("b/2026/11/26/23/web-2-")


def test_records_that_are_too_large_and_streams_that_are_not_there(place):
    """In AWS's words; a stream that goes delivers what it has first."""
    place.create()
    assert "ResourceInUseException" in place.create()
    one = {"Data": base64.b64encode(b"x" * (1000 * 1024 + 1)).decode()}
    told = place.ask("PutRecord", DeliveryStreamName="web", Record=one)
    assert told.startswith("InvalidArgumentException")
    assert "Firehose none under account 123456789012 not found." in place.put(b"a", name="none")
    assert place.put(b"a")["FailedPutCount"] == 0
    assert place.ask("DeleteDeliveryStream", DeliveryStreamName="web") == {}
    assert "DELETING" in place.put(b"b")
    assert list(place.look().values()) == [b"a"]
    assert place.ask("ListDeliveryStreams")["DeliveryStreamNames"] == []


def test_the_clock_that_tests_move(place):
    """Ahead and back."""
    place.create()
    place.clock.ahead_s = 3600.0
    place.put(b"a")
    place.clock.ahead_s = 7200.0
    [key] = place.look()
    assert key.startswith("2026/11/27/00/web-1-2026-11-27-00-30-00-")
