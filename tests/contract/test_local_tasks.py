"""The life of a task on kirikae local: dependencies, restarts, volumes, logs, metadata; on the real
engine, through boto3."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kirikae.local.ecs.containers import metadata_id
from kirikae.local.files import free_port
from tests.conftest import WEB_IMAGE, Endpoint, serve
from tests.pace import eventually
from tests.tidy import gone

pytestmark = pytest.mark.engine


class Bench:
    """One cluster; a task is made of containers given as keywords."""

    def __init__(self, local: Endpoint) -> None:
        self.local = local
        self.ecs = local.client("ecs")
        self.logs = local.client("logs")
        self.ecs.create_cluster(clusterName="tasks")

    def define(self, family: str, *containers: dict[str, Any], **extra: Any) -> None:
        full = [{"image": WEB_IMAGE, "memory": 64, "stopTimeout": 2, **c} for c in containers]
        self.ecs.register_task_definition(family=family, containerDefinitions=full, **extra)

    def run(
        self,
        family: str,
        *containers: dict[str, Any],
        run: dict[str, Any] | None = None,
        **extra: Any,
    ) -> str:
        self.define(family, *containers, **extra)
        return self.run_again(family, **(run or {}))

    def run_again(self, family: str, **run: Any) -> str:
        """A task of what is defined already; it goes with the test."""
        made = self.ecs.run_task(cluster="tasks", taskDefinition=family, **run)
        task: str = made["tasks"][0]["taskArn"]
        self.local.scope.add(lambda: gone(self.ecs.stop_task, cluster="tasks", task=task))
        return task

    def see(self, task: str) -> dict[str, Any]:
        return self.ecs.describe_tasks(cluster="tasks", tasks=[task])["tasks"][0]  # type: ignore[no-any-return]

    def until(self, task: str, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        eventually(
            lambda: condition(self.see(task)),
            lambda: f"task: {self.see(task)}",
            40,
            lambda: self.state(task),
        )
        return self.see(task)

    def state(self, task: str) -> list[str]:
        """Whatever moves in the life of a task."""
        seen = self.see(task)
        return [seen["lastStatus"], *(each["lastStatus"] for each in seen["containers"])]

    def ended(self, task: str) -> dict[str, Any]:
        return self.until(task, lambda t: t["lastStatus"] == "STOPPED")

    def log(self, group: str, stream: str) -> list[str]:
        return [
            e["message"]
            for e in self.logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
        ]


@pytest.fixture(scope="module")
def bench(local: Endpoint) -> Bench:
    return Bench(local)


def sh(name: str, script: str, **extra: Any) -> dict[str, Any]:
    return {"name": name, "command": ["sh", "-c", script], **extra}


def logged(group: str) -> dict[str, Any]:
    options = {
        "awslogs-group": group,
        "awslogs-region": "ap-northeast-1",
        "awslogs-stream-prefix": "p",
        "awslogs-create-group": "true",
    }
    return {"logDriver": "awslogs", "options": options}


def after(name: str, condition: str) -> dict[str, Any]:
    return {"dependsOn": [{"containerName": name, "condition": condition}]}


ENDS_ON_TERM = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def test_containers_wait_for_those_they_depend_on(bench):
    """Migration first (SUCCESS), then a cache that is healthy, then the application."""
    stamp = "echo $(cat /proc/uptime | cut -d' ' -f1) >/shared/{}; "
    volume = {"mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}]}
    note = "trap 'cat /proc/uptime | cut -d\" \" -f1 >/shared/{0}-end; exit 0' TERM; "
    task = bench.run(
        "ordered",
        sh("migrate", "sleep 0.5; " + stamp.format("migrate"), essential=False, **volume),
        sh(
            "cache",
            stamp.format("cache")
            + "sleep 1; echo >/ready; "
            + note.format("cache")
            + "while :; do sleep 0.1; done",
            **volume,
            healthCheck={
                "command": ["CMD-SHELL", "cat /ready"],
                "interval": 5,
                "timeout": 2,
                "retries": 3,
            },
            **after("migrate", "SUCCESS"),
        ),
        sh(
            "app",
            stamp.format("app") + note.format("app") + "while :; do sleep 0.1; done",
            **volume,
            **after("cache", "HEALTHY"),
        ),
        sh("reader", "sleep 1000", essential=False, **volume, **after("app", "START")),
        volumes=[{"name": "shared"}],
    )
    seen = bench.until(task, lambda t: t["lastStatus"] == "RUNNING")
    states = {c["name"]: (c["lastStatus"], c["healthStatus"]) for c in seen["containers"]}
    assert (
        states["migrate"][0] == "STOPPED"
        and states["cache"] == ("RUNNING", "HEALTHY")
        and seen["healthStatus"] == "HEALTHY"
    )
    assert seen["createdAt"] <= seen["pullStartedAt"] <= seen["pullStoppedAt"] <= seen["startedAt"]
    bench.ecs.stop_task(cluster="tasks", task=task, reason="enough")
    seen = bench.ended(task)
    assert (seen["stopCode"], seen["stoppedReason"]) == ("UserInitiated", "enough")
    assert seen["stoppingAt"] <= seen["executionStoppedAt"] <= seen["stoppedAt"]


def test_the_order_of_start_and_stop_is_told_by_the_logs(bench):
    """The dependent is stopped before what it depends on."""
    speaks = (
        "trap 'echo {0} ends at $(cat /proc/uptime); exit 0' TERM; echo {0} begins at $(cat "
        "/proc/uptime); while :; do sleep 0.1; done"
    )
    task = bench.run(
        "spoken",
        sh("db", speaks.format("db"), logConfiguration=logged("/t/order")),
        sh(
            "app", speaks.format("app"), logConfiguration=logged("/t/order"), **after("db", "START")
        ),
    )
    bench.until(task, lambda t: t["lastStatus"] == "RUNNING")
    time.sleep(0.5)
    bench.ecs.stop_task(cluster="tasks", task=task)
    bench.ended(task)
    key = task.rpartition("/")[2]
    told = {
        line.split(" at ")[0]: float(line.split()[-2])
        for n in ("db", "app")
        for line in bench.log("/t/order", f"p/{n}/{key}")
    }
    assert told["db begins"] <= told["app begins"] and told["app ends"] <= told["db ends"]


def test_a_dependency_that_can_never_be_met_ends_the_task(bench):
    """The migration fails: the application never starts."""
    task = bench.run(
        "unmet",
        sh("migrate", "exit 3", essential=False),
        sh("app", "sleep 100", **after("migrate", "SUCCESS")),
    )
    seen = bench.ended(task)
    assert (
        seen["stopCode"] == "TaskFailedToStart"
        and "TaskDependencyError: container migrate" in seen["stoppedReason"]
    )
    assert {c["name"]: c.get("exitCode") for c in seen["containers"]} == {"migrate": 3, "app": None}


def test_what_is_not_essential_fails_alone(bench):
    """A program that is not there, and a dependency that failed: the main container runs on (API
    reference, ContainerDefinition.essential)."""
    missing = {**sh("side", "x"), "command": ["/no/such/program"], "essential": False}
    task = bench.run(
        "alone",
        missing,
        sh("init", "exit 1", essential=False),
        sh("cache", "sleep 100", essential=False, **after("init", "SUCCESS")),
        sh("main", ENDS_ON_TERM),
    )
    seen = bench.until(task, lambda t: t["lastStatus"] == "RUNNING")
    states = {each["name"]: each["lastStatus"] for each in seen["containers"]}
    assert states == {"side": "STOPPED", "init": "STOPPED", "cache": "STOPPED", "main": "RUNNING"}
    reasons = {each["name"]: each.get("reason", "") for each in seen["containers"]}
    assert "CannotStartContainerError" in reasons["side"]
    assert "TaskDependencyError" in reasons["cache"]
    bench.ecs.stop_task(cluster="tasks", task=task)
    assert bench.ended(task)["stopCode"] == "UserInitiated"


def test_start_timeout_ends_the_wait(bench):
    """A dependency that takes longer than its startTimeout."""
    task = bench.run(
        "slow",
        sh("init", "sleep 60", essential=False, startTimeout=2),
        sh("app", "sleep 9", **after("init", "COMPLETE")),
    )
    assert "startTimeout of 2 s" in bench.ended(task)["stoppedReason"]


def test_volumes_are_shared_and_go_with_the_task(bench):
    """Two containers, one writes, the other reads read-only; volumesFrom sees the same; nothing is
    left afterwards."""
    mount = {"sourceVolume": "v", "containerPath": "/v"}
    task = bench.run(
        "volumes",
        sh("writer", "echo 42 >/v/n", essential=False, mountPoints=[mount]),
        sh(
            "reader",
            "test $(cat /v/n) = 42 && ! echo x >/v/y",
            mountPoints=[mount | {"readOnly": True}],
            **after("writer", "SUCCESS"),
        ),
        sh(
            "other",
            "test $(cat /v/n) = 42 && sleep 100",
            volumesFrom=[{"sourceContainer": "writer"}],
            essential=False,
            **after("writer", "SUCCESS"),
        ),
        volumes=[{"name": "v"}],
    )
    seen = bench.ended(task)
    assert {c["name"]: c["exitCode"] for c in seen["containers"]} == {
        "writer": 0,
        "reader": 0,
        "other": 137,
    }
    import subprocess

    volumes = subprocess.run(
        ["docker", "volume", "ls", "-q"], capture_output=True, text=True, check=True
    ).stdout
    assert task.rpartition("/")[2] not in volumes


def test_an_efs_volume_outlives_its_tasks(bench):
    """What one task wrote is there for the next."""
    volume = {
        "name": "e",
        "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/data"},
    }
    mount = {"mountPoints": [{"sourceVolume": "e", "containerPath": "/e"}]}
    bench.ended(bench.run("writes", sh("a", "echo kept >/e/f", **mount), volumes=[volume]))
    seen = bench.ended(
        bench.run("reads", sh("a", "test $(cat /e/f) = kept", **mount), volumes=[volume])
    )
    assert seen["containers"][0]["exitCode"] == 0


def test_environment_files_and_overrides(bench):
    """A file from S3, values of the definition over it, values of RunTask over those; cpu and
    memory of the run."""
    s3 = bench.local.client("s3")
    s3.create_bucket(
        Bucket="env", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    s3.put_object(Bucket="env", Key="a/app.env", Body=b"# file\nA=file\nB=file\nC=file\n")
    container = sh(
        "app",
        "exit 1",
        environment=[{"name": "B", "value": "definition"}, {"name": "C", "value": "definition"}],
        environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::env/a/app.env"}],
    )
    overrides = {
        "cpu": "512",
        "memory": "1024",
        "containerOverrides": [
            {
                "name": "app",
                "environment": [{"name": "C", "value": "run"}],
                "command": ["sh", "-c", 'test "$A/$B/$C" = file/definition/run'],
            }
        ],
    }
    task = bench.run(
        "env",
        container,
        run={"overrides": overrides, "startedBy": "me", "group": "g"},
        cpu="256",
        memory="512",
    )
    seen = bench.ended(task)
    assert seen["containers"][0]["exitCode"] == 0
    assert (seen["cpu"], seen["memory"], seen["startedBy"], seen["group"]) == (
        "512",
        "1024",
        "me",
        "g",
    )
    missing = bench.run(
        "noenv",
        container | {"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::env/none.env"}]},
    )
    assert "ResourceInitializationError" in bench.ended(missing)["stoppedReason"]


def test_limits_reach_the_container(bench):
    """User, read-only root, dropped capabilities, ulimits, tmpfs, working directory."""
    script = (
        "test $(cat /proc/self/status | grep -c '^CapEff.*0000000000000000') = 1 && ! "
        "echo >/root-is-writable "
        "&& test $(pwd) = /tmp && test $(grep -c ' /tmp tmpfs .*size=8192k' "
        "/proc/mounts) = 1 && test $(ulimit -n) = 512"
    )
    seen = bench.ended(
        bench.run(
            "limits",
            sh(
                "a",
                script,
                user="65534:65534",
                readonlyRootFilesystem=True,
                workingDirectory="/tmp",
                ulimits=[{"name": "nofile", "softLimit": 512, "hardLimit": 1024}],
                linuxParameters={
                    "capabilities": {"drop": ["ALL"]},
                    "tmpfs": [{"containerPath": "/tmp", "size": 8, "mountOptions": ["mode=1777"]}],
                },
            ),
        )
    )
    assert seen["containers"][0]["exitCode"] == 0, seen


def test_a_restart_policy_does_not_restart_too_short_a_life(bench):
    """It ended within its restartAttemptPeriod: it stays ended, and the task goes on."""
    policy = {"enabled": True, "restartAttemptPeriod": 60}
    task = bench.run(
        "restarts",
        sh("app", "sleep 200"),
        sh("side", "exit 1", essential=False, restartPolicy=policy),
    )
    bench.until(
        task,
        lambda t: t["lastStatus"] == "RUNNING" and t["containers"][1]["lastStatus"] == "STOPPED",
    )
    assert bench.see(task)["containers"][1]["exitCode"] == 1


@pytest.mark.prove
def test_a_restart_policy_restarts_a_side_container(bench):
    """It ran for the least period that AWS allows, a minute: started again, in the same task, and
    counted."""
    policy = {"enabled": True, "restartAttemptPeriod": 60}
    script = (
        "echo begins $(wget -qO- $ECS_CONTAINER_METADATA_URI_V4 | grep -o "
        "'RestartCount[^,}]*'); sleep 62; exit 1"
    )
    side = sh(
        "side", script, essential=False, restartPolicy=policy, logConfiguration=logged("/t/again")
    )
    task = bench.run("again", sh("app", "sleep 400"), side)
    stream = f"p/side/{task.rpartition('/')[2]}"
    bench.until(task, lambda t: t["lastStatus"] == "RUNNING")
    eventually(lambda: len(bench.log("/t/again", stream)) >= 2, "it began twice", 100)
    assert [line.rpartition(" ")[2] for line in bench.log("/t/again", stream)] == ["0", "1"]
    assert bench.see(task)["lastStatus"] == "RUNNING"


def test_logs_are_delivered(bench):
    """Every line, in order, in the stream that the driver would make; also what is written at the
    very end."""
    task = bench.run(
        "speaks",
        sh(
            "app",
            "for i in $(seq 500); do echo line $i; done; echo bye",
            logConfiguration=logged("/t/logs"),
        ),
    )
    bench.ended(task)
    told = bench.log("/t/logs", f"p/app/{task.rpartition('/')[2]}")
    assert told == [f"line {i}" for i in range(1, 501)] + ["bye"]


def test_a_missing_log_group_stops_the_start(bench):
    """Without awslogs-create-group, as on AWS."""
    config = logged("/not/there")
    del config["options"]["awslogs-create-group"]
    seen = bench.ended(bench.run("mute", sh("app", "exit 0", logConfiguration=config)))
    assert "ResourceInitializationError: failed to validate logger args" in seen["stoppedReason"]


def test_metadata_and_credentials(bench):
    """What a task asks about itself with nothing but its environment."""
    script = (
        "wget -qO- $ECS_CONTAINER_METADATA_URI_V4; echo; wget -qO- "
        "$ECS_CONTAINER_METADATA_URI_V4/task; echo; "
        "wget -qO- $ECS_CONTAINER_METADATA_URI_V4/stats; echo; "
        'wget -qO- "http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"; echo; '
        'echo "key:$AWS_ACCESS_KEY_ID"'
    )
    role = "arn:aws:iam::123456789012:role/app"
    task = bench.run(
        "asks",
        sh("app", script, logConfiguration=logged("/t/meta")),
        taskRoleArn=role,
        run={"tags": [{"key": "k", "value": "v"}]},
    )
    bench.ended(task)
    told = [
        line for line in bench.log("/t/meta", f"p/app/{task.rpartition('/')[2]}") if line.strip()
    ]
    container, whole, stats, credentials = map(json.loads, told[:4])
    assert (
        container["Name"] == "app"
        and container["Labels"]["com.amazonaws.ecs.task-arn"] == task
        and container["KnownStatus"] == "RUNNING"
    )
    assert whole["TaskARN"] == task and whole["Family"] == "asks" and len(whole["Containers"]) == 1
    assert stats["memory_stats"]["usage"] > 0
    assert (
        credentials["RoleArn"] == role
        and credentials["AccessKeyId"].startswith("ASIA")
        and told[4] == "key:"
    )


@pytest.mark.skipif(shutil.which("iptables") is None, reason="needs iptables")
def test_a_fault_is_made_in_the_task_s_own_network_and_undone(bench):
    """A black hole before the web server's port: nobody reaches it, until it is stopped."""
    task = bench.run(
        "faulty",
        {"name": "web", "command": serve("ok"), "portMappings": [{"containerPort": 8000}]},
        networkMode="awsvpc",
        enableFaultInjection=True,
    )
    seen = bench.until(task, lambda task: task["lastStatus"] == "RUNNING")
    address = seen["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    token = metadata_id(task.rpartition("/")[2], "web")
    agent = f"{bench.local.status['endpoint']}/_kirikae/metadata/api/{token}/fault/v1"
    hole = {"Port": 8000, "Protocol": "tcp", "TrafficType": "ingress"}

    def ask(what: str) -> dict[str, Any]:
        url = f"{agent}/network-blackhole-port/{what}"
        return json.loads(urllib.request.urlopen(url, json.dumps(hole).encode()).read())  # type: ignore[no-any-return]

    def answers() -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://{address}:8000/", timeout=2).read())
        except OSError:
            return False

    eventually(answers, "the web server answers")
    assert ask("status") == {"Status": "not-running"}
    assert ask("start") == {"Status": "running"}
    assert not answers()
    assert ask("stop") == {"Status": "stopped"}
    eventually(answers, "it answers again")


def test_the_same_token_runs_once(bench):
    """clientToken: the same request twice is one task; another request under it is a conflict."""
    bench.define("once", sh("a", "sleep 50"))
    first, again = (bench.run_again("once", clientToken="t-1") for _ in range(2))
    assert first == again
    with pytest.raises(ClientError, match="ConflictException"):
        bench.ecs.run_task(cluster="tasks", taskDefinition="once", clientToken="t-1", count=2)


def test_families_tags_and_deletion(bench):
    """The small operations that tools call."""
    ecs = bench.ecs
    arn = ecs.register_task_definition(
        family="small",
        containerDefinitions=[{"name": "a", "image": "x", "memory": 64}],
        tags=[{"key": "a", "value": "1"}],
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]
    assert "small" in ecs.list_task_definition_families(familyPrefix="sma")["families"]
    assert ecs.delete_task_definitions(taskDefinitions=[arn])["failures"][0]["arn"] == arn
    ecs.deregister_task_definition(taskDefinition=arn)
    assert (
        ecs.delete_task_definitions(taskDefinitions=[arn])["taskDefinitions"][0]["status"]
        == "DELETE_IN_PROGRESS"
    )
    ecs.put_account_setting(name="containerInsights", value="enabled")
    assert ecs.list_account_settings(name="containerInsights")["settings"][0]["value"] == "enabled"
    assert ecs.list_container_instances(cluster="tasks")["containerInstanceArns"] == []


def test_images_come_from_the_loopback_registry(bench):
    """Pushed to 127.0.0.1, named as in ECR; the digest is told."""
    import subprocess

    place = bench.local.status["registry"]
    subprocess.run(["docker", "tag", WEB_IMAGE, f"{place}/shop/web:r1"], check=True)
    subprocess.run(
        ["docker", "push", "-q", f"{place}/shop/web:r1"], check=True, capture_output=True
    )
    subprocess.run(["docker", "rmi", f"{place}/shop/web:r1"], check=True, capture_output=True)
    ecr = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/shop/web:"
    seen = bench.ended(bench.run("pulls", sh("a", "exit 0", image=ecr + "r1")))
    assert seen["containers"][0]["exitCode"] == 0 and seen["containers"][0][
        "imageDigest"
    ].startswith("sha256:")
    assert seen["containers"][0]["image"] == ecr + "r1"
    seen = bench.ended(bench.run("pulls", sh("a", "exit 0", image=ecr + "r2")))
    assert (
        "CannotPullContainerError" in seen["stoppedReason"]
        and "shop/web:r2" in seen["stoppedReason"]
    )


def test_a_task_of_bridge_publishes_its_ports(bench):
    """On an instance: a port that was asked for, which is given once, and one that is free."""
    # Whatever the machine has to spare is found before it is asked for.
    port = free_port()
    bench.ecs.create_cluster(clusterName="bridge")
    where = {"cluster": "bridge", "instanceIdentityDocument": '{"instanceId": "i-1"}'}
    arn = bench.ecs.register_container_instance(**where)["containerInstance"]
    taken = {"cluster": "bridge", "containerInstance": arn["containerInstanceArn"], "force": True}
    bench.local.scope.add(lambda: gone(bench.ecs.deregister_container_instance, **taken))
    mappings = [{"containerPort": 8000, "hostPort": port}, {"containerPort": 8001}]
    script = "mkdir /w; echo bridged >/w/index.html; exec httpd -f -p 8000 -h /w"
    bench.define("bridged", sh("a", script, portMappings=mappings))
    asked = {"cluster": "bridge", "taskDefinition": "bridged", "count": 2}
    begun = bench.ecs.run_task(**asked)
    (task,) = (each["taskArn"] for each in begun["tasks"])
    bench.local.scope.add(lambda: gone(bench.ecs.stop_task, cluster="bridge", task=task))
    assert [each["reason"] for each in begun["failures"]] == ["RESOURCE:PORTS"]

    def seen() -> dict[str, Any]:
        told = bench.ecs.describe_tasks(cluster="bridge", tasks=[task])["tasks"]
        return told[0]  # type: ignore[no-any-return]

    eventually(lambda: seen()["lastStatus"] == "RUNNING", "it runs", 60, lambda: seen()["version"])
    bindings = seen()["containers"][0]["networkBindings"]
    assert {each["containerPort"]: each["bindIP"] for each in bindings} == {
        8000: "127.0.0.1",
        8001: "127.0.0.1",
    }
    assert [each["hostPort"] for each in bindings if each["containerPort"] == 8000] == [port]
    assert all(each["hostPort"] for each in bindings)

    def answers() -> bool:
        url = f"http://127.0.0.1:{port}/"
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.read() == b"bridged\n")
        return False

    eventually(answers, "it answers at the port that was asked for", 30)
