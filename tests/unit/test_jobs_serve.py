"""The ledger over HTTP as a guard asks it: lines, refusals, and a process that is killed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kirikae.jobs.dynamo_rows import make_table
from kirikae.jobs.errors import LedgerAway
from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.job import LIKE_CRON, Firing, Owner, State, read_stamp
from kirikae.jobs.ledger import Claim, Ending, Hold, Refused, Wanted
from kirikae.jobs.serving import token_at
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.jobs.wire import latest_due
from kirikae.model.crontab.fields import Dialect
from tests.contract.test_ledger import TOKEN, served
from tests.keeper import KeeperProcess
from tests.pace import ended

NOON = read_stamp("20260308T1200Z")


@pytest.fixture
def url(tmp_path) -> Iterator[str]:
    ledger = sqlite_ledger(tmp_path / "jobs.db", lambda: NOON * 60.0 + 3)
    with served(ledger) as address:
        yield address
    ledger.close()


def post(url: str, verb: str, *lines: str, token: str = TOKEN) -> tuple[int, dict[str, str]]:
    """As curl would."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    body = "".join(f"{line}\n" for line in lines)
    connection.request("POST", f"/v1/{verb}", body.encode(), {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(line.split("=", 1) for line in text.splitlines())


def test_a_guards_life_in_lines(url):
    """Claim by the schedule of its line, beat, end; the second guard is told that it is over."""
    line = ("job=report", "when=*/5 * * * *", "start=yes")
    status, told = post(url, "claim", *line, "holder=vm1:1")
    assert (status, told["granted"], told["due"]) == (200, "yes", "20260308T1200Z")
    hold = ("job=report", f"due={told['due']}", f"fence={told['fence']}")
    assert post(url, "claim", *line, "holder=vm2:1")[1]["why"] == "held"
    assert post(url, "heartbeat", *hold, "lease=90") == (200, {"counts": "yes"})
    assert post(url, "finish", *hold, "exit=3", "tail=one", "tail=two")[1]["counts"] == "yes"
    told = post(url, "claim", *line, "holder=vm2:2")[1]
    assert (told["granted"], told["why"], told["state"]) == ("no", "over", "failed")
    assert post(url, "heartbeat", *hold) == (200, {"counts": "no"})
    firing = HttpLedger(url, TOKEN).firing("report", NOON)
    assert firing is not None and firing.runs[0].tail == "one\ntwo" and firing.exit_code == 3


def test_a_job_that_was_handed_over_is_refused_to_the_guard(url):
    """And given back to it later."""
    assert post(url, "own", "job=report", "owner=new")[0] == 200
    assert post(url, "owner", "job=report")[1] == {"owner": "new"}
    told = post(url, "claim", "job=report", "due=20260308T1200Z", "holder=vm1:1")[1]
    assert (told["granted"], told["why"], told["side"]) == ("no", "other-side", "new")
    post(url, "own", "job=report", "owner=old")
    told = post(url, "claim", "job=report", "due=20260308T1201Z", "holder=vm1:1")[1]
    assert told["granted"] == "yes"


def test_a_guard_may_set_a_policy(url):
    """Two jobs of one lock do not overlap on the old side either."""
    policy = ("overlap=queue-one", "lock=db")
    due = "due=20260308T1200Z"
    assert post(url, "claim", "job=a", due, "holder=1", *policy)[1]["granted"] == "yes"
    told = post(url, "claim", "job=b", due, "holder=2", *policy)[1]
    assert told["why"] == "overlap" and int(told["until"]) > NOON * 60


@pytest.mark.parametrize(
    ("verb", "lines"),
    [
        ("claim", ["job=a"]),
        ("claim", ["job=a", "holder=x"]),
        ("claim", ["job=a", "holder=x", "due=noon"]),
        ("claim", ["job=a", "holder=x", "when=* * * *"]),
        ("claim", ["job=a", "holder=x", "when=* * * * * * id"]),
        ("claim", ["job=a", "holder=x", "when=* * * * *", "zone=Mars/One"]),
        ("claim", ["job=a", "holder=x", "when=0 0 31 2 *"]),
        ("claim", ["job=a", "holder=x", "when=* * * * *", "side=left"]),
        ("claim", ["job=a", "holder=x", "when=* * * * *", "lease=0"]),
        ("claim", ["job=a", "holder=x", "when=* * * * *", "overlap=maybe"]),
        ("claim", ["job=a", "holder=x", "when=* * * * *", "start=perhaps"]),
        ("claim", ["rubbish"]),
        ("claim", ["colour=red"]),
        ("finish", ["job=a", "due=20260308T1200Z", "fence=1"]),
        ("finish", ["job=a", "due=20260308T1200Z", "fence=one", "exit=0"]),
        ("own", ["job=a", "owner=me"]),
        ("own", ["owner=new"]),
    ],
)
def test_a_wrong_request_is_refused_with_a_reason(url, verb, lines):
    """Nothing is written down."""
    status, told = post(url, verb, *lines)
    assert status == 400 and told["error"]
    assert HttpLedger(url, TOKEN).history() == []


def test_without_the_token_nothing_is_answered(url):
    """Nor with another one."""
    assert post(url, "health", token="other")[0] == 401
    assert post(url, "health")[1]["ok"] == "yes"
    assert post(url, "nothing")[0] == 404


def test_the_latest_due_minute_is_found_however_rare():
    """A minute, a day, years; the present minute counts."""
    for when, expected in (
        ("* * * * *", "20260308T1200Z"),
        ("0 4 * * *", "20260308T0400Z"),
        ("1 12 * * *", "20260307T1201Z"),
        ("@monthly", "20260301T0000Z"),
        ("0 0 29 2 *", "20240229T0000Z"),
    ):
        assert latest_due(when, "UTC", Dialect.DEBIAN, NOON) == read_stamp(expected)
    assert latest_due("0 0 31 2 *", "UTC", Dialect.DEBIAN, NOON) is None


def test_the_token_is_its_owners_alone(tmp_path):
    """Made once."""
    path = tmp_path / "jobs.db.token"
    token = token_at(path)
    assert path.stat().st_mode & 0o777 == 0o600 and len(token) == 64
    assert token_at(path) == token


@contextmanager
def process(
    folder: Path, port: int = 0, named: str = "jobs.db", **more: str
) -> Iterator[tuple[subprocess.Popen[str], HttpLedger]]:
    """A real `kirikae jobs serve`; of a table it is told the token, else it makes one."""
    command = [sys.executable, "-m", "kirikae", "jobs", "serve", "--ledger", named]
    running = subprocess.Popen(
        [*command, "--listen", f"127.0.0.1:{port}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **more},
    )
    assert running.stdout is not None
    try:
        line = running.stdout.readline()
        url = line.split("answers at ")[1].split(";")[0]
        token = more.get("KIRIKAE_JOBS_TOKEN") or (folder / f"{named}.token").read_text().strip()
        yield running, HttpLedger(url, token)
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def test_what_was_answered_is_there_after_a_sigkill(tmp_path):
    """The owner dies with a run under way: its fence still counts with the next owner."""
    with process(tmp_path) as (running, ledger):
        ledger.own(["a"], Owner.NEW)
        now = int(ledger.now() // 60)
        ledger.admit([Wanted("a", now, "d", 1)])
        claimed = ledger.claim(Claim("a", now, Owner.NEW, "w1", start=True))
        assert isinstance(claimed, Firing)
        running.send_signal(signal.SIGKILL)
        running.wait()
    with process(tmp_path) as (running, ledger):
        hold = Hold("a", now, claimed.fence)
        assert ledger.heartbeat(hold) and ledger.finish(hold, Ending(State.SUCCEEDED, 0))
        running.send_signal(signal.SIGTERM)
        assert ended(running) == 0


def test_two_that_answer_for_one_table_know_the_same(tmp_path):
    """Guards speak HTTP: before a table of DynamoDB any number of them stand."""
    keeper = KeeperProcess(tmp_path)
    told = {**keeper.environment, "KIRIKAE_JOBS_TOKEN": TOKEN}
    try:
        make_table(keeper.aws, "jobs")
        one = process(tmp_path, named="dynamodb://jobs", **told)
        other = process(tmp_path, named="dynamodb://jobs", **told)
        with one as (_, first), other as (_, second):
            claim = Claim("a", int(first.now() // 60), Owner.OLD, "vm1:1:0", admit=LIKE_CRON)
            granted = first.claim(claim)
            assert isinstance(granted, Firing)
            assert isinstance(second.claim(replace(claim, holder="vm2:1:0")), Refused)
            hold = Hold("a", claim.due, granted.fence)
            assert second.finish(hold, Ending(State.SUCCEEDED, 0))
            found = first.firing("a", claim.due)
            assert found is not None and found.state is State.SUCCEEDED
        del told["KIRIKAE_JOBS_TOKEN"]
        command = [sys.executable, "-m", "kirikae", "jobs", "serve", "--ledger", "dynamodb://jobs"]
        clean = {name: value for name, value in os.environ.items() if "TOKEN" not in name}
        refused = subprocess.run(command, env={**clean, **told}, capture_output=True, text=True)
        assert refused.returncode == 2 and "KIRIKAE_JOBS_TOKEN" in refused.stderr
    finally:
        keeper.kill()


def test_a_second_owner_is_refused(tmp_path):
    """With what to do, and at once."""
    with process(tmp_path):
        second = subprocess.run(
            [sys.executable, "-m", "kirikae", "jobs", "serve", "--ledger", "jobs.db"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1 and "another process owns" in second.stderr


def raw(url: str, *parts: bytes) -> bytes:
    """Byte by byte, until the other end closes."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), 60) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while more := connection.recv(65536):
            found += more
    return found


_TOKEN = f"Authorization: Bearer {TOKEN}\r\n".encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /v1/owner HTTP/1.1\r\nContent-Length: no\r\n\r\n", 400),
        (b"POST /v1/owner HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 400),
        (b"POST /v1/owner HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /v1/owner HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"POST /v1/owner HTTP/1.1\r\nX : folded\r\n\r\n", 400),
        (b"what is this\r\n\r\n", 400),
        (b"POST /v1/owner HTTP/1.1\r\nX: " + b"x" * 20_000, 400),
        (b"POST /v1/owner HTTP/1.1\r\n" + b"X: x\r\n" * 200 + b"\r\n", 400),
        (b"POST /v1/owner HTTP/1.1\r\n\r\n", 401),
        (b"GET /v1/owner HTTP/1.1\r\n" + _TOKEN + b"\r\n", 405),
        (b"POST /v2/owner HTTP/1.1\r\n" + _TOKEN + b"\r\n", 404),
    ],
)
def test_what_is_no_request_is_refused_and_the_ledger_goes_on(url, sent, status):
    assert raw(url, sent).startswith(f"HTTP/1.1 {status} ".encode())
    assert post(url, "health")[0] == 200


def test_requests_of_every_kind_of_client_are_answered(url):
    """One after another in one connection; of HTTP/1.0; with a body that waits to be asked for."""
    body = b"job=report\n"
    ask = b"POST /v1/owner HTTP/1.%d\r\n" + _TOKEN + b"Content-Length: 11\r\n%s\r\n"
    twice = (ask % (1, b"") + body) * 2
    assert raw(url, twice).count(b"owner=old\n") == 2
    assert raw(url, (ask % (1, b"Connection: close\r\n") + body) * 2).count(b"owner=old\n") == 1
    assert raw(url, (ask % (0, b"") + body) * 2).count(b"owner=old\n") == 1
    waited = raw(url, ask % (1, b"Expect: 100-continue\r\n"), body)
    assert waited.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert raw(url, ask % (1, b"") + b"job") == b"", "a body that was cut off is not carried out"


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """One connection after another, each with one answer and an end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nsorry",
        b"HTTP/1.1 200 OK\r\nConte",
    ],
)
def test_what_is_no_answer_of_the_ledger_is_a_ledger_that_is_away(answer):
    """Nothing is known of the call then; it was asked again once."""
    with answering(answer, answer) as url:
        ledger = HttpLedger(url, TOKEN)
        with pytest.raises(LedgerAway):
            ledger.now()
        if b"502" in answer:
            with pytest.raises(LedgerAway):
                ledger.now()


def test_a_connection_that_fell_asleep_is_opened_anew():
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1.5"
    with answering(good, good) as url:
        ledger = HttpLedger(url, TOKEN)
        assert [ledger.now(), ledger.now()] == [1.5, 1.5]
