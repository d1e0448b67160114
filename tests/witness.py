"""Somebody who knows nothing of the drill: what a fault really did, by other requests and looks.

Its times are the wall clock's.  When the fault was made, the container engine tells.
"""

from __future__ import annotations

import http.client
import subprocess
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.shop import Shop

EVERY_S = 0.1
LOOK_S = 0.2
OF_BALANCERS = (502, 503, 504)


class Witness:
    """Asks ten times a second, each on a connection of its own, whatever becomes of the others;
    and looks which targets get requests.

    ``timeout_s``: that of the drill, so that both call the same request lost.
    """

    def __init__(self, shop: Shop, side: str, timeout_s: float) -> None:
        self._shop = shop
        self._group = shop.groups[side]
        self._timeout_s = timeout_s
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(200)
        self._asked: list[tuple[float, Future[bool]]] = []
        self._healthy: list[tuple[float, frozenset[str]]] = []
        self._events: subprocess.Popen[str] | None = None
        self._told = ""

    def __enter__(self) -> Witness:
        filters = [word for name in ("pause", "kill", "die") for word in ("-f", f"event={name}")]
        shown = "{{.TimeNano}} {{.Action}} {{.Actor.ID}}"
        self._events = subprocess.Popen(
            ["docker", "events", *filters, "--format", shown], stdout=subprocess.PIPE, text=True
        )
        self._threads = [threading.Thread(target=each) for each in (self._ask, self._look)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown()
        assert self._events is not None
        self._events.terminate()
        self._told = self._events.communicate()[0]

    def _ask(self) -> None:
        due = time.time()
        while not self._over.wait(max(0.0, due - time.time())):
            self._asked.append((due, self._pool.submit(self._lost)))
            due += EVERY_S

    def _lost(self) -> bool:
        began = time.monotonic()
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._shop.port, timeout=self._timeout_s
        )
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            late = time.monotonic() - began > self._timeout_s
            return late or answer.status in OF_BALANCERS
        except (OSError, http.client.HTTPException):
            return True
        finally:
            connection.close()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            found = self._shop.elb.describe_target_health(TargetGroupArn=self._group)
            healthy = frozenset(
                each["Target"]["Id"]
                for each in found["TargetHealthDescriptions"]
                if each["TargetHealth"]["State"] == "healthy"
            )
            self._healthy.append((time.time(), healthy))

    def began(self, hit: list[str]) -> float:
        """When the engine first did something to a container of these tasks."""
        mine = {
            container["runtimeId"]
            for task in self._tasks(hit)
            for container in task["containers"]
            if "runtimeId" in container
        }
        rows = [line.split() for line in self._told.splitlines()]
        return min(int(at) / 1e9 for at, _, container in rows if container in mine)

    def _tasks(self, hit: list[str]) -> list[dict[str, Any]]:
        found = self._shop.ecs.describe_tasks(cluster=self._shop.name, tasks=hit)
        return list(found["tasks"])

    @property
    def lost(self) -> list[float]:
        """When they were due."""
        return [due for due, lost in self._asked if lost.result()]

    @property
    def asked(self) -> int:
        """Requests."""
        return len(self._asked)

    def recovery_s(self, hit: list[str]) -> float:
        """From the fault to its own last lost request; 0: it lost none."""
        lost = self.lost
        return max(0.0, max(lost) - self.began(hit)) if lost else 0.0

    def detection_s(self, hit: list[str]) -> float | None:
        """From the fault until a target that was hit no longer got requests."""
        began = self.began(hit)
        before = [healthy for at, healthy in self._healthy if at < began]
        for at, healthy in self._healthy:
            if at >= began and before and before[-1] - healthy:
                return at - began
        return None
