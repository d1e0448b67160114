"""A service that scales by what its tasks really use, on a clock that is moved, and killed."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kirikae.local import control
from tests.conftest import WEB_IMAGE, Endpoint, web_image
from tests.pace import eventually

pytestmark = [pytest.mark.engine, pytest.mark.prove]
RESOURCE = "service/scaled/burning"
PLACE: dict[str, Any] = {
    "ServiceNamespace": "ecs",
    "ResourceId": RESOURCE,
    "ScalableDimension": "ecs:service:DesiredCount",
}
BURN = ["sh", "-c", "while :; do :; done"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Endpoint]:
    """One of its own: nobody else's clock is moved."""
    web_image()
    directory = tmp_path / "l"
    try:
        status: Any = control.up(directory, None, "ap-northeast-1", test_mode=True)
        yield Endpoint(directory, status)
    finally:
        control.down(directory)


class Minutes:
    """Moves the clock ahead, minute by minute."""

    def __init__(self, local: Endpoint) -> None:
        self._local = local
        self.count = 0

    def next(self) -> None:
        self.count += 1
        url = f"{self._local.status['endpoint']}/_kirikae/clock?ahead_s={60 * self.count}"
        urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=120).close()


def serve(local: Endpoint) -> None:
    ecs = local.client("ecs")
    ecs.create_cluster(clusterName="scaled")
    container = {"name": "app", "image": WEB_IMAGE, "command": BURN, "stopTimeout": 2}
    ecs.register_task_definition(
        family="burning",
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )
    subnet = local.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    ecs.create_service(
        cluster="scaled",
        serviceName="burning",
        taskDefinition="burning",
        desiredCount=1,
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
    )
    eventually(lambda: seen(local)["runningCount"] == 1, "a task burns")


def seen(local: Endpoint) -> dict[str, Any]:
    told = local.client("ecs").describe_services(cluster="scaled", services=["burning"])
    return dict(told["services"][0])


def test_tasks_that_burn_get_company_also_through_a_sigkill(own: Endpoint) -> None:
    """Three minutes above the target, known three minutes later, as in the simulator; one task
    more than runs, for more are not allowed."""
    local = own
    serve(local)
    scaling = local.client("application-autoscaling")
    scaling.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=2)
    policy = scaling.put_scaling_policy(
        **PLACE,
        PolicyName="calm",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 5.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
            },
        },
    )
    high = policy["Alarms"][0]["AlarmName"]
    minutes = Minutes(local)

    def known() -> bool:
        minutes.next()
        [alarm] = local.client("cloudwatch").describe_alarms(AlarmNames=[high])["MetricAlarms"]
        return bool(alarm["StateValue"] == "OK")

    eventually(known, "the first minute above the target is known", poll_s=1.5)
    assert seen(local)["desiredCount"] == 1
    os.kill(int((local.directory / "control.pid").read_text()), signal.SIGKILL)
    control.up(local.directory, None, "ap-northeast-1")

    def scaled() -> bool:
        minutes.next()
        return bool(seen(local)["desiredCount"] == 2)

    eventually(scaled, "the service has scaled out", poll_s=1.5)
    eventually(lambda: seen(local)["runningCount"] == 2, "both tasks run")
    [activity] = scaling.describe_scaling_activities(ServiceNamespace="ecs")["ScalingActivities"]
    assert activity["Cause"] == f"monitor alarm {high} in state ALARM triggered policy calm"
