"""Attributes of load balancers and target groups: their defaults, and which of them have an
effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain

OF_GROUPS = {
    "deregistration_delay.timeout_seconds": "300",
    "stickiness.enabled": "false",
    "stickiness.type": "lb_cookie",
    "stickiness.lb_cookie.duration_seconds": "86400",
    "slow_start.duration_seconds": "0",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "86400",
    "load_balancing.algorithm.type": "round_robin",
    "load_balancing.algorithm.anomaly_mitigation": "off",
}
OF_BALANCERS = {
    "idle_timeout.timeout_seconds": "60",
    "client_keep_alive.seconds": "3600",
    "deletion_protection.enabled": "false",
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "connection_logs.s3.enabled": "false",
    "routing.http2.enabled": "true",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http.desync_mitigation_mode": "defensive",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
    "load_balancing.cross_zone.enabled": "true",
}
_ROUTING = {
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
}
_OF_NETWORK_GROUPS = {
    **_ROUTING,
    "deregistration_delay.timeout_seconds": "300",
    "deregistration_delay.connection_termination.enabled": "false",
    "preserve_client_ip.enabled": "true",
    "proxy_protocol_v2.enabled": "false",
    "stickiness.enabled": "false",
    "stickiness.type": "source_ip",
    "target_health_state.unhealthy.connection_termination.enabled": "true",
    "target_health_state.unhealthy.draining_interval_seconds": "0",
}
_OF_GATEWAY_GROUPS = {
    "deregistration_delay.timeout_seconds": "300",
    "stickiness.enabled": "false",
    "stickiness.type": "source_ip_dest_ip_proto",
    "target_failover.on_deregistration": "no_rebalance",
    "target_failover.on_unhealthy": "no_rebalance",
}
_OF_FUNCTIONS = {
    **_ROUTING,
    "lambda.multi_value_headers.enabled": "false",
}
_OF_NETWORKS = {
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "deletion_protection.enabled": "false",
    "dns_record.client_routing_policy": "any_availability_zone",
    "ipv6.deny_all_igw_traffic": "false",
    "load_balancing.cross_zone.enabled": "false",
    "secondary_ips.auto_assigned.per_subnet": "0",
    "zonal_shift.config.enabled": "false",
}
_OF_GATEWAYS = {
    "deletion_protection.enabled": "false",
    "load_balancing.cross_zone.enabled": "false",
}
_STICKY = {
    "HTTP": ("lb_cookie", "app_cookie"),
    "HTTPS": ("lb_cookie", "app_cookie"),
    "TCP": ("source_ip",),
    "UDP": ("source_ip",),
    "TCP_UDP": ("source_ip",),
    "TLS": ("source_ip",),
}
_GATEWAY_STICKY = ("source_ip_dest_ip_proto", "source_ip_dest_ip")


def of_balancers(kind: str) -> Mapping[str, str]:
    """A new load balancer's, by its kind."""
    return {"network": _OF_NETWORKS, "gateway": _OF_GATEWAYS}.get(kind, OF_BALANCERS)


def of_groups(kind: str, protocol: str) -> Mapping[str, str]:
    """A new target group's, by the kind of its targets and its protocol."""
    if kind == "lambda":
        return _OF_FUNCTIONS
    if protocol == "GENEVE":
        return _OF_GATEWAY_GROUPS
    return OF_GROUPS if protocol in ("HTTP", "HTTPS") else _OF_NETWORK_GROUPS


def check_stickiness(asked: Iterable[Plain], known: Mapping[str, str], protocol: str) -> None:
    """Raise AwsError for a stickiness that groups of this protocol have not (ELB API reference,
    TargetGroupAttribute)."""
    wanted = {each.get("Key", ""): each.get("Value", "") for each in asked}
    kind = wanted.get("stickiness.type")
    if protocol == "GENEVE":
        _check_keys(wanted, known, "Target group")
        if kind is not None and kind not in _GATEWAY_STICKY:
            raise _wrong(f"'{kind}' must be one of [{', '.join(_GATEWAY_STICKY)}]")
        return
    if kind is None or protocol not in _STICKY:
        return
    if kind not in ("app_cookie", "lb_cookie", "source_ip"):
        raise _wrong("'Stickiness type' must be one of [app_cookie, lb_cookie, source_ip]")
    if kind not in _STICKY[protocol]:
        raise _wrong(
            f"Stickiness type '{kind}' is not supported for target groups with the {protocol} "
            "protocol"
        )
    if protocol == "TLS" and wanted.get("stickiness.enabled") == "true":
        raise _wrong("You cannot enable stickiness on target groups with the TLS protocol")


