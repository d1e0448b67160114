"""Whoever puts a release onto ECS, kirikae itself finds out how it ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kirikae.console.kinds import read_project
from kirikae.model.errors import ProjectProblem
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release import service_deployment
from kirikae.release.codedeploy_fleet import CodeDeployFleet
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.ecspresso_fleet import EcspressoFleet
from kirikae.release.errors import DefinitionProblem, NoDeployer, NotFinished, RolledBack
from kirikae.release.fleet import ServicePlace
from kirikae.release.fleets import Fleets
from kirikae.release.ledger import Ledger
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from tests.fleet import StandInService

PROJECT = """
service: shop
environment: test
account: "123456789012"
region: eu-west-1
fleets:
  old: {target_group: old}
  new: {cluster: c, ecs_service: shop, target_group: new, deployer: {DEPLOYER}}
"""
ECSPRESSO = """#!{python}
import json, os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.fleet import StandInService
assert sys.argv[1:] == ["deploy", "--config", "ecspresso.yml", "--no-wait"], sys.argv
print("deploying", os.environ["RELEASE_ID"], "at", os.environ["TARGET_GROUP_ARN"][:3])
how = Path("how").read_text()
if how == "fails":
    sys.exit("no such role")
if how != "idle":
    service = StandInService(Path("service.json"))
    image = "broken" if how == "broken" else os.environ["RELEASE_ID"]
    rows = [{{"image": image}}]
    made = service.register_task_definition(family="shop", containerDefinitions=rows)
    service.update_service(made["taskDefinition"]["taskDefinitionArn"])
"""


class Shop:
    """A service, its files, and a binary that does what ``how`` says."""

    def __init__(self, folder, monkeypatch):
        monkeypatch.setattr(service_deployment, "POLL_S", 0.001)
        self.folder = folder
        binary = folder / "ecspresso"
        root = str(Path(__file__).parents[2])
        binary.write_text(ECSPRESSO.format(python=sys.executable, root=root))
        binary.chmod(0o755)
        task = {"family": "shop", "containerDefinitions": [{"name": "app", "image": "x"}]}
        (folder / "task.json").write_text(json.dumps(task))
        (folder / "service-def.json").write_text("{}")
        (folder / "ecspresso.yml").write_text(
            "cluster: c\nservice: shop\ntask_definition: task.json\n"
            "service_definition: service-def.json\n"
        )
        self.aws = StandInService(folder / "service.json")
        self.store = SqliteStore(folder / "s.db")
        self.ledger = Ledger(self.store, "test", "shop", "me")
        self.releases = Releases(self.store, "test", "shop", folder / "releases")
        self.told = []
        place = ServicePlace("c", "shop", "new")
        self.ours = EcsFleet(
            self.aws, place, self.releases, folder, {"PATH": str(folder)}, 5, self.told.append
        )
        self.fleet = EcspressoFleet(self.ours, "ecspresso")

    def deploy(self, release, how="well"):
        (self.folder / "how").write_text(how)
        lock = Lock(self.store, "test", "shop")
        return deploying.deploy(release, [self.fleet], self.ledger, lock)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    return Shop(tmp_path, monkeypatch)


def test_ecspresso_deploys_and_kirikae_tells_how_it_ended(shop):
    """Done is done by ECS's word, the ledger has the revision, and its output is kept and told."""
    [step] = shop.fleet.steps("r2")
    assert step.says.startswith("run `ecspresso deploy --config ecspresso.yml --no-wait`")
    ended = shop.deploy("r2")
    assert ended.trouble is None and shop.aws.serving() == "r2"
    assert ended.entries[0].detail.endswith("shop:2")
    assert "deploying r2 at arn" in shop.told
    log = shop.releases.log_file("r2", "ecspresso")
    assert log.read_text() == "deploying r2 at arn\n" and log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("broken", RolledBack, "the deployment failed"),
        ("idle", NotFinished, "ECS has begun no deployment of shop: the service is as it was"),
        ("fails", NotFinished, "exit code 1; it said last: deploying r3 at arn | no such role"),
    ],
)
def test_what_ecspresso_s_exit_code_does_not_tell_is_told(shop, how, kind, says):
    """It ends with 0 in two of these, and the former release serves after each."""
    shop.deploy("r2")
    ended = shop.deploy("r3", how)
    assert isinstance(ended.trouble, kind) and says in str(ended.trouble)
    assert shop.aws.serving() == "r2"
    again = shop.deploy("r3")
    assert again.trouble is None and shop.aws.serving() == "r3"


def test_going_back_takes_what_was_done_before_and_not_what_was_registered(shop):
    """A revision that failed lies between both."""
    shop.deploy("r2")
    shop.deploy("r3")
    shop.deploy("r4", "broken")
    lock = Lock(shop.store, "test", "shop")
    assert deploying.roll_back([shop.fleet], shop.ledger, lock).trouble is None
    assert shop.aws.serving() == "r3"


def test_what_is_missing_is_told_before_anything_changes(shop):
    """The binary, or its configuration."""
    nowhere = EcspressoFleet(shop.ours, "ecspresso3 --debug")
    with pytest.raises(NoDeployer, match="ecspresso3 is not found in PATH"):
        nowhere.steps("r2")
    (shop.folder / "ecspresso.yml").unlink()
    with pytest.raises(DefinitionProblem, match="ecspresso needs its configuration there"):
        shop.fleet.steps("r2")


def fleets(deployer, folder):
    text = PROJECT.replace("DEPLOYER", deployer)
    project = read_project(text, "kirikae.yml")
    return Fleets(project, None, None, None, folder, {}, 10, lambda text: None)


def test_the_project_file_names_one_deployer(tmp_path):
    """Two of them, or none, are refused."""
    found = fleets("ecspresso: ecspresso --debug", tmp_path).of("new")
    assert isinstance(found, EcspressoFleet) and found.command == "ecspresso --debug"
    driven = fleets("codedeploy: {application: a, group: g}", tmp_path).of("new")
    assert isinstance(driven, CodeDeployFleet) and driven.settings.group == "g"
    for wrong in (
        "ecspresso: x, command: y",
        "",
        "codedeploy: {application: a, group: g}, command: y",
    ):
        with pytest.raises(ProjectProblem, match="give one of"):
            fleets(wrong, tmp_path)
