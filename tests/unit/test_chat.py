"""Commands from Slack: proven, asked back, done once, and in the journal with who asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from kirikae.console.chat import acts
from kirikae.console.chat.asked import Act, Asked, Question, asked_from
from kirikae.console.chat.signed import SKEW_S, signature
from kirikae.console.chat.slack import MOST_BYTES, Chat, Reply
from kirikae.console.errors import NotSent
from kirikae.console.here import Answer, Here
from kirikae.model.errors import Exit
from kirikae.model.move import Move, Phase, Why
from kirikae.move.journal import Entry, Journal
from kirikae.move.sqlite_store import SqliteStore
from tests.unit.test_every_verb import PROJECT
from tests.unit.test_every_verb import folder as project_folder
from tests.world import PLAN

folder = project_folder
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
URL = "https://hooks.slack.com/commands/T1/2/secret-part"
CHAT = """\
chat:
  signing_secret: env:SIGNING
  team: T0001
  language: {language}
  people:
    U0SATO: {{name: Sato, may: [approve, hold, back-out, deploy]}}
    U0ITO: {{name: Ito}}
"""
NOW = 1_800_000_000.0


@dataclass
class Place:
    """A project with one move of a file, its journal, and a Slack that keeps what it is sent."""

    folder: Path
    language: str = "en"
    advance: str = "ask"
    read_only: bool = False
    now: float = NOW
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.write_project(PROJECT.replace("advance: auto", f"advance: {self.advance}"))
        self.journal = Journal(
            SqliteStore(self.folder / ".kirikae" / "state.db"), "test", "shop", "arn:driver", "here"
        )
        self.journal.write(
            replace(
                Move("earth", PLAN, seq=1, share=100), phase=Phase.RUNNING, attempt=1, stepped=1
            )
        )
        (self.folder / "world").write_text("100\n")
        self.anew()

    def write_project(self, text: str) -> None:
        (self.folder / "kirikae.yml").write_text(text + CHAT.format(language=self.language))

    def anew(self) -> None:
        """Another process."""
        here = Here(read_only=self.read_only, environment={"SIGNING": SECRET})
        self.chat = Chat(here, self.complaints.append, self._send, lambda: self.now)

    def _send(self, url: str, message: dict[str, Any]) -> None:
        self.sent.append((url, message))

    def post(self, fields: Mapping[str, str], **headers: str) -> Reply:
        body = urlencode(fields).encode()
        self.now += 1  # Slack's own time is in every signature
        stamp = str(int(self.now))
        signed = {
            "x-slack-request-timestamp": stamp,
            "x-slack-signature": signature(SECRET, stamp, body),
        }
        return self.chat.handle({**signed, **headers}, body)

    def command(self, text: str, user: str = "U0SATO", **more: str) -> Reply:
        fields = {"user_id": user, "user_name": "sato", "team_id": "T0001", "text": text}
        return self._all(self.post({**fields, "response_url": URL, **more}))

    def press(self, action: str, value: str, user: str = "U0SATO") -> Reply:
        payload = {
            "type": "block_actions",
            "user": {"id": user, "username": "sato"},
            "team": {"id": "T0001"},
            "response_url": URL,
            "actions": [{"action_id": action, "value": value}],
        }
        return self._all(self.post({"payload": json.dumps(payload)}))

    def _all(self, reply: Reply) -> Reply:
        if reply.later is not None:
            reply.later()
        return reply

    @property
    def last(self) -> dict[str, Any]:
        return self.sent[-1][1]

    @property
    def confirm(self) -> str:
        """What the last question's button carries."""
        [_, buttons] = self.last["blocks"]
        [yes, no] = buttons["elements"]
        assert (yes["action_id"], no["action_id"]) == ("confirm", "cancel")
        return str(yes["value"])

    def ask(self, text: str) -> str:
        self.command(text)
        return self.confirm

    @property
    def entry(self) -> Entry:
        return self.journal.last("earth")

    @property
    def share(self) -> str:
        return (self.folder / "world").read_text().split()[-1]


@pytest.fixture
def place(folder) -> Place:
    return Place(folder)


# --- is it Slack?


