"""How a page is made: data, words in the reader's language, a template.

The same address with ``?json`` answers the data alone, as the command's ``--json`` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from kirikae.console.here import Here, to_json
from kirikae.console.speech import Speech
from kirikae.console.web.keys import Session
from kirikae.console.web.site import Site
from kirikae.model.errors import UsageProblem
from kirikae.model.said import LANGUAGES, Language, Said, said
from kirikae.model.share import percent
from kirikae.model.shown import clean, writable

_COMMAND = re.compile(r"`([^`\n]+)`")
NAV = ("moves", "survey", "releases", "jobs", "logs", "reports", "decide")
"""Pages of a project file, by their words and by the end of their address."""


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("kirikae.console.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["share"] = percent
    made.filters["moment"] = moment
    made.filters["coded"] = coded
    return made


def moment(at: float | None) -> str:
    """A Unix time in UTC: the same for every person and machine of a team."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def coded(text: str) -> Markup:
    """A sentence with its `commands` as code."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text))))


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, in which language, and of which project file (``place``; empty: of none)."""

    request: Request
    site: Site
    place: str
    speech: Speech

    @property
    def session(self) -> Session | None:
        """None: nobody has signed in."""
        found: Session | None = getattr(
            self.request.state,
            "session",
            None,
        )
        return found

    @property
    def here(self) -> Here:
        """The project file that the address names, and who asks.  404 where there is none."""
        found = self.site.places.get(self.place)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        person = self.session.person if self.session is not None else None
        return replace(found, person=person or "")

    def say(self, what: Said | None) -> str:
        """In the reader's language."""
        return self.speech.say(what)

    def word(self, key: str, /, **blanks: Any) -> str:
        """A sentence by its whole key."""
        return self.speech.say(said(key, **blanks))

    def told(self, key: str, /, **blanks: Any) -> str:
        """A sentence of the pages, as templates name it."""
        return self.word(f"console.web.{key}", **blanks)

    def at(self, way: str = "") -> str:
        """An address below this project file's."""
        return f"/p/{self.place}/{way}"

    @property
    def wants_data(self) -> bool:
        """The page's data, and no page."""
        return "json" in self.request.query_params

    def page(
        self,
        name: str,
        plain: Mapping[str, Any] | None = None,
        status: int = HTTPStatus.OK,
        **shown: Any,
    ) -> Response:
        """``plain``: what ``--json`` would answer; ``shown``: what the template needs besides."""
        if plain is not None and self.wants_data:
            return Response(
                writable(to_json(plain)),
                status,
                media_type="application/json",
            )
        return HTMLResponse(
            self.html(
                name,
                plain=plain,
                **shown,
            ),
            status,
        )

    def html(self, name: str, **shown: Any) -> str:
        """A page, or a part of one."""
        session = self.session
        common = {
            "at": self.at,
            "docs": self._docs,
            "csrf": session.csrf if session is not None else "",
            "language": self.speech.language,
            "languages": LANGUAGES,
            "nav": NAV if self.place else (),
            "path": self.request.url.path,
            "person": session.person if session is not None else None,
            "place": self.place,
            "places": self.site.places,
            "say": self.say,
            "t": self.told,
            "word": self.word,
        }
        template = _templates().get_template(name)
        return clean(
            template.render(
                {
                    **common,
                    "read_only": self._read_only,
                    **shown,
                }
            )
        )

    @property
    def _docs(self) -> str:
        """The page about this console, in the reader's language."""
        way = "ja/console.html" if self.speech.language == "ja" else "how-to/console.html"
        return f"{self.site.docs}/{way}" if self.site.docs else ""

    @property
    def _read_only(self) -> bool:
        return any(here.read_only for here in self.site.places.values())

    def back(self, way: str) -> Response:
        """After an act: a page that can be loaded again without doing it again."""
        return RedirectResponse(self.at(way), HTTPStatus.SEE_OTHER)


def reader(request: Request) -> Reader:
    """Of a request that has passed the gate."""
    site: Site = request.app.state.site
    place = str(request.path_params.get("place", ""))
    return Reader(
        request,
        site,
        place,
        Speech(_language(request, site)),
    )


def _language(request: Request, site: Site) -> Language:
    """Chosen, or the browser's, or that of who started the console."""
    session: Session | None = getattr(
        request.state,
        "session",
        None,
    )
    if session is not None and session.language is not None:
        return session.language
    wanted = request.headers.get("accept-language", "")
    if wanted:
        return "ja" if wanted.lower().startswith("ja") else "en"
    return next(iter(site.places.values())).language()


def field_of(request: Request, name: str, most: int = 500) -> str:
    """A field of the form that the gate has read.  Raises UsageProblem for one that is too long."""
    value = str(request.state.form.get(name, "")).strip()
    if len(value) > most:
        raise UsageProblem(f"{name}: at most {most} characters")
    return value


def refused(request: Request, error: Exception) -> Response:
    """What a room refuses, as a page; the way back to the red button stays on it."""
    read = reader(request)
    if "json" in request.query_params:
        return JSONResponse({"message": str(error)}, HTTPStatus.CONFLICT)
    return read.page(
        "trouble.html",
        None,
        HTTPStatus.CONFLICT,
        message=str(error),
    )
