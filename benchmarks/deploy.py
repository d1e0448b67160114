"""`kirikae release deploy` of a rolling update, against UpdateService and asking until it is
complete, of the same service in the same run.

Goal: at most 10% over what start, health checks and drain take anyhow.  Rounds alternate, so that
both meet the same machine; ours is the whole command, its own start included."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.e2e.test_command_line import User
from tests.shop import Shop

from bench import local_endpoint, result

ROUNDS = 4
POLL_S = 0.2


def by_hand(shop: Shop, text: str) -> float:
    """Seconds until ECS calls the deployment complete."""
    definition = shop.define(text)
    began = time.perf_counter()
    shop.ecs.update_service(cluster=shop.name, service="b", taskDefinition=definition)
    while True:
        deployments = shop.service("b")["deployments"]
        if len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED":
            return time.perf_counter() - began
        time.sleep(POLL_S)


def by_kirikae(user: User, release: str) -> float:
    began = time.perf_counter()
    code, out, err = user.run("release", "deploy", release, "--to", "new")
    assert code == 0, out + err
    return time.perf_counter() - began


def main() -> None:
    ours = []
    theirs = []
    with local_endpoint() as local, tempfile.TemporaryDirectory() as folder:
        shop = Shop(local, "deploys")
        shop.elb.add_tags(ResourceArns=[shop.rule], Tags=[{"Key": "Name", "Value": "main"}])
        user = User(Path(folder), local, shop)
        by_kirikae(user, "r0")
        shop.weigh(0, 999)
        for number in range(1, ROUNDS + 1):
            theirs.append(by_hand(shop, f"shop hand{number}"))
            ours.append(by_kirikae(user, f"r{number}"))
    a = statistics.median(ours)
    b = statistics.median(theirs)
    figures = (
        f"median {a:.1f} s of {ROUNDS}; UpdateService and asking {b:.1f} s; "
        f"{100 * (a / b - 1):.0f}% over it (goal at most 10%)"
    )
    result("a rolling deploy", figures)


if __name__ == "__main__":
    main()
