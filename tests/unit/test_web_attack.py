"""What somebody tries who means harm, and what goes wrong by itself: over real connections."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import pytest

from kirikae.console.here import Here
from kirikae.console.serve import server_of
from kirikae.console.web import door, patience, surveys
from kirikae.console.web.app import app, routes
from kirikae.console.web.beside import UNLOCKED
from kirikae.console.web.door import Door
from kirikae.console.web.pages import NAV
from kirikae.console.web.places import Places, places_in
from kirikae.console.web.site import ALONE
from kirikae.console.web.watched import Watcher
from kirikae.model.finding import Finding, Severity, Trace
from kirikae.model.move import Hold, Move, Phase, Why
from kirikae.model.said import text
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release.ledger import Ledger, Outcome
from tests.pace import PACE, eventually
from tests.unit.test_web import EARTH, PROJECT, folder, running, share  # noqa: F401 - a fixture
from tests.webs import CSRF, ORIGIN, TOKEN, Browser, site_of
from tests.world import PLAN

HARM = "<img src=x onerror=alert(1)>"


class Served:
    """The console as `kirikae serve` serves it, and somebody who is signed in."""

    def __init__(self, project_file: Path) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.origin = f"http://{self.host}"
        site = replace(site_of(project_file), door=Door(frozenset({self.origin}), "kirikae"))
        self.server = server_of(app(site))
        self._thread = threading.Thread(target=self.server.run, args=([self.listening],))
        self._thread.start()
        eventually(lambda: self.server.started, "the console serves")
        self.client = httpx.Client(base_url=self.origin, timeout=60)
        told = self.client.get("/sign-in").text
        self.client.post(
            "/sign-in", data={"csrf": CSRF.search(told)[1], "token": TOKEN}, headers=self.from_here
        )
        self.csrf = CSRF.search(self.client.get(EARTH).text)[1]

    @property
    def from_here(self) -> dict[str, str]:
        return {"Origin": self.origin}

    @property
    def cookie(self) -> str:
        return f"kirikae={self.client.cookies['kirikae']}"

    def post(self, act: str, **fields: str) -> httpx.Response:
        data = {"csrf": self.csrf, **fields}
        return self.client.post(f"{EARTH}/{act}", data=data, headers=self.from_here)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def answers(self, raw: bytes) -> bytes:
        """All that comes back until the server has nothing more to say."""
        with closing(self.connect()) as connection:
            connection.sendall(raw)
            found = b""
            with suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    found += part
            return found

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:  # noqa: F811
    running(folder)
    found = Served(folder / "kirikae.yml")
    yield found
    found.stop()


# --- what is sent


def _form(served: Served, *more: str, length: str = "Content-Length: {n}", body: str = "") -> bytes:
    form = body or f"csrf={served.csrf}&name=earth"
    head = [
        f"POST {EARTH}/back-out HTTP/1.1",
        f"Host: {served.host}",
        "Connection: close",
        f"Origin: {served.origin}",
        f"Cookie: {served.cookie}",
        "Content-Type: application/x-www-form-urlencoded",
        *([length.format(n=len(form))] if length else []),
        *more,
    ]
    return ("\r\n".join(head) + "\r\n\r\n" + form).encode()


def test_the_same_request_without_a_trick_presses_the_button(served, folder):  # noqa: F811
    """So that the tests below refuse for their reason."""
    assert served.answers(_form(served)).startswith(b"HTTP/1.1 303")
    assert share(folder) == 0


@pytest.mark.parametrize(
    ("more", "length"),
    [
        (("Transfer-Encoding: chunked",), "Content-Length: {n}"),
        (("Transfer-Encoding: chunked",), ""),
        (("Transfer-Encoding: xchunked",), "Content-Length: {n}"),
        (("Transfer-Encoding : chunked",), "Content-Length: {n}"),
        (("Content-Length: 1",), "Content-Length: {n}"),
        ((), "Content-Length: +{n}"),
        ((), "Content-Length: \u00b2"),
        ((), ""),
        (("Host: evil.example",), "Content-Length: {n}"),
        (("X: y\r\n z: folded", " Host: evil"), "Content-Length: 99999999999"),
    ],
)
def test_a_request_whose_end_can_be_read_in_two_ways_is_refused(served, folder, more, length):  # noqa: F811
    """And whatever is hidden behind it is no request."""
    hidden = "0\r\n\r\nGET /p/home/moves HTTP/1.1\r\nHost: evil\r\n\r\n"
    form = f"csrf={served.csrf}&name=earth"
    body = f"{len(form):x}\r\n{form}\r\n{hidden}" if "chunked" in str(more) else ""
    told = served.answers(_form(served, *more, length=length, body=body))
    assert re.match(rb"HTTP/1.1 4\d\d ", told), told[:200]
    assert share(folder) == 500 and b"earth" not in told


@pytest.mark.parametrize(
    "way",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%00",
        "/p/../../../etc/passwd/moves",
        "/p/home/jobs/..%2f..%2f/x@20260101T0000Z",
        "/p/home/reports?report=../kirikae.yml&report=/etc/passwd",
        "//evil.example/%2f..",
    ],
)
def test_no_way_leads_out_of_the_console(served, way):
    """Neither files beside it nor the machine's."""
    request = (
        f"GET {way} HTTP/1.1\r\nHost: {served.host}\r\nConnection: close\r\n"
        f"Cookie: {served.cookie}\r\n\r\n"
    )
    told = served.answers(request.encode())
    assert re.match(rb"HTTP/1.1 (200|30\d|40\d) ", told), told[:200]
    assert b"def app(" not in told and b"root:x" not in told and b"123456789012" not in told
    assert b"location: http" not in told.lower() and b"location: //" not in told.lower()


