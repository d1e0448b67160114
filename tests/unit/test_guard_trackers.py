"""Tickets in Jira and through a webhook, and an impatient GitHub: one for each finding and object,
whatever happens in between."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from kirikae.console import guard_http
from tests import guarded
from tests.command import run
from tests.unit.test_guard_scans import CVE, grype, trivy
from tests.unit.test_guard_tickets import Tracker

PRIVILEGED = guarded.PLANTED["FG04"]
DONE = {"statusCategory": {"key": "done"}}
NEW = {"statusCategory": {"key": "new"}}


class Server(http.server.ThreadingHTTPServer):
    """``slow_down``: so many of the next answers are 429; ``dies_after``: the n-th change is
    carried out and its answer never comes."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.issues: dict[str, dict[str, Any]] = {}
        self.comments: list[Any] = []
        self.events: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []
        self.signed: set[str] = set()
        self.slow_down = 0
        self.dies_after: int | None = None
        self.workflow = [{"id": "31", "to": DONE}, {"id": "11", "to": NEW}]
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def answer(self, status: int, plain: Any, **headers: str) -> None:
        data = b"" if plain is None else json.dumps(plain).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")

    def held_back(self) -> bool:
        """429, and the connection is closed."""
        self.server.asked.append((self.command, self.path))
        self.server.signed.add(self.headers.get("Authorization", ""))
        if not self.server.slow_down:
            return False
        self.server.slow_down -= 1
        self.body()
        self.answer(429, {}, Retry_After="7")
        return True

    def dies(self) -> bool:
        if self.server.dies_after is None:
            return False
        self.server.dies_after -= 1
        if self.server.dies_after > 0:
            return False
        self.server.dies_after = None
        self.connection.close()
        return True

    def log_message(self, *_: Any) -> None:
        pass


class Jira(Handler):
    """As much of versions 2 and 3 as tickets need."""

    def do_GET(self) -> None:
        if self.held_back():
            return None
        parts = urlsplit(self.path)
        asked = parse_qs(parts.query)
        if "/search" in parts.path:
            return self.search(asked)
        key = re.findall(r"/issue/([^/?]+)", self.path)[0]
        if parts.path.endswith("/transitions"):
            return self.answer(200, {"transitions": self.server.workflow})
        return self.answer(200, self.server.issues[key])

    def search(self, asked: dict[str, list[str]]) -> None:
        """Pages of two."""
        assert asked["jql"] == ['project = "SHOP" AND labels = "kirikae-guard"']
        cloud = "/rest/api/3/search/jql" in self.path
        start = int(asked.get("nextPageToken" if cloud else "startAt", ["0"])[0])
        rows = list(self.server.issues.values())
        page: dict[str, Any] = {"issues": rows[start : start + 2]}
        if not cloud:
            page["total"] = len(rows)
        elif start + 2 < len(rows):
            page["nextPageToken"] = str(start + 2)
        self.answer(200, page)

    def do_POST(self) -> None:
        if self.held_back():
            return None
        body = self.body()
        if self.path.endswith("/transitions"):
            key = re.findall(r"/issue/([^/]+)", self.path)[0]
            [chosen] = [
                row for row in self.server.workflow if row["id"] == body["transition"]["id"]
            ]
            self.server.issues[key]["fields"]["status"] = chosen["to"]
            return self.answer(204, None)
        described = body["fields"]["description"]
        assert isinstance(described, str) is ("/rest/api/2/" in self.path)
        key = f"SHOP-{len(self.server.issues) + 1}"
        assert all(" " not in label for label in body["fields"]["labels"])
        self.server.issues[key] = {"key": key, "fields": {**body["fields"], "status": NEW}}
        if self.dies():
            return None
        return self.answer(201, {"key": key})

    def do_PUT(self) -> None:
        if self.held_back():
            return
        body = self.body()
        key = re.findall(r"/issue/([^/?]+)", self.path)[0]
        fields = self.server.issues[key]["fields"]
        fields["summary"] = body["fields"]["summary"]
        for row in body["update"]["labels"]:
            [(verb, label)] = row.items()
            fields["labels"] = [each for each in fields["labels"] if each != label]
            fields["labels"] += [label] if verb == "add" else []
        self.server.comments += body["update"]["comment"]
        self.answer(204, None)


