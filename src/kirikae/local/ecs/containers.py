"""What one container of a task means for the engine, when it may start, and what its end means:
pure functions.

Rules of dependsOn, restartPolicy and stopping follow the ECS agent's dependency graph and the API
reference (ContainerDependency, ContainerRestartPolicy).  Keys of a container's row that begin with
``_`` are ours and are never shown."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from kirikae.local.state import Row

DEFAULT_STOP_TIMEOUT_S = 30
DEFAULT_RESTART_PERIOD_S = 300
_SECOND_NS = 1_000_000_000
_SHARES_LEAST = 2
_SHARES_MOST = 262144


class Gate(StrEnum):
    """May this container start?"""

    GO = "go"
    WAIT = "wait"
    NEVER = "never"


def gate(
    container: Row, rows: Mapping[str, Row], definitions: Mapping[str, Row], now: float
) -> tuple[Gate, str]:
    """Is every dependency met?  ``rows`` holds each container as it is now; the text says why
    never."""
    waiting = False
    for dependency in container.get("dependsOn", []):
        name = dependency["containerName"]
        condition = dependency["condition"]
        row = rows[name]
        limit = definitions[name].get("startTimeout")
        over = row["lastStatus"] == "STOPPED"
        match condition:
            case "START":
                met = over or row["lastStatus"] == "RUNNING"
            case "COMPLETE":
                met = over
            case "SUCCESS":
                met = over and row.get("exitCode") == 0
            case _:
                met = row["healthStatus"] == "HEALTHY" and not over
        if met:
            continue
        if over and condition in ("SUCCESS", "HEALTHY"):
            how = (
                f"exited with {row.get('exitCode')}"
                if condition == "SUCCESS"
                else "exited before it was healthy"
            )
            return (
                Gate.NEVER,
                f"TaskDependencyError: container {name}, which {container['name']} "
                f"awaits ({condition}), {how}",
            )
        began = row.get("_began")
        if condition != "START" and limit and began is not None and now - began > limit:
            return (
                Gate.NEVER,
                f"TaskDependencyError: container {name} did not meet {condition} within "
                f"its startTimeout of {limit} s",
            )
        waiting = True
    return (Gate.WAIT if waiting else Gate.GO), ""


def should_restart(container: Row, ran_s: float, exit_code: int | None) -> bool:
    """Does its restartPolicy start this container again after it ran for ``ran_s`` seconds?"""
    policy = container.get("restartPolicy") or {}
    if not policy.get("enabled") or exit_code in policy.get("ignoredExitCodes", []):
        return False
    return ran_s >= int(policy.get("restartAttemptPeriod", DEFAULT_RESTART_PERIOD_S))


def dependents(containers: Iterable[Row]) -> dict[str, list[str]]:
    """Name -> names of the containers that depend on it: they are stopped before it."""
    found: dict[str, list[str]] = {c["name"]: [] for c in containers}
    for container in containers:
        for dependency in container.get("dependsOn", []):
            found[dependency["containerName"]].append(container["name"])
    return found


def creation_order(containers: Iterable[Row]) -> list[str]:
    """Names so that each comes after those whose volumes it takes (volumesFrom)."""
    left = {c["name"]: {v["sourceContainer"] for v in c.get("volumesFrom", [])} for c in containers}
    placed = list[str]()
    while left:
        ready = [name for name, sources in left.items() if not sources & left.keys()] or list(
            left
        )  # a circle: let the engine refuse it
        placed += ready
        for name in ready:
            del left[name]
    return placed


def with_overrides(definition: Row, overrides: Row) -> Row:
    """The definition as RunTask's overrides change it.  Raises KeyError with the name of a
    container that does not exist."""
    if not overrides:
        return definition
    containers = {c["name"]: c for c in definition["containerDefinitions"]}
    for override in overrides.get("containerOverrides", []):
        name = override.get("name", "")
        container = containers[name]
        changed = {
            k: override[k]
            for k in ("command", "cpu", "memory", "memoryReservation")
            if k in override
        }
        if "environment" in override:
            values = {
                e["name"]: e for e in [*container.get("environment", []), *override["environment"]]
            }
            changed["environment"] = list(values.values())
        if "environmentFiles" in override:
            changed["environmentFiles"] = [
                *container.get("environmentFiles", []),
                *override["environmentFiles"],
            ]
        containers[name] = {**container, **changed}
    own = {
        k: overrides[k]
        for k in ("cpu", "memory", "taskRoleArn", "executionRoleArn")
        if overrides.get(k)
    }
    return {**definition, **own, "containerDefinitions": list(containers.values())}


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


def limits(container: Row, definition: Row) -> Row:
    """The container's limits in the engine's terms (memory in MiB, shares of 1024 per vCPU)."""
    out: Row = {"CpuShares": min(_SHARES_MOST, max(_SHARES_LEAST, container.get("cpu") or 0))}
    memory = container.get("memory") or definition.get("memory")
    if memory:
        out["Memory"] = int(memory) * 1024 * 1024
    if container.get("memoryReservation"):
        out["MemoryReservation"] = container["memoryReservation"] * 1024 * 1024
    if container.get("readonlyRootFilesystem"):
        out["ReadonlyRootfs"] = True
    if container.get("ulimits"):
        out["Ulimits"] = [
            {"Name": u["name"], "Soft": u["softLimit"], "Hard": u["hardLimit"]}
            for u in container["ulimits"]
        ]
    if container.get("systemControls"):
        out["Sysctls"] = {c["namespace"]: c["value"] for c in container["systemControls"]}
    linux = container.get("linuxParameters") or {}
    if linux.get("tmpfs"):
        out["Tmpfs"] = {
            t["containerPath"]: ",".join([*t.get("mountOptions", []), f"size={t['size']}m"])
            for t in linux["tmpfs"]
        }
    if linux.get("initProcessEnabled"):
        out["Init"] = True
    capabilities = linux.get("capabilities") or {}
    out |= {
        key: capabilities[ours]
        for ours, key in (("add", "CapAdd"), ("drop", "CapDrop"))
        if capabilities.get(ours)
    }
    return out


def health_check(check: Row) -> Row:
    """An ECS container health check for the engine, which runs it (durations in ns; ECS's
    defaults)."""
    return {
        "Test": check["command"],
        "Interval": check.get("interval", 30) * _SECOND_NS,
        "Timeout": check.get("timeout", 5) * _SECOND_NS,
        "Retries": check.get("retries", 3),
        "StartPeriod": check.get("startPeriod", 0) * _SECOND_NS,
    }


def binds(container: Row, volumes: Mapping[str, str]) -> list[str]:
    """Mounts in the engine's words; ``volumes`` names the engine's volume of each of the
    definition's volumes."""
    return [
        f"{volumes[m['sourceVolume']]}:{m['containerPath']}{':ro' if m.get('readOnly') else ''}"
        for m in container.get("mountPoints", [])
    ]


