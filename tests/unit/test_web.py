"""The web console lets nobody in who does not show what he must, and keeps its secrets."""

from __future__ import annotations

import re
import socket
import stat
from pathlib import Path

import pytest

from kirikae.aws.session import Aws
from kirikae.console import kinds, serve
from kirikae.console.web.keys import Attempts, Keys, Sessions, digest_of, people_from
from kirikae.console.web.pages import NAV
from kirikae.console.web.site import ALONE, Site
from kirikae.model.errors import UsageProblem
from kirikae.model.move import Hold, Move, Phase, Why
from kirikae.model.said import text, words_of
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore
from kirikae.traffic.kind import TRAFFIC
from tests.command import run
from tests.webs import ORIGIN, TOKEN, Browser, site_of
from tests.world import PLAN, SAY, WORLD, World, known

ARN = "arn:aws:iam::123456789012:user/sre"
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://web1"]}
  new: {cluster: c, ecs_service: b, target_group: b}
moves:
  earth: {kind: world, file: world, advance: ask}
  moon: {kind: world, file: moon}
"""
EARTH = f"/p/{ALONE}/move/earth"
TEMPLATES = Path(serve.__file__).parent / "web" / "templates"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, WORLD))
    monkeypatch.setattr(Aws, "identity", lambda self, account: ARN)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNOTREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never-on-a-page")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    (tmp_path / "world").write_text("500\n")
    return tmp_path


@pytest.fixture
def site(folder: Path) -> Site:
    return site_of(folder / "kirikae.yml")


@pytest.fixture
def browser(site: Site) -> Browser:
    return Browser(site).sign_in()


def journal_of(folder: Path) -> Journal:
    return Journal(SqliteStore(folder / ".kirikae" / "state.db"), "test", "shop", "me", "here")


def running(folder: Path, at: int = 500, held: Hold | None = None) -> Journal:
    journal = journal_of(folder)
    journal.write(Move("earth", PLAN, Phase.RUNNING, at, held, seq=1, attempt=1, stepped=1))
    return journal


def share(folder: Path) -> int:
    return World(folder / "world").share


# --- who comes in


@pytest.mark.parametrize("way", ["/", "/p/home/moves", EARTH, f"{EARTH}/live", "/p/home/survey"])
def test_without_a_session_there_is_the_sign_in_and_nothing_else(site, way):
    """And afterwards the page that was wanted."""
    answer = Browser(site).get(way)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?to=")
    assert "earth" not in answer.text


def test_a_forged_host_is_refused(browser):
    """DNS rebinding: a page of elsewhere whose name was made to mean this machine."""
    for host in ("evil.example", "127.0.0.1:9", "127.0.0.1", ""):
        answer = browser.get("/p/home/moves", Host=host)
        assert answer.status_code == 421 and "earth" not in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9"])
def test_a_forged_origin_is_refused(browser, folder, origin):
    """Even with the session's cookie and its CSRF token."""
    running(folder)
    browser.get(EARTH)
    answer = browser.post(f"{EARTH}/back-out", {"Origin": origin}, name="earth")
    assert answer.status_code == 403 and share(folder) == 500
    assert browser.get(EARTH, Origin=origin).status_code == 403


def test_a_browser_that_does_not_say_its_origin_is_refused(browser, folder):
    """Whoever is signed in has a browser that says it."""
    running(folder)
    browser.get(EARTH)
    form = {"csrf": browser.csrf, "name": "earth"}
    assert browser.client.post(f"{EARTH}/back-out", data=form).status_code == 403
    cross = browser.post(f"{EARTH}/back-out", {"Sec-Fetch-Site": "cross-site"}, name="earth")
    assert cross.status_code == 403 and share(folder) == 500


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", digest_of(TOKEN)])
def test_a_forged_token_is_refused(site, token):
    """Neither half of it, nor what the server keeps of it."""
    browser = Browser(site)
    browser.get("/sign-in")
    assert browser.post("/sign-in", token=token).status_code == 403
    assert browser.get("/p/home/moves").status_code == 303


@pytest.mark.parametrize("csrf", ["", "x", "ß"])
@pytest.mark.parametrize("act", ["back-out", "hold", "approve", "resume"])
def test_a_forged_csrf_token_is_refused(browser, folder, act, csrf):
    """Each act; nothing is done."""
    journal = running(folder)
    browser.get(EARTH)
    answer = browser.post(f"{EARTH}/{act}", csrf=csrf, name="earth", seq="1")
    assert answer.status_code == 403
    assert share(folder) == 500 and journal.last("earth").move.seq == 1


def test_another_sessions_csrf_token_is_refused(site, browser, folder):
    """It is worth nothing without its own cookie."""
    running(folder)
    other = Browser(site).sign_in()
    other.get(EARTH)
    assert browser.post(f"{EARTH}/hold", csrf=other.csrf).status_code == 403


