"""Figures' sources: one suite for CloudWatch and for the load balancer's access log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kirikae.aws import elbv2, logs_bucket
from kirikae.aws.session import Aws
from kirikae.traffic.access_log import AccessLog
from kirikae.traffic.batches import Batch
from kirikae.traffic.by_target import by_target
from kirikae.traffic.figures import Asked, CloudWatch, Figures, Places
from tests.pace import eventually
from tests.shop import Shop

pytestmark = [pytest.mark.engine, pytest.mark.shares]
BOUNDS = {"old": [1.0, 5.0], "new": [1.0, 5.0]}
TAU = {"p50": 1.0}


@pytest.fixture(scope="module")
def shop(local: Any) -> Iterator[Shop]:
    shop = Shop(local, "figures")
    s3 = local.client("s3")
    region = {"LocationConstraint": local.status["region"]}
    s3.create_bucket(Bucket="figures-logs", CreateBucketConfiguration=region)
    attributes = {
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": "figures-logs",
        "access_logs.s3.prefix": "shop",
    }
    shop.elb.modify_load_balancer_attributes(
        LoadBalancerArn=shop.balancer,
        Attributes=[{"Key": key, "Value": value} for key, value in attributes.items()],
    )
    for side in ("a", "b"):
        shop.serve(side, f"shop {side}", 1)
    for side in ("a", "b"):
        shop.complete(side)
        shop.serving(side, 1)
    yield shop
    off = [{"Key": "access_logs.s3.enabled", "Value": "false"}]
    shop.elb.modify_load_balancer_attributes(LoadBalancerArn=shop.balancer, Attributes=off)


class Asker:
    """Requests of both sides, counted as they were answered."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.began = time.time()
        self.answered = {"old": 0, "new": 0}

    def ask(self, n: int) -> None:
        for weights, side in (((1, 0), "old"), ((0, 1), "new")):
            self.shop.weigh(*weights)
            for _ in range(n):
                self.shop.get("/")
                self.answered[side] += 1


@pytest.fixture(params=["cloudwatch", "access_log"])
def source(
    request: pytest.FixtureRequest, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Figures:
    for key, value in shop.local.environment.items():
        monkeypatch.setenv(key, value)
    aws = Aws(shop.local.status["region"])
    old = elbv2.target_group(aws, f"{shop.name}-a")
    new = elbv2.target_group(aws, f"{shop.name}-b")
    if request.param == "cloudwatch":
        balancer = elbv2.rule(aws, shop.rule).balancer_dimension
        return CloudWatch(aws, Places(shop.rule, old, new, balancer, balancer), 1)
    place = logs_bucket.place_of(aws, elbv2.balancer_arn(shop.rule))
    return AccessLog(aws, place, old, new, 1, (), per_client=False)


def _asked(since: float, until: float) -> Asked:
    return Asked(500, 3, since, until, TAU, BOUNDS)


def _sum(batches: list[Batch], side: str) -> int:
    return sum(batch.side(side).requests for batch in batches)


def test_every_request_is_counted_once_and_on_its_side(source, shop):
    """Whole periods, oldest first, with the share, the step and the quantiles that were given."""
    asker = Asker(shop)
    asker.ask(20)
    until = time.time() + 1
    found: list[Batch] = []
    seen = {"since": asker.began - 1}

    def all_there() -> bool:
        new = source.batches(_asked(seen["since"], until))
        fresh = [batch for batch in new if batch.side("old").requests or batch.side("new").requests]
        if fresh:
            found.extend(fresh)
            seen["since"] = fresh[-1].start + fresh[-1].seconds
        return _sum(found, "old") >= 20 and _sum(found, "new") >= 20

    eventually(all_there, "all requests are counted", 120, watch=lambda: len(found))
    assert (_sum(found, "old"), _sum(found, "new")) == (20, 20)
    starts = [batch.start for batch in found]
    assert starts == sorted(set(starts)) and all(start == int(start) for start in starts)
    assert {(b.share, b.step, b.seconds) for b in found} == {(500, 3, 1.0)}
    assert all(b.tau == TAU for b in found)
    arms = [batch.side(side) for batch in found for side in ("old", "new")]
    assert all(arm.errors == 0 and arm.probe_failed is None for arm in arms)
    assert all(arm.within[5.0] == arm.requests for arm in arms if arm.requests)


def test_no_period_is_no_batch(source):
    """Less than a whole period between two times."""
    assert source.batches(_asked(100.2, 100.9)) == []


def test_quantiles_that_are_not_known_are_left_out(source):
    """Missing is not zero: of an hour in which nobody asked, nothing is told."""
    assert source.quantiles(1_700_000_000.0) == {}


def test_a_past_that_is_not_known_is_left_out(source):
    """Nothing is told of the dispersion of an hour in which nobody asked."""
    assert source.past(1_700_000_000.0, {"p50": 0.1}) == {}


def test_what_was_answered_has_a_time_and_is_no_error(source, shop):
    """Requests are compared with their times; 4xx are counted, and there are none."""
    asker = Asker(shop)
    asker.ask(3)
    arms = []

    def counted() -> bool:
        until = time.time() - 3
        batches = source.batches(_asked(asker.began - 1, until))
        arms[:] = [batch.side("new") for batch in batches]
        return sum(arm.requests for arm in arms) >= 3

    eventually(counted, "the requests are counted", 120, watch=lambda: len(arms))
    assert all(arm.rejected is not None for arm in arms if arm.requests)
    assert sum(arm.errors for arm in arms) == 0
    if isinstance(source, AccessLog):
        [alone] = by_target(source, time.time() + 120, (1.0, 5.0)).alone.values()
        assert sum(arm.requests for arm in alone.values()) >= 3, "the old side's only target"
