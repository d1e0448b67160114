"""`kirikae ecs run`: what is asked of RunTask, and that its end is told as it was."""

from __future__ import annotations

import json
from itertools import chain, repeat

import pytest

from kirikae.console import ecs_desk
from kirikae.release.ecs import single_run
from tests.answering import AnsweringAws, Refusal
from tests.command import run

ARN = "arn:aws:ecs:eu-west-1:1"
NEW = f"{ARN}:task-definition/web:4"
OWN = f"{ARN}:task-definition/web:3"
TASK = f"{ARN}:task/c/abc"
CONFIG = """\
region: eu-west-1
cluster: c
service: shop
service_definition: sv.json
task_definition: td.json
"""
LOG = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/shop", "awslogs-stream-prefix": "web"},
}
DEFINITION = {
    "family": "web",
    "containerDefinitions": [
        {"name": "web", "image": "httpd", "logConfiguration": LOG},
        {"name": "proxy", "image": "envoy"},
    ],
}
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-a"]}}
SERVICE = {
    "launchType": "FARGATE",
    "platformVersion": "1.4.0",
    "networkConfiguration": NETWORK,
    "desiredCount": 2,
    "enableExecuteCommand": True,
}
THERE = {
    "serviceArn": f"{ARN}:service/c/shop",
    "serviceName": "shop",
    "status": "ACTIVE",
    "taskDefinition": OWN,
    "deployments": [{"id": "ecs-svc/1", "status": "PRIMARY"}],
    "tags": [{"key": "team", "value": "shop"}, {"key": "aws:x", "value": "y"}],
}


def ended(*codes, stop_code="EssentialContainerExited", **more):
    """A task whose containers ended with these codes; None: it never ran."""
    names = ("web", "proxy")
    rows = [
        {"name": name, **({} if code is None else {"exitCode": code})}
        for name, code in zip(names, codes, strict=False)
    ]
    return {
        "taskArn": TASK,
        "taskDefinitionArn": NEW,
        "lastStatus": "STOPPED",
        "stopCode": stop_code,
        "stoppedReason": "Essential container in task exited",
        "containers": rows,
        **more,
    }


class Cloud(AnsweringAws):
    """One task that is begun and ends as ``rows`` say, look by look."""

    def __init__(self, *rows):
        looks = chain(rows, repeat(rows[-1]))
        super().__init__(
            {
                "RegisterTaskDefinition": {"taskDefinition": {"taskDefinitionArn": NEW}},
                "RunTask": {"tasks": [{"taskArn": TASK}], "failures": []},
                "DescribeTasks": lambda _: self._described(next(looks)),
                "DescribeServices": {"services": [THERE]},
                "DescribeTaskDefinition": lambda asked: {
                    "taskDefinition": {**DEFINITION, "taskDefinitionArn": asked["taskDefinition"]}
                },
                "GetLogEvents": self._log,
            }
        )
        self.lines = ["begun", "half of it"]

    def _described(self, row):
        return row if isinstance(row, Refusal) else {"tasks": [row] if row else []}

    def _log(self, asked):
        fresh = not asked.get("nextToken")
        events = [{"message": line, "timestamp": 1} for line in self.lines if fresh]
        return {"events": events, "nextForwardToken": "f/1"}

    def sent(self, operation):
        return [dict(asked) for name, asked in self.asked if name == operation]

    @property
    def ran(self):
        (asked,) = self.sent("RunTask")
        return asked


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("_LAG_S", "_AGAIN_S"):
        monkeypatch.setattr(single_run, name, 0.0 if name == "_LAG_S" else (0.0, 0.0))
    monkeypatch.setattr(single_run, "pause_s", lambda _: 0.0)
    (tmp_path / "ecspresso.yml").write_text(CONFIG)
    (tmp_path / "sv.json").write_text(json.dumps(SERVICE))
    (tmp_path / "td.json").write_text(json.dumps(DEFINITION))
    return tmp_path


@pytest.fixture
def cloud(monkeypatch):
    def made(*rows):
        aws = Cloud(*(rows or (ended(0, 0),)))
        monkeypatch.setattr(ecs_desk, "_opened", lambda *_: aws)
        return aws

    return made


def test_a_new_revision_runs_in_the_network_of_the_service_s_file(here, cloud):
    """Registered first; launch type, network and platform as the service has them."""
    aws = cloud()
    found = run("ecs", "run", "--json")
    assert (found.exit_code, found.json["ending"]) == (0, "succeeded"), found
    assert aws.sent("RegisterTaskDefinition") == [DEFINITION]
    token = aws.ran.pop("clientToken")
    assert token
    assert {key: value for key, value in aws.ran.items() if key != "clientToken"} == {
        "cluster": "c",
        "taskDefinition": NEW,
        "count": 1,
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "networkConfiguration": NETWORK,
        "enableExecuteCommand": True,
    }


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--skip-task-definition"], OWN),
        (["--latest-task-definition"], "web"),
        (["--revision", "2"], "web:2"),
        (["--revision", "2", "--latest-task-definition"], "web:2"),
        (["--latest-task-definition", "--skip-task-definition"], "web"),
    ],
)
def test_a_definition_that_is_there_runs_and_none_is_registered(here, cloud, words, asked):
    """By revision, else the family's newest, else the service's own, as ecspresso."""
    aws = cloud()
    assert run("ecs", "run", *words).exit_code == 0
    assert aws.ran["taskDefinition"] == asked
    assert not aws.sent("RegisterTaskDefinition")


