"""A storm: 30 services with the strictest health checks that ECS knows, and for two minutes far
more work on every core than this machine can carry.

Goal: 0 tasks replaced that were well, everything steady afterwards; of the two tasks that trouble
really strikes, the killed one is replaced in the storm, the hung one within the longest excuse and
its checks.  ``storm.py [BUSY PROCESSES A CORE]``; 40 make a check that does nothing take seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.conftest import WEB_IMAGE, Endpoint, serve

from bench import local_endpoint, result
from kirikae.local import control
from kirikae.local.ecs.checks import LONGEST_EXCUSE_S
from kirikae.local.status import LoadStatus

SERVICES = 30
HOG_S = 120
BUSY_A_CORE = int(sys.argv[1]) if len(sys.argv) > 1 else 40
CHECK = {
    "command": ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:8000/"],
    "interval": 5,
    "timeout": 2,
    "retries": 1,
}
"""ECS allows no shorter interval and time-out, and no fewer retries."""
CLUSTER = "storm"
KILLED = "s28"
HUNG = "s29"


@contextmanager
def hogs(seconds: float) -> Iterator[None]:
    """Each in a session of its own: the scheduler gives each as much as it gives the engine."""
    busy = [
        subprocess.Popen(
            ["timeout", str(seconds), "sh", "-c", "while :; do :; done"], start_new_session=True
        )
        for _ in range(BUSY_A_CORE * (os.cpu_count() or 1))
    ]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@dataclass
class Seen:
    """What was looked at while it stormed."""

    looks: int = 0
    overloaded: int = 0
    most_in_doubt: int = 0
    worst: dict[str, float] = field(default_factory=dict)

    def look(self, load: LoadStatus) -> None:
        self.looks += 1
        self.overloaded += load["overloaded"]
        self.most_in_doubt = max(self.most_in_doubt, load["tasks_in_doubt"])
        for key in load["much"]:
            took = load[key]  # type: ignore[literal-required]
            if took is not None:
                self.worst[key] = max(took, self.worst.get(key, 0.0))


class Storm:
    def __init__(self, local: Endpoint) -> None:
        self._local = local
        self._ecs = local.client("ecs")
        self._names = [f"s{number}" for number in range(SERVICES)]

    def serve(self) -> None:
        self._ecs.create_cluster(clusterName=CLUSTER)
        container = {
            "name": "web",
            "image": WEB_IMAGE,
            "memory": 16,
            "command": serve("x"),
            "stopTimeout": 0,
            "healthCheck": CHECK,
        }
        self._ecs.register_task_definition(family="storm", containerDefinitions=[container])
        for name in self._names:
            self._ecs.create_service(
                cluster=CLUSTER, serviceName=name, taskDefinition="storm", desiredCount=1
            )

    def services(self) -> list[dict]:
        found = []
        for begin in range(0, SERVICES, 10):
            some = self._names[begin : begin + 10]
            found += self._ecs.describe_services(cluster=CLUSTER, services=some)["services"]
        return found

    def is_steady(self) -> bool:
        return all(
            service["runningCount"] == service["desiredCount"]
            and service["deployments"][0]["rolloutState"] == "COMPLETED"
            and self.health(service["serviceName"]) == "HEALTHY"
            for service in self.services()
        )

    def tasks(self, name: str) -> list[dict]:
        """Those that are asked to run."""
        arns = self._ecs.list_tasks(cluster=CLUSTER, serviceName=name)["taskArns"]
        return self._ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []

    def health(self, name: str) -> str:
        tasks = self.tasks(name)
        return tasks[0]["healthStatus"] if len(tasks) == 1 else "not one task"

    def ids(self) -> dict[str, set[str]]:
        """Service -> IDs of its tasks."""
        return {
            name: {task["taskArn"].rpartition("/")[2] for task in self.tasks(name)}
            for name in self._names
        }

    def strike(self, signal_number: int, task_id: str) -> None:
        """A signal to the web server of this task, as this machine sees it."""
        name = f"{self._local.status['instance']}-task-{task_id}-web"
        found = ["docker", "inspect", "-f", "{{.State.Pid}}", name]
        told = subprocess.run(found, check=True, capture_output=True, text=True)
        os.kill(int(told.stdout), signal_number)

    def load(self) -> LoadStatus:
        status = control.status(self._local.directory)
        assert status is not None
        return status["load"]

    def wait_steady(self, longest_s: float) -> float:
        began = time.monotonic()
        while not self.is_steady():
            assert time.monotonic() - began < longest_s, self.ids()
            time.sleep(2)
        return time.monotonic() - began


@dataclass
class Struck:
    """A task that trouble strikes, and when another one ran and was healthy in its place."""

    service: str
    former: str
    at: float = 0.0
    replaced_s: float | None = None

    def look(self, storm: Storm) -> None:
        if self.at and self.replaced_s is None:
            others = [
                task
                for task in storm.tasks(self.service)
                if not task["taskArn"].endswith(self.former) and task["lastStatus"] == "RUNNING"
            ]
            if others:
                self.replaced_s = time.monotonic() - self.at


def told(struck: Struck) -> str:
    if struck.replaced_s is None:
        return "never replaced"
    return f"replaced after {struck.replaced_s:.0f} s"


def main() -> None:
    with local_endpoint() as local:
        storm = Storm(local)
        storm.serve()
        came_up_s = storm.wait_steady(600)
        before = storm.ids()
        (killed_id,) = before[KILLED]
        (hung_id,) = before[HUNG]
        killed = Struck(KILLED, killed_id)
        hung = Struck(HUNG, hung_id)
        seen = Seen()
        began = time.monotonic()
        with hogs(HOG_S):
            while time.monotonic() - began < HOG_S:
                if not killed.at and time.monotonic() - began > HOG_S / 4:
                    storm.strike(signal.SIGKILL, killed.former)
                    killed.at = time.monotonic()
                    storm.strike(signal.SIGSTOP, hung.former)
                    hung.at = time.monotonic()
                seen.look(storm.load())
                killed.look(storm)
                hung.look(storm)
                time.sleep(1)
        while hung.replaced_s is None and time.monotonic() - hung.at < 2 * LONGEST_EXCUSE_S:
            killed.look(storm)
            hung.look(storm)
            time.sleep(1)
        steady_s = storm.wait_steady(600)
        after = storm.ids()
    calm = [name for name in before if name not in (KILLED, HUNG)]
    replaced = [name for name in calm if before[name] != after[name]]
    figures = ", ".join(f"{key} {value:.2f}" for key, value in sorted(seen.worst.items()))
    result(
        f"storm of {BUSY_A_CORE} busy processes a core for {HOG_S} s, {SERVICES} services",
        f"{len(replaced)} of {len(calm)} tasks replaced that were well (goal 0); overloaded in "
        f"{seen.overloaded} of {seen.looks} looks, at most {seen.most_in_doubt} tasks in doubt; "
        f"killed task {told(killed)}, hung task {told(hung)}; all up in {came_up_s:.0f} s before, "
        f"steady {steady_s:.0f} s after; worst: {figures}",
    )


if __name__ == "__main__":
    main()
