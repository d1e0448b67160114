"""What may be registered as a task definition.

Limits are those of the ECS API reference (RegisterTaskDefinition, ContainerDefinition) for Fargate;
what kirikae local does not carry out is refused by name, so that no rehearsal passes on something
that was silently dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from kirikae.local.ecs.constraints import MOST_CONSTRAINTS, check_constraints
from kirikae.local.ecs.fargate import check_fargate, check_platform
from kirikae.local.ecs.names import check_name, refused, unsupported
from kirikae.local.ecs.order import launch_order
from kirikae.local.ecs.ports import check_bridge, filled, network_mode
from kirikae.local.forward import firelens
from kirikae.local.plain import Plain
from kirikae.local.rows import ContainerDefinition, Dependency, Efs, EnvironmentFile, Volume

REFUSED = (
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "trustedExecutionConfiguration",
)
REFUSED_IN_CONTAINERS = (
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
REFUSED_OF_LINUX = ("devices", "sharedMemorySize", "maxSwap", "swappiness")
"""Of ``linuxParameters``: the API reference says of each that Fargate does not support it."""
ADDED_CAPABILITIES = ("SYS_PTRACE",)
"""Those that Fargate adds (API reference, KernelCapabilities)."""
_ROLE = re.compile(r"(arn:aws[a-z-]*:iam::[0-9]{12}:role/)?[A-Za-z0-9+=,.@_/-]{1,512}")
_IMAGE = re.compile(r"[A-Za-z0-9_.:/@#-]{1,255}")
_FILE_SYSTEM = re.compile(r"fs-[0-9a-f]{1,40}")
_ACCESS_POINT = re.compile(r"fsap-[0-9a-f]{1,40}")
_FOLDER = re.compile(r"/?([A-Za-z0-9_.-]+/?)*")
_MOUNT_OPTION = re.compile(r"[a-z_]+(=[0-9A-Za-z:_,-]+)?")
REFUSED_VOLUMES = (
    "dockerVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration",
    "s3filesVolumeConfiguration",
    "configuredAtLaunch",
)
MOST_IGNORED_EXIT_CODES = 50
SMALLEST_MEMORY_MIB = 6
_MOST_CONTAINERS = 10
_MOST_FILES = 10
_LARGEST_PORT = 65535
_LOG_OPTIONS = {
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "awslogs-multiline-pattern",
    "mode",
    "max-buffer-size",
}
_FILLED_IN = ("portMappings", "environment", "mountPoints", "volumesFrom", "systemControls")
"""Lists that AWS shows of every container (AWS CLI reference, register-task-definition,
example)."""
_MODES = ("blocking", "non-blocking")
_FILE_OPTIONS = ("max-size", "max-file", "compress")
_FILE_OPTION = re.compile(r"[0-9]{1,6}[kmg]?|true|false")
_RANGES: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "healthCheck": {
        "interval": (5, 300),
        "timeout": (2, 60),
        "retries": (1, 10),
        "startPeriod": (0, 300),
    },
    "restartPolicy": {"restartAttemptPeriod": (60, 1800)},
    "": {
        "stopTimeout": (0, 120),
        "startTimeout": (2, 120),
        "cpu": (0, 262144),
    },
}
_CHECK_KINDS = (["CMD"], ["CMD-SHELL"], ["NONE"])


def check_definition(params: Plain) -> list[ContainerDefinition]:
    """The containers of a request, with what is left out filled in.  Raises AwsError for what AWS
    refuses and for what is not carried out here."""
    family = params["family"]
    check_name("Family", family)
    _check_process_space(params)
    for key in REFUSED:
        if params.get(key):
            raise unsupported(f"{family}: kirikae local does not carry out {key}")
    containers = _named(family, params["containerDefinitions"])
    volumes = _volume_names(params)
    by_name = {container["name"]: container for container in containers}
    firelens.check(family, containers)
    for container in containers:
        check_container(family, container, by_name, volumes)
    try:
        launch_order(containers)
    except ValueError as error:
        raise refused(f"{family}: {error}") from error
    _check_roles(params)
    check_platform(params)
    _check_placement(params)
    mode = network_mode(params)
    filled_in = [_with_ports(family, container, mode) for container in containers]
    if mode == "bridge":
        check_bridge(family, filled_in)
    return filled_in


def _volume_names(params: Plain) -> set[str]:
    """Raises AwsError for a volume that cannot be, and for two of one name."""
    volumes: list[Volume] = params.get("volumes", [])
    for volume in volumes:
        check_volume(params["family"], volume)
    names = {volume["name"] for volume in volumes}
    if len(names) < len(volumes):
        raise refused(f"{params['family']}: Volume names must be unique.")
    return names


def _check_roles(params: Plain) -> None:
    """Raise AwsError for what is no role."""
    for role in ("taskRoleArn", "executionRoleArn"):
        if params.get(role) and not _ROLE.fullmatch(params[role]):
            raise refused(f"{params['family']}: Role is not valid: {role}={params[role]}")


def _check_placement(params: Plain) -> None:
    """Raise AwsError for placement constraints that there are not (API reference,
    TaskDefinitionPlacementConstraint)."""
    asked = params.get("placementConstraints") or []
    if asked and "FARGATE" in params.get("requiresCompatibilities", []):
        raise refused("Placement constraints are not supported for tasks run on Fargate.")
    if len(asked) > MOST_CONSTRAINTS:
        raise refused(f"placementConstraints can have at most {MOST_CONSTRAINTS} items.")
    check_constraints(asked, ["memberOf"])


def _check_process_space(params: Plain) -> None:
    """Raise AwsError for the host's processes on Fargate (API reference, RegisterTaskDefinition,
    ``pidMode``); that ``task`` is not carried out is told elsewhere."""
    if params.get("pidMode") == "host" and "FARGATE" in params.get("requiresCompatibilities", []):
        raise refused(
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported "
            "value for pidMode is 'task'."
        )


def _with_ports(family: str, container: ContainerDefinition, mode: str) -> ContainerDefinition:
    """Its port mappings as AWS fills them in."""
    mappings = container.get("portMappings")
    if mappings is None:
        return container
    where = f"{family}/{container['name']}"
    return {
        **container,
        "portMappings": filled(where, mappings, mode),
    }


def _named(family: str, given: Sequence[Plain]) -> list[ContainerDefinition]:
    """The containers with names, ``essential`` (true unless said), and what AWS fills in.

    Raises AwsError for a container without a name of its own, and where none is essential.
    """
    names = [container.get("name") for container in given]
    if not given or None in names or len(set(names)) != len(names):
        if any(not name for name in names):
            raise refused("Container.name should not be null or empty.")
        raise refused(f"{family}: every container needs a name of its own")
    if len(given) > _MOST_CONTAINERS:
        raise refused(f"{family}: Too many containers: at most {_MOST_CONTAINERS} in a task.")
    # botocore's model has vouched for the types of all members.
    containers = [
        cast(
            ContainerDefinition,
            {
                "essential": True,
                "cpu": 0,
                **{key: [] for key in _FILLED_IN},
                **each,
            },
        )
        for each in given
    ]
    if not any(container["essential"] for container in containers):
        raise refused(f"{family}: a task definition needs at least one essential container")
    return containers


def check_container(
    family: str,
    container: ContainerDefinition,
    containers: Mapping[str, ContainerDefinition],
    volumes: set[str],
) -> None:
    """Raise AwsError for what AWS refuses and for what is not carried out here."""
    check_name("Container name", container["name"])
    where = f"{family}/{container['name']}"
    _check_carried_out(where, container)
    _check_linux(where, container)
    if not container.get("image"):
        raise refused("Container.image should not be null or empty.")
    _check_image(where, container["image"])
    _check_ranges(where, container)
    _check_memory(where, container)
    for dependency in container.get("dependsOn", []):
        _check_dependency(where, dependency, containers)
    _check_restart(where, container)
    _check_health_check(where, container)
    _check_mounts(where, container, containers, volumes)
    _check_logs(where, container)
    _check_variables(where, container)
    files = container.get("environmentFiles", [])
    if len(files) > _MOST_FILES:
        raise refused(f"{where}: environmentFiles can have at most {_MOST_FILES} items.")
    for file in files:
        _check_environment_file(where, file)


def _check_image(where: str, image: str) -> None:
    """Raise AwsError for what is no image's name."""
    if not _IMAGE.fullmatch(image) or ".." in image:
        raise refused(f"{where}: Container.image contains invalid characters.")


