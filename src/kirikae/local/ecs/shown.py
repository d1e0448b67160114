"""How tasks and services are shown: AWS's members of our rows, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence

from kirikae.local.ecs.showndeployments import counts, show_configuration
from kirikae.local.plain import Plain
from kirikae.local.rows import Container, Deployment, Service, ServiceDeployment, Task
from kirikae.local.wire import service_model


def _members(shape: str) -> frozenset[str]:
    """What AWS's own model (botocore) knows of this shape: every other key of a row is ours and is
    not shown."""
    return frozenset(service_model("ecs").shape_for(shape).members)


_ENI_DIGITS = 17
_TASK = _members("Task")
_CONTAINER = _members("Container")
_SERVICE = _members("Service")
_DEPLOYMENT = _members("Deployment")
_BRIEF = _members("ServiceDeploymentBrief")


def show_task(row: Task) -> Plain:
    """A task as DescribeTasks shows it.

    Fargate's platform stands there even where nobody asked for one.
    """
    address = row.get("address")
    shown: Plain = {key: value for key, value in row.items() if key in _TASK and value != ""}
    shown["containers"] = [_show_container(each, row, address) for each in row["containers"]]
    shown["attachments"] = [] if "_ports" in row else [_show_interface(row, address)]
    if row.get("containerInstanceArn"):
        shown["launchType"] = "EC2"
        return shown
    shown["platformFamily"] = "Linux"
    shown.setdefault("platformVersion", "1.4.0")
    if not row.get("capacityProviderName"):
        shown["launchType"] = "FARGATE"
    return shown


def _show_container(container: Container, row: Task, address: str | None) -> Plain:
    """A container of a task; its network interface appears once the task has an address, and of one
    that publishes ports the ports do."""
    shown: Plain = {key: value for key, value in container.items() if key in _CONTAINER}
    shown["taskArn"] = row["taskArn"]
    if "_ports" in row:
        return {"networkBindings": [], "networkInterfaces": [], **shown}
    shown["networkInterfaces"] = [{"privateIpv4Address": address}] if address else []
    return shown


def _show_interface(row: Task, address: str | None) -> Plain:
    """The network interface that Fargate attaches.

    Its address and its subnet are those that are; its ID is made of the task's, and nobody else
    knows it (ours).
    """
    status = "DELETED" if row["lastStatus"] == "STOPPED" else "ATTACHED"
    details = _interface_of(row, address) if address else {}
    return {
        "id": row["id"],
        "type": "ElasticNetworkInterface",
        "status": status if address else "PRECREATED",
        "details": [{"name": name, "value": value} for name, value in details.items() if value],
    }


def _interface_of(row: Task, address: str) -> dict[str, str]:
    """As ECS tells it (developer guide, "Task networking")."""
    numbers = address.split(".")
    region = row["taskArn"].split(":")[3]
    return {
        "subnetId": row.get("_subnet", ""),
        "networkInterfaceId": f"eni-{row['id'][:_ENI_DIGITS]}",
        # As the engine makes it of the address.
        "macAddress": ":".join(["02", "42", *(f"{int(number):02x}" for number in numbers)]),
        "privateDnsName": f"ip-{'-'.join(numbers)}.{region}.compute.internal",
        "privateIPv4Address": address,
    }


def show_service(row: Service, tasks: Sequence[Task], kept: Sequence[Deployment]) -> Plain:
    """A service as DescribeServices shows it, with its counts taken from ``tasks``, which are its
    own; ``kept``: its deployments that want tasks."""
    shown: Plain = {key: value for key, value in row.items() if key in _SERVICE and value != ""}
    if row.get("launchType") == "EC2":
        shown.pop("platformVersion", None)
    entries = row["deployments"]
    deployments = [
        _show_deployment(entry, row, tasks, position, entry in kept)
        for position, entry in enumerate(entries)
    ]
    if entries:
        shown["currentServiceDeployment"] = entries[0]["_serviceDeployment"]
    shown["currentServiceRevisions"] = [
        _show_current(entry, deployment)
        for entry, deployment in zip(entries, deployments, strict=True)
    ]
    return {
        **shown,
        "deployments": deployments,
        "roleArn": "",
        "schedulingStrategy": "REPLICA",
        **counts(tasks),
        "deploymentConfiguration": show_configuration(row),
        "deploymentController": {"type": row.get("_controller", "ECS")},
        "serviceRegistries": [],
        "placementConstraints": row.get("placementConstraints", []),
        "placementStrategy": row.get("placementStrategy", []),
    }


def _show_deployment(
    entry: Deployment,
    row: Service,
    tasks: Sequence[Task],
    position: int,
    wants_tasks: bool,
) -> Plain:
    """One entry of ``deployments``: the newest is PRIMARY."""
    is_newest = position == 0
    return {
        **{key: value for key, value in entry.items() if key in _DEPLOYMENT},
        "status": "PRIMARY" if is_newest else "ACTIVE",
        "desiredCount": row["desiredCount"] if wants_tasks else 0,
        **counts(task for task in tasks if task["startedBy"] == entry["id"]),
    }


def _show_current(entry: Deployment, shown: Plain) -> Plain:
    """One entry of ``currentServiceRevisions``."""
    return {
        "arn": entry["_revision"],
        "requestedTaskCount": shown["desiredCount"],
        "runningTaskCount": shown["runningCount"],
        "pendingTaskCount": shown["pendingCount"],
    }


def show_brief(row: ServiceDeployment) -> Plain:
    """A service deployment as ListServiceDeployments shows it."""
    brief: Plain = {key: value for key, value in row.items() if key in _BRIEF}
    return {
        **brief,
        "targetServiceRevisionArn": row["_target"],
    }
