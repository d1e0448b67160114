"""Auto scaling around a deploy: suspended, resumed and given other bounds as ecspresso's flags say,
and never suspended in silence."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from kirikae.console import policy
from kirikae.console import release as console
from kirikae.console.kinds import read_project
from kirikae.model.errors import Exit, UsageProblem
from kirikae.release import service_deployment
from kirikae.release.fleet import ServicePlace
from kirikae.release.fleets import Fleets
from kirikae.release.scaling import Asked, rescaling, suspended
from tests.answering import AnsweringAws, Refusal
from tests.fleet import StandInService, around_of
from tests.unit.test_capacity_apply import Client
from tests.unit.test_local_scaling import NOON, World
from tests.unit.test_release import work

PLACE = ServicePlace("c", "shop", None)
KEYS = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
AWAKE = dict.fromkeys(KEYS, False)
ASLEEP = dict.fromkeys(KEYS, True)
PARTLY = {**AWAKE, "ScheduledScalingSuspended": True}
PROJECT = """
service: shop
environment: test
account: "123456789012"
region: eu-west-1
fleets:
  old: {target_group: old}
  new: {cluster: c, ecs_service: shop, target_group: new, definitions: ecs/%s}
"""


class Scaled:
    """A service with a scalable target; its deploys are the verb's own."""

    def __init__(self, folder, state, deployer=""):
        (folder / "ecs").mkdir()
        (folder / "ecs/ecs-task-def.json").write_text(
            '{"family": "shop", "containerDefinitions": [{"name": "app", "image": "x"}]}'
        )
        (folder / "ecs/ecs-service-def.json").write_text("{}")
        self.service = StandInService(folder / "service.json")
        if state is not None:
            self.service.register_scalable_target(
                MinCapacity=2, MaxCapacity=6, SuspendedState=state
            )
        ledger, lock = work(folder)
        project = read_project(PROJECT % deployer, "kirikae.yml")
        releases = SimpleNamespace(images=lambda _: {}, find=lambda _: None)
        fleets = Fleets(project, self.service, releases, ledger, folder, {}, 5, lambda _: None)
        self.desk = console.ReleaseDesk(
            project,
            None,
            ledger,
            lock,
            fleets,
            around_of(folder, ledger),
            lambda sides: [suspended(self.service, place) for place in fleets.places(sides)],
        )

    def deploy(self, dry_run=False, **asked):
        return console.deployed(self.desk.scaling(Asked(**asked)), "r2", ["new"], dry_run)

    @property
    def target(self):
        [found] = self.service.describe_scalable_targets()["ScalableTargets"]
        return found


@pytest.fixture(autouse=True)
def no_target_group(monkeypatch):
    monkeypatch.setattr(service_deployment, "POLL_S", 0.001)
    group = SimpleNamespace(arn="arn:group")
    monkeypatch.setattr("kirikae.aws.elbv2.target_group", lambda *_: group)


@pytest.mark.parametrize(
    ("state", "asked", "after"),
    [
        (AWAKE, {"suspended": True}, ASLEEP),
        (PARTLY, {"suspended": True}, ASLEEP),
        (ASLEEP, {"suspended": False}, AWAKE),
        (PARTLY, {"suspended": False}, AWAKE),
        (ASLEEP, {}, ASLEEP),
        (PARTLY, {"least": 3}, PARTLY),
    ],
)
def test_a_deploy_suspends_and_resumes_what_it_is_asked_to(tmp_path, state, asked, after):
    """A state that somebody made before is left alone unless it is asked for."""
    scaled = Scaled(tmp_path, state)
    assert scaled.deploy(**asked).exit is Exit.DONE
    assert scaled.target["SuspendedState"] == after
    assert scaled.target["MinCapacity"] == asked.get("least", 2)


def test_the_dry_run_says_each_call_with_what_was_before_and_calls_none(tmp_path):
    """Ahead of the service's update, where ecspresso has it."""
    scaled = Scaled(tmp_path, PARTLY)
    answer = scaled.deploy(dry_run=True, suspended=True, least=3, most=9)
    [_, scales, updates] = answer.plain["steps"]
    assert updates["operation"] == "UpdateService"
    assert scales["operation"] == "RegisterScalableTarget"
    assert "(before: suspended: scheduled scaling)" in scales["says"]
    assert "least tasks of auto scaling of service/c/shop to 3 (before: 2)" in scales["says"]
    assert scales["parameters"] == {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/c/shop",
        "ScalableDimension": "ecs:service:DesiredCount",
        "MinCapacity": 3,
        "MaxCapacity": 9,
        "SuspendedState": ASLEEP,
    }
    assert (scaled.target["SuspendedState"], scaled.target["MinCapacity"]) == (PARTLY, 2)


def test_what_is_so_already_is_not_called_for(tmp_path):
    """So that a run again after a crash changes nothing."""
    scaled = Scaled(tmp_path, ASLEEP)
    answer = scaled.deploy(dry_run=True, suspended=True, least=2, most=6)
    operations = [each["operation"] for each in answer.plain["steps"]]
    assert operations == ["RegisterTaskDefinition", "UpdateService"]


