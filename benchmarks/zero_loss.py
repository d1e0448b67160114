"""Requests lost over 50 weight changes, 20 task replacements, 5 reloads and 3 SIGKILLs of the
control plane, under wrk.

Goal: 0 of at least 300,000.  The peer of the same run is the same load on the same listener with
nothing done to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time

from tests.conftest import Endpoint
from tests.shop import Shop

from bench import local_endpoint, result
from kirikae.local import control

SLICE_S = 15
LEAST = 300_000
DEPLOYMENTS = 10


def wrk(port: int, seconds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", f"http://127.0.0.1:{port}/"],
        stdout=subprocess.PIPE,
        text=True,
    )


def counted(process: subprocess.Popen[str]) -> tuple[int, int]:
    """(requests, failures): socket errors of all kinds and answers that were no 2xx or 3xx."""
    said = process.communicate()[0]
    requests = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    errors = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", said))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return requests, errors + (int(bad[1]) if bad else 0)


def trouble(local: Endpoint, shop: Shop) -> None:
    """50 weight changes, 20 task replacements (ten deployments of two tasks), 5 reloads of HAProxy,
    3 SIGKILLs of the control plane."""
    deployed = 0

    def deploy(side: str) -> None:
        nonlocal deployed
        if (
            deployed < DEPLOYMENTS
            and shop.service(side)["deployments"][0]["rolloutState"] == "COMPLETED"
        ):
            shop.ecs.update_service(cluster="shop", service=side, forceNewDeployment=True)
            deployed += 1

    for n in range(50):
        shop.weigh(n * 20, 999 - n * 20)
        if n % 5 == 0:
            for side in ("a", "b"):
                deploy(side)
        if n % 10 == 3:
            fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
            paths = [{"Field": "path-pattern", "Values": [f"/{n}"]}]
            shop.elb.create_rule(
                ListenerArn=shop.listener, Priority=n + 1, Conditions=paths, Actions=fixed
            )
        if n % 16 == 15:
            status = control.status(local.directory)
            assert status is not None
            os.kill(status["pid"], signal.SIGKILL)
            control.up(local.directory, None, "ap-northeast-1", figures_delay_s=0)
        time.sleep(0.5)
    while deployed < DEPLOYMENTS:
        for side in ("a", "b"):
            shop.complete(side)
            deploy(side)
    shop.complete("a")
    shop.complete("b")


def main() -> None:
    with local_endpoint() as local:
        quiet, loud = run(local)
    result("quiet", f"{quiet[0]} requests, {quiet[1]} lost")
    enough = "" if loud[0] >= LEAST else f" (fewer than {LEAST})"
    result(
        "50 weight changes, 20 replacements, 5 reloads, 3 SIGKILLs",
        f"{loud[0]} requests{enough}, {loud[1]} lost (goal 0)",
    )


def run(local: Endpoint) -> tuple[tuple[int, int], tuple[int, int]]:
    """(requests, failures) without trouble, and with all of it; the load goes on until the trouble
    is over and there were enough."""
    shop = Shop(local, "shop")
    for side in ("a", "b"):
        shop.serve(side, side, 2)
    shop.complete("a")
    shop.complete("b")
    shop.weigh(500, 500)
    quiet = counted(wrk(shop.port, 10))
    worker = threading.Thread(target=trouble, args=(local, shop))
    worker.start()
    requests = failures = 0
    while worker.is_alive() or requests < LEAST:
        more = counted(wrk(shop.port, SLICE_S))
        requests = requests + more[0]
        failures = failures + more[1]
    worker.join()
    return quiet, (requests, failures)


if __name__ == "__main__":
    main()
