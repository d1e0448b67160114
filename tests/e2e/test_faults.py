"""Ten kinds of planted faults in real containers: the right verdict in each, a quick way back, and
nobody else loses a request.

Every task runs busybox's web server with a script that behaves as it is told (a request to the task
itself plants the fault).  Users ask through the load balancer without a pause and keep what they
got, from which release, and when."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WEB_IMAGE, Endpoint
from tests.e2e.waits import at_this_pace
from tests.pace import ended, eventually, slowly
from tests.shop import Shop

pytestmark = pytest.mark.engine

SCRIPT = r"""#!/bin/sh
read kind < /tmp/fault 2>/dev/null
case "$PATH_INFO$kind" in
  /plant*) echo "$QUERY_STRING" > /tmp/fault; kind= ;;
  /pay*route) kind=errors ;;
esac
answer="shop ISBN $RELEASE"
case "$kind" in
  errors)
    case "$(cat /proc/sys/kernel/random/uuid)" in
      [0-4]*) printf 'Status: 500 broken\r\n\r\nbroken %s\n' "$RELEASE"; exit 0 ;;
    esac ;;
  slow) sleep 0.4 ;;
  hang) sleep 20 ;;
  wrong) answer="shop of somebody else $RELEASE" ;;
esac
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$answer"
"""
MAIN = r"""
mkdir -p /www/cgi-bin /tmp; printf '%s' "$SCRIPT" > /www/cgi-bin/shop
busybox chmod +x /www/cgi-bin/shop; echo ok > /www/health; : > /tmp/fault
httpd -f -p 8000 -h /www & web=$!
x=0123456789; while :; do
  read kind < /tmp/fault
  case "$kind" in
    memory) x=$x$x$x$x ;; refused) kill $web 2>/dev/null; : > /tmp/fault ;; *) sleep 0.3 ;;
  esac
done
"""
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {{target_group: {name}-a}}
  new: {{cluster: {name}, ecs_service: b, target_group: {name}-b}}
checks:
  - {{get: /cgi-bin/shop, expect: 200, contains: "ISBN"}}
moves:
  web:
    kind: traffic
    router: {{listener_rule: {name}/main}}
    plan: ["20%", "50%", "100%"]
    advance: auto
    judge: {{worse_requests_at_most: "5%", bake: 4s, warm_up: 1s, {latency}}}
    figures: {{{figures}}}
accepted:
  - {{finding: SV01, where: the old fleet, why: "containers of this test", by: "test",
     until: 2099-12-31}}
"""


class FaultShop(Shop):
    """Two services of tasks that can be told to misbehave."""

    def start(self, side: str, tasks: int) -> None:
        container = {
            "name": "web",
            "image": WEB_IMAGE,
            "command": ["sh", "-c", MAIN],
            "portMappings": [{"containerPort": 8000}],
            "stopTimeout": 2,
            "memory": 48,
            "environment": [
                {"name": "SCRIPT", "value": SCRIPT},
                {"name": "RELEASE", "value": side},
            ],
        }
        definition = self.ecs.register_task_definition(
            family=f"{self.name}-{side}",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[container],
        )["taskDefinition"]
        self.ecs.create_service(
            cluster=self.name,
            serviceName=side,
            taskDefinition=definition["taskDefinitionArn"],
            desiredCount=tasks,
            loadBalancers=[
                {"targetGroupArn": self.groups[side], "containerName": "web", "containerPort": 8000}
            ],
        )

    def targets(self, side: str) -> list[str]:
        found = self.elb.describe_target_health(TargetGroupArn=self.groups[side])[
            "TargetHealthDescriptions"
        ]
        return [
            f"{t['Target']['Id']}:{t['Target']['Port']}"
            for t in found
            if t["TargetHealth"]["State"] == "healthy"
        ]

    def plant(self, side: str, kind: str, tasks: int | None = None) -> None:
        for target in self.targets(side)[:tasks]:
            with urllib.request.urlopen(
                f"http://{target}/cgi-bin/shop/plant?{kind}", timeout=30
            ) as answer:
                answer.read()

    def heal(self) -> None:
        """Fresh tasks on both sides where one cannot be told any more; otherwise only told."""
        for side, tasks in (("a", 2), ("b", 4)):
            eventually(
                lambda s=side, n=tasks: self._healed(s, n),
                f"{tasks} tasks of {side} serve",
                60,
                lambda s=side: self.state(s),
            )

    def _healed(self, side: str, tasks: int) -> bool:
        try:
            self.plant(side, "")
        except OSError:
            return False  # it is being replaced
        return len(self.targets(side)) == tasks == len(self.health(side))

    def share(self) -> int:
        action = self.elb.describe_rules(RuleArns=[self.rule])["Rules"][0]["Actions"][0]
        weights = {
            g["TargetGroupArn"]: g["Weight"] for g in action["ForwardConfig"]["TargetGroups"]
        }
        return int(weights[self.groups["b"]])