def test_every_deploy_and_dry_run_tells_what_stays_suspended(tmp_path):
    """Whoever did it, a killed deploy among them, and however this one ends."""
    scaled = Scaled(tmp_path, ASLEEP)
    for answer in (scaled.deploy(dry_run=True), scaled.deploy()):
        [told] = answer.notes
        assert "auto scaling of shop is suspended (scaling in, scaling out, sched" in told
        assert "--resume-auto-scaling" in told
        [plain] = answer.plain["auto_scaling"]
        assert plain["suspended"] == ["scaling in", "scaling out", "scheduled scaling"]
    assert scaled.deploy(suspended=False).notes == []


def test_a_deploy_that_fails_tells_it_too(tmp_path):
    """What it suspended itself is not given back by itself."""
    scaled = Scaled(tmp_path, AWAKE)
    (tmp_path / "ecs/ecs-task-def.json").write_text(
        '{"family": "shop", "containerDefinitions": [{"name": "app", "image": "broken"}]}'
    )
    answer = scaled.deploy(suspended=True)
    assert answer.exit is Exit.BACKED_OUT
    assert any("stays so" in note for note in answer.notes)


def test_bounds_that_cross_are_refused_before_anything_is_registered(tmp_path):
    """Against the one that is not given, too."""
    scaled = Scaled(tmp_path, AWAKE)
    with pytest.raises(UsageProblem, match=r"7 as least and 6 as most tasks \(now 2 and 6\)"):
        scaled.deploy(least=7)
    assert scaled.service.revisions() == 1


def test_a_service_without_auto_scaling_is_deployed_and_told(tmp_path):
    """As ecspresso warns."""
    scaled = Scaled(tmp_path, None)
    answer = scaled.deploy(dry_run=True, suspended=True)
    assert "service/c/shop is no scalable target" in answer.plain["steps"][-1]["says"]
    assert scaled.deploy(suspended=True).exit is Exit.DONE


def test_a_deployer_that_is_a_command_has_flags_of_its_own(tmp_path):
    """And is named; without flags it works as ever."""
    scaled = Scaled(tmp_path, AWAKE, ", deployer: {command: ./deploy.sh}")
    with pytest.raises(UsageProblem, match=r"fleets\.new\.deployer.*names a command"):
        scaled.deploy(dry_run=True, suspended=True)
    assert scaled.deploy(dry_run=True).plain["auto_scaling"] == []


def test_what_may_not_be_looked_at_is_not_called_awake(monkeypatch):
    """A deploy that asks for nothing goes on; one that does is refused by AWS's own words."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    aws = AnsweringAws({"DescribeScalableTargets": Refusal("AccessDeniedException", "not yours")})
    found = suspended(aws, PLACE)
    assert "is not known" in found.says and "not yours" in found.says
    assert found.to_plain()["suspended"] is None
    assert rescaling(aws, PLACE, Asked()).target is None
    assert len(aws.asked) == 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--suspend-auto-scaling", "--resume-auto-scaling"], "one of both"),
        (["--auto-scaling-min", "4", "--auto-scaling-max", "3"], "is more than"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, says):
    """Before a project file is read."""
    runner = CliRunner().invoke(console.deploy, ["r2", "--to", "new", *flags], obj=None)
    assert isinstance(runner.exception, UsageProblem) and says in str(runner.exception)


def test_the_policy_of_a_deploy_allows_it():
    """To look for everybody, to change for who deploys."""
    project = read_project(PROJECT % "", "kirikae.yml")
    actions = str(policy.to_deploy(project))
    assert "application-autoscaling:RegisterScalableTarget" in actions
    assert "application-autoscaling:DescribeScalableTargets" in str(policy.to_look())


def test_kirikae_local_takes_and_tells_what_a_deploy_asks_for(tmp_path):
    """Over its own API: nothing that is not given changes, and a desired count outside follows."""
    world = World(tmp_path)
    world.service()
    world.look(NOON)
    place = ServicePlace("default", "web", None)
    aws = SimpleNamespace(client=lambda service: Client(world, service))
    assert rescaling(aws, place, Asked(suspended=True)).target is None
    assert suspended(aws, place).says == ""
    world.ask(
        "RegisterScalableTarget",
        ServiceNamespace="ecs",
        ResourceId="service/default/web",
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=1,
        MaxCapacity=9,
    )
    rescaling(aws, place, Asked(suspended=True, least=2)).carry_out(aws)
    [target] = world.ask("DescribeScalableTargets", ServiceNamespace="ecs")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 9)
    assert target["SuspendedState"] == ASLEEP
    assert "is suspended" in suspended(aws, place).says
    assert not list(rescaling(aws, place, Asked(suspended=True, least=2)).steps())
    rescaling(aws, place, Asked(suspended=False)).carry_out(aws)
    assert suspended(aws, place).kinds == ()
    world.plane.close()
