"""Deployments that shift traffic, on a real engine and a real HAProxy, under load."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kirikae.local import control
from kirikae.local.files import free_port
from tests.conftest import Endpoint
from tests.pace import eventually
from tests.shop import Shop
from tests.tidy import gone

pytestmark = [pytest.mark.engine, pytest.mark.prove]

ALARM = "course-harm"
HOUR = 60


class Course:
    """A service whose deployments shift traffic between the two groups of its shop."""

    def __init__(
        self, local: Endpoint, name: str, deploys: dict[str, Any], **container: Any
    ) -> None:
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
            taskDefinition=self.shop.define("old", **container),
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

    def __init__(self, port: int, path: str = "/") -> None:
        self.port = port
        self.path = path
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
                connection.request("GET", self.path)
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


CLIENTS = Path(__file__).parents[2] / ".cache" / "clients"
CALL = Path(__file__).parents[1] / "clients" / "call.mjs"


class Boto3:
    """Asks AWS with AWS's own library."""

    def __init__(self, local: Endpoint) -> None:
        self.local = local

    def ask(self, service: str, operation: str, /, **asked: Any) -> Any:
        """``operation``: as the API names it."""
        client = self.local.client(service)
        name = next(
            key for key, value in client.meta.method_to_api_mapping.items() if value == operation
        )
        return getattr(client, name)(**asked)

    def ran(self, *command: str) -> Any:
        """What this command writes as JSON."""
        environment = {
            **os.environ,
            **self.local.environment,
            "CLIENTS": str(CLIENTS),
            "AWS_PAGER": "",
            "AWS_CONFIG_FILE": os.devnull,
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "{}")


class Cli(Boto3):
    """Asks with the AWS CLI, which for queues looks at no AWS_ENDPOINT_URL."""

    def ask(self, service: str, operation: str, /, **asked: Any) -> Any:
        """As boto3 does."""
        verb = "".join(f"-{each.lower()}" if each.isupper() else each for each in operation)[1:]
        aws = str(CLIENTS / "bin" / "aws")
        where = ("--endpoint-url", self.local.environment["AWS_ENDPOINT_URL"])
        return self.ran(aws, service, verb, *where, "--cli-input-json", json.dumps(asked))


class JavaScript(Boto3):
    """Asks ECS and SQS with AWS's SDK for JavaScript, of which no other clients are here."""

    def ask(self, service: str, operation: str, /, **asked: Any) -> Any:
        """As boto3 does."""
        if service not in ("ecs", "sqs"):
            return super().ask(service, operation, **asked)
        package = f"@aws-sdk/client-{service}"
        return self.ran("node", str(CALL), package, operation, json.dumps(asked))


def page(text: str, has_page: bool) -> list[str]:
    """Well by its health check, and with or without the page that clients want."""
    name = "page" if has_page else "other"
    www = f"mkdir -p /www; echo {text} >/www/index.html; echo {text} >/www/{name}"
    return ["sh", "-c", f"{www}; exec httpd -f -p 8000 -h /www"]


