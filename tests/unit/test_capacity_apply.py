"""`kirikae capacity apply` and `explain`: the file's rules become the service's, against kirikae
local in this process, and are told in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kirikae.capacity.settings import read as read_rules
from kirikae.capacity.writing import FIRST
from kirikae.console import capacity_apply
from kirikae.local.alarms.book import Book as Alarms
from kirikae.local.scaling.book import Book
from kirikae.local.scaling.policies import rules_of
from kirikae.model.scaling import StepScaling, TargetTracking
from tests.command import run as ran
from tests.unit.test_local_scaling import NOON, World

SERVICE = {"application-autoscaling": "application-autoscaling", "cloudwatch": "monitoring"}


class Client:
    """boto3's part: methods for operations."""

    def __init__(self, world: World, service: str) -> None:
        self._world = world
        self._service = SERVICE[service]

    def __getattr__(self, method: str) -> Any:
        operation = re.sub(r"(?:^|_)(\w)", lambda each: each[1].upper(), method)
        return lambda **asked: self._world.ask(operation, self._service, **asked)

    def get_paginator(self, method: str) -> Any:
        return SimpleNamespace(paginate=lambda **asked: [getattr(self, method)(**asked)])


def run(*words: str) -> tuple[int, str, str]:
    found = ran(*words)
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World(tmp_path)
    found.service()
    found.look(NOON)
    aws = SimpleNamespace(client=lambda service: Client(found, service))
    new = SimpleNamespace(cluster="default", ecs_service="web")
    project = SimpleNamespace(fleets=SimpleNamespace(new=new))
    monkeypatch.setattr(capacity_apply, "load_project", lambda here: project)
    monkeypatch.setattr(capacity_apply, "open_aws", lambda here, project: (aws, "me"))
    yield found
    found.plane.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "capacity.yml"
    found.write_text(FIRST)
    return found


def test_the_rules_of_the_file_become_those_of_the_service(world, file):
    """As the simulator has them, name by name; a second time there is nothing to do."""
    code, out, _ = run("capacity", "apply", str(file), "--dry-run")
    assert code == 0 and "PutScalingPolicy cpu" in out
    assert world.ask("DescribeScalableTargets", ServiceNamespace="ecs")["ScalableTargets"] == []
    assert run("capacity", "apply", str(file))[0] == 0
    state = world.plane.state
    book = Book(state, world.clock)
    found = rules_of(book.policies.all(), Alarms(state, world.clock).alarms.all())
    wanted = [each.rule() for each in read_rules(file).policies]
    for rule, policy in zip(found, wanted, strict=True):
        if isinstance(policy, TargetTracking):
            assert rule.policy == policy
        elif isinstance(policy, StepScaling) and isinstance(rule.policy, StepScaling):
            assert (rule.policy.steps, rule.policy.threshold) == (policy.steps, policy.threshold)
            assert (rule.policy.above, rule.policy.adjustment) == (policy.above, policy.adjustment)
    [planned] = world.ask("DescribeScheduledActions", ServiceNamespace="ecs")["ScheduledActions"]
    assert (planned["Schedule"], planned["Timezone"]) == ("cron(30 7 * * ? *)", "Asia/Tokyo")
    code, out, _ = run("capacity", "apply", str(file), "--json")
    assert code == 0 and '"nothing to do"' in out and '"changes": []' in out


def test_what_differs_is_told_and_what_is_not_in_the_file_stays(world, file):
    """Somebody else's policies are not ours to remove."""
    run("capacity", "apply", str(file))
    file.write_text(FIRST.replace("target: 50", "target: 40").replace("name: rush", "name: crowd"))
    code, out, _ = run("capacity", "apply", str(file))
    assert code == 0
    assert "TargetValue: 50.0 -> 40.0" in out
    assert "PutScalingPolicy rush" in out and "stays" in out
    names = world.ask("DescribeScalingPolicies", ServiceNamespace="ecs")["ScalingPolicies"]
    assert {each["PolicyName"] for each in names} == {"cpu", "rush", "crowd"}


def test_a_rule_by_requests_needs_its_load_balancer(world, file):
    file.write_text(FIRST.replace("name: cpu, target: 50", "name: r, metric: requests, target: 50"))
    code, _, err = run("capacity", "apply", str(file))
    assert code == 2 and "--requests-of" in err
    label = "app/shop/1234/targetgroup/web/abcd"
    assert run("capacity", "apply", str(file), "--requests-of", label)[0] == 0


def test_read_only_changes_nothing(world, file):
    code, _, err = run("--read-only", "capacity", "apply", str(file))
    assert code == 2 and "--read-only" in err


def test_rules_are_explained_with_what_they_carry(file):
    """A target of 50 carries twice the load until more tasks serve: after 360 s and a start."""
    code, out, _ = run("capacity", "explain", str(file), "--lang", "en")
    assert code == 0
    assert "a sudden rise to 2 times the load" in out and "441 s after it began" in out
    assert "fewer after 15 minutes below 45" in out
    assert "+0..+10: +2; +10..: +4" in out
    assert "with figures of 20 seconds" in out and "after 166 s" in out
    assert "毎日 07:30" in run("capacity", "explain", str(file), "--lang", "ja")[1]
    found = ran("capacity", "explain", str(file), "--json").json
    assert (found["carried_rise"], found["serves_after_s"]) == (2.0, 441.0)
    file.write_text(FIRST.replace("target: 50", "metric: requests, target: 50, scale_in: false"))
    out = run("capacity", "explain", str(file), "--lang", "en")[1]
    assert "never gives fewer" in out and "sudden rise" not in out
