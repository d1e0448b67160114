"""What the workers of `life_celery.py` run: a job writes down that it ran."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from celery import Celery

endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
app = Celery("jobs", broker=f"sqs://test:test@{endpoint.netloc}")
app.conf.broker_transport_options = {
    "region": os.environ["AWS_REGION"],
    "is_secure": endpoint.scheme == "https",
    "polling_interval": 0.2,
    "wait_time_seconds": 1,
}
app.conf.task_ignore_result = True
app.conf.worker_enable_remote_control = False
app.conf.broker_connection_retry_on_startup = True


@app.task(name="jobs.ran")
def ran(file: str, number: int) -> None:
    """One line, in one write."""
    with Path(file).open("a") as out:
        out.write(f"{number}\n")
