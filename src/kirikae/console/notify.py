"""Tell a chat and an SNS topic what a move does: each event once, however many drivers come and go.

An event is claimed in the journal's store before it is sent, so a restarted driver does not repeat
it; sending is tried three times, beside the driver, never in its way.  Slack keeps a thread per
move where a bot token is given (chat.postMessage answers with ``ts``,
docs.slack.dev/reference/methods/chat.postMessage); an incoming webhook answers only "ok", so there
each message names its move."""

from __future__ import annotations

import http.client
import json
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kirikae.aws import messages
from kirikae.aws.session import Aws
from kirikae.console.context import Desk
from kirikae.console.errors import NotSent
from kirikae.console.notices import Announcer, Notice
from kirikae.console.speech import Speech
from kirikae.model.errors import AwsUnreachable, KirikaeError
from kirikae.model.move import Move
from kirikae.model.project import Project
from kirikae.model.shown import clean
from kirikae.model.texts import shortened
from kirikae.move.engine import Look, Waits
from kirikae.move.journal import Journal

_TRIES = 3
_PAUSE_S = 2.0
_NOT_DELIVERED = (
    KirikaeError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""Whatever a chat answers ends one message, and never the thread that sends the next."""
_TIMEOUT_S = 5.0
_TOLD_WAITS = (Waits.APPROVAL, Waits.WINDOW)
_FRESH_S = 900.0
"""Older entries are history, not news: who switches messages on is not flooded."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A notice that waits to be sent, and the move that it is about."""

    move: Move
    notice: Notice


class Notifier:
    """Feed it every look of a driver; ``close`` waits for what is still to be sent."""

    def __init__(
        self,
        aws: Aws,
        project: Project,
        journal: Journal,
        announcer: Announcer,
        complain: Callable[[str], None],
    ) -> None:
        """Starts the thread that sends.  ``complain`` is told what could not be sent."""
        assert project.notify is not None
        self._aws = aws
        self._settings = project.notify
        self._journal = journal
        self._announcer = announcer
        self._complain = complain
        self._title = f"{project.service} ({project.environment})"
        self._seen = 0
        self._claimed: set[str] = set()
        self._waiting: queue.Queue[_Message | None] = queue.Queue()
        self._thread = threading.Thread(target=self._send_all, name="notify", daemon=True)
        self._thread.start()

    def __call__(self, look: Look) -> None:
        """News of this look: entries since the last, and a step that begins to wait for
        somebody."""
        try:
            if look.move.seq != self._seen:
                self._entries(look.move)
                self._seen = look.move.seq
            if look.wait is not None and look.wait.on in _TOLD_WAITS:
                on = look.wait.on
                notice = self._announcer.of_waiting(on, look.move, look.evidence)
                self._put(look.move, f"{on}-{look.move.stepped}", notice)
        except (KirikaeError, AwsUnreachable) as error:
            self._complain(f"a message could not be prepared: {error}")

    def left(self, name: str) -> None:
        """Nobody drives it from now on: told where users are on the new side."""
        try:
            move = self._journal.read(name)
            if move.live and move.share:
                self._put(move, f"left-{move.seq}", self._announcer.of_leaving(move))
        except (KirikaeError, AwsUnreachable) as error:
            self._complain(f"a message could not be prepared: {error}")

    def _entries(self, move: Move) -> None:
        """News of the journal since the last look.

        An order counts once it was carried out: what was only written down may still be replaced.
        """
        for before, after in pairwise(self._journal.entries(move.name)):
            order = before.move.intent
            carried_out = order is not None and after.move.intent is None
            fresh = after.at >= time.time() - _FRESH_S
            if order is None or not carried_out or not fresh or after.move.seq <= self._seen:
                continue
            notice = self._announcer.of_order(order, after.move, before.evidence, before.approver)
            if notice is not None:
                self._put(after.move, f"told-{after.move.seq}", notice)

    def _put(self, move: Move, what: str, notice: Notice) -> None:
        """Claimed in the journal, then queued: of several drivers one sends it.

        A crash between claiming and sending loses the message rather than repeating it.
        """
        if what not in self._claimed:
            first = self._journal.claim(move, what)
            self._claimed.add(what)
            if first:
                self._waiting.put(_Message(move, notice))

    def close(self, timeout_s: float = 20.0) -> None:
        """Wait for what is queued, but no longer than this: a chat that hangs must not hold a
        verb."""
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _send_all(self) -> None:
        """The thread's whole life: one message after the other, until it is closed."""
        while (message := self._waiting.get()) is not None:
            for send in self._ways():
                self._try(send, message.move, message.notice)

    def _ways(self) -> list[Callable[[Move, Notice], None]]:
        """Every way that the project file names."""
        slack = self._settings.slack
        ways: list[Callable[[Move, Notice], None]] = []
        if slack is not None:
            ways.append(self._to_webhook if slack.webhook else self._to_channel)
        if self._settings.sns is not None:
            ways.append(self._to_topic)
        return ways

    def _try(self, send: Callable[[Move, Notice], None], move: Move, notice: Notice) -> None:
        """Three tries with growing pauses; after the last one it is complained of, and given up."""
        for attempt in range(_TRIES):
            try:
                send(move, notice)
                return
            except _NOT_DELIVERED as error:
                if attempt + 1 == _TRIES:
                    self._complain(f"a message was not delivered ({error}): {notice.verdict}")
                else:
                    time.sleep(_PAUSE_S * (attempt + 1))

    # --- the ways

    def _to_topic(self, move: Move, notice: Notice) -> None:
        """To SNS.  A subject is ASCII (SNS API reference, Publish)."""
        topic = self._settings.sns
        assert topic is not None
        messages.publish(
            self._aws,
            topic,
            f"[kirikae] {self._title}: {move.name}".encode("ascii", "replace").decode(),
            clean(notice.text()),
            move.name,
        )

    def _to_webhook(self, move: Move, notice: Notice) -> None:
        """To Slack's incoming webhook."""
        slack = self._settings.slack
        assert slack is not None and slack.webhook is not None
        post(
            secret_of(self._aws, slack.webhook),
            {"text": self._for_slack(move, notice)},
        )

    def _for_slack(self, move: Move, notice: Notice) -> str:
        return f"*{self._title} · {move.name}*\n{for_slack(notice.text())}"

    def _to_channel(self, move: Move, notice: Notice) -> None:
        """To a Slack channel, in the move's thread; the first message begins it, and its ``ts`` is
        noted in the journal.  Raises NotSent where Slack says no."""
        slack = self._settings.slack
        assert slack is not None and slack.token is not None
        thread = self._journal.note(move, "slack-thread")
        body: dict[str, Any] = {
            "channel": slack.channel,
            "text": self._for_slack(move, notice),
        }
        if thread is not None:
            body["thread_ts"] = thread.get("ts")
        token = secret_of(self._aws, slack.token)
        said = post(f"{slack.api}/chat.postMessage", body, token)
        answer = json.loads(said)
        if not isinstance(answer, dict) or not answer.get("ok"):
            why = answer.get("error") if isinstance(answer, dict) else None
            raise NotSent(f"Slack says {why or shortened(answer)}")
        if isinstance(answer.get("ts"), str):
            self._journal.note_once(move, "slack-thread", {"ts": answer["ts"]})


def secret_of(aws: Aws, where: str) -> str:
    """``env:NAME`` or ``ssm:NAME``: never in the project file itself.  Raises NotSent, and what AWS
    says."""
    kind, _, name = where.partition(":")
    if kind == "ssm":
        return messages.parameter(aws, name)
    if name not in os.environ:
        raise NotSent(f"the environment variable {name} is not set")
    return os.environ[name]


def notifier_of(desk: Desk, complain: Callable[[str], None]) -> Notifier | None:
    """None where the project file names nobody who is to be told."""
    notify = desk.project.notify
    if notify is None:
        return None
    speech = Speech(notify.language, desk.kind.name)
    announcer = Announcer(speech, desk.thing.told)
    return Notifier(desk.aws, desk.project, desk.journal, announcer, complain)


def tell_once(desk: Desk, complain: Callable[[str], None]) -> None:
    """What a verb without a driver has just done."""
    notifier = notifier_of(desk, complain)
    if notifier is not None:
        notifier(Look(desk.journal.read(desk.name)))
        notifier.close()


def for_slack(text: str) -> str:
    """What people, hosts and AWS wrote is text: it calls no channel and is no link (Slack API,
    "Escaping text")."""
    text = clean(text)
    for letter, stands_for in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(letter, stands_for)
    return text


class Straight(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to whom nobody named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """It stands as the answer that it is."""


def post(url: str, body: dict[str, Any], token: str = "") -> str:
    """Raises NotSent without the URL: it may hold the secret."""
    headers = {"Content-Type": "application/json; charset=utf-8"} | (
        {"Authorization": f"Bearer {token}"} if token else {}
    )
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        opener = urllib.request.build_opener(Straight)
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return str(answer.read(1 << 16).decode())
    except urllib.error.HTTPError as error:
        raise NotSent(f"the chat answered {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotSent(f"the chat does not answer: {type(error).__name__}") from error