class Hook(Handler):
    """A receiver that knows an event by its key, and answers in words."""

    def do_POST(self) -> None:
        if self.held_back():
            return
        event = self.body()
        self.server.events.setdefault(self.headers["Idempotency-Key"], event)
        if not self.dies():
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")


class Odd(Handler):
    """Answers reading calls by ``reads`` and others by ``writes``, whatever was asked."""

    reads = b"[]"
    writes = b"{}"
    more: ClassVar[dict[str, str]] = {}
    status = 200

    def do_GET(self) -> None:
        self.say(self.reads)

    def do_POST(self) -> None:
        self.body()
        self.say(self.writes)

    do_PUT = do_PATCH = do_POST

    def say(self, data: bytes) -> None:
        self.send_response(self.status)
        for name, value in self.more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(autouse=True)
def waits(tmp_path, monkeypatch) -> list[float]:
    """What was waited for; nobody waits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JIRA_TOKEN", "t0ken")
    found: list[float] = []
    monkeypatch.setattr(guard_http, "_sleep", found.append)
    return found


@pytest.fixture
def jira() -> Iterator[Server]:
    yield from served(Jira)


@pytest.fixture
def hook(monkeypatch) -> Iterator[Server]:
    for server in served(Hook):
        monkeypatch.setenv("HOOK", f"{server.url}/hooks/secret")
        yield server


def served(handler):
    server = Server(handler)
    yield server
    server.shutdown()
    server.server_close()


def written(folder, *changes):
    folder.joinpath("task.json").write_text(guarded.raw(guarded.changed(*changes)))


def of_jira(server, *words, version="3"):
    where = ("--jira", "SHOP", "--api", server.url, "--jira-version", version)
    return run("guard", "tickets", "task.json", *where, *words)


def of_hook(*words):
    return run("guard", "tickets", "task.json", "--webhook", "env:HOOK", *words)


def states(server):
    return {key: row["fields"]["status"] for key, row in server.issues.items()}


@pytest.mark.parametrize("version", ["2", "3"])
def test_jira_has_one_issue_for_each_finding(jira, tmp_path, version):
    """In both versions; a second run makes none, one without the fault closes it, and it is opened
    again when it comes back."""
    written(tmp_path, *guarded.PLANTED.values())
    assert of_jira(jira, "--dry-run", version=version).exit_code == 0 and not jira.issues
    assert of_jira(jira, version=version).exit_code == 0 and len(jira.issues) == 9
    again = of_jira(jira, "--json", version=version)
    assert again.json["outcome"] == "nothing to do" and len(jira.issues) == 9
    assert "hunter2" not in json.dumps(jira.issues) and jira.signed == {"Bearer t0ken"}
    written(tmp_path)
    assert of_jira(jira, version=version).exit_code == 0
    assert all(status == DONE for status in states(jira).values())
    written(tmp_path, PRIVILEGED)
    assert of_jira(jira, version=version).exit_code == 0
    assert len(jira.issues) == 9 and list(states(jira).values()).count(NEW) == 1


def test_jiras_cloud_is_signed_in_to_by_name(jira, tmp_path):
    """Mail and token."""
    written(tmp_path)
    assert of_jira(jira, "--jira-user", "sre@example.com").exit_code == 0
    assert jira.signed == {"Basic c3JlQGV4YW1wbGUuY29tOnQwa2Vu"}


def test_a_run_that_died_after_jira_had_made_an_issue_makes_no_second(jira, tmp_path):
    """The answer never came: exit 3; the next run finds it."""
    written(tmp_path, *guarded.PLANTED.values())
    jira.dies_after = 4
    stopped = of_jira(jira)
    assert stopped.exit_code == 3 and "3 of 9 done" in stopped.stderr and len(jira.issues) == 4
    assert of_jira(jira).exit_code == 0 and len(jira.issues) == 9


def test_a_workflow_without_a_way_is_told(jira, tmp_path):
    """Nothing is guessed."""
    written(tmp_path, PRIVILEGED)
    assert of_jira(jira).exit_code == 0
    jira.workflow = []
    written(tmp_path)
    closed = of_jira(jira)
    assert closed.exit_code == 3 and "workflow has no way" in closed.stderr


def test_too_much_at_once_is_waited_for(jira, tmp_path, waits):
    """As long as it asks for; at last it is given up, and the next run goes on."""
    written(tmp_path, PRIVILEGED)
    jira.slow_down = 3
    assert of_jira(jira).exit_code == 0 and waits == [7.0, 7.0, 7.0] and len(jira.issues) == 1
    jira.slow_down = 100
    assert of_jira(jira).exit_code == 1
    assert len(jira.issues) == 1


def test_the_webhook_takes_each_event_once(hook, tmp_path):
    """It answers "ok"; the ledger knows what it took; the address stays out of every message."""
    written(tmp_path, *guarded.PLANTED.values())
    assert of_hook("--dry-run").exit_code == 0 and not hook.events
    assert of_hook().exit_code == 0 and len(hook.events) == 9
    assert of_hook("--json").json["outcome"] == "nothing to do" and len(hook.events) == 9
    event = next(iter(hook.events.values()))
    assert event["deed"] == "open" and event["finding"]["code"] == event["code"]
    written(tmp_path)
    assert of_hook().exit_code == 0
    deeds = [each["deed"] for each in hook.events.values()]
    assert deeds.count("close") == 9 and len(deeds) == 18
    written(tmp_path, PRIVILEGED)
    assert of_hook().exit_code == 0
    assert [each["deed"] for each in hook.events.values()].count("reopen") == 1
    hook.slow_down = 100
    written(tmp_path)
    stopped = of_hook()
    assert stopped.exit_code == 3 and "hooks/secret" not in stopped.stdout + stopped.stderr


def test_a_run_that_died_after_the_webhook_took_it_sends_the_same_key_again(hook, tmp_path):
    """And so it does after a crash in the middle of the ledger's line."""
    written(tmp_path, *guarded.PLANTED.values())
    hook.dies_after = 4
    assert of_hook().exit_code == 3 and len(hook.events) == 4
    ledger = tmp_path / ".kirikae/guard-webhook.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-5])
    assert of_hook().exit_code == 0
    assert len(hook.events) == 9 and len({each["key"] for each in hook.events.values()}) == 9
    ledger.write_text("x\n")
    assert of_hook().exit_code == 2


