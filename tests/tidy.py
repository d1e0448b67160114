"""What tests make is taken away again: a scope for what they make, and a look at what they left.

Clusters, task definitions and what the stores keep cost nothing while they lie there, and go with
the endpoint; what runs, holds a port or is checked by the second must go with its test.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kirikae.local import control

if TYPE_CHECKING:
    from tests.conftest import Endpoint

SESSION = "KIRIKAE_TEST_SESSION"
"""Every process that the suite starts has this in its environment, however far from it by now."""


@dataclass
class Scope:
    """What was made for a test, a module or the session, and how it goes: last made, first gone.

    ``owns``: how names of things begin that go with what was made here, whoever makes them.
    """

    removals: list[Callable[[], object]] = field(default_factory=list)
    owns: set[str] = field(default_factory=set)

    def add(self, removal: Callable[[], object]) -> None:
        self.removals.append(removal)

    def not_owned(self, things: Iterable[str]) -> list[str]:
        return sorted(thing for thing in things if not thing.startswith(tuple(self.owns)))

    def close(self) -> None:
        """Everything goes, also where one removal fails; the first failure is raised then."""
        failures = []
        while self.removals:
            try:
                self.removals.pop()()
            except Exception as error:  # noqa: BLE001 - whatever it is, the rest must go as well
                failures.append(error)
        if failures:
            raise failures[0]


def gone(call: Callable[..., object], *words: Any, **params: Any) -> None:
    """Remove something that may be gone already."""
    with suppress(ClientError):
        call(*words, **params)


# --- what lives on an endpoint


class Look:
    """What costs something on an endpoint while it is there, by kind and name.

    Services and tasks are listed again only where their number has changed: a look must be quick.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._ecs, self._elb, self._sqs = map(endpoint.client, ("ecs", "elbv2", "sqs"))
        self._counted: tuple[int, int] | None = None
        self._of_ecs: set[str] = set()

    def __call__(self, thoroughly: bool = False) -> set[str]:
        counted = self._counts()
        if thoroughly or counted is None or counted != self._counted:
            self._of_ecs = {*self._services(), *self._tasks()}
            self._counted = counted
        return {*self._of_ecs, *self._balancers(), *self._groups(), *self._queues()}

    def _counts(self) -> tuple[int, int] | None:
        """(services, tasks that have not stopped); None: the control plane does not answer."""
        status = control.status(self._endpoint.directory)
        return None if status is None else (status["services"], status["tasks"])

    def _pages(self, client: Any, operation: str, key: str, **params: Any) -> Iterator[Any]:
        for page in client.get_paginator(operation).paginate(**params):
            yield from page.get(key, [])

    def _clusters(self) -> list[str]:
        """Those that can hold something: deleted ones are listed for a while."""
        arns = list(self._pages(self._ecs, "list_clusters", "clusterArns"))
        found = self._ecs.describe_clusters(clusters=arns)["clusters"] if arns else []
        return [cluster["clusterArn"] for cluster in found if cluster["status"] == "ACTIVE"]

    def _services(self) -> Iterator[str]:
        for cluster in self._clusters():
            for arn in self._pages(self._ecs, "list_services", "serviceArns", cluster=cluster):
                yield f"service {arn.partition('service/')[2]}"

    def _tasks(self) -> Iterator[str]:
        """Those that are to run and belong to no service; what is being stopped ends by itself."""
        for cluster in self._clusters():
            for page in self._ecs.get_paginator("list_tasks").paginate(cluster=cluster):
                if not (arns := page["taskArns"]):
                    continue
                found = self._ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
                for task in found:
                    if not task["group"].startswith("service:"):
                        yield f"task {task['taskArn'].partition('task/')[2]}"

    def _balancers(self) -> Iterator[str]:
        for found in self._pages(self._elb, "describe_load_balancers", "LoadBalancers"):
            yield f"load balancer {found['LoadBalancerName']}"

    def _groups(self) -> Iterator[str]:
        for found in self._pages(self._elb, "describe_target_groups", "TargetGroups"):
            yield f"target group {found['TargetGroupName']}"

    def _queues(self) -> Iterator[str]:
        for url in self._pages(self._sqs, "list_queues", "QueueUrls"):
            yield f"queue {url.rpartition('/')[2]}"