def test_slack_s_own_example_of_a_signature():
    """Slack, "Verifying requests from Slack"."""
    body = (
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        "&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        "&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        "%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    assert signature(SECRET, "1531420618", body.encode()) == (
        "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"x-slack-signature": "v0=" + "0" * 64},
        {"x-slack-signature": ""},
        {"x-slack-signature": "v0=é"},
        {"x-slack-request-timestamp": ""},
        {"x-slack-request-timestamp": "-5"},
        {"x-slack-request-timestamp": "٣"},
        {"x-slack-request-timestamp": "9" * 5000},
    ],
)
def test_what_slack_did_not_sign_is_refused_and_told_nothing(place, headers):
    fields = {"user_id": "U0SATO", "team_id": "T0001", "text": "hold earth", "response_url": URL}
    reply = place.post(fields, **headers)
    assert reply == Reply(401) and not place.sent
    assert len(place.complaints) == 1 and SECRET not in place.complaints[0]


@pytest.mark.parametrize("late", [SKEW_S + 2, -SKEW_S - 2])
def test_a_clock_that_differs_by_more_than_five_minutes_is_refused(place, late):
    stamp = str(int(NOW))
    signed = {
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": signature(SECRET, stamp, b""),
    }
    place.now = NOW + late
    assert place.chat.handle(signed, b"").status == 401
    assert "signed" in place.complaints[0]


def test_a_request_that_is_sent_again_is_refused(place):
    body = urlencode({"user_id": "U0SATO", "team_id": "T0001", "response_url": URL}).encode()
    stamp = str(int(NOW))
    signed = {
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": signature(SECRET, stamp, body),
    }
    assert place.chat.handle(signed, body).status == 200
    assert place.chat.handle(signed, body).status == 401
    assert "came before" in place.complaints[-1]


def test_without_a_secret_nothing_is_proven(place):
    place.chat = Chat(Here(environment={}), place.complaints.append, place._send, lambda: place.now)
    stamp = str(int(NOW))
    signed = {"x-slack-request-timestamp": stamp, "x-slack-signature": signature("", stamp, b"")}
    assert place.chat.handle(signed, b"").status == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": "{"},
        {"payload": "[]"},
        {"payload": json.dumps({"type": "block_actions", "user": {}, "actions": []})},
        {"payload": "[" * 10_000},
        {"text": "status"},
        {"user_id": "U0SATO", "response_url": "https://evil.example/hooks.slack.com/"},
        {"user_id": "U0SATO", "response_url": "http://hooks.slack.com/x"},
    ],
)
def test_what_slack_never_sends_is_refused(place, fields):
    """And no answer goes to another host."""
    assert place.post(fields).status == 401 and not place.sent


def test_what_asks_for_nothing_is_acknowledged(place):
    assert place.post({"ssl_check": "1"}) == Reply(200)
    assert place.post({"payload": json.dumps({"type": "view_closed"})}) == Reply(200)
    assert place.chat.handle({}, b"x" * (MOST_BYTES + 1)) == Reply(413)


def test_without_a_chat_in_the_project_file_there_is_no_such_page(place):
    (place.folder / "kirikae.yml").write_text(PROJECT)
    assert place.chat.handle({}, b"") == Reply(404)


# --- who may


def test_who_is_not_named_is_refused_by_name(place):
    reply = place.command("status", user="U0EVE", user_name="eve")
    assert "eve (U0EVE) is not among `chat.people`" in reply.body["text"]
    assert reply.body["response_type"] == "ephemeral" and reply.later is None and not place.sent
    assert "U0EVE" in place.complaints[0]


def test_another_workspace_is_refused(place):
    assert "workspace T0666" in place.command("status", team_id="T0666").body["text"]


def test_who_may_look_may_not_act(place):
    reply = place.command("hold earth", user="U0ITO")
    assert "Ito may not hold" in reply.body["text"] and not place.sent
    place.command("status", user="U0ITO")
    assert "earth is running at 10%" in place.last["text"]
    assert [block["type"] for block in place.last["blocks"]] == ["section"]  # no button


def test_a_permission_that_was_taken_away_meanwhile_counts(place):
    value = place.ask("hold earth")
    text = (place.folder / "kirikae.yml").read_text()
    (place.folder / "kirikae.yml").write_text(text.replace("hold, ", ""))
    place.press("confirm", value)
    assert "may not hold" in place.last["text"] and place.entry.move.held is None


# --- look


def test_a_command_is_heard_at_once_and_answered_later(place):
    """Three seconds: neither AWS nor the journal is asked before the answer."""
    body = {"user_id": "U0SATO", "team_id": "T0001", "text": "status", "response_url": URL}
    reply = place.post(body)
    assert reply.status == 200 and "one moment" in reply.body["text"] and not place.sent
    reply.later()
    assert len(place.sent) == 1


