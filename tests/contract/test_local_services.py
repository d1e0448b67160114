"""Services on kirikae local: revisions, deployments, the breaker's count, protection, capacity
providers, draining."""

from __future__ import annotations

import urllib.request
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import WEB_IMAGE, Endpoint
from tests.pace import eventually
from tests.tidy import gone

pytestmark = pytest.mark.engine

QUICK = {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 1}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


class Cluster:
    def __init__(self, local: Endpoint, name: str) -> None:
        self.local = local
        self.name = name
        self.ecs = local.client("ecs")
        self.ecs.create_cluster(clusterName=name, capacityProviders=["FARGATE", "FARGATE_SPOT"])

    def define(self, family: str, **change: Any) -> str:
        container = {
            "name": "a",
            "image": WEB_IMAGE,
            "memory": 32,
            "command": ["sleep", "1000"],
            "stopTimeout": 0,
            "healthCheck": QUICK,
        }
        found = self.ecs.register_task_definition(
            family=family,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[container | change],
        )
        return found["taskDefinition"]["taskDefinitionArn"]  # type: ignore[no-any-return]

    def create(self, service: str, count: int, **extra: Any) -> dict[str, Any]:
        """It goes with the test."""
        asked = {"taskDefinition": self.define(service), "desiredCount": count, **extra}
        made = self.ecs.create_service(cluster=self.name, serviceName=service, **asked)
        self.local.scope.add(lambda: self.remove(service))
        return made["service"]  # type: ignore[no-any-return]

    def remove(self, service: str) -> None:
        gone(self.ecs.delete_service, cluster=self.name, service=service, force=True)

    def see(self, service: str) -> dict[str, Any]:
        return self.ecs.describe_services(cluster=self.name, services=[service])["services"][0]  # type: ignore[no-any-return]

    def running(self, service: str, count: int) -> list[dict[str, Any]]:
        def counts() -> tuple[int, int]:
            seen = self.see(service)
            return seen["runningCount"], seen["pendingCount"]

        eventually(lambda: counts() == (count, 0), f"{count} tasks of {service} run", 60, counts)
        arns = self.ecs.list_tasks(cluster=self.name, serviceName=service)["taskArns"]
        if not arns:
            return []
        return self.ecs.describe_tasks(cluster=self.name, tasks=arns)["tasks"]  # type: ignore[no-any-return]

    def complete(self, service: str) -> dict[str, Any]:
        def done() -> bool:
            found = self.see(service)["deployments"]
            return len(found) == 1 and found[0]["rolloutState"] == "COMPLETED"

        eventually(done, f"{service} is complete", 60, lambda: self.state(service))
        return self.see(service)

    def state(self, service: str) -> str:
        """Whatever moves while it is deployed."""
        seen = self.see(service)
        counts = [
            (each["rolloutState"], each["runningCount"], each["pendingCount"], each["failedTasks"])
            for each in seen["deployments"]
        ]
        return f"{counts} {[event['message'] for event in seen['events'][:5]]}"

    def went_back(self, service: str) -> None:
        """Wait until its newest deployment was rolled back."""
        eventually(
            lambda: self.deployments(service)[0]["status"] == "ROLLBACK_SUCCESSFUL",
            f"{service} went back",
            60,
            lambda: self.state(service),
        )

    def deployments(self, service: str) -> list[dict[str, Any]]:
        arns = [
            d["serviceDeploymentArn"]
            for d in self.ecs.list_service_deployments(cluster=self.name, service=service)[
                "serviceDeployments"
            ]
        ]
        return self.ecs.describe_service_deployments(serviceDeploymentArns=arns)[
            "serviceDeployments"
        ]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def cluster(local: Endpoint) -> Cluster:
    return Cluster(local, "services")


