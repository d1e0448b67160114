"""Faults of a task's network, as the ECS agent's fault endpoints take them: pure functions from a
request to the commands that are run inside the task's network namespace.

A black hole and lost packets are rules of iptables, latency is netem; each is known by a name of
its own there, so that nothing else has to remember it (ECS developer guide, "Fault injection")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from kirikae.local.errors import FaultRefused

Command = Sequence[str]
BLACKHOLE = "network-blackhole-port"
LATENCY = "network-latency"
LOSS = "network-packet-loss"
KINDS = (BLACKHOLE, LATENCY, LOSS)
VERBS = ("start", "stop", "status")
_INTERFACE = "eth0"
_IPTABLES = "iptables -w 4"
_METADATA = "169.254.170.2"
"""The agent's own address is spared: a fault must be stopped from inside."""
_LARGEST_PORT = 65535
_ALL_FLOWS = 100
_CHAIN_OF_LOSS = "fault-loss"
_PLAIN_BAND = "2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2"
"""Whatever its priority, a packet goes through the third band, which delays nothing."""
_NETEM = '"netem"'


@dataclass(frozen=True, slots=True)
class Fault:
    """``begin`` and ``end`` are run in their order; of ``end``, what fails is not there any more.
    ``look`` says whether it runs: by its exit code, or by a word in what it prints."""

    begin: Sequence[Command]
    end: Sequence[Command]
    look: Command
    word: str = ""


def fault_of(
    kind: str,
    verb: str,
    body: object,
) -> Fault:
    """What a request means.  Raises FaultRefused as the agent says no, and for what is not carried
    out here."""
    if not isinstance(body, dict):
        raise FaultRefused("required request body is missing")
    if kind == BLACKHOLE:
        return _blackhole(body)
    if kind == LATENCY:
        return _latency(
            body
            if verb == "start"
            else {
                **_ANY_LATENCY,
                **body,
            }
        )
    return _loss(
        body
        if verb == "start"
        else {
            **_ANY_LOSS,
            **body,
        }
    )


_ANY_LATENCY = {
    "DelayMilliseconds": 1,
    "JitterMilliseconds": 0,
    "Sources": ["0.0.0.0/0"],
}
_ANY_LOSS = {
    "LossPercent": 1,
    "Sources": ["0.0.0.0/0"],
}
"""Only one of a kind runs: to end it or to look at it, nothing has to be said."""


# --- reading


def _number(
    body: Mapping[str, object],
    name: str,
    least: int,
    most: int,
) -> int:
    """A whole number within these bounds."""
    value = body.get(name)
    if value is None:
        raise FaultRefused(f"required parameter {name} is missing")
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise FaultRefused(f"invalid value {value} for parameter {name}")
    return value


def _word(
    body: Mapping[str, object],
    name: str,
    words: Sequence[str],
) -> str:
    """One of these."""
    value = body.get(name)
    if value is None:
        raise FaultRefused(f"required parameter {name} is missing")
    if not isinstance(value, str) or value not in words:
        raise FaultRefused(f"invalid value {value} for parameter {name}")
    return value


def _addresses(body: Mapping[str, object], name: str) -> list[str]:
    """Addresses and networks; tasks here speak IPv4 only."""
    given = body.get(name) or []
    if not isinstance(given, list):
        raise FaultRefused(f"invalid value {given} for parameter {name}")
    return [_address(each, name) for each in given]


def _address(value: object, name: str) -> str:
    try:
        network = ip_network(str(value), strict=False)
    except ValueError as error:
        raise FaultRefused(f"invalid value {value} for parameter {name}") from error
    if not isinstance(network, IPv4Network):
        raise FaultRefused(
            f"invalid value {value} for parameter {name}: tasks here speak IPv4 only"
        )
    return str(network)


def _sources(body: Mapping[str, object]) -> list[str]:
    """Whither packets suffer."""
    sources = _addresses(body, "Sources")
    if not sources:
        raise FaultRefused("required parameter Sources is missing")
    if (
        _number(
            {
                "FlowsPercent": _ALL_FLOWS,
                **body,
            },
            "FlowsPercent",
            1,
            _ALL_FLOWS,
        )
        < _ALL_FLOWS
    ):
        raise FaultRefused("kirikae local does not carry out FlowsPercent below 100")
    return sources


