"""Port mappings of a container: what ECS takes of them, and how it fills them in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kirikae.local.ecs.names import refused, unsupported
from kirikae.local.plain import Plain
from kirikae.local.rows import ContainerDefinition, HostPort, PortMapping

_RANGE = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")
_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_LARGEST = 65535
_MOST_RANGES = 100
MODES = ("awsvpc", "bridge")
RESERVED = ("22", "2375", "2376", "51678", "51679")
"""Ports of an instance that ECS's agent and Docker keep for themselves (API reference,
PortMapping.hostPort)."""


def network_mode(params: Plain) -> str:
    """As it is asked for.

    Where nobody says it, it is awsvpc (ours; on AWS it is bridge), unless the host's ports are
    other ones than the containers': only bridge has that.  Raises AwsError for what is not carried
    out.
    """
    asked = params.get("networkMode")
    if asked not in (None, *MODES):
        raise refused(f"{params['family']}: kirikae local runs network modes {', '.join(MODES)}")
    if asked is not None:
        return str(asked)
    of_all = [each.get("portMappings", []) for each in params["containerDefinitions"]]
    moved = any(
        mapping.get("hostPort") not in (None, 0, mapping.get("containerPort"))
        for mappings in of_all
        for mapping in mappings
    )
    of_fargate = "FARGATE" in params.get("requiresCompatibilities", [])
    return "bridge" if moved and not of_fargate else "awsvpc"


def filled(
    where: str,
    mappings: Sequence[PortMapping],
    mode: str = "awsvpc",
) -> list[PortMapping]:
    """As AWS shows them: the protocol is said, and under awsvpc the host's port is the container's,
    under bridge 0 where any will do (API reference, PortMapping).  Raises AwsError for what AWS
    refuses."""
    if sum("containerPortRange" in mapping for mapping in mappings) > _MOST_RANGES:
        raise refused(f"{where}: at most {_MOST_RANGES} port ranges can be specified.")
    for mapping in mappings:
        _check(where, mapping, mode)
    taken: set[tuple[str, int]] = set()
    for mapping in mappings:
        for port in ports_of(mapping):
            key = (mapping.get("protocol", "tcp"), port)
            if key in taken:
                raise refused(f"{where}: port {port} is in more than one port mapping.")
            taken.add(key)
    return [_filled(mapping, mode) for mapping in mappings]


def _check(where: str, mapping: PortMapping, mode: str) -> None:
    """One mapping."""
    _check_name(where, mapping.get("name", "a"))
    port = mapping.get("containerPort")
    span = mapping.get("containerPortRange")
    host = mapping.get("hostPort")
    if span is not None:
        if port is not None or host is not None:
            raise refused(f"{where}: specify either containerPort or containerPortRange.")
        _check_range(where, span)
        return
    if port is None or not 1 <= port <= _LARGEST:
        raise refused(f"{where}: Invalid 'containerPort' setting for container.")
    if mode == "bridge":
        _check_host(where, host or 0)
    elif host not in (None, 0, port):
        raise refused(
            f"{where}: When networkMode=awsvpc, the host ports and container ports in port "
            "mappings must match."
        )


def _check_name(where: str, name: str) -> None:
    """A port's name."""
    if not _NAME.fullmatch(name):
        raise refused(
            f"{where}: Invalid 'name' setting for port mapping: up to 64 lowercase letters, "
            "numbers, underscores and hyphens, not beginning with a hyphen."
        )


def _check_host(where: str, port: int) -> None:
    """A port of the machine; 0 is any."""
    if not 0 <= port <= _LARGEST:
        raise refused(f"{where}: Invalid 'hostPort' setting for container.")
    if str(port) in RESERVED:
        raise refused(f"{where}: The host port {port} is reserved.")


def _check_range(where: str, span: str) -> None:
    """``9000-9010``."""
    found = _RANGE.fullmatch(span)
    if found is None or not 1 <= int(found[1]) < int(found[2]) <= _LARGEST:
        raise refused(f"{where}: Invalid 'containerPortRange' setting for container: {span!r}.")


def _filled(mapping: PortMapping, mode: str) -> PortMapping:
    """With the parts that AWS adds; ranges keep their form."""
    filled_in: PortMapping = {
        "protocol": "tcp",
        **mapping,
    }
    if "containerPort" in mapping:
        own = mapping["containerPort"]
        filled_in["hostPort"] = mapping.get("hostPort", 0) if mode == "bridge" else own
    return filled_in


def of_host(containers: Sequence[ContainerDefinition]) -> list[HostPort]:
    """The ports of this machine that a task of the network mode bridge publishes."""
    return [
        {
            "containerName": container["name"],
            "containerPort": port,
            "hostPort": mapping.get("hostPort", 0),
            "protocol": mapping.get("protocol", "tcp"),
        }
        for container in containers
        for mapping in container.get("portMappings", [])
        for port in ports_of(mapping)
    ]


def check_bridge(family: str, containers: Sequence[ContainerDefinition]) -> None:
    """Raise AwsError for two containers that listen on one port: a task has one network here, also
    under bridge (ours; on AWS each container has its own)."""
    taken: set[tuple[str, int]] = set()
    for each in of_host(containers):
        key = (each["protocol"], each["containerPort"])
        if key in taken:
            raise unsupported(
                f"{family}: kirikae local gives a task one network, in which two containers cannot "
                f"both listen on port {each['containerPort']}"
            )
        taken.add(key)


def ports_of(mapping: PortMapping) -> Iterator[int]:
    """The container's ports of one mapping."""
    if "containerPortRange" in mapping:
        first, _, last = mapping["containerPortRange"].partition("-")
        yield from range(int(first), int(last) + 1)
    elif "containerPort" in mapping:
        yield mapping["containerPort"]