def test_a_ticket_says_what_is_new_and_another_scanner_does_not_close_it(jira, tmp_path):
    """A graver word is a remark; without Trivy's result nobody knows whether what it found is
    gone."""

    def scanned(*plains):
        names = []
        for number, plain in enumerate(plains):
            name = f"s{number}.json"
            tmp_path.joinpath(name).write_text(json.dumps(plain))
            names.append(name)
        where = ("--jira", "SHOP", "--api", jira.url)
        return run("guard", "tickets", *names, *where, "--threshold", "work", "--json")

    assert scanned(trivy((CVE, "openssl", "MEDIUM"))).json["tickets"][0]["deed"] == "open"
    graver = scanned(trivy((CVE, "openssl", "MEDIUM")), grype((CVE, "openssl", "Critical")))
    assert [each["deed"] for each in graver.json["tickets"]] == ["update"]
    assert "critical (Grype)" in json.dumps(jira.comments) and len(jira.issues) == 1
    assert scanned(grype()).json["outcome"] == "nothing to do"
    assert scanned(trivy(), grype()).json["tickets"][0]["deed"] == "close"


def test_an_issue_of_github_is_written_anew_where_it_is_guards(tmp_path, monkeypatch):
    """What people wrote around it stays; waiting is GitHub's own way of asking for it."""
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken")
    tracker = Tracker()
    try:
        api = f"http://127.0.0.1:{tracker.server_address[1]}"
        where = ("--github", "shop/web", "--api", api, "--threshold", "work")
        name = tmp_path / "s.json"
        name.write_text(json.dumps(trivy((CVE, "openssl", "MEDIUM"))))
        assert run("guard", "tickets", "s.json", *where).exit_code == 0
        tracker.issues[0]["body"] = f"before\n{tracker.issues[0]['body']}\nafter"
        name.write_text(json.dumps(trivy((CVE, "openssl", "CRITICAL"))))
        assert run("guard", "tickets", "s.json", *where).exit_code == 0
        [issue] = tracker.issues
        assert issue["body"].startswith("before\n") and issue["body"].endswith("\nafter")
        assert "critical" in issue["body"] and "medium" not in issue["body"]
        again = run("guard", "tickets", "s.json", *where, "--json")
        assert again.json["outcome"] == "nothing to do"
    finally:
        tracker.shutdown()
        tracker.server_close()


