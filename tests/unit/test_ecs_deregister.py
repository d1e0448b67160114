"""`kirikae ecs deregister`: nothing that runs, or that a rollback would put back, is taken away."""

from __future__ import annotations

from itertools import chain

import pytest

from kirikae.console import asking, ecs_desk
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release.ecs import revisions
from kirikae.release.ledger import Ledger, Outcome
from tests.answering import AnsweringAws, Refusal
from tests.command import run

ARN = "arn:aws:ecs:eu-west-1:123456789012"
PROJECT = """\
service: shop
environment: test
account: "123456789012"
region: eu-west-1
store: s.db
fleets:
  old: {target_group: a}
  new: {cluster: c, ecs_service: shop, target_group: b}
"""


def revision(number, family="web"):
    return f"{ARN}:task-definition/{family}:{number}"


def service(name, *numbers):
    """Its deployments run these revisions, the first as the primary one."""
    rows = [{"id": f"ecs-svc/{number}", "taskDefinition": revision(number)} for number in numbers]
    return {
        "serviceName": name,
        "serviceArn": f"{ARN}:service/c/{name}",
        "status": "ACTIVE",
        "taskDefinition": revision(numbers[0]),
        "deployments": [{**row, "status": "PRIMARY"} for row in rows],
    }


def task(number, name, status="RUNNING"):
    return {
        "taskArn": f"{ARN}:task/c/{name}",
        "taskDefinitionArn": revision(number),
        "lastStatus": status,
    }


class Cloud(AnsweringAws):
    """Revisions 9 to 1; the service uses 9 and 7, a task of its own 5, and one that ends 4."""

    def __init__(self):
        self.services = [service("shop", 9, 7)]
        self.tasks = [task(5, "own"), task(4, "ending", "STOPPING"), task(3, "old", "STOPPED")]
        self.active = [revision(number) for number in range(9, 0, -1)]
        super().__init__(
            {
                "ListTaskDefinitions": lambda _: {
                    "taskDefinitionArns": [*self.active, revision(1, "web-worker")]
                },
                "ListServices": lambda _: {
                    "serviceArns": [each["serviceArn"] for each in self.services]
                },
                "DescribeServices": lambda _: {"services": self.services},
                "DescribeTaskDefinition": {"taskDefinition": {"family": "web"}},
                "ListTasks": lambda asked: {
                    "taskArns": [each["taskArn"] for each in self._wanted(asked["desiredStatus"])]
                },
                "DescribeTasks": lambda asked: {
                    "tasks": [each for each in self.tasks if each["taskArn"] in asked["tasks"]]
                },
                "DeregisterTaskDefinition": {},
                "DeleteTaskDefinitions": {"failures": []},
            }
        )

    def _wanted(self, status):
        return [
            row for row in self.tasks if (row["lastStatus"] == "RUNNING") == (status == "RUNNING")
        ]

    @property
    def gone(self):
        sent = [asked for name, asked in self.asked if name == "DeregisterTaskDefinition"]
        return [asked["taskDefinition"] for asked in sent]


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(revisions, "_BETWEEN_S", 0.0)
    (tmp_path / "ecspresso.yml").write_text(
        "region: eu-west-1\ncluster: c\nservice: shop\ntask_definition: td.json\n"
    )
    (tmp_path / "td.json").write_text('{"family": "web"}')
    aws = Cloud()
    monkeypatch.setattr(ecs_desk, "_opened", lambda *_: aws)
    return aws


def names(*numbers):
    return [f"web:{number}" for number in numbers]


@pytest.mark.parametrize(
    ("keeps", "gone"), [("0", (1, 2, 3, 6, 8)), ("2", (1, 2, 3)), ("5", ()), ("99", ())]
)
def test_what_is_used_stays_and_does_not_count_among_those_that_are_kept(cloud, keeps, gone):
    """By deployments that drain, by tasks of one's own and by tasks that are ending."""
    found = run("ecs", "deregister", "--keeps", keeps, "--force", "--json")
    assert found.exit_code == 0 and cloud.gone == names(*gone) == found.json["going"]
    assert set(found.json["used"]) == {"web:9", "web:7", "web:5", "web:4"}
    assert found.json["outcome"] == ("done" if gone else "nothing to do")


def test_another_service_of_the_cluster_may_use_a_revision(cloud):
    cloud.services.append(service("batch", 2))
    told = run("ecs", "deregister", "--revision", "2", "--force")
    assert told.exit_code == 1 and "web:2 is used by the service batch" in told.stderr
    assert not cloud.gone


@pytest.mark.parametrize(("number", "by"), [("latest", "the service shop"), ("5", "the task own")])
def test_one_that_is_used_is_refused_also_by_force(cloud, number, by):
    told = run("ecs", "deregister", "--revision", number, "--force")
    assert told.exit_code == 1 and by in told.stderr and not cloud.gone


