"""How a host is named in the project file: ``ssh://[user@]name[:port]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kirikae.model.errors import UsageProblem
from kirikae.model.texts import shortened


@dataclass(frozen=True, slots=True)
class Address:
    """``login`` is what ssh takes: a name, or user@name."""

    name: str
    login: str
    port: int | None


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
"""A folder is named after the host, too; what begins with a hyphen, ssh would take for an
option."""
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._$\\-]*")
_URL = re.compile(r"ssh://(?:(?P<user>[^@/]*)@)?(?P<name>[^@/]*?)(?::(?P<port>[0-9]{1,5}))?/?")
_PORT_MAX = 65535


def address_from(url: str) -> Address:
    """Raises UsageProblem."""
    found = _URL.fullmatch(url)
    if found is None or not _NAME.fullmatch(found["name"]):
        raise _no_host(url)
    user = found["user"]
    if user is not None and not _USER.fullmatch(user):
        raise _no_host(url)
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port <= _PORT_MAX:
        raise _no_host(url)
    name = found["name"]
    return Address(name, f"{user}@{name}" if user else name, port)


def _no_host(url: str) -> UsageProblem:
    hint = ""
    if "[" in url or url.count(":") > 2:
        hint = "; give an IPv6 address a name in your ssh configuration (Host, HostName)"
    return UsageProblem(
        f"{shortened(url)} is no host; write ssh://name, ssh://user@name or "
        f"ssh://user@name:port{hint}"
    )
