"""Findings that somebody answers for block nothing, until their day is over."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from kirikae.model.finding import Finding, Severity, with_accepted
from kirikae.model.project import Accepted

FINDING = Finding("TR01", "arn:rule", "elsewhere", "remedy", Severity.BLOCKS, blocks=("traffic",))
ANSWER = Accepted(
    finding="TR01", where="arn:rule", why="we know", by="SRE", until=date(2027, 1, 31)
)


def test_an_accepted_finding_is_shown_and_blocks_nothing():
    """It stays visible, with who answers for it."""
    [found] = with_accepted([FINDING], [ANSWER], date(2027, 1, 31))
    assert found.blocks == () and found.accepted == "by SRE until 2027-01-31: we know"


def test_an_answer_ends_with_its_day_and_holds_for_its_place_only():
    """Neither later nor elsewhere."""
    assert with_accepted([FINDING], [ANSWER], date(2027, 2, 1)) == [FINDING]
    elsewhere = ANSWER.model_copy(update={"where": "arn:other"})
    assert with_accepted([FINDING], [elsewhere], date(2026, 1, 1)) == [FINDING]


@pytest.mark.parametrize("what", ["import kirikae.model.finding", "import kirikae.console.main"])
def test_a_finding_and_the_help_cost_nothing_that_they_do_not_need(what):
    """Neither the project file's reader nor AWS's client is loaded for them."""
    told = (
        f"{what}; import sys; print(sorted({{'pydantic', 'boto3', 'ruamel'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
