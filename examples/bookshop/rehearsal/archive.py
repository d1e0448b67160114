"""The shop's access log as it lies in S3: three days under paths in Japan time, and, since some
hours, the same lines under paths in UTC, as Firehose files them.

What is written now comes from the web machines' own nginx: the shipper writes every line to both
trees, and tries again until each is acknowledged.
"""

from __future__ import annotations

import gzip
import random
import subprocess
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from hosts import Machines

BUCKET = "bookshop-logs"
RESULTS = "bookshop-queries"
STREAM = "bookshop-access"
OLD = "access/"
NEW = "utc/"
HOURS = 72
DOUBLE_HOURS = 3
"""So long the shipper has written both trees already; it began within the hour before."""
_TOKYO = ZoneInfo("Asia/Tokyo")
_PER_HOUR = 25
_LATE = 3
"""Lines of an hour that reach Firehose in the next one."""
_SHIP_S = 5.0
_MOST = 500
"""Records that PutRecordBatch takes."""
_WEB = ("web1", "web2")
_LOG = "/var/log/nginx/access.log"
_SITE = "/etc/nginx/sites-available/bookshop"
Lines = list[bytes]


@dataclass
class Past:
    """``on``: since when the new tree has every line.  ``until``: all lines are of before."""

    on: datetime
    until: datetime
    lines: Counter[bytes] = field(default_factory=Counter)


def write_past(now: float) -> Past:
    """Both trees as they are when the move begins."""
    s3 = boto3.client("s3")
    until = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    past = Past(until - timedelta(hours=DOUBLE_HOURS, minutes=37), until)
    rng = random.Random(1)
    late: Lines = []
    for number in range(HOURS):
        hour = until - timedelta(hours=HOURS - number)
        both: list[tuple[datetime, bytes]] = []
        for host in _WEB:
            made = list(_lines(hour, host, rng))
            past.lines.update(line for _, line in made)
            key = f"{OLD}{hour.astimezone(_TOKYO):%Y/%m/%d/%H}/{host}_{hour:%Y%m%d%H%M}.gz"
            s3.put_object(Bucket=BUCKET, Key=key, Body=_packed(line for _, line in made))
            both += made
        if hour + timedelta(hours=1) > past.on:
            late = _as_firehose_files(s3, hour, late, sorted(both), past.on)
    _as_firehose_files(s3, until, late, [], past.on)
    return past


def _lines(hour: datetime, host: str, rng: random.Random) -> Iterator[tuple[datetime, bytes]]:
    """Of one machine, as its nginx writes them; some come twice, and mean it."""
    for second in sorted(rng.sample(range(3600), _PER_HOUR)):
        when = hour + timedelta(seconds=second)
        line = line_of(when, f"/books/{rng.randrange(200)}", host)
        yield when, line
        if rng.random() < 0.02:
            yield when, line


def line_of(when: datetime, path: str, agent: str) -> bytes:
    """nginx's `combined`."""
    stamp = f"{when:%d/%b/%Y:%H:%M:%S %z}"
    return f'172.18.0.2 - - [{stamp}] "GET {path} HTTP/1.1" 200 512 "-" "{agent}"\n'.encode()


def _as_firehose_files(
    s3: object, hour: datetime, late: Lines, made: list[tuple[datetime, bytes]], on: datetime
) -> Lines:
    """One object of this hour of arrival; the answer is what arrives in the next one."""
    lines = [line for when, line in made if when >= on]
    at = max(hour, on)
    name = f"{STREAM}-1-{at:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}.gz"
    key = f"{NEW}{hour:%Y/%m/%d/%H}/{name}"
    body = _packed([*late, *lines[:-_LATE]])
    s3.put_object(Bucket=BUCKET, Key=key, Body=body)  # type: ignore[attr-defined]
    return lines[-_LATE:]


def _packed(lines: Iterable[bytes]) -> bytes:
    return gzip.compress(b"".join(lines), 1)


_READ: dict[tuple[str, str], Counter[bytes]] = {}
"""Key and tag -> lines: an object is read once."""


