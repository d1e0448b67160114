"""An ARN acts on what it names: cluster, account and region; never on a namesake."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.errors import AwsError
from kirikae.local.sqs.api import Sqs
from kirikae.local.sqs.places import Place
from tests.local_plane import REGION, LocalPlane

PREFIX = f"arn:aws:ecs:{REGION}:123456789012:"
ELSEWHERE = ["arn:aws:ecs:eu-west-1:123456789012:", f"arn:aws:ecs:{REGION}:999999999999:"]


class Account:
    """Clusters x1 and x2, each with a service `web` and a task."""

    def __init__(self, folder: Path) -> None:
        self.plane = LocalPlane(folder)
        container = {"name": "web", "image": "x", "memory": 64}
        self.ask("RegisterTaskDefinition", family="web", containerDefinitions=[container])
        self.tasks = {}
        for cluster in ("x1", "x2"):
            self.ask("CreateCluster", clusterName=cluster)
            self.ask("CreateService", cluster=cluster, serviceName="web", taskDefinition="web")
            ran = self.ask("RunTask", cluster=cluster, taskDefinition="web")
            self.tasks[cluster] = ran["tasks"][0]["taskArn"]

    def ask(self, operation: str, **params: Any) -> Any:
        return asyncio.run(self.plane.ecs.operations()[operation](params))

    def status(self, cluster: str) -> str:
        return str(self.plane.state.services[f"{PREFIX}service/{cluster}/web"]["status"])


@pytest.fixture
def account(tmp_path: Path) -> Any:
    found = Account(tmp_path)
    yield found
    found.plane.close()


@pytest.mark.parametrize("operation", ["DeleteService", "UpdateService", "ListServiceDeployments"])
@pytest.mark.parametrize(
    "arn",
    [
        f"{PREFIX}service/x2/web",
        *(f"{begin}service/x1/web" for begin in ELSEWHERE),
        f"{PREFIX}cluster/x1/web",
    ],
)
def test_a_service_s_arn_never_means_a_namesake(account, operation, arn):
    """It once deleted x1/web when x2/web was named."""
    extra = {"force": True} if operation == "DeleteService" else {}
    with pytest.raises(AwsError) as told:
        account.ask(operation, cluster="x1", service=arn, **extra)
    assert told.value.code == "ServiceNotFoundException"
    assert (account.status("x1"), account.status("x2")) == ("ACTIVE", "ACTIVE")


def test_what_an_arn_names_is_found(account):
    """By its ARN, by the ARN of before 2018, and by its name."""
    for name in (f"{PREFIX}service/x1/web", f"{PREFIX}service/web", "web"):
        told = account.ask("DescribeServices", cluster="x1", services=[name])
        assert [each["clusterArn"] for each in told["services"]] == [f"{PREFIX}cluster/x1"]
    account.ask("DeleteService", cluster="x2", service=f"{PREFIX}service/x2/web", force=True)
    assert (account.status("x1"), account.status("x2")) == ("ACTIVE", "INACTIVE")


@pytest.mark.parametrize("begin", ELSEWHERE)
def test_other_accounts_and_regions_have_nothing_here(account, begin):
    """Clusters, tasks, definitions and services of the same names."""
    task = account.tasks["x1"]
    theirs = task.replace(PREFIX, begin)
    with pytest.raises(AwsError) as told:
        account.ask("ListTasks", cluster=f"{begin}cluster/x1")
    assert told.value.code == "ClusterNotFoundException"
    found = account.ask("DescribeTasks", cluster="x1", tasks=[theirs, task])
    assert [each["taskArn"] for each in found["tasks"]] == [task]
    assert found["failures"] == [{"arn": theirs, "reason": "MISSING"}]
    with pytest.raises(AwsError, match="not found"):
        account.ask("StopTask", cluster="x1", task=theirs)
    with pytest.raises(AwsError, match="Unable to describe task definition"):
        account.ask("RunTask", cluster="x1", taskDefinition=f"{begin}task-definition/web:1")
    failures = account.ask("DescribeClusters", clusters=[f"{begin}cluster/x1"])["failures"]
    assert failures == [{"arn": f"{begin}cluster/x1", "reason": "MISSING"}]
    with pytest.raises(AwsError, match="cannot be found"):
        account.ask("ListTagsForResource", resourceArn=theirs)


def test_a_task_of_another_cluster_is_not_found(account):
    """As on AWS, though its ARN names it."""
    found = account.ask("DescribeTasks", cluster="x1", tasks=[account.tasks["x2"]])
    assert found["tasks"] == [] and found["failures"][0]["arn"] == account.tasks["x2"]


def test_a_queue_of_another_account_is_not_there(tmp_path):
    """Whatever the host of its URL is."""
    plane = LocalPlane(tmp_path)
    ask = Sqs(plane.queues, Place(REGION, REGION, "http://127.0.0.1:1")).operations()
    asyncio.run(ask["CreateQueue"]({"QueueName": "q"}))
    for host in ("127.0.0.1:1", "172.18.0.1:4566", "sqs.eu-west-1.amazonaws.com"):
        asyncio.run(ask["GetQueueAttributes"]({"QueueUrl": f"http://{host}/123456789012/q"}))
        with pytest.raises(AwsError) as told:
            asyncio.run(ask["PurgeQueue"]({"QueueUrl": f"http://{host}/999999999999/q"}))
        assert "NonExistentQueue" in told.value.code or "DoesNotExist" in told.value.code
    plane.close()
