"""What ALB takes of rules, names and targets: pure checks before anything is kept.

Limits are those of the ELB API reference (RuleCondition, FixedResponseActionConfig,
RedirectActionConfig, CreateTargetGroup, CreateLoadBalancer).  They are also what keeps a request's
text from being anything but data in HAProxy's configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Any, cast

from kirikae.local.elb.actions import RESERVED
from kirikae.local.elb.conditions import regular
from kirikae.local.errors import AwsError, LocalError
from kirikae.local.plain import Plain
from kirikae.local.rows import Action, Condition, FixedResponse, Forward, GroupWeight, Redirect

_LONGEST_VALUE = 128
_LONGEST_METHOD = 40
_MOST_VALUES = 5
_LONGEST_STICKINESS_S = 604_800
_LONGEST_NAME = 32
_NAME_LETTERS = re.compile(r"[A-Za-z0-9-]*")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
# RFC 9110, 5.6.2: a token.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")
_METHOD = re.compile(r"[A-Z_-]{1,40}")
_PRINTABLE = re.compile(r"[ -~]*")
_HOST = re.compile(r"[A-Za-z0-9.*?-]+")
_PATH = re.compile(r"[A-Za-z0-9_.$/~\"'@:+&*?-]+")
_STATUS = re.compile(r"[245][0-9]{2}")
_MESSAGE = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*")
_CONTENT_TYPES = (
    "text/plain",
    "text/css",
    "text/html",
    "application/javascript",
    "application/json",
)
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LARGEST_PORT = 65535
_INSTANCE = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")
_PRIVATE = tuple(
    map(
        IPv4Network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"),
    )
)
"""Where targets may be (RFC 1918, RFC 6598), and this machine itself (ours)."""
_CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
_ONCE = ("host-header", "path-pattern", "http-request-method", "source-ip")
_PLAIN = ("host-header", "path-pattern")
_WITH_REGEX = ("host-header", "path-pattern", "http-header")


def wrong(message: str) -> AwsError:
    """The error (not raised yet) for what ALB does not take."""
    return AwsError("ValidationError", message)


def refuse(params: Plain, keys: Mapping[str, tuple[object, ...]], what: str) -> None:
    """Raise AwsError for a parameter that is given and has another value than these: it would be
    dropped."""
    for key, taken in keys.items():
        if params.get(key) and params[key] not in taken:
            raise wrong(f"{what}: kirikae local does not carry out {key}={params[key]}")


# --- names and targets


def check_name(what: str, name: str) -> None:
    """Raise AwsError for a name that ELB does not take."""
    if len(name) > _LONGEST_NAME:
        raise wrong(f"{what} name '{name}' cannot be longer than '{_LONGEST_NAME}' characters")
    if not _NAME_LETTERS.fullmatch(name):
        raise wrong(
            f"{what} name '{name}' can only contain characters that are alphanumeric characters or "
            "hyphens(-)"
        )
    if not _NAME.fullmatch(name):
        raise wrong(f"{what} name '{name}' cannot begin or end with a hyphen")


def check_balancer_name(name: str) -> None:
    """As every name; ``internal-`` begins the DNS names of internal load balancers."""
    check_name("Load balancer", name)
    if name.startswith("internal-"):
        raise wrong(f"The load balancer name '{name}' must not begin with 'internal-'")


def check_target(address: str) -> None:
    """Raise AwsError for a target that is no private IPv4 address."""
    try:
        found = IPv4Address(address)
    except ValueError as error:
        raise wrong(f"The target '{address}' is not a valid IPv4 address") from error
    if not any(found in network for network in _PRIVATE):
        raise wrong(f"The IP address '{address}' is not within any of the private ranges")


def check_instance(instance: str) -> None:
    """Raise AwsError for what is no instance's ID."""
    if not _INSTANCE.fullmatch(instance):
        raise wrong(f"The instance ID '{instance}' is not valid")


def check_function(arn: str) -> None:
    """Raise AwsError for what is no function's ARN."""
    if ":lambda:" not in arn or not arn.startswith("arn:"):
        raise wrong(f"The target '{arn}' is not a valid Lambda function ARN")


def check_balancer_arn(arn: str) -> None:
    """Raise AwsError for what is no application load balancer's ARN."""
    if ":loadbalancer/app/" not in arn or not arn.startswith("arn:"):
        raise wrong(f"The target '{arn}' is not a valid application load balancer ARN")


def check_path(path: str) -> None:
    """Raise AwsError for a health check's path that is none."""
    if not path.startswith("/") or " " in path or not _PRINTABLE.fullmatch(path):
        raise wrong(f"Health check path '{path}' must begin with a '/' and hold no white space")


def check_port(port: str) -> None:
    """Raise AwsError for a health check's port that is none."""
    if port != "traffic-port" and not _is_port(port):
        raise wrong(f"Health check port '{port}' must be 'traffic-port' or a number")


def _is_port(text: str) -> bool:
    """From 1 to 65535."""
    return _PORT.fullmatch(text) is not None and int(text) <= _LARGEST_PORT


