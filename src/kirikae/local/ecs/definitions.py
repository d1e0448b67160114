"""Task definitions: what may be registered, and what each container's definition means when it
runs.

Limits are those of the ECS API reference (RegisterTaskDefinition, ContainerDefinition) for Fargate;
what kirikae local does not carry out is refused by name, so that no rehearsal passes on something
that was silently dropped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from kirikae.local.ecs.names import refused, short, unsupported
from kirikae.local.errors import AwsError
from kirikae.local.pages import page
from kirikae.local.state import Row, State
from kirikae.local.wire import Operation
from kirikae.model.fargate import size_problem

REFUSED = (
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "placementConstraints",
    "trustedExecutionConfiguration",
)
REFUSED_IN_CONTAINERS = (
    "firelensConfiguration",
    "links",
    "dockerSecurityOptions",
    "resourceRequirements",
    "credentialSpecs",
    "hostname",
    "dnsServers",
    "dnsSearchDomains",
    "extraHosts",
    "privileged",
    "disableNetworking",
)
REFUSED_VOLUMES = (
    "dockerVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration",
    "s3filesVolumeConfiguration",
    "configuredAtLaunch",
)
MOST_IGNORED_EXIT_CODES = 50
SMALLEST_MEMORY_MIB = 6
_LOG_OPTIONS = {
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "awslogs-multiline-pattern",
    "mode",
    "max-buffer-size",
}
_RANGES: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "healthCheck": {
        "interval": (5, 300),
        "timeout": (2, 60),
        "retries": (1, 10),
        "startPeriod": (0, 300),
    },
    "restartPolicy": {"restartAttemptPeriod": (60, 1800)},
    "": {"stopTimeout": (0, 120), "startTimeout": (2, 120), "cpu": (0, 262144)},
}


def launch_order(containers: list[Row]) -> list[Row]:
    """Containers so that each comes after those it depends on.  Raises ValueError on a cycle or an
    unknown name."""
    names = {c["name"] for c in containers}
    for container in containers:
        for dependency in container.get("dependsOn", []):
            if dependency["containerName"] not in names:
                raise ValueError(
                    f"{container['name']} depends on {dependency['containerName']}, "
                    "which is no container of this task"
                )
    left = {c["name"]: c for c in containers}
    placed = set[str]()
    ordered = list[Row]()
    while left:
        ready = [
            c
            for c in left.values()
            if all(d["containerName"] in placed for d in c.get("dependsOn", []))
        ]
        if not ready:
            raise ValueError(f"dependsOn goes round in a circle between {', '.join(sorted(left))}")
        for container in ready:
            ordered.append(container)
            placed.add(container["name"])
            del left[container["name"]]
    return ordered


def check_container(  # noqa: C901
    family: str, container: Row, containers: Mapping[str, Row], volumes: set[str]
) -> None:
    """Raise AwsError for what AWS refuses and for what is not carried out here."""
    where = f"{family}/{container['name']}"
    if any(c.get("namespace", "").startswith("net.") for c in container.get("systemControls", [])):
        raise unsupported(
            f"{where}: kirikae local does not carry out systemControls of net.* (its "
            "networks are made ahead of tasks)"
        )
    for key in REFUSED_IN_CONTAINERS:
        if container.get(key):
            raise unsupported(
                f"{where}: kirikae local does not carry out {key} (Fargate refuses most "
                "of these too)"
            )
    if not container.get("image"):
        raise refused(f"{where}: Container.image should not be null or empty.")
    for part, ranges in _RANGES.items():
        values = container.get(part) or {} if part else container
        for key, (low, high) in ranges.items():
            if (value := values.get(key)) is not None and not low <= value <= high:
                raise refused(
                    f"{where}: {part + '.' if part else ''}{key} {value} is outside {low} to {high}"
                )
    _check_memory(where, container)
    _check_dependencies(where, container, containers)
    _check_restart(where, container)
    if "healthCheck" in container and container["healthCheck"]["command"][:1] not in (
        ["CMD"],
        ["CMD-SHELL"],
        ["NONE"],
    ):
        raise refused(f"{where}: healthCheck.command must begin with CMD, CMD-SHELL or NONE")
    for mount in container.get("mountPoints", []):
        if mount.get("sourceVolume") not in volumes:
            raise refused(f"{where}: Unknown volume '{mount.get('sourceVolume')}'.")
        if not mount.get("containerPath"):
            raise refused(f"{where}: mountPoints: containerPath should not be null or empty.")
    for source in container.get("volumesFrom", []):
        if source.get("sourceContainer") not in containers:
            raise refused(
                f"{where}: volumesFrom names {source.get('sourceContainer')}, which is "
                "no container of this task"
            )
    logs = container.get("logConfiguration")
    if logs is not None:
        if logs["logDriver"] != "awslogs":
            raise unsupported(
                f"{where}: kirikae local delivers logs by awslogs, not {logs['logDriver']}"
            )
        if unknown := sorted(set(logs.get("options", {})) - _LOG_OPTIONS):
            raise unsupported(
                f"{where}: kirikae local does not carry out the log option {unknown[0]}"
            )
        if not logs.get("options", {}).get("awslogs-group"):
            raise refused(
                f"{where}: Log driver awslogs requires options: awslogs-group, awslogs-region"
            )
    for file in container.get("environmentFiles", []):
        if (
            file["type"] != "s3"
            or not file["value"].startswith("arn:")
            or not file["value"].endswith(".env")
        ):
            raise refused(
                f"{where}: environmentFiles: {file['value']}: an S3 object's ARN that "
                "ends in .env is needed"
            )


def _check_memory(where: str, container: Row) -> None:
    memory = container.get("memory")
    reservation = container.get("memoryReservation")
    for value in (memory, reservation):
        if value is not None and value < SMALLEST_MEMORY_MIB:
            raise refused(
                f"{where}: Invalid setting: 'memory' {value} is under {SMALLEST_MEMORY_MIB} MiB."
            )
    if memory is not None and reservation is not None and memory < reservation:
        raise refused(
            f"{where}: Invalid setting: 'memory' must be greater than or equal to "
            "'memoryReservation'."
        )


def _check_dependencies(where: str, container: Row, containers: Mapping[str, Row]) -> None:
    for dependency in container.get("dependsOn", []):
        name = dependency["containerName"]
        condition = dependency["condition"]
        other = containers.get(name)
        if other is None:
            raise refused(f"{where}: dependsOn names {name}, which is no container of this task")
        if condition in ("COMPLETE", "SUCCESS") and other["essential"]:
            raise refused(f"{where}: dependsOn {condition} needs {name} to be not essential")
        if condition == "HEALTHY" and "healthCheck" not in other:
            raise refused(f"{where}: dependsOn HEALTHY needs {name} to have a healthCheck")


def _check_restart(where: str, container: Row) -> None:
    policy = container.get("restartPolicy") or {}
    if len(policy.get("ignoredExitCodes", [])) > MOST_IGNORED_EXIT_CODES:
        raise refused(
            f"{where}: restartPolicy.ignoredExitCodes has more than {MOST_IGNORED_EXIT_CODES} codes"
        )


def check_volume(family: str, volume: Row) -> None:
    where = f"{family}: volume {volume.get('name')!r}"
    if not volume.get("name"):
        raise refused(f"{family}: every volume needs a name")
    for key in REFUSED_VOLUMES:
        if volume.get(key):
            raise unsupported(f"{where}: kirikae local does not carry out {key}")
    if (volume.get("host") or {}).get("sourcePath"):
        raise refused(f"{where}: host.sourcePath is not supported on Fargate.")


def units(value: str | None, per_whole: int) -> int | None:
    """``"256"``, ``"1 vCPU"``, ``".5 vCPU"``, ``"2 GB"`` as CPU units or MiB."""
    if value is None:
        return None
    number, _, unit = value.strip().partition(" ")
    try:
        return round(float(number) * per_whole) if unit.lower() in ("vcpu", "gb") else int(number)
    except ValueError as error:
        raise refused(f"Invalid 'cpu' or 'memory' setting: {value!r}") from error


class Definitions:
    def __init__(self, state: State, prefix: str) -> None:
        self._state = state
        self._prefix = prefix

    def operations(self) -> dict[str, Operation]:
        return {
            "RegisterTaskDefinition": self.register,
            "DescribeTaskDefinition": self.describe,
            "ListTaskDefinitions": self.list,
            "ListTaskDefinitionFamilies": self.families,
            "DeregisterTaskDefinition": self.deregister,
            "DeleteTaskDefinitions": self.delete,
        }

    async def register(self, params: Row) -> Row:
        family = params["family"]
        containers = params["containerDefinitions"]
        for key in REFUSED:
            if params.get(key):
                raise unsupported(f"{family}: kirikae local does not carry out {key}")
        names = [c.get("name") for c in containers]
        if not containers or None in names or len(set(names)) != len(names):
            raise refused(f"{family}: every container needs a name of its own")
        containers = [{"essential": True, **c} for c in containers]
        if not any(c["essential"] for c in containers):
            raise refused(f"{family}: a task definition needs at least one essential container")
        volumes = params.get("volumes", [])
        for volume in volumes:
            check_volume(family, volume)
        for container in containers:
            check_container(
                family, container, {c["name"]: c for c in containers}, {v["name"] for v in volumes}
            )
        try:
            launch_order(containers)
        except ValueError as error:
            raise refused(f"{family}: {error}") from error
        if params.get("networkMode", "awsvpc") != "awsvpc":
            raise refused(f"{family}: kirikae local runs network mode awsvpc")
        sizes = self._check_size(family, params)
        revision = 1 + max(
            [d["revision"] for d in self._state.all("definition") if d["family"] == family],
            default=0,
        )
        arn = f"{self._prefix}task-definition/{family}:{revision}"
        known = {k: v for k, v in params.items() if k != "tags"}
        row = {
            "volumes": [],
            **known,
            **sizes,
            "containerDefinitions": containers,
            "networkMode": "awsvpc",
            "taskDefinitionArn": arn,
            "revision": revision,
            "status": "ACTIVE",
            "registeredAt": time.time(),
            "compatibilities": ["EC2", "FARGATE"],
        }
        with self._state.together():
            self._state.put("definition", arn, row)
            if params.get("tags"):
                self._state.put("tags", arn, {"tags": params["tags"]})
        return {"taskDefinition": row, "tags": params.get("tags", [])}

    def _check_size(self, family: str, params: Row) -> Row:
        fargate = "FARGATE" in params.get("requiresCompatibilities", [])
        cpu = units(params.get("cpu"), 1024)
        memory = units(params.get("memory"), 1024)
        if fargate and (cpu is None or memory is None):
            raise refused(f"{family}: Fargate requires task definition to have cpu and memory.")
        if (
            fargate
            and cpu is not None
            and memory is not None
            and (problem := size_problem(cpu, memory))
        ):
            raise refused(f"{family}: No Fargate configuration exists for given values: {problem}")
        for container in params["containerDefinitions"]:
            if (
                memory is None
                and not container.get("memory")
                and not container.get("memoryReservation")
            ):
                raise refused(
                    f"{family}/{container['name']}: Invalid setting: at least one of "
                    "'memory' or 'memoryReservation' must be specified."
                )
        return {k: str(v) for k, v in (("cpu", cpu), ("memory", memory)) if v is not None}

    def find(self, name: str) -> Row:
        """By ARN, ``family:revision``, or the newest active one of a family."""
        if name.startswith("arn:"):
            row = self._state.get("definition", name)
            if row is not None:
                return row
            name = short(name)
        family, _, revision = name.partition(":")
        rows = [
            d
            for d in self._state.all("definition")
            if d["family"] == family and (d["status"] == "ACTIVE" or revision)
        ]
        if revision:
            rows = [d for d in rows if str(d["revision"]) == revision]
        if not rows:
            raise refused("Unable to describe task definition.")
        return max(rows, key=lambda d: int(d["revision"]))

    def startable(self, name: str) -> Row:
        """As ``find``, but only what new tasks may be started from."""
        row = self.find(name)
        if row["status"] != "ACTIVE":
            raise refused("TaskDefinition is inactive")
        return row

    async def describe(self, params: Row) -> Row:
        row = self.find(params["taskDefinition"])
        tags = (
            self._state.get("tags", row["taskDefinitionArn"])
            if "TAGS" in params.get("include", [])
            else None
        )
        return {"taskDefinition": row, "tags": tags["tags"] if tags else []}

    async def list(self, params: Row) -> Row:
        status = params.get("status", "ACTIVE")
        family = params.get("familyPrefix")
        rows = [
            d
            for d in self._state.all("definition")
            if d["status"] == status and family in (None, d["family"])
        ]
        rows.sort(key=lambda d: (d["family"], d["revision"]), reverse=params.get("sort") == "DESC")
        return page("taskDefinitionArns", [d["taskDefinitionArn"] for d in rows], params, 100)

    async def families(self, params: Row) -> Row:
        status = params.get("status", "ALL")
        begins = params.get("familyPrefix", "")
        active = {d["family"] for d in self._state.all("definition") if d["status"] == "ACTIVE"}
        every = {
            d["family"] for d in self._state.all("definition") if d["family"].startswith(begins)
        }
        chosen = {"ACTIVE": every & active, "INACTIVE": every - active, "ALL": every}[status]
        return page("families", sorted(chosen), params, 100)

    async def deregister(self, params: Row) -> Row:
        if ":" not in short(params["taskDefinition"]):
            raise refused("Revision is missing.")
        row = self.find(params["taskDefinition"])
        return {
            "taskDefinition": self._state.change(
                "definition",
                row["taskDefinitionArn"],
                status="INACTIVE",
                deregisteredAt=time.time(),
            )
        }

    async def delete(self, params: Row) -> Row:
        """Only what was deregistered before; what still runs keeps it as DELETE_IN_PROGRESS until
        it has stopped."""
        if not 1 <= len(params["taskDefinitions"]) <= 10:
            raise AwsError("InvalidParameterException", "taskDefinitions: 1 to 10 at a time")
        gone = []
        failures = []
        for name in params["taskDefinitions"]:
            try:
                row = self.find(name)
            except AwsError:
                failures.append(
                    {
                        "arn": name,
                        "reason": "The specified task definition does not exist. Specify a valid "
                        "task definition.",
                    }
                )
                continue
            if row["status"] == "ACTIVE":
                reason = (
                    "The specified task definition is still in ACTIVE status. Please "
                    "deregister the target and try again."
                )
                failures.append({"arn": row["taskDefinitionArn"], "reason": reason})
                continue
            gone.append(
                self._state.change(
                    "definition",
                    row["taskDefinitionArn"],
                    status="DELETE_IN_PROGRESS",
                    deleteRequestedAt=time.time(),
                )
            )
        return {"taskDefinitions": gone, "failures": failures}

    def forget_deleted(self, used: Iterable[Any]) -> None:
        """Drop what was asked to be deleted and what nothing uses any more."""
        used = set(used)
        for row in self._state.all("definition"):
            if row["status"] == "DELETE_IN_PROGRESS" and row["taskDefinitionArn"] not in used:
                self._state.drop("definition", row["taskDefinitionArn"])
