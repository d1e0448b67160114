"""The doctor says what is proven, what is missing and what could not be proven, and never takes the
third for one of the others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kirikae.aws import cloudwatch, ecs, elbv2, iam
from kirikae.aws.session import Aws, Caller
from kirikae.console import proofs
from kirikae.model.errors import AwsUnreachable
from kirikae.model.said import text
from kirikae.traffic import readiness
from kirikae.traffic.probes import Probe
from tests.cloud import ACCOUNT, REGION, Account, client, empty_cloud
from tests.command import run

PROJECT = """\
service: shop
environment: test
account: "123456789012"
region: eu-west-1
fleets:
  old: {target_group: shop-ec2, hosts: ["ssh://web1"]}
  new: {cluster: shop, ecs_service: shop-web, target_group: shop-ecs}
checks:
  - {get: /health}
moves:
  web: {kind: traffic, router: {listener_rule: shop/main}}
"""
USER = f"arn:aws:iam::{ACCOUNT}:user/sre"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/Deployer/taro"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/Deployer"


class Simulator:
    """IAM as far as the doctor asks it: what matches ``allowed`` is allowed."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[dict[str, Any]] = []
        self.extra: dict[str, Any] = {}
        self.trouble: Exception | None = None

    def get_role(self, RoleName: str) -> dict[str, Any]:
        assert RoleName == "Deployer"
        return {"Role": {"Arn": ROLE}}

    def get_paginator(self, operation: str) -> Simulator:
        assert operation == "simulate_principal_policy"
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        if self.trouble is not None:
            raise self.trouble
        self.asked.append(asked)
        [resource] = asked["ResourceArns"]
        # One page an action: nobody may stop at the first.
        for action in asked["ActionNames"]:
            # IAM refuses wildcards in names of actions.
            assert "*" not in action
            ok = any(fnmatchcase(f"{action} {resource}", each) for each in self.allowed)
            decision = "allowed" if ok else "implicitDeny"
            extra = {} if ok else self.extra
            row = {"EvalActionName": action, "EvalDecision": decision, **extra}
            yield {"EvaluationResults": [row]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("KIRIKAE_SSH", "true")
    monkeypatch.setenv("KIRIKAE_ENGINE", "true")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    (tmp_path / "ecs").mkdir()
    (tmp_path / "ecs/ecs-task-def.json").write_text("{}")
    return tmp_path


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Simulator:
    fake = Simulator("*")
    real = Aws.client

    def client_of(self: Aws, service: str) -> Any:
        return fake if service == "iam" else real(self, service)

    monkeypatch.setattr(Aws, "client", client_of)
    return fake


@pytest.fixture
def account(
    folder: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """Everything that a move needs, but for a survey: the hosts of this test are none."""
    figures = {int(time.time()) - 120: 2.0}
    monkeypatch.setattr(cloudwatch, "metric_data", lambda aws, asked, *_: [figures for _ in asked])
    monkeypatch.setattr(readiness, "probe_all", lambda *_: [])
    service = ecs.service

    def running(aws: Aws, cluster: str, name: str) -> dict[str, Any] | None:
        """moto starts no tasks."""
        row = service(aws, cluster, name)
        return None if row is None else {**row, "runningCount": row["desiredCount"]}

    monkeypatch.setattr(ecs, "service", running)
    with empty_cloud():
        made = Account()
        made.rule()
        made.service(desired=1)
        made.run_tasks(1)
        monkeypatch.setattr(Aws, "caller", lambda self: Caller(ACCOUNT, USER))
        yield made


def looks(*words: str) -> dict[str, dict[str, str]]:
    """State -> kind -> why."""
    answer = run("doctor", "--json", *words).json
    return {
        state: {each["kind"]: each["why"] for each in answer[state]}
        for state in ("missing", "not_proven", "proven")
    }


def test_everything_that_a_move_needs_is_proven(account):
    """But for the survey, and the release that kirikae did not put there."""
    found = looks()
    assert set(found["missing"]) == {"survey"}
    assert set(found["not_proven"]) == {"release"}
    assert set(found["proven"]) >= {
        "target_group",
        "healthy",
        "figures",
        "service",
        "behind",
        "store",
        "clock",
        "rule",
        "share",
        "obstacle",
        "ready",
        "permissions",
        "silent",
    }


def test_nothing_missing_is_said_only_where_all_was_looked_at(account, monkeypatch):
    """`you can begin` stands there when nothing is missing and nothing is open; exit code 0."""
    monkeypatch.setattr(proofs, "_release", lambda sight: [proofs.proven("release", "r1")])
    monkeypatch.setattr("kirikae.console.doctor._survey", lambda *_: [proofs.proven("survey")])
    ran = run("doctor")
    assert ran.exit_code == 0 and "you can begin" in ran.stdout
    monkeypatch.setattr(proofs, "_release", lambda sight: [proofs.unproven("release")])
    ran = run("doctor")
    assert ran.exit_code == 6 and "you can begin" not in ran.stdout
    assert "not proven: a release of kirikae's on the new side" in ran.stdout
    assert "始められます" not in run("doctor", "--lang", "ja").stdout


def test_each_proof_in_a_line(account):
    """With --all."""
    ran = run("doctor", "--all")
    assert "proven:  the target group shop-ecs" in ran.stdout.splitlines()


# --- AWS's side


def test_no_service_no_targets_and_a_weight_are_missing(account):
    """The newcomer's case: nothing on the new side, and 1% of the users are sent there."""
    client("ecs").update_service(cluster="shop", service="shop-web", desiredCount=0)
    client("ecs").delete_service(cluster="shop", service="shop-web", force=True)
    account.weigh(990, 10)
    for target in client("elbv2").describe_target_health(TargetGroupArn=account.new)[
        "TargetHealthDescriptions"
    ]:
        client("elbv2").deregister_targets(TargetGroupArn=account.new, Targets=[target["Target"]])
    found = looks()["missing"]
    assert set(found) >= {"service", "healthy", "share"}
    assert "the new side 1%" in found["share"]


def test_a_service_that_wants_no_tasks_is_missing(account):
    """desiredCount 0 serves nobody."""
    client("ecs").update_service(cluster="shop", service="shop-web", desiredCount=0)
    assert "0 wanted tasks" in looks()["missing"]["service"]


def test_a_service_behind_another_group_is_missing(account):
    """It runs, and no request would come to it."""
    client("ecs").delete_service(cluster="shop", service="shop-web", force=True)
    account.service(account.old)
    assert "behind" in looks()["missing"]


def test_no_figures_are_missing(account, monkeypatch):
    """A group that CloudWatch knows nothing of cannot be judged."""
    monkeypatch.setattr(cloudwatch, "metric_data", lambda aws, asked, *_: [{} for _ in asked])
    assert "none in the last hour" in looks()["missing"]["figures"]


def test_the_default_rule_is_missing_as_one_that_can_be_turned(account):
    """ModifyRule refuses it."""
    [rule] = [
        each["RuleArn"]
        for each in client("elbv2").describe_rules(ListenerArn=account.listener)["Rules"]
        if each["IsDefault"]
    ]
    Path("kirikae.yml").write_text(PROJECT.replace("shop/main", rule))
    assert "ModifyRule" in looks()["missing"]["rule"]


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("DescribeTargetGroups", "target_group"),
        ("DescribeTargetHealth", "target_group"),
        ("DescribeClusters", "service"),
        ("DescribeServices", "service"),
        ("DescribeRules", "rule"),
    ],
)
def test_what_may_not_be_read_is_not_proven(account, monkeypatch, operation, kind):
    """AccessDenied is no sign that a thing is not there."""
    real = Aws._before

    def before(self: Aws, model: Any, **more: Any) -> None:
        if model.name == operation:
            answer = {"Error": {"Code": "AccessDenied", "Message": "not authorized"}}
            raise ClientError(answer, operation)
        real(self, model, **more)

    monkeypatch.setattr(Aws, "_before", before)
    found = looks()
    assert "AccessDenied" in found["not_proven"][kind] and kind not in found["missing"]


