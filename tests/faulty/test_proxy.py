"""Whole moves of real containers through a faulty AWS: the world equals the journal, the button
always wins, no harm passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.model.move import Move, Phase, Why
from kirikae.model.said import text
from kirikae.move.button import Finger, back_out
from kirikae.move.driver import Driver
from kirikae.move.engine import Engine, Look
from kirikae.move.journal import Journal
from kirikae.move.kind import Bench
from kirikae.move.late import Patience
from kirikae.move.lease import Lease
from kirikae.move.sqlite_store import SqliteStore
from kirikae.traffic.thing import TrafficThing
from tests.faulty.proxy import FaultyProxy
from tests.pace import eventually
from tests.shop import Hammer, Shop

pytestmark = [pytest.mark.engine, pytest.mark.prove]
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: faulty-a}
  new: {cluster: faulty, ecs_service: b, target_group: faulty-b}
moves:
  web:
    kind: traffic
    router: {listener_rule: "RULE"}
    plan: ["10%", "50%", "100%"]
    judge: {worse_requests_at_most: "8%", bake: 1s, warm_up: 0s, fast_enough: 2s}
    figures: {period: 1s, lateness: 2s}
"""


@pytest.fixture(scope="module")
def shop(local: Any) -> Iterator[Shop]:
    shop = Shop(local, "faulty")
    for side in ("a", "b"):
        shop.serve(side, "shop r1", 1)
    for side in ("a", "b"):
        shop.complete(side)
        shop.serving(side, 1)
    yield shop


class Mover:
    """One process that drives, or presses, through the proxy."""

    def __init__(self, folder: Path, shop: Shop, who: str) -> None:
        project = kinds.read_project(PROJECT.replace("RULE", shop.rule), "kirikae.yml")
        self.aws = Aws(project.region)
        store = SqliteStore(folder / "state.db")
        self.journal = Journal(store, "test", "shop", who, "here", self.aws.now)
        settings = project.moves["web"]
        bench = Bench("web", project, self.aws, self.journal, self.aws.now, folder)
        thing = kinds.kind_of(settings).open(settings, bench)
        assert isinstance(thing, TrafficThing)
        self.thing = thing
        self.lease = Lease(store, "test/shop/web")

    def plan(self) -> None:
        self.journal.write(Move("web", self.thing.plan(), seq=1))

    def drive(self, tell: Any) -> Look:
        engine = Engine(self.journal, self.thing, self.lease, patience=Patience(30.0, self.aws.now))
        return Driver(engine, self.journal, self.lease, "web").drive(tell)

    def press(self) -> Move:
        finger = Finger(now=self.aws.now)
        return back_out(self.journal, self.thing, self.lease, "web", text("smoke"), finger)


def weights(shop: Shop) -> list[int]:
    """As they are: not through the proxy."""
    [rule] = shop.elb.describe_rules(RuleArns=[shop.rule])["Rules"]
    return [g["Weight"] for g in rule["Actions"][-1]["ForwardConfig"]["TargetGroups"]]


@pytest.fixture
def through(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A proxy by seed, and everything that this process asks of AWS goes through it."""
    for key, value in shop.local.environment.items():
        monkeypatch.setenv(key, value)
    shop.weigh(999, 0)

    def proxied(seed: int, often: float = 0.2) -> FaultyProxy:
        proxy = FaultyProxy(shop.local.environment["AWS_ENDPOINT_URL"], seed, often)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        return proxy

    return proxied


SEEDS = [1, *(pytest.param(n, marks=pytest.mark.prove) for n in range(2, 12))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_healthy_move_settles_through_it(shop, through, tmp_path, seed):
    """One call in five goes wrong: 100%, and the weights say so."""
    with through(seed) as proxy, Hammer(shop.port, 4, 0.01):
        mover = Mover(tmp_path, shop, "driver")
        mover.plan()
        look = mover.drive(lambda look: None)
        assert look.move.phase is Phase.SETTLED and weights(shop) == [0, 999]
        assert sum(proxy.met.values()) > 3, proxy.met


@pytest.mark.parametrize("seed", SEEDS)
def test_the_button_wins_through_it(shop, through, tmp_path, seed):
    """Two calls in five go wrong, a driver drives: 0, and it stays 0."""
    with through(seed, 0.4), Hammer(shop.port, 4, 0.01):
        mover = Mover(tmp_path, shop, "driver")
        mover.plan()
        ended: list[Look] = []
        thread = threading.Thread(
            target=lambda: ended.append(mover.drive(lambda look: None)), daemon=True
        )
        thread.start()
        eventually(lambda: weights(shop)[1] > 0, "somebody is on the new side", 120)
        Mover(tmp_path, shop, "button").press()
        assert weights(shop) == [999, 0]
        thread.join(120)
        time.sleep(1.0)
        assert ended and ended[0].move.held.why is Why.BACKED_OUT
        assert weights(shop) == [999, 0]
