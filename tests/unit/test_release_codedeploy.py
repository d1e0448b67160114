"""CodeDeploy is driven, and how it ended is one of our own endings."""

from __future__ import annotations

import json

import pytest

from kirikae.model.project import CodeDeploy
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import codedeploy_fleet
from kirikae.release import deploy as deploying
from kirikae.release.codedeploy import Sight, judged
from kirikae.release.codedeploy_fleet import CodeDeployFleet
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.errors import DefinitionProblem, UnderWay
from kirikae.release.fleet import ServicePlace
from kirikae.release.ledger import Ledger
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from tests.answering import AnsweringAws
from tests.command import run

ARN = "arn:aws:ecs:eu-west-1:123456789012:task-definition/shop"
NEW, OLD = f"{ARN}:2", f"{ARN}:1"
GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/shop/1"


@pytest.mark.parametrize(
    ("status", "held", "back", "serving", "desired", "ending"),
    [
        ("Created", False, False, OLD, 2, None),
        ("InProgress", False, False, NEW, 2, None),
        ("InProgress", True, False, NEW, 2, "succeeded"),
        ("Baking", False, False, NEW, 2, None),
        ("Succeeded", False, False, NEW, 2, "succeeded"),
        ("Succeeded", False, False, NEW, 0, "scaled_to_zero"),
        ("Succeeded", False, False, f"{ARN}:9", 2, "superseded"),
        ("Ready", False, False, OLD, 2, "paused"),
        ("Failed", False, True, NEW, 2, None),
        ("Failed", False, False, OLD, 2, "rolled_back"),
        ("Failed", False, False, NEW, 2, "stopped"),
        ("Stopped", False, False, OLD, 2, "rolled_back"),
        ("Stopped", False, False, "", 2, "stopped"),
    ],
)
def test_each_state_of_codedeploy_is_one_of_our_endings(
    status, held, back, serving, desired, ending
):
    """Failed is rolled back only where what served before serves again."""
    assert judged(Sight(status, held, back, serving, desired), NEW, OLD) == ending


def test_what_served_before_must_be_another_one_to_be_gone_back_to():
    """The same revision once more: that it serves says nothing of the deployment."""
    assert judged(Sight("Failed", False, False, NEW, 2), NEW, NEW) == "stopped"
    assert judged(Sight("Failed", False, False, NEW, 2), NEW, "") == "stopped"


class Account:
    """A service and its deployments: each goes on by one state a look (``course``)."""

    def __init__(self):
        self.primary = OLD
        self.desired = 2
        self.course = ["Created", "InProgress", "held"]
        self.controller = "CODE_DEPLOY"
        self.deployments = {}
        self.tasks = 1
        self.hold = 5
        self.aws = AnsweringAws(
            {
                "DescribeServices": self.services,
                "DescribeClusters": {"clusters": [{"status": "ACTIVE"}]},
                "DescribeTargetGroups": {"TargetGroups": [{"TargetGroupArn": GROUP}]},
                "DescribeTargetGroupAttributes": {"Attributes": []},
                "RegisterTaskDefinition": self.register,
                "UpdateService": {"service": {}},
                "ListTasks": {"taskArns": []},
                "CreateDeployment": self.create,
                "GetDeployment": lambda asked: {"deploymentInfo": self.look(asked["deploymentId"])},
                "ListDeployments": lambda _: {"deployments": self.going_on()},
                "StopDeployment": self.stop,
            }
        )

    def services(self, _):
        row = {
            "status": "PRIMARY",
            "id": "ecs-svc/1",
            "taskDefinition": self.primary,
            "runningCount": 2,
            "computedDesiredCount": 2,
        }
        service = {
            "status": "ACTIVE",
            "taskDefinition": OLD,
            "desiredCount": self.desired,
            "deploymentController": {"type": self.controller},
            "loadBalancers": [{"containerName": "app", "containerPort": 80}],
            "taskSets": [row],
        }
        return {"services": [service]}

    def register(self, _):
        self.tasks += 1
        return {"taskDefinition": {"taskDefinitionArn": f"{ARN}:{self.tasks}"}}

    def create(self, asked):
        identity = f"d-{len(self.deployments) + 1}"
        spec = json.loads(asked["revision"]["appSpecContent"]["content"])
        wanted = spec["Resources"][0]["TargetService"]["Properties"]["TaskDefinition"]
        self.deployments[identity] = {
            "description": asked["description"],
            "course": list(self.course),
            "spec": spec,
            "wanted": wanted,
            "former": self.primary,
        }
        return {"deploymentId": identity}

    def look(self, identity):
        row = self.deployments[identity]
        state = row["course"].pop(0) if len(row["course"]) > 1 else row["course"][0]
        if state in ("held", "Succeeded"):
            self.primary = row["wanted"]
        return {
            "deploymentId": identity,
            "description": row["description"],
            "status": "InProgress" if state == "held" else state,
            "instanceTerminationWaitTimeStarted": state == "held",
            "errorInformation": {"code": "HEALTH_CONSTRAINTS", "message": "not healthy"},
            "blueGreenDeploymentConfiguration": {
                "terminateBlueInstancesOnDeploymentSuccess": {
                    "terminationWaitTimeInMinutes": self.hold
                }
            },
        }

    def going_on(self):
        over = ("Succeeded", "Failed", "Stopped")
        return [key for key, row in self.deployments.items() if row["course"][0] not in over]

    def stop(self, asked):
        row = self.deployments[asked["deploymentId"]]
        row["course"] = ["Stopped"]
        self.primary = row["former"]
        return {"status": "Succeeded"}

    def calls(self, name):
        return [asked for called, asked in self.aws.asked if called == name]


