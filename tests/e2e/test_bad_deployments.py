"""A bad deployment of every kind, with clients that never stop asking: it goes back, and no request
is lost (ECS API reference, DeploymentCircuitBreaker)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import Endpoint, serve
from tests.pace import eventually
from tests.shop import Hammer, Shop

pytestmark = pytest.mark.engine

NOWHERE = {"image": "kirikae-test-nowhere:1"}
KINDS: dict[str, dict[str, Any]] = {
    "image-missing": NOWHERE,
    "exits-at-once": {"command": ["sh", "-c", "exit 3"]},
    "exits-after-a-second": {"command": ["sh", "-c", "sleep 1; exit 3"]},
    "never-healthy": {
        "command": serve("bad"),
        "healthCheck": {"command": ["CMD", "false"], "interval": 5, "retries": 1, "timeout": 2},
    },
    "wrong-port": {"command": ["sh", "-c", "exec httpd -f -p 8001 -h /"]},
}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
PAUSE_S = 0.5
HOGS = 20


class Bad:
    """A shop whose service is asked to run something bad."""

    def __init__(self, local: Endpoint, kind: str) -> None:
        self.shop = Shop(local, f"bad-{kind}")
        self.good = ""

    def begin(self) -> None:
        """The service, which is good."""
        self.shop.serve("a", "good", deploymentConfiguration=BREAKER)

    def break_it(self, kind: str) -> None:
        """Once it serves."""
        self.good = self.shop.complete("a")["taskDefinition"]
        self.shop.serving("a", 1)
        bad = self.shop.define("bad", **KINDS[kind])
        self.shop.ecs.update_service(cluster=self.shop.name, service="a", taskDefinition=bad)

    def went_back(self) -> bool:
        """Is the deployment over, and does what was good serve alone?"""
        asked = {"cluster": self.shop.name, "service": "a"}
        last = self.shop.ecs.list_service_deployments(**asked)["serviceDeployments"]
        service = self.shop.service("a")
        return (
            any(each["status"] == "ROLLBACK_SUCCESSFUL" for each in last)
            and service["taskDefinition"] == self.good
            and len(service["deployments"]) == 1
        )


@contextmanager
def asked(port: int) -> Iterator[Hammer]:
    """By two clients that are in no hurry."""
    with Hammer(port, threads=2, pause_s=PAUSE_S) as hammer:
        yield hammer


def goes_back(bad: Bad, hammer: Hammer) -> None:
    """And whoever asked meanwhile was answered; some more are after it is over."""
    eventually(bad.went_back, "it went back", 120, lambda: bad.shop.state("a"))
    count = hammer.count
    eventually(lambda: hammer.count > count + 2, "clients still ask", 30)
    assert hammer.failures == []
    assert bad.shop.get() == "good"


@pytest.fixture(scope="module")
def deployments(local: Endpoint) -> Iterator[dict[str, tuple[Bad, Hammer]]]:
    """All of them at the same time: they do not know of each other."""
    made = {kind: Bad(local, kind) for kind in KINDS}
    for bad in made.values():
        bad.begin()
    hammers = {}
    for kind, bad in made.items():
        bad.shop.serving("a", 1)
        hammers[kind] = Hammer(bad.shop.port, threads=2, pause_s=PAUSE_S)
        hammers[kind].__enter__()
        bad.break_it(kind)
    yield {kind: (bad, hammers[kind]) for kind, bad in made.items()}
    for hammer in hammers.values():
        hammer.__exit__()


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_deployment_goes_back_and_loses_nothing(deployments, kind):
    """Whatever is wrong with it: its image, its exit, its checks, its port."""
    goes_back(*deployments[kind])


@contextmanager
def busy(hogs: int) -> Iterator[None]:
    """So many processes that want a core each."""
    hog = [sys.executable, "-c", "while True: pass"]
    made = [subprocess.Popen(hog) for _ in range(hogs)]
    try:
        yield
    finally:
        for each in made:
            each.kill()
            each.wait()


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_back_on_a_busy_machine_too(local, kind):
    """Load 20: slower, never wrong."""
    bad = Bad(local, f"busy-{kind}")
    bad.begin()
    bad.shop.serving("a", 1)
    with busy(HOGS), asked(bad.shop.port) as hammer:
        bad.break_it(kind)
        goes_back(bad, hammer)
