"""Many project files at once: where each move of each service stands, what it waits for, what its
new side costs.

Hundreds are looked at by a few threads; a page shows what has come so far and follows the rest.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kirikae.console.context import as_written
from kirikae.console.here import Here
from kirikae.console.salvage import Salvaged, salvaged
from kirikae.console.web.following import events
from kirikae.console.web.kept import Found, Kept, tried
from kirikae.console.web.moving import Seen
from kirikae.console.web.pages import Reader, reader
from kirikae.console.web.places import Places
from kirikae.console.web.site import Site
from kirikae.console.web.watched import Record, Watcher, Watchers
from kirikae.model.project import Project
from kirikae.traffic.cost import extra_cost_per_day

_AT_ONCE = 16
_COSTS_AT_ONCE = 4
_FRESH_S = 3.0
_COSTS_FRESH_S = 600.0
_PATIENCE_S = 0.5
_FIRST = ("fail", "held", "unknown", "unsure", "pass", "quiet")
"""What a person has to see first."""
_NEEDS_SOMEBODY = frozenset(_FIRST[:3])


@dataclass(frozen=True, slots=True)
class Row:
    """One project file as it was seen last.  ``trouble``: why it cannot be read."""

    file: Salvaged | None
    moves: Sequence[tuple[str, Watcher, Found[Record] | None]] = ()
    trouble: str = ""


@dataclass(slots=True)
class Looks:
    """The newest look at every place, and what each new side costs a day."""

    watchers: Watchers
    clock: Callable[[], float] = time.monotonic
    _rows: dict[str, Row] = field(default_factory=dict)
    _files: dict[str, tuple[object, Found[Salvaged]]] = field(default_factory=dict)
    _costs: dict[str, Kept[Found[float | None]]] = field(default_factory=dict)
    _thread: threading.Thread | None = None
    _ended: float | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def rows(self, places: Mapping[str, Here], wait_s: float) -> Mapping[str, Row]:
        """What was seen, not longer ago than a look at all of them takes; who is missing was not
        looked at yet."""
        with self._guard:
            thread = self._thread
            if thread is None or not thread.is_alive():
                if self._ended is not None and self.clock() - self._ended < _FRESH_S:
                    return dict(self._rows)
                thread = threading.Thread(
                    target=self._sweep,
                    args=(dict(places),),
                    name="portfolio",
                    daemon=True,
                )
                self._thread = thread
                thread.start()
        thread.join(wait_s)
        return dict(self._rows)

    def _sweep(self, places: Mapping[str, Here]) -> None:
        with ThreadPoolExecutor(_AT_ONCE, "portfolio") as pool:
            list(pool.map(lambda each: self._look(*each), places.items()))
        for gone in set(self._rows) - set(places):
            del self._rows[gone]
        self._ended = self.clock()
        self._look_at_costs()

    def _look(self, place: str, here: Here) -> None:
        """Told as soon as it is seen: nobody waits for a neighbour."""
        read = self._read(place, here)
        if read.value is None:
            self._rows[place] = Row(None, (), read.trouble)
            return
        watchers = [(name, self.watchers.of(here, name)) for name in read.value.project.moves]
        self._rows[place] = Row(
            read.value,
            [(name, watcher, watcher.record(_PATIENCE_S)) for name, watcher in watchers],
        )

    def _read(self, place: str, here: Here) -> Found[Salvaged]:
        """Its file is read again once it was changed."""
        written = as_written(here)
        known = self._files.get(place)
        if known is None or known[0] != written:
            known = (written, tried(lambda: salvaged(here)))
            self._files[place] = known
        return known[1]

    # --- costs: AWS is asked for each service, so seldom and by few

    def cost(self, place: str) -> Found[float | None] | None:
        """US dollars a day for the new side's tasks; None: AWS was not asked yet."""
        kept = self._costs.get(place)
        return None if kept is None else kept.last

    def _look_at_costs(self) -> None:
        projects = [
            (name, row.file.project) for name, row in self._rows.items() if row.file is not None
        ]
        with ThreadPoolExecutor(_COSTS_AT_ONCE, "costs") as pool:
            list(pool.map(lambda each: self._cost(*each), projects))

    def _cost(self, place: str, project: Project) -> None:
        def ask() -> float | None:
            aws = self.watchers.session(project.region)
            aws.identity(project.account)
            return extra_cost_per_day(aws, project)

        made = Kept(lambda: tried(ask), _COSTS_FRESH_S)
        self._costs.setdefault(place, made).get(60.0)


