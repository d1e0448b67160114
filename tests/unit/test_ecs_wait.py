"""``ecs wait --wait-until``: a stage or an event is read and proven before anything is waited
for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kirikae.console import ecs_wait
from kirikae.console.ecs import waited
from kirikae.console.speech import Speech
from kirikae.model.errors import Exit, KirikaeError, UsageProblem
from kirikae.release import service_deployment
from kirikae.release.ecs.until import EVENTS, STAGES, Until
from tests.answering import AnsweringAws, Refusal

ARN = "arn:aws:ecs:eu-west-1:123456789012:service-deployment/c/shop/1"
SHIFTS = {"deploymentConfiguration": {"strategy": "CANARY"}, "currentServiceDeployment": ARN}
DRIVEN = {"deploymentController": {"type": "CODE_DEPLOY"}}


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr(service_deployment, "POLL_S", 0.001)


def row(**more):
    own = {
        "id": "ecs-svc/2",
        "status": "PRIMARY",
        "rolloutState": "IN_PROGRESS",
        "desiredCount": 1,
        "runningCount": 1,
        "pendingCount": 0,
        "taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2",
        "createdAt": 5,
    }
    return {
        "serviceName": "shop",
        "status": "ACTIVE",
        "desiredCount": 1,
        "deployments": [own],
        "events": [],
        **more,
    }


def desk(service, **answers):
    aws = AnsweringAws({"DescribeServices": {"services": [service]}, **answers})
    plain = {"codedeploy": {"application_name": "a", "deployment_group_name": "g"}}
    config = SimpleNamespace(cluster="c", service="shop", plain=plain)
    return SimpleNamespace(aws=aws, config=config, speech=Speech())


def wait(at, text, timeout_s=30.0):
    return waited(at, Until.read(text), timeout_s)


def test_every_stage_and_event_is_read_and_nothing_else():
    """Names are AWS's own; what is none is told with all that are."""
    assert [Until.read(f"ecs:{stage}").stage for stage in STAGES] == [*STAGES]
    assert [Until.read(f"codedeploy:{event}").event for event in EVENTS] == [*EVENTS]
    for text in ("ecs:", "ecs:bake_time", "ecs:AllowTraffic", "BAKE_TIME", "codedeploy:BAKE_TIME"):
        with pytest.raises(UsageProblem, match=r"ecs:STAGE or codedeploy:EVENT.*BAKE_TIME"):
            Until.read(text)


@pytest.mark.parametrize(
    ("service", "until", "says"),
    [
        ({}, "ecs:BAKE_TIME", "by ECS, ROLLING; only BLUE_GREEN"),
        (DRIVEN, "ecs:BAKE_TIME", "by CODE_DEPLOY"),
        (SHIFTS, "codedeploy:AllowTraffic", "controller ECS; only CODE_DEPLOY"),
        ({**SHIFTS, "currentServiceDeployment": ""}, "ecs:BAKE_TIME", "names no service depl"),
    ],
)
def test_what_can_never_come_is_refused_before_it_is_waited_for(service, until, says):
    """Instead of a wait until the timeout."""
    at = desk(row(**service))
    with pytest.raises(UsageProblem, match=says):
        wait(at, until)
    assert [name for name, _ in at.aws.asked] == ["DescribeServices"]


def test_who_may_not_look_at_stages_is_refused():
    """Nobody would ever see one come."""
    refusal = Refusal("AccessDeniedException", "not yours")
    with pytest.raises(KirikaeError, match="not yours"):
        wait(desk(row(**SHIFTS), DescribeServiceDeployments=refusal), "ecs:BAKE_TIME")


def test_a_stage_that_has_come_is_no_ending():
    """Exit code 0, and told that it goes on."""
    way = {"status": "IN_PROGRESS", "lifecycleStage": "BAKE_TIME"}
    none = {"taskArns": []}
    answer = wait(
        desk(
            row(**SHIFTS),
            DescribeServiceDeployments={"serviceDeployments": [way]},
            ListTasks=none,
        ),
        "ecs:POST_TEST_TRAFFIC_SHIFT",
    )
    assert answer.exit is Exit.DONE
    assert answer.plain == {"ending": None, "stage": "BAKE_TIME", "service": "shop"}
    assert answer.lines == ["shop: has come to BAKE_TIME, and goes on"]


class CodeDeploy:
    """Successive looks: (status of the deployment, status of AllowTraffic)."""

    def __init__(self, *looks, back=()):
        self.looks = list(looks)
        self.back = list(back)

    def answers(self):
        listed = {"deployments": ["d-1"] if self.looks else []}
        return {
            "ListDeployments": listed,
            "GetDeployment": self.deployment,
            "ListDeploymentTargets": {"targetIds": ["c:shop"]},
            "BatchGetDeploymentTargets": lambda _: self.targets(),
        }

    def deployment(self, asked):
        if asked["deploymentId"] == "d-back":
            status = self.back.pop(0) if len(self.back) > 1 else self.back[0]
            return {"deploymentInfo": {"deploymentId": "d-back", "status": status}}
        status, _ = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        info = {"deploymentId": "d-1", "status": status}
        if self.back:
            info["rollbackInfo"] = {"rollbackDeploymentId": "d-back"}
        return {"deploymentInfo": info}

    def targets(self):
        _, status = self.looks[0]
        event = {"lifecycleEventName": "AllowTraffic", "status": status}
        target = {"ecsTarget": {"lifecycleEvents": [event]}}
        return {"deploymentTargets": [{"deploymentTargetType": "ECSTarget", **target}]}


def event_waited(drives, timeout_s=5.0):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    at = desk(row(**DRIVEN), **drives.answers())
    return ecs_wait.event_waited(at, "AllowTraffic", timeout_s, lambda: now[0], sleep)


@pytest.mark.parametrize(
    ("looks", "back", "ending", "end"),
    [
        ([("InProgress", "Pending"), ("InProgress", "Succeeded")], [], None, Exit.DONE),
        ([("InProgress", "InProgress"), ("Succeeded", "Skipped")], [], None, Exit.DONE),
        ([("Ready", "Pending")], [], "paused", Exit.UNFINISHED),
        ([("Failed", "Skipped")], [], "stopped", Exit.UNFINISHED),
        ([("Failed", "Skipped")], ["InProgress", "Succeeded"], "rolled_back", Exit.BACKED_OUT),
        ([("Failed", "Skipped")], ["InProgress", "Failed"], "stopped", Exit.UNFINISHED),
        ([("InProgress", "Pending")], [], "timed_out", Exit.UNFINISHED),
    ],
)
def test_an_event_of_codedeploy_comes_or_is_told_why_not(looks, back, ending, end):
    """Skipped after a failure is not come; a deployment that is taken back is waited for."""
    # The first look at the deployment is that of the list.
    answer = event_waited(CodeDeploy(looks[0], *looks, back=back))
    assert (answer.plain["ending"], answer.exit) == (ending, end)


def test_where_no_deployment_goes_on_there_is_nothing_to_wait_for():
    """The event of a former one is not the one that was meant."""
    at = desk(row(**DRIVEN), **CodeDeploy().answers())
    with pytest.raises(KirikaeError, match="there is nothing to wait for"):
        wait(at, "codedeploy:AllowTraffic")
