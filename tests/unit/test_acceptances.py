"""An acceptance that does not hold is told by every verb that reads it, before anybody relies on
it."""

from __future__ import annotations

import json
from datetime import date

import pytest

from kirikae.console.acceptances import doubts, needless
from kirikae.console.kinds import read_project
from kirikae.model.finding import Finding
from kirikae.survey.shelf import Shelf
from tests.command import run
from tests.unit.test_survey import PROJECT, bundle_text

DAY = date(2026, 11, 27)
SESSIONS = "/var/lib/bookshop/sessions"


def accepting(code: str, where: str, until: str = "2099-12-31") -> str:
    return (
        PROJECT
        + f"accepted:\n  - {{finding: {code}, where: {where}, why: w, by: SRE, until: {until}}}\n"
    )


def finding(code: str, where: str, accepted: str = "") -> Finding:
    return Finding(code, where, "says", "remedy", accepted=accepted)


@pytest.mark.parametrize(
    ("code", "where", "until", "found", "kind", "instead"),
    [
        ("ST03", "/a", "2026-11-26", [], "expired", ()),
        ("ST03", "/a", "2026-11-27", [], None, ()),
        ("ST99", "/a", "2099-12-31", [], "no_code_near", ("ST",)),
        ("what?", "/a", "2099-12-31", [], "no_code", ()),
        ("ST03", "/a", "2099-12-31", [("ST03", "/b"), ("ST04", "/a")], "elsewhere", ("/b",)),
        ("ST03", "/a", "2099-12-31", [("ST03", "/a"), ("ST03", "/b")], None, ()),
        ("ST03", "/a", "2099-12-31", [("ST04", "/b")], None, ()),
    ],
)
def test_what_does_not_hold_is_told_with_what_may_be_meant(
    code, where, until, found, kind, instead
):
    """Ended yesterday, a code that is none, a place that is none; and a finding that is gone needs
    no answer."""
    project = read_project(accepting(code, where, until), "kirikae.yml")
    told = doubts(project, DAY, [finding(*each) for each in found])
    assert [each.kind for each in told] == ([kind] if kind else [])
    for each in told:
        assert all(near.startswith(instead) for near in each.instead)
        assert (each.instead == ()) is (instead == ())


def test_two_answers_of_one_code_do_not_doubt_each_other():
    """What is found at the other place has its own answer."""
    project = read_project(accepting("ST03", "/gone"), "kirikae.yml")
    assert doubts(project, DAY, [finding("ST03", "/b", accepted="by SRE")]) == []


def test_an_answer_for_what_a_move_of_the_file_mends_is_told_to_be_needless():
    """By the kinds of its moves: the shop has one of jobs, and none of logs."""
    moves = PROJECT + 'moves:\n  crontab: {kind: jobs, crontab: tab, ledger: "dynamodb://t"}\n'
    text = "accepted:\n" + "".join(
        f"  - {{finding: {code}, where: /a, why: w, by: SRE, until: 2099-12-31}}\n"
        for code in ("JB04", "LG04", "ST03")
    )
    told = needless(read_project(moves + text, "kirikae.yml"))
    assert [each.blanks["code"] for each in told] == ["JB04"]
    assert told[0].blanks["moves"] == ["crontab"]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    shelf = Shelf(tmp_path / ".kirikae" / "bundles")
    for host in ("web1", "web2", "batch1"):
        shelf.put(host, bundle_text(host))
    return tmp_path / "kirikae.yml"


FINDS = ("survey show", "survey ask", "report --dry-run")
READS = (*FINDS, "project check", "build plan", "build write --dry-run")


@pytest.mark.parametrize("verb", READS)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (accepting("ST03", SESSIONS, "2020-01-01"), "ended on 2020-01-01"),
        (accepting("ST99", SESSIONS), "no finding has this code"),
    ],
)
def test_every_verb_that_reads_acceptances_tells(shop, verb, text, says):
    """On the error stream and in the JSON; the file alone is enough for it."""
    shop.write_text(text)
    assert says in run(*verb.split()).stderr
    [told] = run(*verb.split(), "--json").json["acceptances"]
    assert told["where"] == SESSIONS


@pytest.mark.parametrize("verb", FINDS)
def test_a_place_that_is_none_is_told_with_the_places_that_were_found(shop, verb):
    """One letter too few."""
    shop.write_text(accepting("ST03", SESSIONS[:-1]))
    ran = run(*verb.split())
    assert f"ST03 was found at {SESSIONS}" in ran.stderr, ran


def test_the_check_ends_with_six(shop):
    """It found something; in Japanese as well."""
    shop.write_text(accepting("ST03", SESSIONS, "2020-01-01"))
    ran = run("project", "check", "--lang", "ja")
    assert ran.exit_code == 6 and "了承は 2020-01-01 に期限が切れ" in ran.stderr
    shop.write_text(accepting("ST03", SESSIONS))
    ran = run("project", "check", "--json")
    assert ran.exit_code == 0 and "acceptances" not in json.loads(ran.stdout)


def test_a_move_that_does_not_start_says_which_answer_does_not_hold(shop, monkeypatch):
    """Beside the finding that stands in its way."""
    from kirikae.aws.session import Aws

    monkeypatch.setattr(Aws, "identity", lambda self, account: "arn:aws:iam::123456789012:user/sre")
    moves = "moves:\n  web: {kind: traffic, router: {listener_rule: shop/main}}\n"
    shop.write_text(accepting("ST03", SESSIONS, "2020-01-01") + moves)
    ran = run("move", "start", "web")
    assert ran.exit_code == 1 and "ended on 2020-01-01" in ran.stderr, ran
    assert "does not start: 4 findings stand in the way" in ran.stderr
