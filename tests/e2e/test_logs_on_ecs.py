"""A backfill on kirikae local: Dask's scheduler and three workers as ECS tasks, one killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ran
from tests.conftest import Endpoint
from tests.e2e.test_jobs_worker_image import ROOT, debian, docker
from tests.logs_made import inflated, made, packed
from tests.logs_place import PROJECT, LogsPlace
from tests.logs_world import BEGIN, TOKYO
from tests.pace import eventually

pytestmark = [pytest.mark.engine, pytest.mark.prove]
BASE = "kirikae-test-logs-base"
IMAGE = "kirikae-test-logs:workers"
CLUSTER = "logs-workers"
OBJECTS = 60
PYTHON = """\
FROM {debian}
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv
"""


@pytest.fixture
def place(local: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogsPlace]:
    """Six days of old logs of ten hosts in a bucket, and a cluster."""
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    s3 = local.client("s3")
    where = {"LocationConstraint": local.status["region"]}
    for bucket in ("logs-old", "logs-new"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
        local.scope.add(lambda bucket=bucket: _empty(s3, bucket))
    local.client("ecs").create_cluster(clusterName=CLUSTER)
    local.scope.add(lambda: local.client("ecs").delete_cluster(cluster=CLUSTER))
    found = LogsPlace(tmp_path / "shop")
    for number in range(OBJECTS):
        begin = BEGIN + timedelta(days=number % 6)
        body = made("combined", begin, timedelta(hours=24), 600, number, (TOKYO,), 0.1).body
        found.put(f"{begin:%Y/%m/%d}/web{number}.log.GZ", packed(body))
    for file in sorted(found.old_root.rglob("*.GZ")):
        s3.upload_file(str(file), "logs-old", f"logs/{file.relative_to(found.old_root)}")
    account = local.client("sts").get_caller_identity()["Account"]
    (found.folder / "kirikae.yml").write_text(_project(account, local.status["region"]))
    yield found


def _empty(s3: Any, bucket: str) -> None:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for row in page.get("Contents", ()):
            s3.delete_object(Bucket=bucket, Key=row["Key"])
    s3.delete_bucket(Bucket=bucket)


def _project(account: str, region: str) -> str:
    text = PROJECT.replace("123456789012", account)
    text = text.replace("cluster: c,", f"cluster: {CLUSTER},")
    text = text.replace('"old/%Y', '"s3://logs-old/logs/%Y').replace(
        '"new/%Y', '"s3://logs-new/utc/%Y'
    )
    role = f"arn:aws:iam::{account}:role/logs-workers"
    roles = f'task_role: "{role}", execution_role: "{role}-execution"'
    scale = f'    scale: {{image: "{IMAGE}", cpu: 256, memory: 512, {roles}}}\n'
    build = "build: {subnets: [subnet-1]}\n"
    return text.replace("service: shop\n", f"service: shop\nregion: {region}\n{build}") + scale


def image(place: LogsPlace) -> None:
    """From the Dockerfile that kirikae writes, and wheels of this checkout."""
    ran = place.run(
        "logs", "backfill", "web", "--on", "ecs:3", "--write", str(place.folder / "ecs")
    )
    assert ran.exit_code == 0, ran.stderr
    folder = place.folder / "ecs"
    wheels = ["-m", "pip", "wheel", "-q", "--wheel-dir", str(folder / "wheels")]
    subprocess.run([sys.executable, *wheels, f"{ROOT}[logs,scale]"], check=True)
    (folder / "base").mkdir()
    (folder / "base" / "Dockerfile").write_text(PYTHON.format(debian=debian()))
    docker("build", "-q", "-t", BASE, str(folder / "base"))
    docker("build", "-q", "--build-arg", f"BASE={BASE}", "-t", IMAGE, str(folder))
    shutil.rmtree(folder / "wheels")


def workers(local: Endpoint) -> list[str]:
    ecs = local.client("ecs")
    arns = ecs.list_tasks(cluster=CLUSTER, family="shop-test-web-dask-worker")["taskArns"]
    return [str(arn) for arn in arns]


def moved(s3: Any) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="logs-new", Prefix="utc/")
    return [row["Key"] for page in pages for row in page.get("Contents", ())]


def test_three_worker_tasks_one_of_them_killed(local: Endpoint, place: LogsPlace) -> None:
    """Every line is there once; the tasks end with the run; the second run writes nothing."""
    image(place)
    local.scope.add(lambda: docker("rmi", "-f", IMAGE, BASE))
    s3 = local.client("s3")
    ran: list[Ran] = []
    words = ["logs", "backfill", "web", "--on", "ecs:3", "--rate", "30", "--json"]
    thread = threading.Thread(target=lambda: ran.append(place.run(*words)))
    thread.start()
    eventually(lambda: ran or (len(workers(local)) == 3 and moved(s3)), lambda: str(ran), 300)
    assert not ran, ran
    task = workers(local)[0].rpartition("/")[2]
    docker("kill", f"{docker('ps', '-q', '--filter', f'name=-task-{task}')}")
    thread.join()
    assert ran[0].exit_code == 0, ran[0].stderr
    assert ran[0].json["objects"] == {"done": OBJECTS}
    found: Counter[bytes] = Counter()
    for key in moved(s3):
        body = inflated(s3.get_object(Bucket="logs-new", Key=key)["Body"].read())
        found.update(body.split(b"\n")[:-1])
    assert found == place.old_lines()
    proven = place.json("logs", "verify", "web", "--deep")
    assert (proven["fail"], proven["unsure"]) == (0, 0) and proven["pass"]
    eventually(lambda: not workers(local), "the workers end with the run")
    before = moved(s3)
    again = place.json("logs", "backfill", "web")
    assert (again["unchanged"], again["parts_written"]) == (OBJECTS, 0) and moved(s3) == before