def test_every_post_of_the_app_asks_for_a_token(site, browser):
    """Also one that is added later: without it nothing behind the gate is reached."""
    from kirikae.console.web.app import routes
    from kirikae.console.web.beside import UNLOCKED

    ways = [each.path for each in routes(site) if "POST" in (getattr(each, "methods", ()) or ())]
    assert len(ways) >= 7
    for way in ways:
        if way.startswith(UNLOCKED):
            continue  # proves in another way who asks: tests/unit/test_web_beside.py
        there = way.replace("{place}", ALONE).replace("{name}", "earth")
        assert browser.post(there, csrf="forged").status_code == 403, way


def test_what_is_no_form_of_this_console_is_refused(browser):
    """JSON that another site can send without being asked, files, and what is too long."""
    browser.get(EARTH)
    headers = {"Origin": ORIGIN}
    way = f"{EARTH}/hold"
    assert browser.client.post(way, json={}, headers=headers).status_code == 415
    assert browser.post(way, reason="x" * 70_000).status_code == 413
    assert browser.client.post(way, files={"a": b"x"}, headers=headers).status_code == 415


def test_the_sixth_wrong_token_has_to_wait(site):
    """And the right one with it; a minute later it is looked at again."""
    now = [0.0]
    site.attempts.clock = lambda: now[0]
    browser = Browser(site)
    browser.get("/sign-in")
    told = [browser.post("/sign-in", token="wrong").status_code for _ in range(6)]
    assert told == [403] * 5 + [429]
    held = browser.post("/sign-in", token=TOKEN)
    assert held.status_code == 429 and 0 < int(held.headers["retry-after"]) <= 60
    now[0] = 61.0
    assert browser.post("/sign-in", token=TOKEN).status_code == 303


def test_one_address_does_not_lock_another_out():
    """Attempts are counted by address, and forgotten for the oldest where there are too many."""
    attempts = Attempts(lambda: 0.0)
    for _ in range(5):
        attempts.failed("a")
    assert attempts.wait_s("a") == 60.0 and attempts.wait_s("b") == 0.0


def test_a_session_ends_and_is_another_one_after_the_sign_in(site):
    """No fixation: the name that a guest had is worth nothing afterwards."""
    browser = Browser(site)
    browser.get("/sign-in")
    guest = browser.client.cookies["kirikae-8420"]
    browser.post("/sign-in", token=TOKEN)
    assert browser.client.cookies["kirikae-8420"] != guest
    assert site.sessions.find(guest) is None
    browser.get(EARTH)
    assert browser.post("/sign-out").status_code == 303
    assert browser.get(EARTH).status_code == 303


def test_guests_do_not_drive_out_who_is_signed_in():
    """A flood of sign-in pages."""
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    mine = sessions.begin("")
    for _ in range(3000):
        sessions.begin()
    assert sessions.find(mine.id) is mine
    now[0] = 13 * 3600.0
    assert sessions.find(mine.id) is None


def test_the_way_back_after_the_sign_in_is_a_page_of_this_console(site):
    """Never another site."""
    for to in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"):
        browser = Browser(site)
        browser.get("/sign-in")
        assert browser.post("/sign-in", token=TOKEN, to=to).headers["location"] == "/"


# --- what an answer carries


def test_headers_let_nothing_in_from_elsewhere(site, browser):
    """Nothing inline, no other host, no frame, nothing kept; the cookie is the server's alone."""
    for way in ("/sign-in", "/static/style.css", "/p/home/moves", "/nowhere"):
        headers = browser.get(way).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy
        assert "http" not in policy and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
    assert browser.get("/p/home/moves").headers["cache-control"] == "no-store"
    cookie = Browser(site).get("/sign-in").headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie


def test_templates_and_files_need_nothing_inline_and_nothing_from_elsewhere():
    """What the policy would not let run is not written."""
    for file in (*TEMPLATES.glob("*.html"), *TEMPLATES.parent.glob("static/*")):
        found = file.read_text(encoding="utf-8")
        assert not re.search(r"\son[a-z]+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", found), file
        assert not re.search(r"(src|href|url)[=(]\W?(https?:)?//", found), file
        assert "localStorage" not in found and "sessionStorage" not in found


@pytest.mark.parametrize("way", [f"/p/home/{name}" for name in NAV] + [EARTH, "/nowhere"])
def test_no_page_has_a_secret(site, browser, folder, way):
    """Neither the token, nor the session's name, nor a key of AWS; also where it fails."""
    running(folder)
    told = browser.get(way).text
    session = browser.client.cookies["kirikae-8420"]
    for secret in (TOKEN, digest_of(TOKEN), session, "never-on-a-page", "AKIDNOTREAL"):
        assert secret not in told


