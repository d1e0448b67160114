"""What every fleet promises to a release: hosts, an ECS service, and a command of the user's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kirikae.hosts.ssh import Host
from kirikae.model.project import Check, NewFleet, OldDeployer
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release import gate
from kirikae.release.agent.desired import Recipe
from kirikae.release.agent.place import AgentPlace
from kirikae.release.agent_fleet import AgentFleet
from kirikae.release.command_fleet import CommandFleet
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.errors import NoRelease, NotFinished, NothingBefore
from kirikae.release.fleet import OLD, Fleet
from kirikae.release.gate import Gate
from kirikae.release.hosts_fleet import HostsFleet
from kirikae.release.ledger import Deployed, Ledger, Outcome
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from kirikae.release.way_back import Good
from tests.agents import Agents
from tests.fleet import StandInHosts, StandInService

TASK = {
    "family": "shop",
    "containerDefinitions": [{"name": "app", "image": "{{ must_env `IMAGE_APP` }}"}],
}
COMMAND = """
set -eu
for host in web1 web2; do
    place=hosts/$host/srv/releases/$RELEASE_ID
    mkdir -p "$place"
    tar -C "$place" -xzf "$RELEASE_ARCHIVE"
    echo "$RELEASE_ID" >"$place/RELEASE"
    ln -sfn "$PWD/$place" "hosts/$host/srv/current"
done
"""


class Shop:
    """A service with a store, two hosts and releases r1, r2, r3 and ``broken``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = StandInHosts(folder / "hosts", "web1", "web2")
        store = SqliteStore(folder / "state.db")
        self.ledger = Ledger(store, "test", "shop", "me")
        self.lock = Lock(store, "test", "shop")
        self.releases = Releases(store, "test", "shop", folder / "releases")
        self.at_end = ExitStack()
        for name in ("r1", "r2", "r3", "broken"):
            self._release(name)

    def _release(self, name: str) -> None:
        source = self.folder / "sources" / name
        source.mkdir(parents=True)
        (source / "app").write_text(name)
        if name == "broken":
            (source / "BROKEN").touch()
        self.releases.create(name, source, "me", 1.0)
        self.releases.set_images(name, {"app": name})

    @property
    def members(self) -> list[Host]:
        return [Host(f"ssh://{name}") for name in ("web1", "web2")]

    @property
    def gate(self) -> Gate:
        return Gate(80, [Check(get="/")], "X-Release-Id", 0.5)


@dataclass(frozen=True)
class LentLock:
    """A lock that is held, and asks this right before each change."""

    assert_ours: Callable[[], None]

    @contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        yield self.assert_ours


@dataclass(frozen=True)
class Case:
    """A fleet on which r1 serves, and what really serves on it."""

    fleet: Fleet
    shop: Shop
    serving: Callable[[], set[str | None]]
    goes_back: bool
    """By itself, when a release does not come up."""

    def deploy(self, release: str) -> deploying.Ended:
        return deploying.deploy(release, [self.fleet], self.shop.ledger, self.shop.lock)

    def roll_back(self) -> deploying.Ended:
        return deploying.roll_back([self.fleet], self.shop.ledger, self.shop.lock)


def on_hosts(shop: Shop) -> Case:
    settings = OldDeployer(root="/@HOST@/srv", reload="true", batch=1, patience="1s")
    fleet = HostsFleet(
        shop.members, settings, shop.releases, shop.gate, lambda hosts: None, lambda text: None
    )
    return Case(fleet, shop, lambda: set(shop.hosts.serving()), True)


def on_ecs(shop: Shop) -> Case:
    (shop.folder / "ecs").mkdir()
    (shop.folder / "ecs/ecs-task-def.json").write_text(json.dumps(TASK))
    (shop.folder / "ecs/ecs-service-def.json").write_text("{}")
    service = StandInService(shop.folder / "service.json")
    place = NewFleet(cluster="c", ecs_service="shop", target_group="g")
    fleet = EcsFleet(
        service,  # type: ignore[arg-type]
        place,
        shop.releases,
        shop.folder / "ecs",
        {},
        10,
        lambda text: None,
    )
    return Case(fleet, shop, lambda: {service.serving()}, True)


def by_command(shop: Shop) -> Case:
    fleet = CommandFleet(
        side=OLD,
        command=COMMAND,
        folder=shop.folder,
        environment=os.environ,
        timeout_s=10,
        releases=shop.releases,
        needs_archive=True,
        ledger=shop.ledger,
        hosts=shop.members,
        gate=shop.gate,
        tell=lambda text: None,
    )
    case = Case(fleet, shop, lambda: set(shop.hosts.serving()), False)
    # What a command put there before kirikae was asked, kirikae cannot know.
    case.deploy("r1")
    return case


