"""What a target group is asked to be, by its protocol and the kind of its targets (ELB API
reference, CreateTargetGroup): checks before anything is kept, and AWS's defaults."""

from __future__ import annotations

import re
from typing import Literal, get_args

from kirikae.local.elb.kinds import GROUPS, LAMBDA, OF_APPLICATIONS
from kirikae.local.elb.limits import check_name, check_path, check_port, refuse, wrong
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Check, CheckChange

CheckKey = Literal[
    "check_path",
    "check_port",
    "interval_s",
    "timeout_s",
    "healthy_threshold",
    "unhealthy_threshold",
    "matcher",
]
CHECK_KEYS: tuple[CheckKey, ...] = get_args(CheckKey)
_OF_APPLICATIONS: Check = {
    "check_path": "/",
    "check_port": "traffic-port",
    "interval_s": 30,
    "timeout_s": 5,
    "healthy_threshold": 5,
    "unhealthy_threshold": 2,
    "matcher": "200",
}
_OF_NETWORKS: Check = {
    **_OF_APPLICATIONS,
    "check_path": "",
    "timeout_s": 10,
    "matcher": "",
    "check_protocol": "TCP",
}
_OF_FUNCTIONS: Check = {
    **_OF_APPLICATIONS,
    "check_port": "",
    "interval_s": 35,
    "timeout_s": 30,
    "unhealthy_threshold": 5,
    "check_enabled": False,
}
_CODES = r"[234][0-9]{2}(-[234][0-9]{2})?"
_MATCHER = re.compile(rf"{_CODES}(,{_CODES})*")
_OTHER_CODES = r"[2345][0-9]{2}(-[2345][0-9]{2})?"
_OTHER_MATCHER = re.compile(rf"{_OTHER_CODES}(,{_OTHER_CODES})*")
_CHECK_PROTOCOLS = ("HTTP", "HTTPS", "TCP")
_TAKEN = {
    "ProtocolVersion": ("HTTP1",),
    "IpAddressType": ("ipv4",),
    "TargetControlPort": (),
}
_GENEVE_PORT = 6081


def check_new(params: Plain) -> None:
    """Raise AwsError for a group that cannot be."""
    check_name("Target group", params["Name"])
    kind = params.get("TargetType", "instance")
    if kind == LAMBDA:
        for key, what in (("Port", "Port"), ("VpcId", "VPC ID"), ("Protocol", "Protocol")):
            if params.get(key):
                raise wrong(
                    f"{what} cannot be specified for target groups with target type 'lambda'"
                )
        return
    for key, what in (("Protocol", "protocol"), ("Port", "port"), ("VpcId", "VPC ID")):
        if not params.get(key):
            raise wrong(f"A {what} must be specified")
    if not params["VpcId"].startswith("vpc-"):
        raise wrong(f"The VPC ID '{params['VpcId']}' is not found")
    protocol = params["Protocol"]
    if protocol not in GROUPS:
        raise wrong(f"kirikae local has no target groups of {protocol}")
    _check_pair(kind, protocol, params)
    if (kind, protocol) == ("ip", "HTTP"):
        refuse(params, _TAKEN, f"target group {params['Name']}")


def _check_pair(kind: str, protocol: str, params: Plain) -> None:
    """Raise AwsError for what does not go with this protocol."""
    if protocol == "GENEVE" and params["Port"] != _GENEVE_PORT:
        raise wrong(f"Port must be {_GENEVE_PORT} for GENEVE target groups")
    if kind == "alb" and protocol != "TCP":
        raise wrong("Target groups with target type 'alb' must have the protocol TCP")
    of_grpc = (params.get("Matcher") or {}).get("GrpcCode")
    if of_grpc and params.get("ProtocolVersion") != "GRPC":
        raise wrong("GrpcCode is for target groups with protocol version GRPC")
    if params.get("ProtocolVersion") and protocol not in OF_APPLICATIONS:
        raise wrong(f"Protocol version cannot be specified for target groups of {protocol}")


def default_check(kind: str, protocol: str) -> Check:
    """Of a group whose request says nothing."""
    if kind == LAMBDA:
        return _OF_FUNCTIONS
    return _OF_APPLICATIONS if protocol in OF_APPLICATIONS else _OF_NETWORKS