@pytest.fixture(scope="module")
def shop(local: Endpoint) -> Iterator[FaultShop]:
    shop = FaultShop(local, "faults")
    shop.elb.add_tags(ResourceArns=[shop.rule], Tags=[{"Key": "Name", "Value": "main"}])
    for group in shop.groups.values():
        shop.elb.modify_target_group(
            TargetGroupArn=group, HealthCheckPath="/health", UnhealthyThresholdCount=3
        )
    shop.start("a", 2)
    shop.start("b", 4)
    balancer = shop.elb.describe_load_balancers(Names=[shop.name])["LoadBalancers"][0][
        "LoadBalancerArn"
    ]
    local.client("s3").create_bucket(
        Bucket="fault-logs",
        CreateBucketConfiguration={"LocationConstraint": local.status["region"]},
    )
    attributes = {
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": "fault-logs",
        "access_logs.s3.prefix": "shop",
    }
    shop.elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer, Attributes=[{"Key": k, "Value": v} for k, v in attributes.items()]
    )
    for side in ("a", "b"):
        shop.complete(side)
    yield shop


@dataclass
class Users:
    """Threads that ask one page after another; each answer is kept as (end, status, what was
    said)."""

    port: int
    paths: tuple[str, ...]
    seen: list[tuple[float, int, str]] = field(default_factory=list)

    def __enter__(self) -> Users:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(6)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def _ask(self, n: int) -> None:
        while not self._stop.is_set():
            n += 1
            try:
                url = f"http://127.0.0.1:{self.port}{self.paths[n % len(self.paths)]}"
                asked = urllib.request.Request(
                    url, headers={"User-Agent": f"browser {n}"}
                )  # each its own client
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    status = answer.status
                    said = answer.read().decode()
            except urllib.error.HTTPError as error:
                status = error.code
                said = error.read().decode()
            except (OSError, http.client.HTTPException) as error:
                status = 0
                said = repr(error)
            self.seen.append((time.time(), status, said.strip()))
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(35)


@dataclass(frozen=True)
class Fault:
    """What is planted, where, at which share, and what must follow."""

    kind: str
    side: str = "b"
    tasks: int | None = None
    at: int = 200
    latency: str = "fast_enough: 1s"
    paths: tuple[str, ...] = ("/cgi-bin/shop",)
    figures: str = "period: 1s, lateness: 2s"
    row_s: float = 1.0
    late_s: float = 2.0
    verdict: str = "fail"
    said: str = ""
    meets: Callable[[int, str], bool] = lambda status, said: status != 200 and said.endswith("b")
    """Which lost requests met the fault."""


def _by_balancer(status: int, said: str) -> bool:
    return status in (502, 503, 504)


