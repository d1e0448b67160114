"""`kirikae release deploy` of a rolling update, against UpdateService and asking until it is
complete, of the same service in the same run.

Goal: at most 10% over what start, health checks and drain take anyhow.  Rounds alternate, so that
both meet the same machine; ours is the whole command, its own start included.  Where the rest goes
is told as two parts: until ECS begins the deployment, and from its end until the command is over.
Both are as long however long the deployment takes; the one of this benchmark, a single task that is
healthy at once, is the shortest there is."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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


class Ours(NamedTuple):
    """Seconds of the whole command, of those until ECS begins, and of those after ECS is done."""

    whole: float
    before: float
    after: float


def by_kirikae(user: User, release: str) -> Ours:
    began = time.time()
    code, out, err = user.run("release", "deploy", release, "--to", "new")
    assert code == 0, out + err
    ended = time.time()
    ecs = user.shop.ecs
    rows = ecs.list_service_deployments(cluster=user.shop.name, service="b")["serviceDeployments"]
    newest = max(rows, key=lambda row: row["createdAt"])
    [way] = ecs.describe_service_deployments(
        serviceDeploymentArns=[newest["serviceDeploymentArn"]]
    )["serviceDeployments"]
    return Ours(
        ended - began,
        way["startedAt"].timestamp() - began,
        ended - way["finishedAt"].timestamp(),
    )


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
    a, before, after = (statistics.median(part) for part in zip(*ours, strict=True))
    b = statistics.median(theirs)
    figures = (
        f"median {a:.1f} s of {ROUNDS}; UpdateService and asking {b:.1f} s; "
        f"{100 * (a / b - 1):.0f}% over it (goal at most 10%); {before:.1f} s until ECS begins, "
        f"{after:.1f} s after its end; load {os.getloadavg()[0]:.0f}"
    )
    result("a rolling deploy", figures)


if __name__ == "__main__":
    main()
