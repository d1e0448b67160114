"""A task definition and a Dockerfile that guard has nothing against, one change for each code that
it does have something against, a harmless change that looks like it, and four renderings."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

Plain = dict[str, Any]
DIGEST = "sha256:" + "a" * 64
EXECUTION = "arn:aws:iam::123456789012:role/execution"
ENCRYPTED = {"fileSystemId": "fs-1", "transitEncryption": "ENABLED"}
TASK: Plain = {
    "family": "shop",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "executionRoleArn": EXECUTION,
    "cpu": "512",
    "memory": "1024",
    "containerDefinitions": [
        {
            "name": "app",
            "image": f"registry.example/shop@{DIGEST}",
            "user": "999:997",
            "essential": True,
            "readonlyRootFilesystem": True,
            "environment": [{"name": "SHOP_REGION", "value": "jp"}],
            "secrets": [{"name": "DB_PASSWORD", "valueFrom": "/shop/db-password"}],
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/shop"}},
        }
    ],
}
APP = ("containerDefinitions", 0)
Change = tuple[tuple[Any, ...], Any]
"""Where, and what stands there then; None: nothing."""

PLANTED: dict[str, Change] = {
    "FG01": (("memory",), "8192"),
    "FG02": (("networkMode",), "bridge"),
    "FG03": ((*APP, "logConfiguration", "logDriver"), "json-file"),
    "FG04": ((*APP, "privileged"), True),
    "FG05": ((*APP, "linuxParameters"), {"capabilities": {"add": ["SYS_ADMIN"]}}),
    "FG06": (("pidMode",), "host"),
    "GD01": ((*APP, "user"), "root"),
    "GD02": ((*APP, "readonlyRootFilesystem"), False),
    "GD03": ((*APP, "environment"), [{"name": "DB_PASSWORD", "value": "hunter2"}]),
}
"""The nine faults of which known scanners see three in CloudFormation."""

FAULTY: dict[str, list[Change]] = {
    **{code: [change] for code, change in PLANTED.items()},
    "FG07": [
        (("placementConstraints",), [{"type": "memberOf", "expression": "x"}]),
        (("volumes",), [{"name": "data", "host": {"sourcePath": "/srv"}}]),
        (("volumes",), [{"name": "data", "dockerVolumeConfiguration": {"scope": "task"}}]),
    ],
    "FG08": [
        ((*APP, "links"), ["db"]),
        ((*APP, "linuxParameters"), {"maxSwap": 0}),
        ((*APP, "resourceRequirements"), [{"type": "GPU", "value": "1"}]),
    ],
    "FG09": [
        (("ephemeralStorage",), {"sizeInGiB": 20}),
        (("ephemeralStorage",), {"sizeInGiB": 201}),
    ],
    "FG10": [(("containerDefinitions",), [TASK["containerDefinitions"][0]] * 11)],
    "FG11": [((*APP, "ulimits"), [{"name": "nproc", "softLimit": 9, "hardLimit": 9}])],
    "FG12": [((*APP, "systemControls"), [{"namespace": "vm.swappiness", "value": "1"}])],
    "FG13": [((*APP, "stopTimeout"), 121)],
    "GD04": [((*APP, "image"), "registry.example:5000/shop"), ((*APP, "image"), "shop:latest")],
    "GD05": [(("volumes",), [{"name": "e", "host": {"sourcePath": "/var/run/docker.sock"}}])],
    "GD06": [(("pidMode",), "host"), (("ipcMode",), "host"), (("networkMode",), "host")],
    "GD07": [((*APP, "logConfiguration"), None)],
    "GD14": [(("volumes",), [{"name": "e", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}])],
    "GD15": [(("taskRoleArn",), EXECUTION)],
}
FAULTY["FG01"] += [(("cpu",), "300"), (("cpu",), None), (("memory",), "9 GB")]
FAULTY["GD01"] += [((*APP, "user"), "0:0")]
FAULTY["GD02"] += [((*APP, "readonlyRootFilesystem"), None)]
FAULTY["GD03"] += [
    ((*APP, "environment"), [{"name": "DATABASE", "value": "mysql://shop:hunter2@db/shop"}]),
    (
        (*APP, "environment"),
        [{"name": "appKey", "value": "ZGlmZmVyZW50IGZyb20gYW55IG90aGVyIG9uZQ=="}],
    ),
]
HARMLESS: dict[str, list[Change]] = {
    "FG01": [(("memory",), "4096"), (("memory",), "1 GB"), (("cpu",), ".5 vCPU")],
    "FG02": [(("networkMode",), "awsvpc")],
    "FG03": [((*APP, "logConfiguration", "logDriver"), "awsfirelens")],
    "FG04": [((*APP, "privileged"), False)],
    "FG05": [
        ((*APP, "linuxParameters"), {"capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}})
    ],
    "FG06": [(("pidMode",), "task")],
    "FG07": [
        (("placementConstraints",), []),
        (("volumes",), [{"name": "scratch"}]),
        (("volumes",), [{"name": "e", "efsVolumeConfiguration": ENCRYPTED}]),
    ],
    "FG08": [((*APP, "links"), []), ((*APP, "dnsServers"), [])],
    "FG09": [
        (("ephemeralStorage",), {"sizeInGiB": 21}),
        (("ephemeralStorage",), {"sizeInGiB": 200}),
    ],
    "FG10": [(("containerDefinitions",), [TASK["containerDefinitions"][0]] * 10)],
    "FG11": [((*APP, "ulimits"), [{"name": "nofile", "softLimit": 9, "hardLimit": 9}])],
    "FG12": [((*APP, "systemControls"), [{"namespace": "net.core.somaxconn", "value": "1"}])],
    "FG13": [((*APP, "stopTimeout"), 120)],
    "GD01": [((*APP, "user"), "www-data"), ((*APP, "user"), "10:0")],
    "GD02": [((*APP, "readonlyRootFilesystem"), True)],
    "GD03": [
        ((*APP, "environment"), [{"name": "PASSWORD_FILE", "value": "/run/secrets/password"}]),
        ((*APP, "environment"), [{"name": "MAX_TOKENS", "value": "4096"}]),
        ((*APP, "environment"), [{"name": "COMMIT", "value": "9f2c" * 10}]),
        ((*APP, "environment"), [{"name": "DATABASE", "value": "mysql://shop@db/shop"}]),
    ],
    "GD04": [((*APP, "image"), "registry.example:5000/shop:r2")],
    "GD05": [(("volumes",), [{"name": "e", "host": {}}])],
    "GD06": [(("pidMode",), "task")],
    "GD07": [((*APP, "logConfiguration", "logDriver"), "splunk")],
    "GD14": [(("volumes",), [{"name": "e", "efsVolumeConfiguration": ENCRYPTED}])],
    "GD15": [(("taskRoleArn",), "arn:aws:iam::123456789012:role/shop")],
}

DOCKERFILE = f"""\
# escape=\\
ARG BASE=debian:12@{DIGEST}
FROM ${{BASE}} AS build
RUN apt-get install -y gcc sudo \\
    # a remark among the lines
 && make