def test_what_is_not_there_is_missing(account):
    """A name with a slip of the pen."""
    Path("kirikae.yml").write_text(PROJECT.replace("shop-ec2", "shop-ec3"))
    assert "target_group" in looks()["missing"]


def test_both_sides_must_be_ready(account, monkeypatch):
    """By the look that the move itself waits for."""
    probe = Probe("web1", text("answered 500"), None)
    monkeypatch.setattr(readiness, "probe_all", lambda *_: [probe])
    assert "answered 500" in looks()["missing"]["ready"]


def test_a_login_is_not_tried_by_the_doctor(account):
    """It would change something there."""
    login = "sign_in: {post: /login, form: {user: a}, then: {get: /me}}\n"
    Path("kirikae.yml").write_text(PROJECT + login)
    assert "no reading call" in looks()["not_proven"]["ready"]


def test_a_clock_that_is_wrong_is_missing(account, monkeypatch):
    """Figures are asked for by time."""
    monkeypatch.setattr(Aws, "now", lambda self: time.time() + 240)
    assert "240 s" in looks()["missing"]["clock"]


def test_a_journal_that_cannot_be_used_is_missing(account, folder):
    """A file that is no database."""
    (folder / ".kirikae").mkdir()
    (folder / ".kirikae/state.db").write_text("not a database, but long enough to look like one")
    assert "store" in looks()["missing"]


