"""What the red button tells people to type where AWS did not answer: typed, it sets share 0."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kirikae.console.kinds import read_project, words
from kirikae.traffic.kind import TRAFFIC
from tests.conftest import Endpoint
from tests.shop import Shop

pytestmark = pytest.mark.engine

AWS_CLI = Path(__file__).parents[2] / ".cache" / "clients" / "bin"
PROJECT = """
service: shop
environment: test
account: "123456789012"
region: ap-northeast-1
fleets:
  old: {{target_group: by-hand-a, hosts: ["ssh://web1"]}}
  new: {{cluster: by-hand, ecs_service: b, target_group: by-hand-b}}
moves:
  web: {{kind: traffic, router: {{listener_rule: "{rule}"}}}}
"""


def test_the_lines_set_share_0(local: Endpoint):
    """Whether the project file names the rule by its tag or by its ARN; it is one of more than tags
    are told of at once."""
    shop = Shop(local, "by-hand")
    rule = shop.elb.create_rule(
        ListenerArn=shop.listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/x/*"]}],
        Actions=shop.forward(0, 1),
        Tags=[{"Key": "Name", "Value": "main rule"}],
    )["Rules"][0]["RuleArn"]
    for priority in range(2, 23):
        shop.elb.create_rule(
            ListenerArn=shop.listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [f"/{priority}/*"]}],
            Actions=shop.forward(1, 0),
        )
    for name in ("by-hand/main rule", rule):
        shop.elb.modify_rule(RuleArn=rule, Actions=shop.forward(0, 1))
        done = typed(local, name)
        assert done.returncode == 0, done.stderr
        [found] = shop.elb.describe_rules(RuleArns=[rule])["Rules"]
        groups = found["Actions"][0]["ForwardConfig"]["TargetGroups"]
        weights = {group["TargetGroupArn"]: group["Weight"] for group in groups}
        assert weights == {shop.groups["a"]: 1, shop.groups["b"]: 0}


def typed(local: Endpoint, rule: str) -> subprocess.CompletedProcess[str]:
    """All lines after the words before them, in a shell."""
    project = read_project(PROJECT.format(rule=rule), "kirikae.yml")
    assert TRAFFIC.by_hand is not None
    said = words().say(TRAFFIC.by_hand(project.moves["web"], project))
    path = {"PATH": f"{AWS_CLI}:{os.environ['PATH']}", "AWS_PAGER": ""}
    return subprocess.run(
        ["sh", "-eu", "-c", said.partition("\n")[2]],
        env={**os.environ, **local.environment, **path},
        capture_output=True,
        text=True,
        check=False,
    )