def test_the_token_file_is_nobody_elses(folder, monkeypatch):
    """0600; where nobody looks at a terminal, the token stands there alone."""
    monkeypatch.setattr(serve, "_serve", lambda *_: None)
    ran = run("serve", "--listen", "127.0.0.1:0", "--json")
    file = folder / ".kirikae" / "console-token"
    assert ran.exit_code == 0 and stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert len(token) > 40 and token not in ran.stdout + ran.stderr
    again = run("serve", "--listen", "127.0.0.1:0")
    assert again.exit_code == 0 and file.read_text().strip() != token


def test_a_second_console_does_not_take_the_first_ones_token(folder, monkeypatch):
    """Its port is taken: refused before anything is written."""
    monkeypatch.setattr(serve, "_serve", lambda *_: pytest.fail("it was served"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ran.exit_code == 2 and "name another port" in ran.stderr
    assert not (folder / ".kirikae" / "console-token").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--listen", "0.0.0.0:8420"],
        ["--listen", "127.0.0.1"],
        ["--url", "http://moves.corp"],
        ["--url", "https://moves.corp/console"],
        ["--people", "nobody"],
        ["--project", "missing.yml"],
    ],
)
def test_it_does_not_begin_where_it_would_not_be_safe(folder, monkeypatch, words):
    """Beyond this machine only behind TLS, and never without somebody who may come in."""
    monkeypatch.setattr(serve, "_serve", lambda *_: pytest.fail("it was served"))
    before = ["--project", words[1]] if words[0] == "--project" else []
    ran = run(*before, "serve", *([] if before else words))
    assert ran.exit_code == 2 and words[1].removesuffix(":8420") in ran.stderr


def test_people_have_tokens_of_their_own(tmp_path):
    """Each line is a name and what is kept of a token; another line is named."""
    file = tmp_path / "people"
    file.write_text(f"# ours\nhanako {digest_of('a')}\n\ntaro {digest_of('b').upper()}\n")
    keys = Keys(people_from(file))
    assert keys.owner("b") == "taro" and keys.owner("c") is None
    file.write_text("hanako secret\n")
    with pytest.raises(UsageProblem, match="people:1"):
        people_from(file)
    file.write_text("")
    with pytest.raises(UsageProblem, match="nobody"):
        people_from(file)


def test_every_word_of_the_templates_is_there():
    """A key without a sentence would be met at 3 a.m."""
    known = words_of("kirikae.console")["en"]
    for file in TEMPLATES.glob("*.html"):
        for key in re.findall(r"""\bt\(["']([a-z_.]+)["'][,)]""", file.read_text()):
            assert f"console.web.{key}" in known, (file.name, key)
    assert all(f"console.web.nav.{name}" in known for name in NAV)


# --- the move


@pytest.mark.parametrize(("asks", "words"), [("en-GB", "Journal"), ("ja", "記録")])
def test_the_page_of_a_move_in_both_languages(browser, folder, asks, words):
    """Share, sentence, journal; in the language of the browser."""
    running(folder)
    told = browser.get(EARTH, **{"Accept-Language": asks}).text
    assert f'<html lang="{asks[:2]}"' in told and words in told and "50%" in told
    assert "{" not in told.replace("{{", "")


def test_a_language_that_was_chosen_lasts(browser):
    """For the session; the browser keeps nothing of it."""
    browser.get("/p/home/moves")
    answer = browser.post("/sign-in/language", language="ja", to="/p/home/moves")
    assert answer.headers["location"] == "/p/home/moves" and "set-cookie" not in answer.headers
    assert '<nav aria-label="ページ">' in browser.get("/p/home/moves").text


def test_the_page_has_the_values_of_the_command(browser, folder):
    """Data before text: the same as `move watch --once --json`, but for its clock."""
    running(folder)
    shown = browser.get(f"{EARTH}?json").json()
    command = run("move", "watch", "earth", "--once", "--json").json
    command.pop("outcome"), command.pop("at"), shown.pop("at"), shown.pop("says")
    assert shown == command


def test_the_red_button_needs_the_moves_name(browser, folder):
    """A hand that slips sets nothing to 0."""
    running(folder)
    for typed in ("", "moon", "EARTH", "earth;"):
        browser.get(EARTH)
        answer = browser.post(f"{EARTH}/back-out", name=typed)
        assert answer.status_code == 409 and share(folder) == 500
    assert browser.post("/p/home/move/mars/back-out", name="mars").status_code == 404


def test_the_red_button_sets_0_and_the_journal_says_who_and_why(site, folder):
    """As the command, and with the name of the person who pressed."""
    journal = running(folder)
    browser = Browser(site).sign_in(f"{TOKEN}-hanako")
    browser.get(EARTH)
    assert browser.post(f"{EARTH}/back-out", name="earth", reason="smoke").status_code == 303
    assert share(folder) == 0
    last = journal.last("earth")
    assert last.who == f"{ARN} console/hanako" and SAY(last.move.held.reason) == "smoke"
    assert last.move.held.why is Why.BACKED_OUT
    assert "earth: share is 0" in browser.get(EARTH).text


