"""What every request must show before a page is made: Host, Origin, session, CSRF token.

What is refused is decided in ``Door``; ``Gate`` carries it out and adds the headers that every
answer has.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kirikae.console.web.keys import Session, Sessions

SIGN_IN = "/sign-in"
_OPEN = (SIGN_IN, "/static/")
_READS = ("GET", "HEAD")
_FORM = "application/x-www-form-urlencoded"
_BYTES_AT_MOST = 65_536
_FIELDS_AT_MOST = 30
_FORM_S = 10.0
"""A form of this size is there long before, also from a phone in a train."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # With `no-referrer` a browser says `Origin: null` of its own forms (Fetch, 3.1).
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_CACHE = "Cache-Control"


class Refusal(NamedTuple):
    """A status, and what the person who sees it can do."""

    status: HTTPStatus
    says: str


@dataclass(frozen=True, slots=True)
class Door:
    """``origins``: what a browser that was opened as it should be says of itself, such as
    ``http://127.0.0.1:8420``.  ``unlocked``: beginnings of further paths that prove in another way
    who asks."""

    origins: frozenset[str]
    cookie: str
    unlocked: tuple[str, ...] = ()

    @property
    def secure(self) -> bool:
        """Is it reached by TLS alone?"""
        return all(origin.startswith("https:") for origin in self.origins)

    def is_open(self, path: str) -> bool:
        """May somebody see it who has not signed in?"""
        return path.startswith((*_OPEN, *self.unlocked))

    def asks_for_token(self, path: str) -> bool:
        """Must what is sent there carry the CSRF token of a session?"""
        return not path.startswith(self.unlocked)

    def refusal(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
    ) -> Refusal | None:
        """By Host and Origin; None: it may pass."""
        if headers.get("host", "").lower() not in self._hosts():
            return Refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this console is not reached under that name; open one of "
                f"{', '.join(sorted(self.origins))}, or start it with --url",
            )
        if not self.asks_for_token(path):
            return None
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins:
            return Refusal(HTTPStatus.FORBIDDEN, "another site asked for this; nothing was done")
        if method in _READS:
            return None
        if origin is None:
            return Refusal(HTTPStatus.FORBIDDEN, "the browser did not say which site asks")
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return Refusal(HTTPStatus.FORBIDDEN, "another site asked for this; nothing was done")
        return _by_body(headers)

    def _hosts(self) -> set[str]:
        return {urlsplit(origin).netloc.lower() for origin in self.origins}


def _by_body(headers: Mapping[str, str]) -> Refusal | None:
    """A form of this console is small, says how long it is, and is no file."""
    if headers.get("content-type", "").partition(";")[0].strip() != _FORM:
        return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send a form ({_FORM})")
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers:
        return Refusal(HTTPStatus.LENGTH_REQUIRED, "say how long the form is")
    if not (length.isascii() and length.isdecimal()) or int(length) > _BYTES_AT_MOST:
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too long")
    return None


class Gate:
    """Around the whole app: no page, file or act is reached without passing here."""

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        sessions: Sessions,
    ) -> None:
        self._app = app
        self._door = door
        self._sessions = sessions

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """What is no HTTP is no business of a page: only the server's own beginning and end."""
        if scope["type"] == "lifespan":
            await self._app(
                scope,
                receive,
                send,
            )
        elif scope["type"] == "http":
            await self._pass(
                scope,
                receive,
                _with_headers(send),
            )

    async def _pass(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        request = Request(scope, receive)
        refused = await self._refused(request)
        if refused is None:
            await self._app(
                scope,
                receive,
                send,
            )
        else:
            await refused(
                scope,
                receive,
                send,
            )

    async def _refused(self, request: Request) -> Response | None:
        path = request.url.path
        refusal = self._door.refusal(
            request.method,
            path,
            request.headers,
        )
        if refusal is not None:
            return _plain(refusal)
        session = self._session(request)
        if (session is None or session.person is None) and not self._door.is_open(path):
            return _to_sign_in(request)
        request.state.session = session
        if request.method in _READS or not self._door.asks_for_token(path):
            return None
        return await self._by_token(request, session)

    def _session(self, request: HTTPConnection) -> Session | None:
        name = request.cookies.get(self._door.cookie)
        return None if name is None else self._sessions.find(name)

    async def _by_token(self, request: Request, session: Session | None) -> Response | None:
        """The form is read here, once, and handed on."""
        try:
            async with asyncio.timeout(_FORM_S):
                form = await request.form(max_files=0, max_fields=_FIELDS_AT_MOST)
        except TimeoutError:
            return _plain(Refusal(HTTPStatus.REQUEST_TIMEOUT, "the form did not come; try again"))
        fields = {name: str(value) for name, value in form.items()}
        given = fields.pop("csrf", "").encode("utf-8", "replace")
        if session is None or not hmac.compare_digest(given, session.csrf.encode()):
            says = "this page is too old; go back, load it again, and look before you act"
            return _plain(Refusal(HTTPStatus.FORBIDDEN, says))
        request.state.form = fields
        return None


def _plain(refusal: Refusal) -> Response:
    return PlainTextResponse(f"{refusal.says}\n", refusal.status)


def _to_sign_in(request: Request) -> Response:
    """A page comes back after the sign-in; an act does not."""
    if request.method not in _READS:
        return _plain(Refusal(HTTPStatus.FORBIDDEN, "sign in first; nothing was done"))
    wanted = request.url.path
    return RedirectResponse(f"{SIGN_IN}?to={quote(wanted)}", HTTPStatus.SEE_OTHER)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault(_CACHE, "no-store")
        await send(message)

    return sending
