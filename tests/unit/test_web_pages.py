"""The pages of the web console show what the commands answer, in both languages."""

from __future__ import annotations

import html
import json
import os
import re
import time
from datetime import date

import pytest

from kirikae.console.here import Here
from kirikae.console.speech import Speech
from kirikae.console.web import members, running, surveys
from kirikae.console.web.calendar import calendar_of
from kirikae.console.web.figures import bars, road, sides
from kirikae.console.web.running import differences, flat, heat_of
from kirikae.console.web.surveying import A_PAGE, promises
from kirikae.jobs.job import Firing, Owner, Run, State
from kirikae.jobs.settings import JobsMove
from kirikae.logs.alert_state import AlertState
from kirikae.logs.patterns import rule_of
from kirikae.model.errors import UsageProblem
from kirikae.model.finding import Finding, Severity, Trace
from kirikae.model.move import Move, Phase
from kirikae.move.journal import Entry
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release.ledger import Ledger, Outcome
from kirikae.release.status import ServiceNow, Standing
from kirikae.release.stopped import StoppedTask
from kirikae.survey.shelf import Shelf
from tests.command import run
from tests.pace import PACE, eventually
from tests.unit.test_survey import PROJECT as SURVEYED
from tests.unit.test_survey import bundle_text
from tests.unit.test_web import PROJECT, browser, folder, site  # noqa: F401 - fixtures
from tests.webs import Browser, site_of
from tests.world import PLAN, known

JOBS = """\
  batch: {kind: jobs, crontab: crontab, ledger: "http://127.0.0.1:9", time_zone: Asia/Tokyo}
"""
LANGUAGES = ("en", "ja")
HOME = "/p/home"


def found(number: int, **changed: object) -> Finding:
    plain = {
        "code": "ST03",
        "where": f"/srv/shop/data/{number}",
        "says": f"files <b>number {number}</b> are written beside the code",
        "remedy": "keep them elsewhere",
        "severity": Severity.BLOCKS if number % 2 else Severity.WORK,
        "blocks": ("world",) if number % 2 else (),
        "evidence": (Trace(f"web{number % 3}", f"/srv/shop/data/{number}", "it is there", 7),),
    }
    return Finding(**{**plain, **changed})  # type: ignore[arg-type]


# --- survey


@pytest.mark.parametrize("language", LANGUAGES)
def test_ten_thousand_findings_are_a_page_of_a_hundred(browser, monkeypatch, language):  # noqa: F811
    """All are counted and can be sifted; what a host wrote stays text."""
    many = [found(number) for number in range(10_000)]
    monkeypatch.setattr(surveys, "survey_findings", lambda here, project: many)
    headers = {"Accept-Language": language}
    browser.get(f"{HOME}/survey", **headers)
    began = time.monotonic()
    told = browser.get(f"{HOME}/survey", **headers).text
    assert time.monotonic() - began < PACE.slowness()
    assert told.count("<details") == A_PAGE and len(told) < 300_000
    assert "10,000" in told and "5000" in told.replace(",", "")
    assert "<b>number" not in told
    last = browser.get(f"{HOME}/survey?page=99999", **headers).text
    assert told.count("<details") == last.count("<details") and 'rel="next"' not in last
    few = browser.get(f"{HOME}/survey?move=earth&host=web1&where=data/13", **headers).text
    assert "/srv/shop/data/13" in few and "/srv/shop/data/14<" not in few
    assert browser.get(f"{HOME}/survey?page=x&severity=no&move=no").status_code == 200


def test_the_survey_page_has_the_values_of_the_command(browser):  # noqa: F811
    """SV01: nothing was looked at yet; it blocks, and the next command stands there."""
    shown = browser.get(f"{HOME}/survey?json&move=earth").json()
    command = run("survey", "show", "--kind", "world", "--json").json
    command.pop("outcome")
    assert shown == command
    told = browser.get(f"{HOME}/survey").text
    assert "kirikae survey explain SV01" in told