def _check_carried_out(where: str, container: ContainerDefinition) -> None:
    """Raise AwsError for a setting that kirikae local would drop."""
    for control in container.get("systemControls", []):
        if control.get("namespace", "").startswith("net."):
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


def _check_linux(where: str, container: ContainerDefinition) -> None:
    """Raise AwsError for what Fargate does not carry out of ``linuxParameters``: a container must
    not get more of this machine than it would get of AWS's."""
    parameters = container.get("linuxParameters") or {}
    given = cast(Plain, parameters)
    for key in REFUSED_OF_LINUX:
        if given.get(key) is not None and given[key] != []:
            raise refused(f"{where}: linuxParameters.{key} is not supported on Fargate.")
    for name in (parameters.get("capabilities") or {}).get("add", []):
        if name not in ADDED_CAPABILITIES:
            raise refused(f"{where}: The capability {name} cannot be added on Fargate.")
    for each in parameters.get("tmpfs", []):
        if not each["containerPath"].startswith("/") or each["size"] < 1:
            raise refused(f"{where}: tmpfs needs an absolute containerPath and a size in MiB.")
        if not all(map(_MOUNT_OPTION.fullmatch, each.get("mountOptions", []))):
            raise refused(f"{where}: tmpfs {each['containerPath']}: invalid mountOptions.")


