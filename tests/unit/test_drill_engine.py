"""The load engine against a server that answers in every way that HTTP allows, and in some that it
does not."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from kirikae.drill.columns import MOST_TOLD, Columns, Error
from kirikae.drill.engine import Settings, _Sender, attack
from kirikae.drill.plan import read as read_plan
from kirikae.drill.targets import target
from kirikae.drill.verdict import Verdict, verdicts_of
from tests.command import run
from tests.pace import slowly

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
ANSWERS = {
    "/ok": [OK],
    "/upper": [OK.replace(b"content-length", b"Content-Length")],
    "/pieces": [OK[:20], OK[20:40], OK[40:]],
    "/chunked": [CHUNKED],
    "/chunked-pieces": [CHUNKED[:50], CHUNKED[50:]],
    "/continue": [b"HTTP/1.1 100 Continue\r\n\r\n" + OK],
    "/nothing": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "/teapot": [b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n"],
    "/close": [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), None],
    "/until-close": [b"HTTP/1.1 200 OK\r\n\r\nall there is", None],
    "/old": [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", None],
    "/cut": [b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", None],
    "/cpu-a": [OK.replace(b"\r\n\r\n", b"\r\nX-CPU-Model: Quick 8375C \r\n\r\n")],
    "/cpu-b": [OK[:17], b"x-cpu-model: Slow 8259CL\r\n", OK[17:]],
    "/cpu-close": [b"HTTP/1.1 200 OK\r\nx-cpu-model: Slow 8259CL\r\n\r\nall", None],
    "/empty": [None],
    "/no-http": [b"220 smtp ready\r\n\r\n"],
    "/hang": [],
}


class Odd(socketserver.BaseRequestHandler):
    """Answers by the path; None closes the connection.  ``/once``: closes after one answer without
    saying so, as servers do with idle connections."""

    def handle(self):
        seen = b""
        served = 0
        while True:
            while b"\r\n\r\n" not in seen:
                data = self.request.recv(65536)
                if not data:
                    return
                seen += data
            head, _, seen = seen.partition(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            if path == "/once":
                if served:
                    return
                self.request.sendall(OK)
            elif method == "HEAD":
                self.request.sendall(OK[:-2])
            elif not self._answer(path):
                return
            served += 1

    def _answer(self, path):
        parts = ANSWERS[path]
        if not parts:
            self.server.ended.wait(30)
            return False
        for part in parts:
            if part is None:
                return False
            self.request.sendall(part)
            if len(parts) > 1:
                time.sleep(0.005)
        return True


@contextmanager
def serving():
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128
        ended = threading.Event()

    with Server(("127.0.0.1", 0), Odd) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            Server.ended.set()
            server.shutdown()
            thread.join()


def asked(base, *paths, plan="100/s for 1s", method="GET", timeout_s=300.0, **settings):
    """``timeout_s``: by default so long that no busy machine reaches it."""
    targets = [target(method, base + path, "here") for path in paths]
    return attack(read_plan(plan), targets, Settings(timeout_s=timeout_s, **settings))


RIGHT = {path: 200 for path in ANSWERS if path not in ("/cut", "/empty", "/no-http", "/hang")} | {
    "/nothing": 204,
    "/teapot": 418,
    "/once": 200,
}


def test_every_kind_of_answer_is_read_as_it_is():
    """Each path some times, in turn, over connections that others used before."""
    paths = list(RIGHT)
    with serving() as base:
        found = asked(base, *paths, plan=f"{4 * len(paths)}/s for 1s")
    for number, path in enumerate(paths):
        mine = found.target == number
        assert set(found.status[mine]) == {RIGHT[path]}, path
        assert set(found.error[mine]) == {Error.NONE}, path
    assert ((found.done >= found.sent) & (found.sent >= found.due)).all()
    assert (found.first[found.done > 0] <= found.done[found.done > 0]).all()


def test_an_answer_to_head_has_no_body():
    with serving() as base:
        found = asked(base, "/ok", plan="20/s for 1s", method="HEAD")
    assert set(found.status) == {200}


@pytest.mark.parametrize(
    ("path", "error"),
    [("/cut", Error.CLOSED), ("/empty", Error.CLOSED), ("/no-http", Error.NO_HTTP)],
)
def test_what_is_no_whole_answer_is_lost(path, error):
    with serving() as base:
        found = asked(base, path, plan="10/s for 1s")
    assert set(found.error) == {error}
    assert np.isnan(found.latency_s).all()
    assert (found.done > 0).all()


def test_a_hung_server_gets_all_requests_when_they_are_due():
    """Each on a connection of its own: what hangs must not hold back the others."""
    with serving() as base:
        found = asked(base, "/hang", "/ok", plan="40/s for 1s", timeout_s=slowly(4.0))
    assert set(found.error[found.target == 0]) == {Error.TIMED_OUT}
    assert set(found.error[found.target == 1]) == {Error.NONE}
    assert (found.sent > 0).all()


def test_without_a_server_every_request_is_refused():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = asked(f"http://127.0.0.1:{port}", "/", plan="20/s for 1s")
    assert set(found.error) == {Error.REFUSED}


def test_with_too_few_connections_the_engine_is_blamed():
    """Nothing is told of the service that the service did not do."""
    with serving() as base:
        found = asked(base, "/hang", plan="20/s for 1s", timeout_s=1.0, connections=3)
    verdicts = verdicts_of(found, [target("GET", base, "here")], None)
    assert (verdicts[3:17] == Verdict.NOT_SENT).all(), "they waited for a connection"


def test_two_processes_share_the_plan():
    with serving() as base:
        found = asked(base, "/ok", plan="100/s for 1s", processes=2)
    assert set(found.error) == {Error.NONE}
    assert len(found.cores) == 2 and all(core > 0 for core in found.cores)


def test_a_host_without_an_address_is_told_before_the_run():
    ran = run("drill", "load", "1/s for 1s", "--target", "http://no-such-host.invalid/")
    assert ran.exit_code == 2 and "no-such-host.invalid has no address" in ran.stderr


def test_the_verb(tmp_path):
    """Figures, limits, files for other tools, and exit codes."""
    report, rows = tmp_path / "report.json", tmp_path / "rows.csv"
    with serving() as base:
        common = ("drill", "load", "50/s for 1s", "--target", f"{base}/ok", "--warm-up", "0s")
        dry = run(*common, "--report", str(report), "--dry-run")
        assert dry.exit_code == 0 and not report.exists()
        ran = run(
            *common, "--slo", "lost==0", "--report", str(report), "--csv", str(rows), "--json"
        )
        broken = run(
            "drill", "load", "20/s for 1s", "--target", f"{base}/teapot", "--slo", "errors==0"
        )
    assert ran.json["figures"]["lost"] == 0 and ran.json["figures"]["requests"] == 50
    assert ran.exit_code == {"pass": 0, "unsure": 5}[ran.json["verdict"]]
    assert ran.json["limits"] == [{"limit": "lost==0", "found": 0.0, "holds": True}]
    assert '"requests": 50' in report.read_text()
    lines = rows.read_text().splitlines()
    assert len(lines) == 50 and all(line.count(",") == 11 for line in lines)
    assert broken.exit_code in (1, 5) and "418 " in broken.stdout


def test_ctrl_c_stops_it_and_what_was_sent_is_told():
    """The parent tells its processes; requests that were not due yet are no fault of anybody."""

    def interrupt(columns, at):
        if sum(columns.counted("answered")) > 3:
            raise KeyboardInterrupt

    with serving() as base:
        targets = [target("GET", f"{base}/ok", "here")]
        found = attack(read_plan("50/s for 60s"), targets, Settings(), interrupt)
    stopped = found.error == Error.STOPPED
    assert 0 < (found.error == Error.NONE).sum() < 3000
    assert stopped.sum() + (found.error == Error.NONE).sum() == 3000
    assert not np.isfinite(found.latency_s[stopped]).any()


def test_what_a_header_says_is_kept_of_every_answer_however_it_comes():
    """Whole, in pieces or to the close, from two processes; an answer without it says nothing."""
    paths = ("/cpu-a", "/cpu-b", "/cpu-close", "/ok", "/empty")
    with serving() as base:
        found = asked(base, *paths, processes=2, told_by="X-Cpu-Model")
        plain = asked(base, "/cpu-a")
    assert found.values == ("Quick 8375C", "Slow 8259CL")
    said = [set(found.told[found.target == number].tolist()) for number in range(len(paths))]
    assert said == [{0}, {1}, {1}, {-1}, {-1}]
    assert (plain.told, plain.values) == (None, ())


def test_more_values_than_are_kept_are_not_told_apart():
    """A request ID in that header: the first ones are kept, the others say nothing."""
    columns = Columns.made(np.zeros(200, np.int64), 1)
    sender = _Sender(columns, 0, range(200), [], [], Settings(told_by="x"), 1)
    for number in range(200):
        sender.tell(number, b"%d" % number * 60)
    told = np.frombuffer(columns.told, np.int16)
    assert (told >= 0).sum() == MOST_TOLD
    assert columns.kept(0) == "0" * 60
    assert len(columns.kept(12)) == 120


def test_both_sides_are_compared_by_what_a_header_says():
    """By the verb: its JSON has each value, and a header that nobody sends is said."""
    with serving() as base:
        words = (
            "drill",
            "compare",
            "100/s for 5s",
            "--old",
            base,
            "--new",
            base.replace("127.0.0.1", "localhost"),
        )
        asked_for = ("--target", f"{base}/cpu-a", "--target", f"{base}/cpu-b")
        found = run(*words, *asked_for, "--split-by", "x-cpu-model", "--json").json
        none = run(*words, *asked_for, "--split-by", "x-nothing")
    assert {each["value"]: each["against"] for each in found["split"]} == {
        "Quick 8375C": "like",
        "Slow 8259CL": "like",
    }
    assert "no answer of the new side had the header x-nothing" in none.stdout
    assert run(*words, *asked_for, "--split-by", "x cpu").exit_code == 2
    itself = run(*words[:3], "--old", base, "--new", base, *asked_for)
    assert itself.exit_code == 2 and "not compared with itself" in itself.stderr


def test_an_answer_that_lies_is_wrong(tmp_path):
    """200 and another text: whole, in pieces, chunked or to the close; HEAD has none to look at."""
    paths = ["/ok", "/pieces", "/chunked", "/until-close", "/cpu-a"]
    with serving() as base:
        targets = [replace(target("GET", base + path, "here"), text=b"ok") for path in paths]
        targets.append(replace(target("HEAD", base + "/ok", "here"), text=b"ok"))
        liars = [replace(each, text=b"Cart") for each in targets[:5]]
        found = attack(read_plan("110/s for 1s"), [*targets, *liars], Settings(timeout_s=300))
        words = ("drill", "load", "50/s for 3s", "--target", f"{base}/ok", "--slo", "wrong==0")
        right = run(*words, "--expect-text", "ok", "--json").json
        wrong = run(*words, "--expect-text", "Cart", "--json").json
    verdicts = [set(found.lacks[found.target == number].tolist()) for number in range(11)]
    assert verdicts == [{0}, {0}, {0}, {1}, {0}, {0}, *[{1}] * 5]
    assert (verdicts_of(found, [*targets, *liars], None) != Verdict.OK).sum() >= 10 * 6
    assert right["figures"]["wrong"] == 0
    assert wrong["figures"]["wrong"] + wrong["figures"]["not_sent"] == wrong["figures"]["requests"]
