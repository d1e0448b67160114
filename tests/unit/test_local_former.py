"""Rows that the former version of kirikae local wrote (``tests/data/former/local-rows.json``) are
read, shown and gone on with."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.api import Ecs
from kirikae.local.ecs.services import Services
from kirikae.local.elb.api import Elb
from kirikae.local.elb.cloudwatch import CloudWatch
from kirikae.local.elb.configuration import Configuration, Places
from kirikae.local.elb.known import Known
from kirikae.local.elb.targets import Targets
from kirikae.local.errors import AwsError
from kirikae.local.state import State

FORMER = Path(__file__).parents[1] / "data" / "former" / "local-rows.json"
REGION = "ap-northeast-1"
PREFIX = f"arn:aws:elasticloadbalancing:{REGION}:123456789012:"
SCHEMA = """
create table thing (
    kind text, id text, body text not null, primary key (kind, id)
) strict, without rowid;
create table figure (
    subject text, second integer, body text not null, primary key (subject, second)
) strict, without rowid;
"""


class Nobody:
    """HAProxy, its checks and the engine: nothing happens."""

    def is_told(self, key: str) -> bool:
        return True

    def __init__(self) -> None:
        self.stopped: list[str] = []

    async def set_targets(self, group_id: str) -> None:
        """HAProxy's part."""

    def assert_all(self) -> None:
        """The checks' part."""

    def poke(self, task_id: str) -> None:
        """The engine's part."""

    def stop(self, task_id: str, code: str, reason: str) -> None:
        self.stopped.append(task_id)

    def engine_name(self, task_id: str, container: str) -> str:
        return container


class World:
    """What the former version left, and the APIs of this one over it."""

    def __init__(self, folder: Path) -> None:
        former = json.loads(FORMER.read_text(encoding="utf-8"))
        self.rows: dict[str, dict[str, Any]] = former["rows"]
        for row in self.rows["token"].values():
            row["at"] = time.time()  # tokens are kept for a day; the file is older
        with sqlite3.connect(folder / "state.db") as database:
            database.executescript(SCHEMA)
            for kind, known in self.rows.items():
                for key, row in known.items():
                    database.execute(
                        "insert into thing values (?, ?, ?)", (kind, key, json.dumps(row))
                    )
            for subject, second, body in former["figures"]:
                database.execute(
                    "insert into figure values (?, ?, ?)", (subject, second, json.dumps(body))
                )
        self.state = State(folder / "state.db")
        self.nobody: Any = Nobody()
        known_rows = Known(self.state)
        targets = Targets(self.state, known_rows, self.nobody, self.nobody)
        self.agenda = Agenda(lambda: 0.0)
        self.ecs = Ecs(self.state, self.nobody, targets, self.agenda, REGION)
        elb = Elb(self.state, known_rows, self.nobody, targets, self.nobody, PREFIX)
        self.operations = {**self.ecs.operations(), **elb.operations()}

    def ask(self, operation: str, **params: Any) -> Any:
        return asyncio.run(self.operations[operation](params))

    def one(self, kind: str) -> Any:
        return next(iter(self.rows[kind].values()))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_every_row_is_read(world):
    """As it was written, in the table of its kind; none is left over."""
    tables = {table.kind: table for table in vars(world.state).values() if hasattr(table, "kind")}
    assert set(world.rows) <= set(tables)
    for kind, known in world.rows.items():
        assert {key: tables[kind][key] for key in known} == known


def test_services_and_tasks_are_shown(world):
    """Counts, health, deployments, revisions, tags."""
    (service,) = world.ask("DescribeServices", cluster="shop", services=["web"])["services"]
    assert (service["desiredCount"], service["status"]) == (2, "ACTIVE")
    assert [entry["status"] for entry in service["deployments"]] == ["PRIMARY", "ACTIVE"]
    arns = world.ask("ListTasks", cluster="shop", serviceName="web")["taskArns"]
    tasks = world.ask("DescribeTasks", cluster="shop", tasks=arns, include=["TAGS"])["tasks"]
    running = [task for task in tasks if task["lastStatus"] == "RUNNING"]
    assert len(running) == 2 and {task["healthStatus"] for task in running} == {"HEALTHY"}
    arn = world.one("servicedeployment")["serviceDeploymentArn"]
    found = world.ask("DescribeServiceDeployments", serviceDeploymentArns=[arn])
    assert found["serviceDeployments"][0]["deploymentCircuitBreaker"]["threshold"] == 3
    revision = world.one("revision")["serviceRevisionArn"]
    told = world.ask("DescribeServiceRevisions", serviceRevisionArns=[revision])
    assert told["serviceRevisions"][0]["containerImages"][0]["image"] == "shop:r1"
    cluster = world.one("cluster")["clusterArn"]
    assert world.ask("ListTagsForResource", resourceArn=cluster)["tags"][0]["value"] == "web"
    protected = world.ask("GetTaskProtection", cluster="shop", tasks=arns)["protectedTasks"]
    assert len(protected) == len(arns)


