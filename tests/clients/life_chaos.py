"""An experiment of the Chaos Toolkit with its extension for AWS: tasks of a service are stopped,
and the service must have all of them again."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import boto3


def experiment(name: str) -> dict[str, Any]:
    """As its documentation writes one."""
    of = {"cluster": name, "service": "app"}

    def step(kind: str, module: str, function: str, **arguments: Any) -> dict[str, Any]:
        provider = {"type": "python", "module": module, "func": function}
        made = {"type": kind, "name": function, "provider": {**provider, "arguments": arguments}}
        return {**made, "tolerance": True} if kind == "probe" else made

    steady = step("probe", "chaosaws.ecs.probes", "are_all_desired_tasks_running", **of)
    return {
        "title": "tasks go, and come again",
        "description": "as anybody would try it",
        "steady-state-hypothesis": {"title": "all tasks run", "probes": [steady]},
        "method": [
            step("action", "chaosaws.ecs.actions", "stop_random_tasks", task_count=1, **of),
            step("action", "chaosaws.ecs.actions", "update_desired_count", desired_count=2, **of),
            {
                "type": "probe",
                "name": "wait",
                "provider": {"type": "process", "path": "sh", "arguments": ["-c", WAIT]},
            },
        ],
        "rollbacks": [],
    }


WAIT = f"{sys.executable} {Path(__file__)} --wait"


def wait(name: str) -> None:
    """Until the service has all its tasks again; services are steady on AWS no sooner."""
    waiter = boto3.client("ecs").get_waiter("services_stable")
    config = {"Delay": 1, "MaxAttempts": 300}
    waiter.wait(cluster=name, services=["app"], WaiterConfig=config)


def main(name: str, image: str) -> None:
    ecs = boto3.client("ecs")
    subnet = boto3.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    ecs.create_cluster(clusterName=name)
    container = {"name": "app", "image": image, "command": ["sleep", "1000"], "stopTimeout": 2}
    ecs.register_task_definition(
        family=name,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )
    ecs.create_service(
        cluster=name,
        serviceName="app",
        taskDefinition=name,
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
    )
    wait(name)
    before = ecs.list_tasks(cluster=name, serviceName="app")["taskArns"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "experiment.json"
        file.write_text(json.dumps(experiment(name)).replace("--wait", f"--wait {name}"))
        chaos = [
            str(Path(sys.executable).parent / "chaos"),
            "run",
            "--journal-path",
            "journal.json",
        ]
        subprocess.run([*chaos, str(file)], cwd=folder, check=True)
        journal = json.loads((Path(folder) / "journal.json").read_text())
    assert journal["status"] == "completed" and not journal["deviated"], journal
    after = ecs.list_tasks(cluster=name, serviceName="app")["taskArns"]
    assert len(after) == 2 and not set(before) & set(after), (before, after)
    ecs.delete_service(cluster=name, service="app", force=True)
    ecs.get_waiter("services_inactive").wait(
        cluster=name, services=["app"], WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    ecs.delete_cluster(cluster=name)


if __name__ == "__main__":
    if sys.argv[1] == "--wait":
        wait(sys.argv[2])
    else:
        main(sys.argv[1], sys.argv[2])
