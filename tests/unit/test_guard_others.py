"""Whatever cfn-lint and checkov find of the planted faults, guard finds, too."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest

from kirikae.guard.checks import CHECKS, PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.reading import objects_in
from tests import guarded

DATA = Path(__file__).parents[1] / "data/guard/others.toml"
DOCS = Path(__file__).parents[2] / "docs/reference/guard-and-others.md"
RECORD = tomllib.loads(DATA.read_text(encoding="utf-8"))
ASKED = Asked(PROFILES, limits(date(2026, 11, 28)))


@pytest.mark.parametrize("run", RECORD["run"], ids=lambda run: f"{run['tool']} {run['rendering']}")
def test_guard_finds_all_that_others_find(run):
    """And what they look at and let pass."""
    text = guarded.RENDERINGS[run["rendering"]](guarded.changed(*guarded.PLANTED.values()))
    looks = looked_at(objects_in(run["rendering"], text), ASKED)
    found = {finding.code for look in looks for finding in look.findings}
    for codes in (*run["found"].values(), *run.get("passed", {}).values()):
        assert set(codes) <= found
    theirs = {code for codes in run["found"].values() for code in codes}
    assert theirs < found


def test_every_counterpart_is_a_check_and_stands_in_the_docs():
    """And none stands on both lists."""
    known = {check.code for check in CHECKS}
    page = DOCS.read_text(encoding="utf-8")
    for name, codes in RECORD["counterparts"].items():
        assert set(codes) <= known and name not in RECORD["without"]
        assert f"| {name} |" in page
    assert all(f"| {name} |" in page for name in RECORD["without"])


@pytest.mark.prove
def test_cfn_lint_finds_what_is_written_down_of_it():
    """The version that is installed here."""
    from cfnlint.api import ManualArgs, lint

    text = guarded.cloudformation(guarded.changed(*guarded.PLANTED.values()))
    said = lint(text, config=ManualArgs(regions=["ap-northeast-1"]))
    [run] = [each for each in RECORD["run"] if each["tool"] == "cfn-lint"]
    assert {each.rule.id for each in said} == set(run["found"])