def creation(
    container: Row,
    definition: Row,
    image: str,
    environment: Mapping[str, str],
    labels: Mapping[str, str],
    host: Row,
) -> Row:
    """The engine's request that creates this container; ``host`` holds its network and its mounts.

    A HEALTHCHECK of the image is switched off: ECS looks at the definition's only.
    """
    body: Row = {
        "Image": image,
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "Labels": {**container.get("dockerLabels", {}), **labels},
        "HostConfig": host | limits(container, definition),
        "Healthcheck": health_check(container["healthCheck"])
        if "healthCheck" in container
        else {"Test": ["NONE"]},
        "Tty": bool(container.get("pseudoTerminal")),
        "OpenStdin": bool(container.get("interactive")),
    }
    for ours, theirs in (
        ("command", "Cmd"),
        ("entryPoint", "Entrypoint"),
        ("workingDirectory", "WorkingDir"),
        ("user", "User"),
    ):
        if container.get(ours):
            body[theirs] = container[ours]
    return body


def seen_as(seen: Mapping[str, Any] | None) -> Row:
    """Status fields of a container from what the engine says of it (None: it is gone)."""
    if seen is None:
        return {
            "lastStatus": "STOPPED",
            "reason": "CannotInspectContainerError: the container was removed",
            "_finished": "gone",
        }
    now = seen["State"]
    if now["Running"] or now["Status"] == "created":
        health = (
            {"healthStatus": now["Health"]["Status"].upper()}
            if now.get("Health", {}).get("Status") in ("healthy", "unhealthy")
            else {}
        )
        return {
            "lastStatus": "RUNNING" if now["Running"] else "PENDING",
            "runtimeId": seen["Id"],
        } | health
    reason = "OutOfMemoryError: Container killed due to memory usage" if now["OOMKilled"] else ""
    told = {
        "lastStatus": "STOPPED",
        "exitCode": now["ExitCode"],
        "runtimeId": seen["Id"],
        "_finished": now.get("FinishedAt", ""),
    }
    return told | ({"reason": reason} if reason else {})


def ran_for_s(seen: Mapping[str, Any]) -> float:
    """Seconds between the container's last start and its end."""
    began = engine_time(seen["State"]["StartedAt"])
    ended = engine_time(seen["State"]["FinishedAt"])
    return max(0.0, ended - began)


def engine_time(stamp: str) -> float:
    """The engine's RFC 3339 stamp (nanoseconds, ``Z``) as Unix seconds."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    digits = re.match(r"\d*", fraction)
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(
        f"0.{digits[0] if digits and digits[0] else '0'}"
    )


def task_health(rows: Iterable[Row]) -> str:
    """The worst of the essential containers that have a check; UNKNOWN if none has."""
    checked = [c["healthStatus"] for c in rows if c["essential"] and c["_checked"]]
    return next((h for h in ("UNHEALTHY", "UNKNOWN", "HEALTHY") if h in checked), "UNKNOWN")
