"""Who listens here, and whom this host calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kirikae.model.bundle import Listener
from kirikae.model.finding import Trace
from kirikae.survey.catalogue import Findings, observed
from kirikae.survey.view import View

_PORTS = {
    5432: "PostgreSQL",
    3306: "MySQL",
    6379: "Redis",
    11211: "memcached",
    27017: "MongoDB",
    9200: "Elasticsearch",
    5672: "RabbitMQ",
    25: "mail",
    587: "mail",
}
_LOOPBACK = ("127.0.0.1", "::1")
_RESOLVER = "127.0.0.11"
"""Where a container engine answers for names: none of the host's own services."""
# ip(7): below this, a process needs CAP_NET_BIND_SERVICE to listen.
_PRIVILEGED = 1024


@dataclass(frozen=True, slots=True)
class _Heard:
    """A service of this host listens."""

    owner: str
    listener: Listener
    trace: Trace

    @property
    def where(self) -> str:
        """A service and its port."""
        return f"{self.owner}:{self.listener.port}"

    @property
    def local(self) -> bool:
        """Only neighbours on the same host reach it."""
        return self.listener.address in _LOOPBACK

    def says(self) -> str:
        """What the finding says of it."""
        return f"{self.owner} listens on port {self.listener.port}"


def _listening(view: View) -> Iterator[_Heard]:
    """Every socket of the host's services that waits for connections; system programs' are left
    out."""
    services = {service.name for service in view.services}
    for listener in view.bundle.listeners:
        owner = _owner(view, listener)
        if owner not in services or listener.address.startswith(_RESOLVER):
            continue
        at = f"/proc/net/{listener.protocol}"
        said = f"{owner} listens on {listener.address}:{listener.port}"
        yield _Heard(owner, listener, view.trace(at, said))


def _owner(view: View, listener: Listener) -> str:
    """The unit of the process that listens; where that could not be seen, the service whose command
    names the port; empty: nobody's."""
    process = view.process_at.get(listener.pid) if listener.pid else None
    if process is not None:
        return process.unit.removesuffix(".service")
    port = re.compile(rf":{listener.port}\b")
    named = (service.name for service in view.services if port.search(service.unit.command))
    return next(named, "")


def called_by_neighbours(view: View) -> Findings:
    """In ECS only containers of the same task share localhost."""
    for heard in _listening(view):
        if heard.local:
            listener = heard.listener
            address = f"{listener.address}:{listener.port}"
            yield observed(
                "CF16",
                where=heard.where,
                says=f"{heard.owner} listens on {address}, for its neighbours alone",
                evidence=[heard.trace],
            )


def serves_udp(view: View) -> Findings:
    """An Application Load Balancer takes none."""
    for heard in _listening(view):
        if not heard.local and heard.listener.protocol == "udp":
            yield observed(
                "NW03",
                where=heard.where,
                says=f"{heard.owner} serves UDP port {heard.listener.port}",
                evidence=[heard.trace],
            )


def _serving_tcp(view: View) -> Iterator[_Heard]:
    """What others than this host can reach."""
    for heard in _listening(view):
        if not heard.local and heard.listener.protocol == "tcp":
            yield heard


def listens(view: View) -> Findings:
    """What is called from outside needs a port mapping and a health check."""
    for heard in _serving_tcp(view):
        yield observed(
            "NW01",
            where=heard.where,
            says=heard.says(),
            evidence=[heard.trace],
        )


def listens_on_a_low_port(view: View) -> Findings:
    """A container's user is not root, and may not."""
    for heard in _serving_tcp(view):
        if heard.listener.port < _PRIVILEGED:
            yield observed(
                "NW11",
                where=heard.where,
                says=heard.says(),
                evidence=[heard.trace],
            )


def calls_others(view: View) -> Findings:
    """The tasks' security groups must be let in there."""
    for peer in view.bundle.peers:
        address = f"{peer.address}:{peer.port}"
        known = f" ({_PORTS[peer.port]})" if peer.port in _PORTS else ""
        says = f"connected to {address}{known}"
        yield observed(
            "NW02",
            where=address,
            says=says,
            evidence=[view.trace(f"/proc/net/{peer.protocol}", says)],
        )


RULES = (
    called_by_neighbours,
    serves_udp,
    listens,
    listens_on_a_low_port,
    calls_others,
)