class Shop:
    def __init__(self, folder, settings=None, named=None):
        task = {"family": "shop", "containerDefinitions": [{"name": "app", "image": "x"}]}
        service = {
            "desiredCount": 2,
            "healthCheckGracePeriodSeconds": 5,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        }
        for name, plain in (("task.json", task), ("service.json", service)):
            (folder / name).write_text(json.dumps(plain))
        config = {
            "cluster": "c",
            "service": "shop",
            "task_definition": "task.json",
            "service_definition": "service.json",
            "appspec": {"Hooks": [{"BeforeAllowTraffic": "looks"}]},
        }
        if named:
            config["codedeploy"] = named
        (folder / "ecspresso.yml").write_text(json.dumps(config))
        self.account = Account()
        self.store = SqliteStore(folder / "s.db")
        self.ledger = Ledger(self.store, "test", "shop", "me")
        self.told = []
        releases = Releases(self.store, "test", "shop", folder / "releases")
        place = ServicePlace("c", "shop", "new")
        aws = self.account.aws
        ours = EcsFleet(aws, place, releases, folder, {}, 5, self.told.append)
        chosen = settings or CodeDeploy(application="a", group="g")
        self.fleet = CodeDeployFleet(ours, chosen)

    @property
    def lock(self):
        return Lock(self.store, "test", "shop")

    def deploy(self, release):
        return deploying.deploy(release, [self.fleet], self.ledger, self.lock)

    def roll_back(self):
        return deploying.roll_back([self.fleet], self.ledger, self.lock)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr(codedeploy_fleet, "POLL_S", 0.001)
    return Shop(tmp_path)


def test_a_deployment_is_begun_with_the_rendered_appspec_and_its_hold_time_is_told(shop):
    """It serves once all traffic is on it: the former tasks may be kept for hours."""
    ended = shop.deploy("r2")
    assert ended.trouble is None and ended.entries[0].detail == NEW
    spec = shop.account.deployments["d-1"]["spec"]
    properties = spec["Resources"][0]["TargetService"]["Properties"]
    assert properties == {
        "TaskDefinition": NEW,
        "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 80},
        "NetworkConfiguration": {"AwsvpcConfiguration": {"Subnets": ["subnet-1"]}},
    }
    assert spec["Hooks"] == [{"BeforeAllowTraffic": "looks"}]
    [update] = shop.account.calls("UpdateService")
    assert update == {"cluster": "c", "service": "shop", "healthCheckGracePeriodSeconds": 5}
    assert any("the former tasks are kept for 5 minutes" in line for line in shop.told)
    assert any("`networkConfiguration` is not sent to ECS: the AppSpec" in x for x in shop.told)


