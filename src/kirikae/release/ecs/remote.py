"""What runs, in the words in which files say what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs_definitions, fitting
from kirikae.aws.session import Aws
from kirikae.model.errors import KirikaeError
from kirikae.release.ecs.loading import SERVICE, TASK

Plain = dict[str, Any]
_DRAINING = "DRAINING"
_OF_DEPLOYMENT = ("serviceConnectConfiguration", "volumeConfigurations")
"""AWS answers them with the deployment that they belong to, not with the service."""
_NOT_GIVEN = frozenset(["serviceName", "cluster", "taskDefinition", "role", "clientToken"])


@dataclass(frozen=True, slots=True)
class Service:
    """``plain``: as a file would say it.  ``remarks``: what an operator should know of it."""

    arn: str
    task_definition: str
    plain: Plain
    row: Plain
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    arn: str
    plain: Plain


def service(aws: Aws, cluster: str, name: str) -> Service | None:
    """None: there is none, or an INACTIVE one."""
    row = ecs_definitions.service(
        aws,
        cluster,
        name,
    )
    if row is None:
        return None
    remarks = []
    if row["status"] == _DRAINING:
        remarks.append(f"the service {name} is {_DRAINING}: it is being deleted")
    taken = (
        fitting.shared(
            "ecs",
            SERVICE,
            "Service",
        )
        - _NOT_GIVEN
    )
    plain = {key: value for key, value in row.items() if key in taken}
    controller = (row.get("deploymentController") or {}).get("type", "ECS")
    if controller == "ECS":
        plain.update(
            _of_primary(
                aws,
                row,
                remarks,
            )
        )
    if plain.get("propagateTags") not in ("SERVICE", "TASK_DEFINITION"):
        plain["propagateTags"] = "NONE"
    fitted, _ = fitting.fitted(
        "ecs",
        SERVICE,
        plain,
        "Service",
    )
    arn = str(row["serviceArn"])
    return Service(
        arn,
        str(row.get("taskDefinition", "")),
        fitted,
        row,
        tuple(remarks),
    )


def _of_primary(aws: Aws, row: Mapping[str, Any], remarks: list[str]) -> Plain:
    primary: Plain = next((each for each in row["deployments"] if each["status"] == "PRIMARY"), {})
    found = {key: primary[key] for key in _OF_DEPLOYMENT if primary.get(key)}
    connect = found.get("serviceConnectConfiguration")
    if connect is not None and str(connect.get("namespace", "")).startswith("arn:"):
        found["serviceConnectConfiguration"] = {
            **connect,
            **_named(
                aws,
                connect,
                remarks,
            ),
        }
    return found


def _named(aws: Aws, connect: Mapping[str, Any], remarks: list[str]) -> Plain:
    """A namespace by its name, as files have it; AWS answers its ARN."""
    try:
        return {"namespace": ecs_definitions.namespace_name(aws, connect["namespace"])}
    except KirikaeError as error:
        remarks.append(f"the namespace {connect['namespace']} was not looked up: {error}")
        return {}


def task(aws: Aws, name: str) -> Task | None:
    """By family, ``family:revision`` or ARN; None: there is none."""
    row = ecs_definitions.task_definition(aws, name)
    if row is None:
        return None
    taken = fitting.shared(
        "ecs",
        TASK,
        "TaskDefinition",
    ) | {"tags"}
    plain = {key: value for key, value in row.items() if key in taken}
    fitted, _ = fitting.fitted(
        "ecs",
        TASK,
        plain,
        "TaskDefinition",
    )
    return Task(str(row["taskDefinitionArn"]), fitted)
