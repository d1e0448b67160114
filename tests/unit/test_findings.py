"""Findings that somebody answers for block nothing, until their day is over."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from kirikae.console.catalogue import catalogue
from kirikae.console.findings import Listing, Manner
from kirikae.console.kinds import KINDS
from kirikae.console.outlook import mends_it
from kirikae.console.speech import Speech
from kirikae.model.finding import EVERY_KIND, Finding, Severity, blocking, mended, with_accepted
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


def test_no_kind_of_move_is_blocked_by_what_it_mends():
    """A team would have to answer for what it is about to mend."""
    kinds = set(KINDS)
    entries = list(catalogue().values())
    for entry in entries:
        assert {*entry.blocks} <= {*kinds, EVERY_KIND} and {*entry.mends} <= kinds, entry.code
        assert not {*entry.blocks} & {*entry.mends}, entry.code
    assert {entry.code: entry.mends for entry in entries if entry.mends} == {
        "JB04": ("jobs",),
        "ST09": ("jobs",),
        "LG04": ("logs",),
        "PR18": ("workers",),
    }


def test_a_listing_says_which_move_mends_a_finding():
    """Not what stands in its way, and not whose answer is needed."""
    found = Finding("JB04", "batch1", "3 jobs run on batch1 alone", "remedy", mends=("jobs",))
    listing = Listing([found], "jobs")
    lines = listing.lines(Manner(Speech("en")), everything=False)
    assert "[a move of jobs mends it]" in lines[0]
    assert lines[-2:] == [
        "1 finding; 0 stand in the way of a jobs move",
        "1 finding is mended by a jobs move itself: JB04",
    ]
    assert listing.to_plain()["mended"] == 1 and listing.answer(Manner(Speech("en"))).exit == 0
    assert Speech("en").say(mends_it(found, Speech("en"))) == (
        "this move mends JB04: 3 jobs run on batch1 alone"
    )


def test_what_blocks_every_kind_of_move_does_not_block_the_one_that_mends_it():
    """It is the way out; and an answer ends both."""
    found = Finding("XX01", "/a", "says", "remedy", blocks=(EVERY_KIND,), mends=("jobs",))
    assert blocking([found], "traffic") == [found] and blocking([found], "jobs") == []
    assert mended([found], "jobs") == [found] and mended([found], "traffic") == []
    answer = ANSWER.model_copy(update={"finding": "XX01", "where": "/a"})
    answered = with_accepted([found], [answer], date(2027, 1, 1))
    assert mended(answered, "jobs") == [] == blocking(answered, "traffic")