def test_heads_and_forms_without_an_end_are_not_waited_for(served, folder, monkeypatch):  # noqa: F811
    """A hundred connections that say nothing, or a byte now and then, keep nobody out."""
    monkeypatch.setattr(patience, "HEAD_S", 1.0)
    monkeypatch.setattr(door, "_FORM_S", 1.0)
    huge = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000
    assert b"200 OK" not in served.answers(huge)
    silent = [served.connect() for _ in range(100)]
    for number, connection in enumerate(silent):
        connection.sendall(b"GET / HTTP/1.1\r\nX: " if number % 2 else b"")
    late = served.connect()
    late.sendall(_form(served, length="Content-Length: 4000"))
    assert served.post("hold", reason="").status_code == 303
    assert late.recv(100).startswith(b"HTTP/1.1 408")
    for connection in [*silent, late]:
        while connection.recv(4096):
            pass
        connection.close()
    assert share(folder) == 500


def test_a_page_that_is_followed_is_not_closed_for_its_silence(served, monkeypatch):
    """Who has asked may wait for the answer as long as he likes."""
    monkeypatch.setattr(patience, "HEAD_S", 0.2)
    with served.client.stream("GET", f"{EARTH}/live") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        time.sleep(1)
        running_since = served.post("hold", reason="still there")
        assert running_since.status_code == 303
        assert any("still there" in line for line in lines)


def test_two_hundred_who_look_on_do_not_keep_the_button_waiting(served, folder, monkeypatch):  # noqa: F811
    """Even where the journal takes its time; all of them hear of it."""
    read = Watcher._read

    def slow(self):
        time.sleep(1)
        return read(self)

    monkeypatch.setattr(Watcher, "_read", slow)
    looking = [served.connect() for _ in range(200)]
    for connection in looking:
        connection.sendall(
            f"GET {EARTH}/live HTTP/1.1\r\nHost: {served.host}\r\n"
            f"Cookie: {served.cookie}\r\n\r\n".encode()
        )
    for connection in looking:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    began = time.monotonic()
    assert served.post("back-out", name="earth").status_code == 303
    took_s = time.monotonic() - began
    assert share(folder) == 0 and took_s < 2.5 * PACE.slowness()

    def heard(connection: socket.socket) -> bool:
        found = b""
        while b"share is 0" not in found:
            found += connection.recv(65536)
        return True

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(heard, looking))
    for connection in looking:
        connection.close()


# --- who presses


def test_two_who_press_at_once_both_get_an_answer(served, folder):  # noqa: F811
    """The share is 0 and the journal can be read."""
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: served.post("back-out", name="earth"), range(8)))
    assert {each.status_code for each in told} == {303}
    eventually(lambda: 'class="press over"' in served.client.get(EARTH).text, "the press is over")
    journal = Journal(SqliteStore(folder / ".kirikae/state.db"), "test", "shop", "me", "here")
    assert share(folder) == 0 and journal.read("earth").held is not None
    assert "earth: share is 0" in served.client.get(EARTH).text