def test_without_a_service_to_skip_is_the_newest_of_the_family(here, cloud):
    aws = cloud()
    aws.answers["DescribeServices"] = {"services": []}
    assert run("ecs", "run", "--skip-task-definition").exit_code == 0
    assert aws.ran["taskDefinition"] == "web"


def test_the_command_line_s_overrides_win_over_the_file_which_is_a_template(here, cloud):
    """A key that AWS does not know is told, and left out."""
    aws = cloud()
    (here / "o.json").write_text(
        '{"containerOverrides": [{"Name": "web", "command": ["{{ env `CMD` `rake` }}"], "x": 1}]}'
    )
    told = run("ecs", "run", "--overrides-file", "o.json")
    assert aws.ran["overrides"] == {"containerOverrides": [{"name": "web", "command": ["rake"]}]}
    assert "o.json: overrides.containerOverrides[0].x" in told.stderr
    aws.asked.clear()
    text = '{"containerOverrides": [{"name": "proxy", "command": ["x"]}]}'
    run("ecs", "run", "--overrides-file", "o.json", "--overrides", text)
    assert aws.ran["overrides"] == json.loads(text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--overrides", '{"containerOverrides": [{"name": "app"}]}'], "'app' is no container"),
        (["--overrides", "{"], "--overrides: not JSON"),
        (["--overrides", "[]"], "--overrides: it must be one object"),
        (["--overrides", '{"cpu": 256}'], "overrides.cpu must be text"),
        (["--watch-container", "app"], "--watch-container app is not one of web, proxy"),
        (["--tags", "x"], "write KEY=VALUE"),
        (["--revision", "1", "--task-def", "td.json"], "--task-def"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_registered(here, cloud, words, says):
    aws = cloud()
    told = run("ecs", "run", *words)
    assert told.exit_code == 2 and says in told.stderr, told
    assert not aws.sent("RegisterTaskDefinition") and not aws.sent("RunTask")


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ([], {}),
        (["--propagate-tags", "NONE"], {}),
        (["--propagate-tags", "TASK_DEFINITION"], {"propagateTags": "TASK_DEFINITION"}),
        (["--propagate-tags", "SERVICE"], {"tags": [{"key": "team", "value": "shop"}]}),
        (
            ["--propagate-tags", "SERVICE", "--tags", "team=me,b=2"],
            {"tags": [{"key": "team", "value": "me"}, {"key": "b", "value": "2"}]},
        ),
    ],
)
def test_tags_of_the_service_are_copied_since_run_task_hands_none_on(here, cloud, words, sent):
    aws = cloud()
    run("ecs", "run", *words)
    assert {key: aws.ran[key] for key in ("tags", "propagateTags") if key in aws.ran} == sent


@pytest.mark.parametrize("dropped", [True, False])
def test_disks_of_the_service_s_file_are_the_task_s_own(here, cloud, dropped):
    """Tags that a service hands on are left out: RunTask refuses them."""
    aws = cloud()
    tags = [
        {"resourceType": "volume", "propagateTags": "SERVICE"},
        {"resourceType": "volume", "propagateTags": "TASK_DEFINITION"},
    ]
    disk = {"roleArn": "arn:aws:iam::1:role/ebs", "sizeInGiB": 9, "tagSpecifications": tags}
    volumes = [{"name": "v", "managedEBSVolume": disk}]
    (here / "sv.json").write_text(json.dumps({**SERVICE, "volumeConfigurations": volumes}))
    run("ecs", "run", *([] if dropped else ["--no-ebs-delete-on-termination"]))
    (asked,) = aws.ran["volumeConfigurations"]
    assert asked["managedEBSVolume"] == {
        "roleArn": "arn:aws:iam::1:role/ebs",
        "sizeInGiB": 9,
        "tagSpecifications": tags[1:],
        "terminationPolicy": {"deleteOnTermination": dropped},
    }


def test_a_dry_run_shows_both_calls_and_sends_none(here, cloud):
    aws = cloud()
    found = run("ecs", "run", "--dry-run", "--count", "2", "--json")
    assert found.exit_code == 0 and found.json["outcome"] == "dry run"
    assert found.json["register"] == DEFINITION
    assert found.json["run"]["count"] == 2 and found.json["run"]["networkConfiguration"] == NETWORK
    assert not aws.sent("RunTask") and not aws.sent("RegisterTaskDefinition")


# --- how it ends


