"""HAProxy's configuration: what the store says, as a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kirikae.local.callers import FROM_HEADER
from kirikae.local.elb import accesslog
from kirikae.local.elb.actions import (
    chosen,
    fixed_response,
    forward_groups,
    group_stickiness,
    quoted,
    redirect,
)
from kirikae.local.elb.attributes import OF_GROUPS
from kirikae.local.elb.conditions import acl
from kirikae.local.elb.figures import LINE
from kirikae.local.elb.kinds import (
    DEFAULT_POLICY,
    is_encrypted,
    is_record,
    listens,
    scheme_of,
)
from kirikae.local.errors import LocalError
from kirikae.local.rows import Action, Group, Listener, Rule, Target
from kirikae.local.state import State

SLOTS = 64
"""Targets per target group: each has a server line of its own, so that replacing one needs no
reload."""
# Not HAProxy's own weights: they end at 256 and fail over to other servers, while a share that ALB
# has drawn stays with its target group. A request's draw is compared with thresholds in a map, and
# all thresholds change at once.
DRAWS = 100_000
_DEFAULT_IDLE_S = 60
_LONGEST_HEAD_S = 60
"""For how long a client may take over a request's head."""
_MINIMUM = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
_OURS = "ecs elasticloadbalancing monitoring sqs firehose logs athena application-autoscaling"
_ALGORITHMS = {
    "least_outstanding_requests": "leastconn",
    "weighted_random": "random",
}
_LOGGED_HEADERS = ("host", "user-agent", "x-amzn-trace-id")

# Without ``idle-close-on-response`` a reload breaks connections that clients keep open (measured:
# 53 read errors in five reloads under load; none in 27 with it).
_HEAD = """\
global
    stats socket {run}/haproxy.sock mode 600 level admin expose-fd listeners
    log stdout len 8192 format raw daemon info
    maxconn 8192
    hard-stop-after 1h
defaults
    mode http
    option idle-close-on-response
    option redispatch
    retries 3
    timeout http-request {head}s
    timeout connect 2s
    timeout client {idle}s
    timeout server {idle}s
    timeout http-keep-alive 3600s
    timeout queue 10s
frontend aws
    bind {binds}
    tcp-request connection reject unless {{ src {sources} }}
    timeout client 150s
    http-request set-header {came_from} %[src]
    http-request set-var(txn.service) req.fhdr(authorization),word(4,/)
    use_backend control if {{ var(txn.service) -m str {ours} }}
    use_backend control if {{ path_beg /_kirikae /moto-api/ }}
    use_backend control if {{ hdr_beg(x-amz-target) AmazonEC2ContainerService }}
    use_backend control if {{ hdr_beg(x-amz-target) GraniteService AmazonSQS }}
    use_backend control if {{ hdr_beg(x-amz-target) Firehose_ Logs_ AmazonAthena AnyScaleFrontend }}
    default_backend stores
{metadata}backend control
    retries 60
    timeout server 150s
    server control 127.0.0.1:{control}
backend stores
    retries 30
    timeout server 150s
    server stores 127.0.0.1:{stores}
"""

_GATE_ALONE = "# the gate alone"
_TRACE_ID = "Root=1-%{+X}Ts-%[uuid,regsub(-,,g),bytes(0,24)]"
_METADATA = """\
frontend metadata
    bind {bind}
    http-request set-header {came_from} %[src]
    http-request set-path /_kirikae/metadata%[path]
    default_backend control
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where HAProxy listens and whom it asks.

    ``link_local``: its bind for tasks' metadata, empty where there is none.
    """

    run: Path
    weights: Path
    binds: tuple[str, ...]
    control_port: int
    stores_port: int
    link_local: str = ""
    sources: tuple[str, ...] = ("127.0.0.0/8",)
    """Networks whose requests to the endpoint are answered: this machine's own programs, and the
    instance's own tasks.  Containers of other networks reach the bridge's gateway too."""


@dataclass(frozen=True, slots=True)
class Server:
    """What HAProxy does with one slot of a target group: ``ready`` or ``maint``."""

    address: str
    state: str


UNUSED = Server("0.0.0.0:80", "maint")