def test_two_who_hold_and_approve_at_once_do_not_overwrite_each_other(served, folder):  # noqa: F811
    """Each is written whole, or told what happened meanwhile."""
    acts = ("hold", "approve", "hold", "resume", "hold", "approve")
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda act: served.post(act, seq="1").status_code, acts))
    assert 303 in told and set(told) <= {303, 409}
    journal = Journal(SqliteStore(folder / ".kirikae/state.db"), "test", "shop", "me", "here")
    entries = [entry.move.seq for entry in journal.entries("earth")]
    assert entries == [*range(1, len(entries) + 1)] and len(entries) > 1
    assert share(folder) == 500


def test_read_only_is_kept_by_every_route(folder):  # noqa: F811
    """Also by one that is added later: what is sent below a project file changes nothing."""
    journal = running(folder)
    site = site_of(folder / "kirikae.yml", read_only=True)
    browser = Browser(site).sign_in()
    browser.get(EARTH)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    for each in routes(site):
        way = getattr(each, "path", "")
        if "POST" in (getattr(each, "methods", ()) or ()) and way.startswith("/p/"):
            there = way.replace("{place}", ALONE).replace("{name}", "earth")
            answer = browser.post(there, name="earth", seq="1")
            assert answer.status_code == 409 and "--read-only" in answer.text, way
    for way in UNLOCKED:
        browser.client.post(way, content=b"command=/kirikae&text=back-out+earth")
    assert journal.last("earth").move.seq == 1 and share(folder) == 500
    assert before == {file: file.read_bytes() for file in before}


# --- what lies there


def _harm_everywhere(folder: Path) -> None:  # noqa: F811
    store = SqliteStore(folder / ".kirikae" / "state.db")
    journal = Journal(store, "test", "shop", f"arn/{HARM}", HARM)
    hold = Hold(Why.BY_HAND, text(HARM))
    journal.write(Move("earth", PLAN, Phase.RUNNING, 500, hold, seq=1, attempt=1, stepped=1))
    ledger = Ledger(store, "test", "shop", f"arn:aws:iam::1:user/{HARM}")
    ledger.end(
        ledger.begin("r1", "old", {}),
        next(each for each in Outcome if each is not Outcome.DONE),
        HARM,
    )
    (folder / "reports").mkdir()
    name = HARM.replace("/", "")
    (folder / "reports" / f"{name}.json").write_text(json.dumps({HARM: HARM, "a": [HARM]}))
    (folder / ".kirikae" / "logs").mkdir(parents=True)
    (folder / ".kirikae" / "logs" / f"alert{name}.json").write_text(f'"{HARM}"')


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_hosts_people_and_files_are_called_stays_text(folder, monkeypatch, language):  # noqa: F811
    """Names of hosts, paths, releases, reports, alerts, people and reasons, on every page."""
    _harm_everywhere(folder)
    finding = Finding(
        "ST03",
        f"/srv/{HARM}",
        HARM,
        HARM,
        Severity.BLOCKS,
        blocks=("world",),
        evidence=(Trace(HARM, f"/srv/{HARM}", HARM, 7),),
    )
    monkeypatch.setattr(surveys, "survey_findings", lambda here, project: [finding])
    browser = Browser(site_of(folder / "kirikae.yml")).sign_in()
    query = httpx.QueryParams({"report": f"{HARM}.json", "one": HARM, "find": HARM, "zone": HARM})
    headers = {"Accept-Language": language}
    for name in [*NAV, "move/earth", f"move/{HARM}", f"jobs/{HARM}/x@20260101T0000Z"]:
        for way in (f"/p/home/{name}", f"/p/home/{name}?{query}"):
            assert "<img" not in browser.get(way, **headers).text, way
    assert "&lt;img" in browser.get("/p/home/logs").text
    assert "&lt;img" in browser.get("/p/home/reports").text
    assert "&lt;img" in browser.get("/p/home/releases").text
    (folder / "all" / HARM).mkdir(parents=True)
    (folder / "all" / HARM / "kirikae.yml").write_text(f"service: '{HARM}'\n")
    places = Places(lambda: places_in(folder / "all", Here(environment={})))
    many = Browser(site_of(folder / "kirikae.yml", places=places)).sign_in()
    told = many.get(f"/?{query}", **headers).text
    assert "<img" not in told and "&lt;img" in told
    assert "<img" not in many.get(f"/p/{next(iter(places))}/moves").text


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}", '{"format": 99}', '"\\ud800"'])
def test_an_entry_that_is_none_is_told_and_the_button_works(folder, body):  # noqa: F811
    """Whatever somebody has written into the journal."""
    running(folder)
    store = SqliteStore(folder / ".kirikae" / "state.db")
    store.create_if_absent("move/test/shop/earth/00000002", body)
    browser = Browser(site_of(folder / "kirikae.yml")).sign_in()
    told = browser.get(EARTH)
    assert told.status_code == 200 and 'role="alert"' in told.text
    assert "00000002" in told.text, "which entry it is"
    assert browser.get("/p/home/moves").status_code == 200
    assert browser.post(f"{EARTH}/back-out", name="earth").status_code == 303
    assert share(folder) == 0


