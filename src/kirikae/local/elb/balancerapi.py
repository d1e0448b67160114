"""Load balancers of the ELB API."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import cycle

from kirikae.local.elb import attributes
from kirikae.local.elb.configuration import SLOTS
from kirikae.local.elb.door import Door
from kirikae.local.elb.kinds import APPLICATION, GATEWAY, IN_ARNS, hosted_zone
from kirikae.local.elb.known import Known, by_arn, by_name, one_of, paged, show_attributes, tags_of
from kirikae.local.elb.limits import check_balancer_name, refuse, wrong
from kirikae.local.elb.names import new_id
from kirikae.local.elb.networking import Networking, check_groups, check_subnets
from kirikae.local.elb.ruleapi import drop_listener
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Balancer, BalancerPlace
from kirikae.local.state import State
from kirikae.local.wire import ACCOUNT, Handlers

_TAKEN = {
    "CustomerOwnedIpv4Pool": (),
    "EnablePrefixForIpv6SourceNat": ("off",),
    "IpamPools": (),
}
_LETTERS = "abcdef"
_ANY_REGION = "ap-northeast-1"
"""Whose hosted zone is told where a region's own is not known."""
PutObject = Callable[[str, str, bytes], Awaitable[None]]
"""Bucket, key, body.  Raises OSError where it cannot be written."""