def test_a_failing_deployment_goes_back_to_its_last_revision(cluster):
    """The threshold asked for, counted; the service deployment tells its roll-back; the revision's
    own settings come back."""
    cluster.create("back", 1, deploymentConfiguration=BREAKER)
    good = cluster.complete("back")
    assert good["deployments"][0]["rolloutStateReason"].endswith("completed.")
    counted = {
        "deploymentCircuitBreaker": BREAKER["deploymentCircuitBreaker"]
        | {"thresholdConfiguration": {"type": "COUNT", "value": 2}}
    }
    bad = cluster.define("back", image="not-there:1")
    cluster.ecs.update_service(
        cluster="services", service="back", taskDefinition=bad, deploymentConfiguration=counted
    )
    cluster.went_back("back")
    newest, first = cluster.deployments("back")
    assert (
        first["status"] == "SUCCESSFUL"
        and newest["rollback"]["serviceRevisionArn"] == first["targetServiceRevision"]["arn"]
    )
    assert (
        newest["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
        and newest["deploymentCircuitBreaker"]["threshold"] == 2
    )
    seen = cluster.complete("back")
    assert seen["taskDefinition"] == good["taskDefinition"] and seen["runningCount"] == 1
    revision = cluster.ecs.describe_service_revisions(
        serviceRevisionArns=[newest["targetServiceRevision"]["arn"]]
    )["serviceRevisions"][0]
    assert (
        revision["taskDefinition"] == bad
        and revision["containerImages"][0]["image"] == "not-there:1"
    )


def test_an_unhealthy_container_fails_a_deployment(cluster):
    """Container checks count in the second stage: tasks run, are found unhealthy, and the breaker
    trips."""
    cluster.create("sick", 3, deploymentConfiguration=BREAKER)
    cluster.complete("sick")
    bad = cluster.define("sick", healthCheck=QUICK | {"command": ["CMD-SHELL", "false"]})
    cluster.ecs.update_service(cluster="services", service="sick", taskDefinition=bad)
    cluster.went_back("sick")
    stopped = cluster.ecs.list_tasks(
        cluster="services", serviceName="sick", desiredStatus="STOPPED"
    )["taskArns"]
    reasons = Counter(
        t["stoppedReason"]
        for t in cluster.ecs.describe_tasks(cluster="services", tasks=stopped)["tasks"]
    )
    assert reasons["Task failed container health checks"] >= 3
    breaker = cluster.deployments("sick")[0]["deploymentCircuitBreaker"]
    assert (breaker["status"], breaker["threshold"]) == ("TRIGGERED", 3)


def test_a_deployment_is_stopped_by_hand(cluster):
    """StopServiceDeployment takes it back to the last completed revision."""
    cluster.create("stopped", 1)
    good = cluster.complete("stopped")["taskDefinition"]
    never = cluster.define(
        "stopped", healthCheck=QUICK | {"command": ["CMD-SHELL", "false"], "startPeriod": 300}
    )
    cluster.ecs.update_service(cluster="services", service="stopped", taskDefinition=never)
    arn = cluster.see("stopped")["currentServiceDeployment"]
    cluster.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    assert cluster.complete("stopped")["taskDefinition"] == good
    assert cluster.deployments("stopped")[0]["status"] == "ROLLBACK_SUCCESSFUL"
    with pytest.raises(ClientError, match="ConflictException"):
        cluster.ecs.stop_service_deployment(serviceDeploymentArn=arn)


def test_protected_tasks_stay_when_the_service_shrinks(cluster):
    """Scale-in takes the others."""
    cluster.create("kept", 3)
    tasks = cluster.running("kept", 3)
    shield = max(tasks, key=lambda t: t["createdAt"])["taskArn"]
    told = cluster.ecs.update_task_protection(
        cluster="services", tasks=[shield], protectionEnabled=True, expiresInMinutes=5
    )
    assert told["protectedTasks"][0]["protectionEnabled"] and not told["failures"]
    cluster.ecs.update_service(cluster="services", service="kept", desiredCount=1)
    assert [t["taskArn"] for t in cluster.running("kept", 1)] == [shield]
    alone = cluster.ecs.run_task(cluster="services", taskDefinition="kept")["tasks"][0]["taskArn"]
    cluster.local.scope.add(lambda: cluster.ecs.stop_task(cluster="services", task=alone))
    told = cluster.ecs.update_task_protection(
        cluster="services", tasks=[alone], protectionEnabled=True
    )
    assert told["failures"][0]["reason"] == "TASK_NOT_VALID"


def test_spot_is_taken_away_and_filled_again(cluster):
    """Base on demand, the rest by weight; an interruption ends with its own stop code and the
    service refills on spot."""
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    network = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    cluster.create("spot", 5, capacityProviderStrategy=strategy, networkConfiguration=network)
    where = Counter(t["capacityProviderName"] for t in cluster.running("spot", 5))
    assert where == {"FARGATE": 2, "FARGATE_SPOT": 3}
    request = urllib.request.Request(
        f"{cluster.local.status['endpoint']}/_kirikae/interrupt-spot?percent=60",
        method="POST",
        headers={"X-Kirikae": "1"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.read().count(b"arn:aws:ecs") == 2
    eventually(
        lambda: (
            len(
                cluster.ecs.list_tasks(
                    cluster="services", serviceName="spot", desiredStatus="STOPPED"
                )["taskArns"]
            )
            == 2
        ),
        "two stopped",
    )
    assert Counter(t["capacityProviderName"] for t in cluster.running("spot", 5)) == where
    arns = cluster.ecs.list_tasks(cluster="services", serviceName="spot", desiredStatus="STOPPED")[
        "taskArns"
    ]
    stopped = cluster.ecs.describe_tasks(cluster="services", tasks=arns)["tasks"]
    assert {(t["stopCode"], t["stoppedReason"]) for t in stopped} == {
        ("SpotInterruption", "Your Spot Task was interrupted.")
    }


def test_a_deleted_service_drains(cluster):
    """DRAINING hides it from the list and holds its name; then it is INACTIVE and the name is
    free."""
    cluster.create("gone", 1, tags=[{"key": "team", "value": "shop"}], propagateTags="SERVICE")
    task = cluster.running("gone", 1)[0]["taskArn"]
    assert cluster.ecs.list_tags_for_resource(resourceArn=task)["tags"] == [
        {"key": "team", "value": "shop"}
    ]
    with pytest.raises(ClientError, match="scaled above 0"):
        cluster.ecs.delete_service(cluster="services", service="gone")
    cluster.ecs.delete_service(cluster="services", service="gone", force=True)
    assert cluster.see("gone")["status"] in ("DRAINING", "INACTIVE")
    assert not any(
        "gone" in arn for arn in cluster.ecs.list_services(cluster="services")["serviceArns"]
    )
    cluster.ecs.get_waiter("services_inactive").wait(
        cluster="services", services=["gone"], WaiterConfig={"Delay": 1, "MaxAttempts": 600}
    )
    cluster.create("gone", 0)
    cluster.ecs.delete_service(cluster="services", service="gone")


def test_events_speak_as_aws_does(cluster):
    """Started, stopped, steady; each text once."""
    cluster.create("told", 2)
    cluster.complete("told")
    messages = [e["message"] for e in cluster.see("told")["events"]]
    assert messages[0] == "(service told) has reached a steady state."
    assert any(
        m.startswith("(service told) has started 2 tasks: (task ") for m in messages
    ) and len(set(messages)) == len(messages)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            {"deploymentConfiguration": {"earlySuccessCriteria": {"enable": True}}},
            "UnsupportedFeatureException",
        ),
        ({"deploymentConfiguration": {"strategy": "BLUE_GREEN"}}, "InvalidParameterException"),
        (
            {"deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 100}},
            "InvalidParameterException",
        ),
        (
            {"capacityProviderStrategy": [{"capacityProvider": "asg", "weight": 1}]},
            "InvalidParameterException",
        ),
        ({"launchType": "EXTERNAL"}, "UnsupportedFeatureException"),
        ({"serviceConnectConfiguration": {"enabled": True}}, "UnsupportedFeatureException"),
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "UnsupportedFeatureException"),
    ],
)
def test_what_a_service_may_not_ask(cluster, change, code):
    """AWS's refusals by their names, and our own by kirikae's."""
    definition = cluster.define("asks")
    with pytest.raises(ClientError) as caught:
        cluster.ecs.create_service(
            cluster="services", serviceName="asks", taskDefinition=definition, **change
        )
    told = caught.value.response["Error"]
    assert told["Code"] == code
    assert ("kirikae" in told["Message"]) == (code == "UnsupportedFeatureException")