FAULTS = {
    "errors": Fault("errors", said="errors"),
    "slowness": Fault("slow", latency="slower_at_most: 20%", said="p"),
    "one bad task of four": Fault("errors", tasks=1, said="errors"),
    "only after 50%": Fault("errors", at=500, said="errors"),
    "only one route": Fault("route", paths=("/cgi-bin/shop", "/cgi-bin/shop/pay"), said="errors"),
    "hang": Fault("hang", said="probes"),
    "wrong content": Fault("wrong", said="probes"),
    "connections refused": Fault("refused", said="", meets=_by_balancer),
    "restarts by memory": Fault("memory", said="", meets=_by_balancer),
    "one route, by the access log": Fault(
        "route",
        paths=("/cgi-bin/shop", "/cgi-bin/shop/pay"),
        said="/cgi-bin/shop/pay*",
        row_s=5,
        late_s=26,
        figures='source: access_log, routes: ["/cgi-bin/shop/pay*"], period: 5s, lateness: 25s',
    ),
    "both sides at once": Fault(
        "errors", side="ab", verdict="unsure", meets=lambda status, said: status == 500
    ),
}
LOOKS = 12
"""So many one-second looks at trouble of both sides must not make kirikae go back."""
SLICE = ("errors", "wrong content", "one route, by the access log", "both sides at once")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in SLICE else pytest.mark.prove) for name in FAULTS],
)
def test_a_planted_fault(name: str, shop: FaultShop, tmp_path: Path) -> None:
    """The verdict, the time from the row at which the replay fails to share 0, and every request
    that is not 200 met the fault."""
    fault = FAULTS[name]
    shop.weigh(999, 0)
    shop.heal()
    user = _Project(tmp_path, shop, fault)
    with Users(shop.port, fault.paths) as users:
        eventually(lambda: len(users.seen) > 100, "users are there")
        driver = user.begin("move", "start", "web")
        try:
            eventually(
                lambda: shop.share() == fault.at, f"share {fault.at}", 60, lambda: shop.share()
            )
            time.sleep(3)
            planted = time.time()
            for side in fault.side:
                shop.plant(side, fault.kind, fault.tasks)
            if fault.verdict == "fail":
                ended(driver, 120)
                back = time.time()
            else:
                user.looks_on(planted, LOOKS)
            stayed = driver.poll() is None and shop.share() == fault.at
        finally:
            driver.kill()
            out, err = driver.communicate()
        time.sleep(1)
    _, _, judged = user.judged()
    if fault.verdict != "fail":
        assert stayed, f"shared trouble is nobody's fault\n{out}{err}\n{user.recorded()}"
    lost = [
        (round(at - planted, 1), status, said) for at, status, said in users.seen if status != 200
    ]
    assert all(fault.meets(status, said) for _, status, said in lost), (lost[:10], len(users.seen))
    first = judged["first_fail_t"]
    if fault.verdict != "fail":
        assert first is None
        return
    assert driver.returncode == 4 and shop.share() == 0, (out, err)
    assert fault.said in next(line for line in out.splitlines() if "fail:" in line)
    known = (
        first + fault.row_s + (fault.late_s if "probes" not in fault.said else 0)
    )  # when the row's figures were there
    assert back - known < slowly(5), (back - known, out)
    print(
        f"{name}: the row ended {first + fault.row_s - planted:.1f} s after it was "
        f"planted, back {back - known:.1f} s after its figures"
    )


class _Project:
    """A folder with this fault's project, and kirikae in it."""

    def __init__(self, folder: Path, shop: FaultShop, fault: Fault) -> None:
        from tests.e2e.test_command_line import User

        project = PROJECT.format(name=shop.name, latency=fault.latency, figures=fault.figures)
        (folder / "kirikae.yml").write_text(at_this_pace(project))
        self._user = User.__new__(User)
        self._user.folder = folder
        self._user.local = shop.local
        self._user.shop = shop
        self.begin = self._user.begin

    def looks_on(self, since: float, looks: int) -> None:
        """Wait until so many looks were taken at figures of after that time."""

        def later() -> int:
            return sum(look["t"] > since for look in self.judged()[2]["looks"])

        eventually(lambda: later() >= looks, f"{looks} looks were taken", 60, later)

    def recorded(self) -> str:
        """What the verdict rested on, as it was recorded last."""
        return (self._user.folder / "shift.jsonl").read_text("utf-8")

    def judged(self) -> tuple[int, str, dict[str, Any]]:
        """The recorded attempt, judged again with the move's settings."""
        code, _, err = self._user.run("move", "watch", "web", "--once", "--record", "shift.jsonl")
        assert code == 0, err
        code, out, err = self._user.run("move", "judge", "shift.jsonl", "--json", "--move", "web")
        return code, err, json.loads(out)
