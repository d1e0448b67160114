"""Lines of a judge file that are right one by one, and wrong together: refused, or said."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from kirikae.console.kinds import words
from kirikae.model.errors import UsageProblem
from kirikae.move.judge import Margins
from kirikae.traffic.guards import Delivered, Mix
from kirikae.traffic.replay import batches, looks
from kirikae.traffic.trial import Look, Trial

MARGINS = Margins(0.01, 0.0005, 60.0)


def line(t: float, side: str = "old", **more: Any) -> dict[str, Any]:
    plain = {"t": t, "side": side, "requests": 750 if side == "old" else 250, "errors": 0}
    return {**plain, "share": 250, **more}


def both(t: float, **more: Any) -> list[dict[str, Any]]:
    return [line(t, side, **more) for side in ("old", "new")]


def read(lines: Iterable[dict[str, Any]]) -> int:
    return len(list(batches(map(json.dumps, lines), "f")))


def judged(lines: Iterable[dict[str, Any]]) -> list[Look]:
    return list(looks(map(json.dumps, lines), "f", Trial(MARGINS)))


def says(look: Look) -> str:
    return words().say(look.reason, "en")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([line(0), line(0)], "2: a second line of old at t 0; add their counts up"),
        ([line(0), line(0, "new"), line(0)], "3: a second line of old at t 0"),
        (
            [*both(0, route="/a"), line(0, "new", route="/a")],
            "3: a second line of new, route /a,",
        ),
        ([*both(0, dt=60), line(1, dt=60)], "3: t 1 is within the period .* begins at 0 and lasts"),
        ([*both(0, dt=60), line(50, dt=10)], "3: t 50 is within the period"),
        (
            [*both(0, dt=60), line(9, "old", requests=0, dt=60), line(9, "new", dt=60)],
            "4: t 9 is within the period",
        ),
        ([line(0, unplaced=500), line(0, "new")], "2: unplaced None: the line above .* says 500"),
        ([line(0), line(0, "new", exact=False)], "2: exact False: the line above .* says True"),
        ([line(0, dispersion={"errors": 1}), line(0, "new")], "2: dispersion"),
        ([line(0), line(0, "new", tau={"p50": 0.1})], "2: tau"),
        ([line(0, tau={"p50": 0.5, "p99": 0.1})], "1: tau .*: seconds that rise from p50 to p99"),
        ([line(0, tau={"p50": -1})], "1: tau .*: seconds that rise"),
        ([line(0, errors=400, rejected=400)], "1: 400 errors and 400 rejected of 750 requests"),
        ([line(0, served=9)], "1: served 9: fewer than the votes"),
        ([line(0, mix={"writes": 751})], "1: mix writes 751 of 750 requests"),
        ([line(0, mix={"per_client": 700})], "1: mix per_client 700: at least 1 for each"),
    ],
)
def test_what_would_be_counted_twice_or_cannot_be_is_refused(lines, said):
    """With the file, the line and the value."""
    with pytest.raises(UsageProblem, match=f"^f:{said}"):
        read(lines)


@pytest.mark.parametrize(
    "lines",
    [
        both(0, dt=60) + both(59.5, dt=60),
        [line(0, dt=60), line(30, "new", dt=60), line(60, dt=60)],
        [line(0, requests=0, probe_failed=0), *both(0)],
        both(0, step=1, dt=60) + both(30, step=1, dt=30),
        both(0, rejected=750, errors=0)[:1],
        both(0, step=1, rejected=250, errors=250)[1:],
        both(0, route="/a") + both(0, route="/b"),
    ],
)
def test_lines_that_fit_are_read(lines):
    """Rounded clocks, a clock for each side, probes beside figures, what a move records."""
    assert read(lines)


def test_a_share_of_0_or_of_all_is_tested_as_others_are():
    """A quarter of the requests is neither none nor all; a few that stay are no other rule."""
    delivered = Delivered()
    for number, (share, new, told) in enumerate(
        [(0, 250, True), (1000, 250, True), (0, 5, False), (1000, 995, False)]
    ):
        for t in range(10):
            found = delivered.mismatch(number, share, float(t), 1000 - new, new)
        assert (found is not None) is told


def test_probes_of_the_new_side_alone_are_not_said_to_differ_from_the_old_ones():
    """Nobody asked the old side: harm all the same, and the sentence says no more than the file."""

    def last(*old: dict[str, Any]) -> Look:
        """The new side fails in each round; of the old one this is told."""
        rounds = [[line(t, **told), line(t, "new", probe_failed=1)] for t, told in enumerate(old)]
        return judged(each for lines in rounds for each in lines)[-1]

    asked = {"probe_failed": 0}
    assert last({}, {}).verdict == last(asked, asked).verdict == "fail"
    assert "the old side was not asked" in says(last({}, {}))
    assert "the old side was not asked" in says(last({}, asked))
    assert "on the new side only" in says(last(asked, asked))


def test_probes_of_both_sides_may_stand_in_lines_of_other_times():
    """The old side is asked in one second and the new one in the next: its row goes on, until the
    old side fails as well."""

    def last(old: int) -> Look:
        lines = []
        for t in range(0, 12, 2):
            lines += [line(t, probe_failed=old), line(t, "new")]
            lines += [line(t + 1), line(t + 1, "new", probe_failed=3)]
        return judged(lines)[-1]

    assert last(0).verdict == "fail"
    assert last(2).verdict != "fail"


def test_harm_that_may_be_another_mix_waits_until_enough_have_asked():
    """Newcomers ask more and fail more: of 250 requests nobody knows yet whether it is they; what
    is plain by the square of the bar is told at once."""

    def share_of_harm(bad: int, new_asks: float) -> Look:
        rng = random.Random(1)
        trial = Trial(Margins())
        lines = []
        for t in range(5):
            for side, n, asks in (("old", 5000, 8.0), ("new", 50, new_asks)):
                errors = bad if side == "new" else rng.randrange(4, 7)
                mix = {"per_client": n * asks, "writes": 0}
                more = {"requests": n, "errors": errors, "dt": 60, "mix": mix, "share": 10}
                lines.append(line(60 * t, side, **more))
        return list(looks(map(json.dumps, lines), "f", trial))[-1]

    assert share_of_harm(2, 8.0).verdict == "fail"
    assert share_of_harm(2, 12.0).verdict == "unsure"
    assert share_of_harm(25, 12.0).verdict == "fail"


def test_a_part_of_the_mix_that_one_side_does_not_tell_is_not_none():
    """No write is told of the new side, and none is denied."""
    mix = Mix()
    lines = [line(0, mix={"per_client": 750, "writes": 400}), line(0, "new", requests=400)]
    lines[1]["mix"] = {"per_client": 400}
    for batch in batches(map(json.dumps, lines), "f"):
        mix.add(batch)
    assert mix.differs() is None


def test_a_file_of_figures_waits_for_no_project_and_no_aws():
    """Reading those took longer than an hour of figures."""
    loaded = "import sys, kirikae.console.verdict; print({'pydantic', 'botocore'} & {*sys.modules})"
    told = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "set()"