def test_a_disk_that_is_full_is_told_and_the_button_works(folder, monkeypatch):  # noqa: F811
    """The journal cannot be written; share 0 needs none."""
    running(folder)
    import sqlite3

    whole = SqliteStore.create_if_absent

    def full(self, key, body):
        connect = sqlite3.connect

        def small(*args, **more):
            made = connect(*args, **more)
            made.execute("PRAGMA max_page_count = 1")
            return made

        monkeypatch.setattr(sqlite3, "connect", small)
        try:
            return whole(self, key, body + " " * 100_000)
        finally:
            monkeypatch.setattr(sqlite3, "connect", connect)

    monkeypatch.setattr(SqliteStore, "create_if_absent", full)
    browser = Browser(site_of(folder / "kirikae.yml")).sign_in()
    browser.get(EARTH)
    held = browser.post(f"{EARTH}/hold", reason="x")
    assert held.status_code == 409 and "full" in held.text
    assert browser.post(f"{EARTH}/back-out", name="earth").status_code == 303
    assert share(folder) == 0


def test_a_project_file_that_is_edited_while_it_is_served(folder):  # noqa: F811
    """Its faults are told with file and line, and gone when it is whole; also those of the file
    that an environment's lies over."""
    running(folder)
    over = folder / "kirikae.staging.yml"
    over.write_text('fleets:\n  old: {hosts: ["ssh://stage1"]}\n')
    journal = Journal(SqliteStore(folder / "other.db"), "staging", "shop", "me", "here")
    journal.write(Move("earth", PLAN, Phase.RUNNING, 250, seq=1, attempt=1, stepped=1))
    browser = Browser(site_of(over)).sign_in()
    first = browser.get("/p/home/move/earth").text
    assert "25%" not in first
    whole = PROJECT + "store: other.db\n"
    (folder / "kirikae.yml").write_text(whole)
    eventually(lambda: "25%" in browser.get("/p/home/move/earth").text, "the base is read anew", 5)
    (folder / "kirikae.yml").write_text(whole + "nonsense: 1\n")
    eventually(lambda: "kirikae.yml:" in browser.get("/p/home/moves").text, "it is told", 5)
    (folder / "kirikae.yml").write_text("no project")
    assert browser.get("/p/home/moves").status_code == 409
    (folder / "kirikae.yml").write_text(whole)
    eventually(lambda: "25%" in browser.get("/p/home/move/earth").text, "it is whole again", 5)


def test_a_console_that_is_stopped_in_the_middle_ends_what_it_began(folder, monkeypatch):  # noqa: F811
    """The press goes on after the answer; a process that ends waits for it."""
    from kirikae.console import pressing

    running(folder)
    back_out = pressing.back_out
    began = threading.Event()

    def slow(*args):
        began.set()
        time.sleep(3)
        return back_out(*args)

    monkeypatch.setattr(pressing, "back_out", slow)
    served = Served(folder / "kirikae.yml")
    with ThreadPoolExecutor(1) as pool:
        pressed = pool.submit(served.post, "back-out", name="earth")
        assert began.wait(30)
        served.server.should_exit = True
        assert pressed.result().status_code == 303
    served.stop()
    for thread in threading.enumerate():
        if thread.name.startswith("button"):
            assert not thread.daemon
            thread.join(30)
    assert share(folder) == 0


def test_no_origin_of_this_console_is_anothers(served):
    """Upper case, another port and a name that begins alike are others."""
    for host in (served.host.replace("127.0.0.1", "127.0.0.1.evil"), "localhost", f"{ORIGIN}.x"):
        told = served.answers(
            f"GET /sign-in HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        assert told.startswith(b"HTTP/1.1 4")