@pytest.mark.parametrize(
    ("course", "ending", "exit_code"),
    [
        (["Created", "Failed"], "rolled_back", 4),
        (["InProgress", "Ready"], "paused", 3),
        (["InProgress"], "timed_out", 3),
    ],
)
def test_one_that_does_not_get_there_ends_with_its_cause(shop, course, ending, exit_code):
    """And CodeDeploy's own words."""
    shop.account.course = course
    moments = iter(range(0, 1000, 2))
    fleet = CodeDeployFleet(shop.fleet.ours, shop.fleet.settings, lambda: next(moments))
    ended = deploying.deploy("r2", [fleet], shop.ledger, shop.lock)
    assert (ended.ending, ended.trouble.exit) == (ending, exit_code), ended.trouble
    if ending == "rolled_back":
        assert "HEALTH_CONSTRAINTS: not healthy" in str(ended.trouble)


def test_a_killed_run_goes_on_with_the_deployment_that_it_began(shop):
    """One more would be refused, or would do it twice."""
    shop.account.course = ["InProgress", "InProgress", "held"]

    class Killed(BaseException):
        pass

    def killed(_):
        raise Killed

    fleet = CodeDeployFleet(shop.fleet.ours, shop.fleet.settings, sleep=killed)
    with pytest.raises(Killed):
        deploying.deploy("r2", [fleet], shop.ledger, shop.lock)
    assert shop.deploy("r2").trouble is None
    assert list(shop.account.deployments) == ["d-1"] and shop.account.tasks == 2


def test_somebody_else_s_deployment_is_not_taken_for_ours(shop):
    """It is named before anything is registered, with what ends it."""
    shop.account.deployments["d-7"] = {
        "description": "by hand",
        "course": ["held"],
        "wanted": OLD,
        "former": OLD,
    }
    with pytest.raises(UnderWay, match=r"d-7 of g has not ended.*keeps the former tasks for 5"):
        shop.deploy("r2")
    assert shop.account.tasks == 1


def test_while_the_former_tasks_are_kept_a_rollback_goes_back_to_them_at_once(shop):
    """Afterwards by a deployment of its own."""
    assert shop.deploy("r2").trouble is None
    assert shop.roll_back().trouble is None
    assert shop.account.primary == OLD and list(shop.account.deployments) == ["d-1"]
    shop.account.course = ["Created", "Succeeded"]
    assert shop.deploy("r3").trouble is None
    assert shop.account.primary == f"{ARN}:3"
    assert shop.roll_back().trouble is None
    assert shop.account.primary == OLD and len(shop.account.deployments) == 3


def test_a_service_that_codedeploy_does_not_drive_is_refused_before_anything(shop):
    """With the key to leave out."""
    shop.account.controller = "ECS"
    with pytest.raises(DefinitionProblem, match=r"leave `fleets.new.deployer.codedeploy` out"):
        shop.deploy("r2")


# --- which group


def groups(*driven):
    """CodeDeploy's answers: an application `shop` of two groups, one of them of ``driven``."""
    rows = [
        {
            "applicationName": application,
            "deploymentGroupName": group,
            "ecsServices": [{"clusterName": "c", "serviceName": service}],
        }
        for application, group, service in driven
    ]

    def of(asked):
        name = asked["applicationName"]
        return [row for row in rows if row["applicationName"] == name]

    return {
        "ListApplications": {"applications": ["shop", "lambdas"]},
        "BatchGetApplications": {
            "applicationsInfo": [
                {"applicationName": "shop", "computePlatform": "ECS"},
                {"applicationName": "lambdas", "computePlatform": "Lambda"},
            ]
        },
        "ListDeploymentGroups": lambda asked: {
            "deploymentGroups": [row["deploymentGroupName"] for row in of(asked)]
        },
        "BatchGetDeploymentGroups": lambda asked: {"deploymentGroupsInfo": of(asked)},
    }


