#!/usr/bin/env python3
"""How many objects a CPU-second of ours copies within S3, with every guard, beside boto3.

``python benchmarks/logs_copy.py [OBJECTS]``: a server in another process answers at once, so only
the client's CPU counts (user and system).  Three clients, each in a process of its own, 16 requests
in flight: the copy alone as kirikae makes it (`If-None-Match`, `x-amz-copy-source-if-match`,
storage class, expected owner, the body read); the same by boto3; a whole `logs backfill` of class
A with listing, classes and manifest.  No byte of an object is read: the server counts GETs.
"""

from __future__ import annotations

import os
import re
import resource
import socketserver
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.managers import DictProxy
from pathlib import Path

AT_ONCE = 16
OBJECTS = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
REGION = "ap-northeast-1"
OWNER = "123456789012"
COPIED = b'<CopyObjectResult><ETag>"0123456789abcdef"</ETag></CopyObjectResult>'
DAY = 24


class Answers(socketserver.StreamRequestHandler):
    """Reads no more of a request than it must."""

    counts: dict[str, int]

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            self.rfile.read(length)
            body = self._body(line)
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    def _body(self, line: bytes) -> bytes:
        if line.startswith(b"PUT"):
            return COPIED
        if b"list-type=2" in line:
            return listing(line.decode())
        self.counts["objects read"] = self.counts.get("objects read", 0) + 1
        return b""


def listing(line: str) -> bytes:
    """A page of a thousand keys of Japanese hours; of the new tree, nothing."""
    if "/new?" in line:
        return b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    found = re.search(r"continuation-token=(\d+)", line)
    begin = int(found[1]) if found else 0
    rows = "".join(row(number) for number in range(begin, min(begin + 1000, OBJECTS)))
    more = begin + 1000 < OBJECTS
    token = f"<NextContinuationToken>{begin + 1000}</NextContinuationToken>" if more else ""
    truncated = str(more).lower()
    text = (
        f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{token}{rows}</ListBucketResult>"
    )
    return text.encode()


def row(number: int) -> str:
    return (
        f"<Contents><Key>logs/{key(number)}</Key><LastModified>2026-11-01T00:00:00Z</LastModified>"
        '<ETag>"0123456789abcdef"</ETag><Size>4096</Size><StorageClass>STANDARD</StorageClass>'
        "</Contents>"
    )


def key(number: int) -> str:
    hour = number // 480
    day = hour // DAY
    folder = f"2026/{day // 28 % 10 + 1:02d}/{day % 28 + 1:02d}/{hour % DAY:02d}"
    return f"{folder}/web_{number}.log.gz"


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256


def serve(port: DictProxy[str, int]) -> None:
    counts = port
    handler = type("Handler", (Answers,), {"counts": counts})
    with Server(("127.0.0.1", 0), handler) as server:
        port["port"] = server.server_address[1]
        server.serve_forever()


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def each(work: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, range(OBJECTS)))


def ours() -> None:
    from kirikae.aws.s3_objects import objects_at
    from kirikae.aws.session import Aws
    from kirikae.model.objects import Listed

    aws = Aws(REGION)
    old = objects_at(aws, "s3://old/logs/", OWNER)
    new = objects_at(aws, "s3://new/utc/", OWNER)

    def copy(number: int) -> None:
        listed = Listed(key(number), '"0123456789abcdef"', 4096, 0.0)
        new.copy_from(old, listed, f"x/{number}")

    each(copy)


def boto3() -> None:
    from kirikae.aws.session import Aws

    client = Aws(REGION).client("s3")

    def copy(number: int) -> None:
        client.copy_object(
            Bucket="new",
            Key=f"utc/x/{number}",
            CopySource={"Bucket": "old", "Key": f"logs/{key(number)}"},
            CopySourceIfMatch='"0123456789abcdef"',
            IfNoneMatch="*",
            StorageClass="STANDARD",
            ExpectedBucketOwner=OWNER,
        )

    each(copy)


def backfill() -> None:
    from kirikae.logs.backfill import Backfill
    from kirikae.logs.layout import Layout
    from kirikae.logs.manifest import Manifest
    from kirikae.logs.owners import Owners
    from kirikae.logs.throttle import Throttle
    from kirikae.logs.trees import Door
    from kirikae.logs.work import Trees
    from kirikae.logs.worker import Place

    old = Layout("%Y/%m/%d/%H/", "Asia/Tokyo")
    new = Layout("%Y/%m/%d/%H/")
    now = time.time()
    place = Place(
        Trees(old, new, now),
        Owners(new, now, 900),
        Door("s3://old/logs/", REGION, OWNER),
        Door("s3://new/utc/", REGION, OWNER),
    )
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest(Path(folder) / "logs.db")
        throttle = Throttle(time.monotonic, time.sleep, 1e9)
        done = Backfill(place, manifest, throttle, at_once=AT_ONCE).run()
        assert done.states == {"done": OBJECTS}, done


def measured(what: Callable[[], None], answers: DictProxy[str, float]) -> None:
    before = cpu()
    what()
    answers["cpu"] = cpu() - before
    answers["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    spawn = get_context("spawn")
    with spawn.Manager() as manager:
        shared = manager.dict()
        server = spawn.Process(target=serve, args=(shared,), daemon=True)
        server.start()
        while "port" not in shared:
            time.sleep(0.05)
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{shared['port']}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        print(f"{OBJECTS} objects, {AT_ONCE} at once; load {os.getloadavg()[0]:.0f}")
        for what in (ours, boto3, backfill):
            child = spawn.Process(target=measured, args=(what, shared))
            child.start()
            child.join()
            if child.exitcode:
                sys.exit(f"{what.__name__} failed")
            rate = OBJECTS / shared["cpu"]
            print(f"{what.__name__:9} {rate:7,.0f} objects a CPU-second; {shared['peak']:.0f} MiB")
        print(f"objects read: {shared.get('objects read', 0)}")
        server.terminate()


if __name__ == "__main__":
    main()
