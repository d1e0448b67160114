"""SIGKILL at any point of any operation of kirikae local, again and again under load: the same
containers and answers in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from kirikae.local import control
from tests.conftest import Endpoint, web_image
from tests.pace import eventually, slowly
from tests.shop import Hammer, Shop

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
PATIENT = Config(retries={"max_attempts": 1, "mode": "standard"}, read_timeout=60)


class Mortal:
    """A control plane that dies at a random point each time it lives, and is started again at
    once."""

    def __init__(self, directory: Path, rng: random.Random, kills: int) -> None:
        self.directory = directory
        self.rng = rng
        self.kills = 0
        self.ended = ""
        self._wanted = kills
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)

    def __enter__(self) -> Mortal:
        status = control.status(self.directory)
        assert status is not None
        os.kill(status["pid"], signal.SIGKILL)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert not self.ended, self.ended

    @property
    def enough(self) -> bool:
        return self.kills >= self._wanted or bool(self.ended)

    def _keep_alive(self) -> None:
        while not self._over.is_set() and not self.enough:
            environment = {**os.environ, "KIRIKAE_TEST_FUSE": str(self.rng.randint(20, 260))}
            with (self.directory / "control.log").open("ab") as out:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.crash.fused_server", str(self.directory)],
                    cwd=ROOT,
                    env=environment,
                    stdout=out,
                    stderr=out,
                    stdin=subprocess.DEVNULL,
                )
            (self.directory / "control.pid").write_text(str(process.pid))
            while process.poll() is None and not self._over.is_set():
                time.sleep(0.02)
            if process.poll() is None:
                process.terminate()
                process.wait()
            elif process.returncode == -signal.SIGKILL:
                self.kills += 1
            else:
                self.ended = (
                    f"the control plane ended with {process.returncode}: "
                    f"{(self.directory / 'control.log').read_text()[-2000:]}"
                )
                break
        control.up(self.directory, None, "ap-northeast-1", figures_delay_s=0)


def surely(call: Any, *done: str, **params: Any) -> Any:
    """Ask until there is an answer; ``done`` are errors that say that an earlier asking, whose
    answer was lost, was carried out."""
    deadline = time.monotonic() + slowly(90)
    while True:
        try:
            return call(**params)
        except (ClientError, BotoCoreError) as error:
            if any(code in str(error) for code in done):
                return None
            lost = (
                not isinstance(error, ClientError)
                or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
            )
            assert lost and time.monotonic() < deadline, error
            time.sleep(0.2)


def live(shop: Shop, number: int) -> None:
    """One round of everything: weights, a rule, a deployment, scaling, a task of its own, a service
    that comes and goes."""
    ecs = shop.local.client("ecs", PATIENT)
    elb = shop.local.client("elbv2", PATIENT)
    for n in range(3):
        surely(
            elb.modify_rule, RuleArn=shop.rule, Actions=shop.forward(900 - 400 * n, 100 + 400 * n)
        )
    fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    surely(
        elb.create_rule,
        "PriorityInUse",
        ListenerArn=shop.listener,
        Priority=100 + number,
        Actions=fixed,
        Conditions=[{"Field": "path-pattern", "Values": [f"/{number}"]}],
    )
    surely(ecs.update_service, cluster=shop.name, service="a", forceNewDeployment=True)
    surely(ecs.update_service, cluster=shop.name, service="b", desiredCount=1 + number % 2)
    surely(
        ecs.run_task,
        cluster=shop.name,
        taskDefinition="job",
        clientToken=f"t{number}",
        startedBy=f"r{number}",
    )
    name = f"x{number}"
    surely(
        ecs.create_service,
        "not idempotent",
        cluster=shop.name,
        serviceName=name,
        taskDefinition="job-long",
        desiredCount=1,
        clientToken=name,
    )
    surely(ecs.delete_service, "ServiceNotActive", cluster=shop.name, service=name, force=True)
    time.sleep(1)


def run(local: Endpoint, kills: int, seed: int) -> str:
    shop = Shop(local, "mortal")
    shop.serve(
        "a", "a", 2, deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 200}
    )
    shop.serve("b", "b", 1)
    job = {"name": "j", "image": web_image(), "memory": 32, "stopTimeout": 0}
    for family, command in (("job", "exit 7"), ("job-long", "sleep 1000")):
        shop.ecs.register_task_definition(
            family=family, containerDefinitions=[{**job, "command": ["sh", "-c", command]}]
        )
    shop.complete("a")
    shop.complete("b")
    rounds = 0
    with (
        Hammer(shop.port, 2, 0.002) as hammer,
        Mortal(local.directory, random.Random(seed), kills) as mortal,
    ):
        while not mortal.enough:
            live(shop, rounds)
            rounds += 1
    assert hammer.failures == [], hammer.failures[:5]
    check(shop, rounds)
    return f"{kills} SIGKILLs at random points in {rounds} rounds, {hammer.count} requests, 0 lost"


def check(shop: Shop, rounds: int) -> None:
    """Everything that was asked for is so, once, and nothing else is there."""
    ecs = shop.ecs
    shop.complete("a", 180)
    shop.complete("b", 180)
    for number in range(rounds):
        arns = ecs.list_tasks(cluster=shop.name, startedBy=f"r{number}")["taskArns"]
        arns += ecs.list_tasks(cluster=shop.name, startedBy=f"r{number}", desiredStatus="STOPPED")[
            "taskArns"
        ]
        assert len(arns) == 1, f"run {number} made {len(arns)} tasks"
    eventually(
        lambda: len(ecs.list_tasks(cluster=shop.name)["taskArns"]) == 2 + (1 + (rounds - 1) % 2),
        "only the services' tasks live",
        90,
    )
    gone = [f"x{n}" for n in range(rounds)]
    for begin in range(0, rounds, 10):
        found = ecs.describe_services(cluster=shop.name, services=gone[begin : begin + 10])[
            "services"
        ]
        assert {s["status"] for s in found} == {"INACTIVE"}
    assert len(shop.elb.describe_rules(ListenerArn=shop.listener)["Rules"]) == rounds + 1
    live_ids = {t.rpartition("/")[2] for t in ecs.list_tasks(cluster=shop.name)["taskArns"]}

    def engine_agrees() -> bool:
        listed = subprocess.run(
            [
                "docker",
                "ps",
                "-a",
                "--format",
                "{{json .}}",
                "--filter",
                f"label=kirikae.instance={shop.local.status['instance']}",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        names = [json.loads(line)["Names"] for line in listed]
        tasks = {name.split("-task-")[1][:32] for name in names if "-task-" in name}
        return tasks == live_ids and len([n for n in names if "-pause-" in n]) == len(live_ids) + 4

    eventually(engine_agrees, f"the engine has just these containers: {live_ids}", 60)
    for side in ("a", "b"):
        eventually(
            lambda side=side: set(shop.health(side)) == {"healthy"},
            f"all targets of {side} are healthy",
            60,
            lambda side=side: shop.health(side),
        )


@pytest.fixture
def alone(tmp_path: Path):
    """A kirikae local for this test only: it is killed many times."""
    web_image()
    yield Endpoint(
        tmp_path / "l", control.up(tmp_path / "l", None, "ap-northeast-1", figures_delay_s=0)
    )
    control.down(tmp_path / "l")


def test_killed_anywhere_under_load(alone):
    """A slice of the long run below."""
    run(alone, 8, 20261121)


@pytest.mark.prove
def test_killed_anywhere_for_long(alone):
    """Many lives."""
    print("\n  kirikae local:", run(alone, 120, 1))
