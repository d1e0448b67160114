"""Dask's scheduler and workers as tasks: what is asked of ECS, on an ECS of a few lines."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from kirikae.logs.errors import LogsNotReady, TreeTrouble
from kirikae.logs.on_ecs import Wanted, Workers, definition
from tests.logs_place import PROJECT, LogsPlace

ROLE = "arn:aws:iam::123456789012:role/x"
WANTED = Wanted("shop-web-dask", "c", "ap-northeast-1", "image", 256, 512, ("s",), ("g",), ROLE)
BUILD = "build: {subnets: [subnet-1]}\n"
SCALE = f'    scale: {{image: "i:1", execution_role: "{ROLE}"}}\n'


@dataclass
class Ecs:
    """Tasks run at once, and have an address.  ``room``: for how many more."""

    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    room: int = 1000
    page: int = 2
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def call(self, service: Any, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, json.loads(json.dumps(asked))))
        found: dict[str, Any] = getattr(self, f"_{operation}")(asked)
        return found

    def _RegisterTaskDefinition(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"taskDefinition": {"taskDefinitionArn": f"{asked['family']}:1"}}

    def _RunTask(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.room < asked["count"]:
            return {"tasks": [], "failures": [{"reason": "RESOURCE:MEMORY"}]}
        made = []
        for _ in range(asked["count"]):
            arn = f"task/{len(self.asked)}-{len(self.tasks)}"
            detail = {"name": "privateIPv4Address", "value": "10.0.0.7"}
            self.tasks[arn] = {
                "taskArn": arn,
                "taskDefinitionArn": asked["taskDefinition"],
                "lastStatus": "RUNNING",
                "attachments": [{"details": [detail]}],
            }
            made.append(self.tasks[arn])
        return {"tasks": made}

    def _ListTasks(self, asked: dict[str, Any]) -> dict[str, Any]:
        begin = int(asked.get("nextToken", "0"))
        arns = list(self.tasks)[begin : begin + self.page]
        more = begin + self.page < len(self.tasks)
        return {"taskArns": arns, **({"nextToken": str(begin + self.page)} if more else {})}

    def _DescribeTasks(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"tasks": [self.tasks[arn] for arn in asked["tasks"]]}

    def _StopTask(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.tasks.pop(asked["task"], None)
        return {}

    def workers(self) -> list[str]:
        return [arn for arn, each in self.tasks.items() if "worker" in each["taskDefinitionArn"]]


def crew(ecs: Ecs, count: int = 3) -> Workers:
    return Workers(ecs, WANTED, count, sleep=lambda s: None, clock=iter(range(10**6)).__next__)  # type: ignore[arg-type]


def test_a_scheduler_then_workers_that_know_its_address():
    """What a killed run left is stopped first; all of them end with this one."""
    ecs = Ecs()
    ecs._RunTask({"taskDefinition": "shop-web-dask-worker:1", "count": 1})
    left = list(ecs.tasks)
    workers = crew(ecs, 25)
    assert workers.start() == "dask://10.0.0.7:8786"
    assert left[0] not in ecs.tasks and len(ecs.workers()) == 25 and len(ecs.tasks) == 26
    runs = [asked for operation, asked in ecs.asked if operation == "RunTask"]
    assert [run["count"] for run in runs] == [1, 10, 10, 5]
    override = runs[1]["overrides"]["containerOverrides"][0]["command"]
    assert override[0] == "worker" and override[-1] == "tcp://10.0.0.7:8786"
    assert {run["startedBy"] for run in runs} == {"shop-web-dask"}
    workers.stop()
    assert not ecs.tasks


def test_workers_that_are_gone_are_made_up_for():
    """As many as were asked for, never more."""
    ecs = Ecs()
    workers = crew(ecs)
    workers.start()
    for arn in ecs.workers()[:2]:
        del ecs.tasks[arn]
    ecs.room = 0
    for _ in range(40):
        workers.keep_up()
    assert len(ecs.workers()) == 1
    ecs.room = 9
    for _ in range(40):
        workers.keep_up()
    assert len(ecs.workers()) == 3


def test_no_room_and_a_scheduler_that_ends_at_once_are_told():
    """With what to do; nothing is left running."""
    with pytest.raises(LogsNotReady, match="RESOURCE:MEMORY"):
        crew(Ecs(room=0)).start()

    class Ends(Ecs):
        def _RunTask(self, asked: dict[str, Any]) -> dict[str, Any]:
            return {"tasks": [{"taskArn": "task/gone"}]}

    with pytest.raises(TreeTrouble, match="CloudWatch Logs"):
        crew(Ends()).start()


def test_the_definitions_are_what_ecs_takes():
    """By botocore's own model; one thread a worker, and none outlives its scheduler for long."""
    import boto3
    from botocore.validate import validate_parameters

    client = boto3.client("ecs", "ap-northeast-1")
    shape = client.meta.service_model.operation_model("RegisterTaskDefinition").input_shape
    for part in ("scheduler", "worker"):
        made = definition(WANTED, part)
        validate_parameters(made, shape)
        [container] = made["containerDefinitions"]
        assert container["command"][0] == part
    assert container["command"][1:3] == ["--nthreads", "1"] and "--death-timeout" in str(container)


def test_the_files_of_a_run_on_ecs(tmp_path):
    """Written once; something else under the same name is not written over."""
    place = LogsPlace(tmp_path)
    words = ["logs", "backfill", "web", "--on", "ecs:3"]
    assert place.run(*words, "--write", str(tmp_path / "ecs")).exit_code == 2
    (tmp_path / "kirikae.yml").write_text(PROJECT + SCALE)
    assert "subnets" in place.run(*words, "--write", str(tmp_path / "ecs")).stderr
    (tmp_path / "kirikae.yml").write_text(BUILD + PROJECT + SCALE)
    assert place.run(*words, "--write", str(tmp_path / "ecs"), "--dry-run").exit_code == 0
    assert not (tmp_path / "ecs").exists()
    for _ in range(2):
        assert place.run(*words, "--write", str(tmp_path / "ecs")).exit_code == 0
    dockerfile = tmp_path / "ecs" / "Dockerfile"
    assert (
        "kirikae[logs,scale]==" in dockerfile.read_text()
        and "docker build -t i:1" in dockerfile.read_text()
    )
    dockerfile.write_text("FROM scratch")
    assert place.run(*words, "--write", str(tmp_path / "ecs")).exit_code == 2
    assert dockerfile.read_text() == "FROM scratch"


@pytest.mark.parametrize("on", ["ecs:0", "ecs:many", "ecs:1000", "dask://", "here"])
def test_what_cannot_be_is_refused(tmp_path, on):
    """With how to write it; folders of this machine are not on tasks of ECS."""
    place = LogsPlace(tmp_path, "")
    (tmp_path / "kirikae.yml").write_text(BUILD + PROJECT + SCALE)
    place.fill(days=1, count=24)
    assert place.run("logs", "backfill", "web", "--on", on).exit_code == 2
    assert place.run("logs", "backfill", "web", "--on", "ecs:2").exit_code == 2
    assert not place.tree()