# --- conditions


def check_conditions(conditions: Sequence[Condition]) -> None:
    """Raise AwsError for conditions of a rule that ALB does not take."""
    if not conditions:
        raise wrong("A rule must have a condition")
    fields = [condition.get("Field", "") for condition in conditions]
    for field in _ONCE:
        if fields.count(field) > 1:
            raise wrong(f"A rule can have only one '{field}' condition")
    count = sum(_check_condition(condition) for condition in conditions)
    if count > _MOST_VALUES:
        raise wrong(f"A rule can have at most {_MOST_VALUES} condition values, not {count}")


def _check_condition(condition: Condition) -> int:
    """How many values it has.  Raises AwsError."""
    field = condition.get("Field", "")
    if field not in _CONFIGS:
        raise wrong(f"Condition field '{field}' must be one of '[{', '.join(_CONFIGS)}]'")
    config = _config_of(condition, field)
    values: list[Any] = config.get("Values") or condition.get("Values") or []
    expressions: list[str] = config.get("RegexValues") or []
    if not values and not expressions:
        what = "condition" if field in _PLAIN else f"'{field}'"
        raise wrong(f"A {what} value must be specified")
    if values and expressions:
        raise wrong("You cannot specify both values and regular expressions")
    if expressions and field not in _WITH_REGEX:
        raise wrong(f"RegexValues is not valid for a condition on '{field}'")
    for value in values:
        _check_value(field, config, value)
    for expression in expressions:
        _check_expression(expression)
    return len(values) + len(expressions)


def _config_of(condition: Condition, field: str) -> Mapping[str, Any]:
    """The condition's own configuration, empty where it has the older form.  Raises AwsError for
    both, and for one of another field."""
    given = cast(Mapping[str, Any], condition)
    own = _CONFIGS[field]
    for other in ("RegexValues", *_CONFIGS.values()):
        if other != own and given.get(other):
            raise wrong(f"{other} is not valid for a condition on '{field}'; use {own}")
    plain: list[str] = given.get("Values") or []
    config: Mapping[str, Any] = given.get(own) or {}
    if field not in _PLAIN and own not in given:
        raise wrong(f"A '{own}' must be specified with '{field}'")
    if plain and config:
        raise wrong("You cannot specify both condition values and a configuration")
    if len(plain) > 1:
        raise wrong(f"The '{field}' field contains too many values; the limit is '1'")
    return config


def _check_value(field: str, config: Mapping[str, Any], value: Any) -> None:
    """One value of a condition."""
    if field == "query-string":
        _check_pair(value)
        return
    longest = _LONGEST_METHOD if field == "http-request-method" else _LONGEST_VALUE
    _check_length(field, value, longest)
    match field:
        case "host-header":
            _check_pattern(_HOST, field, value)
        case "path-pattern":
            _check_pattern(_PATH, field, value)
        case "http-header":
            _check_header(config.get("HttpHeaderName", ""))
            _check_pattern(_PRINTABLE, field, value)
        case "http-request-method":
            if not _METHOD.fullmatch(value):
                raise wrong(
                    "The 'http-request-method' value is invalid; the allowed characters are A-Z, "
                    "hyphen and underscore"
                )
        case _:
            _check_source(value)


def _check_length(what: str, value: str, longest: int) -> None:
    """Raise AwsError for an empty value, and for one that is too long."""
    if not value:
        raise wrong(f"A '{what}' value must be specified")
    if len(value) > longest:
        raise wrong(f"The '{what}' value is too long; the limit is '{longest}'")


def _check_header(name: str) -> None:
    """Raise AwsError for what is no header's name."""
    _check_length("HttpHeaderName", name, _LONGEST_METHOD)
    _check_pattern(_TOKEN, "HttpHeaderName", name)
    if name.lower() == "host":
        raise wrong("Use a host-header condition for the host header")
    if "'" in name:
        raise wrong("kirikae local does not carry out header names with an apostrophe")


def _check_pattern(allowed: re.Pattern[str], what: str, value: str) -> None:
    """Raise AwsError for a value with other characters."""
    if not allowed.fullmatch(value):
        raise wrong(f"The '{what}' value {value!r} contains invalid characters")


def _check_pair(pair: Any) -> None:
    """A key and a value of a query string."""
    if not pair.get("Value"):
        raise wrong("A 'Value' must be specified in 'QueryStringKeyValuePair'")
    for what, text in (("Key", pair.get("Key", "x")), ("Value", pair["Value"])):
        _check_length(what, text or "x", _LONGEST_VALUE)
        _check_pattern(_PRINTABLE, what, text)


def _check_source(value: str) -> None:
    """A block of addresses."""
    try:
        ip_network(value, strict=False)
    except ValueError as error:
        raise wrong(f"The source IP '{value}' is not in CIDR format") from error
    if "/" not in value:
        raise wrong(f"The source IP '{value}' is not in CIDR format")


