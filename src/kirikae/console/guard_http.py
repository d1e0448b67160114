"""Ask a tracker of tickets: JSON over HTTP, no redirect followed, and patience where it is asked
for."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from kirikae.console.errors import NotSent
from kirikae.console.notify import Straight
from kirikae.model.texts import shortened

_TIMEOUT_S = 20.0
_WHOLE_S = 60.0
"""For an answer that comes a byte at a time."""
_MOST_BYTES = 32 * 1024**2
"""A hundred issues with the longest texts that GitHub and Jira take (65,536 and 32,767 letters), as
JSON may write them."""
_TRIES = 6
_PAUSE_S = 5.0
_LONGEST_S = 120.0
"""Who asks for more is asked again by the next run."""
_DIGITS = 18
_sleep = time.sleep
_HINTS = {
    400: ": it does not take what was sent; do the project and the kind of ticket exist?",
    401: ": the token is none; make one that may write issues",
    403: ": the token may not",
    404: ": there is no such repository or project, or the token may not see it",
    410: ": it has no issues; switch them on in its settings",
    429: ": too much was asked at once; wait, then run it again",
}


@dataclass(frozen=True, slots=True)
class Api:
    """``headers``: with whatever signs in.  ``speaks_json``: does it answer so?  Of others only
    whether they took it counts."""

    url: str
    headers: Mapping[str, str]
    speaks_json: bool = True

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON, None for an empty one.  Raises NotSent.

        Too much at once was not carried out, so it is asked again; a call without an answer may
        have been, so it is not: the next run looks first.
        """
        for left in reversed(range(_TRIES)):
            try:
                return self._asked(
                    method,
                    path,
                    body,
                    more or {},
                )
            except urllib.error.HTTPError as error:
                with error:
                    wait = _patience(error.code, error.headers)
                if wait is None or not left:
                    hint = _HINTS.get(429 if wait is not None else error.code, "")
                    raise NotSent(f"{_host(self.url)} answered {error.code}{hint}") from error
                _sleep(wait)
        raise AssertionError("the last try answers or raises")

    def _asked(
        self,
        method: str,
        path: str,
        body: Any,
        more: Mapping[str, str],
    ) -> Any:
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "kirikae",
            **self.headers,
            **more,
        }
        data = None if body is None else json.dumps(body).encode()
        try:
            url = f"{self.url.rstrip('/')}{path}" if path else self.url
            request = urllib.request.Request(
                url,
                data,
                headers,
                method=method,
            )
            with urllib.request.build_opener(Straight).open(
                request,
                timeout=_TIMEOUT_S,
            ) as answer:
                raw = _read(answer) if self.speaks_json else b""
                return json.loads(raw) if raw.strip() else None
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise NotSent(f"{_host(self.url)} does not answer ({type(error).__name__})") from error
        except (ValueError, RecursionError) as error:
            raise NotSent(
                f"{_host(self.url)} is no address of an API, or answered no JSON"
            ) from error


def _read(answer: http.client.HTTPResponse) -> bytes:
    """Raises TimeoutError, ValueError for one that is larger than any."""
    until = time.monotonic() + _WHOLE_S
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(1024**2):
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            raise ValueError("more than a page of issues")
        if time.monotonic() > until:
            raise TimeoutError("it does not end")
    if answer.length:
        raise http.client.IncompleteRead(b"".join(parts), answer.length)
    return b"".join(parts)


def within(plain: Any, *keys: str) -> Any:
    """What stands below these keys of an answer; None where nothing does, whatever it is."""
    for key in keys:
        plain = plain.get(key) if isinstance(plain, Mapping) else None
    return plain


def number_of(value: Any) -> int:
    """Of a ticket.  Raises NotSent."""
    text = str(value)
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise NotSent(f"what came back names no number of a ticket: {shortened(value)}")
    return int(text)


def _host(url: str) -> str:
    """The rest of a webhook's address may be its secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "it"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "it"


def _patience(status: int, headers: Message) -> float | None:
    """Seconds to wait (RFC 9110, Retry-After; GitHub's own headers); None: waiting mends
    nothing."""
    after = headers.get("Retry-After")
    spent = headers.get("X-RateLimit-Remaining") == "0"
    if status not in (403, 429, 503) or (status == 403 and after is None and not spent):
        return None
    if status == 503 and after is None:
        return None
    reset = headers.get("X-RateLimit-Reset", "")
    if after is not None and _is_number(after.strip()):
        seconds = float(after)
    elif spent and _is_number(reset):
        seconds = float(reset) - time.time()
    else:
        seconds = _PAUSE_S
    return max(0.0, seconds) if seconds <= _LONGEST_S else None


def _is_number(text: str) -> bool:
    """Of ASCII's digits: others are digits to Python and no number."""
    return text.isascii() and text.isdigit()
