"""Addresses of the console that no person opens: Prometheus scrapes one, Slack calls the other.

Neither has a session.  A scrape shows a token of the console, Slack signs what it sends.
"""

from __future__ import annotations

from http import HTTPStatus

import click
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kirikae.console.chat.slack import MOST_BYTES, Chat
from kirikae.console.exposition import CONTENT_TYPE
from kirikae.console.measured import Kept
from kirikae.console.metrics import page_of
from kirikae.console.web.keys import Attempts, Session
from kirikae.console.web.site import Site
from kirikae.model.errors import KirikaeError
from kirikae.model.shown import clean

UNLOCKED = ("/metrics", "/slack")


def routes(site: Site) -> list[Route]:
    """With the name of a project file behind each, where the console serves several."""
    scraped = _Scraped(site)
    called = _Called(site)
    return [
        Route("/metrics", scraped.page, methods=["GET"]),
        Route("/metrics/{place}", scraped.page, methods=["GET"]),
        Route("/slack", called.answer, methods=["POST"]),
        Route("/slack/{place}", called.answer, methods=["POST"]),
    ]


def _place_of(request: Request, site: Site) -> str | None:
    """None: there is no such one, or several and none was named."""
    named = request.path_params.get("place")
    if named is None:
        return next(iter(site.places)) if len(site.places) == 1 else None
    return named if named in site.places else None


class _Scraped:
    """``/metrics``: each project file is looked at once in a while, whoever scrapes."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._attempts = Attempts()
        self._kept: dict[str, Kept] = {}

    def page(self, request: Request) -> Response:
        """In a thread of its own: AWS may be slow."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        place = _place_of(request, self._site)
        if place is None:
            names = ", ".join(f"/metrics/{name}" for name in self._site.places)
            return PlainTextResponse(f"scrape one of {names}\n", HTTPStatus.NOT_FOUND)
        try:
            text = self._page_of(place)()
        except KirikaeError as error:
            says = f"{clean(str(error))}\n"
            return PlainTextResponse(says, HTTPStatus.SERVICE_UNAVAILABLE)
        return Response(
            text.encode("utf-8", "replace"),
            headers={"Content-Type": CONTENT_TYPE},
        )

    def _page_of(self, place: str) -> Kept:
        """One for everybody, also of a project file that came later."""
        found = self._kept.get(place)
        return found or self._kept.setdefault(place, page_of(self._site.places[place]))

    def _refused(self, request: Request) -> Response | None:
        """By a session, or by a token; wrong ones have to wait as at the sign-in."""
        session: Session | None = request.state.session
        if session is not None and session.person is not None:
            return None
        address = request.client.host if request.client is not None else ""
        if self._attempts.wait_s(address) > 0:
            return PlainTextResponse("wait a minute\n", HTTPStatus.TOO_MANY_REQUESTS)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._site.keys.owner(token.strip()) is not None:
            return None
        if token:
            self._attempts.failed(address)
        return PlainTextResponse(
            "send `Authorization: Bearer TOKEN`, with a token of this console\n",
            HTTPStatus.UNAUTHORIZED,
            {"WWW-Authenticate": "Bearer"},
        )


class _Called:
    """``/slack``: the request URL of a slash command and of buttons."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._chats: dict[str, Chat] = {}

    async def answer(self, request: Request) -> Response:
        """At once; what follows is sent when this has been answered."""
        place = _place_of(request, self._site)
        if place is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        body = await _body(request)
        reply = await run_in_threadpool(
            self._chat_of(place).handle,
            request.headers,
            body,
        )
        later = None if reply.later is None else BackgroundTask(reply.later)
        if reply.body:
            return JSONResponse(
                reply.body,
                reply.status,
                background=later,
            )
        return Response(status_code=reply.status, background=later)

    def _chat_of(self, place: str) -> Chat:
        """The same one for every request: it remembers what came before."""
        found = self._chats.get(place)
        return found or self._chats.setdefault(place, Chat(self._site.places[place], _complain))


async def _body(request: Request) -> bytes:
    """Not more than is refused for its length."""
    found = b""
    async for part in request.stream():
        found += part
        if len(found) > MOST_BYTES:
            break
    return found


def _complain(words: str) -> None:
    click.echo(clean(words), err=True)
