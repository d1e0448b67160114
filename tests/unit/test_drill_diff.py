"""`kirikae drill diff`: ten planted differences are found, noise of the old side is not told."""

from __future__ import annotations

import json
import random
import threading
import uuid
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kirikae.console.drill_asked import read_log
from kirikae.drill.acknowledged import read as read_acknowledged
from kirikae.drill.asking import Host, sample, shown
from kirikae.drill.difference import ABSENT, Kind, Pair, Place, differences
from kirikae.drill.errors import AcknowledgedProblem
from kirikae.drill.fields import Reply, tree_of
from kirikae.drill.hiding import hidden
from kirikae.drill.noise import Asked, Comparing, Counted
from kirikae.drill.replay import Logged, at_all, paced
from kirikae.drill.targets import target
from tests.command import run

PLANTED = {
    ("GET /items/{}", "status", "value"),
    ("GET /item", "body.price", "type"),
    ("GET /item", "body.made", "shape"),
    ("GET /item", "body.owner.mail", "presence"),
    ("GET /item", "body.tags", "order"),
    ("GET /item", "body.sizes", "length"),
    ("GET /item", "body.parts[].name", "value"),
    ("GET /item", "header.set-cookie.login.flags.secure", "presence"),
    ("GET /item", "header.content-type.charset", "value"),
    ("GET /page", "body.html/body/a@href[]", "value"),
}
NOISY = 20
TIMES = (1003, 1000, 1003, 1000)
PATHS = ("items/7", "items/8", "item", "page")


