"""What a report shows of answers and requests: not the values of names that sound like secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "***"
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_SECRET = frozenset(
    [
        "apikey",
        "auth",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "csrf",
        "jwt",
        "key",
        "nonce",
        "otp",
        "pass",
        "passphrase",
        "passwd",
        "password",
        "pin",
        "pwd",
        "secret",
        "session",
        "sessionid",
        "sid",
        "sig",
        "signature",
        "token",
        "xsrf",
    ]
)
_ASSIGNED = re.compile(r"([\w.-]+)=([^&\s;\"']+)")


def secret(name: str) -> bool:
    """One of its words is that of a secret; the flags of a cookie are none."""
    words = (word.lower() for word in _WORD.findall(name))
    return ".flags" not in name and any(word in _SECRET for word in words)


def hidden(name: str, value: object) -> object:
    """The value as it may be shown, whatever lies below it."""
    if isinstance(value, Mapping):
        return {each: hidden(f"{name}.{each}", below) for each, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [hidden(name, below) for below in value]
    if secret(name) and value is not None:
        return HIDDEN
    return without_secrets(value) if isinstance(value, str) else value


def without_secrets(text: str) -> str:
    """``name=value`` within a text, such as the query of a URL."""

    def shown(found: re.Match[str]) -> str:
        return f"{found[1]}={HIDDEN}" if secret(found[1]) else found[0]

    return _ASSIGNED.sub(shown, text)