def kept(
    before: Mapping[str, str], asked: Iterable[Plain], known: Mapping[str, str]
) -> dict[str, str]:
    """The attributes of what is only a record.  Raises AwsError for unknown ones, and for values
    that are not allowed."""
    wanted = {each.get("Key", ""): each.get("Value", "") for each in asked}
    _check_keys(wanted, known, "Load balancing")
    for key, value in wanted.items():
        rule = CARRIED_OUT.get(key)
        if key != "stickiness.type" and rule is not None and not allowed(rule, value):
            raise _wrong(f"{key}={value}: allowed is {rule.replace('|', ' or ')}")
    return {**before, **wanted}


def _check_keys(wanted: Iterable[str], known: Mapping[str, str], what: str) -> None:
    """Raise AwsError for an attribute that there is not."""
    for key in wanted:
        if key not in known:
            raise _wrong(f"{what} attribute key '{key}' is not recognized")


CARRIED_OUT = {
    "deregistration_delay.timeout_seconds": "0-3600",
    "stickiness.enabled": "true|false",
    "stickiness.lb_cookie.duration_seconds": "1-604800",
    "stickiness.type": "lb_cookie|app_cookie",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "1-604800",
    "load_balancing.algorithm.type": "round_robin|least_outstanding_requests|weighted_random",
    "idle_timeout.timeout_seconds": "1-4000",
    "slow_start.duration_seconds": "0-0|30-900",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1-64",
    "access_logs.s3.enabled": "true|false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "deletion_protection.enabled": "true|false",
}
"""Attributes with an effect, and what they may be: words or ranges of numbers; empty: any text."""
_FORMS = {
    # S3 user guide, "General purpose bucket naming rules" and "Naming objects".
    "access_logs.s3.bucket": re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
    "access_logs.s3.prefix": re.compile(r"(?!.*\.\.)[A-Za-z0-9!_.*'()/-]+"),
}
"""Texts that become part of an object's place."""
_NUMBER = re.compile(r"[0-9]{1,9}")
# A token of RFC 9110, section 5.6.2.
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def changed(
    before: Mapping[str, str], asked: Iterable[Plain], known: Mapping[str, str]
) -> dict[str, str]:
    """The attributes as they are asked for.  Raises AwsError for what has no such effect here."""
    after = dict(before)
    for attribute in asked:
        key = attribute.get("Key", "")
        value = attribute.get("Value", "")
        _check(key, value, known)
        after[key] = value
    return after


def _check(key: str, value: str, known: Mapping[str, str]) -> None:
    """Raise AwsError for an unknown key, for a value that is not allowed, and for a value other
    than the default of what has no effect here."""
    if key not in known:
        raise _wrong(f"Load balancing attribute key '{key}' is not recognized")
    if key not in CARRIED_OUT:
        if known[key] != value:
            raise _wrong(f"kirikae local does not carry out {key}={value} yet")
    elif key in _FORMS and value and not _FORMS[key].fullmatch(value):
        raise _wrong(f"{key}={value!r} is not valid")
    elif key == "stickiness.app_cookie.cookie_name" and value.startswith("AWSALB"):
        raise _wrong(f"{key}={value}: names that begin with AWSALB are the load balancer's own")
    elif not allowed(CARRIED_OUT[key], value):
        raise _wrong(f"{key}={value}: allowed is {CARRIED_OUT[key].replace('|', ' or ')}")


def check_cookie(attributes: Mapping[str, str]) -> None:
    """Stickiness by the application's cookie needs the name of one that is not ALB's own."""
    if attributes["stickiness.enabled"] != "true" or attributes["stickiness.type"] != "app_cookie":
        return
    cookie = attributes["stickiness.app_cookie.cookie_name"]
    if not _COOKIE_NAME.fullmatch(cookie) or cookie.startswith("AWSALB"):
        raise _wrong(f"stickiness.app_cookie.cookie_name={cookie}: a cookie's name, not AWSALB...")


def _wrong(message: str) -> AwsError:
    """The error (not raised yet) for an attribute that is not taken."""
    return AwsError("InvalidConfigurationRequest", message)


def allowed(rule: str, value: str) -> bool:
    """Is the value one of the words, or in one of the ranges of numbers, that ``a|b|1-9`` names?"""
    return any(_is_part(part, value) for part in rule.split("|"))


def _is_part(part: str, value: str) -> bool:
    """Is it this word, or in this range?"""
    if not part or part == value:
        return True
    low, dash, high = part.partition("-")
    if not dash or not _NUMBER.fullmatch(low) or not _NUMBER.fullmatch(value):
        return False
    return int(low) <= int(value) <= int(high)
