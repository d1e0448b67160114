"""The survey's findings in files for others: SARIF, Markdown and HTML, in both languages."""

from __future__ import annotations

import json
import re
from datetime import date
from html.parser import HTMLParser

import jsonschema
import pytest

from kirikae.console.findings import Manner
from kirikae.console.speech import Speech
from kirikae.console.survey_markdown import markdown
from kirikae.console.survey_page import page
from kirikae.console.survey_sarif import sarif
from kirikae.console.survey_summary import Summary
from kirikae.model.finding import Finding, Severity, Trace
from kirikae.survey.shelf import Shelf
from tests.command import run
from tests.unit.test_survey import FOUND, PROJECT, bundle_text

LANGUAGES = ("en", "ja")
HOSTILE = '<script>alert("x")</script> & $title `code` | [a](http://b) \ud800 \x1b]0;t\x07 \n# head'
TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
LOGICAL = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["fullyQualifiedName"],
        "properties": {"fullyQualifiedName": {"type": "string"}, "kind": {"type": "string"}},
        "additionalProperties": False,
    },
}
LOCATION = {
    "type": "object",
    "properties": {
        "message": TEXT,
        "logicalLocations": LOGICAL,
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation"],
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "required": ["uri"],
                    "properties": {"uri": {"type": "string", "pattern": r"^ssh://[!-~]*$"}},
                    "additionalProperties": False,
                },
                "region": {
                    "type": "object",
                    "properties": {"startLine": {"type": "integer", "minimum": 1}},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
RULE = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "shortDescription": TEXT,
        "help": TEXT,
        "defaultConfiguration": {"properties": {"level": LEVEL}, "additionalProperties": False},
        "properties": {"type": "object"},
    },
    "additionalProperties": False,
}
RESULT = {
    "type": "object",
    "required": ["message", "ruleId", "locations"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": LEVEL,
        "message": TEXT,
        "locations": {"type": "array", "items": LOCATION},
        "relatedLocations": {"type": "array", "items": LOCATION},
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
        "suppressions": {
            "type": "array",
            "items": {
                "required": ["kind"],
                "properties": {
                    "kind": {"enum": ["inSource", "external"]},
                    "status": {"enum": ["accepted", "underReview", "rejected"]},
                    "justification": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
        "properties": {"type": "object"},
    },
    "additionalProperties": False,
}
SHAPE = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "pattern": "sarif-schema-2.1.0.json$"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "language": {"type": "string", "pattern": "^[a-z]{2}$"},
                                    "rules": {"type": "array", "items": RULE, "uniqueItems": True},
                                },
                                "additionalProperties": False,
                            }
                        },
                        "additionalProperties": False,
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {"type": "array", "items": RESULT},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
"""The parts of the OASIS schema that we write; nothing else may stand in a log of ours."""


