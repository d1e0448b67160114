"""kirikae as its users run it, against kirikae local with real containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WEB_IMAGE, Endpoint
from tests.e2e.waits import at_this_pace, until_share
from tests.pace import ended
from tests.shop import Hammer, Shop

pytestmark = pytest.mark.engine

PROJECT = """\
service: shop
environment: test
account: "{account}"
fleets:
  old: {{target_group: {name}-a}}
  new: {{cluster: {name}, ecs_service: b, target_group: {name}-b}}
checks:
  - {{get: /, expect: 200, contains: "{contains}"}}
moves:
  web:
    kind: traffic
    router: {{listener_rule: {name}/main}}
    plan: ["10%", "50%", "100%"]
    advance: {advance}
    judge: {{worse_requests_at_most: "4%", bake: 3s, warm_up: 1s, fast_enough: 1s}}
    figures: {{period: 1s, lateness: 2s}}
accepted:
  - {{finding: SV01, where: the old fleet, why: "containers of this test", by: "test",
     until: 2099-12-31}}
"""
TASK = {
    "family": "e2e-b",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [
        {
            "name": "web",
            "image": "{{ env `IMAGE` `" + WEB_IMAGE + "` }}",
            "portMappings": [{"containerPort": 8000}],
            "stopTimeout": 2,
            "command": [
                "sh",
                "-c",
                "mkdir -p /www; echo shop {{ must_env `RELEASE_ID` }} >/www/index.html; "
                "exec httpd -f -p 8000 -h /www",
            ],
        }
    ],
}
SERVICE = {
    "desiredCount": 1,
    "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    "loadBalancers": [
        {
            "targetGroupArn": "{{ must_env `TARGET_GROUP_ARN` }}",
            "containerName": "web",
            "containerPort": 8000,
        }
    ],
}


class User:
    """Somebody with a project folder and a shell."""

    def __init__(self, folder: Path, local: Endpoint, shop: Shop) -> None:
        self.folder = folder
        self.local = local
        self.shop = shop
        (folder / "ecs").mkdir()
        (folder / "ecs/ecs-task-def.json").write_text(json.dumps(TASK))
        (folder / "ecs/ecs-service-def.json").write_text(json.dumps(SERVICE))
        self.project()

    def project(
        self, account: str = "123456789012", contains: str = "shop", advance: str = "auto"
    ) -> None:
        project = PROJECT.format(
            name=self.shop.name, account=account, contains=contains, advance=advance
        )
        (self.folder / "kirikae.yml").write_text(at_this_pace(project))

    def begin(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "kirikae", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.local.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.begin(*arguments, **environment)
        out, err = process.communicate()  # a hang ends with the test's own time-out
        return process.returncode, out, err

    def json(self, *arguments: str) -> Any:
        code, out, err = self.run(*arguments, "--json")
        assert out, (code, err)
        return json.loads(out)

    def weights(self) -> list[int]:
        action = self.shop.elb.describe_rules(RuleArns=[self.shop.rule])["Rules"][0]["Actions"][0]
        return [g["Weight"] for g in action["ForwardConfig"]["TargetGroups"]]


@pytest.fixture(scope="module")
def shop(local: Endpoint) -> Iterator[Shop]:
    shop = Shop(local, "e2e")
    shop.elb.add_tags(ResourceArns=[shop.rule], Tags=[{"Key": "Name", "Value": "main"}])
    shop.serve("a", "shop r1", 1)
    shop.complete("a")
    yield shop


@pytest.fixture
def user(tmp_path: Path, local: Endpoint, shop: Shop) -> User:
    shop.weigh(999, 0)
    return User(tmp_path, local, shop)


@pytest.fixture
def load(shop: Shop) -> Iterator[Hammer]:
    with Hammer(shop.port, threads=2) as hammer:
        yield hammer


def test_a_release_is_deployed_moved_backed_out_moved_again_and_retired(user, load):
    """The whole story in small, by the command line alone, and no request is lost."""
    code, out, err = user.run("release", "deploy", "r2", "--to", "new")
    assert code == 0, err
    assert "r2 serves on the new fleet" in out and "has reached a steady state" in err
    ledger = user.json("release", "status")
    assert [e["outcome"] for e in ledger["ledger"]] == ["done"] and ledger["service"][
        "runningCount"
    ] == 1

    plan = user.json("move", "plan", "web")
    assert [s["share"] for s in plan["steps"]] == ["10%", "50%", "100%"] and plan["findings"] == []

    driver = user.begin("move", "start", "web")
    until_share(user, "50%")
    code, out, _ = user.run("back-out", "web", "--reason", "smoke")
    assert code == 4 and "backed out: smoke" in out and user.weights() == [999, 0]
    assert ended(driver) == 4

    code, out, _ = user.run("move", "start", "web")
    assert code == 4 and "held: backed out: smoke" in out and user.weights() == [999, 0]
    assert (
        user.run("move", "explain", "web")[1]
        == "web stands still with everybody on the old side, because smoke.\n"
    )

    assert user.run("move", "resume", "web")[0] == 0
    code, out, _ = user.run("move", "start", "web")
    assert code == 0 and "web is settled at 100%" in out and user.weights() == [0, 999]

    code, out, _ = user.run("move", "retire", "web")
    assert code == 0 and user.weights() == [0, 999]
    assert "kirikae deleted nothing" in (user.folder / "removal-web.md").read_text()
    assert user.run("move", "watch", "web", "--once", "--record", "web.jsonl")[0] == 0
    code, judged = user.run("move", "judge", "web.jsonl", "--json")[:2]
    assert code in (0, 5) and len(json.loads(judged)["looks"]) > 3
    history = [
        json.loads(line) for line in user.run("move", "history", "web", "--json")[1].splitlines()
    ]
    assert history[-1]["phase"] == "retired" and all(
        h["who"].startswith("arn:aws:sts::123456789012") for h in history
    )
    assert any("ModifyRule:" in r for h in history for r in h["requests"])

    # As the tutorial does: everybody back after the end, and a new move from 0%.
    assert user.run("back-out", "web")[0] == 3 and user.weights() == [999, 0]
    code, out, err = user.run("move", "start", "web", "--detach")
    assert code == 0 and "web is planned" in out, err
    assert load.failures == []


def test_a_side_that_is_not_ready_is_waited_for(user, load):
    """At share 0 there is readiness to judge, not figures: a check that one side does not pass
    keeps everybody on the old one."""
    user.run("release", "deploy", "r2", "--to", "new")
    user.project(contains="something else")
    for _ in range(2):
        assert user.run("move", "step", "web")[0] == 0
    code, out, _ = user.run("move", "step", "web")
    assert code == 5 and "did not contain 'something else'" in out and user.weights() == [999, 0]


def test_a_step_is_taken_only_when_somebody_approves(user, load):
    """advance: ask."""
    user.run("release", "deploy", "r2", "--to", "new")
    user.project(advance="ask")
    for _ in range(2):
        user.run("move", "step", "web")
    code, out, _ = user.run("move", "step", "web")
    assert code == 5 and "kirikae move approve web" in out and user.weights() == [999, 0]
    assert user.run("move", "approve", "web")[0] == 0
    assert user.run("move", "step", "web")[0] == 0 and user.weights() == [900, 100]
    assert user.run("back-out", "--all")[0] == 4 and user.weights() == [999, 0]


def test_a_release_that_fails_to_start_is_told_truthfully(user):
    """Exit code 4, the ledger says rolled back, and what served before serves on."""
    assert user.run("release", "deploy", "r2", "--to", "new")[0] == 0
    before = user.json("release", "status")["service"]["taskDefinition"]
    code, _, err = user.run("release", "deploy", "r3", "--to", "new", IMAGE="not-there:1")
    assert code == 4 and "the deployment failed" in err
    assert user.json("release", "status")["ledger"][-1]["outcome"] == "rolled back"
    user.shop.complete("b")
    assert user.shop.service("b")["taskDefinition"] == before


def test_dry_runs_and_read_only_change_nothing(user):
    """Not a weight, not a journal entry, not a task definition."""
    user.run("release", "deploy", "r2", "--to", "new")
    revision = user.shop.service("b")["taskDefinition"]
    for arguments in (
        ("move", "start", "web", "--dry-run"),
        ("release", "deploy", "r9", "--to", "new", "--dry-run"),
    ):
        code, out, _ = user.run(*arguments)
        assert code == 0 and "would" in out
    for arguments in (
        ("move", "start", "web"),
        ("release", "deploy", "r9", "--to", "new"),
        ("back-out", "web"),
    ):
        code, _, err = user.run("--read-only", *arguments)
        assert code == 2 and "--read-only" in err
    assert user.run("move", "status", "web")[0] == 2
    assert user.shop.service("b")["taskDefinition"] == revision and user.weights() == [999, 0]


def test_refusals_say_what_to_do(user):
    """Wrong account, wrong move, wrong file, wrong ID, nothing to take back, a driver that runs
    already."""
    user.project(account="999999999999")
    code, _, err = user.run("move", "start", "web")
    assert code == 1 and "correct `account`" in err
    user.project()
    assert "it has: web" in user.run("move", "start", "batch")[2]
    assert "--project FILE" in user.run("--project", "other.yml", "move", "start", "web")[2]
    assert "not a release ID" in user.run("release", "deploy", "../r2", "--to", "new")[2]
    assert user.run("back-out", "web")[0] == 2
    assert user.run("move", "history", "web")[0] == 2
    (user.folder / "kirikae.yml").write_text("service: shop\n")
    code, _, err = user.run("project", "check")
    assert code == 2 and "kirikae.yml:1: account: this key must be given" in err


def test_a_second_driver_is_refused(user, load):
    """One driver per move; the message says who drives."""
    user.run("release", "deploy", "r2", "--to", "new")
    driver = user.begin("move", "start", "web")
    until_share(user, "10%")
    code, _, err = user.run("move", "start", "web")
    assert code == 5 and f"process {driver.pid}" in err
    assert user.run("back-out", "web")[0] == 4
    ended(driver)


def test_a_rule_that_is_not_ours_is_refused_before_anything_is_changed(user):
    """The rule forwards elsewhere: a finding blocks the move, and plan shows it."""
    other = user.shop.elb.describe_target_groups(Names=[f"{user.shop.name}-b"])["TargetGroups"][0][
        "TargetGroupArn"
    ]
    user.shop.elb.modify_rule(
        RuleArn=user.shop.rule, Actions=[{"Type": "forward", "TargetGroupArn": other}]
    )
    try:
        code, out, err = user.run("move", "plan", "web")
        assert code == 1 and "blocks TR01" in out, (out, err)
        code, _, err = user.run("move", "start", "web")
        assert code == 1 and "point the rule at the old target group first" in err
    finally:
        user.shop.weigh(999, 0)


def test_what_should_be_known_before_a_move_is_shown_and_what_must_not_be_blocks(user):
    """A rule that Terraform owns is told; a database that is too small for both sides stops the
    move."""
    user.run("release", "deploy", "r2", "--to", "new")
    user.shop.elb.add_tags(
        ResourceArns=[user.shop.rule], Tags=[{"Key": "ManagedBy", "Value": "terraform"}]
    )
    user.shop.get()  # some request, that takes longer than nothing
    delay = "deregistration_delay.timeout_seconds"
    user.shop.elb.modify_target_group_attributes(
        TargetGroupArn=user.shop.groups["a"], Attributes=[{"Key": delay, "Value": "0"}]
    )
    try:
        code, out, err = user.run("move", "plan", "web")
        assert code == 0, (out, err)
        assert "high TR06" in out and "ignore_changes" in out and "high TR04" in out
        file = user.folder / "kirikae.yml"
        file.write_text(
            file.read_text() + "database: {max_connections: 40, per_host: 20, per_task: 10}\n"
        )
        code, out, _ = user.run("move", "plan", "web")
        assert (
            code == 1
            and "1 hosts x 20 + 2 tasks (while one release replaces another) x 10 + 5 reserved = 45"
            in out
        )
        assert user.run("move", "step", "web")[0] == 1 and user.weights() == [999, 0]
    finally:
        user.shop.elb.remove_tags(ResourceArns=[user.shop.rule], TagKeys=["ManagedBy"])
        user.shop.elb.modify_target_group_attributes(
            TargetGroupArn=user.shop.groups["a"], Attributes=[{"Key": delay, "Value": "10"}]
        )


def test_a_move_without_a_survey_is_refused_and_says_what_to_do(user):
    """The project file answers for it in these tests; without that answer nothing starts."""
    file = user.folder / "kirikae.yml"
    file.write_text(file.read_text().split("accepted:")[0])
    code, _, err = user.run("move", "start", "web")
    assert code == 1 and "SV01" in err and "kirikae survey collect" in err
    assert user.run("move", "status", "web")[0] == 2, "not even a journal entry was written"
    code, out, _ = user.run("survey", "show")
    assert code == 6 and "1 stands in the way of a traffic move" in out
    assert "survey collect" in user.run("report", "--lang", "ja")[2]
    assert user.run("build", "plan")[0] == 1 and user.run("survey", "collect")[0] == 2


def test_the_doctor_says_in_its_first_lines_where_who_and_what_is_missing(user):
    """In English and Japanese; 6 when something is missing."""
    code, out, _ = user.run("doctor")
    lines = out.splitlines()
    assert (
        code == 6
        and "shop (test)" in lines[0]
        and "123456789012" in lines[1]
        and "fleets.old.hosts" in lines[2]
    )
    # On kirikae local everybody may do everything: nobody could prove a permission there.
    assert any(line.startswith("not proven: ") and "permissions" in line for line in lines)
    assert user.run("doctor", "--lang", "ja")[1].startswith("場所:")
    assert "nothing (--read-only)" in user.run("--read-only", "doctor")[1]


def test_the_aws_side_is_looked_at_without_changing_it(user):
    """Stickiness and a DNS record that names a host; the answer becomes part of the survey."""
    client = user.local.client("route53")
    zone = client.create_hosted_zone(Name="shop.example", CallerReference=user.shop.name)[
        "HostedZone"
    ]["Id"]
    group = user.shop.elb.describe_target_groups(Names=[f"{user.shop.name}-a"])["TargetGroups"][0][
        "TargetGroupArn"
    ]
    target = user.shop.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][
        0
    ]["Target"]["Id"]
    record = {
        "Name": "direct.shop.example",
        "Type": "A",
        "TTL": 60,
        "ResourceRecords": [{"Value": target}],
    }
    client.change_resource_record_sets(
        HostedZoneId=zone,
        ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]},
    )
    user.shop.elb.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": "stickiness.enabled", "Value": "true"}]
    )
    try:
        found = {f["code"]: f for f in user.json("survey", "aws")["findings"]}
        assert (
            found["AW05"]["evidence"][0]["says"] == target
            and "ST19" in found
            and "unreadable" not in found
        ), found
        assert "AW05" in user.run("survey", "show")[1]
    finally:
        user.shop.elb.modify_target_group_attributes(
            TargetGroupArn=group, Attributes=[{"Key": "stickiness.enabled", "Value": "false"}]
        )


def test_a_release_is_made_once_and_an_unknown_one_is_told(user):
    """`release create` twice is one release; `build image` needs one."""
    (user.folder / "src").mkdir()
    (user.folder / "src/a").write_text("a")
    made = user.json("release", "create", "r7", "--from", str(user.folder / "src"))
    assert (
        made["id"] == "r7"
        and user.json("release", "create", "r7", "--from", str(user.folder / "src")) == made
    )
    assert "release create r8" in user.run("build", "image", "r8")[2]
    assert "app.Dockerfile" in user.run("build", "image", "r7")[2]
    assert "fleets.old.deployer" in user.run("release", "deploy", "r7", "--to", "old,new")[2]
    assert user.run("release", "deploy", "r7", "--to", "old,old")[0] == 2
    assert user.run("release", "rollback", "--to", "old")[0] == 1


def test_the_former_release_is_put_back(user):
    """By the ledger: the task definition that served before."""
    user.run("release", "deploy", "r2", "--to", "new")
    first = user.shop.service("b")["taskDefinition"]
    user.run("release", "deploy", "r3", "--to", "new")
    assert user.shop.service("b")["taskDefinition"] != first
    assert user.run("release", "rollback", "--to", "new", "--dry-run")[1].startswith(
        "would put back"
    )
    code, out, _ = user.run("release", "rollback", "--to", "new")
    assert code == 0 and "again" in out and user.shop.service("b")["taskDefinition"] == first


def test_the_deployer_of_a_fleet_may_be_any_command(user):
    """It takes the ID; its exit code is the truth that is written down."""
    file = user.folder / "kirikae.yml"
    text = file.read_text()
    for command, code, outcome in (
        ("echo $RELEASE_ID >deployed", 0, "done"),
        ("exit 9", 3, "not finished"),
    ):
        file.write_text(
            text.replace("ecs_service: b,", f'ecs_service: b, deployer: {{command: "{command}"}},')
        )
        assert user.run("release", "deploy", "r5", "--to", "new")[0] == code
        assert user.json("release", "status")["ledger"][-1]["outcome"] == outcome
    assert (user.folder / "deployed").read_text() == "r5\n"