def test_status_has_the_buttons_of_what_may_be_asked(place):
    place.command("")
    buttons = place.last["blocks"][1]["elements"]
    assert [each["value"] for each in buttons] == ["approve earth", "hold earth", "back-out earth"]
    assert len({each["action_id"] for each in buttons}) == 3
    place.command("status earth")
    assert "nobody drives it" in place.last["text"]


def test_status_in_japanese(folder):
    place = Place(folder, language="ja")
    place.command("status earth")
    assert "実行している人はいません" in place.last["text"]
    place.ask("back-out earth")
    assert "旧環境に戻しますか" in place.last["text"]
    assert place.last["blocks"][1]["elements"][0]["text"]["text"] == "切り戻す"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("", Asked(Act.STATUS)),
        ("Status web", Asked(Act.STATUS, "web")),
        ("approve web", Asked(Act.APPROVE, "web")),
        ("hold web it is late", Asked(Act.HOLD, "web", reason="it is late")),
        ("back-out web", Asked(Act.BACK_OUT, "web")),
        ("deploy r2 old,new", Asked(Act.DEPLOY, "r2", ("old", "new"))),
        *[(words, None) for words in ("approve", "hold", "deploy r2", "deploy r2 ,", "retire web")],
        ("approve web now", None),
        ("help", None),
    ],
)
def test_what_a_command_asks_for(words, asked):
    assert asked_from(words) == asked


def test_what_is_not_understood_is_answered_with_what_can_be_asked(place):
    assert "approve MOVE" in place.command("retire earth").body["text"] and not place.sent


# --- ask back, and do


def test_nothing_is_done_before_the_answer(place):
    for words in ("approve earth", "hold earth", "back-out earth"):
        place.ask(words)
    assert place.entry.move.seq == 1 and place.share == "100"
    assert place.last["response_type"] == "ephemeral"


def test_approve_is_in_the_journal_with_who(place):
    value = place.ask("approve earth")
    assert "next step of earth, to 50%?" in place.last["text"]
    place.press("confirm", value)
    [heard, done] = [message for _, message in place.sent[-2:]]
    assert heard["replace_original"] is True
    assert done["response_type"] == "in_channel" and "Sato approved" in done["text"]
    [approver] = place.journal.approved_by(place.entry.move)
    assert approver.endswith("console/Sato (Slack U0SATO)")


def test_a_button_of_status_asks_back_too(place):
    place.press("ask hold earth", "hold earth")
    assert place.entry.move.held is None
    place.press("confirm", place.confirm)
    assert place.entry.move.held.why is Why.BY_HAND
    assert place.entry.who.endswith("console/Sato (Slack U0SATO)")


def test_the_red_button_takes_everybody_back(place):
    place.press("confirm", place.ask("back-out earth errors <!channel>"))
    assert place.share == "0" and place.entry.move.held.why is Why.BACKED_OUT
    assert "Sato backed out earth: share is 0" in place.last["text"]
    assert place.entry.who.endswith("(Slack U0SATO)")
    assert not [m for _, m in place.sent if "<!channel>" in json.dumps(m)]


def test_the_red_button_needs_neither_the_journal_nor_a_faultless_project_file(place):
    value = place.ask("back-out earth")
    (place.folder / ".kirikae" / "state.db").write_bytes(b"no database" * 1000)
    place.write_project(PROJECT.replace("service: shop", "service: shop\nservise: shop"))
    place.press("confirm", value)
    assert place.share == "0"
    assert "NOT all of it is certain" in place.last["text"]


@pytest.mark.parametrize("anew", [False, True])
def test_an_answer_counts_once_in_whatever_process(place, anew):
    value = place.ask("hold earth")
    place.press("confirm", value)
    seq = place.entry.move.seq
    if anew:
        place.anew()
    place.press("confirm", value)
    assert "answered already" in place.last["text"] and place.entry.move.seq == seq


def test_the_red_button_of_a_question_is_pressed_once_too(place):
    """It waits for no store, but a process does not hear the same answer twice."""
    value = place.ask("back-out earth")
    place.press("confirm", value)
    (place.folder / "world").write_text("500\n")
    place.press("confirm", value)
    assert "answered already" in place.last["text"] and place.share == "500"


def test_an_answer_of_somebody_else_or_too_late_does_nothing(place):
    value = place.ask("hold earth")
    place.press("confirm", value, user="U0ITO")
    assert "somebody else was asked" in place.last["text"]
    place.now += 301
    place.press("confirm", value)
    assert "too old" in place.last["text"]
    assert place.entry.move.seq == 1


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: "x" + v, lambda v: "", lambda v: "."]
)
def test_a_forged_answer_does_nothing(place, change):
    value = place.ask("hold earth")
    place.press("confirm", change(value))
    assert "was not made by this kirikae" in place.last["text"] and place.entry.move.seq == 1


