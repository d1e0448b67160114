"""kirikae ecs against kirikae local: what init wrote of a service differs from it in nothing, and
every end of a deployment is told by its name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.command import run
from tests.conftest import WEB_IMAGE, Endpoint
from tests.tidy import gone

pytestmark = pytest.mark.engine

ONE = {"name": "a", "image": WEB_IMAGE, "memory": 32, "command": ["sleep", "1000"]}
FARGATE = {
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
}
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bare": ({}, {}),
    "many": (
        {
            "containerDefinitions": [
                {
                    **ONE,
                    "environment": [
                        {"name": "B", "value": "{{ x }}"},
                        {"name": "A", "value": "'<"},
                    ],
                    "portMappings": [{"containerPort": 80}],
                    "healthCheck": {"command": ["CMD-SHELL", "true"]},
                    "dockerLabels": {"Com.Example": "x"},
                    "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
                },
                {**ONE, "name": "b", "essential": False},
            ],
            "tags": [{"key": "z", "value": "1"}, {"key": "a", "value": "2"}],
        },
        {
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                "minimumHealthyPercent": 50,
                "maximumPercent": 150,
            },
            "tags": [{"key": "who", "value": "sre"}],
            "propagateTags": "SERVICE",
            "enableECSManagedTags": True,
        },
    ),
    "spot": (
        {},
        {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]},
    ),
}


NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-b", "subnet-a"]}}


class Made:
    """A cluster with one service of each shape, of which no task is wanted."""

    def __init__(self, local: Endpoint) -> None:
        self.local = local
        self.ecs = local.client("ecs")
        self.ecs.create_cluster(clusterName="files", capacityProviders=["FARGATE", "FARGATE_SPOT"])
        for name, (task, service) in SHAPES.items():
            wanted = {"family": name, "containerDefinitions": [ONE], **FARGATE, **task}
            self.ecs.register_task_definition(**wanted)
            self.ecs.create_service(
                cluster="files",
                serviceName=name,
                taskDefinition=name,
                desiredCount=0,
                networkConfiguration=NETWORK,
                **service,
            )
            local.scope.add(lambda name=name: self._remove(name))

    def _remove(self, name: str) -> None:
        gone(self.ecs.delete_service, cluster="files", service=name, force=True)


@pytest.fixture(scope="module")
def made(local: Endpoint) -> Made:
    return Made(local)


@pytest.fixture
def here(made: Made, tmp_path, monkeypatch) -> Made:
    monkeypatch.chdir(tmp_path)
    for name, value in made.local.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.mark.parametrize("form", [[], ["--jsonnet"], ["--sort"]])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_init_wrote_of_a_service_differs_from_it_in_nothing(here, shape, form):
    """In whichever form it is written."""
    wrote = run("ecs", "init", "--cluster", "files", "--service", shape, *form, "--json")
    assert wrote.exit_code == 0 and len(wrote.json["files"]) == 3, wrote
    found = run("ecs", "diff", "--exit-code", "--json")
    assert (found.exit_code, found.json["outcome"]) == (0, "the same"), found.json
    again = run("ecs", "init", "--cluster", "files", "--service", shape, *form)
    assert again.exit_code == 1 and "nothing was written" in again.stderr


def test_verify_says_of_every_check_how_it_ended(here):
    """OK, NG or SKIP, and what to do about an NG."""
    run("ecs", "init", "--cluster", "files", "--service", "many")
    found = run("ecs", "verify", "--no-put-logs", "--json")
    results = {each["verify"]: each["result"] for each in found.json["checks"]}
    assert results["Cluster"] == results["TaskSize"] == "OK"
    assert set(results.values()) <= {"OK", "NG", "SKIP"}
    assert all(each["message"] for each in found.json["checks"] if each["result"] != "OK")
    assert found.exit_code == (6 if "NG" in results.values() else 0)


def test_a_service_without_tasks_is_no_success(here):
    run("ecs", "init", "--cluster", "files", "--service", "bare")
    found = run("ecs", "wait", "--json")
    assert (found.exit_code, found.json["ending"]) == (3, "scaled_to_zero"), found.json
