"""The options that every verb of ``kirikae ecs`` has, as ecspresso reads them: files of variables,
external variables, a role, a command that compares."""

from __future__ import annotations

import json

import boto3
import pytest

from kirikae.console import ecs_desk
from kirikae.model.errors import UsageProblem
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release.ecs import comparing
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.fleet import ServicePlace
from kirikae.release.manifest import Releases
from tests.answering import AnsweringAws, Refusal
from tests.cloud import REGION, empty_cloud
from tests.command import run
from tests.described import Described

CONFIG = """\
region: eu-west-1
cluster: c
service: shop
service_definition: sv.json
task_definition: td.json
ignore: {tags: [Owner]}
"""
TASK = {
    "taskDefinitionArn": "arn:aws:ecs:eu-west-1:1:task-definition/web:3",
    "family": "web",
    "containerDefinitions": [{"name": "web", "image": "httpd"}],
}
SERVICE = {
    "serviceArn": "arn:aws:ecs:eu-west-1:1:service/c/shop",
    "serviceName": "shop",
    "status": "ACTIVE",
    "taskDefinition": TASK["taskDefinitionArn"],
    "desiredCount": 2,
    "launchType": "FARGATE",
    "deployments": [{"id": "ecs-svc/1", "status": "PRIMARY"}],
    "tags": [{"key": "Owner", "value": "terraform"}],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ecspresso.yml").write_text(CONFIG)
    (tmp_path / "sv.json").write_text('{"launchType": "FARGATE"}')
    (tmp_path / "td.json").write_text(json.dumps({**TASK, "cpu": "256"}))
    return tmp_path


@pytest.fixture
def runs(monkeypatch):
    """A service that runs, and its task definition."""
    described = Described(SERVICE, TASK)
    monkeypatch.setattr(ecs_desk, "_opened", lambda *_: described)
    return described


# --- variables


@pytest.mark.parametrize("by", ["option", "commas", "environment"])
def test_files_of_variables_win_over_the_environment_and_later_ones_over_earlier(
    here, monkeypatch, by
):
    """`export`, quotes and comments as in a shell's file; several by one option or variable."""
    (here / "a.env").write_text("export A='1 #'\nB=one # no\n# C=0\n\nD=\"x\\ty\"\n")
    (here / "b, c.env").write_text("B=two\n")
    monkeypatch.setenv("A", "process")
    monkeypatch.setenv("C", "process")
    (here / "ecspresso.yml").write_text(
        "cluster: '{{ must_env `A` }}|{{ env `B` }}|{{ env `C` }}|{{ env `D` }}'"
    )
    words = {
        "option": ["--envfile", "a.env", "--envfile", r"b\, c.env"],
        "commas": ["--envfile", r"a.env,b\, c.env"],
        "environment": [],
    }[by]
    if by == "environment":
        monkeypatch.setenv("ECSPRESSO_ENVFILE", r"a.env,b\, c.env")
    found = run("ecs", "render", "config", *words, "--json")
    assert found.json["rendered"]["config"]["cluster"] == "1 #|two|process|x\ty"


@pytest.mark.parametrize(
    ("text", "says"),
    [("A=1\nnonsense here\n", "a.env:2: no variable"), ("A='1\n", "a.env:1: the quote")],
)
def test_a_file_of_variables_that_is_none_is_told_with_its_line(here, text, says):
    (here / "a.env").write_text(text)
    ran = run("ecs", "render", "config", "--envfile", "a.env")
    assert ran.exit_code == 2 and says in ran.stderr
    ran = run("ecs", "render", "config", "--envfile", "nowhere.env")
    assert ran.exit_code == 2 and "nowhere.env" in ran.stderr


@pytest.mark.parametrize("by", ["option", "environment"])
def test_external_variables_hold_blanks_and_are_parted_by_semicolons(here, monkeypatch, by):
    """As ecspresso's options are, on the command line and in the environment."""
    pytest.importorskip("_gojsonnet")
    (here / "ecspresso.yml").unlink()
    (here / "ecspresso.jsonnet").write_text(
        "{cluster: std.extVar('a') + '/' + std.extVar('b'), timeout: std.extVar('t')}"
    )
    texts = r"a=x y;b=1\;2"
    codes = "t=[60, 90][1]"
    if by == "environment":
        monkeypatch.setenv("ECSPRESSO_EXT_STR", texts)
        monkeypatch.setenv("ECSPRESSO_EXT_CODE", codes)
        words = []
    else:
        words = ["--ext-str", texts, "--ext-code", codes]
    found = run("ecs", "render", "config", *words, "--json")
    assert found.json["rendered"]["config"] == {"cluster": "x y/1;2", "timeout": 90}, found


# --- a command that compares


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_command_of_one_s_own_gets_both_sides_of_each_target_as_files(
    here, runs, monkeypatch, by
):
    """`remote/X local/X` in a folder of its own, in the forms that the diff itself compares."""
    script = here / "compare"
    script.write_text('#!/bin/sh\nfor word; do echo "$word $(cat "$word" | tr -d " \\n")"; done\n')
    script.chmod(0o755)
    told = here / "told"
    command = f"sh -c '{script} \"$@\" >>{told}' -"
    words = ["--external", command] if by == "option" else []
    if by == "environment":
        monkeypatch.setenv("ECSPRESSO_DIFF_COMMAND", command)
    assert run("ecs", "diff", *words).exit_code == 0
    lines = told.read_text().splitlines()
    assert [line.split()[0] for line in lines] == [
        "remote/service.json",
        "local/service.json",
        "remote/taskdef.json",
        "local/taskdef.json",
    ]
    there, ours, registered, wanted = (json.loads(line.split()[1]) for line in lines)
    # Neither the ignored tag nor the count that the file leaves to whoever scales.
    assert there == ours and "tags" not in there and "desiredCount" not in there
    assert wanted == {**registered, "cpu": "256"}


def test_without_the_service_and_in_jsonnet(here, runs):
    """`--without-service` holds for the command, too; the files bear the form's suffix."""
    ran = run("ecs", "diff", "--external", "sh -c 'ls */* >../told' -", "--without-service")
    assert ran.exit_code == 0
    command = f"sh -c 'ls */* >>{here}/told' -"
    run("ecs", "diff", "--external", command, "--without-service", "--jsonnet")
    assert (here / "told").read_text().split() == [
        "local/taskdef.jsonnet",
        "remote/taskdef.jsonnet",
    ]


def test_a_command_that_is_not_there_is_told(here, runs):
    ran = run("ecs", "diff", "--external", "nowhere-to-be-found")
    assert ran.exit_code == 2 and "nowhere-to-be-found" in ran.stderr


def test_a_difference_ends_with_0_unless_the_exit_code_is_asked_for(here, runs):
    """As ecspresso's does; `--json` is the same as data."""
    plain = run("ecs", "diff")
    assert plain.exit_code == 0 and '+  "cpu": "256"' in plain.stdout
    asked = run("ecs", "diff", "--exit-code", "--json")
    assert asked.exit_code == 6 and asked.json["outcome"] == "differs"


# --- a role


@pytest.mark.parametrize("by", ["option", "environment", "nobody"])
def test_a_role_is_assumed_and_its_account_is_the_one_that_is_asked(here, monkeypatch, by):
    """The project file's account is compared with the role's."""
    (here / "kirikae.yml").write_text(
        "service: shop\nenvironment: test\naccount: '222222222222'\n"
        "fleets:\n  old: {target_group: a}\n"
        "  new: {cluster: c, ecs_service: shop, target_group: b}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    role = "arn:aws:iam::222222222222:role/deployer"
    words = ["--assume-role-arn", role] if by == "option" else []
    if by == "environment":
        monkeypatch.setenv("ECSPRESSO_ASSUME_ROLE_ARN", role)
    with empty_cloud():
        _theirs(role).create_cluster(clusterName="c")
        ran = run("ecs", "diff", *words)
    if by == "nobody":
        assert ran.exit_code == 1 and "222222222222" in ran.stderr, ran
    else:
        assert ran.exit_code == 0 and "123456789012" not in ran.stdout + ran.stderr, ran


def _theirs(role):
    """ECS of the role's account."""
    sts = boto3.client("sts", region_name=REGION)
    given = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.client(
        "ecs",
        region_name=REGION,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


# --- names and revisions


def test_the_service_s_name_is_the_configuration_s_whatever_its_file_says(here):
    """As ecspresso; and tags `[]` of a task definition mean none."""
    (here / "sv.json").write_text('{"serviceName": "another", "desiredCount": 1}')
    (here / "td.json").write_text(json.dumps({**TASK, "tags": []}))
    rendered = run("ecs", "render", "servicedef", "taskdef", "--json").json["rendered"]
    assert rendered["servicedef"]["serviceName"] == "shop"
    assert "tags" not in rendered["taskdef"]


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (("service-definition", "task-definition"), {"servicedef", "taskdef"}),
        (("servicedef", "taskdef", "config"), {"servicedef", "taskdef", "config"}),
    ],
)
def test_what_is_rendered_has_ecspresso_s_names(here, targets, found):
    assert set(run("ecs", "render", *targets, "--json").json["rendered"]) == found


def test_an_inactive_service_counts_as_none(here):
    """What is deployed there is created anew; the diff is all plus."""
    aws = AnsweringAws(
        {
            "DescribeServices": {"services": [{**SERVICE, "status": "INACTIVE"}]},
            "DescribeClusters": {"clusters": [{"status": "ACTIVE"}]},
            "DescribeTaskDefinition": {"taskDefinition": TASK},
        }
    )
    store = SqliteStore(here / "s.db")
    releases = Releases(store, "test", "shop", here / "releases")
    place = ServicePlace("c", "shop", None)
    fleet = EcsFleet(aws, place, releases, here, {}, 5, lambda _: None)
    assert [each.operation for each in fleet.steps("r1")] == [
        "RegisterTaskDefinition",
        "CreateService",
    ]
    assert comparing.remote.service(aws, "c", "shop") is None


def test_the_task_definition_that_is_compared_is_the_one_that_the_service_uses(here):
    """Not the newest of its family, which may never have run; without a service, the newest."""
    asked = []

    def described(parameters):
        asked.append(parameters["taskDefinition"])
        return {"taskDefinition": TASK}

    answers = {
        "DescribeServices": {"services": [SERVICE]},
        "DescribeTaskDefinition": described,
    }
    aws = AnsweringAws(answers)
    config = ecs_desk.load(
        ecs_desk.Wanted(here, {}, lambda _: aws, None),
    )
    loaded = comparing.load_all(config)
    list(comparing.differences(config, aws, loaded))
    aws.answers["DescribeServices"] = {"services": []}
    list(comparing.differences(config, aws, loaded))
    assert asked == [TASK["taskDefinitionArn"], "web"]


@pytest.mark.parametrize(
    ("which", "asked", "targets"),
    [
        ({"revision": 2}, ["web:2"], ["service", "taskdef"]),
        ({"latest": True}, ["web"], ["service", "taskdef"]),
        ({"skipped": True}, [], ["service"]),
    ],
)
def test_another_task_definition_is_compared_where_it_is_named(here, which, asked, targets):
    """By the diff itself and by a command that compares."""
    aws = AnsweringAws(
        {
            "DescribeServices": {"services": [SERVICE]},
            "DescribeTaskDefinition": {"taskDefinition": TASK},
        }
    )
    config = ecs_desk.load(ecs_desk.Wanted(here, {}, lambda _: aws, None))
    loaded = comparing.load_all(config)
    chosen = comparing.Which(**which)
    found = list(comparing.differences(config, aws, loaded, which=chosen))
    both = list(comparing.sides(config, aws, loaded, which=chosen))
    named = [each["taskDefinition"] for name, each in aws.asked if "TaskDef" in name]
    assert named == asked * 2
    assert [each.target for each in found] == [name for name, _ in both] == targets


def test_a_revision_that_is_not_there_and_two_choices_at_once_are_refused(here, runs):
    """With the revision's number, and both options."""
    gone = Refusal("ClientException", "Unable to describe task definition.")
    aws = AnsweringAws(
        {"DescribeServices": {"services": [SERVICE]}, "DescribeTaskDefinition": gone}
    )
    config = ecs_desk.load(ecs_desk.Wanted(here, {}, lambda _: aws, None))
    loaded = comparing.load_all(config)
    with pytest.raises(UsageProblem, match="--revision 9: web has no such revision"):
        list(comparing.differences(config, aws, loaded, which=comparing.Which(9)))
    both = run("ecs", "diff", "--revision", "2", "--latest-task-definition")
    assert both.exit_code == 2 and "--revision and --latest-task-definition" in both.stderr
    none = run("ecs", "diff", "--skip-task-definition", "--without-service")
    assert none.exit_code == 2 and "nothing is left" in none.stderr
