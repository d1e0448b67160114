"""Task sets: whoever keeps them says what runs and how much of it; kirikae local keeps the
tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.ecs.services import Services
from kirikae.local.ecs.taskrow import is_live
from tests.local_plane import LocalPlane


class Theirs:
    """A service of the controller EXTERNAL, four tasks wide; tasks run as soon as they are
    started."""

    def __init__(self, folder: Path) -> None:
        self.plane = LocalPlane(folder, runs_at_once=True)
        self.services = Services(
            self.plane.state,
            self.plane.agenda,
            self.plane.tasks,
            self.plane.ecs.new_tasks.start_of_service,
        )
        self.ask("CreateCluster", clusterName="default")
        for family in ("blue", "green"):
            self.ask(
                "RegisterTaskDefinition",
                family=family,
                containerDefinitions=[{"name": "a", "image": "a", "memory": 32}],
            )
        external = {"type": "EXTERNAL"}
        self.ask("CreateService", serviceName="s", deploymentController=external, desiredCount=4)
        self.of = {"cluster": "default", "service": "s"}

    def ask(self, operation: str, **params: Any) -> Any:
        return asyncio.run(self.plane.ecs.operations()[operation](params))

    def create(self, definition: str, percent: float) -> str:
        scale = {"value": percent, "unit": "PERCENT"}
        asked = {**self.of, "taskDefinition": definition, "scale": scale, "launchType": "FARGATE"}
        return str(self.ask("CreateTaskSet", **asked)["taskSet"]["id"])

    def scale(self, task_set: str, percent: float) -> None:
        scale = {"value": percent, "unit": "PERCENT"}
        self.ask("UpdateTaskSet", **self.of, taskSet=task_set, scale=scale)

    def live(self) -> dict[str, int]:
        """Family -> its live tasks, after the service was looked at."""
        for _ in range(3):
            self.services._started.clear()
            self.services.sweep()
        counts: dict[str, int] = {}
        for task in self.plane.state.tasks.all():
            if is_live(task):
                family = task["taskDefinitionArn"].rpartition("/")[2].partition(":")[0]
                counts[family] = counts.get(family, 0) + 1
        return counts


@pytest.fixture
def theirs(tmp_path):
    made = Theirs(tmp_path)
    yield made
    made.plane.close()


def test_each_task_set_has_its_part_of_the_tasks(theirs):
    """Rounded up; another number of the service changes all of them."""
    blue = theirs.create("blue", 100.0)
    assert theirs.live() == {"blue": 4}
    green = theirs.create("green", 30.0)
    assert theirs.live() == {"blue": 4, "green": 2}
    shown = {each["id"]: each for each in theirs.ask("DescribeTaskSets", **theirs.of)["taskSets"]}
    assert (shown[green]["computedDesiredCount"], shown[green]["runningCount"]) == (2, 2)
    assert shown[green]["stabilityStatus"] == "STEADY_STATE"
    theirs.ask("UpdateService", **theirs.of, desiredCount=1)
    assert theirs.live() == {"blue": 1, "green": 1}
    assert shown[blue]["status"] == "ACTIVE"


def test_a_task_that_dies_is_replaced_in_its_set(theirs):
    """And no other."""
    theirs.create("blue", 50.0)
    assert theirs.live() == {"blue": 2}
    first = theirs.plane.state.tasks.all()[0]
    theirs.plane.tasks.stop(first["id"], "EssentialContainerExited", "it died")
    assert theirs.live() == {"blue": 2}
    assert len(theirs.plane.state.tasks.all()) == 3


def test_a_deleted_task_set_goes_with_its_last_task(theirs):
    """Traffic was moved by whoever keeps it; the others stay."""
    blue = theirs.create("blue", 100.0)
    green = theirs.create("green", 100.0)
    assert theirs.live() == {"blue": 4, "green": 4}
    theirs.ask("UpdateServicePrimaryTaskSet", **theirs.of, primaryTaskSet=green)
    theirs.scale(blue, 0.0)
    assert theirs.live() == {"green": 4}
    theirs.ask("DeleteTaskSet", **theirs.of, taskSet=blue)
    gone = theirs.ask("DeleteTaskSet", **theirs.of, taskSet=green, force=True)["taskSet"]
    assert gone["status"] == "DRAINING"
    assert theirs.live() == {}
    assert theirs.ask("DescribeTaskSets", **theirs.of)["taskSets"] == []


def test_a_deleted_service_takes_its_task_sets_along(theirs):
    """With all their tasks."""
    theirs.create("blue", 100.0)
    assert theirs.live() == {"blue": 4}
    theirs.ask("DeleteService", **theirs.of, force=True)
    assert theirs.live() == {}
    assert theirs.plane.state.task_sets.all() == []