def test_one_alone(cloud):
    cloud.services = [service("shop", 7)]
    assert run("ecs", "deregister", "--revision", "latest", "--force").exit_code == 0
    assert cloud.gone == names(9)
    told = run("ecs", "deregister", "--revision", "33", "--force")
    assert told.exit_code == 2 and "web:33 is no ACTIVE task definition" in told.stderr


def test_what_a_rollback_would_put_back_is_used(cloud, tmp_path):
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    ledger = Ledger(SqliteStore(tmp_path / "s.db"), "test", "shop", "me")
    for release, number in (("r1", 6), ("r2", 8), ("r3", 9)):
        ledger.end(ledger.begin(release, "new"), Outcome.DONE, revision(number))
    told = run("ecs", "deregister", "--revision", "8", "--force")
    assert told.exit_code == 1 and "release rollback --to new" in told.stderr
    run("ecs", "deregister", "--keeps", "0", "--force")
    assert cloud.gone == names(1, 2, 3, 6)


@pytest.mark.parametrize("deletes", [True, False])
def test_a_dry_run_says_what_would_go_and_what_stays(cloud, deletes):
    words = ["--delete"] if deletes else []
    told = run("ecs", "deregister", "--keeps", "2", "--dry-run", *words)
    does = "deregister and delete" if deletes else "deregister"
    assert f"would {does} web:1" in told.stdout and "web:5 stays" in told.stdout
    assert not cloud.gone


def test_it_is_asked_at_a_terminal_and_nobody_there_is_a_no(cloud, monkeypatch):
    told = run("ecs", "deregister", "--keeps", "2")
    assert told.exit_code == 2 and "--force" in told.stderr and not cloud.gone
    monkeypatch.setattr(asking.sys.stdin, "isatty", lambda: True, raising=False)
    asked = []

    def answered(question, **_):
        asked.append(question)
        return answers.pop()

    monkeypatch.setattr(asking.click, "confirm", answered)
    answers = [True, False]
    told = run("ecs", "deregister", "--keeps", "2")
    assert told.exit_code == 1 and "nothing was changed" in told.stderr and not cloud.gone
    assert run("ecs", "deregister", "--keeps", "2").exit_code == 0
    assert cloud.gone == names(1, 2, 3) and "web:1, web:2, web:3" in asked[0]


def test_what_begins_to_run_while_it_is_asked_is_looked_at_again(cloud, monkeypatch):
    monkeypatch.setattr(asking.sys.stdin, "isatty", lambda: True, raising=False)

    def deployed_meanwhile(*_, **__):
        cloud.services.append(service("batch", 2))
        return True

    monkeypatch.setattr(asking.click, "confirm", deployed_meanwhile)
    told = run("ecs", "deregister", "--keeps", "2")
    assert told.exit_code == 1 and "changed meanwhile" in told.stderr and not cloud.gone


def test_half_of_it_is_told_as_half(cloud):
    """Some are gone: that is not a refusal."""
    answers = iter([{}, Refusal("ClientException")])
    cloud.answers["DeregisterTaskDefinition"] = lambda _: next(answers)
    told = run("ecs", "deregister", "--keeps", "2", "--force")
    assert told.exit_code == 3 and "web:1: deregistered; web:2: " in told.stderr


def test_what_was_deregistered_is_deleted_ten_at_once(cloud):
    cloud.active = [revision(number) for number in range(20, 0, -1)]
    assert run("ecs", "deregister", "--keeps", "2", "--delete", "--force").exit_code == 0
    sent = [asked["taskDefinitions"] for name, asked in cloud.asked if name.startswith("Delete")]
    assert [len(each) for each in sent] == [10, 4] and [*chain(*sent)] == cloud.gone
    cloud.answers["DeleteTaskDefinitions"] = {"failures": [{"arn": revision(1), "reason": "busy"}]}
    told = run("ecs", "deregister", "--keeps", "2", "--delete", "--force")
    assert told.exit_code == 3 and "not deleted: web:1: busy" in told.stderr


@pytest.mark.parametrize(
    "words", [[], ["--keeps", "1", "--revision", "2"], ["--revision", "x"], ["--revision", "0"]]
)
def test_which_of_them_has_to_be_said(cloud, words):
    assert run("ecs", "deregister", *words, "--force").exit_code == 2 and not cloud.gone


def test_what_may_not_be_looked_at_may_be_used(cloud):
    cloud.answers["ListTasks"] = Refusal("AccessDeniedException")
    told = run("ecs", "deregister", "--keeps", "0", "--force")
    assert told.exit_code == 1 and "ListTasks" in told.stderr and not cloud.gone