def test_a_folder_that_cannot_be_written_is_missing(account, monkeypatch):
    """The journal could be read, and no step could be written down."""
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: ".kirikae" not in str(path) and real(path, mode)
    )
    assert "may not write" in looks()["missing"]["store"]


# --- who


def test_the_wrong_account_is_named_with_who_it_is(account, monkeypatch):
    """Nothing is looked at, and that is said."""
    monkeypatch.setattr(
        Aws, "caller", lambda self: Caller("999999999999", "arn:aws:iam::999999999999:user/sre")
    )
    ran = run("doctor")
    line = ran.stdout.splitlines()[1]
    assert "arn:aws:iam::999999999999:user/sre" in line
    assert "the project file says 123456789012: kirikae will do nothing" in line
    assert "credentials of account 123456789012" in ran.stdout
    assert "not proven: anything on AWS" in ran.stdout and ran.exit_code == 6


def test_no_answer_of_aws_is_told(account, monkeypatch):
    """Nobody knows who we are."""

    def silent(self: Aws) -> Caller:
        raise AwsUnreachable("AWS does not answer: timed out")

    monkeypatch.setattr(Aws, "caller", silent)
    found = looks()
    assert "aws" in found["missing"] and "on_aws" in found["not_proven"]


# --- permissions


def test_a_permission_that_is_denied_is_missing_by_name(account, simulator):
    """The action and the very rule; the others are allowed."""
    simulator.allowed = ("ecs:*", "elasticloadbalancing:Describe*", "cloudwatch:*", "*:*Get*")
    ran = run("doctor")
    rule = elbv2.find_rule(Aws(REGION), "shop/main")
    assert f"the permission elasticloadbalancing:ModifyRule {rule} (implicitDeny)" in ran.stdout


def test_a_policy_for_that_very_rule_is_understood(account, simulator):
    """The simulator is asked about the rule's own ARN, not about a pattern."""
    rule = elbv2.find_rule(Aws(REGION), "shop/main")
    run("doctor")
    asked = [each for each in simulator.asked if "ModifyRule" in str(each["ActionNames"])]
    assert [each["ResourceArns"] for each in asked] == [[rule]]


def test_where_the_simulator_may_not_be_asked_nothing_is_proven(account, simulator):
    """AccessDenied: not ok, and not missing."""
    answer = {"Error": {"Code": "AccessDenied", "Message": "not authorized"}}
    simulator.trouble = ClientError(answer, "SimulatePrincipalPolicy")
    found = looks()
    assert "AccessDenied" in found["not_proven"]["permissions"]
    assert "permission" not in found["missing"] and "permissions" not in found["proven"]


def test_what_hangs_on_a_condition_is_not_proven(account, simulator):
    """The simulator was not told of it."""
    simulator.allowed = ()
    simulator.extra = {"MissingContextValues": ["aws:SourceVpc"]}
    found = looks()
    assert "aws:SourceVpc" in found["not_proven"]["permission"]
    assert "permission" not in found["missing"]


def test_a_no_to_a_name_that_was_made_up_proves_nothing(account, simulator):
    """A bucket's policy may be for certain keys."""
    store = "store: s3://journal/shop\n"
    Path("kirikae.yml").write_text(store + PROJECT)
    simulator.allowed = ("ecs:*", "elasticloadbalancing:*")
    found = run("doctor", "--json").json
    made_up = [each["what"] for each in found["not_proven"] if each["kind"] == "permission"]
    assert "s3:PutObject" in made_up


@pytest.mark.parametrize(
    ("caller", "source"),
    [(USER, USER), (SESSION, ROLE), (ROLE, ROLE)],
)
def test_who_is_simulated(account, caller, source):
    """A user itself; of a session the role, with its path."""
    assert iam.principal(Aws(REGION), caller) == source


@pytest.mark.parametrize(
    "caller", [f"arn:aws:iam::{ACCOUNT}:root", "arn:aws:sts::1:federated-user/x"]
)
def test_who_cannot_be_simulated_is_told(account, monkeypatch, caller):
    """Root, and federated users."""
    monkeypatch.setattr(Aws, "caller", lambda self: Caller(ACCOUNT, caller))
    assert "neither a user nor a role" in looks()["not_proven"]["permissions"]


