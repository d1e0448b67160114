"""What one container of a task means for the engine, and what the engine says of it: pure
functions.

Restarts follow the API reference (ContainerRestartPolicy)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from kirikae.local.plain import Plain
from kirikae.local.rows import (
    Container,
    ContainerDefinition,
    ContainerOverride,
    ContainerSeen,
    Definition,
    HealthCheck,
    LinuxParameters,
    Overrides,
    Ulimit,
)

# What a definition that does not say gets (ECS API reference, ContainerDefinition).
DEFAULT_STOP_TIMEOUT_S = 30
DEFAULT_RESTART_PERIOD_S = 300
_SECOND_NS = 1_000_000_000
_MIB = 1024 * 1024
# The kernel's own limits of cgroup v1's cpu.shares.
_SHARES_LEAST = 2
_SHARES_MOST = 262144


def should_restart(container: ContainerDefinition, ran_s: float, exit_code: int | None) -> bool:
    """Does its restartPolicy start this container again after it ran for ``ran_s`` seconds?"""
    policy = container.get("restartPolicy") or {}
    if not policy.get("enabled") or exit_code in policy.get("ignoredExitCodes", []):
        return False
    return ran_s >= policy.get("restartAttemptPeriod", DEFAULT_RESTART_PERIOD_S)


# --- overrides


def with_overrides(definition: Definition, overrides: Overrides) -> Definition:
    """The definition as RunTask's overrides change it.  Raises KeyError with the name of a
    container that does not exist."""
    if not overrides:
        return definition
    containers = {each["name"]: each for each in definition["containerDefinitions"]}
    for override in overrides.get("containerOverrides", []):
        name = override.get("name", "")
        containers[name] = _overridden(containers[name], override)
    changed: Definition = {
        **definition,
        "containerDefinitions": list(containers.values()),
    }
    for key in ("cpu", "memory", "taskRoleArn", "executionRoleArn"):
        if overrides.get(key):
            changed[key] = overrides[key]
    return changed


def _overridden(container: ContainerDefinition, override: ContainerOverride) -> ContainerDefinition:
    """The container as one entry of ``containerOverrides`` changes it.

    A command and sizes replace; variables and environment files are added, and an added variable
    wins over one of its name.
    """
    changed: ContainerDefinition = {**container}
    if "command" in override:
        changed["command"] = override["command"]
    for key in ("cpu", "memory", "memoryReservation"):
        if key in override:
            changed[key] = override[key]
    if "environment" in override:
        values = [*container.get("environment", []), *override["environment"]]
        changed["environment"] = list({each["name"]: each for each in values}.values())
    if "environmentFiles" in override:
        files = [*container.get("environmentFiles", []), *override["environmentFiles"]]
        changed["environmentFiles"] = files
    return changed


# --- what the engine is asked for


def metadata_id(task_id: str, container: str) -> str:
    """The last part of a container's ECS_CONTAINER_METADATA_URI_V4, shaped like AWS's."""
    return f"{task_id}-{zlib.crc32(container.encode()):010d}"


def environment_file(text: str) -> dict[str, str]:
    """``NAME=value`` lines; ``#`` begins a comment line; no quotes or references are read (ECS user
    guide)."""
    values = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#") and "=" in line:
            name, _, value = line.partition("=")
            values[name.strip()] = value
    return values


def limits(container: ContainerDefinition, definition: Definition) -> Plain:
    """The container's limits in the engine's terms (memory in MiB, shares of 1024 per vCPU)."""
    out: Plain = {"CpuShares": _shares(container.get("cpu"))}
    if memory := container.get("memory") or definition.get("memory"):
        out["Memory"] = int(memory) * _MIB
    if reservation := container.get("memoryReservation"):
        out["MemoryReservation"] = reservation * _MIB
    if container.get("readonlyRootFilesystem"):
        out["ReadonlyRootfs"] = True
    if ulimits := container.get("ulimits"):
        out["Ulimits"] = [_ulimit(each) for each in ulimits]
    if controls := container.get("systemControls"):
        out["Sysctls"] = {each["namespace"]: each["value"] for each in controls}
    return out | _linux(container.get("linuxParameters") or {})


def _shares(cpu: int | None) -> int:
    """CPU shares within what the kernel takes (2 to 262144); a container without ``cpu`` gets the
    least, as from the ECS agent."""
    return min(_SHARES_MOST, max(_SHARES_LEAST, cpu or 0))


def _ulimit(ulimit: Ulimit) -> Plain:
    """One of a definition's ulimits in the engine's words."""
    return {
        "Name": ulimit["name"],
        "Soft": ulimit["softLimit"],
        "Hard": ulimit["hardLimit"],
    }


def _linux(parameters: LinuxParameters) -> Plain:
    """What ``linuxParameters`` means for the engine: tmpfs mounts (MiB), an init process,
    capabilities."""
    out: Plain = {}
    if tmpfs := parameters.get("tmpfs"):
        out["Tmpfs"] = {
            each["containerPath"]: ",".join(
                [*each.get("mountOptions", []), f"size={each['size']}m"]
            )
            for each in tmpfs
        }
    if parameters.get("initProcessEnabled"):
        out["Init"] = True
    capabilities = parameters.get("capabilities") or {}
    if added := capabilities.get("add"):
        out["CapAdd"] = added
    if dropped := capabilities.get("drop"):
        out["CapDrop"] = dropped
    return out


def _log_driver(container: ContainerDefinition) -> Plain:
    """The engine's own driver, where it is asked for; awslogs is delivered from the engine's
    default."""
    logs = container.get("logConfiguration")
    if logs is None or logs["logDriver"] != "json-file":
        return {}
    return {
        "LogConfig": {
            "Type": "json-file",
            "Config": logs.get("options", {}),
        }
    }


def health_check(check: HealthCheck) -> Plain:
    """An ECS container health check for the engine, which runs it (durations in ns; ECS's
    defaults)."""
    return {
        "Test": check["command"],
        "Interval": check.get("interval", 30) * _SECOND_NS,
        "Timeout": check.get("timeout", 5) * _SECOND_NS,
        "Retries": check.get("retries", 3),
        "StartPeriod": check.get("startPeriod", 0) * _SECOND_NS,
    }


def binds(container: ContainerDefinition, volumes: Mapping[str, str]) -> list[str]:
    """Mounts in the engine's words; ``volumes`` names the engine's volume of each of the
    definition's volumes."""
    return [
        f"{volumes[mount['sourceVolume']]}:{mount['containerPath']}"
        f"{':ro' if mount.get('readOnly') else ''}"
        for mount in container.get("mountPoints", [])
    ]


