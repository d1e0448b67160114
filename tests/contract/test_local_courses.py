"""Deployments that shift traffic, on a real engine and a real HAProxy, under load."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kirikae.local import control
from kirikae.local.files import free_port
from tests.conftest import Endpoint
from tests.pace import eventually
from tests.shop import Shop

pytestmark = [pytest.mark.engine, pytest.mark.prove]

ALARM = "course-harm"
HOUR = 60


class Course:
    """A service whose deployments shift traffic between the two groups of its shop."""

    def __init__(self, local: Endpoint, name: str, deploys: dict[str, Any]) -> None:
        self.shop = Shop(local, name)
        self.test_port = free_port()
        test = self.shop.elb.create_listener(
            LoadBalancerArn=self.shop.balancer,
            Port=self.test_port,
            Protocol="HTTP",
            DefaultActions=self.shop.forward(1, 0),
        )["Listeners"][0]["ListenerArn"]
        rules = self.shop.elb.describe_rules(ListenerArn=test)["Rules"]
        balancer = {
            "targetGroupArn": self.shop.groups["a"],
            "containerName": "web",
            "containerPort": 8000,
            "advancedConfiguration": {
                "alternateTargetGroupArn": self.shop.groups["b"],
                "productionListenerRule": self.shop.rule,
                "testListenerRule": rules[0]["RuleArn"],
                "roleArn": "arn:aws:iam::123456789012:role/ecs",
            },
        }
        self.shop.ecs.create_service(
            cluster=name,
            serviceName="a",
            taskDefinition=self.shop.define("old"),
            desiredCount=1,
            loadBalancers=[balancer],
            deploymentConfiguration=deploys,
        )
        self.until(lambda: self.way()["status"] == "SUCCESSFUL", "the first revision serves")

    def deploy(self, text: str, deploys: dict[str, Any]) -> None:
        self.shop.ecs.update_service(
            cluster=self.shop.name,
            service="a",
            taskDefinition=self.shop.define(text),
            deploymentConfiguration=deploys,
        )

    def way(self) -> dict[str, Any]:
        """The newest service deployment."""
        asked = {"cluster": self.shop.name, "service": "a"}
        arn = self.shop.ecs.list_service_deployments(**asked)["serviceDeployments"][0][
            "serviceDeploymentArn"
        ]
        found = self.shop.ecs.describe_service_deployments(serviceDeploymentArns=[arn])
        return found["serviceDeployments"][0]  # type: ignore[no-any-return]

    def until(self, claim: Callable[[], bool], what: str) -> None:
        eventually(claim, what, 90, lambda: f"{self.way()} {self.shop.state('a')}")


class Voices:
    """Clients who never stop asking: who answered, counted; whatever is no answer is lost."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]

    def __enter__(self) -> Voices:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self._stop.wait(0.01):
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode().strip()
                self.heard[text if answer.status == 200 else f"lost: {answer.status}"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.heard[f"lost: {error!r}"] += 1
                connection.close()


def said(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        return str(answer.read().decode().strip())


def kill_and_bring_back(local: Endpoint) -> None:
    status = control.status(local.directory)
    assert status is not None
    os.kill(status["pid"], signal.SIGKILL)
    control.up(local.directory, None, "ap-northeast-1")


def test_a_canary_judged_by_an_alarm_goes_back_and_loses_nothing(local):
    """A bad canary has its part of the requests and no more; when the alarm rings it has none, also
    after the control plane was killed, and nobody was left without an answer.  A good one goes over
    whole."""
    deploys: dict[str, Any] = {
        "strategy": "CANARY",
        "bakeTimeInMinutes": 0,
        "canaryConfiguration": {"canaryPercent": 20.0, "canaryBakeTimeInMinutes": HOUR},
        "alarms": {"alarmNames": [ALARM], "enable": True, "rollback": True},
    }
    alarms = local.client("cloudwatch")
    alarms.put_metric_alarm(
        AlarmName=ALARM,
        Namespace="Course",
        MetricName="Harm",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    local.scope.add(lambda: alarms.delete_alarms(AlarmNames=[ALARM]))
    course = Course(local, "course", deploys)
    with Voices(course.shop.port) as voices:
        course.deploy("bad", deploys)
        course.until(lambda: voices.heard["bad"] >= 20, "the canary has its part")
        way = course.way()
        assert way["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT"
        assert way["targetServiceRevision"]["requestedProductionTrafficWeight"] == 20.0
        assert said(course.test_port) == "bad"
        kill_and_bring_back(local)

        def rings() -> bool:
            """Until it is heard: whoever evaluates alarms may set it back."""
            alarms.set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="harm")
            return bool(course.way()["status"].startswith("ROLLBACK"))

        course.until(rings, "the alarm is heard")
        course.until(lambda: course.way()["status"] == "ROLLBACK_SUCCESSFUL", "it went back")
        bad = voices.heard["bad"]
        alarms.set_alarm_state(AlarmName=ALARM, StateValue="OK", StateReason="gone")
        before = voices.heard["old"]
        course.until(lambda: voices.heard["old"] > before + 50, "clients still ask")
        assert voices.heard["bad"] == bad, "nobody is sent to it any more"
        assert said(course.test_port) == "old"
        quick = {"canaryPercent": 20.0, "canaryBakeTimeInMinutes": 0}
        course.deploy("new", {**deploys, "canaryConfiguration": quick})
        course.until(lambda: course.way()["status"] == "SUCCESSFUL", "the good one went over")
        course.until(lambda: voices.heard["new"] > 50, "it serves")
    assert set(voices.heard) == {"old", "bad", "new"}, voices.heard
    assert bad < voices.heard["old"]
    print(f"\n  a canary of 20 % that an alarm ended: {dict(voices.heard)}, none lost")
    assert course.shop.get() == said(course.test_port) == "new"
