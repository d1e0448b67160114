"""`kirikae ecs run`, `deregister` and `delete` against kirikae local's own ECS, without containers:
what it refuses, AWS refuses, and what it shows is told."""

from __future__ import annotations

import json

import pytest

from kirikae.console import ecs_desk
from kirikae.release.ecs import revisions, single_run
from tests.answering import AnsweringAws
from tests.command import run
from tests.unit.test_local_records import Account

DEFINITION = {
    "family": "web",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "web", "image": "httpd", "memory": 64}],
}
SERVICE = {
    "launchType": "FARGATE",
    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-a"]}},
    "desiredCount": 0,
}
CALLS = (
    "DeleteService",
    "DeleteTaskDefinitions",
    "DeregisterTaskDefinition",
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeTasks",
    "ListServices",
    "ListTaskDefinitions",
    "ListTasks",
    "RegisterTaskDefinition",
    "RunTask",
)


class Cloud(AnsweringAws):
    """Every call of ECS is carried out by kirikae local's own plane."""

    def __init__(self, folder):
        self.account = Account(folder)
        super().__init__({name: self._of(name) for name in CALLS})

    def _of(self, name):
        return lambda asked: self.account.ask(f"ecs {name}", **asked)


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(revisions, "_BETWEEN_S", 0.0)
    monkeypatch.setattr(single_run, "_LAG_S", 0.0)
    (tmp_path / "ecspresso.yml").write_text(
        "region: eu-west-1\ncluster: c\nservice: shop\n"
        "service_definition: sv.json\ntask_definition: td.json\n"
    )
    (tmp_path / "sv.json").write_text(json.dumps(SERVICE))
    (tmp_path / "td.json").write_text(json.dumps(DEFINITION))
    aws = Cloud(tmp_path)
    monkeypatch.setattr(ecs_desk, "_opened", lambda *_: aws)
    aws.account.ask("ecs CreateCluster", clusterName="c")
    aws.account.ask("ecs RegisterTaskDefinition", **DEFINITION)
    aws.account.ask(
        "ecs CreateService", cluster="c", serviceName="shop", taskDefinition="web", **SERVICE
    )
    return aws


def test_revisions_of_tasks_and_services_stay_and_the_service_goes(cloud):
    """web:1 is the service's, web:2 to web:4 each have been run by a task of their own."""
    for _ in range(3):
        begun = run("ecs", "run", "--no-wait", "--json")
        assert (begun.exit_code, begun.json["ending"]) == (0, "begun"), begun
    again = run("ecs", "run", "--skip-task-definition", "--no-wait", "--json")
    assert again.json["task_definition"].endswith("web:1"), again
    state = cloud.account.plane.state.tasks
    (third,) = [row for row in state.all() if row["taskDefinitionArn"].endswith(":3")]
    state.put(third["id"], {**third, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"})
    found = run("ecs", "deregister", "--keeps", "0", "--delete", "--force", "--json")
    assert (found.exit_code, found.json["going"]) == (0, ["web:3"]), found
    assert set(found.json["used"]) == {"web:1", "web:2", "web:4"}
    gone = run("ecs", "delete", "--force", "--i-mean-production", "--json")
    assert (gone.exit_code, gone.json["status"]) == (0, "INACTIVE"), gone
    assert run("ecs", "delete", "--force", "--i-mean-production").exit_code == 2


def test_what_runs_is_told_and_what_has_ended_as_it_ended(cloud):
    """Waited for until it runs; then until it has ended, which somebody else brings about."""
    found = run("ecs", "run", "--wait-until", "running", "--json")
    assert (found.exit_code, found.json["ending"]) == (0, "running"), found
    describe = cloud.answers["DescribeTasks"]

    def stopped(asked):
        for arn in asked["tasks"]:
            cloud.account.ask("ecs StopTask", cluster="c", task=arn, reason="enough")
        return describe(asked)

    cloud.answers["DescribeTasks"] = stopped
    found = run("ecs", "run", "--json")
    assert (found.exit_code, found.json["ending"]) == (3, "stopped"), found
    (task,) = found.json["tasks"]
    assert (task["stop_code"], task["reason"]) == ("UserInitiated", "enough")


def test_with_the_same_token_the_same_task_is_begun_once(cloud):
    words = ["ecs", "run", "--skip-task-definition", "--no-wait", "--client-token", "m1", "--json"]
    first, second = run(*words), run(*words)
    assert first.json["tasks"] == second.json["tasks"], (first, second)
    assert len(cloud.account.plane.state.tasks.all()) == 1
