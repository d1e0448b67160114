"""RunTask to RUNNING on kirikae local, against ``docker run -d`` of the same image in the same run.

Goal: a ratio of at most 1.0 with the warm pool.  Rounds alternate, so that both meet the same
machine."""

from __future__ import annotations

import statistics
import subprocess
import time

from tests.conftest import WEB_IMAGE, Endpoint, serve

from bench import local_endpoint, result

ROUNDS = 20


def run_task(local: Endpoint, ecs: object) -> tuple[float, str]:
    began = time.perf_counter()
    task = ecs.run_task(cluster="bench", taskDefinition="bench")["tasks"][0]["taskArn"]  # type: ignore[attr-defined]
    while ecs.describe_tasks(cluster="bench", tasks=[task])["tasks"][0]["lastStatus"] != "RUNNING":  # type: ignore[attr-defined]
        time.sleep(0.005)
    return time.perf_counter() - began, task


def docker_run(network: str) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(
        ["docker", "run", "-d", "--network", network, WEB_IMAGE, *serve("x")],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - began, done.stdout.strip()


def main() -> None:
    ours = []
    theirs = []
    with local_endpoint() as local:
        ecs = local.client("ecs")
        ecs.create_cluster(clusterName="bench")
        container = {
            "name": "web",
            "image": WEB_IMAGE,
            "memory": 64,
            "command": serve("x"),
            "stopTimeout": 1,
        }
        ecs.register_task_definition(family="bench", containerDefinitions=[container])
        time.sleep(3)  # the pool is filled
        for _ in range(ROUNDS):
            took, task = run_task(local, ecs)
            ours.append(took)
            ecs.stop_task(cluster="bench", task=task)
            took, name = docker_run(local.status["network"])
            theirs.append(took)
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=True)
            time.sleep(2.5)  # both sides are quiet again and the pool is full
    a = statistics.median(ours)
    b = statistics.median(theirs)
    figures = (
        f"median {a * 1000:.0f} ms of {ROUNDS}; docker run -d {b * 1000:.0f} ms; ratio "
        f"{a / b:.2f} (goal at most 1.0)"
    )
    result("RunTask to RUNNING", figures)


if __name__ == "__main__":
    main()
