"""Services under random API calls, container deaths and restarts of the control plane, in a world
without an engine.

Live tasks never over the maximum, healthy ones never under the minimum, one PRIMARY, every event
once; and when trouble ends, the service is steady."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.deployments import begin, finish, roll_back
from kirikae.local.ecs.rolling import ceiling_live, floor_healthy, stuck
from kirikae.local.ecs.services import Services
from kirikae.local.ecs.taskrow import is_live, protected
from kirikae.local.rows import Deployment, Service, Task
from kirikae.local.state import State

CLUSTER = "arn:aws:ecs:r:1:cluster/c"
SERVICE = "arn:aws:ecs:r:1:service/c/s"
SPOT = [
    {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
    {"capacityProvider": "FARGATE_SPOT", "weight": 2},
]


class World:
    """Tasks that change only when told; the engine's part is played by the test."""

    def __init__(self, path: Path, desired: int, minimum: int, maximum: int) -> None:
        self.path = path
        self.now = 1000.0
        self.ids = itertools.count()
        self.state = State(path)
        begin(
            self.state,
            {
                "serviceArn": SERVICE,
                "serviceName": "s",
                "clusterArn": CLUSTER,
                "status": "ACTIVE",
                "desiredCount": desired,
                "events": [],
                "deployments": [],
                "taskDefinition": "d:0",
                "minimumHealthyPercent": minimum,
                "maximumPercent": maximum,
                "healthCheckGracePeriodSeconds": 0,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                "capacityProviderStrategy": SPOT,
            },
        )
        self.services = self.again()

    def again(self) -> Services:
        """A control plane that knows only what the store says."""
        self.state.close()
        self.state = State(self.path)
        agenda = Agenda(lambda: self.now)
        self.services = Services(self.state, agenda, self, self.start, clock=lambda: self.now)
        return self.services

    # what Services asks of Tasks
    def stop(self, task_id: str, code: str, reason: str) -> None:
        task = self.state.tasks[task_id]
        assert task["desiredStatus"] == "RUNNING"
        self.change(task_id, desiredStatus="STOPPED", stopCode=code, stoppedReason=reason)
        self.stopped_now.append(task)

    def change(self, task_id: str, **fields: Any) -> None:
        self.state.tasks.put(task_id, {**self.state.tasks[task_id], **fields})

    def start(self, service: Service, deployment: Deployment, provider: str) -> Task:
        key = f"t{next(self.ids)}"
        row = {
            "id": key,
            "clusterArn": CLUSTER,
            "group": "service:s",
            "startedBy": deployment["id"],
            "desiredStatus": "RUNNING",
            "lastStatus": "PROVISIONING",
            "createdAt": self.now,
            "startedAt": 0.0,
            "_revision": deployment["_revision"],
            "_bindings": [],
            "containers": [{"_checked": True, "essential": True}],
            "healthStatus": "UNKNOWN",
            "stopCode": "",
            "stoppedReason": "",
            "capacityProviderName": provider,
        }
        self.started_now.append(key)
        return self.state.tasks.put(key, row)

    @property
    def service(self) -> Service:
        return self.state.services[SERVICE]

    def live(self) -> list[Task]:
        return [t for t in self.state.tasks.all() if is_live(t)]

    def look(self) -> None:
        """One look of the control plane, with every law checked against what was before."""
        before = self.service
        self.started_now = list[str]()
        self.stopped_now = list[Task]()
        healthy_before = sum(self.services.healthy(t, self.now) for t in self.live())
        self.now += 1.0
        self.services.sweep()
        service = self.service
        live = self.live()
        assert not self.started_now or len(live) <= ceiling_live(
            service["desiredCount"], service["maximumPercent"]
        )
        healthy = sum(self.services.healthy(t, self.now) for t in live)
        floor = floor_healthy(service["desiredCount"], service["minimumHealthyPercent"])
        assert healthy >= min(floor, healthy_before), (healthy, floor, healthy_before)
        assert not any(
            protected(t, self.now)
            and t["stopCode"] == "ServiceSchedulerInitiated"
            and self.services.healthy(t, self.now)
            for t in self.stopped_now
        )
        ids = [d["id"] for d in service["deployments"]]
        assert len(ids) == len(set(ids)) >= 1 and (len(ids) == 1 or before["deployments"])
        texts = [
            e["message"] for e in service["events"] if not e["message"].endswith("steady state.")
        ]
        happened = [text for text in texts if "unable" not in text]
        assert len(happened) == len(set(happened))
        running = [
            d
            for d in self.state.service_deployments.all()
            if d["status"] in ("IN_PROGRESS", "ROLLBACK_IN_PROGRESS")
        ]
        assert len(running) <= 1

    def act(self, act: str, n: int) -> None:  # noqa: C901
        live = self.live()
        task = live[n % len(live)] if live else None
        match act:
            case "look":
                self.look()
            case "restart":
                self.again()
            case "deploy":
                self.service_is(**begin(self.state, {**self.service, "taskDefinition": f"d:{n}"}))
            case "stop deployment" if (
                self.service["deployments"][0]["rolloutState"] == "IN_PROGRESS"
            ):
                failed = {**self.service["deployments"][0], "rolloutState": "FAILED"}
                changed = {
                    **self.service,
                    "deployments": [failed, *self.service["deployments"][1:]],
                }
                deployment = self.state.service_deployments.get(failed["_serviceDeployment"])
                if deployment is not None and deployment["status"] == "IN_PROGRESS":
                    self.service_is(**roll_back(self.state, changed, failed, "by hand"))
                else:
                    finish(self.state, failed["_serviceDeployment"], "STOPPED")
            case "scale":
                self.service_is(**{**self.service, "desiredCount": n})
            case "runs" if task and task["lastStatus"] == "PROVISIONING":
                self.change(task["id"], lastStatus="RUNNING", startedAt=self.now)
            case "well" | "ill" if task and task["lastStatus"] == "RUNNING":
                self.change(task["id"], healthStatus="HEALTHY" if act == "well" else "UNHEALTHY")
            case "dies" if task:
                code = (
                    "EssentialContainerExited"
                    if task["lastStatus"] == "RUNNING"
                    else "TaskFailedToStart"
                )
                self.change(
                    task["id"],
                    desiredStatus="STOPPED",
                    lastStatus="STOPPED",
                    stopCode=code,
                    stoppedAt=self.now,
                )
            case "protect" if task:
                self.change(task["id"], _protectedUntil=self.now + 20)
            case "interrupt":
                for spot in [t for t in live if t["capacityProviderName"] == "FARGATE_SPOT"]:
                    self.change(
                        spot["id"],
                        desiredStatus="STOPPED",
                        lastStatus="STOPPED",
                        stopCode="SpotInterruption",
                    )
            case _:
                pass

    def service_is(self, **row: Any) -> None:
        self.state.services.put(SERVICE, row)

    def be_kind(self) -> None:
        """From now on every task runs and is well, and time passes."""
        for _ in range(400):
            self.now += 5
            for task in self.live():
                if task["lastStatus"] == "PROVISIONING":
                    self.change(
                        task["id"],
                        lastStatus="RUNNING",
                        startedAt=self.now,
                        healthStatus="HEALTHY",
                    )
                elif task["healthStatus"] != "HEALTHY":
                    self.change(task["id"], healthStatus="HEALTHY")
            self.look()
            if self.steady():
                return

    def steady(self) -> bool:
        service = self.service
        live = self.live()
        good = [
            t
            for t in live
            if t["startedBy"] == service["deployments"][0]["id"]
            and self.services.healthy(t, self.now)
        ]
        return (
            len(service["deployments"]) == 1 and len(live) == len(good) == service["desiredCount"]
        )