FROM debian@{DIGEST}
COPY --from=build /srv /srv
RUN <<END
chmod 755 /srv
END
USER 999:997
CMD ["/srv/app"]
"""
FAULTY_FILES: dict[str, list[tuple[str, str]]] = {
    "GD01": [
        ("USER 999:997\n", ""),
        ("USER 999:997", "USER root"),
        ("USER 999:997", "USER 0:0"),
        ("USER 999:997", "USER 0\nFROM scratch AS c\nUSER 0\nFROM c"),
    ],
    "GD03": [
        ("USER", "ENV DB_PASSWORD=hunter2\nUSER"),
        ("USER", "ENV DB_PASSWORD hunter2\nUSER"),
        ("USER", "ARG NPM_TOKEN\nUSER"),
    ],
    "GD04": [(f"FROM debian@{DIGEST}", "FROM debian"), (f":12@{DIGEST}", ":latest")],
    "GD08": [('CMD ["/srv/app"]', "CMD /srv/app"), ("CMD", "ENTRYPOINT exec app\nCMD")],
    "GD09": [
        (f"FROM debian@{DIGEST}", "FROM build"),
        ("USER", "EXPOSE 80 22/tcp\nUSER"),
        ("USER", "RUN apt-get update && apt-get install -y --no-install-recommends sudo\nUSER"),
    ],
    "GD10": [
        ("USER", "ADD https://example.com/a.tgz /srv/\nUSER"),
        ("USER", "RUN curl -sSL https://example.com/install | bash -s\nUSER"),
    ],
    "GD11": [("USER", "RUN chmod -R 777 /srv\nUSER"), ("chmod 755", "chmod 0777")],
}
HARMLESS_FILES: dict[str, list[tuple[str, str]]] = {
    "GD01": [
        ("USER 999:997", "USER www-data"),
        ("USER 999:997\n", "USER 999:997\nFROM build\nUSER 5\nFROM scratch AS c\nUSER 7\nFROM c\n"),
    ],
    "GD03": [
        ("USER", "ENV PASSWORD_FILE=/run/secrets/db\nUSER"),
        ("USER", "ARG VERSION=1\nUSER"),
        ("USER", "RUN --mount=type=secret,id=npm npm ci\nUSER"),
    ],
    "GD04": [(f"debian@{DIGEST}", "debian:12.8"), (f"FROM debian@{DIGEST}", "FROM scratch")],
    "GD08": [('CMD ["/srv/app"]', 'ENTRYPOINT ["/srv/app"]\nCMD ["serve"]')],
    "GD09": [("USER", "EXPOSE 8022\nUSER"), ("USER", "RUN apt-get install -y sudoku\nUSER")],
    "GD10": [
        ("USER", f"ADD --checksum={DIGEST} https://example.com/a.tgz /srv/\nUSER"),
        ("USER", "RUN curl -o a https://example.com/a && sha256sum -c sums\nUSER"),
    ],
    "GD11": [("chmod 755", "chmod u+w")],
}


def changed(*changes: Change) -> Plain:
    """The task, with these changes."""
    task = copy.deepcopy(TASK)
    for path, value in changes:
        inner: Any = task
        for key in path[:-1]:
            inner = inner[key]
        if value is None:
            inner.pop(path[-1])
        else:
            inner[path[-1]] = copy.deepcopy(value)
    return task


# --- renderings


def raw(task: Plain) -> str:
    """As RegisterTaskDefinition takes it."""
    return json.dumps(task)


def template(task: Plain) -> Plain:
    """As CloudFormation spells it."""
    resource = {"Type": "AWS::ECS::TaskDefinition", "Properties": _pascal(task)}
    return {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}, "Task": resource}}


def cloudformation(task: Plain) -> str:
    """JSON."""
    return json.dumps(template(task))


def cloudformation_yaml(task: Plain) -> str:
    """YAML takes JSON's lists and maps below a key; a comment makes it no JSON."""
    return f"# a template\nResources: {json.dumps(template(task)['Resources'])}\n"