def take_away(endpoint: Endpoint, things: Iterable[str]) -> None:
    """What a test left, so that the next one does not suffer for it; first what makes others."""
    ecs, elb, sqs = map(endpoint.client, ("ecs", "elbv2", "sqs"))

    def balancer(name: str) -> None:
        found = elb.describe_load_balancers(Names=[name])["LoadBalancers"][0]
        elb.delete_load_balancer(LoadBalancerArn=found["LoadBalancerArn"])

    def group(name: str) -> None:
        found = elb.describe_target_groups(Names=[name])["TargetGroups"][0]
        elb.delete_target_group(TargetGroupArn=found["TargetGroupArn"])

    ways: dict[str, Callable[[str, str], object]] = {
        "service": lambda place, name: ecs.delete_service(cluster=place, service=name, force=True),
        "task": lambda place, name: ecs.stop_task(cluster=place, task=name),
        "load balancer": lambda _, name: balancer(name),
        "target group": lambda _, name: group(name),
        "queue": lambda _, name: sqs.delete_queue(
            QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"]
        ),
    }
    for kind, way in ways.items():
        for thing in things:
            if thing.startswith(f"{kind} "):
                place, _, name = thing.removeprefix(f"{kind} ").rpartition("/")
                gone(way, place, name)


def containers_of_tasks(endpoint: Endpoint) -> set[str]:
    label = f"label=kirikae.instance={endpoint.status['instance']}"
    return {
        name
        for name in _docker("ps", "-a", "--filter", label, "--format", "{{.Names}}")
        if "-task-" in name
    }


def end_containers(names: Iterable[str]) -> None:
    """Those of tasks that are being stopped: nobody waits for their time-out."""
    subprocess.run(["docker", "kill", *names], capture_output=True, check=False)


# --- what lives on this machine


def _docker(*words: str) -> list[str]:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


@dataclass(frozen=True)
class OnThisMachine:
    """Containers and networks that bear the name of an instance of kirikae local, or of a test."""

    containers: frozenset[str]
    networks: frozenset[str]

    @classmethod
    def now(cls) -> OnThisMachine:
        """Nothing where there is no engine."""
        if shutil.which("docker") is None:
            return cls(frozenset(), frozenset())
        names = "{{.Names}}"
        try:
            containers = _docker("ps", "-a", "--format", names)
            networks = _docker("network", "ls", "--format", "{{.Name}}")
        except subprocess.CalledProcessError:
            return cls(frozenset(), frozenset())
        return cls(frozenset(filter(_ours, containers)), frozenset(filter(_ours, networks)))

    def left_since(self, before: OnThisMachine) -> list[str]:
        """What is there now and was not before, but for what another session's control plane
        owns."""
        others = marks_of_others()
        things = [f"container {name}" for name in sorted(self.containers - before.containers)]
        things += [f"network {name}" for name in sorted(self.networks - before.networks)]
        return [
            thing
            for thing in things
            if not any(thing.endswith(other) or f"{other}-" in thing for other in others)
        ]


def _ours(name: str) -> bool:
    return name.startswith("kirikae-")


def marks_of_others() -> set[str]:
    """What stands in the names of things that belong to another session of the suite, or to
    somebody who works here: an instance whose control plane lives, or the ID of a living session.
    """
    found = set()
    for pid in _pids():
        words = _words_of(pid, "cmdline")
        if not words or _is_ours(pid):
            continue
        found.add(f"-of-{pid}")
        if "kirikae.local.server" in words:
            found.add("kirikae-" + hashlib.sha256(words[-1].encode()).hexdigest()[:8])
    return found


def processes_left() -> list[str]:
    """Living processes that this session of the suite started, wherever they hang by now."""
    return [
        f"process {pid}: {' '.join(_words_of(pid, 'cmdline'))[:160]}"
        for pid in _pids()
        if pid != os.getpid() and _is_ours(pid)
    ]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _words_of(pid: int, what: str) -> list[str]:
    """``cmdline`` or ``environ``; nothing of a process that is gone or has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        raw = Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return []
    return [] if state == "Z" else raw.decode(errors="replace").rstrip("\0").split("\0")


def _is_ours(pid: int) -> bool:
    return f"{SESSION}={os.environ.get(SESSION, '')}" in _words_of(pid, "environ")
