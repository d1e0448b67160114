"""Who listens on a host, and to whom it is connected, as /proc/net tells it."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kirikae.model.bundle import Connections, Listener, Opened, Peer
from kirikae.survey.sections import Cells, Sections

_LISTENS = {"tcp": "0A", "udp": "07"}
"""The state of a socket that waits for whoever comes (include/net/tcp_states.h)."""
_ESTABLISHED = "01"
_FAMILIES = {8: socket.AF_INET, 32: socket.AF_INET6}
"""By the number of digits."""
_EPHEMERAL = 32768
"""From here on the kernel gives ports away by itself: the other end is the client."""
_PRIVILEGED = 1024


class End(NamedTuple):
    """One end of a connection."""

    address: str
    port: int


class Socket(NamedTuple):
    """One line of /proc/net, read."""

    protocol: str
    own: End
    other: End
    state: str
    inode: str

    @property
    def listens(self) -> bool:
        """Does it wait for whoever comes?"""
        return self.state == _LISTENS[self.protocol]


def read(sections: Sections) -> list[Socket]:
    """All sockets; a line that is none is told in ``lost``."""
    found = []
    for section in sections.named("sockets"):
        protocol = section.arguments.removesuffix("6")
        for line in filter(None, section.lines):
            each = _socket(protocol, line.split("\t"))
            if each is None:
                sections.lose("sockets", line)
            else:
                found.append(each)
    return found


def _socket(protocol: str, cells: Cells) -> Socket | None:
    """own end, other end, state, inode"""
    if protocol not in _LISTENS or len(cells) != 4:
        return None
    own = _end(cells[0])
    other = _end(cells[1])
    if own is None or other is None:
        return None
    return Socket(
        protocol,
        own,
        other,
        cells[2],
        cells[3],
    )


def _end(cell: str) -> End | None:
    """The bytes of each 32-bit word of an address are in the machine's order (proc(5))."""
    address, _, port = cell.partition(":")
    family = _FAMILIES.get(len(address))
    if family is None:
        return None
    try:
        words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
        packed = struct.pack(f"<{len(words)}I", *words)
        shown = socket.inet_ntop(family, packed)
        return End(shown, int(port, 16))
    except (ValueError, struct.error):
        return None


def listeners(sockets: Iterable[Socket], opened: Iterable[Opened]) -> Iterator[Listener]:
    """Who waits for connections, and which process it is, where that could be seen."""
    pids = {each.path: each.pid for each in opened}
    for each in sockets:
        if each.listens:
            yield Listener(
                protocol=each.protocol,
                address=each.own.address,
                port=each.own.port,
                pid=pids.get(f"socket:[{each.inode}]"),
            )


def peers(sockets: Sequence[Socket]) -> list[Peer]:
    """The other ends of connections that this host opened.

    A connection from elsewhere has our service's port on this side; /proc/net does not say who
    opened one, so the ports tell.
    """
    served = {(each.protocol, each.own.port) for each in sockets if each.listens}
    found = set()
    for each in sockets:
        if each.state != _ESTABLISHED or not _is_server(each.other):
            continue
        peer = Peer(each.protocol, *each.other)
        ours = (peer.protocol, peer.port) in served
        if not ours or peer.port < _PRIVILEGED:
            found.add(peer)
    return sorted(found)


def connections(sockets: Sequence[Socket]) -> list[Connections]:
    """How many were open to each server elsewhere, and from elsewhere to each port of ours."""
    served = {(each.protocol, each.own.port) for each in sockets if each.listens}
    outward: Counter[End] = Counter()
    inward: Counter[int] = Counter()
    established = (each for each in sockets if each.state == _ESTABLISHED)
    for each in established:
        if each.protocol != "tcp":
            continue
        if (each.protocol, each.own.port) in served:
            inward[each.own.port] += not ipaddress.ip_address(each.other.address).is_loopback
        elif _is_server(each.other):
            outward[each.other] += 1
    found = [Connections(True, *end, many) for end, many in sorted(outward.items())]
    found += [Connections(False, "", port, many) for port, many in sorted((+inward).items())]
    return found


def _is_server(end: End) -> bool:
    """Elsewhere, and on a port that somebody chose."""
    return end.port < _EPHEMERAL and not ipaddress.ip_address(end.address).is_loopback
