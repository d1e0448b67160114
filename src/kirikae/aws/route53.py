"""Route 53: the records of one name, changed all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws, told

Plain = dict[str, Any]
ALIAS_TTL_S = 60
"""An alias to a load balancer is answered with 60 s (Route 53 developer guide, "Choosing between
alias and non-alias records")."""


def zone_id(aws: Aws, zone: str) -> str:
    """The ID of a hosted zone by its name (or the ID itself).  Raises NotThere."""
    if zone.startswith("Z") and "." not in zone:
        return zone
    wanted = zone.rstrip(".") + "."
    with told():
        found = [
            z["Id"]
            for z in aws.client("route53").list_hosted_zones_by_name(DNSName=wanted)["HostedZones"]
            if z["Name"] == wanted
        ]
    if len(found) != 1:
        raise NotThere(
            "ListHostedZonesByName",
            "NoSuchHostedZone",
            f"{len(found)} hosted zones are named {wanted}; give the zone's ID",
        )
    return str(found[0]).rpartition("/")[2]


def records(aws: Aws, zone: str, name: str, kind: str) -> list[Plain]:
    """All record sets of this name and type: one simple one, or the weighted ones."""
    wanted = name.rstrip(".") + "."
    with told():
        answer = aws.client("route53").list_resource_record_sets(
            HostedZoneId=zone,
            StartRecordName=wanted,
            StartRecordType=kind,
        )
    return [
        dict(r) for r in answer["ResourceRecordSets"] if r["Name"] == wanted and r["Type"] == kind
    ]


def ttl_of(record: Mapping[str, Any]) -> int:
    """Seconds; an alias has none of its own."""
    return int(record.get("TTL", ALIAS_TTL_S))


def change(aws: Aws, zone: str, changes: Sequence[tuple[str, Plain]], why: str) -> None:
    """All of them, or none (API reference, ChangeResourceRecordSets: a change batch is a
    transaction).  (action, record set)."""
    batch = {
        "Comment": why[:256],
        "Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes],
    }
    with told():
        aws.client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
