"""Target groups of the ELB API."""

from __future__ import annotations

import re
from typing import Literal, get_args

from kirikae.local.elb import attributes
from kirikae.local.elb.configuration import SLOTS
from kirikae.local.elb.door import Door
from kirikae.local.elb.known import Known, by_arn, by_name, paged, show_attributes, tags_of
from kirikae.local.elb.limits import check_name, check_path, check_port, refuse, wrong
from kirikae.local.elb.names import new_id
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Check, CheckChange, Group
from kirikae.local.state import State
from kirikae.local.wire import Handlers

CheckKey = Literal[
    "check_path",
    "check_port",
    "interval_s",
    "timeout_s",
    "healthy_threshold",
    "unhealthy_threshold",
    "matcher",
]
_DEFAULT_CHECK: Check = {
    "check_path": "/",
    "check_port": "traffic-port",
    "interval_s": 30,
    "timeout_s": 5,
    "healthy_threshold": 5,
    "unhealthy_threshold": 2,
    "matcher": "200",
}
_CODES = r"[234][0-9]{2}(-[234][0-9]{2})?"
_MATCHER = re.compile(rf"{_CODES}(,{_CODES})*")
_TAKEN = {
    "ProtocolVersion": ("HTTP1",),
    "IpAddressType": ("ipv4",),
    "TargetControlPort": (),
}
CHECK_KEYS: tuple[CheckKey, ...] = get_args(CheckKey)
_FIRST_NUMBER = 1000
"""HAProxy's numbers of our backends begin here."""