def _check_ranges(where: str, container: ContainerDefinition) -> None:
    """Raise AwsError for a number outside what the API takes (``_RANGES``)."""
    for part, ranges in _RANGES.items():
        values: object = container.get(part) if part else container
        for key, (low, high) in ranges.items():
            value = values.get(key) if isinstance(values, Mapping) else None
            if value is not None and not low <= value <= high:
                name = f"{part}.{key}" if part else key
                raise refused(f"{where}: {name} {value} is outside {low} to {high}")


def _check_memory(where: str, container: ContainerDefinition) -> None:
    """Raise AwsError for less than 6 MiB, or a limit below the reservation."""
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


def _check_dependency(
    where: str, dependency: Dependency, containers: Mapping[str, ContainerDefinition]
) -> None:
    """Raise AwsError for a dependency that could never be met: on an essential container's end (the
    task would end with it), or on the health of one without a check."""
    name = dependency["containerName"]
    condition = dependency["condition"]
    other = containers.get(name)
    if other is None:
        raise refused(f"{where}: dependsOn names {name}, which is no container of this task")
    if condition in ("COMPLETE", "SUCCESS") and other["essential"]:
        raise refused(f"{where}: dependsOn {condition} needs {name} to be not essential")
    if condition == "HEALTHY" and "healthCheck" not in other:
        raise refused(f"{where}: dependsOn HEALTHY needs {name} to have a healthCheck")


def _check_restart(where: str, container: ContainerDefinition) -> None:
    """Raise AwsError for too many ignored exit codes."""
    policy = container.get("restartPolicy") or {}
    if len(policy.get("ignoredExitCodes", [])) > MOST_IGNORED_EXIT_CODES:
        raise refused(
            f"{where}: restartPolicy.ignoredExitCodes has more than {MOST_IGNORED_EXIT_CODES} codes"
        )


def _check_health_check(where: str, container: ContainerDefinition) -> None:
    """Raise AwsError for a command that does not say how it is to be run."""
    check = container.get("healthCheck")
    if check is not None and check["command"][:1] not in _CHECK_KINDS:
        raise refused(f"{where}: healthCheck.command must begin with CMD, CMD-SHELL or NONE")


def _check_mounts(
    where: str,
    container: ContainerDefinition,
    containers: Mapping[str, ContainerDefinition],
    volumes: set[str],
) -> None:
    """Raise AwsError for a mount of a volume, or volumes of a container, that the definition has
    not."""
    for mount in container.get("mountPoints", []):
        if mount.get("sourceVolume") not in volumes:
            raise refused(f"{where}: Unknown volume '{mount.get('sourceVolume')}'.")
        if not mount.get("containerPath"):
            raise refused(f"{where}: mountPoints: containerPath should not be null or empty.")
        if ":" in mount["containerPath"]:
            raise refused(f"{where}: mountPoints: containerPath must not hold a colon.")
    for source in container.get("volumesFrom", []):
        if source.get("sourceContainer") not in containers:
            raise refused(
                f"{where}: volumesFrom names {source.get('sourceContainer')}, which is "
                "no container of this task"
            )


