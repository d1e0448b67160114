"""What kirikae local believes of checks and exits, on the real engine: a hung process is found, one
that keeps exiting is paced, and status tells how busy this machine is."""

from __future__ import annotations

import os
import signal
import subprocess
from itertools import pairwise

import pytest

from kirikae.local import control
from kirikae.local.ecs.checks import LONGEST_EXCUSE_S
from kirikae.local.ecs.rolling import retry_delay_s
from tests.conftest import Endpoint, serve
from tests.contract.test_local_services import Cluster
from tests.pace import eventually

pytestmark = pytest.mark.engine

ASKS = {
    "command": ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:8000/"],
    "interval": 5,
    "timeout": 2,
    "retries": 1,
    "startPeriod": 60,
}


@pytest.fixture(scope="module")
def cluster(local: Endpoint) -> Cluster:
    return Cluster(local, "overload")


def main_process(local: Endpoint, task_arn: str) -> int:
    """Of the task's container, as this machine sees it."""
    name = f"{local.status['instance']}-task-{task_arn.rpartition('/')[2]}-a"
    asked = ["docker", "inspect", "-f", "{{.State.Pid}}", name]
    return int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def test_a_hung_process_is_found(cluster):
    """Its checks run out of time; a check that does nothing does not.  On a machine that is
    overloaded just now it takes the longest excuse more."""
    local = cluster.local
    hung = cluster.define("hung", command=serve("x"), healthCheck=ASKS)
    cluster.create("hung", 1, taskDefinition=hung)
    cluster.complete("hung")
    (before,) = cluster.running("hung", 1)
    os.kill(main_process(local, before["taskArn"]), signal.SIGSTOP)

    def former() -> dict[str, str]:
        asked = cluster.ecs.describe_tasks(cluster="overload", tasks=[before["taskArn"]])
        return asked["tasks"][0]

    eventually(
        lambda: former()["desiredStatus"] == "STOPPED",
        "the hung task goes",
        60 + LONGEST_EXCUSE_S,
        lambda: (former()["healthStatus"], control.status(local.directory)),
    )
    assert former()["stoppedReason"] == "Task failed container health checks"
    (after,) = cluster.running("hung", 1)
    assert after["taskArn"] != before["taskArn"]


def test_a_task_that_keeps_exiting_is_paced(cluster):
    """From the third in a row on the pauses grow, as for one that does not start."""
    container = {"command": ["sh", "-c", "exit 3"], "healthCheck": {"command": ["NONE"]}}
    exits = cluster.define("exits", **container)
    cluster.create("exits", 1, taskDefinition=exits)

    def stopped() -> list[dict[str, object]]:
        arns = cluster.ecs.list_tasks(
            cluster="overload", serviceName="exits", desiredStatus="STOPPED"
        )["taskArns"]
        asked = {"cluster": "overload", "tasks": arns}
        return cluster.ecs.describe_tasks(**asked)["tasks"] if arns else []

    eventually(lambda: len(stopped()) >= 6, "six of them have ended", 60, lambda: len(stopped()))
    born = sorted(task["createdAt"] for task in stopped())
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(born)]
    wanted = [retry_delay_s(failures) for failures in range(1, len(born))]
    assert all(pause >= least for pause, least in zip(pauses, wanted, strict=True)), pauses
    told = [event["message"] for event in cluster.see("exits")["events"]]
    assert any("unable to consistently start tasks" in text for text in told)


def test_status_tells_how_busy_this_machine_is(cluster):
    """Figures beside what is much; null where nothing was measured lately."""
    eventually(
        lambda: control.status(cluster.local.directory)["load"]["engine_answers_s"] is not None,
        "the engine was asked",
        20,
    )
    load = control.status(cluster.local.directory)["load"]
    beyond = [
        key for key, much in load["much"].items() if load[key] is not None and load[key] >= much
    ]
    assert load["overloaded"] is bool(beyond)
    assert load["starts_at_once"] >= 1 and load["waiting"] >= 0
