"""What was found: what blocks which move, by host and place, with the next command.

A survey may have ten thousand findings: they are sifted here and shown a page at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kirikae.console.acceptances import Doubt, doubts
from kirikae.console.decision import facts_of
from kirikae.console.decision_page import parts_of
from kirikae.console.findings import Listing, Manner
from kirikae.console.surveyed import today
from kirikae.console.web.pages import Reader, reader
from kirikae.console.web.surveys import Surveyed
from kirikae.model.finding import Finding, Severity, blocking
from kirikae.model.project import Accepted, Project

A_PAGE = 100
_EVIDENCE = 12
_SOON_DAYS = 30


@dataclass(frozen=True, slots=True)
class Asked:
    """Which findings somebody wants to see.  ``move``: only what stands in its way."""

    move: str = ""
    severity: str = ""
    host: str = ""
    where: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """Of an address; what is no number of a page is the first page."""
        number = query.get("page", "")
        page = int(number) if number.isdecimal() and len(number) < 7 else 1
        names = ("move", "severity", "host", "where")
        return cls(**{name: query.get(name, "")[:200] for name in names}, page=max(page, 1))

    def takes(self, finding: Finding, kinds: Mapping[str, str]) -> bool:
        """``kinds``: move -> its kind."""
        if self.move and not finding.stops(kinds.get(self.move, "")):
            return False
        if self.severity and finding.severity != self.severity:
            return False
        if self.host and self.host not in (*finding.hosts, finding.where):
            return False
        wanted = self.where.lower()
        return wanted in f"{finding.code} {finding.where} {finding.says}".lower()

    def address(self, **changed: object) -> str:
        """The same question with something else in it."""
        asked = {name: getattr(self, name) for name in self.__slots__} | changed
        return "?" + urlencode({name: value for name, value in asked.items() if value})


@dataclass(frozen=True, slots=True)
class Way:
    """What stands in the way of one move."""

    move: str
    kind: str
    blocks: int


@dataclass(frozen=True, slots=True)
class Promise:
    """An acceptance, and how long it still holds."""

    row: Accepted
    days: int
    doubt: Doubt | None

    @property
    def tone(self) -> str:
        if self.doubt is not None:
            return "fail"
        return "held" if self.days < _SOON_DAYS else "quiet"


def promises(project: Project, findings: Sequence[Finding], day: date) -> list[Promise]:
    """Those that end first come first."""
    told = {
        id(each.answer): each
        for each in doubts(
            project,
            day,
            findings,
        )
    }
    found = [
        Promise(
            row,
            (row.until - day).days,
            told.get(id(row)),
        )
        for row in project.accepted
    ]
    return sorted(found, key=lambda each: each.row.until)


def survey(request: Request) -> Response:
    """As `survey show`, sifted."""
    read = reader(request)
    found = read.site.surveys.of(read.here)
    if found is None or found.value is None:
        message = read.word("console.web.survey.reading") if found is None else found.trouble
        return read.page(
            "trouble.html",
            {"message": message},
            message=message,
        )
    return _page(
        read,
        found.value,
        Asked.of(request.query_params),
    )


def _page(read: Reader, seen: Surveyed, asked: Asked) -> Response:
    project = seen.project
    kinds = {name: settings.kind for name, settings in project.moves.items()}
    chosen = [finding for finding in seen.findings if asked.takes(finding, kinds)]
    pages = max(1, -(-len(chosen) // A_PAGE))
    page = min(asked.page, pages)
    return read.page(
        "findings.html",
        _plain(seen, kinds.get(asked.move, "traffic")) if read.wants_data else None,
        project=project,
        asked=asked,
        ways=[
            Way(
                name,
                kind,
                len(blocking(seen.findings, kind)),
            )
            for name, kind in kinds.items()
        ],
        severities=list(Severity),
        hosts=sorted({host for finding in seen.findings for host in finding.hosts}),
        all=len(seen.findings),
        chosen=len(chosen),
        shown=chosen[(page - 1) * A_PAGE : page * A_PAGE],
        number=page,
        pages=pages,
        manner=Manner(read.speech, project.accepted),
        most=_EVIDENCE,
        promises=promises(
            project,
            seen.findings,
            today(),
        ),
    )


def _plain(seen: Surveyed, kind: str) -> dict[str, Any]:
    """What `survey show --json` prints."""
    found = doubts(
        seen.project,
        today(),
        seen.findings,
    )
    plain = Listing(seen.findings, kind).to_plain()
    return (
        {
            **plain,
            "acceptances": [each.to_plain() for each in found],
        }
        if found
        else plain
    )


def decide(request: Request) -> Response:
    """The page of `kirikae report`, to be printed."""
    read = reader(request)
    facts = facts_of(read.here)
    return read.page(
        "decide.html",
        facts.to_plain(read.speech),
        parts=parts_of(facts, read.speech),
    )


ROUTES = (
    Route("/p/{place}/survey", survey),
    Route("/p/{place}/decide", decide),
)