def test_one_tracker_is_named(tmp_path):
    """Not none, not two, not one that lacks its server."""
    written(tmp_path)
    for words in (
        (),
        ("--jira", "SHOP"),
        ("--jira", "shop project", "--api", "http://127.0.0.1:9"),
        ("--jira", "SHOP", "--github", "shop/web"),
        ("--webhook", "https://example.com/hook"),
    ):
        assert run("guard", "tickets", "task.json", *words).exit_code == 2, words


MARK = "<!-- kirikae-guard FG04 0123456789abcdef 0123456789abcdef -->"
LABEL = "kg-FG04-0123456789abcdef-0123456789abcdef"
NESTED = b"[" * 100_000
ODD_GITHUB = [
    b"[1, null]",
    json.dumps([{"body": MARK}]).encode(),
    json.dumps([{"body": MARK, "number": "x"}]).encode(),
    json.dumps([{"body": MARK, "number": 1e400}]).encode(),
    NESTED,
    b"<html>",
    b"",
]
ODD_JIRA = [
    b"[]",
    b'{"issues": [1, null, {"fields": 3}, {"fields": {"labels": 5}}], "total": "x"}',
    json.dumps({"issues": [{"fields": {"labels": [LABEL], "status": 5}, "key": "x"}]}).encode(),
    NESTED,
]
MADE = [
    b"",
    b"[]",
    b"{}",
    b'{"number": "x", "key": "x"}',
    b'{"number": 1e400, "key": "SHOP-"}',
    NESTED,
]


def odd(**given):
    """A server that answers so."""
    yield from served(type("Odd", (Odd,), given))


@pytest.mark.parametrize("tracker", ["github", "jira"])
def test_an_answer_of_another_form_is_told_and_nothing_breaks(tmp_path, monkeypatch, tracker):
    """Whatever a proxy, a login page or another version answers: exit 1 where nothing was begun, 3
    where something was, and in words."""
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken")
    written(tmp_path, PRIVILEGED)
    name, empty, reads = {
        "github": ("shop/web", b"[]", ODD_GITHUB),
        "jira": ("SHOP", b'{"issues": []}', ODD_JIRA),
    }[tracker]
    cases = [(each, b"{}", {0, 1, 3}) for each in reads] + [(empty, each, {3}) for each in MADE]
    for given, answer, codes in cases:
        for server in odd(reads=given, writes=answer):
            ended = run("guard", "tickets", "task.json", f"--{tracker}", name, "--api", server.url)
            assert ended.exit_code in codes, (given[:60], answer[:60], ended)
            assert "itself failed" not in ended.stderr, (given[:60], answer[:60])


def test_a_wait_that_is_no_number_is_a_wait_of_ours(tmp_path, waits):
    """Digits of other scripts, numbers below zero and beyond every clock."""
    written(tmp_path, PRIVILEGED)
    for after in ("\u00b2", "-5", "soon", "9" * 400):
        for server in odd(status=429, more={"Retry-After": after}):
            ended = of_jira(server)
            assert ended.exit_code == 1 and "too much was asked at once" in ended.stderr
    assert set(waits) == {5.0}


def test_an_answer_without_end_is_left(tmp_path, monkeypatch):
    """Larger than any page, or slower than any server; a webhook's words are not read at all."""
    written(tmp_path, PRIVILEGED)
    monkeypatch.setattr(guard_http, "_MOST_BYTES", 100_000)
    for server in odd(reads=b" " * 3_000_000):
        ended = of_jira(server)
        assert ended.exit_code == 1 and "answered no JSON" in ended.stderr
    monkeypatch.setattr(guard_http, "_WHOLE_S", -1.0)
    for server in odd(reads=b'{"issues": []}'):
        assert "does not answer (TimeoutError)" in of_jira(server).stderr
    for server in odd(writes=b" " * 3_000_000):
        monkeypatch.setenv("HOOK", server.url)
        assert of_hook().exit_code == 0