def _spared(body: Mapping[str, object]) -> list[str]:
    """Those that no fault reaches."""
    return [*_addresses(body, "SourcesToFilter"), f"{_METADATA}/32"]


# --- commands


def _blackhole(body: Mapping[str, object]) -> Fault:
    """Everything to this port is dropped, on its way in or out."""
    port = _number(
        body,
        "Port",
        1,
        _LARGEST_PORT,
    )
    protocol = _word(body, "Protocol", ("tcp", "udp"))
    traffic = _word(body, "TrafficType", ("ingress", "egress"))
    side = "-s" if traffic == "ingress" else "-d"
    into = "INPUT" if traffic == "ingress" else "OUTPUT"
    rules = [f"{side} {each} -j RETURN" for each in _spared(body)]
    rules.append(f"-p {protocol} --dport {port} -j DROP")
    return _chained(f"fault-{traffic}-{protocol}-{port}", into, rules)


def _loss(body: Mapping[str, object]) -> Fault:
    """That part of the packets to these addresses is dropped on its way out."""
    share = (
        _number(
            body,
            "LossPercent",
            1,
            100,
        )
        / 100
    )
    drop = f"-m statistic --mode random --probability {share:.2f} -j DROP"
    rules = [f"-d {each} -j RETURN" for each in _spared(body)]
    rules += [f"-d {each} {drop}" for each in _sources(body)]
    return _chained(_CHAIN_OF_LOSS, "OUTPUT", rules)


def _chained(
    chain: str,
    into: str,
    rules: Sequence[str],
) -> Fault:
    """Rules in a chain of their own; packets go there from the last command on."""
    end = [
        f"{_IPTABLES} -D {into} -j {chain}",
        f"{_IPTABLES} -F {chain}",
        f"{_IPTABLES} -X {chain}",
    ]
    begin = [
        f"{_IPTABLES} -N {chain}",
        *(f"{_IPTABLES} -A {chain} {rule}" for rule in rules),
        f"{_IPTABLES} -I {into} -j {chain}",
    ]
    look = f"{_IPTABLES} -C {into} -j {chain}"
    return Fault(_commands(begin), _commands(end), look.split())


def _latency(body: Mapping[str, object]) -> Fault:
    """Packets to these addresses leave later."""
    delay = _number(
        body,
        "DelayMilliseconds",
        0,
        2**31 - 1,
    )
    jitter = _number(
        body,
        "JitterMilliseconds",
        0,
        2**31 - 1,
    )
    if not delay and not jitter:
        raise FaultRefused("DelayMilliseconds and JitterMilliseconds must not both be 0")
    add = f"tc qdisc add dev {_INTERFACE}"
    to = f"tc filter add dev {_INTERFACE} protocol ip parent 1:0"
    begin = [
        f"{add} root handle 1: prio priomap {_PLAIN_BAND}",
        f"{add} parent 1:1 handle 10: netem delay {delay}ms {jitter}ms",
        *(f"{to} prio 1 u32 match ip dst {each} flowid 1:3" for each in _spared(body)),
        *(f"{to} prio 2 u32 match ip dst {each} flowid 1:1" for each in _sources(body)),
    ]
    end = [f"tc qdisc del dev {_INTERFACE} root"]
    look = f"tc -j qdisc show dev {_INTERFACE}"
    return Fault(
        _commands(begin),
        _commands(end),
        look.split(),
        _NETEM,
    )


def _commands(lines: Sequence[str]) -> list[Command]:
    """No word of them has a blank: numbers, addresses and names of ours."""
    return [line.split() for line in lines]


RUNS_ONLY_ONE = {
    kind: tuple(fault_of(kind, "status", {}) for kind in (LATENCY, LOSS))
    for kind in (LATENCY, LOSS)
}
"""Of latency and lost packets one alone may run at a time."""
