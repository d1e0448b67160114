"""The first day: `init` and `doctor` against kirikae local, with a service that really runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Endpoint
from tests.shop import Shop

pytestmark = pytest.mark.engine
ADDRESS = "10.99.0.17"
SSH = f"#!/bin/sh\ncat >/dev/null\necho addresses {ADDRESS}\necho root /srv/shop\n"


def test_a_first_project_file_is_written_and_the_doctor_reads_it(local: Endpoint, tmp_path: Path):
    """A rule over two groups: a host behind one, an ECS service behind the other."""
    shop = Shop(local, "firstday")
    shop.elb.register_targets(
        TargetGroupArn=shop.groups["a"], Targets=[{"Id": ADDRESS, "Port": 8080}]
    )
    shop.elb.create_rule(
        ListenerArn=shop.listener,
        Priority=10,
        Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
        Actions=shop.forward(999, 0),
        Tags=[{"Key": "Name", "Value": "main"}],
    )
    shop.serve("b", "new side")
    shop.serving("b", 1)
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kirikae", *words],
            cwd=tmp_path,
            env={**os.environ, **local.environment, "KIRIKAE_SSH": str(ssh)},
            capture_output=True,
            text=True,
            check=False,
        )

    made = run("init", "--load-balancer", "firstday", "--host", "ssh://web1", "--json")
    assert made.returncode == 0, made.stderr
    text = json.loads(made.stdout)["text"]
    assert "target_group: firstday-a" in text and "ecs_service: b" in text
    assert "listener_rule: firstday/main" in text and "port: 8080" in text
    assert "hosts: [ssh://web1]" in text and "/srv/shop" in text
    assert run("project", "check").returncode == 0
    seen = json.loads(run("doctor", "--json").stdout)
    kinds = {state: {each["kind"] for each in seen[state]} for state in ("missing", "proven")}
    assert kinds["proven"] >= {"service", "behind", "rule", "share", "store", "clock"}
    assert kinds["missing"] >= {"healthy", "survey", "definitions"}
    assert "permissions" in {each["kind"] for each in seen["not_proven"]}
    print(made.stdout, run("doctor", "--all").stdout)