class Shop(BaseHTTPRequestHandler):
    """An old service, or with ``new`` one with ten faults; twenty fields differ at each answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        new = self.server.new
        if self.path.startswith("/items/"):
            self._send(404 if new else 200, "text/plain; charset=utf-8", "one\ntwo\n")
        elif self.path == "/page":
            self._send(200, "text/html; charset=utf-8", self._page(new))
        else:
            body = json.dumps({**self._noise(), **self._item(new)})
            self._send(200, f"application/json; charset={'latin1' if new else 'utf-8'}", body)

    def _item(self, new):
        return {
            "price": "120" if new else 120,
            "made": f"2026-11-28T10:00:00{'Z' if new else '+09:00'}",
            "owner": {} if new else {"mail": "hanako@example.com"},
            "tags": ["b", "a"] if new else ["a", "b"],
            "sizes": [1, 2] if new else [1, 2, 3],
            "parts": [{"name": "bolt", "id": self._any()}, {"name": "Nut" if new else "nut"}],
        }

    def _any(self):
        return str(uuid.UUID(int=self.server.chance.getrandbits(128)))

    def _noise(self):
        """Sixteen: fifteen here, and the identity of a part."""
        chance = self.server.chance
        return {
            **{f"text_{chr(97 + n)}": self._any() for n in range(5)},
            **{f"number_{chr(97 + n)}": chance.random() for n in range(5)},
            "flag": chance.random() < 0.5,
            "maybe": {"here": 1} if chance.random() < 0.5 else {},
            "shuffled": chance.sample(range(8), 8),
            "some": list(range(chance.randrange(9))),
            "host": self.server.name,
        }

    def _page(self, new):
        return (
            f"<html><body><form><input name=csrf value={self._any()}></form>"
            f"<a href=/{'login' if new else 'sign-in'}>in</a><p>asked as {self._any()}</p></body>"
        )

    def _send(self, status, kind, body):
        raw = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("X-Request-Id", self._any())
        if self.path == "/item":
            secure = "" if self.server.new else "; Secure"
            self.send_header("Set-Cookie", f"login={self._any()}; Path=/{secure}")
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args):
        pass


@contextmanager
def shop(name, new=False):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.new = new
    server.name = name
    server.chance = random.Random(name)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_ten_planted_differences_are_found_and_none_of_twenty_noisy_fields(tmp_path):
    """Then all ten are acknowledged; a line that fits none of them is told."""
    asked = tmp_path / "targets"
    asked.write_text("".join(f"GET http://shop.example/{each}\n\n" for each in PATHS))
    meant = tmp_path / "meant"
    with ExitStack() as stack:
        old, other = (stack.enter_context(shop(name)) for name in ("vm1", "vm2"))
        new = stack.enter_context(shop("new", new=True))
        words = ("drill", "diff", "--old", old, "--old", other, "--new", new, "--json")
        words += ("--targets", str(asked), "--repeat", "15")
        ran = run(*words)
        lines = [each["line"] + "meant" for each in ran.json["differences"]]
        meant.write_text("\n".join([*lines, "GET /gone body value: long ago"]))
        again = run(*words, "--acknowledged", str(meant))
        said_ja = run(*words[:-5], *words[-4:], "--lang", "ja")
    found = {(each["route"], each["field"], each["kind"]) for each in ran.json["differences"]}
    assert found == PLANTED and ran.exit_code == 1
    assert len({each["field"] for each in ran.json["noise"]}) == NOISY
    assert again.exit_code == 0 and again.json["verdict"] == "pass"
    assert again.json["idle_lines"] == [f"{meant}:{len(lines) + 1}"]
    assert "旧環境" in said_ja.stdout and said_ja.exit_code == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": None}, {}, {("a", Kind.PRESENCE): (None, ABSENT)}),
        ({"a": True}, {"a": 1}, {("a", Kind.TYPE): (True, 1)}),
        ({"1234": {"b": 1}}, {"1234": {"b": 2}}, {("{}.b", Kind.VALUE): (1, 2)}),
        ({"a b": 1}, {"a b": 2}, {("a%20b", Kind.VALUE): (1, 2)}),
        ([1, 2, 2], [2, 1, 2], {("", Kind.ORDER): ([1, 2, 2], [2, 1, 2])}),
        (("x", "y"), ("x", "z"), {(".line2", Kind.VALUE): ("y", "z")}),
        ("2026-11-28T10:00:00Z", "2026-11-28T10:00:01Z", {}),
        (
            "2026-11-28T10:00:00Z",
            "2026-11-28T19:00:00+09:00",
            {("", Kind.SHAPE): ("2026-11-28T10:00:00Z", "2026-11-28T19:00:00+09:00")},
        ),
    ],
)
def test_a_difference_has_a_field_and_a_kind(old, new, expected):
    """Numbers are one type, null is a value, a moment may end a second in between."""
    assert differences(old, new) == {Place(*key): Pair(*pair) for key, pair in expected.items()}


def test_noise_is_judged_by_which_of_three_answers_stands_apart():
    """The odd one of three is the new one in a third of the cases, were all alike."""
    assert Counted(new_apart=5, old_apart=10).chance == pytest.approx(0.596, abs=0.001)
    assert Counted(new_apart=12).chance == pytest.approx(3**-12)
    assert Counted(all_apart=100).chance == 1


def test_a_rare_difference_without_noise_is_told_and_no_answer_is_one_difference():
    """One request of a hundred; a new side that is gone is not twenty fields."""
    same = Reply(200, (("Server", "nginx"),), b"all")
    comparing = Comparing()
    for number in range(100):
        new = Reply(None, error="refused") if number == 50 else same
        comparing.take(Asked("GET /", "GET /", same, same, new))
    comparing.take(Asked("GET /", "GET /", same, Reply(None), same))
    done = comparing.done()
    assert [(each.place, each.times) for each in done.differences] == [
        (Place("answer", Kind.PRESENCE), 1)
    ]
    assert (done.compared, done.unanswered) == (100, 1)


def test_a_body_that_cannot_be_read_is_compared_as_it_is():
    """Broken JSON, broken gzip, bytes."""
    kinds = (("Content-Type", "application/json"),)
    assert tree_of(Reply(200, kinds, b'{"a": '))["body"] == ('{"a": ',)
    packed = (("Content-Encoding", "gzip"),)
    assert tree_of(Reply(200, packed, b"\x1f\x8bno"))["body"]["octets"] == 4
    assert tree_of(Reply(200, kinds, b"[" * 100_000))["body"] == ("[" * 100_000,)


def test_secrets_are_not_shown():
    """Of queries, of fields by their name; a word within another is none."""
    assert shown(target("GET", "http://a/b?token=x&page=2", "")) == "GET /b?token=***&page=2"
    assert hidden("body", {"password": "x", "author": "y"}) == {"password": "***", "author": "y"}
    assert hidden("header.location", "/in?session=abc&to=/") == "/in?session=***&to=/"


def test_every_route_is_asked_however_rare():
    """The same request counts once."""
    many = [target("GET", f"http://a/items/{n}", "") for n in range(50)]
    found = sample([*many, many[0], target("GET", "http://a/rare", "")], 3)
    assert [each.name for each in found] == [
        "GET /items/0",
        "GET /items/1",
        "GET /items/2",
        "GET /rare",
    ]


@pytest.mark.parametrize(
    "line", ["GET / body value", "GET / body colour: why", "GET / body value:"]
)
def test_a_line_that_would_acknowledge_nothing_is_refused(tmp_path, line):
    """With file and line."""
    file = tmp_path / "meant"
    file.write_text(f"# reviewed\n{line}\n")
    with pytest.raises(AcknowledgedProblem, match="meant:2: "):
        read_acknowledged(file)


LOGS = {
    "combined": '10.0.0.1 - - [28/Nov/2026:10:00:00 +0900] "GET /a?b=1 HTTP/1.1" 200 5 "-" "x"',
    "ltsv": "time:2026-11-28T01:00:00Z\tmethod:GET\turi:/a?b=1\tstatus:200",
    "json": '{"time": "2026-11-28T01:00:00Z", "request": "GET /a?b=1 HTTP/1.1", "status": 200}',
    "alb": (
        "http 2026-11-28T01:00:00.186641Z app/x/1 10.0.0.1:2817 10.0.0.2:80 0 0 0 200 200 34 366 "
        '"GET http://shop.example:80/a?b=1 HTTP/1.1" "curl" - - arn "Root=1" "-" "-" 0 '
        '2026-11-28T01:00:00.186641Z "forward" "-" "-" "-" "-" "-" "-"'
    ),
    "cloudfront": (
        "2026-11-28\t01:00:00\tNRT\t1\t10.0.0.1\tGET\td1.cloudfront.net\t/a\t200\t-\t-\tb=1\t-\t-"
        "\t-\tshop.example\thttp\t1\t0.1"
    ),
}


@pytest.mark.parametrize("form", LOGS)
def test_every_format_of_access_logs_is_asked_again(tmp_path, form):
    """Where a line names no host the origin does; a line that is none is counted."""
    file = tmp_path / "log"
    file.write_text(f"{LOGS[form]}\nno line\n")
    found = read_log(file, form, "http://shop.example")
    assert found.lines[0].target.url.geturl() == "http://shop.example/a?b=1"
    assert (found.lines[0].at, found.lines[0].target.expected) == (1795827600, {200})
    assert (len(found.lines), found.unread) == (1, 1)


def test_a_log_keeps_its_order_its_gaps_and_its_seconds():
    """Lines of one second are spread over it; who is written down late is asked when it was."""
    lines = [
        Logged(at, target("GET", f"http://shop.example/{n}", "")) for n, at in enumerate(TIMES)
    ]
    plan, targets = paced([*lines, Logged(None, lines[0].target)], 2)
    assert plan.due.tolist() == [0, 0.25, 1.5, 1.75]
    assert [each.url.path for each in targets] == ["/1", "/3", "/0", "/2"]
    both, sent = at_all(plan, targets, [Host("10.0.0.1", 80, False), Host("::1", 8443, True)])
    assert both.due.tolist() == [0, 0, 0.25, 0.25, 1.5, 1.5, 1.75, 1.75]
    assert [each.url.netloc for each in sent[:2]] == ["10.0.0.1:80", "[::1]:8443"]
    assert b"Host: shop.example\r\n" in sent[1].wire()


def test_a_log_is_replayed_at_both_sides_and_what_answers_otherwise_is_wrong(tmp_path):
    """The new side has lost a page; a POST is not sent."""
    log = tmp_path / "access.log"
    line = LOGS["combined"]
    lines = [line.replace("/a?b=1", path) for path in ("/items/7", "/page", "/item", "/items/9")]
    log.write_text("\n".join([*lines, line.replace("GET", "POST")]))
    with shop("vm1") as old, shop("new", new=True) as new:
        words = ("drill", "replay", str(log), "--new", new, "--old", old, "--speed", "4")
        dry = run(*words, "--dry-run", "--json")
        ran = run(*words, "--slo", "wrong==0", "--json")
    assert dry.json["requests"] == 8 and dry.json["routes"] == 3
    old, new = ran.json["old"]["figures"], ran.json["new"]["figures"]
    assert (old["statuses"], new["statuses"]) == ({"200": 4}, {"200": 2, "404": 2})
    assert old["wrong"] == 0 and new["ok"] <= 2, "fewer, where a busy machine sent too late"
    assert set(ran.json["new"]["routes"]) == {"GET /items/{}", "GET /page", "GET /item"}
    assert ran.json["left_out"] == 1
    assert ran.exit_code == {"fail": 1, "unsure": 5}[ran.json["new"]["verdict"]]