def server_state(target: Target, fail_open: bool) -> str:
    """What HAProxy does with this target: ``ready`` or ``maint``.

    A draining target is in ``maint`` too: that ends no request in flight, while HAProxy's own
    ``drain`` goes on receiving requests that carry a server's cookie."""
    serves = target["state"] == "healthy" or (target["state"] == "unhealthy" and fail_open)
    return "ready" if serves else "maint"


def servers(group: Group, targets: Iterable[Target]) -> dict[int, Server]:
    """Slot -> what serves there, for every target of this group; nothing where it is a record."""
    if is_record(group):
        return {}
    own = [target for target in targets if target["group"] == group["id"]]
    needed = int(group["attributes"].get(_MINIMUM, "1"))
    fail_open = sum(target["state"] == "healthy" for target in own) < needed
    return {
        target["slot"]: Server(
            f"{target['address']}:{target['port']}", server_state(target, fail_open)
        )
        for target in own
    }


def weights(rules: Iterable[Rule]) -> dict[str, int]:
    """``rule/position`` -> upper end of the draw for that group, out of 100,000."""
    ends: dict[str, int] = {}
    for rule in rules:
        groups = forward_groups(rule["actions"])
        total = sum(weight for _, weight in groups)
        reached = 0
        for position, (_, weight) in enumerate(groups):
            reached += weight
            ends[f"{rule['id']}/{position}"] = round(DRAWS * reached / total) if total else 0
    return ends


@dataclass(frozen=True, slots=True)
class Rendered:
    """``mark``: stands in the first line, and changes with what only a reload can change."""

    text: str
    mark: str


