"""Examples in the docs that are marked as tested really run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kirikae.local.files import free_port
from tests.conftest import WEB_IMAGE, Endpoint
from tests.pace import slowly

pytestmark = pytest.mark.engine
DOCS = Path(__file__).parents[2] / "docs"


def test_the_examples_of_using_local_run(local: Endpoint):
    """As a reader would paste it, with the environment that `kirikae local env` prints."""
    text = (DOCS / "how-to/use-local.md").read_text()
    examples = re.findall(r"<!-- tested -->\n```python\n(.*?)```", text, re.S)
    assert len(examples) == 3
    local.scope.add(lambda: _without_the_load_balancer(local))
    for example in examples:
        example = example.replace("my-image:1", WEB_IMAGE).replace("18080", str(free_port()))
        subprocess.run(
            [sys.executable, "-c", example],
            env={**os.environ, **local.environment},
            check=True,
            timeout=slowly(120),
        )


def _without_the_load_balancer(local: Endpoint) -> None:
    elb = local.client("elbv2")
    [made] = elb.describe_load_balancers(Names=["mine"])["LoadBalancers"]
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    for group in elb.describe_target_groups(Names=["mine-ec2", "mine-ecs"])["TargetGroups"]:
        elb.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
