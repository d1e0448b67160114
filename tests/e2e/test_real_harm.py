"""Harm as real services have it, in real containers: workers that hang, tasks that are gone, a
balancer that answers 503 itself, an access log of clients that ask again and again, clients that
stick to a side.

The right verdict in each, within as many bad answers as docs/explanation/verdict.md names; what
comes before it is left alone.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Endpoint
from tests.e2e.test_command_line import User
from tests.e2e.test_faults import FaultShop
from tests.e2e.waits import at_this_pace
from tests.pace import eventually
from tests.shop import Shop

pytestmark = pytest.mark.engine

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
    judge: {{worse_requests_at_most: "5%", bake: 600s, warm_up: 1s, fast_enough: 20s}}
    figures: {{{figures}}}
accepted:
  - {{finding: SV01, where: the old fleet, why: "containers of this test", by: "test",
     until: 2099-12-31}}
"""
PAGE = "/cgi-bin/shop"
SHARE = 200
GIVES_UP_S = 5
"""After so long the balancer answers 504 itself."""
AND_LATER = 5
"""Figures are late, and a driver on a busy machine looks late: so many times more may fail
meanwhile."""
CALM = 3
"""So many looks at a new side on which nothing is wrong."""


@dataclass
class Visitors:
    """Threads that ask on connections of their own.

    ``clients``: each thread is one of so many, in turn.  ``visits``: after so many requests a
    visitor goes and another one comes, without its cookies; None: they have none.
    """

    port: int
    clients: int = 6
    visits: int | None = None
    seen: list[int] = field(default_factory=list)

    def __enter__(self) -> Visitors:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(6)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(35)

    def _ask(self, n: int) -> None:
        cookies = ""
        while not self._stop.is_set():
            n += 6
            if self.visits is not None and n // 6 % self.visits == 0:
                cookies = ""
            try:
                status, cookies = self._get(f"browser {n % self.clients}", cookies)
            except (OSError, http.client.HTTPException):
                status = 0
            self.seen.append(status)
            self._stop.wait(0.02)

    @property
    def failed(self) -> int:
        """Answers that were no page."""
        return sum(status != 200 for status in self.seen)

    def _get(self, agent: str, cookies: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", PAGE, headers={"User-Agent": agent, "Cookie": cookies})
            answer = connection.getresponse()
            answer.read()
            given = answer.headers.get_all("Set-Cookie") or []
        finally:
            connection.close()
        kept = "; ".join(cookie.partition(";")[0] for cookie in given)
        return answer.status, kept if self.visits is not None and kept else cookies


def _hang(shop: FaultShop) -> None:
    shop.plant("b", "hang")


def _fail(shop: FaultShop) -> None:
    shop.plant("b", "errors")


def _stop_all(shop: FaultShop) -> None:
    shop.ecs.update_service(cluster=shop.name, service="b", desiredCount=0)


def _take_out(shop: FaultShop) -> None:
    """The tasks run on, and the balancer knows none of them."""
    targets = [{"Id": target.partition(":")[0]} for target in shop.targets("b")]
    shop.elb.deregister_targets(TargetGroupArn=shop.groups["b"], Targets=targets)


@dataclass(frozen=True)
class Harm:
    """``said``: the reasons that are true; the verdict names one of them.  ``most``: bad answers of
    the new side that the figures may show until then."""

    plant: Callable[[FaultShop], None]
    said: tuple[str, ...]
    most: int
    figures: str = "period: 1s, lateness: 2s"
    sticky: bool = False
    clients: int = 6
    visits: int | None = None


_BY_FIGURES = ("traffic.harm",)
_GONE = ("traffic.failed_targets", "traffic.harm")
"""Whichever comes first: three rounds without a healthy target, or the figures of who was asking
while the last tasks went."""
HARMS = {
    "workers hang": Harm(_hang, _BY_FIGURES, 40),
    "all new tasks are gone": Harm(_stop_all, _GONE, 400),
    "the balancer answers 503": Harm(_take_out, _GONE, 400),
    "clients stick": Harm(_fail, _BY_FIGURES, 100, sticky=True, visits=5),
    "an access log of clients that ask often": Harm(
        _fail,
        _BY_FIGURES,
        100,
        figures="source: access_log, period: 5s, lateness: 25s",
        clients=300,
    ),
}
SLICE = ("workers hang", "all new tasks are gone", "clients stick")


@pytest.fixture(scope="module")
def shop(local: Endpoint) -> Iterator[FaultShop]:
    shop = FaultShop(local, "harm")
    shop.elb.add_tags(ResourceArns=[shop.rule], Tags=[{"Key": "Name", "Value": "main"}])
    for group in shop.groups.values():
        shop.elb.modify_target_group(
            TargetGroupArn=group, HealthCheckPath="/health", UnhealthyThresholdCount=10
        )
    local.client("s3").create_bucket(
        Bucket="harm-logs",
        CreateBucketConfiguration={"LocationConstraint": local.status["region"]},
    )
    attributes = {
        "idle_timeout.timeout_seconds": str(GIVES_UP_S),
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": "harm-logs",
        "access_logs.s3.prefix": "shop",
    }
    shop.elb.modify_load_balancer_attributes(
        LoadBalancerArn=shop.balancer,
        Attributes=[{"Key": key, "Value": value} for key, value in attributes.items()],
    )
    shop.start("a", 2)
    shop.start("b", 4)
    for side in ("a", "b"):
        shop.complete(side)
    yield shop


def stick(shop: Shop, sticky: bool) -> None:
    """Clients stay on the side where they came to, or each request is routed by itself."""
    actions = shop.forward(999, 0)
    config = {"Enabled": sticky, **({"DurationSeconds": 3600} if sticky else {})}
    actions[0]["ForwardConfig"]["TargetGroupStickinessConfig"] = config
    shop.elb.modify_rule(RuleArn=shop.rule, Actions=actions)


def heal(shop: FaultShop) -> None:
    """Fresh tasks where the former ones are gone, or known to nobody."""
    if not shop.targets("b"):
        shop.ecs.update_service(
            cluster=shop.name, service="b", desiredCount=4, forceNewDeployment=True
        )
        shop.complete("b", 120)
    shop.heal()


class Mover:
    """A folder with a project, and kirikae in it."""

    def __init__(self, folder: Path, shop: FaultShop, harm: Harm) -> None:
        project = PROJECT.format(name=shop.name, figures=harm.figures)
        (folder / "kirikae.yml").write_text(at_this_pace(project))
        self._user = User.__new__(User)
        self._user.folder = folder
        self._user.local = shop.local
        self._user.shop = shop
        self._record = folder / "shift.jsonl"
        self.begin = self._user.begin

    def judged(self) -> dict[str, Any]:
        """The recorded attempt, judged again with the move's settings."""
        self._record.unlink(missing_ok=True)
        code, _, err = self._user.run(
            "move", "watch", "web", "--once", "--record", str(self._record)
        )
        assert code == 0, err
        _, out, err = self._user.run("move", "judge", str(self._record), "--json", "--move", "web")
        found: dict[str, Any] = json.loads(out)
        return found

    def looks(self) -> list[dict[str, Any]]:
        """Those at figures of the new side."""
        return [look for look in self.judged()["looks"] if look["exposed"]]

    def bad_until(self, t: float) -> float:
        """Bad answers of the new side that are recorded up to this time."""
        lines = [json.loads(line) for line in self._record.read_text().splitlines()]
        return sum(line["errors"] for line in lines if line["side"] == "new" and line["t"] <= t)


def until_back(driver: subprocess.Popen[str], visitors: Visitors, most: int) -> None:
    """The verdict needs bad answers, not seconds: a busy machine makes fewer of them.  So it is
    waited for while they come, and as long as they are not many more than it may take."""
    eventually(
        lambda: driver.poll() is not None or visitors.failed > AND_LATER * most,
        "the driver ends, or far too much has failed",
        180,
        lambda: visitors.failed,
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in SLICE else pytest.mark.prove) for name in HARMS],
)
def test_harm_of_a_real_service_is_found(name: str, shop: FaultShop, tmp_path: Path) -> None:
    """A calm new side is left alone, however its clients ask; then harm begins, and kirikae is back
    at share 0 for the reason that is true."""
    harm = HARMS[name]
    stick(shop, harm.sticky)
    heal(shop)
    mover = Mover(tmp_path, shop, harm)
    with Visitors(shop.port, harm.clients, harm.visits) as visitors:
        eventually(lambda: len(visitors.seen) > 100, "visitors are there")
        driver = mover.begin("move", "start", "web")
        try:
            eventually(lambda: shop.share() == SHARE, "the first step", 60, shop.share)
            eventually(
                lambda: len(mover.looks()) >= CALM,
                f"{CALM} looks at the new side",
                90,
                lambda: len(visitors.seen),
                2.0,
            )
            calm = mover.looks()
            harm.plant(shop)
            until_back(driver, visitors, harm.most)
        finally:
            driver.kill()
            out, err = driver.communicate()
    judged = mover.judged()
    assert {look["verdict"] for look in calm} <= {"unsure", "pass"}, calm
    assert "traffic.mismatch" not in {look["says"]["says"] for look in calm}
    assert driver.returncode == 4 and shop.share() == 0, (out, err)
    last = judged["looks"][-1]
    assert last["verdict"] == "fail" and last["says"]["says"] in harm.said, (out, err)
    assert mover.bad_until(judged["first_fail_t"]) <= harm.most
