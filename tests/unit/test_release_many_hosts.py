"""A release on many hosts: batch by batch, hosts that are down told and left out, and caught up by
the same command."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kirikae.hosts.errors import HostSilent
from kirikae.hosts.ssh import Host
from kirikae.model.project import Check, OldDeployer
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release import gate
from kirikae.release.errors import NotFinished
from kirikae.release.gate import Gate
from kirikae.release.hosts_fleet import HostsFleet
from kirikae.release.ledger import Ledger, Outcome
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from tests.fleet import StandInHosts


class Fleet:
    def __init__(self, folder, many, monkeypatch, **settings):
        names = [f"web{number:03}" for number in range(many)]
        self.hosts = StandInHosts(folder / "hosts", *names)
        monkeypatch.setenv("KIRIKAE_SSH", self.hosts.command)
        monkeypatch.setattr(gate, "POLL_S", 0.01)
        self.store = SqliteStore(folder / "s.db")
        self.ledger = Ledger(self.store, "test", "shop", "me")
        releases = Releases(self.store, "test", "shop", folder / "releases")
        source = folder / "source"
        source.mkdir()
        (source / "app").write_text("r2")
        releases.create("r2", source, "me", 1.0)
        self.told = []
        self.rests = []
        deployer = OldDeployer(root="/@HOST@/srv", reload="true", **settings)
        self.fleet = HostsFleet(
            [Host(f"ssh://{name}") for name in names],
            deployer,
            releases,
            Gate(80, [Check(get="/")], "X-Release-Id", 30),
            lambda _: None,
            self.told.append,
            sleep=self.rests.append,
        )

    def deploy(self):
        lock = Lock(self.store, "test", "shop")
        return deploying.deploy("r2", [self.fleet], self.ledger, lock)

    def silence(self, *names, silent=True):
        for name in names:
            file = self.hosts.folder / name / "silent"
            file.touch() if silent else file.unlink()


@pytest.mark.parametrize("many", [10, pytest.param(100, marks=pytest.mark.prove)])
def test_hosts_that_are_down_are_told_and_left_out_and_caught_up(tmp_path, monkeypatch, many):
    """Two of them; in batches, with a rest between two."""
    world = Fleet(tmp_path, many, monkeypatch, batch=max(4, many // 4), silent=2, pause="7s")
    down = [f"web{number:03}" for number in (1, many - 1)]
    world.silence(*down)
    ended = world.deploy()
    assert isinstance(ended.trouble, NotFinished) and ended.trouble.exit == 3
    assert f"r2 serves on {many - 2} of {many} hosts; {', '.join(down)}" in str(ended.trouble)
    serving = dict(zip(world.hosts.names, world.hosts.serving(), strict=True))
    assert {name for name, release in serving.items() if release != "r2"} == set(down)
    size = max(4, many // 4)
    assert world.rests == [7] * (-(-(many - 2) // size) - 1)
    world.silence(*down, silent=False)
    assert world.deploy().trouble is None
    assert set(world.hosts.serving()) == {"r2"}
    assert [entry.outcome for entry in world.ledger.all()] == [Outcome.NOT_FINISHED, Outcome.DONE]
    world.hosts.close()


def test_one_silent_host_more_than_may_be_stops_it_before_anything_changes(tmp_path, monkeypatch):
    world = Fleet(tmp_path, 3, monkeypatch, silent=1)
    world.silence("web000", "web002")
    with pytest.raises(HostSilent):
        world.deploy()
    assert world.ledger.all() == [] and set(world.hosts.serving()) == {"r1"}
    world.hosts.close()


def test_two_deploys_at_once_one_is_refused_or_waits_its_turn(tmp_path, monkeypatch):
    """Never both: the fleet ends on one release, and the ledger says which."""
    world = Fleet(tmp_path, 2, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        ways = [pool.submit(world.deploy) for _ in range(2)]
        troubles = [way.exception() for way in ways]
    refused = [trouble for trouble in troubles if trouble is not None]
    assert len(refused) <= 1 and all(trouble.exit == 5 for trouble in refused)
    assert world.hosts.serving() == ["r2", "r2"]
    done = [entry for entry in world.ledger.all() if entry.outcome is Outcome.DONE]
    assert len(done) == 2 - len(refused)
    world.hosts.close()
