"""A move by DNS: the TTL is lowered ahead, the simple record becomes two weighted ones at once,
back-out says how long it takes."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kirikae.traffic.weights import record_weights_for
from tests.e2e.test_command_line import PROJECT, User
from tests.e2e.waits import at_this_pace, until_share
from tests.pace import ended, eventually
from tests.shop import Shop

pytestmark = pytest.mark.engine
TTL_S = 6
LATE_S = 3
"""More than the project file's `lateness` of 2 s."""


class Resolvers:
    """Users whose resolvers ask Route 53, keep an answer for its TTL, and draw by weight as Route
    53 does."""

    def __init__(self, zone: str, route53: Any, ports: dict[str, int]) -> None:
        self._zone = zone
        self._route53 = route53
        self._ports = ports
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(4)
        ]

    def __enter__(self) -> Resolvers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _run(self, seed: int) -> None:
        rng = random.Random(seed)
        until = 0.0
        port = 0
        while not self._stop.is_set():
            if time.monotonic() >= until:
                records = self._route53.list_resource_record_sets(HostedZoneId=self._zone)[
                    "ResourceRecordSets"
                ]
                mine = [r for r in records if r["Type"] == "CNAME"]
                record = rng.choices(mine, [r.get("Weight", 1) for r in mine])[0]
                until = time.monotonic() + min(record["TTL"], 1)
                port = self._ports[record["ResourceRecords"][0]["Value"]]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                    self.answers[answer.read().decode().strip()] += 1
            except OSError as error:
                self.failures.append(repr(error))
            time.sleep(0.03)


class Pinned:
    """A resolver that keeps the old address far beyond the TTL: it asks the old side until it is
    left, however long a busy machine takes for what happens meanwhile."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Pinned:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/", timeout=60).read()


def requests_lately(local: Any, shop: Shop) -> float:
    """What the old side's target group answered in five seconds, as CloudWatch has it, up to the
    moment that kirikae looks at: what came within `lateness` is not known to it yet."""
    now = datetime.now(UTC) - timedelta(seconds=LATE_S)
    group = shop.groups["a"].partition("targetgroup/")[2]
    metric = {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "RequestCount",
        "Dimensions": [{"Name": "TargetGroup", "Value": f"targetgroup/{group}"}],
    }
    asked = [{"Id": "q", "MetricStat": {"Metric": metric, "Period": 1, "Stat": "Sum"}}]
    found = local.client("cloudwatch").get_metric_data(
        StartTime=now - timedelta(seconds=5), EndTime=now, MetricDataQueries=asked
    )
    return float(sum(found["MetricDataResults"][0]["Values"]))


def test_a_move_by_dns(local: Any, tmp_path: Path) -> None:
    """The whole way and back: no request lost, records changed all at once, the former TTL waited
    for."""
    old = Shop(local, "dnsold")
    new = Shop(local, "dnsnew")
    new.weigh(0, 1)
    old.serve("a", "shop r1", 1)
    old.complete("a")
    user = User(tmp_path, local, new)
    project = PROJECT.format(name="dnsnew", account="123456789012", contains="shop", advance="auto")
    record = "record: {zone: example.com, name: shop.example.com, new: new.internal, ttl: 1s}"
    project = (
        project.replace('plan: ["10%", "50%", "100%"]', 'plan: ["50%", "100%"]')
        .replace("target_group: dnsnew-a", "target_group: dnsold-a")
        .replace("listener_rule: dnsnew/main", record)
    )
    (tmp_path / "kirikae.yml").write_text(at_this_pace(project))
    route53 = local.client("route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="x")["HostedZone"][
        "Id"
    ].rpartition("/")[2]

    def records() -> dict[str, Any]:
        found = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return {
            r.get("SetIdentifier", ""): (r.get("Weight"), r["TTL"])
            for r in found
            if r["Type"] == "CNAME"
        }

    simple = {
        "Name": "shop.example.com",
        "Type": "CNAME",
        "TTL": TTL_S,
        "ResourceRecords": [{"Value": "old.internal"}],
    }
    route53.change_resource_record_sets(
        HostedZoneId=zone,
        ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": simple}]},
    )
    assert user.run("release", "deploy", "r2", "--to", "new")[0] == 0
    with Resolvers(zone, route53, {"old.internal": old.port, "new.internal": new.port}) as users:
        driver = user.begin("move", "start", "web")
        began = time.monotonic()
        until_share(user, "50%")
        assert time.monotonic() - began >= TTL_S, "the former TTL was not waited for"
        assert records() == {"kirikae-old": (1, 1), "kirikae-new": (1, 1)}
        assert "a back-out is not at once" in user.run("move", "status", "web")[1]
        code, out, _ = user.run("back-out", "web", "--reason", "smoke")
        assert (
            code == 4
            and "keep it for up to 1 s" in out
            and records() == {"kirikae-old": (255, 1), "kirikae-new": (0, 1)}
        )
        assert ended(driver) == 4
        assert user.run("move", "resume", "web")[0] == 0
        code, out, err = user.run("move", "start", "web")
        assert code == 0, (out, err)
        assert records() == {"kirikae-old": (0, 1), "kirikae-new": (255, 1)}
        with Pinned(old.port):
            eventually(lambda: requests_lately(local, old) > 0, "its requests are in the figures")
            code, _, err = user.run("move", "retire", "web")
        assert code == 1 and "dnsold-a answered" in err, "ten TTLs without a request are asked for"
        eventually(lambda: user.run("move", "retire", "web")[0] == 0, "nobody asks any more", 40)
        assert "a simple record again" in (tmp_path / "removal-web.md").read_text()
    assert (
        users.failures == [] and users.answers["shop r1"] > 100 and users.answers["shop r2"] > 100
    )
    history = [
        json.loads(line) for line in user.run("move", "history", "web", "--json")[1].splitlines()
    ]
    assert any("ChangeResourceRecordSets" in r for h in history for r in h["requests"])


@pytest.mark.parametrize("share", [4, 7, 10, 50, 137, 250, 333, 500, 777, 996])
def test_weights_of_records_give_the_share_exactly(share):
    """The smallest pair of weights that reads back as the same permille."""
    old, new = record_weights_for(share)
    assert max(old, new) <= 255 and round(1000 * new / (old + new)) == share


def test_every_share_that_dns_can_give_is_given_and_the_others_are_refused():
    """0.4% to 99.6%."""
    assert all(record_weights_for(share) for share in range(4, 997))
    for share in (1, 3, 997, 999):
        with pytest.raises(ValueError, match="least share"):
            record_weights_for(share)
