"""Slack's side: a request in, an answer within its three seconds, and what follows later.

Slack: "Implementing slash commands" (``response_url``: five messages within 30 minutes), "Handling
user interaction", "Block Kit".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs

from kirikae.console.chat.acts import Back, Line, Someone, asked_back, carried_out, looked
from kirikae.console.chat.asked import Act, Asked, Question, asked_from, assert_answers, opened
from kirikae.console.chat.signed import Seen, assert_signed
from kirikae.console.context import load_project, open_store
from kirikae.console.errors import NotAsked, NotFromSlack, NotSent
from kirikae.console.here import Here
from kirikae.console.notify import for_slack, post
from kirikae.console.speech import Speech
from kirikae.model.chat_settings import Chat as Settings
from kirikae.model.errors import KirikaeError, Taken
from kirikae.model.project import Project
from kirikae.model.said import said, text

MOST_BYTES = 65_536
_SLACK = ("https://hooks.slack.com/", "https://hooks.slack-gov.com/")
"""Where a ``response_url`` lies; nothing is sent to anywhere else."""
_MOST_FIELDS = 50
_MOST_MOVES = 20
"""A message has 50 blocks at most, and a move takes two."""
_MOST_TEXT = 2900


class _Button(StrEnum):
    """The first word of a button's ``action_id``."""

    CONFIRM = "confirm"
    CANCEL = "cancel"
    OFFER = "ask"


Message = dict[str, Any]
Send = Callable[[str, Message], object]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered at once.  ``later``: what follows, when that has been sent."""

    status: int
    body: Message = field(default_factory=dict)
    later: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What Slack says, once it is proven that it says so.  ``action``, ``value``: of the button
    that was pressed; empty for a slash command."""

    user: str
    name: str
    team: str
    url: str
    words: str = ""
    action: str = ""
    value: str = ""


