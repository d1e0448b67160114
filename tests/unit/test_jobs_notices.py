"""Notices of jobs: which, how often, and by which way."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from kirikae.jobs.errors import NoWay
from kirikae.jobs.job import Firing, Owner, State
from kirikae.jobs.notices import (
    SLACK,
    Digest,
    Event,
    Notice,
    Teller,
    of_ending,
    of_recovery,
    way_named,
)
from tests.pace import eventually

NOON = 29_000_000


def firing(due: int = NOON, state: State = State.SUCCEEDED) -> Firing:
    return Firing("a", due, Owner.NEW, state, due * 60.0)


def notice(n: int = 0, job: str = "a") -> Notice:
    return Notice(Event.FAILURE, job, f"{job}@{n}", "exit status 1", ("last line",))


def test_a_failure_is_told_and_lines_that_match():
    """A run that is well and writes nothing of the kind is not."""
    failed = of_ending(firing(), State.FAILED, "exit status 1", (), 0, "one\ntwo")
    assert failed is not None and failed.event is Event.FAILURE and failed.lines == ("one", "two")
    matched = of_ending(firing(), State.SUCCEEDED, "", ("FATAL: x",), 3, "")
    assert matched is not None and "3 lines match: FATAL: x" in matched.subject
    assert of_ending(firing(), State.SUCCEEDED, "", (), 0, "fine") is None


def test_a_subject_is_one_line():
    """A mail's head ends where a line does."""
    found = of_ending(firing(), State.FAILED, "no\nBcc: x@y", (), 0, "")
    assert found is not None and "\n" not in found.subject


def test_that_it_is_well_again_is_told_once():
    """Only after one that was not."""
    bad = firing(NOON - 1, State.FAILED)
    well = firing(NOON - 1)
    found = of_recovery(firing(), [firing(), bad, firing(NOON - 2)])
    assert found is not None and found.event is Event.RECOVERED
    assert of_recovery(firing(), [firing(), well, bad]) is None
    assert of_recovery(firing(), []) is None


def test_one_notice_for_a_job_in_ten_minutes_then_a_digest():
    """Other jobs are told at once."""
    digest = Digest()
    assert len(digest.take(notice(0), 0)) == 1
    assert digest.take(notice(1), 60) == [] and digest.take(notice(2), 120) == []
    assert len(digest.take(notice(0, "b"), 130)) == 1
    assert digest.due(599) == []
    ((subject, text),) = digest.due(601)
    assert subject.startswith("a: 2 notices") and "a@1" in text and "a@2" in text
    assert digest.due(602) == []
    assert len(digest.take(notice(3), 1300)) == 1


def test_a_job_chooses_what_is_told():
    """Empty: everything."""
    sent: list[str] = []
    teller = Teller([lambda subject, text: sent.append(subject)])
    teller.tell(notice(1), ("missed",), 0)
    teller.tell(notice(2, "b"), ("failure",), 0)
    teller.tell(notice(3, "c"), (), 0)
    eventually(lambda: len(sent) == 2, "two are sent")
    assert not any("a@1" in subject for subject in sent)


def test_a_way_that_fails_does_not_keep_the_others(caplog):
    """And is logged."""
    sent: list[str] = []

    def broken(subject: str, text: str) -> None:
        raise OSError("no route")

    Teller([broken, lambda subject, text: sent.append(text)]).tell(notice(), (), 0)
    eventually(lambda: sent, "the other is sent")
    assert "no route" in caplog.text and "last line" in sent[0]


def test_a_command_gets_the_text_on_its_standard_input(tmp_path):
    """As sqsjkr's trigger."""
    out = tmp_path / "out"
    way_named(f"command:cat >{out}; echo $KIRIKAE_SUBJECT >>{out}")("subject", "text")
    assert out.read_text() == "text\nsubject\n"


def test_slack_gets_a_text():
    """By an incoming webhook, whose URL is no option: it is a secret."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/x"
    way_named("slack", environment={SLACK: url})("s", "切り替え")
    server.shutdown()
    server.server_close()
    assert got == [{"text": "切り替え"}]


def test_a_topic_gets_subject_and_text():
    """Through whatever publishes."""
    sent: list[tuple[str, str, str]] = []
    way = way_named("sns:arn:aws:sns:r:1:t", lambda *said: sent.append(said))
    way("s", "t")
    assert sent == [("arn:aws:sns:r:1:t", "s", "t")]


@pytest.mark.parametrize("named", ["slack", "pigeon", "mail:-oQ/tmp", "command:", "sns:x"])
def test_a_way_that_is_none_is_refused(named):
    """Before anything runs."""
    with pytest.raises(NoWay):
        way_named(named, lambda *said: None, {})