def _check_logs(where: str, container: ContainerDefinition) -> None:
    """Raise AwsError for another driver than awslogs and the engine's own, for an option that would
    be dropped, and for a missing group."""
    logs = container.get("logConfiguration")
    if logs is None:
        return
    if logs.get("secretOptions"):
        raise unsupported(f"{where}: kirikae local does not carry out secretOptions of logs")
    if logs["logDriver"] == "json-file":
        for key, value in logs.get("options", {}).items():
            if key not in _FILE_OPTIONS or not _FILE_OPTION.fullmatch(value):
                raise unsupported(f"{where}: kirikae local does not carry out {key}={value}")
        return
    if logs["logDriver"] in (firelens.DRIVER, "fluentd"):
        return
    if logs["logDriver"] != "awslogs":
        raise unsupported(
            f"{where}: kirikae local delivers logs by awslogs, awsfirelens and fluentd, not "
            f"{logs['logDriver']}"
        )
    _check_awslogs(where, logs.get("options", {}))


def _check_awslogs(where: str, options: Mapping[str, str]) -> None:
    if unknown := sorted(options.keys() - _LOG_OPTIONS):
        raise unsupported(f"{where}: kirikae local does not carry out the log option {unknown[0]}")
    if not options.get("awslogs-group"):
        raise refused(
            f"{where}: Log driver awslogs requires options: awslogs-group, awslogs-region"
        )
    _check_mode(where, options.get("mode", _MODES[0]))


def _check_mode(where: str, mode: str) -> None:
    """Raise AwsError for what is no mode of delivery."""
    if mode not in _MODES:
        raise refused(f"{where}: The log option mode must be one of {', '.join(_MODES)}.")


def _check_variables(where: str, container: ContainerDefinition) -> None:
    """Raise AwsError for a variable without a name, and for a secret that shares one."""
    plain = [each.get("name", "") for each in container.get("environment", [])]
    secrets = [each["name"] for each in container.get("secrets", [])]
    if not all([*plain, *secrets]):
        raise refused(f"{where}: The name of an environment variable must not be empty.")
    for name in secrets:
        if name in plain or secrets.count(name) > 1:
            raise refused(
                f"{where}: The secret name must be unique and not shared with any new or existing "
                f"environment variables set on the container, such as '{name}'."
            )
    if not all(each["valueFrom"] for each in container.get("secrets", [])):
        raise refused(f"{where}: The valueFrom of a secret must not be empty.")


def _check_environment_file(where: str, file: EnvironmentFile) -> None:
    """Raise AwsError unless it is an S3 object's ARN that ends in ``.env``, as the API demands."""
    value = file["value"]
    if file["type"] != "s3" or not value.startswith("arn:") or not value.endswith(".env"):
        raise refused(
            f"{where}: environmentFiles: {value}: an S3 object's ARN that ends in .env is needed"
        )


def check_volume(family: str, volume: Volume) -> None:
    """Raise AwsError for a volume without a name, or of a kind that is not carried out."""
    if not volume.get("name"):
        raise refused(f"{family}: every volume needs a name")
    check_name("Volume name", volume["name"])
    where = f"{family}: volume {volume['name']!r}"
    for key in REFUSED_VOLUMES:
        if volume.get(key):
            raise unsupported(f"{where}: kirikae local does not carry out {key}")
    if (volume.get("host") or {}).get("sourcePath"):
        raise refused(f"{where}: host.sourcePath is not supported on Fargate.")
    _check_efs(where, volume)