class BalancerApi:
    """A load balancer is attributes and listeners; it has no address of its own here."""

    def __init__(
        self,
        state: State,
        known: Known,
        door: Door,
        put_object: PutObject,
        networking: Networking,
        prefix: str,
    ) -> None:
        """``prefix`` is the beginning of every ARN of this region and account."""
        self._state = state
        self._known = known
        self._door = door
        self._put_object = put_object
        self._networking = networking
        self._prefix = prefix

    async def create(self, params: Plain) -> Plain:
        """CreateLoadBalancer.

        One of this name that is there is answered as it is, so it may be asked again.  Those of
        other types than application are only kept and told.
        """
        name = params["Name"]
        check_balancer_name(name)
        refuse(params, _TAKEN, f"load balancer {name}")
        for known in self._state.balancers.all():
            if known["name"] == name:
                return {"LoadBalancers": [_show(known)]}
        row = await self._new(params)
        return {"LoadBalancers": [_show(self._state.balancers.put(row["id"], row))]}

    async def _new(self, params: Plain) -> Balancer:
        """A load balancer's row, not written down yet."""
        key = new_id()
        kind = params.get("Type", APPLICATION)
        groups = params.get("SecurityGroups", [])
        check_groups(groups)
        if params.get("Scheme") and kind == GATEWAY:
            raise wrong("A scheme cannot be specified for gateway load balancers")
        if groups and kind == GATEWAY:
            raise AwsError("InvalidConfigurationRequest", "Gateways have no security groups")
        return {
            "id": key,
            "name": params["Name"],
            "arn": f"{self._prefix}loadbalancer/{IN_ARNS[kind]}/{params['Name']}/{key}",
            "created": time.time(),
            "type": kind,
            "address_type": params.get("IpAddressType", "ipv4"),
            "scheme": params.get("Scheme", "internet-facing"),
            **await self._placed(params),
            "groups": groups,
            "attributes": dict(attributes.of_balancers(kind)),
            "tags": tags_of(params),
        }

    async def _placed(self, params: Plain) -> BalancerPlace:
        """Its subnets with their zones; those that EC2's part does not know are in one zone after
        the other."""
        subnets = _subnets(params)
        known = await self._networking.subnets(subnets)
        region = self._prefix.split(":")[3]
        zones = {
            subnet: known[subnet].zone if subnet in known else f"{region}{letter}"
            for subnet, letter in zip(subnets, cycle(_LETTERS), strict=False)
        }
        vpcs = [subnet.vpc for subnet in known.values()]
        return {
            "subnets": subnets,
            "zones": zones,
            "mappings": params.get("SubnetMappings", []),
            "vpc": vpcs[0] if vpcs else "",
        }

    async def describe(self, params: Plain) -> Plain:
        """DescribeLoadBalancers: raises AwsError for an ARN or a name that is not there."""
        one_of(params, "LoadBalancerArns", "Names")
        arns = params.get("LoadBalancerArns")
        rows = by_arn(self._state.balancers.all(), arns, self._known.balancer)
        if not arns:
            rows = by_name(rows, params.get("Names"), "LoadBalancerNotFound")
        return paged("LoadBalancers", [_show(row) for row in rows], params)

    async def delete(self, params: Plain) -> Plain:
        """DeleteLoadBalancer: one that is not there is no error, as on AWS."""
        for row in self._state.balancers.all():
            if row["arn"] == params["LoadBalancerArn"]:
                await self._delete(row)
        return {}

    async def _delete(self, row: Balancer) -> None:
        """With its listeners and their rules; target groups stay.

        Raises AwsError while deletion protection is on.
        """
        if row["attributes"]["deletion_protection.enabled"] == "true":
            raise AwsError(
                "OperationNotPermitted",
                f"Load balancer '{row['arn']}' cannot be deleted: deletion protection is enabled",
            )
        for listener in self._state.listeners.all():
            if listener["balancer"] == row["id"]:
                drop_listener(self._state, listener)
        self._state.balancers.drop(row["id"])
        await self._door.tell_all()

    # --- attributes

    async def describe_attributes(self, params: Plain) -> Plain:
        """DescribeLoadBalancerAttributes: all of them, also those without an effect here."""
        return show_attributes(self._known.balancer(params["LoadBalancerArn"])["attributes"])

    async def modify_attributes(self, params: Plain) -> Plain:
        """ModifyLoadBalancerAttributes.

        Raises AwsError for what would have no such effect here, and for a bucket of access logs
        that cannot be written.
        """
        row = self._known.balancer(params["LoadBalancerArn"])
        kind = row.get("type", APPLICATION)
        change = attributes.changed if kind == APPLICATION else attributes.kept
        changed = change(row["attributes"], params["Attributes"], attributes.of_balancers(kind))
        if changed.get("access_logs.s3.enabled") == "true" and not changed["access_logs.s3.bucket"]:
            raise AwsError(
                "InvalidConfigurationRequest",
                "The value of 'access_logs.s3.bucket' cannot be empty when access logs are enabled",
            )
        if changed.get("access_logs.s3.enabled") == "true":
            await self._check_bucket(changed["access_logs.s3.bucket"])
        row = self._state.balancers.put(
            row["id"],
            {
                **row,
                "attributes": changed,
            },
        )
        await self._door.tell_all()
        return show_attributes(row["attributes"])

    async def _check_bucket(self, bucket: str) -> None:
        """A bucket that cannot be written is refused, as AWS does."""
        key = f"AWSLogs/{ACCOUNT}/ELBAccessLogTestFile"
        try:
            await self._put_object(bucket, key, b"Enable AccessLog for ELB is successful")
        except OSError as error:
            raise AwsError(
                "InvalidConfigurationRequest", f"Access Denied for bucket: {bucket}. {error}"
            ) from error

    # --- kept and told, without effect

    async def set_subnets(self, params: Plain) -> Plain:
        """The load balancer listens on loopback whatever its subnets are."""
        row = self._known.balancer(params["LoadBalancerArn"])
        refuse(params, _TAKEN, f"load balancer {row['name']}")
        placed: Balancer = {**row, **await self._placed(params)}
        if "IpAddressType" in params:
            placed["address_type"] = params["IpAddressType"]
        shown = _show(self._state.balancers.put(row["id"], placed))
        return {key: shown[key] for key in ("AvailabilityZones", "IpAddressType")}

    async def set_address_type(self, params: Plain) -> Plain:
        """Clients come by loopback whatever it is."""
        row = self._known.balancer(params["LoadBalancerArn"])
        changed: Balancer = {**row, "address_type": params["IpAddressType"]}
        self._state.balancers.put(row["id"], changed)
        return {"IpAddressType": params["IpAddressType"]}

    async def set_security_groups(self, params: Plain) -> Plain:
        """Nothing is filtered on loopback."""
        row = self._known.balancer(params["LoadBalancerArn"])
        check_groups(params["SecurityGroups"])
        self._state.balancers.put(
            row["id"],
            {
                **row,
                "groups": params["SecurityGroups"],
            },
        )
        return {"SecurityGroupIds": params["SecurityGroups"]}

    async def describe_account_limits(self, params: Plain) -> Plain:
        """DescribeAccountLimits: those that kirikae local keeps itself."""
        limits = {
            "targets-per-application-load-balancer": SLOTS,
            "target-groups-per-action-on-application-load-balancer": 5,
        }
        return {
            "Limits": [
                {
                    "Name": name,
                    "Max": str(most),
                }
                for name, most in limits.items()
            ]
        }