def tree(prefix: str) -> dict[str, Counter[bytes]]:
    """Every line of a tree, by object."""
    s3 = boto3.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    listed = [each for page in pages for each in page.get("Contents", ())]
    found = {}
    for each in listed:
        if each["Key"].endswith(".gz"):
            known = (each["Key"], each["ETag"])
            if known not in _READ:
                body = s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
                _READ[known] = Counter(gzip.decompress(body).splitlines(keepends=True))
            found[each["Key"]] = _READ[known]
    return found


def create(region: str) -> None:
    """Buckets, and the stream that the shipper writes into."""
    s3 = boto3.client("s3")
    place = {"LocationConstraint": region}
    for bucket in (BUCKET, RESULTS):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    boto3.client("firehose").create_delivery_stream(
        DeliveryStreamName=STREAM,
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::123456789012:role/bookshop-firehose",
            "BucketARN": f"arn:aws:s3:::{BUCKET}",
            "Prefix": NEW + "!{timestamp:yyyy/MM/dd/HH}/",
            "ErrorOutputPrefix": "bad/!{firehose:error-output-type}/",
            "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 10},
            "CompressionFormat": "GZIP",
        },
    )


def log_every_request(machines: Machines) -> None:
    """nginx writes what it serves, as it should have all along; before anybody comes."""
    for host in _WEB:
        on = f"sed -i 's,access_log off;,access_log {_LOG};,' {_SITE}"
        machines.ssh(host, on)


class Tails:
    """nginx's logs of the web machines, line by line as they are written."""

    def __init__(self, machines: Machines) -> None:
        self._lines: Lines = []
        self._lock = threading.Lock()
        words = ("tail", "-n", "+1", "-F", _LOG)
        self._processes = [
            subprocess.Popen(
                ["docker", "exec", machines.container(host), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            for host in _WEB
        ]
        for process in self._processes:
            threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._lock:
                self._lines.append(line)

    def take(self) -> Lines:
        """What came since the last time."""
        with self._lock:
            taken = self._lines
            self._lines = []
        return taken

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


class Shipper:
    """Every line to both trees, in a thread of its own.  ``take`` answers new lines."""

    def __init__(self, take: Callable[[], Lines]) -> None:
        self._take = take
        self._s3 = boto3.client("s3")
        self._firehose = boto3.client("firehose")
        self._number = 0
        self._over = threading.Event()
        self.shipped: Counter[bytes] = Counter()
        self._thread = threading.Thread(target=self._run, daemon=True, name="shipper")

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """After the last line that was taken."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            is_last = self._over.wait(_SHIP_S)
            lines = self._take()
            if lines:
                self._to_old(lines)
                self._to_new(lines)
                self.shipped.update(lines)
            if is_last:
                return

    def _to_old(self, lines: Lines) -> None:
        """fluentd's way: filed by the hour in which it happened."""
        hours: dict[str, Lines] = defaultdict(list)
        for line in lines:
            hours[f"{time_of(line).astimezone(_TOKYO):%Y/%m/%d/%H}"].append(line)
        self._number += 1
        for hour, mine in hours.items():
            key = f"{OLD}{hour}/now_{self._number:05d}.gz"
            body = _packed(mine)
            _until_acknowledged(
                lambda key=key, body=body: self._s3.put_object(Bucket=BUCKET, Key=key, Body=body)
            )

    def _to_new(self, lines: Lines) -> None:
        for begin in range(0, len(lines), _MOST):
            records = [{"Data": line} for line in lines[begin : begin + _MOST]]
            _until_acknowledged(
                lambda records=records: self._firehose.put_record_batch(
                    DeliveryStreamName=STREAM, Records=records
                )
            )


def _until_acknowledged(put: Callable[[], object]) -> None:
    """As fluentd and Fluent Bit do: at least once."""
    while True:
        try:
            put()
            return
        except (BotoCoreError, ClientError):
            time.sleep(1)


def time_of(line: bytes) -> datetime:
    """When it happened."""
    stamp = line.partition(b"[")[2].partition(b"]")[0].decode()
    return datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z")