def _check_expression(expression: str) -> None:
    """A regular expression."""
    if not expression or len(expression) > _LONGEST_VALUE:
        raise wrong(f"The regular expression must be 1 to {_LONGEST_VALUE} characters long")
    _check_pattern(_PRINTABLE, "regular expression", expression)
    try:
        regular(expression)
    except LocalError as error:
        raise wrong(str(error)) from error


# --- actions


def check_actions(actions: Sequence[Action]) -> None:
    """Raise AwsError for actions that ALB does not take; whether the target groups are there is not
    asked here."""
    if not actions:
        raise wrong("A listener or a rule must have an action")
    if len(actions) > 1:
        raise wrong("A rule must have exactly one forward, redirect or fixed-response action")
    for action in actions:
        _check_alone(action)
        match action["Type"]:
            case "fixed-response":
                _check_fixed(_config(action, "FixedResponseConfig"))
            case "redirect":
                _check_redirect(_config(action, "RedirectConfig"))
            case "forward":
                _check_forward(action)
            case other:
                raise AwsError(
                    "InvalidLoadBalancerAction",
                    f"kirikae local does not carry out the action {other} yet",
                )


_OWN_CONFIGS = {
    "fixed-response": ("FixedResponseConfig",),
    "redirect": ("RedirectConfig",),
    "forward": ("ForwardConfig", "TargetGroupArn"),
}
"""What an action of a type is configured by (ELB API reference, Action)."""


def _check_alone(action: Action) -> None:
    """Raise AwsError for the configuration of another type."""
    own = _OWN_CONFIGS.get(action["Type"], ())
    for keys in _OWN_CONFIGS.values():
        for key in keys:
            if key not in own and own and cast(Mapping[str, Any], action).get(key):
                raise wrong(f"{key} cannot be specified for actions of type '{action['Type']}'")


def _config(action: Action, key: str) -> Any:
    """What the action needs."""
    config = cast(Mapping[str, Any], action).get(key)
    if not config:
        raise wrong(f"An action of type '{action['Type']}' must have a {key}")
    return config


def _check_fixed(fixed: FixedResponse) -> None:
    """An answer of the load balancer's own."""
    if not _STATUS.fullmatch(fixed["StatusCode"]):
        raise wrong(f"The status code '{fixed['StatusCode']}' must match (2|4|5)XX")
    kind = fixed.get("ContentType", "text/plain")
    if kind not in _CONTENT_TYPES:
        raise wrong(f"The content type '{kind}' must be one of '[{', '.join(_CONTENT_TYPES)}]'")
    if not _MESSAGE.fullmatch(fixed.get("MessageBody", "")):
        raise wrong("The message body holds control characters")


def _check_redirect(config: Redirect) -> None:
    """A redirect that leads elsewhere."""
    parts = cast(Mapping[str, str], config)
    for key, usual in _USUAL.items():
        text = parts.get(key, usual)
        if not _PRINTABLE.fullmatch(text):
            raise wrong(f"The redirect's {key} holds control characters or others than ASCII")
        for name in re.findall(r"#\{([^}]*)\}?", text):
            if name not in RESERVED:
                raise wrong(f"The redirect's {key} has an unknown keyword '{name}'")
    if not parts.get("Path", "/").startswith("/"):
        raise wrong("The redirect's Path must begin with '/'")
    port = parts.get("Port", "#{port}")
    if port != "#{port}" and not _is_port(port):
        raise wrong(f"The redirect's Port '{port}' must be 1 to 65535 or #{{port}}")
    if all(parts.get(key, usual) == usual for key, usual in _USUAL.items() if key != "Query"):
        raise wrong(
            "You must modify at least one of these to avoid a redirect loop: protocol, host, port, "
            "path"
        )


_USUAL = {
    "Protocol": "#{protocol}",
    "Host": "#{host}",
    "Port": "#{port}",
    "Path": "/#{path}",
    "Query": "#{query}",
}


def _groups(forward: Forward) -> list[GroupWeight]:
    """None where the action names a single group by its ARN."""
    return forward.get("TargetGroups") or []


def _check_forward(action: Action) -> None:
    """To target groups."""
    forward = action.get("ForwardConfig") or {}
    alone = action.get("TargetGroupArn", "")
    # botocore's model does not say that a group's ARN must be there.
    several = [cast(Plain, group).get("TargetGroupArn", "") for group in _groups(forward)]
    arns = several or [alone]
    if not all(arns):
        raise wrong("An action of type 'forward' must have a target group")
    if several and alone and arns != [alone]:
        raise AwsError(
            "InvalidLoadBalancerAction",
            "You cannot specify both a target group ARN and another target group in ForwardConfig",
        )
    if len(set(arns)) < len(arns):
        raise wrong("A target group stands twice in one action")
    sticky = forward.get("TargetGroupStickinessConfig") or {}
    duration_s = sticky.get("DurationSeconds")
    if sticky.get("Enabled") and duration_s is None:
        raise wrong("Target group stickiness needs DurationSeconds")
    if duration_s is not None and not 1 <= duration_s <= _LONGEST_STICKINESS_S:
        raise wrong(f"DurationSeconds {duration_s}: 1 to {_LONGEST_STICKINESS_S}")