@pytest.mark.parametrize(
    ("row", "watched", "ending", "code"),
    [
        (ended(0, 137), "web", "succeeded", 0),
        (ended(1, 0), "web", "failed", 1),
        (ended(1, 0), "proxy", "succeeded", 0),
        (ended(None, None, stop_code="TaskFailedToStart"), "web", "failed", None),
        (ended(0, 0, stop_code="UserInitiated"), "web", "stopped", 0),
        (ended(0, 0, stop_code="SpotInterruption"), "web", "stopped", 0),
        (ended(137, 137, stop_code="UserInitiated"), "web", "stopped", 137),
        (ended(0, 0, containers=[]), "web", "failed", None),
    ],
)
def test_it_ends_as_its_watched_container_did(here, cloud, row, watched, ending, code):
    """One that never ran has not ended with 0, and one that ended with 0 since somebody stopped it
    may have done half of its work."""
    cloud({**row, "lastStatus": "PENDING"}, row)
    found = run("ecs", "run", "--watch-container", watched, "--json")
    assert (found.json["ending"], found.json["exit_code"]) == (ending, code), found
    assert found.exit_code == (0 if ending == "succeeded" else 3)
    (task,) = found.json["tasks"]
    assert (task["task"], task["stop_code"]) == ("abc", row["stopCode"])


def test_what_the_watched_container_wrote_is_shown_as_it_comes_and_told_with_the_end(here, cloud):
    aws = cloud({**ended(3, 0), "lastStatus": "RUNNING"}, ended(3, 0, stoppedReason="boom"))
    told = run("ecs", "run")
    assert told.exit_code == 3
    assert told.stderr.index("abc: RUNNING") < told.stderr.index("half of it")
    assert "web | half of it" in told.stderr and "web exited with 3" in told.stderr
    assert "failed" in told.stdout and "boom" in told.stdout
    aws.answers["GetLogEvents"] = Refusal("AccessDeniedException")
    told = run("ecs", "run")
    assert told.stderr.count("is not followed") == 1 and "was not read" in told.stderr


def test_an_answer_that_is_lost_is_asked_for_with_the_same_token(here, cloud):
    """So that nothing begins twice; where no answer comes at all, the way to ask again is told."""
    aws = cloud(None, Refusal("Unavailable", status=503), ended(0, 0))
    answers = iter([Refusal("Unavailable", status=503), aws.answers["RunTask"]])
    aws.answers["RunTask"] = lambda _: next(answers)
    assert run("ecs", "run").exit_code == 0
    first, second = aws.sent("RunTask")
    assert first == second
    aws.answers["RunTask"] = Refusal("Unavailable", status=503)
    told = run("ecs", "run", "--client-token", "m1", "--json")
    assert told.exit_code == 3 and "--revision 4 --client-token m1" in told.json["message"]
    assert told.json["task_definition"] == NEW


def test_a_task_that_is_not_begun_is_refused_with_ecs_s_reason(here, cloud):
    aws = cloud()
    why = [{"arn": "i-1", "reason": "RESOURCE:MEMORY"}]
    aws.answers["RunTask"] = {"tasks": [], "failures": why}
    told = run("ecs", "run", "--json")
    assert told.exit_code == 1 and "RESOURCE:MEMORY" in told.json["message"]
    assert "web:4 stays registered" in told.json["message"]
    aws.answers["RunTask"] = {"tasks": [{"taskArn": TASK}], "failures": why}
    told = run("ecs", "run", "--count", "2", "--json")
    assert (told.exit_code, told.json["ending"]) == (3, "succeeded")
    assert told.json["failures"] == why
    aws.answers["RunTask"] = {"tasks": [{"taskArn": TASK}], "failures": []}
    assert run("ecs", "run", "--count", "2").exit_code == 3


def test_what_runs_longer_than_it_is_waited_for_is_not_stopped(here, cloud):
    aws = cloud({**ended(0, 0), "lastStatus": "RUNNING"})
    told = run("ecs", "run", "--timeout", "10ms", "--json")
    assert (told.exit_code, told.json["ending"]) == (3, "timed_out")
    assert "abc is RUNNING; nothing was stopped" in told.json["message"]
    assert not aws.sent("StopTask")


@pytest.mark.parametrize(
    ("words", "ending"), [(["--no-wait"], "begun"), (["--wait-until", "running"], "running")]
)
def test_nobody_need_wait_for_the_end(here, cloud, words, ending):
    cloud({**ended(0, 0), "lastStatus": "RUNNING"})
    found = run("ecs", "run", *words, "--json")
    assert (found.exit_code, found.json["ending"]) == (0, ending)


def test_a_task_that_fails_at_once_never_ran(here, cloud):
    """Also for somebody who waits only until it runs."""
    cloud(ended(None, None, stop_code="TaskFailedToStart"))
    assert run("ecs", "run", "--wait-until", "running").exit_code == 3


def test_a_task_that_aws_has_forgotten_is_not_waited_for(here, cloud, monkeypatch):
    """Whoever slept for more than an hour does not hear of its end: that is not known, not well."""
    cloud({**ended(0, 0), "lastStatus": "RUNNING"}, None)
    monkeypatch.setattr(single_run, "_FORGOTTEN_S", 0.0)
    told = run("ecs", "run", "--timeout", "0", "--json")
    assert (told.exit_code, told.json["ending"]) == (3, "unknown")
    assert "how it ended is not known" in told.json["message"]