def creation(
    container: ContainerDefinition,
    definition: Definition,
    image: str,
    environment: Mapping[str, str],
    labels: Mapping[str, str],
    host: Plain,
) -> Plain:
    """The engine's request that creates this container; ``host`` holds its network and its mounts.

    A HEALTHCHECK of the image is switched off: ECS looks at the definition's only.
    """
    check = {"Test": ["NONE"]}
    if "healthCheck" in container:
        check = health_check(container["healthCheck"])
    body: Plain = {
        "Image": image,
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "Labels": {
            **container.get("dockerLabels", {}),
            **labels,
        },
        "HostConfig": host | limits(container, definition) | _log_driver(container),
        "Healthcheck": check,
        "Tty": bool(container.get("pseudoTerminal")),
        "OpenStdin": bool(container.get("interactive")),
    }
    own = {
        "Cmd": container.get("command"),
        "Entrypoint": container.get("entryPoint"),
        "WorkingDir": container.get("workingDirectory"),
        "User": container.get("user"),
    }
    return body | {key: value for key, value in own.items() if value}


# --- what the engine says


def seen_as(seen: Mapping[str, Any] | None) -> ContainerSeen:
    """Status fields of a container from what the engine says of it (None: it is gone)."""
    if seen is None:
        return {
            "lastStatus": "STOPPED",
            "reason": "CannotInspectContainerError: the container was removed",
            "_finished": "gone",
        }
    now = seen["State"]
    if now["Running"] or now["Status"] == "created":
        return _seen_alive(seen["Id"], now)
    ended: ContainerSeen = {
        "lastStatus": "STOPPED",
        "exitCode": now["ExitCode"],
        "runtimeId": seen["Id"],
        "_finished": now.get("FinishedAt", ""),
    }
    if now["OOMKilled"]:
        ended["reason"] = "OutOfMemoryError: Container killed due to memory usage"
    return ended


def _seen_alive(engine_id: str, now: Plain) -> ContainerSeen:
    """Of a container that runs or was only created.

    A check that has not answered yet says nothing: the health of before stays.
    """
    alive: ContainerSeen = {
        "lastStatus": "RUNNING" if now["Running"] else "PENDING",
        "runtimeId": engine_id,
    }
    health = now.get("Health", {}).get("Status")
    if health in ("healthy", "unhealthy"):
        alive["healthStatus"] = health.upper()
    return alive


class Then(StrEnum):
    """What follows from a look at one container."""

    NOTHING = "nothing"
    START = "start"
    END_TASK = "end task"


def looked_at(
    row: Container,
    seen: Plain | None,
    container: ContainerDefinition,
    wanted: bool,
    now: float,
) -> tuple[Container, Then]:
    """The container after one look at it.  ``wanted``: its task is not asked to stop."""
    after: Container = {
        **row,
        **seen_as(seen),
    }
    if after["lastStatus"] == "STOPPED":
        if wanted and seen is not None:
            # It was written down that it begins again, but the engine never heard of it.
            begun_again = row.get("_handled") == after.get("_finished")
            if begun_again or should_restart(container, ran_for_s(seen), after.get("exitCode")):
                return _restarted(row, after.get("_finished", ""), not begun_again, now), Then.START
        return after, Then.END_TASK if row["essential"] else Then.NOTHING
    if after["lastStatus"] == "PENDING":
        return {
            **after,
            "lastStatus": "RUNNING",
        }, Then.START
    return after, Then.NOTHING


def _restarted(
    row: Container,
    finished: str,
    counts: bool,
    now: float,
) -> Container:
    """The row of a container that begins again.

    ``finished`` is the end that this restart answers (``_handled``): it is written down before the
    engine is asked, so that after a crash the same end does not count twice.
    """
    return {
        **row,
        "_handled": finished,
        "_restarts": row.get("_restarts", 0) + counts,
        "healthStatus": "UNKNOWN",
        "_began": now,
    }


def ran_for_s(seen: Mapping[str, Any]) -> float:
    """Seconds between the container's last start and its end."""
    began = engine_time(seen["State"]["StartedAt"])
    ended = engine_time(seen["State"]["FinishedAt"])
    return max(0.0, ended - began)


def engine_time(stamp: str) -> float:
    """The engine's RFC 3339 stamp as Unix seconds; nanoseconds are cut off."""
    return datetime.fromisoformat(stamp).timestamp()


def task_health(rows: Iterable[Container]) -> str:
    """The worst of the essential containers that have a check; UNKNOWN if none has."""
    checked = [each["healthStatus"] for each in rows if each["essential"] and each["_checked"]]
    worst_first = ("UNHEALTHY", "UNKNOWN", "HEALTHY")
    return next((health for health in worst_first if health in checked), "UNKNOWN")
