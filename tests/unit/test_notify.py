"""Messages: by a webhook too, each event once for any number of drivers, and never in the move's
way."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kirikae.aws.session import Aws
from kirikae.console import notify
from kirikae.console.notices import Announcer
from kirikae.console.notify import Notifier
from kirikae.console.speech import Speech
from kirikae.model.move import Order, Phase, Verb
from kirikae.model.project import Notify, Project, Slack
from kirikae.model.said import text
from kirikae.move.engine import Look
from tests.world import Bench


class Hook(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tokens: list[str] = []
        self.headers: dict[str, str] = {}
        self.status = 200
        self.answer = b"ok"
        super().__init__(("127.0.0.1", 0), _Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.tokens.append(self.headers.get("Authorization", ""))
        self.server.texts.append(
            json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        )
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    found = Hook()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{found.server_address[1]}/services/T0/B0/secret")
    monkeypatch.setattr(notify, "_PAUSE_S", 0.01)
    yield found
    found.shutdown()


def notifier(bench: Bench, complaints: list[str], slack: Slack | None = None) -> Notifier:
    settings = Notify(slack=slack or Slack(webhook="env:HOOK"))
    told = SimpleNamespace(notify=settings, service="shop", environment="test")
    announcer = Announcer(Speech("en", "world"), bench.thing.told)
    project = cast(Project, told)
    return Notifier(cast(Aws, None), project, bench.journal, announcer, complaints.append)


def moved(bench: Bench) -> None:
    bench.plan()
    bench.drive()


def test_who_stays_on_the_new_side_without_a_driver_is_told_once(tmp_path, hook):
    """A drive that ends by a closed terminal ends in front of nobody: the chat hears of it."""
    bench = Bench(tmp_path)
    bench.plan()
    move = bench.journal.read("web")
    bench.journal.write(replace(move, phase=Phase.RUNNING, share=100, seq=move.seq + 1))
    for _ in range(2):
        teller = notifier(Bench(tmp_path), [])
        teller.left("web")
        teller.close()
    assert len(hook.texts) == 1 and "nobody judges or backs them out" in hook.texts[0]
    assert "kirikae move start web" in hook.texts[0]


def test_two_drivers_tell_each_event_once(tmp_path, hook):
    """The second finds every event claimed."""
    bench = Bench(tmp_path)
    complaints = []
    moved(bench)
    for _ in range(2):
        teller = notifier(Bench(tmp_path), complaints)
        teller(Look(bench.journal.read("web")))
        teller.close()
    assert [text.splitlines()[1].partition(" ·")[0] for text in hook.texts] == [
        "web has begun, at 0%",
        "PASS",
        "PASS",
        "PASS",
        "PASS",
    ]
    assert all(text.startswith("*shop (test) · web*") for text in hook.texts) and not complaints


def test_a_chat_that_is_broken_is_complained_of_without_its_secret(tmp_path, hook):
    """Three tries, a line for people, and the move goes on."""
    bench = Bench(tmp_path)
    complaints = []
    moved(bench)
    hook.status = 500
    teller = notifier(bench, complaints)
    teller(Look(bench.journal.read("web")))
    teller.close()
    assert len(hook.texts) == 15 and len(complaints) == 5
    assert all("the chat answered 500" in line and "secret" not in line for line in complaints)


def test_a_secret_that_is_not_set_is_named(tmp_path, hook, monkeypatch):
    """The variable, not its value."""
    monkeypatch.delenv("HOOK")
    bench = Bench(tmp_path)
    complaints = []
    moved(bench)
    teller = notifier(bench, complaints)
    teller(Look(bench.journal.read("web")))
    teller.close()
    assert "the environment variable HOOK is not set" in complaints[0]


def held(bench: Bench, reason: str) -> Look:
    """A move that was just held, with what a person wrote."""
    bench.plan()
    move = bench.journal.read("web")
    order = Order(Verb.HOLD, reason=text(reason))
    bench.journal.write(bench.journal.write(move.intending(order)).done())
    return Look(bench.journal.read("web"))


def test_what_people_and_hosts_wrote_calls_nobody(tmp_path, hook):
    """Slack reads <!channel> as an order, and <url|words> as a link."""
    bench = Bench(tmp_path)
    look = held(bench, "<!channel> <https://evil|click> A&B \x1b[31m\u202e")
    teller = notifier(bench, [])
    teller(look)
    teller.close()
    [told] = hook.texts
    assert "&lt;!channel&gt; &lt;https://evil|click&gt; A&amp;B" in told
    assert "<" not in told and "\x1b" not in told and "\u202e" not in told


@pytest.mark.parametrize(
    "answer",
    [b"[]", b"null", b"3", b"{}", b'{"ok": true}', b"<html>", b"", b"[" * 100_000, b"\xff"],
)
def test_whatever_a_chat_answers_the_next_message_is_sent(tmp_path, hook, answer):
    """The thread that sends outlives it."""
    bench = Bench(tmp_path)
    complaints: list[str] = []
    moved(bench)
    hook.answer = answer
    slack = Slack(token="env:HOOK", channel="C1", api=f"http://127.0.0.1:{hook.server_address[1]}")
    teller = notifier(bench, complaints, slack)
    teller(Look(bench.journal.read("web")))
    teller.close()
    times = 1 if answer == b'{"ok": true}' else notify._TRIES
    assert len(hook.texts) == 5 * times
    assert len(complaints) == (0 if times == 1 else 5)


def test_a_redirect_does_not_get_the_token(tmp_path, hook):
    """It is an answer like any other, and no other place is asked."""
    bench = Bench(tmp_path)
    complaints: list[str] = []
    moved(bench)
    elsewhere = Hook()
    hook.status = 302
    hook.headers = {"Location": f"http://127.0.0.1:{elsewhere.server_address[1]}/"}
    slack = Slack(token="env:HOOK", channel="C1", api=f"http://127.0.0.1:{hook.server_address[1]}")
    teller = notifier(bench, complaints, slack)
    teller(Look(bench.journal.read("web")))
    teller.close()
    elsewhere.shutdown()
    assert not elsewhere.tokens and all("the chat answered 302" in each for each in complaints)
