"""What was deleted, or never was, is told as AWS tells it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.ecs.clusters import DELETED_KEPT_S
from kirikae.local.errors import AwsError
from tests.local_plane import REGION, LocalPlane

PREFIX = f"arn:aws:ecs:{REGION}:123456789012:"
DEFINITION = {"family": "web", "containerDefinitions": [{"name": "w", "image": "x", "memory": 64}]}


class Account:
    """A cluster ``one`` with a definition ``web``; tasks run at once, and stop at once."""

    def __init__(self, folder: Path) -> None:
        self.plane = LocalPlane(folder, runs_at_once=True)
        self._operations = self.plane.ecs.operations()
        self.ask("CreateCluster", clusterName="one")
        self.ask("RegisterTaskDefinition", **DEFINITION)

    def ask(self, operation: str, **params: Any) -> Any:
        return asyncio.run(self._operations[operation](params))


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path)


def test_a_deleted_cluster_is_told_for_a_while_and_takes_nothing(account):
    """API reference, DeleteCluster: "might remain discoverable"; gruntwork-io/cloud-nuke #145:
    ListClusters names it, and TagResource says so."""
    arn = account.ask("DeleteCluster", cluster="one")["cluster"]["clusterArn"]
    [shown] = account.ask("DescribeClusters", clusters=["one"])["clusters"]
    assert (shown["clusterArn"], shown["status"]) == (arn, "INACTIVE")
    assert "deletedAt" not in shown
    assert account.ask("ListClusters")["clusterArns"] == [arn]
    with pytest.raises(AwsError, match="Cluster not found"):
        account.ask("RunTask", cluster="one", taskDefinition="web")
    with pytest.raises(AwsError, match="The specified cluster is inactive"):
        account.ask("TagResource", resourceArn=arn, tags=[{"key": "a", "value": "b"}])
    deleted_at = account.plane.state.clusters[arn]["deletedAt"]
    account.plane.ecs.forget(deleted_at + DELETED_KEPT_S)
    assert account.ask("ListClusters")["clusterArns"] == [arn]
    account.plane.ecs.forget(deleted_at + DELETED_KEPT_S + 1)
    assert account.ask("ListClusters")["clusterArns"] == []


def test_a_deleted_cluster_can_be_made_again(account):
    """Without anything of the former one."""
    tags = [{"key": "a", "value": "b"}]
    account.ask(
        "CreateCluster",
        clusterName="two",
        tags=tags,
        settings=[{"name": "containerInsights", "value": "enabled"}],
    )
    account.ask("DeleteCluster", cluster="two")
    made = account.ask("CreateCluster", clusterName="two")["cluster"]
    assert (made["status"], made["tags"], made["settings"]) == ("ACTIVE", [], [])
    account.plane.ecs.forget(2**40)
    [shown] = account.ask("DescribeClusters", clusters=["two"])["clusters"]
    assert shown["status"] == "ACTIVE"


def test_a_service_without_tasks_is_inactive_at_once(account):
    """API reference, DeleteService: DRAINING "if there are still running tasks"."""
    named = {"cluster": "one", "serviceName": "web", "taskDefinition": "web"}
    account.ask("CreateService", **named, desiredCount=2)
    gone = account.ask("DeleteService", cluster="one", service="web", force=True)["service"]
    assert (gone["status"], gone["desiredCount"], gone["events"]) == ("INACTIVE", 0, [])
    made = account.ask("CreateService", **named, desiredCount=0)["service"]
    assert made["status"] == "ACTIVE"


def test_a_service_that_never_was_is_told_without_its_cluster(account):
    """aws-actions/amazon-ecs-deploy-task-definition #312, #369, #544: "...:service/NAME is
    MISSING"."""
    failures = account.ask("DescribeServices", cluster="one", services=["no"])["failures"]
    assert failures == [{"arn": f"{PREFIX}service/no", "reason": "MISSING"}]


def test_tags_of_the_last_request_come_last(account):
    """A key that is there already is replaced."""
    arn = f"{PREFIX}cluster/one"
    account.ask("TagResource", resourceArn=arn, tags=[{"key": "a", "value": "1"}])
    both = [{"key": "b", "value": "2"}, {"key": "a", "value": "3"}]
    account.ask("TagResource", resourceArn=arn, tags=both)
    assert account.ask("ListTagsForResource", resourceArn=arn)["tags"] == both


def test_defaults_of_service_connect_are_told(account):
    """And stay when something else is changed."""
    defaults = {"namespace": "ns"}
    account.ask("UpdateCluster", cluster="one", serviceConnectDefaults=defaults)
    account.ask("UpdateClusterSettings", cluster="one", settings=[])
    [shown] = account.ask("DescribeClusters", clusters=["one"])["clusters"]
    assert shown["serviceConnectDefaults"] == defaults
