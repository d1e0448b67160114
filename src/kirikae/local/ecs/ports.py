"""Port mappings of a container: what ECS takes of them, and how it fills them in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kirikae.local.ecs.names import refused
from kirikae.local.rows import PortMapping

_RANGE = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")
_LARGEST = 65535
_MOST_RANGES = 100


def filled(where: str, mappings: Sequence[PortMapping]) -> list[PortMapping]:
    """As AWS shows them under awsvpc: the host's port is the container's, and the protocol is said
    (API reference, PortMapping).  Raises AwsError for what AWS refuses."""
    if sum("containerPortRange" in mapping for mapping in mappings) > _MOST_RANGES:
        raise refused(f"{where}: at most {_MOST_RANGES} port ranges can be specified.")
    for mapping in mappings:
        _check(where, mapping)
    taken: set[tuple[str, int]] = set()
    for mapping in mappings:
        for port in ports_of(mapping):
            key = (mapping.get("protocol", "tcp"), port)
            if key in taken:
                raise refused(f"{where}: port {port} is in more than one port mapping.")
            taken.add(key)
    return [_filled(mapping) for mapping in mappings]


def _check(where: str, mapping: PortMapping) -> None:
    """One mapping."""
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
    if host not in (None, 0, port):
        raise refused(
            f"{where}: When networkMode=awsvpc, the host ports and container ports in port "
            "mappings must match."
        )


def _check_range(where: str, span: str) -> None:
    """``9000-9010``."""
    found = _RANGE.fullmatch(span)
    if found is None or not 1 <= int(found[1]) < int(found[2]) <= _LARGEST:
        raise refused(f"{where}: Invalid 'containerPortRange' setting for container: {span!r}.")


def _filled(mapping: PortMapping) -> PortMapping:
    """With the parts that AWS adds; ranges keep their form."""
    filled_in: PortMapping = {
        "protocol": "tcp",
        **mapping,
    }
    if "containerPort" in mapping:
        filled_in["hostPort"] = mapping["containerPort"]
    return filled_in


def ports_of(mapping: PortMapping) -> Iterator[int]:
    """The container's ports of one mapping."""
    if "containerPortRange" in mapping:
        first, _, last = mapping["containerPortRange"].partition("-")
        yield from range(int(first), int(last) + 1)
    elif "containerPort" in mapping:
        yield mapping["containerPort"]