def test_acceptances_are_told_with_their_ends(folder):  # noqa: F811
    """What ends first comes first; what is over is told."""
    rows = [("SV01", "2026-12-20"), ("SV01", "2026-01-01"), ("SV02", "2027-12-20")]
    accepted = "".join(
        f'  - {{finding: {code}, where: web1, why: "x", by: "SRE", until: {until}}}\n'
        for code, until in rows[:2]
    )
    (folder / "kirikae.yml").write_text(
        f"{PROJECT}accepted:\n{accepted}".replace(
            'where: web1, why: "x", by: "SRE", until: 2026-01-01',
            'where: web2, why: "x", by: "SRE", until: 2026-01-01',
        )
    )
    from kirikae.console.context import load_project

    project = load_project(Here(str(folder / "kirikae.yml")))
    told = promises(project, [], date(2026, 12, 1))
    assert [each.days for each in told] == [-334, 19]
    assert [each.tone for each in told] == ["fail", "held"]
    assert "SRE" in Browser(site_of(folder / "kirikae.yml")).sign_in().get(f"{HOME}/survey").text


# --- releases


def test_releases_what_runs_where_and_what_ran_at_a_time(browser, folder):  # noqa: F811
    """From the ledger, as `release status --at` has it; two releases side by side."""
    (folder / "app").mkdir()
    for name in ("r1", "r2"):
        (folder / "app" / "file").write_text(name)
        assert run("release", "create", name, "--from", "app").exit_code == 0
    ledger = Ledger(SqliteStore(folder / ".kirikae" / "state.db"), "test", "shop", "arn/taro")
    for name in ("r1", "r2"):
        entry = ledger.begin(name, "old", {})
        ledger.end(entry, Outcome.DONE, "")
    shown = browser.get(f"{HOME}/releases?json").json()
    assert shown["served"]["old"]["release"] == "r2" and shown["served"]["new"] is None
    told = browser.get(f"{HOME}/releases?one=r1&other=r2").text
    assert "r2" in told and "taro" in told and "sha256" in told
    before = browser.get(f"{HOME}/releases?at=2020-01-01T00:00&json").json()
    assert before["served"] == {"old": None, "new": None}
    assert browser.get(f"{HOME}/releases?at=yesterday").status_code == 409


def test_what_each_member_says_now_is_never_waited_for(browser, monkeypatch):  # noqa: F811
    """As `release status`; AWS that does not answer is told, and the ledger stands there anyhow."""
    told = browser.get(f"{HOME}/releases")
    assert told.status_code == 200 and 'class="serves"' in told.text
    eventually(lambda: "AWS does not answer" in browser.get(f"{HOME}/releases").text, "it is told")
    assert browser.get(f"{HOME}/releases?json").json()["live"] is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_members_services_and_stopped_tasks_stand_on_the_page(browser, monkeypatch, language):  # noqa: F811
    """One that is not there is no service of 0 tasks."""
    stopped = StoppedTask("t1", "EssentialContainerExited", "<b>out of memory</b>", ())
    seen = Standing(
        [], ServiceNow("arn:x/shop:7", 1, 2), {"ssh://web1": "r2"}, [stopped], {"gone": None}
    )
    monkeypatch.setattr(members, "standing", lambda project, aws, ledger: seen)
    told = browser.get(f"{HOME}/releases", **{"Accept-Language": language}).text
    assert "ssh://web1" in told and "shop:7" in told and "gone" in told
    assert "&lt;b&gt;out of memory" in told
    live = browser.get(f"{HOME}/releases?json").json()["live"]
    assert live["hosts"] == {"ssh://web1": "r2"} and live["services"] == {"gone": None}


def test_two_releases_that_say_the_same_do_not_differ(folder):  # noqa: F811
    """Names and times are no difference."""
    from dataclasses import replace

    from kirikae.release.manifest import Manifest

    one = Manifest("r1", "a" * 64, 1, 1, "g", "me", 1.0, definitions={"web.yml": "b" * 64})
    assert differences(one, replace(one, id="r2", at=2.0)) == []
    other = replace(one, definitions={"web.yml": "c" * 64})
    assert differences(one, other) == [("ecs/web.yml", "b" * 16, "c" * 16)]


# --- jobs and logs


def firing(state: State, due: int) -> Firing:
    ran = Run(1, 1, "worker-1", Owner.NEW, due * 60.0, due * 60.0, due * 60.0 + 3, 1, "", "<oops>")
    return Firing("tab.mail", due, Owner.NEW, state, due * 60.0, runs=(ran,))


def jobs_move() -> JobsMove:
    return JobsMove(kind="jobs", crontab="crontab", ledger="http://127.0.0.1:9")