@pytest.mark.parametrize(
    ("settings", "named", "group"),
    [
        ({}, {}, ("shop", "blue")),
        ({"application": "shop"}, {}, ("shop", "blue")),
        ({}, {"application_name": "x", "deployment_group_name": "y"}, ("x", "y")),
        (
            {"application": "a", "group": "g"},
            {"application_name": "x", "deployment_group_name": "y"},
            ("a", "g"),
        ),
        ({}, {"deployment_config_name": "CodeDeployDefault.ECSAllAtOnce"}, ("shop", "blue")),
    ],
)
def test_the_group_is_the_named_one_else_the_one_that_drives_the_service(
    tmp_path, shop, settings, named, group
):
    """The project file first, then ecspresso's configuration, then CodeDeploy's own word."""
    (tmp_path / "other").mkdir()
    other = Shop(tmp_path / "other", CodeDeploy(**settings), named)
    other.account.aws.answers |= groups(("shop", "blue", "shop"), ("shop", "red", "worker"))
    assert other.deploy("r1").trouble is None
    [asked] = other.account.calls("CreateDeployment")
    assert (asked["applicationName"], asked["deploymentGroupName"]) == group
    assert asked.get("deploymentConfigName") == named.get("deployment_config_name")
    assert len(other.account.calls("ListApplications")) == (not settings and group[0] == "shop")


@pytest.mark.parametrize(
    ("driven", "says"),
    [
        ([("shop", "red", "worker")], "no deployment group of CodeDeploy drives c/shop"),
        (
            [("shop", "red", "shop"), ("shop", "blue", "shop")],
            "several deployment groups .*: shop/red, shop/blue; name one",
        ),
    ],
)
def test_a_group_that_is_not_certain_is_asked_for_before_anything_changes(
    tmp_path, shop, driven, says
):
    """No guess: another group would turn another service."""
    (tmp_path / "other").mkdir()
    other = Shop(tmp_path / "other", CodeDeploy())
    other.account.aws.answers |= groups(*driven)
    with pytest.raises(DefinitionProblem, match=says):
        other.fleet.steps("r1")
    assert other.account.calls("RegisterTaskDefinition") == []


@pytest.mark.parametrize("driven", [True, False])
def test_init_writes_the_group_that_drives_the_service(tmp_path, shop, monkeypatch, driven):
    """As ecspresso does; where CodeDeploy knows none, that is told and nothing is guessed."""
    aws = shop.account.aws
    aws.answers |= groups(("shop", "blue", "shop" if driven else "worker"))
    task = {"family": "shop", "containerDefinitions": []}
    aws.answers["DescribeTaskDefinition"] = {"taskDefinition": {**task, "taskDefinitionArn": OLD}}
    rows = shop.account.services({})["services"]
    rows[0] |= {"serviceArn": "arn:shop", "serviceName": "shop", "deployments": []}
    aws.answers["DescribeServices"] = {"services": rows}
    monkeypatch.setattr("kirikae.console.ecs.aws_opener", lambda *_: lambda region: aws)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ecspresso.yml").unlink()
    ran = run("ecs", "init", "--cluster", "c", "--service", "shop")
    assert ran.exit_code == 0, ran
    written = (tmp_path / "ecspresso.yml").read_text()
    named = "codedeploy:\n  application_name: shop\n  deployment_group_name: blue\n"
    assert (named in written, "`codedeploy` is not written" in ran.stderr) == (driven, not driven)


@pytest.mark.parametrize(
    ("controller", "says"),
    [("CODE_DEPLOY", r"deployer: \{codedeploy: \{\}\}"), ("EXTERNAL", "a command of your own")],
)
def test_a_service_that_ecs_does_not_deploy_is_told_before_anything_is_registered(
    shop, controller, says
):
    """With who can: ECS would refuse the update, and a revision would be left."""
    shop.account.controller = controller
    with pytest.raises(DefinitionProblem, match=says):
        deploying.deploy("r1", [shop.fleet.ours], shop.ledger, shop.lock)
    assert shop.account.calls("RegisterTaskDefinition") == []
