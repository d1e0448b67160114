"""Is a request really from Slack, and new?  (Slack, "Verifying requests from Slack".)"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Mapping

from kirikae.console.errors import NotFromSlack

SKEW_S = 300.0
"""As Slack says: what is older may be replayed by somebody."""
_MOST_DIGITS = 12


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Version 0: of the version, the time, and the body as it came."""
    base = b":".join((b"v0", timestamp.encode(), body))
    return (
        "v0="
        + hmac.new(
            secret.encode(),
            base,
            hashlib.sha256,
        ).hexdigest()
    )


def assert_signed(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The signature, once it has been proven.  ``headers``: names in small letters.

    Raises NotFromSlack; what is wrong is for our own log, for whoever asked is told nothing.
    """
    timestamp = headers.get("x-slack-request-timestamp", "")
    given = headers.get("x-slack-signature", "")
    if not secret:
        raise NotFromSlack("no signing secret is set, so no request can be proven")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MOST_DIGITS):
        raise NotFromSlack("a request without the time at which it was signed")
    if abs(now - int(timestamp)) > SKEW_S:
        raise NotFromSlack(
            f"a request signed {now - int(timestamp):.0f} s ago; if this machine's clock is right, "
            "somebody sends an old one again"
        )
    if not hmac.compare_digest(
        given.encode(),
        signature(secret, timestamp, body).encode(),
    ):
        raise NotFromSlack("a request whose signature is not that of `chat.signing_secret`")
    return given


class Seen:
    """What came in the last minutes: signatures, and answers to questions."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_first(self, name: str, now: float) -> bool:
        """It is kept until a request signed with it, or a question, is too old for certain."""
        with self._lock:
            for each, until in list(self._until.items()):
                if until <= now:
                    del self._until[each]
            if name in self._until:
                return False
            self._until[name] = now + 2 * SKEW_S
            return True