def check_times(interval_s: int, timeout_s: int, name: str) -> None:
    """Raise AwsError for a check that may take longer than it is long until the next one."""
    if timeout_s >= interval_s:
        raise wrong("Health check interval must be greater than the timeout.")


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
        second one of this name, and for target types and protocols that are not carried out.
        """
        name = params["Name"]
        self._check_new(name, params)
        key = new_id()
        numbers = [group["number"] for group in self._state.groups.all()]
        check: Check = {
            **_DEFAULT_CHECK,
            **check_of(params, name),
        }
        check_times(check["interval_s"], check["timeout_s"], name)
        known = next((each for each in self._state.groups.all() if each["name"] == name), None)
        if known is not None:
            return self._again(known, params, check)
        row: Group = {
            **check,
            "id": key,
            "target_type": params.get("TargetType", "instance"),
            "name": name,
            "arn": f"{self._prefix}targetgroup/{name}/{key}",
            "port": params["Port"],
            "vpc": params.get("VpcId", ""),
            "number": max([number + 1 for number in numbers], default=_FIRST_NUMBER),
            "attributes": dict(attributes.OF_GROUPS),
            "tags": tags_of(params),
        }
        self._state.groups.put(key, row)
        await self._door.tell_all()
        return {"TargetGroups": [self._show(row)]}

    def _again(self, known: Group, params: Plain, check: Check) -> Plain:
        """A group of this name is there.  Raises AwsError unless it has the same settings."""
        same_check = all(known[key] == check[key] for key in CHECK_KEYS)
        place = (known["port"], known["vpc"], known.get("target_type", "ip"))
        asked = (params["Port"], params.get("VpcId", ""), params.get("TargetType", "instance"))
        if same_check and place == asked:
            return {"TargetGroups": [self._show(known)]}
        raise AwsError(
            "DuplicateTargetGroupName",
            f"A target group with the same name '{known['name']}' exists, but with different "
            "settings",
        )

    def _check_new(self, name: str, params: Plain) -> None:
        """Raise AwsError for a group that cannot be."""
        check_name("Target group", name)
        refuse(params, _TAKEN, f"target group {name}")
        if "Port" not in params:
            raise wrong("A port must be specified")
        kind = params.get("TargetType", "instance")
        if kind not in ("ip", "instance"):
            raise _wrong(name, f"kirikae local has target types ip and instance, not {kind}")
        if params.get("Protocol") != "HTTP":
            raise _wrong(name, "kirikae local speaks HTTP to targets")

    def _show(self, row: Group) -> Plain:
        """A target group as AWS shows it, with the load balancers that forward to it now."""
        return {
            "TargetGroupArn": row["arn"],
            "TargetGroupName": row["name"],
            "Protocol": "HTTP",
            "Port": row["port"],
            "VpcId": row["vpc"],
            "TargetType": row.get("target_type", "ip"),
            "HealthCheckProtocol": "HTTP",
            "HealthCheckPort": row["check_port"],
            "HealthCheckEnabled": True,
            "HealthCheckPath": row["check_path"],
            "HealthCheckIntervalSeconds": row["interval_s"],
            "HealthCheckTimeoutSeconds": row["timeout_s"],
            "HealthyThresholdCount": row["healthy_threshold"],
            "UnhealthyThresholdCount": row["unhealthy_threshold"],
            "Matcher": {"HttpCode": row["matcher"]},
            "LoadBalancerArns": sorted(self._known.balancers_of(row["arn"])),
        }

    async def describe(self, params: Plain) -> Plain:
        """DescribeTargetGroups: raises AwsError for an ARN or a name that is not there."""
        arns = params.get("TargetGroupArns")
        rows = by_arn(self._state.groups.all(), arns, self._known.group)
        if not arns:
            rows = by_name(rows, params.get("Names"), "TargetGroupNotFound")
        if balancer := params.get("LoadBalancerArn"):
            rows = [row for row in rows if balancer in self._known.balancers_of(row["arn"])]
        return paged("TargetGroups", [self._show(row) for row in rows], params)

    async def modify(self, params: Plain) -> Plain:
        """ModifyTargetGroup: what is not given stays.

        The next check of each target goes by the new values; HAProxy need not hear of it.
        """
        row = self._known.group(params["TargetGroupArn"])
        changed: Group = {
            **row,
            **check_of(params, row["name"]),
        }
        check_times(changed["interval_s"], changed["timeout_s"], row["name"])
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
        changed = attributes.changed(row["attributes"], params["Attributes"], attributes.OF_GROUPS)
        attributes.check_cookie(changed)
        row = self._state.groups.put(
            row["id"],
            {
                **row,
                "attributes": changed,
            },
        )
        await self._door.tell_all()
        return show_attributes(row["attributes"])


def check_of(params: Plain, name: str) -> CheckChange:
    """What the request says of the health check, in our names (ELB API reference,
    CreateTargetGroup)."""
    asked: CheckChange = {}
    if "HealthCheckPath" in params:
        check_path(params["HealthCheckPath"])
        asked["check_path"] = params["HealthCheckPath"]
    if "HealthCheckPort" in params:
        check_port(params["HealthCheckPort"])
        asked["check_port"] = params["HealthCheckPort"]
    if "HealthCheckIntervalSeconds" in params:
        asked["interval_s"] = _within(params, "HealthCheckIntervalSeconds", 5, 300, name)
    if "HealthCheckTimeoutSeconds" in params:
        asked["timeout_s"] = _within(params, "HealthCheckTimeoutSeconds", 2, 120, name)
    if "HealthyThresholdCount" in params:
        asked["healthy_threshold"] = _within(params, "HealthyThresholdCount", 2, 10, name)
    if "UnhealthyThresholdCount" in params:
        asked["unhealthy_threshold"] = _within(params, "UnhealthyThresholdCount", 2, 10, name)
    if params.get("HealthCheckProtocol", "HTTP") != "HTTP" or (
        params.get("HealthCheckEnabled") is False
    ):
        raise _wrong(name, "kirikae local checks addresses by HTTP")
    if code := params.get("Matcher", {}).get("HttpCode"):
        asked["matcher"] = _matcher(code, name)
    return asked


def _within(
    params: Plain,
    key: str,
    low: int,
    high: int,
    name: str,
) -> int:
    """The number that was asked for.  Raises AwsError outside these bounds."""
    value: int = params[key]
    if not low <= value <= high:
        raise _wrong(name, f"{key} {value}: {low} to {high}")
    return value


def _matcher(code: str, name: str) -> str:
    """The codes as they were asked for.

    Raises AwsError outside 200 to 499, as for an application load balancer.
    """
    if not _MATCHER.fullmatch(code):
        raise _wrong(name, f"Health check matcher HTTP code '{code}' must be within 200 to 499")
    return code


def _wrong(name: str, message: str) -> AwsError:
    """The error (not raised yet) for a target group that cannot be so."""
    return AwsError("ValidationError", f"target group {name}: {message}")


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
    "instances are kept and told, and asked nothing",
    "ModifyTargetGroup": "as CreateTargetGroup",
    "ModifyTargetGroupAttributes": "attributes listed below",
}
"""Operations of which something is missing, and what."""
