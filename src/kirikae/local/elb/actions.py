"""What a listener's rule does with a request, in HAProxy's words: pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kirikae.local.rows import Action, FixedResponse, GroupWeight, Redirect

DEFAULT_STICKINESS_S = 86400


def chosen(actions: Iterable[Action]) -> Action:
    """The action that decides; what stands before it (authentication) is not carried out."""
    return list(actions)[-1]


def forward_groups(actions: Iterable[Action]) -> list[tuple[str, int]]:
    """ARN and weight of the forwarding action's target groups (one group alone: weight 1)."""
    for action in actions:
        if action["Type"] == "forward":
            if groups := action.get("ForwardConfig", {}).get("TargetGroups"):
                return [(group["TargetGroupArn"], group.get("Weight", 1)) for group in groups]
            return [(action["TargetGroupArn"], 1)]
    return []


def but_weights(actions: Iterable[Action]) -> list[Action]:
    """The actions with every weight set to zero, to see whether anything else differs."""
    plain: list[Action] = []
    for action in actions:
        forward = action.get("ForwardConfig")
        if not forward:
            plain.append(action)
            continue
        groups: list[GroupWeight] = [
            {
                **group,
                "Weight": 0,
            }
            for group in forward.get("TargetGroups", [])
        ]
        plain.append(
            {
                **action,
                "ForwardConfig": {
                    **forward,
                    "TargetGroups": groups,
                },
            }
        )
    return plain


def group_stickiness(action: Action) -> int:
    """Seconds for which a client stays with its target group; 0: not at all."""
    sticky = action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {})
    return sticky.get("DurationSeconds", DEFAULT_STICKINESS_S) if sticky.get("Enabled") else 0


def fixed_response(fixed: FixedResponse, here: str) -> str:
    """HAProxy takes no empty string: an answer without a body has no content type either."""
    content = ""
    if body := fixed.get("MessageBody", ""):
        kind = fixed.get("ContentType", "text/plain")
        content = f" content-type {quoted(kind)} string {quoted(body)}"
    return f"    http-request return status {fixed['StatusCode']}{content} if {here}"


def redirect(config: Redirect, here: str, scheme: str) -> list[str]:
    """ALB's redirect: the parts that are not given stay as they are; ``#{host}`` and the like stand
    for the request's own.  ``scheme``: the listener's."""
    place = _place(config, scheme)
    query = config.get("Query", "#{query}")
    code = config["StatusCode"].removeprefix("HTTP_")
    begin = "    http-request redirect location"
    if query == "#{query}":
        with_query = quoted(f"{place}?%[query]")
        return [
            f"{begin} {with_query} code {code} if {here} {{ query -m found }}",
            f"{begin} {quoted(place)} code {code} if {here}",
        ]
    if query:
        place += "?" + _filled(query, scheme)
    return [f"{begin} {quoted(place)} code {code} if {here}"]


def _place(config: Redirect, own: str) -> str:
    """Scheme, host, port and path."""
    protocol = config.get("Protocol", "#{protocol}")
    scheme = own if "#" in protocol else protocol.lower()
    port = config.get("Port", "#{port}")
    is_usual = (scheme, port) in (("http", "80"), ("https", "443"))
    host = _filled(config.get("Host", "#{host}"), own)
    path = _filled(config.get("Path", "/#{path}"), own)
    return f"{scheme}://{host}{'' if is_usual else ':' + _filled(port, own)}{path}"


_OWN = {
    "host": "%[req.hdr(host),field(1,:)]",
    "port": "%[dst_port]",
    "path": "%[path,regsub(^/,)]",
    "query": "%[query]",
}
"""The request's own parts."""
RESERVED = frozenset(("protocol", *_OWN))
"""Keywords of a redirect (ELB API reference, RedirectActionConfig)."""


def _filled(text: str, scheme: str) -> str:
    """With the request's own parts in the place of ``#{host}`` and the like, and the rest safe in
    HAProxy's log format."""
    parts = re.split(r"#\{(\w+)\}", text)
    own = {**_OWN, "protocol": scheme}
    return "".join(
        own.get(part, part) if number % 2 else part.replace("%", "%%").replace(" ", "%%20")
        for number, part in enumerate(parts)
    )


def quoted(text: str) -> str:
    """In HAProxy's double quotes (configuration manual, "Quoting and escaping"): whatever the text
    is, it ends neither the word nor the line."""
    escaped = re.sub(r'([\\"$])', r"\\\1", text)
    for character, name in (("\n", "n"), ("\r", "r"), ("\t", "t")):
        escaped = escaped.replace(character, f"\\{name}")
    return f'"{escaped}"'
