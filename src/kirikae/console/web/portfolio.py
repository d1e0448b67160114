"""Many project files at once: where each move of each service stands, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kirikae.console.salvage import salvaged
from kirikae.console.web.moving import Seen
from kirikae.console.web.pages import Reader, reader
from kirikae.model.errors import KirikaeError

_AT_ONCE = 32
_FIRST = ("fail", "held", "unknown", "unsure", "pass", "quiet")
"""What a person has to see first."""


@dataclass(frozen=True, slots=True)
class Service:
    """One project file.  ``trouble``: why it cannot be read."""

    place: str
    name: str
    environment: str
    moves: Sequence[Seen]
    trouble: str = ""

    @property
    def tone(self) -> str:
        """That of its move that needs somebody most."""
        tones = {seen.tone for seen in self.moves} | ({"unknown"} if self.trouble else set())
        return next((tone for tone in _FIRST if tone in tones), "quiet")

    def to_plain(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "service": self.name,
            "environment": self.environment,
            "trouble": self.trouble,
            "moves": [seen.to_plain() for seen in self.moves],
        }


def home(request: Request) -> Response:
    """The only project file, or all of them: what needs somebody comes first."""
    read = reader(request)
    places = list(read.site.places)
    if len(places) == 1:
        return RedirectResponse(f"/p/{places[0]}/moves", HTTPStatus.SEE_OTHER)
    with ThreadPoolExecutor(_AT_ONCE, "portfolio") as pool:
        found = list(pool.map(lambda place: _service(replace(read, place=place)), places))
    found.sort(key=lambda each: (_FIRST.index(each.tone), each.place))
    plain = {"services": [each.to_plain() for each in found]}
    return read.page(
        "portfolio.html",
        plain,
        services=found,
    )


def _service(read: Reader) -> Service:
    try:
        project = salvaged(read.here).project
    except KirikaeError as error:
        return Service(
            read.place,
            read.place,
            "",
            [],
            str(error),
        )
    seen = [Seen.of(read, name) for name in project.moves]
    return Service(
        read.place,
        project.service,
        project.environment,
        seen,
    )


ROUTES = (Route("/", home),)