def test_a_day_of_jobs_in_a_zone(tmp_path):
    """Due by the crontab, ran, missed, skipped; each on the wall clock of the zone that is read."""
    (tmp_path / "crontab").write_text("30 3 * * * mail\n")
    begin = 29_713_860  # 2026-07-01T00:00 in Tokyo
    states = (State.SUCCEEDED, State.MISSED, State.SKIPPED, State.FAILED)
    ran = [firing(state, begin + 60 * hour) for hour, state in enumerate(states)]

    def firings(low: int, high: int) -> list[Firing]:
        assert (low, high) == (begin, begin + 1439)
        return ran

    day = calendar_of(tmp_path, jobs_move(), "Asia/Tokyo", "2026-07-01", firings)
    row = day.rows["tab.mail"]
    assert [cell.tone for cell in row[:4] if cell] == ["ran", "missed", "skipped", "failed"]
    assert day.local(begin + 60) == "01:00" and len(day.hours) == 24
    planned = [job for job, cells in day.rows.items() for cell in cells if cell is not None]
    assert len(planned) == 5, "the crontab's own firing of that day is told as well"


def test_a_day_with_a_missing_hour_has_23(tmp_path):
    """Daylight saving; and a zone that there is not is refused."""
    day = calendar_of(tmp_path, jobs_move(), "America/New_York", "2026-03-08", lambda *_: [])
    assert len(day.hours) == 23
    for zone, text in (("Nowhere/At", ""), ("../etc/passwd", ""), ("UTC", "yesterday")):
        with pytest.raises(UsageProblem):
            calendar_of(tmp_path, jobs_move(), zone, text, lambda *_: [])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_jobs_page_without_a_ledger_and_with_one(folder, monkeypatch, language):  # noqa: F811
    """A ledger that does not answer leaves the crontab; output is text."""
    from kirikae.console import kinds
    from kirikae.jobs.kind import JOBS as KIND

    monkeypatch.setattr(kinds, "KINDS", {**kinds.KINDS, **known(KIND)})
    (folder / "crontab").write_text("0 3 * * * mail\n")
    (folder / "kirikae.yml").write_text(PROJECT + JOBS)
    headers = {"Accept-Language": language}
    reading = Browser(site_of(folder / "kirikae.yml")).sign_in()
    told = reading.get(f"{HOME}/jobs", **headers).text
    assert 'class="trouble"' in told and 'class="cell due"' in told

    class Ledgers:
        def history(self, job, since, until, most):
            return [firing(State.FAILED, since + 5)]

        def firing(self, job, due):
            return firing(State.FAILED, due)

    monkeypatch.setattr(running, "ledger_of", lambda *_: Ledgers())
    told = reading.get(f"{HOME}/jobs?day=2026-07-01&zone=UTC", **headers).text
    assert "cell failed" in told and "tab.mail@20260701T0005Z" in told
    one = reading.get(f"{HOME}/jobs/batch/tab.mail@20260701T0005Z", **headers).text
    assert "&lt;oops&gt;" in one and "worker-1" in one
    assert reading.get(f"{HOME}/jobs/batch/nonsense").status_code == 409
    assert reading.get(f"{HOME}/jobs/earth/tab.mail@20260701T0005Z").status_code == 409


def test_partitions_are_rows_of_a_day():
    """The newest day first; each verdict is counted."""
    heat = heat_of(
        "logs", {"2026/11/26/22/": "pass", "2026/11/26/23/": "fail", "2026/11/27/00/": "pass"}
    )
    assert heat.rows[0] == ("2026/11/27", [("00", "pass")])
    assert heat.rows[1][1] == [("22", "pass"), ("23", "fail")]
    assert heat.counts == {"pass": 2, "fail": 1, "unsure": 0}


def test_alerts_are_told_with_what_did_not_arrive(browser, folder):  # noqa: F811
    """Who listens, whose chat does not answer, and a memory that cannot be read."""
    place = folder / ".kirikae" / "logs"
    place.mkdir(parents=True)
    rule = rule_of(["ERROR"], [], 60.0, 10)
    for name, unsent in (("alert-fine", []), ("alert-stuck", [{"kind": "x"}])):
        state = AlertState.at(place / f"{name}.json", rule, 300.0, 0.0)
        state.unsent = unsent
        state.keep(place / f"{name}.json")
    (place / "alert-old.json").write_bytes((place / "alert-fine.json").read_bytes())
    os.utime(place / "alert-old.json", (1000.0, 1000.0))
    (place / "alert-torn.json").write_text('{"seen":')
    shown = {each["alert"]: each for each in browser.get(f"{HOME}/logs?json").json()["alerts"]}
    assert {name: each["state"] for name, each in shown.items()} == {
        "alert-fine": "listens",
        "alert-old": "silent",
        "alert-stuck": "undelivered",
        "alert-torn": "unreadable",
    }
    for language in LANGUAGES:
        told = browser.get(f"{HOME}/logs", **{"Accept-Language": language}).text
        assert "alert-stuck" in told and "1970-01-01" in told


