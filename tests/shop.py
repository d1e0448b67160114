"""A shop that can be moved, and somebody who never stops asking it."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.request
from typing import Any

from kirikae.local.files import free_port
from tests.conftest import WEB_IMAGE, Endpoint, serve
from tests.pace import eventually
from tests.tidy import gone


class Shop:
    """A load balancer with a rule over two target groups, and a cluster.

    It goes with whatever it was made for: a test, or a module.
    """

    def __init__(self, local: Endpoint, name: str) -> None:
        self.local = local
        self.name = name
        self.ecs = local.client("ecs")
        self.elb = local.client("elbv2")
        self.balancer = ""
        self.groups: dict[str, str] = {}
        local.scope.add(self.remove)
        local.scope.owns |= {f"service {name}/", f"task {name}/"}
        self.ecs.create_cluster(clusterName=name)
        subnet = local.client("ec2").describe_subnets()["Subnets"][0]
        made = self.elb.create_load_balancer(Name=name, Subnets=[subnet["SubnetId"]])
        self.balancer = made["LoadBalancers"][0]["LoadBalancerArn"]
        for side in ("a", "b"):
            self.groups[side] = self._group(f"{name}-{side}", subnet["VpcId"])
        self.port = free_port()
        listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Port=self.port,
            Protocol="HTTP",
            DefaultActions=self.forward(1, 0),
        )["Listeners"][0]
        self.listener = listener["ListenerArn"]
        self.rule = self.elb.describe_rules(ListenerArn=self.listener)["Rules"][0]["RuleArn"]

    def remove(self) -> None:
        """Services first; without its target group a task need not wait until it is drained."""
        for arn in self.ecs.list_services(cluster=self.name, maxResults=100)["serviceArns"]:
            gone(self.ecs.delete_service, cluster=self.name, service=arn, force=True)
        if self.balancer:
            gone(self.elb.delete_load_balancer, LoadBalancerArn=self.balancer)
        for group in self.groups.values():
            gone(self.elb.delete_target_group, TargetGroupArn=group)

    def _group(self, name: str, vpc: str) -> str:
        arn: str = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=8000,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=4,
            HealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(
            TargetGroupArn=arn,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}],
        )
        return arn

    def forward(self, a: int, b: int) -> list[dict[str, Any]]:
        weights = [
            {"TargetGroupArn": self.groups["a"], "Weight": a},
            {"TargetGroupArn": self.groups["b"], "Weight": b},
        ]
        return [{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}]

    def weigh(self, a: int, b: int) -> None:
        self.elb.modify_rule(RuleArn=self.rule, Actions=self.forward(a, b))

    def define(self, text: str, **extra: Any) -> str:
        container = {
            "name": "web",
            "image": WEB_IMAGE,
            "command": serve(text),
            "portMappings": [{"containerPort": 8000}],
            "stopTimeout": 2,
        }
        return self.ecs.register_task_definition(  # type: ignore[no-any-return]
            family=self.name,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[{**container, **extra}],
        )["taskDefinition"]["taskDefinitionArn"]

    def serve(self, side: str, text: str, count: int = 1, **extra: Any) -> None:
        self.ecs.create_service(
            cluster=self.name,
            serviceName=side,
            taskDefinition=self.define(text),
            desiredCount=count,
            loadBalancers=[
                {"targetGroupArn": self.groups[side], "containerName": "web", "containerPort": 8000}
            ],
            **extra,
        )

    def service(self, side: str) -> dict[str, Any]:
        return self.ecs.describe_services(cluster=self.name, services=[side])["services"][0]  # type: ignore[no-any-return]

    def complete(self, side: str, timeout_s: float = 60) -> dict[str, Any]:
        """The service once its newest deployment is complete; waits as long as anything moves."""

        def done() -> bool:
            deployments = self.service(side)["deployments"]
            return len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED"

        eventually(done, f"{self.name}/{side} is complete", timeout_s, lambda: self.state(side))
        return self.service(side)

    def serving(self, side: str, tasks: int, timeout_s: float = 60) -> None:
        """Wait until so many targets are there, all of them healthy."""
        eventually(
            lambda: self.health(side) == ["healthy"] * tasks,
            f"{tasks} targets of {self.name}/{side} are healthy",
            timeout_s,
            lambda: self.state(side),
        )

    def state(self, side: str) -> str:
        """Whatever moves while a service is deployed."""
        found = self.service(side)
        events = [event["message"] for event in found["events"][:3]]
        counts = [
            (each["rolloutState"], each["runningCount"], each["pendingCount"], each["failedTasks"])
            for each in found["deployments"]
        ]
        return f"{counts} {self.health(side)} {events}"

    def get(self, path: str = "/") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return str(answer.read().decode().strip())

    def health(self, side: str) -> list[str]:
        found = self.elb.describe_target_health(TargetGroupArn=self.groups[side])[
            "TargetHealthDescriptions"
        ]
        return [t["TargetHealth"]["State"] for t in found]


class Hammer:
    """Requests without a pause on keep-alive connections; every failure is kept."""

    def __init__(self, port: int, threads: int = 4, pause_s: float = 0.0, path: str = "/") -> None:
        self._pause_s = pause_s
        self._path = path
        self.port = port
        self.count = 0
        self.failures = list[str]()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Hammer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self._stop.is_set():
            try:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.count += 1
            time.sleep(self._pause_s)