class Reader(HTMLParser):
    """Every tag and attribute of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.open = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A project with a survey of today."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", "C.UTF-8")
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    for host in ("web1", "web2", "batch1"):
        Shelf(tmp_path / ".kirikae" / "bundles").put(host, bundle_text(host))
    return tmp_path


def hostile():
    """A finding whose every word comes from somebody who means harm."""
    return Finding(
        "CF12",
        f"/etc/{HOSTILE}:12",
        HOSTILE,
        HOSTILE,
        Severity.HIGH,
        blocks=("traffic",),
        evidence=(Trace("web1", f"/etc/{HOSTILE}", HOSTILE, 3), Trace("", "arn:x", "", 0)),
        accepted=HOSTILE,
    )


def summary(*findings):
    return Summary("shop", "test", date(2026, 11, 27), findings, "traffic")


@pytest.mark.parametrize("language", LANGUAGES)
def test_sarif_is_a_log_of_version_2_1_0_and_nothing_else(shop, language):
    """By the shape of the standard; rules and results agree, and lines have their numbers."""
    log = json.loads(run("survey", "report", "--format", "sarif", "--lang", language).stdout)
    jsonschema.validate(log, SHAPE)
    [found] = log["runs"]
    rules = [rule["id"] for rule in found["tool"]["driver"]["rules"]]
    assert len(found["results"]) == FOUND and rules == sorted(set(rules))
    for result in found["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
    marks = {result["partialFingerprints"]["kirikae/v1"] for result in found["results"]}
    assert len(marks) == FOUND
    [drift] = [each for each in found["results"] if each["ruleId"] == "CF05"]
    place = drift["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert place == "ssh://web1/etc/nginx/sites-available/bookshop" and drift["level"] == "error"


def test_what_somebody_answers_for_is_suppressed_in_sarif(shop):
    """By a person, outside of the code."""
    (shop / "kirikae.yml").write_text(
        PROJECT + "accepted:\n  - {finding: ST03, where: /var/lib/bookshop/sessions, why: later, "
        "by: SRE, until: 2099-12-31}\n"
    )
    log = json.loads(run("survey", "report", "--format", "sarif").stdout)
    [result] = [each for each in log["runs"][0]["results"] if each["ruleId"] == "ST03"]
    [answer] = result["suppressions"]
    assert answer["kind"] == "external" and "SRE" in answer["justification"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_one_file_that_loads_nothing_and_runs_nothing(shop, language):
    """For a phone, too; every finding stands in it, closed."""
    text = run("survey", "report", "--format", "html", "--lang", language).stdout
    read = Reader(text)
    assert not read.open or read.open == ["html"]
    names = [tag for tag, _ in read.tags]
    assert not {"script", "img", "link", "iframe", "object"} & set(names)
    assert names.count("details") == FOUND and names.count("summary") == FOUND
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") or name == "src" for name in attributes), tag
        assert attributes.get("href", "#").startswith("#")
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert ("meta", viewport) in read.tags and ("html", {"lang": language}) in read.tags
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", text.split("<h1>")[0])
    anchors = {attributes["href"][1:] for tag, attributes in read.tags if tag == "a"}
    assert anchors == {attributes["id"] for _, attributes in read.tags if "id" in attributes}


@pytest.mark.parametrize("language", LANGUAGES)
def test_markdown_tells_every_finding_gravest_first(shop, language):
    """With what to do and its evidence."""
    text = run("survey", "report", "--format", "markdown", "--lang", language).stdout
    assert text.count("\n### ") == FOUND and text.startswith("# ")
    heads = re.findall(r"^## (\S+)", text, re.MULTILINE)
    assert heads == (
        ["high", "work", "hygiene"] if language == "en" else ["重大", "要作業", "参考"]
    )
    if language == "ja":
        prose = re.sub(r"`[^`]*`|LANG of \w+", "", text)
        assert not re.search(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}", prose)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_host_says_stays_text_in_every_form(language):
    """No tag, no link, no heading, no order to a terminal, no half of a character."""
    manner = Manner(Speech(language))
    written = summary(hostile())
    read = Reader(page(written, manner))
    assert not {"script", "img"} & {tag for tag, _ in read.tags}
    assert '<script>alert("x")</script> & $title' in read.text
    told = "\n".join(markdown(written, manner))
    prose = re.sub(r"(`+)(.+?)\1(?!`)", "", told.replace("\\`", ""))
    assert "<script>" not in prose.replace("\\<", "") and "\n# head" not in told
    assert not re.search(r"(?<!\\)\[a", prose)
    for text in (page(written, manner), told):
        assert "\x1b" not in text and "\x07" not in text
        text.encode("utf-8")
    log = sarif(written.findings, manner)
    jsonschema.validate(log, SHAPE)
    [result] = log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 12}


def test_a_report_of_nothing_is_whole(shop):
    """No finding, no section."""
    manner = Manner(Speech("en"))
    assert "0 findings" in page(summary(), manner)
    assert "0 findings" in "\n".join(markdown(summary(), manner))
    jsonschema.validate(sarif((), manner), SHAPE)


def test_out_writes_a_file_and_says_which(shop):
    """`--dry-run` writes none; a place that is none is wrong usage; `--read-only` writes none."""
    dry = run("survey", "report", "--format", "html", "--out", "f.html", "--dry-run")
    assert dry.exit_code == 0 and not (shop / "f.html").exists()
    done = run("survey", "report", "--format", "html", "--out", "f.html")
    assert done.stdout == "wrote f.html\n" and done.exit_code == 0
    assert (shop / "f.html").read_text().rstrip().endswith("</html>")
    data = run("survey", "report", "--format", "sarif", "--out", "f.sarif", "--json").json
    assert (data["outcome"], data["file"], len(data["findings"])) == ("done", "f.sarif", FOUND)
    refused = run("survey", "report", "--format", "html", "--out", "kirikae.yml/x")
    assert refused.exit_code == 2 and "--out" in refused.stderr
    unwilling = run("--read-only", "survey", "report", "--format", "html", "--out", "g.html")
    assert unwilling.exit_code == 2 and not (shop / "g.html").exists()