def _subnets(params: Plain) -> list[str]:
    """IDs of the subnets, in either form.  Raises AwsError where there are none, or both forms."""
    plain = params.get("Subnets") or []
    mappings = params.get("SubnetMappings") or []
    if bool(plain) == bool(mappings):
        raise wrong("You must specify either subnets or subnet mappings, but not both")
    found = plain or [mapping.get("SubnetId", "") for mapping in mappings]
    if not all(found) or len(set(found)) < len(found):
        raise wrong("Every subnet needs an ID of its own")
    check_subnets(found)
    return list(found)


def _show(row: Balancer) -> Plain:
    """A load balancer as AWS shows it.

    Its name in the DNS leads nowhere: listeners are asked on 127.0.0.1.
    """
    kind = row.get("type", APPLICATION)
    shown: Plain = {
        "LoadBalancerArn": row["arn"],
        "LoadBalancerName": row["name"],
        "Type": kind,
        "DNSName": f"{row['name']}-{row['id']}.elb.localhost",
        "State": {"Code": "active"},
        "IpAddressType": row.get("address_type", "ipv4"),
        "CreatedTime": datetime.fromtimestamp(row["created"], UTC),
        "AvailabilityZones": [_zone(row, subnet) for subnet in row["subnets"]],
        "VpcId": row.get("vpc", ""),
    }
    region = row["arn"].split(":")[3]
    if zone := hosted_zone(kind, region) or hosted_zone(kind, _ANY_REGION):
        shown["CanonicalHostedZoneId"] = zone
    if kind != GATEWAY:
        shown["Scheme"] = row["scheme"]
        shown["SecurityGroups"] = row["groups"]
    return shown


def _zone(row: Balancer, subnet: str) -> Plain:
    """Where it would have an address."""
    zone: Plain = {"SubnetId": subnet}
    if name := row.get("zones", {}).get(subnet):
        zone["ZoneName"] = name
    addresses: list[Plain] = []
    for mapping in row.get("mappings", []):
        if mapping.get("SubnetId") == subnet:
            fixed = ("AllocationId", "PrivateIPv4Address", "IPv6Address")
            addresses.append({key: mapping[key] for key in fixed if mapping.get(key)})
    if any(addresses):
        zone["LoadBalancerAddresses"] = [each for each in addresses if each]
    return zone


OPERATIONS: Handlers[BalancerApi] = {
    "CreateLoadBalancer": BalancerApi.create,
    "DescribeLoadBalancers": BalancerApi.describe,
    "DeleteLoadBalancer": BalancerApi.delete,
    "DescribeLoadBalancerAttributes": BalancerApi.describe_attributes,
    "ModifyLoadBalancerAttributes": BalancerApi.modify_attributes,
    "SetSubnets": BalancerApi.set_subnets,
    "SetSecurityGroups": BalancerApi.set_security_groups,
    "SetIpAddressType": BalancerApi.set_address_type,
    "DescribeAccountLimits": BalancerApi.describe_account_limits,
}
PARTLY = {
    "CreateLoadBalancer": "application load balancers; those of networks and gateways are records: "
    "kept and told, without listening",
    "SetIpAddressType": "kept and told, without effect",
    "SetSubnets": "kept and told, without effect",
    "SetSecurityGroups": "kept and told, without effect",
    "DescribeAccountLimits": "the limits of kirikae local",
    "ModifyLoadBalancerAttributes": "attributes listed below",
}
"""Operations of which something is missing, and what."""
