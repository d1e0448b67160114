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

_TIMEOUT_S = 20.0
_TRIES = 6
_PAUSE_S = 5.0
_LONGEST_S = 120.0
"""Who asks for more is asked again by the next run."""
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
                raw = answer.read()
                return json.loads(raw) if self.speaks_json and raw.strip() else None
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise NotSent(f"{_host(self.url)} does not answer ({type(error).__name__})") from error
        except ValueError as error:
            raise NotSent(
                f"{_host(self.url)} is no address of an API, or answered no JSON"
            ) from error


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
    if after is not None and after.strip().isdigit():
        seconds = float(after)
    elif spent and headers.get("X-RateLimit-Reset", "").isdigit():
        seconds = float(headers["X-RateLimit-Reset"]) - time.time()
    else:
        seconds = _PAUSE_S
    return max(0.0, seconds) if seconds <= _LONGEST_S else None