# --- reports and what decides


def test_reports_stand_side_by_side(browser, folder):  # noqa: F811
    """Of the project's own folder and of no other."""
    (folder / "reports").mkdir()
    (folder / "reports" / "a.json").write_text(json.dumps({"p99": {"ms": 12}, "list": [1, 2]}))
    (folder / "reports" / "b.json").write_text(json.dumps({"p99": {"ms": 15000}}))
    (folder / "reports" / "c.json").write_text("no json")
    os.utime(folder / "reports" / "a.json", (1000.0, 1000.0))
    told = browser.get(f"{HOME}/reports?report=a.json&report=b.json").text
    assert "p99.ms" in told and "15,000" in told and "[2]" in told and "–" in told
    assert "+124900.0%" in told
    assert running.change(["2", "1"]) == "-50.0%"
    assert {running.change([each, "1"]) for each in ("0", "1", "x", "nan", "inf")} == {""}
    assert browser.get(f"{HOME}/reports?report=c.json").status_code == 409
    away = browser.get(f"{HOME}/reports?report=../kirikae.yml").text
    assert "123456789012" not in away
    plain = {"a": {"b": None}, "c": True, "d": 0.1541325, "e": 12345.6}
    assert flat(plain) == {"a.b": "–", "c": "true", "d": "0.1541", "e": "12,346"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_not_there_yet_says_how_to_get_it(browser, language):  # noqa: F811
    """No page is empty."""
    for page in ("releases", "jobs", "logs", "reports"):
        answer = browser.get(f"{HOME}/{page}", **{"Accept-Language": language})
        assert answer.status_code == 200 and 'class="soft"' in answer.text, page
    decide = browser.get(f"{HOME}/decide")
    assert decide.status_code == 409 and "survey collect" in decide.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_to_decide_by_a_real_survey(folder, language):  # noqa: F811
    """Three captured hosts: the page has every sentence of `report --json`, and can be printed."""
    (folder / "kirikae.yml").write_text(SURVEYED)
    for host in ("web1", "web2", "batch1"):
        Shelf(folder / ".kirikae" / "bundles").put(host, bundle_text(host))
    reading = Browser(site_of(folder / "kirikae.yml")).sign_in()
    headers = {"Accept-Language": language}
    told = reading.get(f"{HOME}/decide", **headers).text
    command = run("report", "--lang", language, "--json").json
    seen = " ".join(re.sub(r"<[^>]+>", "\n", html.unescape(told)).split())
    for sentence in (*command["gains"], *command["risks"], command["cost"]):
        assert " ".join(sentence.split()) in seen
    assert told.count("<svg") == 1 and "<style" not in told and "style=" not in told
    assert reading.get(f"{HOME}/decide?json", **headers).json()["cost"] == command["cost"]
    assert "ST03" in reading.get(f"{HOME}/survey", **headers).text


# --- figures


def test_a_figure_that_did_not_come_is_a_dash():
    """Missing is not zero."""
    old, new = sides({"old_requests": 10, "old_errors": 1, "new_requests": 0})
    assert old.part == "10.00%" and new.part == "–" and new.errors is None
    assert sides({"turns": 1.0}) == []


def test_a_bar_is_full_only_where_it_is_reached():
    """99.9% of a proof is none; harm that is not there is no bar below 0."""
    figures = {"log_harm": -3.0, "bar_harm": 6.9, "log_safe_errors": 2.99, "bar_safe": 3.0}
    harm, safe = bars(figures, Speech())
    assert harm.harm and harm.percent == 0 and safe.percent == 99


def test_the_road_of_a_move_is_a_line_of_steps():
    """A single entry has no road."""
    move = Move("earth", PLAN, Phase.RUNNING, 0, seq=1)
    entries = [
        Entry(move, 0.0, "me", "here"),
        Entry(Move("earth", PLAN, Phase.RUNNING, 500, seq=2), 10.0, "me", "here"),
    ]
    assert road(entries[:1], 0.0) is None
    drawn = road(entries, 20.0)
    assert drawn is not None and (drawn.begin, drawn.end, drawn.entries) == (0.0, 20.0, 2)
    assert 'd="M0.0 122.0H480.0V66.0H960"' in drawn.svg
    assert drawn.svg.count('class="rule"') == len({0, *PLAN, 1000})