def _pascal(value: Any, keep: bool = False) -> Any:
    if isinstance(value, list):
        return [_pascal(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key if keep else _pascal_key(key): _pascal(each, key == "options")
        for key, each in value.items()
    }


def _pascal_key(key: str) -> str:
    """A function of CloudFormation begins with a capital already."""
    return "EFSVolumeConfiguration" if key.startswith("efs") else key[0].upper() + key[1:]


def terraform(task: Plain) -> str:
    """As `terraform show -json` prints a plan, in a module of its own."""
    values = {_snake(key): value for key, value in task.items()}
    values["container_definitions"] = json.dumps(task["containerDefinitions"])
    values["pid_mode"] = task.get("pidMode")
    values["volume"] = [_terraform_volume(each) for each in values.pop("volumes", [])]
    if "ephemeralStorage" in task:
        values["ephemeral_storage"] = [{"size_in_gib": task["ephemeralStorage"]["sizeInGiB"]}]
    row = {
        "address": "module.web.aws_ecs_task_definition.shop",
        "mode": "managed",
        "type": "aws_ecs_task_definition",
        "values": values,
    }
    return json.dumps(
        {"planned_values": {"root_module": {"child_modules": [{"resources": [row]}]}}}
    )


def _terraform_volume(volume: Plain) -> Plain:
    row: Plain = {"name": volume["name"], "host_path": volume.get("host", {}).get("sourcePath", "")}
    for key in ("dockerVolumeConfiguration", "efsVolumeConfiguration"):
        inner = volume.get(key)
        row[_snake(key)] = [{_snake(k): v for k, v in inner.items()}] if inner else []
    return row


def _snake(key: str) -> str:
    return re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", key)


RENDERINGS = {
    "task.json": raw,
    "template.json": cloudformation,
    "template.yaml": cloudformation_yaml,
    "plan.json": terraform,
}
