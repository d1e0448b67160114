"""Faults on kirikae local with the real engine: they cost what they should, and leave nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Endpoint, web_image
from tests.pace import eventually, slowly
from tests.shop import Shop
from tests.witness import Witness

pytestmark = pytest.mark.engine
RATE = 60
TIMEOUT_S = 4.0
CHECK_S = 5.0
"""The interval of the shop's health checks."""


def command(local: Endpoint, folder: Path, *words: str) -> subprocess.Popen[str]:
    """``kirikae drill`` as its own process."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "kirikae",
            "--project",
            str(folder / "kirikae.yml"),
            "drill",
            *words,
            "--json",
        ],
        env={**os.environ, **local.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answered(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, err = process.communicate()
    assert out, err
    return process.returncode, json.loads(out)


def fault(shop: Shop, side: str, folder: Path, name: str, *words: str) -> subprocess.Popen[str]:
    """Under load of ``RATE`` requests a second."""
    asked = {
        "--cluster": shop.name,
        "--service": side,
        "--target": f"http://127.0.0.1:{shop.port}/",
        "--rate": str(RATE),
        "--timeout": f"{TIMEOUT_S:g}s",
    }
    given = [word for pair in asked.items() for word in pair]
    return command(shop.local, folder, "fault", name, *given, *words)


def left(folder: Path) -> list[Path]:
    """What undoes faults that stand."""
    return list(folder.glob(".kirikae/drill/*.json"))


def test_a_killed_task_costs_what_was_foretold_and_is_replaced(local, tmp_path):
    """StopTask drains: no request is lost; what was seen is told with its times."""
    shop = Shop(local, "drilled")
    shop.serve("a", "a", 2)
    shop.serving("a", 2)
    windows = ("--before", "2s", "--lasts", "2s", "--after", "1s")
    code, found = answered(fault(shop, "a", tmp_path, "kill-task", *windows, "--slo", "lost==0"))
    assert code in (0, 5), found  # 5: this machine was too busy to judge the service
    assert found["fault"] == "kill-task"
    assert found["expected"] == {"share": 0.5, "detection_s": 0.0, "bad": 0.0}
    assert code == 5 or found["lost"] == 0, found
    assert found["detection_s"] is not None
    stopped = shop.ecs.describe_tasks(cluster=shop.name, tasks=found["hit"])["tasks"][0]
    assert stopped["stoppedReason"] == "kirikae drill"
    assert left(tmp_path) == []


def test_a_hanging_task_is_told_as_somebody_else_saw_it(local, tmp_path):
    """Recovery and loss, against requests of a client that knows nothing of the drill; the run that
    is kept says the same.  It hangs so shortly that no health check sees it: what is lost is what
    was due so long before it goes on that nobody waited for the answer."""
    shop = Shop(local, "hanging")
    shop.serve("a", "a", 3)
    shop.serving("a", 3)
    windows = ("--before", "2s", "--lasts", f"{TIMEOUT_S + 2:g}s", "--after", "2s")
    kept = tmp_path / "hang.npz"
    with Witness(shop, "a", TIMEOUT_S) as witness:
        hang = fault(shop, "a", tmp_path, "hang-task", *windows, "--keep", str(kept))
        code, found = answered(hang)
    assert code in (0, 5), found  # 5: this machine was too busy to judge the service
    assert found["lost"] and witness.lost, found
    assert_told_as_it_was(found, witness)
    again, told = answered(command(local, tmp_path, "report", str(kept)))
    assert (again, {**told, "wrote": 0}) == (code, {**found, "wrote": 0})


def assert_told_as_it_was(found: dict[str, Any], witness: Witness) -> None:
    """Recovery within one interval of the health checks; and as many lost as rate x share x the
    time until the target that was hit got no more or answered again, give or take one interval.

    Where the drill says that the machine was too busy for any figure, the loss is not looked at.
    """
    interval_s = slowly(CHECK_S)
    truth_s = witness.recovery_s(found["hit"])
    print(f"{found['fault']}: recovery {found['recovery_s']} s, a witness saw {truth_s:.1f} s")
    assert found["recovery_s"] is not None or pressed(found), (truth_s, found)
    if found["recovery_s"] is not None:
        assert abs(found["recovery_s"] - truth_s) <= interval_s, (truth_s, found)
    if found["fault"] not in RUDE or pressed(found):
        return
    seconds = min(truth_s, witness.detection_s(found["hit"]) or truth_s)
    hit_per_s = RATE * found["expected"]["share"]
    told = (
        f"{found['fault']}: {found['lost']} lost; rate x share x {seconds:.1f} s is "
        f"{hit_per_s * seconds:.0f}; the witness lost {len(witness.lost)} of {witness.asked}"
    )
    print(told)
    assert abs(found["lost"] - hit_per_s * seconds) <= hit_per_s * interval_s, told


RUDE = ("crash-task", "hang-task")
"""Until it is found out, a task that was hit gets its share of the requests, and loses them."""
DATABASE = f"kirikae-test-drill-database-of-{os.getpid()}"
FAULTS = {
    "kill-task": (),
    "crash-task": (),
    "hang-task": ("--lasts", "20s"),
    "spot-notice": (),
    "drain-target": (),
    "scale-in": (),
    "cpu-hog": (),
    "bad-release": (),
    "scheduler-loss": (),
    "az-loss": (),
    "db-failover": ("--database", f"container:{DATABASE}", "--i-mean-an-outage"),
}


@pytest.fixture(scope="module")
def wide(local) -> Iterator[Shop]:
    """Three tasks on Spot, and a container that stands for a database."""
    shop = Shop(local, "wide")
    found = local.client("ec2").describe_subnets()["Subnets"]
    subnets = [each["SubnetId"] for each in found]
    shop.ecs.create_service(
        cluster=shop.name,
        serviceName="a",
        taskDefinition=shop.define("a"),
        desiredCount=3,
        loadBalancers=[
            {"targetGroupArn": shop.groups["a"], "containerName": "web", "containerPort": 8000}
        ],
        capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}},
    )
    shop.serving("a", 3)
    run = ["docker", "run", "-d", "--name", DATABASE, web_image(), "sleep", "3600"]
    subprocess.run(run, check=True, capture_output=True)
    try:
        yield shop
    finally:
        subprocess.run(["docker", "rm", "-f", DATABASE], check=True, capture_output=True)


@pytest.mark.prove
@pytest.mark.parametrize("name", list(FAULTS))
def test_each_fault_is_explained_and_leaves_nothing_behind(wide, tmp_path, name):
    """Recovery and loss are told as a client saw them that knows nothing of the drill; bad requests
    agree with rate x share x time; afterwards all is as it was before.

    A machine that others press loses requests by itself: the drill says so, and then its figures
    say nothing (they once failed at a load of 20). What is left behind is looked at in any case.
    """
    before = wide.service("a")["taskDefinition"]
    windows = ("--before", "4s", "--lasts", "6s", "--after", "14s")
    code, found, witness = made(wide, tmp_path, name, *windows, *FAULTS[name])
    assert code in (0, 5), found  # 5: this machine was too busy to judge the service
    assert (code == 5) == bool(found["doubts"]), found
    assert_told_as_it_was(found, witness)
    if not pressed(found):
        if found["plausible"] is not None:
            assert found["bad"] <= 2 * found["explained"] + 10, found
        if name in RUDE and found["plausible"]:
            assert found["bad"] >= found["explained"] / 2 - 10, found
    assert left(tmp_path) == []
    wide.serving("a", 3)
    wide.complete("a")
    assert wide.service("a")["taskDefinition"] == before
    assert whole() == []


def made(shop: Shop, folder: Path, name: str, *words: str) -> tuple[int, dict[str, Any], Witness]:
    """A fault that was made: one that was refused, because this machine froze no container or
    answered no request just then, is made again."""
    for _ in range(5):
        shop.serving("a", 3)
        with Witness(shop, "a", TIMEOUT_S) as witness:
            code, found = answered(fault(shop, "a", folder, name, *words))
        if "unable to freeze" not in str(found) and "was not well before" not in str(found):
            break
    return code, found, witness


def pressed(found: dict[str, Any]) -> bool:
    """Does the drill say that the machine was too busy for any figure?"""
    return any(each["says"].startswith("drill.doubt.") for each in found["doubts"])


def whole() -> list[str]:
    """Containers that stand still."""
    listed = ["docker", "ps", "-q", "--filter", "status=paused"]
    return subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.prove
def test_a_drill_that_is_killed_leaves_a_fault_that_the_next_verb_undoes(wide, tmp_path):
    """SIGKILL in its middle: the container stands still, its load ends, `drill undo` wakes it."""

    def stands() -> subprocess.Popen[str]:
        """The drill, once a container stands still; a busy engine may refuse to freeze one."""
        for _ in range(5):
            wide.serving("a", 3)
            begun = fault(wide, "a", tmp_path, "hang-task", "--before", "2s", "--lasts", "60s")
            eventually(lambda p=begun: whole() or p.poll() is not None, "a container stands still")
            if whole():
                return begun
            begun.communicate()
        raise AssertionError("the engine froze no container in five times")

    process = stands()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(left(tmp_path)) == 1
    code, found = answered(command(wide.local, tmp_path, "undo"))
    assert code == 0, found
    assert [each["fault"] for each in found["faults"]] == ["hang-task"]
    assert left(tmp_path) == []
    assert whole() == []
    wide.serving("a", 3)