def test_a_client_token_still_names_its_service(world):
    """The request of then is answered with what it brought, and brings nothing new; another one
    under its token is refused."""
    group = next(row for row in world.rows["group"].values() if row["name"] == "shop-a")
    binding = {"targetGroupArn": group["arn"], "containerName": "web", "containerPort": 8000}
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    asked = {
        "cluster": "shop",
        "serviceName": "web",
        "taskDefinition": "web",
        "desiredCount": 2,
        "loadBalancers": [binding],
        "deploymentConfiguration": breaker,
        "clientToken": "t1",
    }
    told = world.ask("CreateService", **asked)
    assert told["service"]["serviceArn"] == world.one("service")["serviceArn"]
    assert len(world.state.service_deployments.all()) == len(world.rows["servicedeployment"])
    with pytest.raises(AwsError, match="ConflictException"):
        world.ask("CreateService", **asked | {"desiredCount": 3})


def test_the_load_balancer_is_rendered_and_shown(world, tmp_path):
    """Rules with their weights and conditions, targets in their slots."""
    places = Places(tmp_path, tmp_path / "weights.map", ("127.0.0.1:1",), 2, 3)
    text = Configuration(world.state, places).rendered().text
    targets = world.rows["target"].values()
    for target in targets:
        assert f"server s{target['slot']} {target['address']}:{target['port']} " in text
    assert "path -m reg '^/old/.*$'" in text
    listener = world.one("listener")["arn"]
    rules = world.ask("DescribeRules", ListenerArn=listener)["Rules"]
    assert [rule["Priority"] for rule in rules] == ["5", "default"]
    group = next(row for row in world.rows["group"].values() if row["name"] == "shop-a")
    health = world.ask("DescribeTargetHealth", TargetGroupArn=group["arn"])
    states = sorted(each["TargetHealth"]["State"] for each in health["TargetHealthDescriptions"])
    assert states == ["draining", "healthy"]
    assert world.ask("DescribeTags", ResourceArns=[group["arn"]])["TagDescriptions"]


def test_figures_are_read(world):
    """Counts by millisecond, as text keys were."""
    group = next(row for row in world.rows["group"].values() if row["name"] == "shop-a")
    name = f"targetgroup/shop-a/{group['id']}"
    metric = {
        "MetricName": "TargetResponseTime",
        "Dimensions": [{"Name": "TargetGroup", "Value": name}],
    }
    query = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "p50"}}
    asked = {"StartTime": 540, "EndTime": 700, "MetricDataQueries": [query]}
    told = asyncio.run(CloudWatch(world.state).get_metric_data(asked))
    assert told["MetricDataResults"][0]["Values"] == [0.012]


def test_a_deployment_goes_on(world):
    """The new tasks become healthy: the former ones go, and it completes."""
    now = max(task["createdAt"] for task in world.rows["task"].values()) + 60
    services = Services(
        world.state,
        world.agenda,
        world.nobody,
        lambda *_: pytest.fail("nothing is to be started"),
        clock=lambda: now,
    )
    newest = world.one("service")["deployments"][0]["id"]
    for task in world.state.tasks.all():
        if task["startedBy"] == newest:
            runs = {"lastStatus": "RUNNING", "startedAt": now, "healthStatus": "HEALTHY"}
            world.state.tasks.put(task["id"], {**task, **runs, "_bindings": []})
    services.sweep()
    former = [
        task["id"]
        for task in world.state.tasks.all()
        if task["group"] == "service:web" and task["startedBy"] != newest
    ]
    protected = [key for key in former if world.state.tasks[key].get("_protectedUntil", 0) > now]
    assert set(world.nobody.stopped) == set(former) - set(protected) and len(former) == 2
