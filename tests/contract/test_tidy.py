"""Who tidies up after the tests does see what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import WEB_IMAGE, Endpoint, assert_nothing_is_left
from tests.pace import eventually
from tests.tidy import OnThisMachine, Scope, marks_of_others, processes_left


@pytest.mark.engine
def test_what_a_test_leaves_fails_it_by_name_and_is_removed(local: Endpoint):
    """A queue, a target group, a service and a task of its own."""
    before = local.look(thoroughly=True)
    local.client("sqs").create_queue(QueueName="forgotten")
    vpc = local.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    group = {"Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": "ip"}
    local.client("elbv2").create_target_group(Name="forgotten", **group)
    ecs = local.client("ecs")
    ecs.create_cluster(clusterName="tidy")
    container = {"name": "a", "image": WEB_IMAGE, "memory": 32, "command": ["sleep", "100"]}
    ecs.register_task_definition(
        family="tidy", containerDefinitions=[container | {"stopTimeout": 0}]
    )
    ecs.create_service(cluster="tidy", serviceName="s", taskDefinition="tidy", desiredCount=1)
    task = ecs.run_task(cluster="tidy", taskDefinition="tidy")["tasks"][0]["taskArn"]
    expected = f"queue forgotten, service tidy/s, target group forgotten, task {task[-37:]}"
    with pytest.raises(pytest.fail.Exception, match=expected):
        assert_nothing_is_left(local, before, "somebody")
    assert local.look(thoroughly=True) == before


def test_a_process_that_hangs_about_is_seen(tmp_path):
    """However far from us: its parent is gone, and it is in a session of its own."""
    file = tmp_path / "pid"
    script = f"sleep 100 & echo $! >{file}"
    subprocess.run(["setsid", "sh", "-c", script], check=True, stdout=subprocess.DEVNULL)
    pid = int(file.read_text())
    try:
        assert [left for left in processes_left() if left.startswith(f"process {pid}:")]
    finally:
        os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: not any(left.startswith(f"process {pid}:") for left in processes_left()),
        "it is gone",
    )


def test_what_is_another_s_is_not_ours_to_complain_about():
    """Another living session's machine, and the instance of a control plane that is not ours."""
    other = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(100)", "kirikae.local.server", "/nowhere"],
        env={"PATH": os.environ["PATH"]},
    )
    try:
        instance = "kirikae-00147101"  # as `kirikae local` names that of /nowhere
        eventually(lambda: {instance, f"-of-{other.pid}"} <= marks_of_others(), "it has begun")
        names = {f"kirikae-test-fourth-of-{other.pid}", f"{instance}-task-x", "kirikae-0ld"}
        now = OnThisMachine(frozenset(names), frozenset({instance}))
        nothing = OnThisMachine(frozenset(), frozenset())
        assert now.left_since(nothing) == ["container kirikae-0ld"]
    finally:
        other.kill()
        other.wait()


def test_a_scope_removes_everything_last_first_and_says_what_failed():
    removed: list[int] = []
    scope = Scope()
    scope.add(lambda: removed.append(1))
    scope.add(lambda: 1 / 0)
    scope.add(lambda: removed.append(3))
    with pytest.raises(ZeroDivisionError):
        scope.close()
    assert removed == [3, 1] and scope.removals == []