def test_a_step_that_was_not_seen_is_not_approved(place):
    value = place.ask("approve earth")
    place.press("confirm", place.ask("hold earth"))
    place.press("confirm", value)
    assert "has gone on since" in place.last["text"]


def test_cancelled_is_left_as_it_is(place):
    place.ask("back-out earth")
    place.press("cancel", "cancel")
    assert place.last["replace_original"] is True and place.share == "100"


def test_what_the_verb_would_refuse_is_refused_before_it_is_asked(folder):
    place = Place(folder, advance="auto")
    place.command("approve earth")
    assert "no step of it waits for an approval" in place.last["text"]
    place.command("hold mars")
    assert "has no move 'mars'" in place.last["text"]
    place.command("deploy r9 new")
    assert place.last["text"].startswith("not done:")
    place.command("deploy r9 sideways")
    assert "sideways: name old, new" in place.last["text"]


def test_read_only_asks_for_nothing(folder):
    place = Place(folder, read_only=True)
    place.command("back-out earth")
    assert "--read-only" in place.last["text"] and place.share == "100"


def test_who_drives_in_a_terminal_is_nobody_else_in_a_chat(folder):
    """`approver: another`: identities of AWS are compared, so the chat must know whose it is."""
    place = Place(folder)
    text = (
        (folder / "kirikae.yml")
        .read_text()
        .replace("advance: ask", "advance: ask, approver: another")
    )
    (folder / "kirikae.yml").write_text(text)
    place.command("approve earth")
    assert "say who Sato is in AWS" in place.last["text"]
    for arn, told in (
        ("arn:aws:iam::1:user/sato", "Sato drives"),
        ("arn:aws:iam::1:user/x", "Approve"),
    ):
        (folder / "kirikae.yml").write_text(
            text.replace("{name: Sato,", f'{{name: Sato, aws: "{arn}",')
        )
        place.journal._who = "arn:aws:iam::1:user/sato"
        place.journal.write(place.entry.move.intending(acts.Order(acts.Verb.HOLD)))
        place.journal.write(place.entry.move.done())
        place.command("approve earth")
        assert told in place.last["text"]


def test_a_release_is_deployed_by_the_function_of_the_verb(place, monkeypatch):
    """What that does is proven by the release's own tests: here it is only called."""
    calls: list[tuple[Any, ...]] = []
    ends = [Exit.DONE, Exit.DONE, Exit.UNFINISHED]

    def opened(here, timeout_s, tell):
        return SimpleNamespace(who=here.signed("arn"))

    def deployed(desk, release, sides, dry_run):
        calls.append((desk.who, release, tuple(sides), dry_run))
        return Answer({}, ["r2 serves"], ends[len(calls) - 1])

    monkeypatch.setattr(acts, "open_release_desk", opened)
    monkeypatch.setattr(acts, "deployed", deployed)
    value = place.ask("deploy r2 old,new")
    assert "Deploy r2 to old, new?" in place.last["text"]
    place.press("confirm", value)
    who = "arn console/Sato (Slack U0SATO)"
    assert calls == [(who, "r2", ("old", "new"), True), (who, "r2", ("old", "new"), False)]
    assert "Sato deployed r2" in place.last["text"]


def test_what_slack_does_not_take_changes_nothing_that_was_done(place):
    value = place.ask("hold earth")

    def broken(url, message):
        raise NotSent("the chat answered 500")

    place.chat._send = broken
    place.press("confirm", value)
    assert place.entry.move.held is not None
    assert all("secret-part" not in each for each in place.complaints) and place.complaints


def test_whoever_asked_hears_of_a_fault_of_our_own(place, monkeypatch):
    def broken(*_):
        raise KeyError("x")

    monkeypatch.setattr("kirikae.console.chat.slack.looked", broken)
    with pytest.raises(KeyError):
        place.command("status")
    assert "kirikae itself failed" in place.last["text"]


def test_a_question_fits_a_button():
    """2,000 letters (Slack, "Button element"), whatever the reason is written in."""
    asked = asked_from("hold " + "m" * 63 + " " + "🚢" * 5000)
    assert len(Question.now(asked, "U" + "1" * 30, NOW).sealed(SECRET)) <= 2000
