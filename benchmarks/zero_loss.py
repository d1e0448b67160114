"""Requests lost over 50 weight changes, 10 task replacements and one SIGKILL of the control plane, under wrk.

Goal: 0 of at least 100,000.  The peer of the same run is the same load on the same listener with nothing done to it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

from tests.conftest import Endpoint
from tests.contract.test_local import Shop

from bench import local_endpoint, result
from kirikae.local import control

SECONDS, LEAST = 45, 100_000


def wrk(port: int, seconds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(["wrk", "-t1", "-c16", f"-d{seconds}s", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)


def counted(process: subprocess.Popen[str]) -> tuple[int, int]:
    """(requests, failures): socket errors of all kinds and answers that were no 2xx or 3xx."""
    said = process.communicate()[0]
    requests = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    errors = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", said))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return requests, errors + (int(bad[1]) if bad else 0)


def trouble(local: Endpoint, shop: Shop) -> None:
    replaced = 0
    for n in range(50):
        shop.weigh(n * 20, 999 - n * 20)
        if n % 10 == 5:
            for side in ("a", "b"):
                if shop.service(side)["deployments"][0]["rolloutState"] == "COMPLETED" and replaced < 10:
                    shop.ecs.update_service(cluster="shop", service=side, forceNewDeployment=True)
                    replaced += 2
        if n == 30:
            status = control.status(local.directory)
            assert status is not None
            os.kill(status["pid"], signal.SIGKILL)
            control.up(local.directory, None, "ap-northeast-1", figures_delay_s=0)
        time.sleep(0.5)
    while replaced < 10:
        shop.complete("a")
        shop.ecs.update_service(cluster="shop", service="a", forceNewDeployment=True)
        replaced += 2
    shop.complete("a")
    shop.complete("b")


def main() -> None:
    with local_endpoint() as local:
        shop = Shop(local, "shop")
        for side in ("a", "b"):
            shop.serve(side, side, 2)
        shop.complete("a")
        shop.complete("b")
        shop.weigh(500, 500)
        quiet = counted(wrk(shop.port, 10))
        load = wrk(shop.port, SECONDS)
        trouble(local, shop)
        loud = counted(load)
    result("quiet", f"{quiet[0]} requests, {quiet[1]} lost")
    enough = "" if loud[0] >= LEAST else f" (fewer than {LEAST})"
    result("50 weight changes, 10 replacements, 1 SIGKILL", f"{loud[0]} requests{enough}, {loud[1]} lost (goal 0)")


if __name__ == "__main__":
    main()
