"""Conditions of listeners' rules as HAProxy's tests: pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network

from kirikae.local.errors import LocalError
from kirikae.local.rows import Compared, Condition


def acl(condition: Condition) -> str:
    """One rule condition as an HAProxy test (sample fetch, match method, values)."""
    plain = condition.get("Values", [])
    match condition["Field"]:
        case "host-header":
            patterns = _patterns(condition.get("HostHeaderConfig"), plain)
            return f"req.hdr(host),field(1,:) -m reg -i {patterns}"
        case "path-pattern":
            return f"path -m reg {_patterns(condition.get('PathPatternConfig'), plain)}"
        case "http-header":
            header = condition["HttpHeaderConfig"]
            # In quotes: ``#`` may stand in a header's name, and would begin a comment.
            fetch = f"'req.fhdr({header['HttpHeaderName']})'"
            return f"{fetch} -m reg -i {_patterns(header, plain)}"
        case "query-string":
            pairs = condition.get("QueryStringConfig", {}).get("Values", [])
            tests = [query_regex(pair.get("Key", ""), pair["Value"]) for pair in pairs]
            return f"query -m reg -i {' '.join(tests)}"
        case "source-ip":
            sources = _values(condition.get("SourceIpConfig"), plain)
            # Numbers and colons alone are left of a text that was read as a network.
            return "src " + " ".join(str(ip_network(value, strict=False)) for value in sources)
        case "http-request-method":
            return f"method {' '.join(_values(condition.get('HttpRequestMethodConfig'), plain))}"
        case other:
            raise LocalError(f"a rule condition on {other} is not carried out by kirikae local yet")


def _values(config: Compared | None, plain: Sequence[str]) -> Sequence[str]:
    """Those of the condition's own configuration, else those of its older form."""
    return (config or {}).get("Values") or plain


def _patterns(config: Compared | None, plain: Sequence[str]) -> str:
    """Globs and regular expressions of one condition, as anchored and free expressions."""
    own = [regular(value) for value in (config or {}).get("RegexValues", [])]
    return " ".join([*map(glob_regex, _values(config, plain)), *own])


def glob_regex(pattern: str) -> str:
    """ALB's ``*`` and ``?`` as an anchored regular expression in HAProxy quotes."""
    body = _globbed(pattern, ".*", ".")
    return "'^" + body.replace("'", r"\x27") + "$'"


def query_regex(key: str, value: str) -> str:
    """``key=value`` anywhere in a query string, with ALB's ``*`` and ``?``; without a key, this
    value of any key."""
    name = f"{_globbed(key, '[^&]*', '[^&]')}=" if key else "([^&=]*=)?"
    return regular(f"(^|&){name}{_globbed(value, '[^&]*', '[^&]')}(&|$)")


def _globbed(pattern: str, many: str, one: str) -> str:
    """With ``*`` and ``?`` as these expressions, and every other character as itself."""
    wild = {
        "*": many,
        "?": one,
    }
    return "".join(wild.get(character) or re.escape(character) for character in pattern)


def regular(expression: str) -> str:
    """Raises LocalError for what is no regular expression: HAProxy would not start with it."""
    try:
        re.compile(expression)
    except re.error as error:
        raise LocalError(f"{expression!r} is no regular expression: {error}") from error
    return "'" + expression.replace("'", r"\x27") + "'"
