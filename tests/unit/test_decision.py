"""The page for people who decide: plain words, both languages, nothing guessed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest

from kirikae.build.sizes import size_of
from kirikae.console import decision_page
from kirikae.console.decision import End, Facts, Task, effort_of, facts_of
from kirikae.console.decision_page import page
from kirikae.console.here import Here
from kirikae.console.kinds import read_project
from kirikae.console.speech import Speech
from kirikae.model.catalogue import load
from kirikae.model.fargate import dollars_a_day
from kirikae.model.finding import Severity
from kirikae.survey.errors import NoSurvey
from kirikae.survey.shelf import Shelf
from kirikae.survey.survey import findings
from kirikae.survey.workload import workload
from tests.command import run
from tests.unit.test_survey import PROJECT, TODAY, bundle_text, captured

LANGUAGES = ("en", "ja")
ENDS = (
    End("Debian 12 (LTS)", date(2028, 6, 30)),
    End("Python 3.11", date(2027, 10, 31)),
    End("PostgreSQL 15", date(2026, 1, 1)),
)


@pytest.fixture(scope="module")
def facts():
    fleet = [captured("web1"), captured("web2")]
    project = read_project(PROJECT, "kirikae.yml")
    size = size_of(workload(fleet, project.build, project.accepted), project.build.tasks)
    seen = findings(fleet, [captured("batch1")], TODAY)
    return Facts(project, seen, 3, ENDS, size, TODAY)


def text_of(html):
    """What a reader sees."""
    return re.sub(r"<[^>]+>", "\n", re.sub(r"<style>.*?</style>", "", html, flags=re.S))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_for_people_who_decide_speaks_plain_words(facts, language):
    """What ends, what is gained, what it takes, what it costs, the risks; one picture; no codes;
    nothing that must be loaded from elsewhere."""
    html = page(facts, Speech(language))
    assert html.count("<h2>") == 6 and html.count("<svg") == 1
    assert f'lang="{language}"' in html and "$" not in html.replace("$1.48", "").replace("$44", "")
    for name in ("Debian 12 (LTS)", "Python 3.11", "PostgreSQL 15"):
        assert name in html
    for code in ("ST03", "CF05", "JB04", "<script", "http"):
        assert code not in html
    cost = dollars_a_day("ap-northeast-1", facts.size.cpu, facts.size.memory, 2)
    assert cost is not None and f"{cost:.2f}" in html


def test_the_japanese_page_has_one_word_for_each_side_and_no_english_sentence(facts):
    """旧環境, 新環境."""
    text = text_of(page(facts, Speech("ja")))
    assert "旧環境" in text and "新環境" in text
    assert not re.search("旧側|新側|新しい側|元の側", text)
    assert not re.search(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}", text)


def test_the_page_says_the_same_as_its_json(facts):
    """Gains, what it takes, cost and risks stand in both."""
    for language in LANGUAGES:
        speech = Speech(language)
        text = " ".join(text_of(page(facts, speech)).split())
        plain = facts.to_plain(speech)
        for sentence in (*plain["gains"], *plain["risks"], plain["cost"]):
            assert sentence in text
        assert [end["name"] for end in plain["ends"]] == [end.name for end in ENDS]


def test_the_number_of_jobs_is_a_value_and_not_a_sentence(facts):
    """Seven jobs hang on batch1, whatever the finding's words are."""
    reworded = [replace(each, says="reworded") for each in facts.findings]
    plain = replace(facts, findings=reworded).to_plain(Speech())
    assert any(
        gain.endswith("7 jobs run on a single machine today; if it fails, they do not run.")
        for gain in plain["gains"]
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_yen_are_said_at_the_rate_that_somebody_gave_and_never_otherwise(facts, language):
    """The rate stands beside them; an unknown price has none in yen either."""
    speech = Speech(language)
    word = {"en": "yen", "ja": "円"}[language]
    assert word not in facts.to_plain(speech)["cost"]
    told = replace(facts, yen=150.0).to_plain(speech)["cost"]
    day = dollars_a_day("ap-northeast-1", facts.size.cpu, facts.size.memory, 2)
    assert f"{day * 150:,.0f}" in told and f"{day * 150 * 30:,.0f}" in told and "150" in told
    assert word not in replace(facts, yen=150.0, size=None).to_plain(speech)["cost"]


def test_person_days_are_the_sum_of_what_is_said_beside_them(facts):
    """Two kinds, one of them in three places; the page says how it comes about."""
    tasks = [Task("blocks", "ST03", 1, "web1"), Task("work", "CF01", 3, "web1")]
    found = effort_of(tasks)
    assert (found.least, found.most) == (1.4, 6.5)  # 1 + 0.25 + 2 x 0.1; 5 + 1 + 2 x 0.25
    assert found.kinds == {"blocks": 1, "high": 0, "work": 1} and found.further == 2
    assert effort_of([]).most == 0
    for language in LANGUAGES:
        says = facts.to_plain(Speech(language))["effort"]["says"]
        assert says in " ".join(text_of(page(facts, Speech(language))).split())


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_cost_cannot_be_known_from_is_not_called_nothing(facts, language):
    """Neither an unknown size nor an unknown region costs nothing."""
    speech = Speech(language)
    unknown = replace(facts, size=None).to_plain(speech)["cost"]
    assert unknown and "0" not in unknown
    elsewhere = facts.project.model_copy(update={"region": "sa-east-1"})
    assert "sa-east-1" in replace(facts, project=elsewhere).to_plain(speech)["cost"]


def test_whatever_a_host_is_named_it_is_text_in_the_page(facts):
    """Names come from a project file and from hosts."""
    named = facts.project.model_copy(update={"service": "<b>&"})
    wild = [
        replace(each, evidence=tuple(replace(trace, host="<i>web1") for trace in each.evidence))
        for each in facts.findings
    ]
    ends = (End("<u>Debian", date(2028, 1, 1)),)
    html = page(replace(facts, project=named, findings=wild, ends=ends), Speech())
    assert not re.search("<(b>&|i>web1|u>Debian)", html)
    assert "&lt;b&gt;&amp;" in html and "&lt;i&gt;web1" in html and "&lt;u&gt;Debian" in html


def test_without_an_end_in_sight_there_is_a_sentence_instead_of_a_picture(facts):
    """Nothing runs out within two years."""
    html = page(replace(facts, ends=()), Speech())
    assert "<svg" not in html and "Nothing that was found runs out" in html


# --- the verb


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    return tmp_path


def test_without_a_survey_there_is_no_page(folder):
    """In words and in JSON."""
    with pytest.raises(NoSurvey, match="survey collect"):
        facts_of(Here())
    ran = run("report", "--json")
    assert ran.exit_code == 1 and ran.json["outcome"] == "refused"
    assert "survey collect" in ran.json["message"]


def test_the_page_is_written_once_it_is_asked_for(folder, monkeypatch):
    """Neither a dry run nor JSON writes it; a place that cannot be written to is said."""
    shelf = Shelf(folder / ".kirikae" / "bundles")
    for host in ("web1", "web2"):
        shelf.put(host, bundle_text(host))
    assert run("report", "--dry-run").stdout == "would write decision-en.html\n"
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    assert run("report", "--dry-run").stdout == "would write decision-ja.html\n"
    monkeypatch.delenv("LANG")
    plain = run("report", "--lang", "ja", "--json").json
    assert plain["outcome"] == "done" and plain["language"] == "ja" and plain["takes"]
    assert run("report", "--dry-run", "--json").json["outcome"] == "dry run"
    assert list(folder.glob("*.html")) == []
    assert run("report", "--lang", "ja", "--out", "out/page.html").exit_code == 0
    assert 'lang="ja"' in (folder / "out" / "page.html").read_text()
    (folder / "file").write_text("")
    refused = run("report", "--out", "file/page.html")
    assert refused.exit_code == 2 and "--out file/page.html" in refused.stderr
    assert run("--read-only", "report").exit_code == 2


TECHNICAL = (
    "session",
    "localhost",
    "cron",
    "environment variable",
    "load balancer",
    "listener rule",
    "security group",
    "container engine",
    "kernel",
    "syslog",
    "UDP",
    "root",
    "queue",
    "lock file",
    "locale",
    "package",
    "DNS",
    "vCPU",
)
LATIN = re.compile(r"[A-Za-z][A-Za-z.]+")
NAMES = {"AWS", "PHP", "ID"}


def explained(language, sentence):
    """Names of the terms that a sentence would put at the page's end."""
    writer = decision_page._Writer(Speech(language))
    return list(writer.terms(sentence))


@pytest.mark.parametrize("word", TECHNICAL)
def test_a_technical_word_of_the_page_is_explained_at_its_end(word):
    """F25: "without technical words", and then localhost, cron, locale, vCPU."""
    assert explained("en", f"something about {word} here")


@pytest.mark.parametrize("code", sorted(load("kirikae.survey")))
def test_every_latin_word_of_a_japanese_title_is_explained(code):
    entry = load("kirikae.survey")[code]
    if entry.severity is Severity.HYGIENE:
        return
    foreign = set(LATIN.findall(entry.title_ja)) - NAMES
    lines = " ".join(explained("ja", entry.title_ja))
    assert all(word.lower() in lines.lower() for word in foreign), foreign


def test_what_stands_in_nobody_s_way_is_not_called_first(facts):
    """F25: the page counted a database on a host that takes no part, the survey did not."""
    told = facts.findings[0]
    other = replace(told, code="ST06", severity=Severity.BLOCKS, blocks=(), accepted="")
    only = replace(facts, findings=[other])
    assert [task.severity for task in only.tasks()] == ["high"]
