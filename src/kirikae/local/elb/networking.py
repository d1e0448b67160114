"""What load balancers and tasks know of the network: subnets, VPCs and security groups, as EC2's
part of the stores has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from xml.etree import ElementTree

from kirikae.local.errors import AwsError

_EC2 = "2016-11-15"


@dataclass(frozen=True, slots=True)
class Subnet:
    """Where an address of a load balancer would be."""

    id: str
    zone: str
    vpc: str


class Networking(Protocol):
    """Asked when a load balancer or a group is made.

    Names that EC2's part does not know are taken as they are: rehearsals name subnets of another
    account (ours).
    """

    async def subnets(self, ids: Sequence[str]) -> Mapping[str, Subnet]:
        """Those that are known, by ID."""

    async def security_groups(self, ids: Sequence[str]) -> Collection[str]:
        """Those that are known."""

    async def platform(self, instance_id: str) -> str:
        """``windows`` of an instance that EC2 calls so; empty of others."""


class Unknown:
    """Where there is nobody to ask."""

    async def subnets(self, ids: Sequence[str]) -> Mapping[str, Subnet]:
        """None is known."""
        return {}

    async def security_groups(self, ids: Sequence[str]) -> Collection[str]:
        """None is known."""
        return ()

    async def platform(self, instance_id: str) -> str:
        """None is known."""
        return ""


class Asking(Protocol):
    """A call of the query protocol."""

    async def query(
        self,
        service: str,
        params: Mapping[str, str],
        region: str,
    ) -> str:
        """The answer's XML.  Raises AwsError, and OSError where nobody answers."""


class OfStores:
    """moto's EC2."""

    def __init__(self, stores: Asking, region: str) -> None:
        """Asks each time anew: subnets come and go."""
        self._stores = stores
        self._region = region

    async def subnets(self, ids: Sequence[str]) -> Mapping[str, Subnet]:
        """All of the region are asked for, for one that is unknown would be an error."""
        params = {"Action": "DescribeSubnets", "Version": _EC2}
        try:
            told = await self._stores.query("ec2", params, self._region)
        except (AwsError, OSError):
            return {}
        return {subnet.id: subnet for subnet in _read(told) if subnet.id in ids}

    async def security_groups(self, ids: Sequence[str]) -> Collection[str]:
        """As subnets are asked for; where nobody answers, all are taken as they are."""
        params = {"Action": "DescribeSecurityGroups", "Version": _EC2}
        try:
            told = await self._stores.query("ec2", params, self._region)
        except (AwsError, OSError):
            return ids
        found = (each.text or "" for each in ElementTree.fromstring(told).iter() if _is_id(each))
        return set(found) & set(ids)

    async def platform(self, instance_id: str) -> str:
        """Of an instance that is not known, nothing is known."""
        params = {
            "Action": "DescribeInstances",
            "Version": _EC2,
            "Filter.1.Name": "instance-id",
            "Filter.1.Value.1": instance_id,
        }
        try:
            told = await self._stores.query("ec2", params, self._region)
        except (AwsError, OSError):
            return ""
        named = (
            each.text
            for each in ElementTree.fromstring(told).iter()
            if each.tag.rpartition("}")[2] == "platform"
        )
        return next(named, None) or ""


def check_subnets(ids: Iterable[str]) -> None:
    """Raise AwsError for what can be no ID of EC2's (EC2 user guide, "Resource IDs"); others are
    taken as they are (ours)."""
    for each in ids:
        if not each.startswith("subnet-"):
            raise AwsError("SubnetNotFound", f"The subnet ID '{each}' does not exist")


def check_groups(ids: Iterable[str]) -> None:
    """As ``check_subnets``."""
    for each in ids:
        if not each.startswith("sg-"):
            raise AwsError("InvalidSecurityGroup", f"The security group '{each}' does not exist")


def _is_id(element: ElementTree.Element) -> bool:
    """Does it name a security group?"""
    return element.tag.rpartition("}")[2] == "groupId"


def _read(told: str) -> Iterable[Subnet]:
    """The subnets of an answer of DescribeSubnets."""
    for each in ElementTree.fromstring(told).iter():
        values = {child.tag.rpartition("}")[2]: child.text or "" for child in each}
        if {"subnetId", "availabilityZone", "vpcId"} <= values.keys():
            yield Subnet(values["subnetId"], values["availabilityZone"], values["vpcId"])
