"""Target groups of the ELB API."""

from __future__ import annotations

from collections.abc import Sequence

from kirikae.local.elb import attributes
from kirikae.local.elb.configuration import SLOTS
from kirikae.local.elb.door import Door
from kirikae.local.elb.groupforms import (
    CHECK_KEYS,
    check_is_carried_out,
    check_new,
    default_check,
    duplicate,
    with_check,
)
from kirikae.local.elb.kinds import OF_APPLICATIONS, is_record, protocol_of
from kirikae.local.elb.known import Known, by_arn, by_name, one_of, paged, show_attributes, tags_of
from kirikae.local.elb.names import new_id
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Group
from kirikae.local.state import State
from kirikae.local.wire import Handlers

_FIRST_NUMBER = 1000
"""HAProxy's numbers of our backends begin here."""


class GroupApi:
    """A target group is a backend of HAProxy, with all its servers made ahead."""

    def __init__(
        self,
        state: State,
        known: Known,
        door: Door,
        prefix: str,
    ) -> None:
        """``prefix`` is the beginning of every ARN of this region and account."""
        self._state = state
        self._known = known
        self._door = door
        self._prefix = prefix

    async def create(self, params: Plain) -> Plain:
        """CreateTargetGroup.

        Asking again with the same settings answers the group as it is.  Raises AwsError for a
        second one of this name, and for what ELB does not take.
        """
        check_new(params)
        row = self._new(params)
        known = next(
            (each for each in self._state.groups.all() if each["name"] == row["name"]), None
        )
        if known is not None:
            if _settings(known) != _settings(row):
                raise duplicate(row["name"])
            return {"TargetGroups": [self._show(known)]}
        self._state.groups.put(row["id"], row)
        await self._door.tell_all()
        return {"TargetGroups": [self._show(row)]}

    def _new(self, params: Plain) -> Group:
        """A group's row, not written down yet.  Raises AwsError for its check."""
        name = params["Name"]
        kind = params.get("TargetType", "instance")
        protocol = params.get("Protocol", "")
        check = with_check(default_check(kind, protocol), params, protocol)
        key = new_id()
        row: Group = {
            **check,
            "id": key,
            "target_type": kind,
            "protocol": protocol,
            "protocol_version": params.get("ProtocolVersion", "HTTP1"),
            "address_type": params.get("IpAddressType", "ipv4"),
            "name": name,
            "arn": f"{self._prefix}targetgroup/{name}/{key}",
            "port": params.get("Port", 0),
            "vpc": params.get("VpcId", ""),
            "number": self._next_number(),
            "attributes": dict(attributes.of_groups(kind, protocol)),
            "tags": tags_of(params),
        }
        if not is_record(row):
            check_is_carried_out(check, params)
        return row

    def _next_number(self) -> int:
        """HAProxy's number of the next backend: beyond all, also those of other regions."""
        numbers = [group["number"] for group in self._state.whole.groups.all()]
        return max([*numbers, _FIRST_NUMBER - 1]) + 1

    def _show(self, row: Group) -> Plain:
        """A target group as AWS shows it, with the load balancers that forward to it now."""
        shown: Plain = {
            "TargetGroupArn": row["arn"],
            "TargetGroupName": row["name"],
            "TargetType": row.get("target_type", "ip"),
            "HealthCheckEnabled": row.get("check_enabled", True),
            "HealthCheckIntervalSeconds": row["interval_s"],
            "HealthCheckTimeoutSeconds": row["timeout_s"],
            "HealthyThresholdCount": row["healthy_threshold"],
            "UnhealthyThresholdCount": row["unhealthy_threshold"],
            "LoadBalancerArns": sorted(self._known.balancers_of(row["arn"])),
        }
        if row["check_path"]:
            shown["HealthCheckPath"] = row["check_path"]
        if row["matcher"]:
            shown["Matcher"] = {"HttpCode": row["matcher"]}
        if protocol := protocol_of(row):
            shown |= {
                "Protocol": protocol,
                "Port": row["port"],
                "VpcId": row["vpc"],
                "HealthCheckProtocol": row.get("check_protocol", "HTTP"),
                "HealthCheckPort": row["check_port"],
                "IpAddressType": row.get("address_type", "ipv4"),
            }
        if protocol in OF_APPLICATIONS:
            shown["ProtocolVersion"] = row.get("protocol_version", "HTTP1")
        return shown

    async def describe(self, params: Plain) -> Plain:
        """DescribeTargetGroups: raises AwsError for an ARN or a name that is not there."""
        one_of(params, "TargetGroupArns", "Names", "LoadBalancerArn")
        arns = params.get("TargetGroupArns")
        rows = by_arn(self._state.groups.all(), arns, self._known.group)
        if not arns:
            rows = by_name(rows, params.get("Names"), "TargetGroupNotFound")
        if balancer := params.get("LoadBalancerArn"):
            self._known.balancer(balancer)
            rows = [row for row in rows if balancer in self._known.balancers_of(row["arn"])]
        return paged("TargetGroups", [self._show(row) for row in rows], params)

    async def modify(self, params: Plain) -> Plain:
        """ModifyTargetGroup: what is not given stays.

        The next check of each target goes by the new values; HAProxy need not hear of it.
        """
        row = self._known.group(params["TargetGroupArn"])
        check = with_check(row, params, protocol_of(row))
        if not is_record(row):
            check_is_carried_out(check, {"Name": row["name"]})
        changed: Group = {**row, **check}
        return {"TargetGroups": [self._show(self._state.groups.put(row["id"], changed))]}

    async def delete(self, params: Plain) -> Plain:
        """DeleteTargetGroup: one that is not there is no error, as on AWS."""
        for row in self._state.groups.all():
            if row["arn"] == params["TargetGroupArn"]:
                await self._delete(row)
        return {}

    async def _delete(self, row: Group) -> None:
        """With its targets.  Raises AwsError while a rule forwards to it."""
        if self._known.balancers_of(row["arn"]):
            raise AwsError(
                "ResourceInUse",
                f"The target group '{row['arn']}' is currently in use by a listener or a rule",
            )
        self._state.targets.drop_where(lambda target: target["group"] == row["id"])
        self._state.groups.drop(row["id"])
        await self._door.tell_all()

    # --- attributes

    async def describe_attributes(self, params: Plain) -> Plain:
        """DescribeTargetGroupAttributes: all of them, also those without an effect here."""
        return show_attributes(self._known.group(params["TargetGroupArn"])["attributes"])

    async def modify_attributes(self, params: Plain) -> Plain:
        """ModifyTargetGroupAttributes.  Raises AwsError for what would have no such effect here."""
        row = self._known.group(params["TargetGroupArn"])
        changed = _changed(row, params["Attributes"])
        row = self._state.groups.put(
            row["id"],
            {
                **row,
                "attributes": changed,
            },
        )
        await self._door.tell_all()
        return show_attributes(row["attributes"])


