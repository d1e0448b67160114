"""What stands in the way of a move: told once, marked as such, in the reader's language."""

from __future__ import annotations

import re

import pytest

from kirikae.console.catalogue import catalogue
from kirikae.console.speech import Speech
from kirikae.console.surveyed import refusal
from kirikae.model.finding import Finding, Trace

ENGLISH = re.compile(r"[a-z]+ [a-z]+ [a-z]+")
"""Three words in a row: a sentence, and no name."""


def found(code: str, where: str, *blocks: str) -> Finding:
    entry = catalogue()[code]
    return entry.found(where, f"{code} was seen at this place", [Trace("web1", "/etc/x", "x y", 3)])


@pytest.mark.parametrize("kind", ["traffic", "jobs"])
def test_a_refusal_is_japanese_to_its_end(kind: str):
    codes = [code for code, entry in catalogue().items() if kind in entry.blocks]
    assert codes
    told = refusal([found(code, "/srv/x") for code in codes], "web", Speech("ja", kind))
    assert not ENGLISH.search(re.sub(r"`[^`]*`", "", told)), told
    assert all(code in told for code in codes)


def test_a_refusal_in_english_counts_and_names_the_next_step():
    one = refusal([found("ST03", "/srv/x")], "web", Speech("en", "traffic"))
    assert one.startswith("the move web does not start: 1 finding stands in the way of a traffic")
    assert "`kirikae survey ask` prints the lines" in one
    two = refusal([found("ST03", "/a"), found("SV01", "web1")], "web", Speech("en", "traffic"))
    assert two.startswith("the move web does not start: 2 findings stand in the way")
    assert '{finding: SV01, where: "web1", ...}' in two


def test_only_what_is_in_the_way_of_this_kind_of_move_is_marked():
    finding = found("JB08", "/var/spool/cron/crontabs/app:3")
    assert finding.blocks == ("jobs",)
    assert "[in the way of this move]" in Speech("en", "jobs").finding(finding)
    assert "妨げ" in Speech("ja", "jobs").finding(finding)
    assert "in the way" not in Speech("en", "traffic").finding(finding)


def test_a_place_that_says_the_same_as_its_finding_is_told_by_its_name_alone():
    twice = Finding("LM01", "access", "no folder is proven", "prove", evidence=(
        Trace("", "crontab/batch", "no folder is proven"),
    ))  # fmt: skip
    assert Speech("en", "logs").finding(twice).count("no folder is proven") == 1
    assert "(crontab/batch)" in Speech("en", "logs").finding(twice)
    assert "(web1:/etc/x:3: x y)" in Speech("en").finding(found("ST03", "/a"))
