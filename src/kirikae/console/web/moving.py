"""The moves of a project file: where each stands, why, and the few acts that a person may do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kirikae.console import orders
from kirikae.console.context import open_desk
from kirikae.console.here import Answer
from kirikae.console.notices import explain
from kirikae.console.outlook import mends_it
from kirikae.console.salvage import salvaged
from kirikae.console.speech import Speech
from kirikae.console.telling import shown_look
from kirikae.console.web.figures import bars, road, sides
from kirikae.console.web.following import events
from kirikae.console.web.kept import Found
from kirikae.console.web.pages import Reader, field_of, reader
from kirikae.console.web.watched import Record, Watcher
from kirikae.model.errors import UsageProblem
from kirikae.model.evidence import Evidence
from kirikae.model.move import Verb
from kirikae.move.engine import Look, held_in_words

_EVERY_S = 1.0
_JOURNAL_LINES = 40
_ACTS = ("approve", "resume", "hold")
Act = Callable[[Reader, str], Answer]


def moves(request: Request) -> Response:
    """Each in a line; a project file with faults is read as the red button reads it."""
    read = reader(request)
    file = salvaged(read.here)
    seen = [Seen.of(read, name) for name in file.project.moves]
    plain = {"moves": [each.to_plain() for each in seen]}
    return read.page(
        "moves.html",
        plain,
        file=file,
        moves=seen,
    )


def move(request: Request) -> Response:
    """Everything about one move."""
    read = reader(request)
    seen = Seen.of(read, _name(read))
    return read.page(
        "one_move.html",
        seen.to_plain(),
        seen=seen,
        said=request.query_params.get("said", ""),
    )


def _name(read: Reader) -> str:
    """Of the address; 404 for what the project file does not have."""
    name = str(read.request.path_params["name"])
    file = salvaged(read.here)
    if name not in file.project.moves and name not in file.lost:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return name


@dataclass(frozen=True, slots=True)
class Seen:
    """A move as a page shows it."""

    read: Reader
    name: str
    watcher: Watcher
    found: Found[Record] | None

    @classmethod
    def of(cls, read: Reader, name: str) -> Seen:
        """As it stands now, as far as the journal answers."""
        watcher = read.site.watchers.of(read.here, name)
        return cls(
            read,
            name,
            watcher,
            watcher.record(),
        )

    @property
    def record(self) -> Record | None:
        return None if self.found is None else self.found.value

    @property
    def look(self) -> Look | None:
        return None if self.record is None else self.record.look

    @property
    def trouble(self) -> str:
        """Why the journal says nothing."""
        if self.found is None:
            return self.read.word("console.web.move.no_answer")
        return self.found.trouble

    @property
    def speech(self) -> Speech:
        """In the words of its kind."""
        kind = "" if self.record is None else self.record.desk.kind.name
        return Speech(self.read.speech.language, kind)

    @property
    def sentence(self) -> str:
        """Why it stands where it stands."""
        if self.look is None:
            return (
                ""
                if self.trouble
                else self.read.word("console.web.move.not_planned", name=self.name)
            )
        return explain(
            self.speech,
            self.look.move,
            self.look.evidence,
        )

    @property
    def where(self) -> str:
        """In a few words."""
        if self.look is None:
            return self.read.word(
                f"console.web.move.{'unknown' if self.trouble else 'not_started'}"
            )
        return self.speech.where(self.look.move)

    @property
    def waits_for(self) -> str:
        """What it waits for, or what holds it."""
        if self.look is None:
            return ""
        held = held_in_words(self.look.move)
        if held is not None:
            return self.speech.say(held)
        return self.speech.say(self.look.wait.says) if self.look.wait is not None else ""

    @property
    def evidence(self) -> Evidence | None:
        return None if self.look is None else self.look.evidence

    @property
    def tone(self) -> str:
        """For its colour: where somebody has to act, where it is done, where it goes on."""
        if self.look is None:
            return "unknown" if self.trouble else "quiet"
        found = self.look.move
        if found.held is not None:
            return "held"
        if not found.live or self.evidence is None:
            return "quiet"
        return str(self.evidence.verdict)

    def to_plain(self) -> dict[str, Any]:
        """As `move watch --json` has it, and the sentence of `move explain`."""
        if self.look is None:
            return {
                "move": self.name,
                "trouble": self.trouble,
            }
        return {
            **shown_look(self.look),
            "says": self.sentence,
            "at": None,
        }

    def live(self) -> str:
        """All parts of the page that change by themselves."""
        return self.read.html(
            "live.html",
            seen=self,
        )

    def now(self) -> str:
        """Where it stands."""
        read = self.read
        record = self.record
        told = None
        if record is not None and self.evidence is not None:
            told = record.desk.thing.told(self.evidence)
        figures = {} if self.evidence is None else self.evidence.figures
        return read.html(
            "now.html",
            seen=self,
            sides=sides(figures),
            bars=bars(figures, self.speech),
            told=None if told is None else self.speech.say(told.line),
            road=road(record.entries, _minute()) if record is not None else None,
            press=read.site.presses.of(read.place, self.name),
        )

    # --- what asks AWS: shown once it has answered

    def facts(self) -> list[str]:
        """The lines of `move status`."""
        found = self.watcher.standing(0.5)
        if found is None:
            return [self.read.word("console.web.move.asking")]
        return [found.trouble] if found.value is None else found.value.lines(self.speech)

    def ahead(self) -> dict[str, Any]:
        """The plan and what stands in the way, as `move plan` has them."""
        found = self.watcher.outlook(0.5)
        if found is None or found.value is None:
            says = self.read.word("console.web.move.asking") if found is None else found.trouble
            return {
                "trouble": says,
                "steps": [],
                "findings": [],
                "mended": [],
            }
        told = found.value
        speech = self.speech
        return {
            "trouble": "",
            "steps": [
                (step.share, step.seconds, [speech.say(says) for says in step.says])
                for step in told.prospects.steps
            ],
            "findings": [speech.finding(finding) for finding in told.findings],
            "mended": [speech.say(mends_it(finding, speech)) for finding in told.mended],
            "advances": speech.say(told.advances),
        }

    def entries(self) -> str:
        """The journal."""
        return self.read.html(
            "journal.html",
            seen=self,
            journal=self.journal(),
        )

    @property
    def acts(self) -> list[str]:
        """What is lawful now, but for the red button, which always is."""
        return [verb for verb in _ACTS if self.may(verb)]

    @property
    def next_share(self) -> int:
        """Of the step that may be approved; permille."""
        found = None if self.look is None else self.look.move.next_share
        return found or 0

    def journal(self) -> list[dict[str, Any]]:
        """Newest first."""
        entries = [] if self.record is None else self.record.entries
        speech = self.speech
        return [
            {
                "seq": entry.move.seq,
                "at": entry.at,
                "where": speech.where(entry.move),
                "why": "" if entry.evidence is None else speech.say(entry.evidence.reason),
                "who": entry.who.rpartition("/")[2] or entry.who,
                "approver": entry.approver.rpartition("/")[2],
            }
            for entry in list(reversed(entries))[:_JOURNAL_LINES]
        ]

    def may(self, verb: str) -> bool:
        """Is this order lawful now?  What is not known may be tried: the act itself asks again."""
        if self.look is None:
            return False
        found = self.look.move
        if verb == "approve":
            assert self.record is not None
            asks = self.record.desk.settings.advance == "ask"
            return asks and found.live and found.held is None and found.next_share is not None
        if verb == "resume":
            return found.held is not None and not found.over
        return found.live and found.held is None

    @property
    def seq(self) -> int | None:
        """Which entry of the journal the page shows."""
        return None if self.look is None else self.look.move.seq


def _minute() -> float:
    """Now, to the minute: the page is not sent anew each second for a line that grew."""
    return time.time() // 60 * 60


async def live(request: Request) -> Response:
    """What changes, by server-sent events: the same HTML that the page had at first."""
    read = reader(request)
    name = await run_in_threadpool(_name, read)
    return events(
        read,
        lambda: Seen.of(read, name).live(),
        _EVERY_S,
    )


# --- acts


def hold(read: Reader, name: str) -> Answer:
    """As `kirikae move hold` does."""
    reason = field_of(read.request, "reason") or read.word("console.web.move.held_here")
    return orders.hold(
        open_desk(read.here, name),
        reason,
        False,
        _silent,
    )


def resume(read: Reader, name: str) -> Answer:
    """As `kirikae move resume` does."""
    return orders.by_hand(
        read.here,
        open_desk(read.here, name),
        Verb.RESUME,
        False,
        _silent,
    )


def approve(read: Reader, name: str) -> Answer:
    """As `kirikae move approve` does; of the step that the page showed, and of no other."""
    desk = open_desk(read.here, name)
    now = desk.journal.read(name)
    if field_of(read.request, "seq") != str(now.seq):
        raise UsageProblem(read.word("console.web.move.went_on", name=name))
    return orders.approve(desk, False)


def _silent(says: str) -> None:
    """A message that could not be sent changes nothing, and the log of the console has it."""
    print(says, flush=True)


def back_out(request: Request) -> Response:
    """The red button, once the move's name was typed: `kirikae back-out`, whatever is broken."""
    read = reader(request)
    name = _name(read)
    here = read.here
    here.assert_may_change("back-out")
    if field_of(request, "name") != name:
        raise UsageProblem(read.word("console.web.move.type_name", name=name))
    reason = field_of(request, "reason") or read.word("console.web.move.pressed_here")
    press = read.site.presses.press(
        read.place,
        here,
        name,
        reason,
    )
    if "json" in request.query_params and press.answer is not None:
        return Response(press.answer.json(), media_type="application/json")
    return read.back(f"move/{name}")


def _route(verb: str, act: Act) -> Route:
    """An act by a form, and back to the page of its move."""

    def carry_out(request: Request) -> Response:
        read = reader(request)
        name = _name(read)
        read.here.assert_may_change(f"move {verb}")
        act(read, name)
        read.site.watchers.of(read.here, name).forget()
        return read.back(f"move/{name}?said={verb}")

    return Route(
        f"/p/{{place}}/move/{{name}}/{verb}",
        carry_out,
        methods=["POST"],
    )


ROUTES = (
    Route("/p/{place}/", moves),
    Route("/p/{place}/moves", moves),
    Route("/p/{place}/move/{name}", move),
    Route("/p/{place}/move/{name}/live", live),
    Route(
        "/p/{place}/move/{name}/back-out",
        back_out,
        methods=["POST"],
    ),
    _route("hold", hold),
    _route("resume", resume),
    _route("approve", approve),
)