def _check_efs(where: str, volume: Volume) -> None:
    """Raise AwsError for a file system or an access point that cannot be one."""
    efs = volume.get("efsVolumeConfiguration")
    if efs is None:
        return
    if not _FILE_SYSTEM.fullmatch(efs["fileSystemId"]):
        raise refused(f"{where}: invalid fileSystemId {efs['fileSystemId']!r}")
    if not _FOLDER.fullmatch(efs.get("rootDirectory", "/")):
        raise refused(f"{where}: invalid rootDirectory {efs['rootDirectory']!r}")
    if not 0 <= efs.get("transitEncryptionPort", 0) <= _LARGEST_PORT:
        raise refused(f"{where}: invalid transitEncryptionPort {efs['transitEncryptionPort']}")
    _check_authorization(where, efs)


def _check_authorization(where: str, efs: Efs) -> None:
    """Raise AwsError for what EFS authorizes only under encryption, or at its root (API reference,
    EFSAuthorizationConfig)."""
    asked = efs.get("authorizationConfig", {})
    access_point = asked.get("accessPointId")
    if access_point and not _ACCESS_POINT.fullmatch(access_point):
        raise refused(f"{where}: invalid accessPointId {access_point!r}")
    is_encrypted = efs.get("transitEncryption") == "ENABLED"
    if (access_point or asked.get("iam") == "ENABLED") and not is_encrypted:
        raise refused(f"{where}: transitEncryption must be ENABLED for authorizationConfig.")
    if access_point and efs.get("rootDirectory", "/") != "/":
        raise refused(f"{where}: rootDirectory must be omitted or / where accessPointId is given.")


# --- sizes


_UNITS = re.compile(r"(?P<number>[0-9]{0,9}\.?[0-9]{1,9}) ?(?P<unit>[A-Za-z]*)")
_PER_WHOLE = 1024
"""CPU units of a vCPU, and MiB of a GB."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a task, in CPU units and MiB; None where it is not given."""

    cpu: int | None
    memory: int | None


def units(value: str | None, unit: str) -> int | None:
    """``"256"``, ``"1 vCPU"``, ``".5 vCPU"``, ``"1vcpu"``, ``"2 GB"``, ``"2GB"`` as CPU units or
    MiB; ``unit``: ``vcpu`` or ``gb``."""
    if value is None:
        return None
    found = _UNITS.fullmatch(value.strip())
    if found is not None and found["unit"].lower() == unit:
        return round(float(found["number"]) * _PER_WHOLE)
    if found is not None and not found["unit"] and found["number"].isdecimal():
        return int(found["number"])
    raise refused(f"Invalid 'cpu' or 'memory' setting: {value!r}")


def check_size(params: Plain, containers: Sequence[ContainerDefinition]) -> Size:
    """The task's size.  Raises AwsError for what Fargate does not run where it is asked for, for
    containers that are larger than their task, and for those without a limit of memory where the
    task has none."""
    family = params["family"]
    size = Size(units(params.get("cpu"), "vcpu"), units(params.get("memory"), "gb"))
    if "FARGATE" in params.get("requiresCompatibilities", []):
        check_fargate(params, containers, size.cpu, size.memory)
    _check_fits(family, containers, size)
    if size.memory is None:
        for container in containers:
            if not container.get("memory") and not container.get("memoryReservation"):
                raise refused(
                    f"Invalid setting for container '{container['name']}'. At least one of "
                    "'memory' or 'memoryReservation' must be specified."
                )
    return size


def _check_fits(family: str, containers: Sequence[ContainerDefinition], size: Size) -> None:
    """Raise AwsError for containers that want more than their task has."""
    for container in containers:
        if size.memory is not None and (container.get("memory") or 0) > size.memory:
            raise refused(
                f"{family}: Invalid setting for container '{container['name']}'. The 'memory' "
                "setting for the container is greater than for the task."
            )
    wants_cpu = sum(container.get("cpu") or 0 for container in containers)
    if size.cpu is not None and wants_cpu > size.cpu:
        raise refused(
            f"{family}: Invalid setting: the sum of the containers' 'cpu' {wants_cpu} is greater "
            f"than the task's {size.cpu}."
        )
    reserved = sum(
        container.get("memoryReservation") or container.get("memory") or 0
        for container in containers
    )
    if size.memory is not None and reserved > size.memory:
        raise refused(
            f"{family}: Invalid setting: the sum of the containers' memory {reserved} is greater "
            f"than the task's {size.memory}."
        )