def listening(asks: Boto3, name: str, course: Course) -> str:
    """URL of a queue that hears of this service's deployments and tasks."""
    url: str = asks.ask("sqs", "CreateQueue", QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:ap-northeast-1:123456789012:{name}"
    whose = course.shop.service("a")["serviceArn"]
    patterns = {
        f"{name}-ways": {"detail-type": ["ECS Deployment State Change"], "resources": [whose]},
        f"{name}-tasks": {
            "detail-type": ["ECS Task State Change"],
            "detail": {"group": ["service:a"], "lastStatus": ["RUNNING", "STOPPED"]},
        },
    }
    for rule, pattern in patterns.items():
        wants = json.dumps({"source": ["aws.ecs"], **pattern})
        asks.ask("events", "PutRule", Name=rule, EventPattern=wants)
        asks.ask("events", "PutTargets", Rule=rule, Targets=[{"Id": "1", "Arn": arn}])
    return url


def take_away(local: Endpoint, name: str) -> None:
    """Rules, queue and alarm of one test, as far as it came."""
    events, sqs = local.client("events"), local.client("sqs")
    for rule in (f"{name}-ways", f"{name}-tasks"):
        gone(events.remove_targets, Rule=rule, Ids=["1"])
        gone(events.delete_rule, Name=rule)
    for url in sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", []):
        gone(sqs.delete_queue, QueueUrl=url)
    gone(local.client("cloudwatch").delete_alarms, AlarmNames=[name])


def heard_by(asks: Boto3, url: str) -> list[dict[str, Any]]:
    """Messages that are there now."""
    found = asks.ask("sqs", "ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
    for each in found.get("Messages", []):
        asks.ask("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
    return [json.loads(each["Body"]) for each in found.get("Messages", [])]


@pytest.mark.parametrize("client", [Boto3, Cli, JavaScript])
def test_a_canary_goes_back_by_a_real_alarm_and_a_queue_hears_of_it(local, client):
    """A page is missing in the canary: its 404s ring an alarm on the balancer's figures, traffic
    goes back, nobody outside of the canary's part gets anything but the page, and a rule has
    told the queue how each deployment began and ended."""
    asks = client(local)
    name = f"real-{client.__name__.lower()}"
    deploys: dict[str, Any] = {
        "strategy": "CANARY",
        "bakeTimeInMinutes": 0,
        "canaryConfiguration": {"canaryPercent": 20.0, "canaryBakeTimeInMinutes": HOUR},
    }
    course = Course(local, name, deploys, command=page("old", True))
    local.scope.add(lambda: take_away(local, name))
    group, balancer = course.shop.groups["b"], course.shop.balancer
    asks.ask(
        "cloudwatch",
        "PutMetricAlarm",
        AlarmName=name,
        Namespace="AWS/ApplicationELB",
        MetricName="HTTPCode_Target_4XX_Count",
        Dimensions=[
            {"Name": "TargetGroup", "Value": group.rpartition(":")[2]},
            {"Name": "LoadBalancer", "Value": balancer.partition(":loadbalancer/")[2]},
        ],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    url = listening(asks, name, course)
    events: list[dict[str, Any]] = []
    with Voices(course.shop.port, "/page") as voices:
        bad = course.shop.define("bad", command=page("bad", False))
        alarms = {"alarmNames": [name], "enable": True, "rollback": True}
        asks.ask(
            "ecs",
            "UpdateService",
            cluster=name,
            service="a",
            taskDefinition=bad,
            deploymentConfiguration={**deploys, "alarms": alarms},
        )
        failing = course.shop.service("a")["deployments"][0]["id"]
        course.until(lambda: voices.heard["lost: 404"] >= 20, "the canary has its part")

        def went_back() -> bool:
            arn = course.way()["serviceDeploymentArn"]
            told = asks.ask("ecs", "DescribeServiceDeployments", serviceDeploymentArns=[arn])
            return bool(told["serviceDeployments"][0]["status"] == "ROLLBACK_SUCCESSFUL")

        eventually(went_back, "the alarm rang and it went back", 240, lambda: voices.heard.total())
        worst = voices.heard["lost: 404"]
        before = voices.heard["old"]
        course.until(lambda: voices.heard["old"] > before + 50, "clients still ask")
        assert voices.heard["lost: 404"] == worst, "nobody is sent to it any more"

    def ways() -> list[tuple[str, str]]:
        events.extend(heard_by(asks, url))
        told = [each["detail"] for each in events if "Deployment" in each["detail-type"]]
        return [(each["deploymentId"], each["eventName"]) for each in told]

    ended = (failing, "SERVICE_DEPLOYMENT_FAILED")
    eventually(lambda: ended in ways(), lambda: f"the queue heard of it: {ways()}", 60)
    assert (failing, "SERVICE_DEPLOYMENT_IN_PROGRESS") in ways()
    eventually(
        lambda: any(name.endswith("COMPLETED") for _, name in ways()),
        lambda: f"the one that it went back to is complete: {ways()}",
        60,
    )
    assert {each["detail"]["lastStatus"] for each in events if "Task" in each["detail-type"]}
    assert set(voices.heard) == {"old", "lost: 404"}, voices.heard
    print(f"\n  {name}: {dict(voices.heard)}, {Counter(each for _, each in ways())}")
