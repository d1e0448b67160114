"""Who may ask kirikae local: programs of this machine and its own tasks, never a web page.

A browser sends ``Origin`` with whatever a page asks of another site, and ``Sec-Fetch-Site`` beside
it (Fetch standard); AWS's SDKs send neither.  A page whose own name was bound to 127.0.0.1 (DNS
rebinding) gives itself away by ``Host``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from ipaddress import ip_address
from xml.sax.saxutils import escape

OWN_HEADER = "X-Kirikae"
"""Changing calls below ``/_kirikae`` bear it: no page can set it without being asked first."""
FROM_HEADER = "X-Kirikae-From"
"""Set by HAProxy: the address that a request came from."""
_OF_THIS_PERSON = ("none", "same-origin")
_PORT = re.compile(r":[0-9]+$", re.ASCII)
_CODE = "AccessDeniedException"


def stranger(headers: Mapping[str, str]) -> str | None:
    """Why this request is not answered; None for one that is."""
    if "Origin" in headers:
        return "kirikae local answers programs, not web pages: the request bears an Origin header"
    if headers.get("Sec-Fetch-Site", "none") not in _OF_THIS_PERSON:
        return "kirikae local answers programs, not web pages: another site asks"
    host = headers.get("Host", "")
    if _is_this_machine(host):
        return None
    return f"kirikae local does not answer for the host {host!r}; ask 127.0.0.1"


def _is_this_machine(host: str) -> bool:
    """``localhost`` and names below it (RFC 6761), which are never looked up elsewhere, and plain
    addresses, which nobody can bind anew."""
    name = host.rpartition(":")[0] if _PORT.search(host) else host
    name = name.lower()
    return name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    """IPv6 stands in brackets."""
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def turned_away(why: str, headers: Mapping[str, str]) -> tuple[bytes, str]:
    """Body and content type of the answer, so that an SDK shows the reason."""
    if "X-Amz-Target" in headers:
        return json.dumps({"__type": _CODE, "message": why}).encode(), "application/x-amz-json-1.1"
    error = f"<Error><Code>{_CODE}</Code><Message>{escape(why)}</Message></Error>"
    return f"<ErrorResponse>{error}</ErrorResponse>".encode(), "text/xml"