def broken_journal(folder: Path) -> None:
    (folder / ".kirikae").mkdir(exist_ok=True)
    (folder / ".kirikae" / "state.db").write_text("no database " * 500)


def broken_project(folder: Path) -> None:
    (folder / "kirikae.yml").write_text(PROJECT + "chekcs: 1\n")


@pytest.mark.parametrize("fault", [broken_journal, broken_project])
def test_the_red_button_works_whatever_is_broken(browser, folder, fault):
    """The page comes and says what is wrong, and the share is 0."""
    fault(folder)
    told = browser.get(EARTH)
    assert told.status_code == 200 and 'class="danger"' in told.text
    assert browser.post(f"{EARTH}/back-out", name="earth").status_code == 303
    assert share(folder) == 0
    assert "earth: share is 0" in browser.get(EARTH).text


def test_read_only_shows_everything_and_changes_nothing(folder):
    """No form of an act, and no act without a form."""
    journal = running(folder)
    browser = Browser(site_of(folder / "kirikae.yml", read_only=True)).sign_in()
    told = browser.get(EARTH).text
    assert 'back-out"' not in told and 'class="danger"' not in told
    for act in ("back-out", "hold", "approve", "resume"):
        answer = browser.post(f"{EARTH}/{act}", name="earth", seq="1")
        assert answer.status_code == 409 and "--read-only" in answer.text
    assert share(folder) == 500 and journal.last("earth").move.seq == 1


def test_hold_and_resume_are_those_of_the_command(site, folder):
    """With who and why."""
    journal = running(folder)
    browser = Browser(site).sign_in(f"{TOKEN}-hanako")
    browser.get(EARTH)
    assert browser.post(f"{EARTH}/hold", reason="lunch").status_code == 303
    last = journal.last("earth")
    assert SAY(last.move.held.reason) == "lunch" and last.who.endswith("console/hanako")
    assert share(folder) == 500
    assert browser.post(f"{EARTH}/resume").status_code == 303
    assert journal.last("earth").move.held is None


def test_an_approval_is_for_the_step_that_was_seen(browser, folder):
    """A move that went on meanwhile is not approved unseen."""
    journal = running(folder)
    browser.get(EARTH)
    old = browser.post(f"{EARTH}/approve", seq="7")
    assert old.status_code == 409 and not journal.approved_by(journal.read("earth"))
    assert browser.post(f"{EARTH}/approve", seq="1").status_code == 303
    assert journal.approved_by(journal.read("earth")) == [ARN]


def test_what_a_person_wrote_stays_text(browser, folder):
    """A reason is no HTML of this page."""
    running(folder, held=Hold(Why.BY_HAND, text("<img src=x onerror=alert(1)>\x1b[2J")))
    told = browser.get(EARTH).text
    assert "<img" not in told and "&lt;img src=x" in told and "\x1b" not in told


def test_news_come_as_events(browser, folder):
    """The first one is what the page has; it ends with the session."""
    running(folder)
    browser.get(EARTH)
    with browser.client.stream("GET", f"{EARTH}/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = next(answer.iter_lines())
        assert first.startswith("data: ")
        browser.post("/sign-out")


def test_the_documentation_is_linked_where_it_stands_and_never_loaded(folder, monkeypatch):
    """In the reader's language; an address that a browser would run is refused."""
    site = site_of(folder / "kirikae.yml", docs="https://docs.corp/kirikae")
    browser = Browser(site).sign_in()
    for language, page in (("en", "how-to/console.html"), ("ja", "ja/console.html")):
        told = browser.get("/p/home/moves", **{"Accept-Language": language}).text
        assert f'href="https://docs.corp/kirikae/{page}" rel="noreferrer"' in told
        assert (Path(serve.__file__).parents[3] / "docs" / page).with_suffix(".md").is_file()
    refused = run("serve", "--docs", "javascript:alert(1)")
    assert refused.exit_code == 2 and "https://" in refused.stderr


def test_after_an_act_the_page_shows_what_is_lawful_then(browser, folder):
    """Not what was seen a moment before; and the parts that follow say it, too."""
    running(folder)
    browser.get(EARTH)
    lawful = re.compile(r'data-act="(\w+)"(?! hidden)')
    assert set(lawful.findall(browser.get(EARTH).text)) == {"approve", "hold"}
    browser.post(f"{EARTH}/hold", reason="lunch")
    assert lawful.findall(browser.get(EARTH).text) == ["resume"]
    with browser.client.stream("GET", f"{EARTH}/live") as answer:
        told = next(answer.iter_lines())
        browser.post("/sign-out")
    assert 'data-part="now" data-may="resume"' in told