ACTS = (
    "look",
    "look",
    "look",
    "look",
    "runs",
    "runs",
    "well",
    "well",
    "ill",
    "dies",
    "restart",
    "deploy",
    "scale",
    "protect",
    "interrupt",
    "stop deployment",
)


def run_one(folder: Path, seed: int, acts: int) -> World:
    """A random service under random acts; then kindness: it is steady unless its percentages or a
    failed roll-out hold it."""
    rng = random.Random(seed)
    world = World(
        folder / "s.db",
        rng.randrange(9),
        rng.choice([0, 50, 75, 100]),
        rng.choice([100, 125, 150, 200]),
    )
    for _ in range(acts):
        world.act(rng.choice(ACTS), rng.randrange(9))
    world.be_kind()
    service = world.service
    held = service["deployments"][0]["rolloutState"] == "FAILED"
    held = held or stuck(
        service["desiredCount"], service["minimumHealthyPercent"], service["maximumPercent"]
    )
    assert world.steady() or held, (
        seed,
        [(d["rolloutState"], d["id"]) for d in service["deployments"]],
    )
    return world


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.integers(0, 120))
def test_a_service_keeps_its_laws_whatever_happens(tmp_path_factory, seed, acts):
    """A slice of the long run below."""
    run_one(tmp_path_factory.mktemp("w"), seed, acts)


@pytest.mark.prove
def test_a_service_keeps_its_laws_for_long(tmp_path_factory):
    """3,000 services of 200 random acts each."""
    worlds = [run_one(tmp_path_factory.mktemp("w"), seed, 200) for seed in range(3000)]
    print(
        f"\n  services: {len(worlds)} random lives of 200 acts, every law held; "
        f"{sum(w.steady() for w in worlds)} ended steady"
    )


def test_strategy_holds_after_interruptions(tmp_path):
    """Base and weight are met again once the interrupted tasks are replaced."""
    world = World(tmp_path / "s.db", 7, 50, 200)
    world.be_kind()
    world.act("interrupt", 0)
    world.be_kind()
    assert Counter(t["capacityProviderName"] for t in world.live()) == {
        "FARGATE": 3,
        "FARGATE_SPOT": 4,
    }
