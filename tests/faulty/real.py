"""Whole moves of real containers, driven by real processes, through a faulty AWS: one seed each.

Drivers are killed with SIGKILL and begun again, the red button is pressed at any moment.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from kirikae.aws.session import Aws
from kirikae.model.errors import Exit
from kirikae.model.move import Move, Phase, Why
from kirikae.move.journal import Journal
from kirikae.move.late import ceiling
from kirikae.move.sqlite_store import SqliteStore
from tests.conftest import WEB_IMAGE, Endpoint
from tests.e2e.waits import at_this_pace
from tests.faulty.proxy import FaultyProxy
from tests.pace import ended, eventually
from tests.shop import Shop

SCRIPT = r"""#!/bin/sh
if [ -n "$ILL" ]; then
  case "$(cat /proc/sys/kernel/random/uuid)" in
    [0-4]*) printf 'Status: 500 broken\r\n\r\nbroken\n'; exit 0 ;;
  esac
fi
printf 'Content-Type: text/plain\r\n\r\nshop\n'
"""
"""An ill one fails five of sixteen requests."""
MAIN = r"""
mkdir -p /www/cgi-bin; printf '%s' "$SCRIPT" > /www/cgi-bin/shop; busybox chmod +x /www/cgi-bin/shop
echo ok > /www/index.html; exec httpd -f -p 8000 -h /www
"""
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {{target_group: {name}-a}}
  new: {{cluster: {name}, ecs_service: b, target_group: {name}-b}}
moves:
  web:
    kind: traffic
    router: {{listener_rule: {name}/main}}
    plan: ["20%", "50%", "100%"]
    advance: auto
    judge: {{worse_requests_at_most: "8%", bake: 1s, warm_up: 0s, fast_enough: 2s}}
    figures: {{period: 1s, lateness: 2s}}
accepted:
  - {{finding: SV01, where: the old fleet, why: "containers of this test", by: "test",
     until: 2099-12-31}}
"""


class Lane(Shop):
    """A shop of one task a side; of an ill one the new side fails."""

    def __init__(self, local: Endpoint, name: str, ill: bool) -> None:
        super().__init__(local, name)
        self.ill = ill
        self.path = "/cgi-bin/shop" if ill else "/"
        self.elb.add_tags(ResourceArns=[self.rule], Tags=[{"Key": "Name", "Value": "main"}])
        self._start("a", "")
        self._start("b", "ill" if ill else "")

    def _start(self, side: str, ill: str) -> None:
        container = {
            "name": "web",
            "image": WEB_IMAGE,
            "command": ["sh", "-c", MAIN],
            "portMappings": [{"containerPort": 8000}],
            "stopTimeout": 2,
            "environment": [{"name": "SCRIPT", "value": SCRIPT}, {"name": "ILL", "value": ill}],
        }
        definition = self.ecs.register_task_definition(
            family=f"{self.name}-{side}",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[container],
        )["taskDefinition"]["taskDefinitionArn"]
        balanced = {"targetGroupArn": self.groups[side], "containerName": "web"}
        self.ecs.create_service(
            cluster=self.name,
            serviceName=side,
            taskDefinition=definition,
            desiredCount=1,
            loadBalancers=[{**balanced, "containerPort": 8000}],
        )

    def ready(self) -> None:
        for side in ("a", "b"):
            self.complete(side)
            self.serving(side, 1)

    def share(self) -> int:
        """Of the new side, in thousandths, as it is: not through the proxy."""
        [rule] = self.elb.describe_rules(RuleArns=[self.rule])["Rules"]
        groups = rule["Actions"][-1]["ForwardConfig"]["TargetGroups"]
        weights = {group["TargetGroupArn"]: group["Weight"] for group in groups}
        new = weights[self.groups["b"]]
        return 1000 if new == 999 and not weights[self.groups["a"]] else int(new)


@dataclass
class RealWalk:
    """One move, one seed, on one lane."""

    seed: int
    lane: Lane
    folder: Path
    presses: bool | None = None
    way: str = ""
    codes: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.often = self.rng.choice((0.05, 0.1, 0.2))
        if self.presses is None:
            self.presses = self.rng.random() < 0.4
        self.kills = 0 if self.presses else self.rng.choice((0, 0, 1, 2))
        self.pressed = False

    def go(self) -> RealWalk:
        self.lane.weigh(999, 0)
        project = PROJECT.format(name=self.lane.name)
        (self.folder / "kirikae.yml").write_text(at_this_pace(project))
        endpoint = self.lane.local.environment["AWS_ENDPOINT_URL"]
        with FaultyProxy(endpoint, self.seed, self.often) as proxy:
            self.way = proxy.url
            while self._drive() in (Exit.UNFINISHED, -signal.SIGKILL):
                assert len(self.codes) < 30, self.told()
        return self

    def _drive(self) -> int:
        """One driver from its beginning to its end."""
        driver = self._begin("move", "start", "web")
        if self.presses and not self.pressed:
            self._press(driver)
        elif self.kills:
            self._kill(driver)
        code = ended(driver, 600)
        out, err = driver.communicate()
        self.codes.append(code)
        self.said.append((out + err)[-600:])
        return code

    def _kill(self, driver: subprocess.Popen[str]) -> None:
        self.kills -= 1
        try:
            driver.wait(self.rng.uniform(2, 15))
        except subprocess.TimeoutExpired:
            driver.kill()

    def _press(self, driver: subprocess.Popen[str]) -> None:
        """Some time after somebody came onto the new side; again until it says that it is done."""

        def begun() -> bool:
            return self.lane.share() > 0 or driver.poll() is not None

        eventually(begun, "somebody is on the new side", 120)
        if driver.poll() is not None:
            return
        time.sleep(self.rng.uniform(0, 6))
        for _ in range(10):
            button = self._begin("back-out", "web")
            code = ended(button, 600)
            self.said.append(f"button {code}: {button.communicate()}"[-600:])
            if code == Exit.BACKED_OUT:
                self.pressed = True
                return
        raise AssertionError(self.told())

    def _begin(self, *arguments: str) -> subprocess.Popen[str]:
        ways = {**self.lane.local.environment, "AWS_ENDPOINT_URL": self.way}
        return subprocess.Popen(
            [sys.executable, "-m", "kirikae", *arguments],
            cwd=self.folder,
            env={**os.environ, **ways},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def move(self) -> Move:
        """As the journal has it."""
        region = self.lane.local.status["region"]
        store = SqliteStore(self.folder / ".kirikae/state.db")
        return Journal(store, "test", "shop", "judge", "here", Aws(region).now).read("web")

    def told(self) -> tuple[object, ...]:
        return self.seed, self.lane.name, self.often, self.codes, self.said[-3:]

    def check(self) -> None:
        move = self.move()
        share = self.lane.share()
        told = (share, move, *self.told())
        assert share == move.share or share == ceiling(move), told
        if self.pressed:
            assert share == 0 and move.held is not None, told
            assert move.held.why is Why.BACKED_OUT, told
        elif self.lane.ill:
            assert share == 0 and move.phase is not Phase.SETTLED, told
            assert move.held is not None and move.held.why is Why.BACKED_OUT, told
        else:
            assert (move.phase, share) == (Phase.SETTLED, 1000), told