def with_check(before: Check, params: Plain, protocol: str) -> Check:
    """The check as it is asked for; what is not given stays.  Raises AwsError for what ELB does not
    take, and for a check that may take longer than it is long until the next one."""
    asked = _asked(params)
    check: Check = {**before, **asked}
    if params.get("HealthCheckProtocol"):
        check["check_protocol"] = _protocol(params["HealthCheckProtocol"], protocol)
    if check.get("check_protocol", "HTTP") == "TCP":
        for key in ("HealthCheckPath", "Matcher"):
            if params.get(key):
                raise wrong(f"{key} cannot be specified for health checks of TCP")
    elif protocol not in OF_APPLICATIONS:
        check["check_path"] = check["check_path"] or "/"
        check["matcher"] = check["matcher"] or "200-399"
    if code := params.get("Matcher", {}).get("HttpCode"):
        check["matcher"] = _matcher(code, protocol)
    if "HealthCheckEnabled" in params:
        if protocol and not params["HealthCheckEnabled"]:
            raise wrong("Health checks cannot be disabled for target groups of addresses")
        check["check_enabled"] = params["HealthCheckEnabled"]
    _check_times(check, protocol)
    return check


def check_is_carried_out(check: Check, group: Plain) -> None:
    """Raise AwsError where a group that is carried out would be checked otherwise."""
    if check.get("check_protocol", "HTTP") != "HTTP":
        raise wrong(f"target group {group['Name']}: kirikae local checks addresses by HTTP")


def _protocol(asked: str, protocol: str) -> str:
    """How a group of this protocol is checked."""
    if asked not in _CHECK_PROTOCOLS:
        raise wrong(f"Health check protocol '{asked}' must be one of 'HTTP, HTTPS, TCP'")
    if asked == "TCP" and protocol in OF_APPLICATIONS:
        raise wrong(f"Health check protocol 'TCP' is not supported for target groups of {protocol}")
    return asked


def _asked(params: Plain) -> CheckChange:
    """What the request says of paths, ports and numbers, in our names."""
    asked: CheckChange = {}
    if "HealthCheckPath" in params:
        check_path(params["HealthCheckPath"])
        asked["check_path"] = params["HealthCheckPath"]
    if "HealthCheckPort" in params:
        check_port(params["HealthCheckPort"])
        asked["check_port"] = params["HealthCheckPort"]
    if "HealthCheckIntervalSeconds" in params:
        asked["interval_s"] = _within(params, "HealthCheckIntervalSeconds", 5, 300)
    if "HealthCheckTimeoutSeconds" in params:
        asked["timeout_s"] = _within(params, "HealthCheckTimeoutSeconds", 2, 120)
    if "HealthyThresholdCount" in params:
        asked["healthy_threshold"] = _within(params, "HealthyThresholdCount", 2, 10)
    if "UnhealthyThresholdCount" in params:
        asked["unhealthy_threshold"] = _within(params, "UnhealthyThresholdCount", 2, 10)
    return asked


def _within(
    params: Plain,
    key: str,
    low: int,
    high: int,
) -> int:
    """The number that was asked for.  Raises AwsError outside these bounds."""
    value: int = params[key]
    if not low <= value <= high:
        raise wrong(f"{key} {value}: {low} to {high}")
    return value


def _matcher(code: str, protocol: str) -> str:
    """The codes as they were asked for.

    Raises AwsError outside 200 to 499 for application load balancers, 200 to 599 for others.
    """
    is_application = protocol in OF_APPLICATIONS or not protocol
    if not (_MATCHER if is_application else _OTHER_MATCHER).fullmatch(code):
        most = 499 if is_application else 599
        raise wrong(f"Health check matcher HTTP code '{code}' must be within 200 to {most}")
    return code


def _check_times(check: Check, protocol: str) -> None:
    """Raise AwsError for a check that is not over before the next one."""
    timeout_s = check["timeout_s"]
    interval_s = check["interval_s"]
    says = f"Health check timeout '{timeout_s}' must be smaller than"
    if protocol in OF_APPLICATIONS or not protocol:
        if timeout_s >= interval_s:
            raise wrong(f"{says} the interval '{interval_s}'")
    elif timeout_s > interval_s:
        raise wrong(f"{says} or equal to the interval '{interval_s}'")


def duplicate(name: str) -> AwsError:
    """The error (not raised yet) for a second group of this name."""
    return AwsError(
        "DuplicateTargetGroupName",
        f"A target group with the same name '{name}' exists, but with different settings",
    )
