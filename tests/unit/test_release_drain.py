"""A host whose reload drops requests gets none while it reloads, and is never left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kirikae.hosts.ssh import Host
from kirikae.model.project import Check, OldDeployer
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import balancer, gate
from kirikae.release import deploy as deploying
from kirikae.release import drain as drains
from kirikae.release.balancer import Balancer
from kirikae.release.drain import Drain
from kirikae.release.errors import InTheWay, NotFinished, RolledBack
from kirikae.release.gate import Gate
from kirikae.release.hosts_fleet import HostsFleet
from kirikae.release.ledger import Ledger
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from tests.answering import AnsweringAws
from tests.fleet import StandInHosts

GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/old/1"
ADDRESSES = {"web1": ["10.0.0.1", "172.17.0.1"], "web2": ["10.0.0.2"]}


class Group:
    """A target group: web1 by its instance, web2 by its address.  A target drains for one look."""

    def __init__(self):
        self.states = {("i-1", 80): "healthy", ("10.0.0.2", 80): "healthy"}
        self.acts = []
        self.stuck = False

    @property
    def answers(self):
        row = {"TargetGroupArn": GROUP}
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "30"}
        instance = {"InstanceId": "i-1", "PrivateIpAddress": "10.0.0.1"}
        return {
            "DescribeTargetGroups": {"TargetGroups": [row]},
            "DescribeTargetGroupAttributes": {"Attributes": [delay]},
            "DescribeTargetHealth": self.look,
            "DescribeInstances": {"Reservations": [{"Instances": [instance]}]},
            "DeregisterTargets": self.deregister,
            "RegisterTargets": self.register,
        }

    def look(self, _):
        rows = [
            {"Target": {"Id": name, "Port": port}, "TargetHealth": {"State": state}}
            for (name, port), state in self.states.items()
        ]
        for place, state in list(self.states.items()):
            if state == "initial":
                self.states[place] = "healthy"
            if state == "draining" and not self.stuck:
                del self.states[place]
        return {"TargetHealthDescriptions": rows}

    def deregister(self, asked):
        for target in asked["Targets"]:
            place = (target["Id"], target["Port"])
            self.acts.append(("out", target["Id"]))
            if place in self.states:
                self.states[place] = "draining"
        return {}

    def register(self, asked):
        for target in asked["Targets"]:
            self.acts.append(("back", target["Id"]))
            self.states[(target["Id"], target["Port"])] = "initial"
        return {}


class Shop:
    def __init__(self, folder, monkeypatch, **settings):
        for module in (gate, balancer, drains):
            monkeypatch.setattr(module, "POLL_S", 0.001)
        self.hosts = StandInHosts(folder / "hosts", "web1", "web2")
        monkeypatch.setenv("KIRIKAE_SSH", self.hosts.command)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        self.group = Group()
        aws = AnsweringAws(self.group.answers)
        self.store = SqliteStore(folder / "s.db")
        self.ledger = Ledger(self.store, "test", "shop", "me")
        releases = Releases(self.store, "test", "shop", folder / "releases")
        for name in ("r2", "broken"):
            source = folder / name
            source.mkdir()
            (source / "app").write_text(name)
            if name == "broken":
                (source / "BROKEN").touch()
            releases.create(name, source, "me", 1.0)
        self.told = []
        self.drain = Drain(
            aws, "old", self.store, "test/shop", self.told.append, lambda h: ADDRESSES[h.name]
        )
        settings = {"batch": 1, "patience": "1s", **settings}
        self.fleet = HostsFleet(
            [Host("ssh://web1"), Host("ssh://web2")],
            OldDeployer(root="/@HOST@/srv", reload="true", drain=True, **settings),
            releases,
            Gate(80, [Check(get="/")], "X-Release-Id", 0.3),
            Balancer(aws, "old").wait_until_healthy,
            self.told.append,
            drain=self.drain,
        )

    def deploy(self, release):
        lock = Lock(self.store, "test", "shop")
        return deploying.deploy(release, [self.fleet], self.ledger, lock)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    made = Shop(tmp_path, monkeypatch)
    yield made
    made.hosts.close()


OUT_AND_BACK = [("out", "i-1"), ("back", "i-1"), ("out", "10.0.0.2"), ("back", "10.0.0.2")]


def test_each_host_is_out_while_it_reloads_and_healthy_before_the_next_is(shop):
    """By instance or by address, as it was registered."""
    steps = shop.fleet.steps("r2")
    assert "take it out of the target group; switch" in steps[0].says
    assert shop.group.acts == []
    assert shop.deploy("r2").trouble is None
    assert shop.group.acts == OUT_AND_BACK
    assert set(shop.group.states.values()) == {"healthy"}
    assert set(shop.hosts.serving()) == {"r2"}


def test_a_release_that_does_not_pass_is_taken_back_while_the_host_is_out(shop):
    """It is put back with what served before."""
    ended = shop.deploy("broken")
    assert isinstance(ended.trouble, RolledBack)
    assert shop.group.acts == [("out", "i-1"), ("out", "i-1"), ("back", "i-1")]
    assert set(shop.hosts.serving()) == {"r1"} and len(shop.group.states) == 2


@pytest.mark.parametrize("name", ["web1", "web2"])
def test_a_host_that_a_killed_deploy_left_out_is_put_back_by_the_next(shop, name):
    """First of all, with whatever release: what it was is written down before it is taken out."""
    shop.drain.out(Host(f"ssh://{name}"))
    assert len(shop.group.states) == 1
    [(_, first)] = shop.group.acts
    shop.group.acts.clear()
    assert shop.deploy("r2").trouble is None
    assert shop.group.acts[:2] == [("out", first), ("back", first)]
    assert sorted(shop.group.acts) == sorted(OUT_AND_BACK)
    assert shop.group.states == {("i-1", 80): "healthy", ("10.0.0.2", 80): "healthy"}


def test_nobody_is_taken_out_where_nobody_else_serves(shop):
    """Told before any host is touched; going back is worth a dropped request."""
    assert shop.deploy("r2").trouble is None
    shop.group.states["10.0.0.2", 80] = "unhealthy"
    shop.group.acts.clear()
    with pytest.raises(InTheWay, match="without web1 no target of old would be healthy"):
        shop.deploy("broken")
    assert shop.group.acts == [] and set(shop.hosts.serving()) == {"r2"}
    fleet = replace(shop.fleet, healthy=lambda _: None)
    lock = Lock(shop.store, "test", "shop")
    assert deploying.roll_back([fleet], shop.ledger, lock).trouble is None
    assert set(shop.hosts.serving()) == {"r1"}
    assert shop.group.acts == [("out", "10.0.0.2"), ("back", "10.0.0.2")]


def test_a_batch_of_all_hosts_is_refused(tmp_path, monkeypatch):
    """They would be out at the same time."""
    shop = Shop(tmp_path, monkeypatch, batch=2)
    with pytest.raises(InTheWay, match="without web1, web2 no target of old would be healthy"):
        shop.fleet.steps("r2")
    shop.hosts.close()


def test_a_host_that_is_no_target_is_named(shop, monkeypatch):
    """With its addresses."""
    monkeypatch.setitem(ADDRESSES, "web2", ["10.9.9.9"])
    with pytest.raises(InTheWay, match=r"web2 \(10\.9\.9\.9\) is no target of old"):
        shop.fleet.steps("r2")


def test_a_target_that_never_ends_draining_is_no_success(shop):
    """Its delay and a minute more."""
    shop.group.stuck = True
    moments = iter(range(0, 1000, 10))
    slow = Drain(
        shop.drain.aws,
        "old",
        shop.store,
        "test/shop",
        shop.told.append,
        shop.drain.addresses,
        lambda: next(moments),
    )
    with pytest.raises(NotFinished, match="web1 still drains after 30 s"):
        slow.out(Host("ssh://web1"))