class Chat:
    """One for a process: it remembers what came, so that nothing comes twice."""

    def __init__(
        self,
        here: Here,
        complain: Callable[[str], None],
        send: Send = post,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``complain``: our own log; it never hears a secret."""
        self._here = here
        self._complain = complain
        self._send = send
        self._clock = clock
        self._seen = Seen()
        self._answered = Seen()
        self._last: Project | None = None

    def handle(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """``headers``: names in small letters."""
        project = self._project()
        settings = None if project is None else project.chat
        if project is None or settings is None or len(body) > MOST_BYTES:
            return Reply(404 if settings is None else 413)
        secret = self._secret(settings)
        try:
            now = self._clock()
            given = assert_signed(secret, headers, body, now)
            if not self._seen.is_first(given, now):
                raise NotFromSlack("a request that came before: somebody sends it again")
            request = request_from(body)
        except NotFromSlack as error:
            self._complain(f"refused from the chat: {error}")
            return Reply(401)
        if request is None:
            return Reply(200)
        return _Talk(self, project, settings, secret, request).reply()

    def _project(self) -> Project | None:
        """As the file says now; where it has faults, as it said last: the red button must work.
        None: it cannot be read, and never could."""
        try:
            self._last = load_project(self._here)
        except KirikaeError as error:
            self._complain(str(error))
        return self._last

    def _secret(self, settings: Settings) -> str:
        """Empty where it is not set: then nothing can be proven."""
        return self._here.environment.get(
            settings.signing_secret.partition(":")[2],
            "",
        )

    def tell(self, url: str, message: Message) -> None:
        """To whoever asked.  What cannot be sent is complained of; what was done stays done."""
        try:
            self._send(url, message)
        except NotSent as error:
            self._complain(f"an answer to the chat was not delivered: {error}")

    @property
    def here(self) -> Here:
        return self._here

    def is_first_answer(self, once: str) -> bool:
        """Has this process not heard it yet?"""
        return self._answered.is_first(once, self._clock())

    def now(self) -> float:
        return self._clock()

    def complain(self, words: str) -> None:
        self._complain(words)


def request_from(body: bytes) -> Request | None:
    """None: nothing to do (Slack's ``ssl_check``, or a payload of another kind).

    Raises NotFromSlack for what Slack never sends.
    """
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        form = {key: values[0] for key, values in fields.items()}
        if "payload" in form:
            return _pressed(json.loads(form["payload"]))
        if "ssl_check" in form:
            return None
        request = Request(
            form["user_id"],
            form.get("user_name", ""),
            form.get("team_id", ""),
            form["response_url"],
            form.get("text", ""),
        )
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise NotFromSlack(f"a request that cannot be read ({type(error).__name__})") from error
    return _to_slack(request)


def _pressed(payload: Mapping[str, Any]) -> Request | None:
    """A button (Slack, "block_actions payload")."""
    if payload["type"] != "block_actions":
        return None
    user = payload["user"]
    action = payload["actions"][0]
    team = (payload.get("team") or {}).get(
        "id",
        "",
    )
    name = user.get("username") or user.get("name", "")
    word = action["action_id"].partition(" ")[0]
    return _to_slack(
        Request(
            user["id"],
            name,
            team,
            payload["response_url"],
            action=word,
            value=action.get("value", ""),
        )
    )


def _to_slack(request: Request) -> Request:
    if not request.url.startswith(_SLACK):
        raise NotFromSlack("a request that wants its answer sent to another host")
    return request


@dataclass(frozen=True, slots=True)
class _Talk:
    """One request, from whom we know to be named in the project file or not."""

    chat: Chat
    project: Project
    settings: Settings
    secret: str
    request: Request

    @property
    def _speech(self) -> Speech:
        return Speech(self.settings.language)

    def _say(self, key: str, **blanks: object) -> str:
        return self._speech.say(said(f"console.chat.{key}", **blanks))

    def reply(self) -> Reply:
        """Within the three seconds: neither AWS nor the store is asked here."""
        refusal = self._refusal()
        if refusal:
            return self._at_once(refusal)
        match self.request.action:
            case _Button.CANCEL:
                return Reply(200, later=lambda: self._replace(self._say("cancelled")))
            case _Button.CONFIRM:
                return Reply(200, later=lambda: self._answering(self._confirmed))
            case "":
                return self._heard(self.request.words)
            case _:
                return self._heard(self.request.value)

    def _heard(self, words: str) -> Reply:
        """What is asked for, typed or by a button of a look."""
        asked = asked_from(words)
        if asked is None:
            return self._at_once(self._say("help"))
        if asked.act is Act.STATUS:
            return Reply(
                200,
                self._now(asked),
                lambda: self._answering(lambda: self._look(asked)),
            )
        if str(asked.act) not in self._who.person.may:
            return self._at_once(self._may_not(asked))
        return Reply(
            200,
            self._now(asked),
            lambda: self._answering(lambda: self._ask(asked)),
        )

    def _refusal(self) -> str:
        """Empty: whoever asks is somebody whom the project file names."""
        request = self.request
        team = self.settings.team
        if team is not None and request.team != team:
            self.chat.complain(f"refused from the chat: workspace {request.team}")
            return self._say("refused.team", team=request.team)
        if request.user not in self.settings.people:
            self.chat.complain(f"refused from the chat: {request.user} ({request.name})")
            return self._say(
                "refused.unknown",
                user=request.user,
                name=request.name,
            )
        return ""

    @property
    def _who(self) -> Someone:
        person = self.settings.people[self.request.user]
        here = replace(
            self.chat.here,
            person=f"{person.name} (Slack {self.request.user})",
        )
        return Someone(
            here,
            person,
            self.settings.language,
            self.chat.complain,
        )

    def _may_not(self, asked: Asked) -> str:
        person = self._who.person
        return self._say(
            "refused.may_not",
            person=person.name,
            act=str(asked.act),
        )

    def _at_once(self, words: str) -> Reply:
        """A button's answer is no message: that goes its own way."""
        if self.request.action:
            return Reply(
                200,
                later=lambda: self._tell(only_to_you(words)),
            )
        return Reply(200, only_to_you(words))

    def _now(self, asked: Asked) -> Message:
        """That it was heard; a press of a button is seen by itself."""
        if self.request.action:
            return {}
        return only_to_you(
            self._say(
                "heard",
                act=str(asked.act),
                name=asked.name,
            )
        )

    # --- later

    def _answering(self, work: Callable[[], None]) -> None:
        """Whatever happens, whoever asked hears of it."""
        heard = False
        try:
            work()
            heard = True
        except NotAsked as error:
            heard = True
            self._replace(self._say(f"not_asked.{error}"))
        except KirikaeError as error:
            heard = True
            self._tell(
                only_to_you(
                    self._say(
                        "refused.by_verb",
                        why=text(str(error)),
                    )
                )
            )
        finally:
            if not heard:
                self._tell(only_to_you(self._say("failed")))

    def _look(self, asked: Asked) -> None:
        lines = looked(self._who, asked.name)
        more = len(lines) - _MOST_MOVES
        blocks = [block for line in lines[:_MOST_MOVES] for block in self._blocks(line)]
        told = "\n\n".join(line.text for line in lines[:_MOST_MOVES]) or self._say("no_moves")
        if more > 0:
            blocks.append(section(self._say("more", more=more)))
        self._tell(
            {
                **only_to_you(told),
                "blocks": blocks or [section(told)],
            }
        )

    def _blocks(self, line: Line) -> list[Message]:
        buttons = [
            button(
                f"{_Button.OFFER} {each.act} {each.name}",
                self._say(f"button.{_word(each.act)}"),
                f"{each.act} {each.name}",
            )
            for each in line.offers
        ]
        return [
            section(line.text),
            *([actions(buttons)] if buttons else []),
        ]

    def _ask(self, asked: Asked) -> None:
        """Asks back: a button that carries what it asks."""
        self._who.here.assert_may_change(f"{asked.act} (from the chat)")
        back = asked_back(self._who, asked)
        question = Question.now(
            back.asked,
            self.request.user,
            self.chat.now(),
        )
        self._tell(
            self._question(
                back,
                question.sealed(self.secret),
            )
        )

    def _question(self, back: Back, value: str) -> Message:
        act = back.asked.act
        told = [self._speech.say(back.question)]
        if back.asked.reason:
            told.append(
                self._say(
                    "because",
                    why=text(back.asked.reason),
                )
            )
        words = "\n".join([*told, *back.lines])
        style = "danger" if act is Act.BACK_OUT else "primary"
        yes = button(
            _Button.CONFIRM,
            self._say(f"button.{_word(act)}"),
            value,
            style,
        )
        no = button(_Button.CANCEL, self._say("button.cancel"), _Button.CANCEL)
        return {
            **only_to_you(words),
            "blocks": [
                section(words),
                actions([yes, no]),
            ],
        }

    def _confirmed(self) -> None:
        """Once, by who was asked, in time; then it is done and everybody in the channel hears."""
        question = opened(self.request.value, self.secret)
        assert_answers(
            question,
            self.request.user,
            self.chat.now(),
        )
        asked = question.asked
        who = self._who
        if str(asked.act) not in who.person.may:
            self._replace(self._may_not(asked))
            return
        self._use_up(question)
        self._replace(
            self._say(
                "heard",
                act=str(asked.act),
                name=asked.name,
            )
        )
        done = carried_out(who, asked)
        words = "\n".join(
            [
                self._speech.say(done.says),
                *done.lines,
            ]
        )
        self._tell({"response_type": "in_channel", "replace_original": False, **shown(words)})

    def _use_up(self, question: Question) -> None:
        """In the store, so that no other process takes it again.  The red button waits for no
        store: share 0 is share 0, however often it is set.  Raises NotAsked."""
        if not self.chat.is_first_answer(question.once):
            raise NotAsked("used")
        if question.asked.act is Act.BACK_OUT:
            return
        project = self.project
        key = f"chat/{project.environment}/{project.service}/{question.once}"
        body = {
            "at": self.chat.now(),
            "who": self._who.here.person,
            "act": question.asked.act,
        }
        store = open_store(self._who.here, project)
        try:
            store.create_if_absent(key, json.dumps(body))
        except Taken as error:
            raise NotAsked("used") from error

    def _tell(self, message: Message) -> None:
        self.chat.tell(
            self.request.url,
            message,
        )

    def _replace(self, words: str) -> None:
        """In the place of the question, so that its button is gone."""
        self._tell({"replace_original": True, **shown(words)})


def _word(act: Act) -> str:
    return act.replace("-", "_")


# --- Slack's forms


def shown(words: str) -> Message:
    """Text that calls nobody and links nowhere."""
    return {
        "text": for_slack(words)[:_MOST_TEXT],
        "blocks": [section(words)],
    }


def only_to_you(words: str) -> Message:
    return {"response_type": "ephemeral", "replace_original": False, **shown(words)}


def section(words: str) -> Message:
    """A section's text has 3,000 letters at most."""
    return {
        "type": "section",
        "text": {
            "type": "mrkdwn",
            "text": for_slack(words)[:_MOST_TEXT],
            "verbatim": True,
        },
    }


def button(action: str, words: str, value: str, style: str = "") -> Message:
    found: Message = {
        "type": "button",
        "action_id": action,
        "text": {"type": "plain_text", "text": words},
        "value": value,
    }
    return {**found, "style": style} if style else found


def actions(buttons: Sequence[Message]) -> Message:
    return {"type": "actions", "elements": list(buttons)}
