"""The web console as one app: its routes, and who stands before them.

Further routes are mounted by one line in ``MOUNTED``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from importlib import import_module
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from kirikae.console.web import moving, portfolio, running, signing, surveying
from kirikae.console.web.door import Gate
from kirikae.console.web.pages import reader, refused
from kirikae.console.web.site import Site
from kirikae.model.errors import KirikaeError

MOUNTED: tuple[str, ...] = ("kirikae.console.web.beside",)
"""Modules that bring further routes.  Each has ``routes(site) -> Sequence[BaseRoute]`` and
``UNLOCKED``, a tuple of beginnings of paths that need no session because they prove in another way
who asks (a signature, a token of their own); Host is checked there all the same."""
_STATIC = Path(__file__).parent / "static"


def routes(site: Site) -> list[BaseRoute]:
    """Of the console itself, then what is mounted."""
    own: list[BaseRoute] = [
        Mount("/static", StaticFiles(directory=_STATIC)),
        *signing.ROUTES,
        *portfolio.ROUTES,
        *moving.ROUTES,
        *surveying.ROUTES,
        *running.ROUTES,
    ]
    return [*own, *(route for name in MOUNTED for route in _mounted(name, site))]


def _mounted(name: str, site: Site) -> Sequence[BaseRoute]:
    found: Sequence[BaseRoute] = import_module(name).routes(site)
    return found


def app(site: Site) -> Starlette:
    """Ready to be served."""
    unlocked = [path for name in MOUNTED for path in import_module(name).UNLOCKED]
    door = replace(site.door, unlocked=(*site.door.unlocked, *unlocked))
    made = Starlette(
        routes=routes(site),
        middleware=[
            Middleware(
                Gate,
                door=door,
                sessions=site.sessions,
            )
        ],
        exception_handlers={
            KirikaeError: refused,
            HTTPException: _http,
        },
    )
    made.state.site = site
    return made


def _why(error: HTTPException) -> str:
    return "not_found" if error.status_code == HTTPStatus.NOT_FOUND else "not_so"


def _http(request: Request, error: Exception) -> Response:
    """An address that nothing stands at, or a way that it cannot be asked."""
    assert isinstance(error, HTTPException)
    read = reader(request)
    message = read.word(f"console.web.{_why(error)}")
    return read.page(
        "trouble.html",
        None,
        error.status_code,
        message=message,
    )
