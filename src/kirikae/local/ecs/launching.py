"""What tasks and services are started as: launch types, networks, platforms, and what AWS does not
start."""

from __future__ import annotations

from kirikae.local.ecs.capacity import PROVIDERS, Strategy
from kirikae.local.ecs.constraints import Wish
from kirikae.local.ecs.fargate import VERSIONS
from kirikae.local.ecs.grounds import missing_group
from kirikae.local.ecs.names import invalid, unsupported
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Definition

_MOST_SUBNETS = 16
_MOST_GROUPS = 5
_LAUNCH_TYPES = ("EC2", "FARGATE", "EXTERNAL")


def check_launch_type(launch_type: str | None) -> None:
    """Raise AwsError for one that there is not, in ECS's own words (Managed Instances are asked for
    by capacity provider alone: API reference, RunTask.launchType), or that is not here."""
    if launch_type not in (None, *_LAUNCH_TYPES):
        raise invalid(f"launch type should be one of [{','.join(_LAUNCH_TYPES)}]")
    if launch_type == "EXTERNAL":
        raise unsupported("kirikae local runs launch types FARGATE and EC2, not EXTERNAL")


def check_launch(params: Plain, definition: Definition) -> None:
    """Raise AwsError for what AWS does not start.

    Where the request says Fargate, by launch type or provider, it is held to what Fargate asks;
    without a word it runs all the same (ours; AWS would look for an instance).
    """
    check_place(params)
    check_mode(definition, params.get("networkConfiguration"))
    if not says_fargate(params):
        return
    check_unplaced(params)
    if params.get("networkConfiguration", {}).get("awsvpcConfiguration") is None:
        raise invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    check_compatible(definition)


def check_unplaced(params: Plain) -> None:
    """Raise AwsError for what places tasks on instances: Fargate has none."""
    if params.get("placementConstraints") or params.get("placementStrategy"):
        raise invalid(
            "Placement constraints and strategies are not supported for tasks run on Fargate."
        )


def check_mode(definition: Definition, network: Plain | None) -> None:
    """Raise AwsError for a network configuration where the task has no network interface of its own
    (API reference, RunTask.networkConfiguration: for awsvpc, "and it is not supported for other
    network modes")."""
    if definition["networkMode"] != "awsvpc" and network:
        raise invalid(
            "Network Configuration is not valid for the given networkMode of this task definition."
        )


def wants_instance(definition: Definition, wish: Wish) -> bool:
    """Can it only be on a container instance, whatever launch type is usual here?"""
    asked = wish.constraints or wish.strategies
    return definition["networkMode"] != "awsvpc" or bool(asked)


def says_fargate(params: Plain) -> bool:
    """By launch type, or by one of Fargate's capacity providers."""
    strategy: Strategy = params.get("capacityProviderStrategy") or []
    named = any(item["capacityProvider"] in PROVIDERS for item in strategy)
    return named or params.get("launchType") == "FARGATE"


def check_compatible(definition: Definition) -> None:
    """Raise AwsError for a definition that Fargate does not run."""
    if "FARGATE" not in definition.get("compatibilities", []):
        raise invalid("Task definition does not support launch_type FARGATE.")


def check_place(params: Plain) -> None:
    """Raise AwsError for a network or a platform that there is not."""
    network = params.get("networkConfiguration", {}).get("awsvpcConfiguration")
    if network is not None:
        _check_network(network)
    version = params.get("platformVersion")
    if version and version not in VERSIONS:
        raise AwsError("PlatformUnknownException", "The specified platform does not exist.")


def _check_network(network: Plain) -> None:
    """Raise AwsError beyond ECS's limits (API reference, AwsVpcConfiguration), and for what can be
    no ID of EC2's (EC2 user guide, "Resource IDs").  IDs of AWS's form are taken as they are: a
    rehearsal names those of another account (ours)."""
    if not network["subnets"]:
        raise invalid("subnets can not be empty.")
    for subnet in network["subnets"]:
        if not subnet.startswith("subnet-"):
            raise invalid(
                f"Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' "
                "does not exist (ErrorCode: InvalidSubnetID.NotFound)"
            )
    for group in network.get("securityGroups", []):
        if not group.startswith("sg-"):
            raise missing_group(group)
    for key, most in (("subnets", _MOST_SUBNETS), ("securityGroups", _MOST_GROUPS)):
        if len(network.get(key, [])) > most:
            raise invalid(f"{key} can have at most {most} items.")
