"""kirikae local with 200 tasks in 20 services: CPU of one sweep in which nothing is to be done, CPU
while idle, memory without moto.

Goals: 80 ms, 2% of one core, 200 MB.  The tasks are real containers; their start is not measured.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.conftest import WEB_IMAGE

from bench import local_endpoint, result
from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.services import Services
from kirikae.local.state import State

SERVICES = 20
EACH = int(sys.argv[1]) if len(sys.argv) > 1 else 10
IDLE_S = 60


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def sweep_ms(state_file: Path) -> float:
    """The best of ten sweeps over a copy of the state that the control plane has made, in CPU
    time."""
    state = State(state_file)

    class Quiet:
        def stop(self, *_: str) -> None:
            raise AssertionError("nothing was to be done")

    def start(*_: object) -> dict:
        raise AssertionError("nothing was to be done")

    services = Services(state, Agenda(time.time), Quiet(), start)
    took = []
    for _ in range(10):
        began = time.process_time()
        services.sweep()
        took.append(time.process_time() - began)
    return 1000 * min(took)


def main() -> None:
    with local_endpoint() as local:
        ecs = local.client("ecs")
        ecs.create_cluster(clusterName="idle")
        container = {
            "name": "a",
            "image": WEB_IMAGE,
            "memory": 16,
            "command": ["sleep", "100000"],
            "stopTimeout": 0,
        }
        ecs.register_task_definition(family="idle", containerDefinitions=[container])
        for n in range(SERVICES):
            ecs.create_service(
                cluster="idle", serviceName=f"s{n}", taskDefinition="idle", desiredCount=EACH
            )
        names = [f"s{n}" for n in range(SERVICES)]

        def complete() -> int:
            found = [
                s
                for begin in (0, 10)
                for s in ecs.describe_services(cluster="idle", services=names[begin : begin + 10])[
                    "services"
                ]
            ]
            return sum(
                s["deployments"][0]["rolloutState"] == "COMPLETED" and s["runningCount"] == EACH
                for s in found
            )

        while (done := complete()) < SERVICES:
            time.sleep(5)
            print(f"  {done} of {SERVICES} services are complete", file=sys.stderr)
        time.sleep(10)
        pid = local.status["pid"]
        before = cpu_s(pid)
        began = time.monotonic()
        time.sleep(IDLE_S)
        idle = 100 * (cpu_s(pid) - before) / (time.monotonic() - began)
        status = Path(f"/proc/{pid}/status").read_text()
        memory = (
            int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
            / 1024
        )
        copy = local.directory.parent / "copy.db"
        import sqlite3

        with (
            sqlite3.connect(local.directory / "state.db") as source,
            sqlite3.connect(copy) as target,
        ):
            source.backup(target)
        sweep = sweep_ms(copy)
    tasks = f"{SERVICES * EACH} tasks in {SERVICES} services"
    result(f"a sweep without work, {tasks}", f"{sweep:.1f} ms CPU (goal 80)")
    result(
        f"idle, {tasks}",
        f"{idle:.2f}% of one core (goal 2%), {memory:.0f} MB without moto (goal 200)",
    )


if __name__ == "__main__":
    main()
