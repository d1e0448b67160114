"""Celery with queues of SQS, as its documentation says: every job of a standard queue runs once,
and those of a FIFO queue run in their order."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
from celery_jobs import app

JOBS = 30
HERE = Path(__file__).parent


def worked(queue: str, workers: int, file: Path) -> list[int]:
    """What the workers of this queue have run, once all of it is there."""
    for number in range(JOBS):
        app.send_task("jobs.ran", args=[str(file), number], queue=queue)
    print(f"sent to {queue}", flush=True)
    command = [sys.executable, "-m", "celery", "-A", "celery_jobs", "worker", "-Q", queue]
    options = ["-c", str(workers), "-n", f"{queue}@%h", "-l", "WARNING", "--without-gossip"]
    more = ["--without-mingle", "--without-heartbeat"]
    worker = subprocess.Popen([*command, *options, *more], cwd=HERE)
    try:
        while not file.exists() or len(file.read_text().splitlines()) < JOBS:
            assert worker.poll() is None, f"the workers of {queue} ended"
            time.sleep(0.2)
            print(f"{queue}: {file.read_text().split() if file.exists() else 0}", flush=True)
    finally:
        worker.terminate()
        worker.wait()
    return [int(line) for line in file.read_text().splitlines()]


def removed(*queues: str) -> None:
    """Whatever became of them."""
    sqs = boto3.client("sqs")
    for queue in queues:
        for url in sqs.list_queues(QueueNamePrefix=queue).get("QueueUrls", []):
            sqs.delete_queue(QueueUrl=url)


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        standard = worked(f"{name}-standard", 2, Path(folder) / "standard")
        assert sorted(standard) == list(range(JOBS)), standard
        ordered = worked(f"{name}-ordered.fifo", 1, Path(folder) / "ordered")
        assert ordered == list(range(JOBS)), ordered
    removed(f"{name}-standard", f"{name}-ordered.fifo")


if __name__ == "__main__":
    os.chdir(HERE)
    main(sys.argv[1])