class Configuration:
    """Renders the whole file from the store, the same for the same rows.

    What can be changed while HAProxy runs (addresses, states, weights) stands in it, but not in its
    mark: only the rest needs a reload.
    """

    def __init__(self, state: State, places: Places) -> None:
        """Nothing is read from the store before ``rendered`` is called."""
        self._state = state
        self._places = places

    def gate(self) -> Rendered:
        """The gate of the AWS endpoint alone, without any listener."""
        head = self._head()
        return Rendered(f"{_GATE_ALONE}\n{head}", _GATE_ALONE)

    def rendered(self) -> Rendered:
        """The whole file, as the store is at this moment.

        Raises LocalError for rows that cannot be written so.
        """
        try:
            return self._rendered()
        except (LookupError, ValueError, TypeError) as error:
            raise LocalError(
                f"a listener, rule or target group cannot be told to HAProxy: {error!r}"
            ) from error

    def _rendered(self) -> Rendered:
        """The whole file, and the mark of what of it needs a reload."""
        structure = self._structure()
        groups = sorted(self._state.groups.all(), key=lambda group: group["number"])
        fixed = structure + json.dumps([[group["id"], group["attributes"]] for group in groups])
        mark = f"# {hashlib.sha256(fixed.encode()).hexdigest()[:16]}"
        backends = "".join(self._backend(group) for group in groups)
        return Rendered(f"{mark}\n{structure}{backends}", mark)

    def _structure(self) -> str:
        """The gate of the AWS endpoint, and a frontend for each listener."""
        frontends = [self._frontend(each) for each in self._state.listeners.all() if listens(each)]
        return "".join([self._head(), *frontends])

    def _head(self) -> str:
        """What is the same whatever the listeners are, and the gate of the AWS endpoint."""
        idle_s = [_idle_s(balancer["attributes"]) for balancer in self._state.balancers.all()]
        link_local = self._places.link_local
        return _HEAD.format(
            run=self._places.run,
            idle=max(idle_s, default=_DEFAULT_IDLE_S),
            binds=",".join(self._places.binds),
            ours=_OURS,
            control=self._places.control_port,
            stores=self._places.stores_port,
            metadata=_METADATA.format(bind=link_local, came_from=FROM_HEADER) if link_local else "",
            sources=" ".join(self._places.sources),
            came_from=FROM_HEADER,
            head=_LONGEST_HEAD_S,
        )

    # --- listeners

    def _frontend(self, listener: Listener) -> str:
        """A listener: all its rules are tried in the order of their priority, the default rule
        last; only then the chosen one acts."""
        balancer = self._state.balancers.get(listener["balancer"])
        is_logged = balancer is not None and accesslog.wanted(balancer)
        idle_s = _idle_s(balancer["attributes"]) if balancer is not None else _DEFAULT_IDLE_S
        rules = [rule for rule in self._state.rules.all() if rule["listener"] == listener["arn"]]
        rules.sort(key=lambda rule: (rule["default"], rule["priority"]))
        lines = _frontend_head(listener, is_logged, idle_s)
        for rule in rules:
            lines += _choose(rule)
        for rule in rules:
            lines += self._act(rule, scheme_of(listener))
        lines.append("    use_backend %[var(txn.go)] if { var(txn.go) -m found }")
        return "\n".join(lines) + "\n"

    def _act(self, rule: Rule, scheme: str) -> list[str]:
        """What the chosen rule does, if it is this one."""
        here = f"{{ var(txn.rule) -m str {rule['id']} }}"
        action = chosen(rule["actions"])
        match action["Type"]:
            case "fixed-response":
                return [fixed_response(action["FixedResponseConfig"], here)]
            case "redirect":
                return redirect(action["RedirectConfig"], here, scheme)
            case _:
                return self._forward(rule, action, here)

    def _forward(
        self,
        rule: Rule,
        action: Action,
        here: str,
    ) -> list[str]:
        """Draw a target group, unless the client's cookie names one."""
        groups = forward_groups(rule["actions"])
        backends = [f"tg-{arn.rpartition('/')[2]}" for arn, _ in groups]
        free = "!{ var(txn.go) -m found }"
        sticky_s = group_stickiness(action)
        lines = []
        if sticky_s:
            lines += [
                f"    http-request set-var(txn.go) str({backend}) if {here} {{ "
                f"req.cook(AWSALBTG) -m str {backend} }}"
                for backend in backends
            ]
        for position, backend in enumerate(backends[:-1]):
            drawn = f"str({rule['id']}/{position}),map_str_int({self._places.weights},0)"
            lines += [
                f"    http-request set-var(txn.upto) {drawn} if {here}",
                f"    http-request set-var(txn.go) str({backend}) if {free} {here} {{ "
                f"var(txn.draw),sub(txn.upto) lt 0 }}",
            ]
        lines.append(f"    http-request set-var(txn.go) str({backends[-1]}) if {free} {here}")
        if sticky_s:
            cookie = f'"AWSALBTG=%[var(txn.go)]; Max-Age={sticky_s}; Path=/"'
            lines.append(f"    http-response add-header Set-Cookie {cookie} if {here}")
        return lines

    # --- target groups

    def _backend(self, group: Group) -> str:
        """A target group with all its slots.

        Those without a target are there too, in maintenance, so that a target can come without a
        reload.
        """
        attributes = OF_GROUPS if is_record(group) else group["attributes"]
        algorithm = _ALGORITHMS.get(attributes["load_balancing.algorithm.type"], "roundrobin")
        sticky = _stickiness(attributes)
        lines = [
            f"backend tg-{group['id']}",
            f"    id {group['number']}",
            f"    balance {algorithm}",
            *_cookies(group, sticky),
        ]
        slow_s = int(attributes["slow_start.duration_seconds"])
        slow = f" slowstart {slow_s}s" if slow_s else ""
        known = servers(group, self._state.targets.all())
        for slot in range(1, SLOTS + 1):
            server = known.get(slot, UNUSED)
            cookie = f" cookie {group['id']}-{slot}" if sticky == "lb_cookie" else ""
            suffix = " disabled" if server.state == "maint" else ""
            lines.append(f"    server s{slot} {server.address} id {slot}{cookie}{slow}{suffix}")
        return "\n".join(lines) + "\n"


def _idle_s(attributes: Mapping[str, str]) -> int:
    """Seconds after which a connection without traffic is closed."""
    return int(attributes.get("idle_timeout.timeout_seconds", _DEFAULT_IDLE_S))


def _frontend_head(listener: Listener, is_logged: bool, idle_s: int) -> list[str]:
    """What stands before the rules: the port, the log line, ALB's headers, and the draw by which
    weights choose."""
    fields = f" {accesslog.FIELDS}" if is_logged else ""
    lines = [
        f"frontend {listener['id']}",
        f"    bind 127.0.0.1:{listener['port']}{_encrypted(listener)}",
        "    log global",
        f'    log-format "R {LINE}{fields}"',
        f"    timeout client {idle_s}s",
        f"    unique-id-format {_TRACE_ID}",
        *_added_headers(listener["port"], scheme_of(listener)),
        f"    http-request set-var(txn.draw) rand({DRAWS})",
    ]
    if is_logged:
        lines += [f"    http-request capture req.hdr({name}) len 256" for name in _LOGGED_HEADERS]
    return lines


