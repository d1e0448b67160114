"""What `jobs write` writes is made on kirikae local as it stands, and one job runs through it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kirikae.aws.light import LightAws
from kirikae.console.here import Here
from kirikae.console.jobs_write import stack_of
from kirikae.jobs.dynamo_rows import dynamo_ledger
from kirikae.jobs.job import Owner, State
from kirikae.jobs.making.files import Call, calls
from kirikae.jobs.making.stack import Stack
from tests.conftest import Endpoint
from tests.pace import ended, eventually
from tests.tidy import gone
from tests.unit.test_jobs_write import HERE, place, write

pytestmark = pytest.mark.engine


def _made(local: Endpoint, folder: Path, call: Call) -> None:
    """The file as it lies there, by boto3."""
    operation = re.sub(r"(?<!^)([A-Z])", r"_\1", call.operation).lower()
    body: dict[str, Any] = json.loads((folder / HERE / call.file).read_text())
    getattr(local.client(call.service), operation)(**body)


@pytest.fixture
def stack(local: Endpoint, tmp_path: Path) -> Iterator[Stack]:
    """All of it was made; queues and services go with the test."""
    crontab = f"HOME={tmp_path}\n# kirikae: id=every\n* * * * * echo $KIRIKAE_FIRING >>effects\n"
    found = planned(local, tmp_path, crontab)
    make(local, tmp_path, found)
    yield found


def planned(local: Endpoint, folder: Path, crontab: str, name: str = "shop") -> Stack:
    """The files are written."""
    place(folder, crontab, "workers: 1, token_secret: /shop/token")
    text = (folder / "kirikae.yml").read_text().replace("eu-west-1", local.status["region"])
    (folder / "kirikae.yml").write_text(text.replace("service: shop", f"service: {name}"))
    write(folder)
    return stack_of(Here(str(folder / "kirikae.yml")), "batch")


def make(local: Endpoint, folder: Path, found: Stack) -> None:
    """In the order of `create.sh`."""
    local.client("ecs").create_cluster(clusterName=found.cluster)
    ssm = local.client("ssm")
    for name in ("/shop/token", "/shop/db-password"):
        ssm.put_parameter(Name=name, Value="x" * 40, Type="SecureString", Overwrite=True)
    _removed_after(local, found)
    for call in calls(found):
        _made(local, folder, call)


def _removed_after(local: Endpoint, stack: Stack) -> None:
    ecs, sqs = local.client("ecs"), local.client("sqs")
    alarms = [each.definition["AlarmName"] for each in _alarms(stack)]

    def remove() -> None:
        gone(local.client("cloudwatch").delete_alarms, AlarmNames=alarms)
        for call in calls(stack):
            if call.operation == "CreateService":
                name = call.definition["serviceName"]
                gone(ecs.delete_service, cluster=stack.cluster, service=name, force=True)
        for name in (stack.queue, stack.dead_queue):
            gone(sqs.delete_queue, QueueUrl=f"{local.status['endpoint']}/123456789012/{name}")

    local.scope.add(remove)


def _alarms(stack: Stack) -> list[Call]:
    return [each for each in calls(stack) if each.operation == "PutMetricAlarm"]


def test_all_of_it_is_made_unchanged_and_a_job_runs_through_it(
    local: Endpoint, stack: Stack, tmp_path: Path
) -> None:
    """Queues, table, roles, definitions, services and alarms; then a scheduler and a
    worker, started with the very commands of their definitions, run the firing of this minute."""
    alarms = local.client("cloudwatch").describe_alarms()["MetricAlarms"]
    wanted = {each.definition["AlarmName"] for each in _alarms(stack)}
    assert wanted and wanted <= {each["AlarmName"] for each in alarms}
    aws = LightAws(local.status["region"], local.environment)
    ledger = dynamo_ledger(aws, str(stack.table))
    ledger.own(["every"], Owner.NEW)
    crontab = str(tmp_path / stack.settings.crontab)
    running = []
    try:
        for part in ("scheduler-1", "worker"):
            text = (tmp_path / HERE / f"{part}-task-def.json").read_text()
            command = json.loads(text)["containerDefinitions"][0]["command"]
            words = [crontab if word.startswith("/kirikae/") else word for word in command]
            running.append(_started(words, tmp_path, local.environment))

        def succeeded() -> bool:
            states = [each.state for each in ledger.history("every")]
            return State.SUCCEEDED in states

        eventually(succeeded, lambda: (tmp_path / "log").read_text()[-2000:], 120)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            ended(process)
        ledger.close()
    effects = (tmp_path / "effects").read_text().split()
    assert effects and len(effects) == len(set(effects))


def _started(
    words: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        command = [sys.executable, "-m", "kirikae", *words]
        given = {**os.environ, **environment}
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=given)