def by_agents(shop: Shop) -> Case:
    settings = OldDeployer(
        root="/@HOST@/srv", reload="true", patience="1s", agent=str(shop.folder / "place")
    )
    recipe = Recipe(settings, 80, "X-Release-Id", [Check(get="/")])
    agents = Agents(shop.hosts, shop.folder / "place")
    shop.at_end.callback(agents.close)
    agents.start()
    fleet = AgentFleet(
        shop.members,
        recipe,
        shop.releases,
        AgentPlace(agents),
        lambda hosts: None,
        lambda text: None,
    )
    agents.all_told()
    return Case(fleet, shop, lambda: set(shop.hosts.serving()), True)


FLEETS = {"hosts": on_hosts, "ecs": on_ecs, "command": by_command, "agents": by_agents}


@pytest.fixture(params=FLEETS.values(), ids=FLEETS)
def case(request, tmp_path, monkeypatch) -> Iterator[Case]:
    monkeypatch.setattr(gate, "POLL_S", 0.01)
    monkeypatch.setattr("kirikae.release.agent_fleet.POLL_S", 0.01)
    monkeypatch.setattr("kirikae.release.service_deployment.POLL_S", 0.01)
    shop = Shop(tmp_path)
    monkeypatch.setenv("KIRIKAE_SSH", shop.hosts.command)
    with shop.at_end:
        yield request.param(shop)
    shop.hosts.close()


def test_a_release_that_is_done_serves(case):
    """And the ledger tells what ran before it."""
    ended = case.deploy("r2")
    assert ended.trouble is None and case.serving() == {"r2"}
    entry = case.shop.ledger.serving(case.fleet.side)
    assert entry == ended.entries[-1] and entry.release == "r2" and entry.detail
    assert entry.former in ("r1", "shop:1")


def test_what_would_be_done_is_told_and_nothing_is_changed(case):
    """A dry run shows every step and takes none."""
    entries = case.shop.ledger.all()
    steps = case.fleet.steps("r2")
    assert steps and all(step.says and step.operation for step in steps)
    assert case.serving() == {"r1"} and case.shop.ledger.all() == entries


def test_what_ran_before_is_written_down_ahead_of_the_first_change(case):
    """A deploy that is killed at its first change can still be taken back."""
    noted: list[Deployed] = []

    def look_and_stop() -> None:
        noted.append(case.shop.ledger.all()[-1])
        raise NotFinished("the lock is lost")

    ended = deploying.deploy("r2", [case.fleet], case.shop.ledger, LentLock(look_and_stop))
    assert "lock is lost" in str(ended.trouble) and case.serving() == {"r1"}
    assert noted[0].former in ("r1", "shop:1") and noted[0].outcome is Outcome.DEPLOYING


def test_the_same_release_once_more_changes_nothing_that_matters(case):
    """It still serves, and what a rollback puts back is what ran before the first time."""
    case.deploy("r2")
    before = case.shop.ledger.serving(case.fleet.side)
    assert case.deploy("r2").trouble is None and case.serving() == {"r2"}
    again = case.shop.ledger.serving(case.fleet.side)
    assert again.previous == before.previous
    assert case.roll_back().trouble is None and case.serving() == {"r1"}


def test_a_release_that_does_not_come_up_is_never_called_done(case):
    """Taken back, or said that somebody must look; the ledger has it so."""
    case.deploy("r2")
    ended = case.deploy("broken")
    assert ended.trouble is not None
    wanted = Outcome.ROLLED_BACK if case.goes_back else Outcome.NOT_FINISHED
    assert ended.entries[-1].outcome is wanted and ended.entries[-1].detail == str(ended.trouble)
    assert case.serving() == ({"r2"} if case.goes_back else {"broken"})
    assert case.shop.ledger.serving(case.fleet.side).release == "r2"


def test_what_ran_before_is_put_back(case):
    """And once more: what was taken back is what ran before."""
    case.deploy("r2")
    case.deploy("r3")
    assert case.roll_back().trouble is None and case.serving() == {"r2"}
    assert case.roll_back().trouble is None and case.serving() == {"r3"}


def test_nothing_is_put_back_where_the_ledger_knows_nothing_before(case):
    """Refused before the lock, the ledger or a fleet is touched."""
    entries = case.shop.ledger.all()
    with pytest.raises(NothingBefore, match="the ledger knows n"):
        case.roll_back()
    with pytest.raises((NothingBefore, NoRelease)):
        case.fleet.assert_can_go_back(Good("never-was"))
    assert case.serving() == {"r1"} and case.shop.ledger.all() == entries


def test_a_lost_lock_stops_before_the_next_change(case):
    """Also on the way back."""
    case.deploy("r2")

    def lost() -> None:
        raise NotFinished("the lock is lost")

    for ended in (
        deploying.deploy("r3", [case.fleet], case.shop.ledger, LentLock(lost)),
        deploying.roll_back([case.fleet], case.shop.ledger, LentLock(lost)),
    ):
        assert isinstance(ended.trouble, NotFinished)
        assert ended.entries[-1].outcome is Outcome.NOT_FINISHED
    assert case.serving() == {"r2"}