@dataclass(frozen=True, slots=True)
class Service:
    """One project file as a page shows it.  ``cost``: US dollars a day; None: not known, and
    ``cost_says`` why.  ``seen``: False, it was not looked at yet."""

    place: str
    name: str
    environment: str
    moves: Sequence[Seen]
    cost: float | None
    cost_says: str
    trouble: str = ""
    seen: bool = True

    @property
    def tone(self) -> str:
        """That of its move that needs somebody most."""
        tones = {seen.tone for seen in self.moves} | ({"unknown"} if self.trouble else set())
        return next((tone for tone in _FIRST if tone in tones), "quiet")

    @property
    def words(self) -> str:
        """Where somebody who looks for something finds it."""
        told = [self.place, self.name, self.environment, self.trouble]
        return " ".join([*told, *(f"{each.name} {each.where}" for each in self.moves)]).lower()

    def to_plain(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "service": self.name,
            "environment": self.environment,
            "looked_at": self.seen,
            "trouble": self.trouble,
            "cost_per_day_usd": self.cost,
            "cost_not_known": self.cost_says or None,
            "moves": [
                {
                    **seen.to_plain(),
                    "waits_for": seen.waits_for,
                }
                for seen in self.moves
            ],
        }


@dataclass(frozen=True, slots=True)
class Overview:
    """All services, those first that need somebody.  ``chosen``: what was asked to be shown."""

    services: Sequence[Service]
    chosen: Sequence[Service]
    trouble: str

    @property
    def counts(self) -> Mapping[str, int]:
        """Tone -> how many services."""
        return Counter(each.tone for each in self.services if each.seen)

    @property
    def need_somebody(self) -> int:
        return sum(each.seen and each.tone in _NEEDS_SOMEBODY for each in self.services)

    @property
    def unseen(self) -> int:
        return sum(not each.seen for each in self.services)

    @property
    def cost(self) -> float:
        """Of those whose cost is known."""
        return sum(each.cost or 0.0 for each in self.services)

    @property
    def priced(self) -> int:
        return sum(each.cost is not None for each in self.services)

    def to_plain(self) -> dict[str, Any]:
        return {
            "trouble": self.trouble,
            "need_somebody": self.need_somebody,
            "not_looked_at": self.unseen,
            "cost_per_day_usd": round(self.cost, 2) if self.priced else None,
            "cost_known_of": self.priced,
            "services": [each.to_plain() for each in self.services],
        }


def overview(read: Reader, wait_s: float) -> Overview:
    """As far as it has been looked at by then."""
    site = read.site
    rows = looks_of(site).rows(site.places, wait_s)
    found = [_service(replace(read, place=place), rows.get(place)) for place in site.places]
    trouble = ""
    if isinstance(site.places, Places):
        found += [_broken(place, why) for place, why in site.places.now().broken.items()]
        trouble = site.places.trouble
    found.sort(key=lambda each: (_FIRST.index(each.tone), each.place))
    wanted = read.request.query_params.get("find", "").strip().lower()[:100]
    return Overview(found, [each for each in found if wanted in each.words], trouble)


def looks_of(site: Site) -> Looks:
    """One for everybody who looks at this console."""
    found: Looks = site.kept.setdefault("portfolio", Looks(site.watchers))
    return found


def _broken(place: str, why: str) -> Service:
    return Service(place, place, "", [], None, "", why)


def _service(read: Reader, row: Row | None) -> Service:
    place = read.place
    if row is None:
        says = read.word("console.web.portfolio.unseen")
        return Service(place, place, "", [], None, says, seen=False)
    if row.file is None:
        return _broken(place, row.trouble)
    project = row.file.project
    lost = [read.word("console.web.moves.lost", name=name) for name in row.file.lost]
    cost, says = _cost_of(read, looks_of(read.site).cost(place))
    return Service(
        place,
        project.service,
        project.environment,
        [Seen(read, name, watcher, found) for name, watcher, found in row.moves],
        cost,
        says,
        " ".join(filter(None, [row.file.faults, *lost])),
    )


def _cost_of(read: Reader, found: Found[float | None] | None) -> tuple[float | None, str]:
    if found is None:
        return None, read.word("console.web.portfolio.cost_asking")
    if found.value is None:
        return None, found.trouble or read.word("console.web.portfolio.cost_unknown")
    return found.value, ""


def home(request: Request) -> Response:
    """The only project file, or all of them: what needs somebody comes first."""
    read = reader(request)
    places = list(read.site.places)
    if len(places) == 1 and not isinstance(read.site.places, Places):
        return RedirectResponse(f"/p/{places[0]}/moves", HTTPStatus.SEE_OTHER)
    seen = overview(read, 1.2)
    return read.page(
        "portfolio.html",
        seen.to_plain() if read.wants_data else {},
        live=_table(read, seen),
        find=request.query_params.get("find", ""),
        query=request.url.query,
    )


def _table(read: Reader, seen: Overview) -> str:
    return read.html(
        "portfolio_live.html",
        seen=seen,
    )


def _part(read: Reader) -> str:
    return f'<div data-part="now">{_table(read, overview(read, 0.0))}</div>'


async def live(request: Request) -> Response:
    """The table, whenever it has changed."""
    read = reader(request)
    return events(read, lambda: _part(read), _FRESH_S)


ROUTES = (
    Route("/", home),
    Route("/live", live),
)