def _settings(row: Group) -> tuple[object, ...]:
    """What makes two groups of one name the same."""
    return (
        *(row[key] for key in CHECK_KEYS),
        row["port"],
        row["vpc"],
        row.get("target_type", "ip"),
        protocol_of(row),
    )


def _changed(row: Group, asked: Sequence[Plain]) -> dict[str, str]:
    """The group's attributes as they are asked for."""
    protocol = protocol_of(row)
    known = attributes.of_groups(row.get("target_type", "ip"), protocol)
    attributes.check_stickiness(asked, known, protocol)
    if protocol not in OF_APPLICATIONS:
        return attributes.kept(row["attributes"], asked, known)
    changed = attributes.changed(row["attributes"], asked, known)
    attributes.check_cookie(changed)
    return changed


OPERATIONS: Handlers[GroupApi] = {
    "CreateTargetGroup": GroupApi.create,
    "DescribeTargetGroups": GroupApi.describe,
    "DeleteTargetGroup": GroupApi.delete,
    "DescribeTargetGroupAttributes": GroupApi.describe_attributes,
    "ModifyTargetGroup": GroupApi.modify,
    "ModifyTargetGroupAttributes": GroupApi.modify_attributes,
}
PARTLY = {
    "CreateTargetGroup": f"targets of type ip over HTTP, at most {SLOTS}; checks over HTTP; "
    "records only (kept and told, and asked nothing): instances, functions, load balancers as "
    "targets, groups of HTTPS, TCP, TLS, UDP, TCP_UDP and GENEVE",
    "ModifyTargetGroup": "as CreateTargetGroup",
    "ModifyTargetGroupAttributes": "attributes listed below",
}
"""Operations of which something is missing, and what."""