def _encrypted(listener: Listener) -> str:
    """What stands behind the port of a listener of HTTPS: certificates (the first is for clients
    that name no host), HTTP/2 as ALB speaks it, and the oldest version that its policy names."""
    if not is_encrypted(listener):
        return ""
    files = "".join(f" crt {quoted(path)}" for path in listener["pems"])
    policy = listener.get("policy", DEFAULT_POLICY)
    oldest = [version for sign, version in _OLDEST if sign in policy]
    version = f" ssl-min-ver {oldest[0]}" if oldest else ""
    return f" ssl{files} alpn h2,http/1.1{version}"


_OLDEST = (("TLS13-1-3-", "TLSv1.3"), ("-1-2-", "TLSv1.2"))
"""Signs in the names of security policies (ELB user guide, "Security policies")."""


def _added_headers(port: int, scheme: str) -> list[str]:
    """What ALB tells targets (ELB user guide, "HTTP headers" and "Request tracing"): a client's own
    X-Forwarded-For is kept, with the client's address after it; a trace keeps its root."""
    given = "{ req.hdr(x-forwarded-for) -m found }"
    traced = "{ req.hdr(x-amzn-trace-id) -m found }"
    trace = "req.fhdr(x-amzn-trace-id),regsub(Self=[^;]*;?,)"
    return [
        f'    http-request set-header X-Forwarded-For "%[req.fhdr(x-forwarded-for)], %[src]" '
        f"if {given}",
        f"    http-request set-header X-Forwarded-For %[src] unless {given}",
        f"    http-request set-header X-Forwarded-Proto {scheme}",
        f"    http-request set-header X-Forwarded-Port {port}",
        f"    http-request set-var(txn.trace) {trace} if {traced}",
        "    http-request set-var(txn.self) unique-id,regsub(^Root,Self)",
        f'    http-request set-header X-Amzn-Trace-Id "%[var(txn.self)];%[var(txn.trace)]" '
        f"if {traced}",
        f"    http-request set-header X-Amzn-Trace-Id %[unique-id] unless {traced}",
    ]


def _choose(rule: Rule) -> list[str]:
    """The first rule whose tests are all passed is the one."""
    tests = [f"r{rule['id']}_{number}" for number in range(len(rule["conditions"]))]
    lines = [
        f"    acl {test} {acl(condition)}"
        for test, condition in zip(tests, rule["conditions"], strict=True)
    ]
    lines.append(
        f"    http-request set-var(txn.rule) str({rule['id']}) if !{{ "
        f"var(txn.rule) -m found }} {' '.join(tests)}"
    )
    return lines


def _stickiness(attributes: Mapping[str, str]) -> str:
    """``lb_cookie``, ``app_cookie``, or empty."""
    if attributes.get("stickiness.enabled") != "true":
        return ""
    return "app_cookie" if attributes["stickiness.type"] == "app_cookie" else "lb_cookie"


def _cookies(group: Group, sticky: str) -> list[str]:
    """The lines that keep a client with its target; none without stickiness."""
    attributes = group["attributes"]
    if sticky == "app_cookie":
        return _application_cookie(group["id"], attributes)
    if sticky == "lb_cookie":
        longest = attributes["stickiness.lb_cookie.duration_seconds"]
        return [f"    cookie AWSALB insert indirect nocache maxlife {longest}s"]
    return []


def _application_cookie(group_id: str, attributes: Mapping[str, str]) -> list[str]:
    """Stickiness that begins when the application sets its cookie: AWSALBAPP-0 then names the
    target."""
    name = attributes["stickiness.app_cookie.cookie_name"]
    seconds = attributes["stickiness.app_cookie.duration_seconds"]
    lines = [
        f"    use-server s{slot} if {{ req.cook(AWSALBAPP-0) -m str {group_id}-{slot} }}"
        for slot in range(1, SLOTS + 1)
    ]
    cookie = f'"AWSALBAPP-0={group_id}-%[srv_id]; Max-Age={seconds}; Path=/"'
    return [
        *lines,
        f"    http-response add-header Set-Cookie {cookie} if {{ res.cook({name}) -m found }}",
    ]
