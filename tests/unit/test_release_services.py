"""Several services of the new fleet get one release, each with its own entry, outcome and way
back."""

from __future__ import annotations

import json

import pytest

from kirikae.console import release as console
from kirikae.console.kinds import read_project
from kirikae.model.errors import ProjectProblem, UsageProblem
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import service_deployment
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.errors import NothingBefore
from kirikae.release.fleet import ServicePlace, asked_as, further
from kirikae.release.fleets import fleets_of
from kirikae.release.ledger import Ledger
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from kirikae.release.status import standing
from tests.fleet import StandInService, around_of

TEXT = """
service: shop
environment: test
account: "123456789012"
region: eu-west-1
fleets:
  old: {target_group: old}
  new:
    cluster: c
    ecs_service: web
    target_group: new
    services:
      worker: {definitions: worker/}
      api: {definitions: api/, target_group: api}
"""


@pytest.fixture
def project():
    return read_project(TEXT, "kirikae.yml")


class Shop:
    """Three services, each on an ECS of its own."""

    def __init__(self, folder, project):
        self.services = {}
        self.store = SqliteStore(folder / "s.db")
        self.ledger = Ledger(self.store, "test", "shop", "me")
        self.project = project
        releases = Releases(self.store, "test", "shop", folder / "releases")
        self.fleets = {}
        for name in ("web", "worker", "api"):
            place = folder / name
            place.mkdir()
            (place / "ecs-service-def.json").write_text("{}")
            self.services[name] = StandInService(place / "aws.json")
            self.define(place, "{{ must_env `RELEASE_ID` }}")
            side = "new" if name == "web" else further(name)
            group = None if name == "worker" else name
            self.fleets[side] = EcsFleet(
                self.services[name],
                ServicePlace("c", name, group),
                releases,
                place,
                {},
                5,
                lambda text: None,
                side,
            )
        around = around_of(folder, self.ledger)
        lock = Lock(self.store, "test", "shop")
        self.desk = console.ReleaseDesk(project, None, self.ledger, lock, self, around)

    def define(self, place, image):
        task = {"family": place.name, "containerDefinitions": [{"name": "app", "image": image}]}
        (place / "ecs-task-def.json").write_text(json.dumps(task))

    def of(self, side):
        return self.fleets[side]

    def serving(self):
        return {name: each.serving() for name, each in self.services.items()}

    def deploy(self, release, *services):
        sides = fleets_of(self.project, ["new"], services)
        return console.deployed(self.desk, release, sides, dry_run=False)

    def roll_back(self, *services):
        sides = fleets_of(self.project, ["new"], services)
        return console.rolled_back(self.desk, sides, dry_run=False)


@pytest.fixture
def shop(tmp_path, project, monkeypatch):
    monkeypatch.setattr(service_deployment, "POLL_S", 0.001)
    return Shop(tmp_path, project)


def test_every_service_gets_the_release_unless_some_are_named(shop):
    """In the order of the file, or in the order in which they were named."""
    answer = shop.deploy("r2")
    assert (answer.exit, shop.serving()) == (0, {"web": "r2", "worker": "r2", "api": "r2"})
    fleets = [entry["fleet"] for entry in answer.plain["entries"]]
    assert fleets == ["new", "new/worker", "new/api"]
    answer = shop.deploy("r3", "api", "web")
    assert shop.serving() == {"web": "r3", "worker": "r2", "api": "r3"}
    assert [entry["fleet"] for entry in answer.plain["entries"]] == ["new/api", "new"]


def test_a_service_that_fails_goes_back_and_the_next_is_not_begun(shop, tmp_path):
    """Each has an outcome of its own in the answer and in the ledger."""
    shop.deploy("r2")
    shop.define(tmp_path / "worker", "broken")
    answer = shop.deploy("r3")
    assert answer.exit == 4
    found = {entry["fleet"]: entry["outcome"] for entry in answer.plain["entries"]}
    assert found == {"new": "done", "new/worker": "rolled back"}
    assert shop.serving() == {"web": "r3", "worker": "r2", "api": "r2"}


def test_each_service_goes_back_to_what_it_ran_itself(shop):
    """One that never got another release names the command that gives it one."""
    shop.deploy("r2")
    shop.deploy("r3", "worker")
    assert shop.roll_back("worker").exit == 0
    assert shop.serving() == {"web": "r2", "worker": "r2", "api": "r2"}
    assert asked_as("new/worker") == "--to new --service worker" and asked_as("old") == "--to old"


def test_a_service_that_the_ledger_does_not_know_is_named_before_anything_changes(shop):
    """And none goes back."""
    shop.deploy("r2", "web")
    shop.deploy("r3", "web")
    with pytest.raises(NothingBefore, match="deploy ID --to new --service worker"):
        shop.roll_back()
    assert shop.serving()["web"] == "r3"


def test_a_service_that_is_not_in_the_project_file_is_refused(project):
    """So is naming services of a fleet that is not meant."""
    with pytest.raises(UsageProblem, match="the project file knows web, worker, api"):
        fleets_of(project, ["new"], ["wroker"])
    with pytest.raises(UsageProblem, match="add it: --to new"):
        fleets_of(project, ["old"], ["web"])
    assert fleets_of(project, ["old", "new"]) == ["old", "new", "new/worker", "new/api"]
    with pytest.raises(ProjectProblem, match="which is `ecs_service` already"):
        read_project(TEXT.replace("worker:", "web:"), "kirikae.yml")


def test_the_status_tells_every_service(shop, project):
    """Also one that is not there yet."""
    shop.deploy("r2")

    class Answering:
        def client(self, _):
            return self

        def describe_services(self, services, **_):
            name = services[0]
            if name == "api":
                return {"services": []}
            return shop.services[name].describe_services()

    for name in shop.services:
        shop.services[name].describe_services()
    for name in ("web", "worker"):
        state = json.loads(shop.services[name]._file.read_text())
        state["service"] |= {"runningCount": 1, "desiredCount": 1}
        shop.services[name]._file.write_text(json.dumps(state))
    found = console.shown(standing(project, Answering(), shop.ledger))
    assert found.lines[-3:] == [
        "the service runs web:2: 1 of 1 tasks",
        "the service worker runs worker:2: 1 of 1 tasks",
        "the new fleet has no active service api yet",
    ]
    assert found.plain["services"]["api"] is None
    assert found.plain["services"]["worker"]["runningCount"] == 1
    later = console.served_at(shop.ledger, 4e9, fleets_of(project, ["old", "new"]))
    assert later.plain["served"]["new/worker"]["release"] == "r2"