def test_why_is_told_where_the_simulator_tells(account, simulator):
    """A service control policy or a boundary is mended by others than the role's policy."""
    simulator.allowed = ()
    simulator.extra = {"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}
    assert "service control policy" in looks()["missing"]["permission"]
    simulator.extra = {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False}}
    assert "permissions boundary" in looks()["missing"]["permission"]


# --- the policy


def test_the_policy_to_look_changes_nothing(folder):
    """Every action reads; no project file is needed."""
    (folder / "kirikae.yml").unlink()
    policy = run("doctor", "--policy", "look", "--json").json["policy"]
    actions = [action for each in policy["Statement"] for action in each["Action"]]
    verbs = {action.partition(":")[2] for action in actions}
    assert all(verb.startswith(("Describe", "Get", "List", "Simulate")) for verb in verbs)


def test_the_policy_to_move_is_what_the_simulator_is_asked(account, simulator):
    """One list of what is called, so that the two cannot differ."""
    policy = run("doctor", "--policy", "move", "--json").json["policy"]
    wanted = {action for each in policy["Statement"] for action in each["Action"]}
    assert "elasticloadbalancing:ModifyRule" in wanted
    run("doctor")
    assert {action for each in simulator.asked for action in each["ActionNames"]} == wanted
    sids = [each["Sid"] for each in policy["Statement"]]
    assert len(sids) == len(set(sids))


def actions_of(*words: str) -> set[str]:
    """The document is what IAM takes, with and without --json."""
    plain = run(*words, "--json").json["policy"]
    assert json.loads(run(*words).stdout) == plain
    return {action for each in plain["Statement"] for action in each["Action"]}


def test_each_duty_gets_its_own_policy_and_together_they_are_the_whole(account, simulator):
    """Who surveys turns nothing, who drives puts no release, who deploys turns no traffic."""
    looks, drives, deploys = (actions_of("iam", duty) for duty in ("survey", "drive", "deploy"))
    assert looks == actions_of("doctor", "--policy", "look")
    assert "elasticloadbalancing:ModifyRule" in drives - deploys
    assert "ecs:UpdateService" in deploys - drives
    assert drives | deploys == actions_of("doctor", "--policy", "move")


def test_who_runs_tasks_of_their_own_changes_no_service(account, simulator):
    """`ecs run` begins tasks in the one cluster that the project file names."""
    runs = actions_of("iam", "run") - actions_of("iam", "survey")
    assert {"ecs:RunTask", "ecs:RegisterTaskDefinition", "logs:GetLogEvents"} <= runs
    assert not runs & {"ecs:UpdateService", "ecs:StopTask"}
    statements = run("iam", "run", "--json").json["policy"]["Statement"]
    (begin,) = [each for each in statements if "ecs:RunTask" in each["Action"]]
    assert begin["Condition"]["ArnEquals"]["ecs:cluster"].endswith(":cluster/shop")


def test_only_who_removes_may_take_revisions_and_services_away(account, simulator):
    removes = {
        "ecs:DeleteService",
        "ecs:DeleteTaskDefinitions",
        "ecs:DeregisterTaskDefinition",
    }
    assert removes <= actions_of("iam", "remove")
    assert not removes & (actions_of("iam", "run") | actions_of("doctor", "--policy", "move"))


def test_each_action_is_a_call_that_aws_has(account, simulator):
    """A misspelt action would allow nothing, and IAM takes it without a word."""
    models = {"elasticloadbalancing": "elbv2"}
    others = {"iam:PassRole", "s3:ListBucket"}
    for action in actions_of("doctor", "--policy", "move") - others:
        service, _, call = action.partition(":")
        known = client(models.get(service, service)).meta.service_model.operation_names
        assert call in known, action


@pytest.mark.parametrize("duty", ["jobs", "logs"])
def test_a_duty_without_a_move_of_its_kind_is_refused_with_what_to_write(account, simulator, duty):
    ran = run("iam", duty)
    assert ran.exit_code == 2 and f"`kind: {duty}`" in ran.stderr and "iam drive" in ran.stderr


def test_what_a_command_of_ones_own_calls_is_not_made_up(folder):
    file = folder / "kirikae.yml"
    given = "{cluster: shop, ecs_service: shop-web, deployer: {command: ./deploy}, "
    file.write_text(file.read_text().replace("{cluster: shop, ecs_service: shop-web, ", given))
    ran = run("iam", "deploy")
    assert ran.exit_code == 2 and "deployer" in ran.stderr, ran.stderr
