"""The trial of the verdict on hostile but realistic traffic, case by case: every small input of it
has a test that shows the right value.

``CASES`` names them by the number that the trial gave them.  Those that need more than one unit's
test stand below, in the form of the trial and in others.
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from kirikae.model.errors import UsageProblem
from kirikae.model.evidence import Verdict
from kirikae.model.said import Words
from kirikae.move.judge import Margins, requests_to_prove
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.replay import lines_of, looks
from kirikae.traffic.trial import Guards, Look, Trial
from tests.simulation import binomial

ROOT = Path(__file__).parents[1]
EN = Words.of("kirikae.traffic").say
PLAN = (10, 50, 250, 500, 950, 1000)
MINUTE = 60.0
CASES = {
    "F1, no share": (
        "unit/test_replay.py::test_a_line_that_is_no_figure_is_refused",
        "unit/test_verdict_trial.py::test_six_per_cent_against_five_is_no_pass_with_a_share",
    ),
    "F2, no errors": ("unit/test_replay.py::test_a_line_that_is_no_figure_is_refused",),
    "F3, other bounds": (
        "unit/test_replay.py::test_a_line_that_does_not_fit_the_ones_above_is_refused",
        "unit/test_trial.py::test_a_bound_that_one_side_did_not_count_is_not_zero",
    ),
    "F4, the incident's bar": (
        "unit/test_trial.py::test_an_incident_holds_while_it_lasts_and_not_much_longer",
    ),
    "F5, resumed at 100%": (
        "unit/test_comparison.py::"
        "test_who_resumes_at_the_whole_judges_by_the_last_times_of_the_old_side",
    ),
    "F6, no targets": (
        "unit/test_trial.py::test_a_side_without_targets_is_harm_in_three_rounds",
        "unit/test_comparison.py::test_a_new_side_without_targets_is_found_without_any_check",
        "unit/test_verdict_trial.py::test_a_file_tells_of_a_side_without_targets_too",
        "e2e/test_real_harm.py::test_harm_of_a_real_service_is_found",
    ),
    "F7, hung": (
        "unit/test_figures.py::test_requests_without_a_time_are_errors_of_their_side_and_not_fast",
        "unit/test_access_log.py::test_who_never_got_an_answer_was_not_fast",
        "unit/test_trial.py::test_what_the_balancer_answers_itself_above_its_past_holds",
        "unit/test_realistic.py::test_harm_in_real_traffic_is_found_early",
        "e2e/test_real_harm.py::test_harm_of_a_real_service_is_found",
    ),
    "F8, votes": (
        "unit/test_access_log.py::test_a_vote_is_the_failed_part_whichever_side_answered",
        "unit/test_access_log.py::test_harm_of_clients_that_ask_often_is_found",
        "unit/test_access_log.py::"
        "test_where_most_are_on_the_new_side_clients_that_ask_often_are_no_harm",
        "unit/test_access_log.py::test_all_routes_together_are_one_vote",
    ),
    "F9, dispersion": (
        "unit/test_dispersion.py::test_targets_that_fail_for_ten_seconds_are_not_called_harm",
        "unit/test_dispersion.py::test_a_side_with_fewer_targets_has_larger_bursts",
        "unit/test_realistic.py::test_a_healthy_side_in_real_traffic_is_left_alone",
        "unit/test_figures.py::test_bursts_are_seen_before_the_first_step",
    ),
    "F10, old proofs": (
        "unit/test_trial.py::test_a_pass_says_what_the_last_figures_show",
        "unit/test_verdict_trial.py::test_a_proof_does_not_outlive_what_it_was_made_of",
    ),
    "F11, a mended rule": ("unit/test_trial.py::test_a_rule_that_was_mended_is_forgotten",),
    "F13, windows": (
        "unit/test_trial.py::test_the_ceiling_is_broken_within_a_minute_whatever_the_period",
        "unit/test_trial.py::test_an_incident_holds_while_it_lasts_and_not_much_longer",
        "unit/test_verdict_trial.py::test_nothing_passes_in_the_middle_of_an_incident",
    ),
    "F14, 100%": (
        "unit/test_trial.py::test_at_the_whole_the_worst_hour_of_the_old_side_is_the_limit",
        "unit/test_trial.py::test_the_long_bake_stands_before_the_whole",
        "unit/test_verdict_trial.py::test_trouble_of_a_minute_backs_nobody_out_at_the_whole",
    ),
    "F15, a trickle": (
        "unit/test_trial.py::test_a_trickle_that_stays_on_old_neither_blocks_nor_blinds",
        "unit/test_verdict_trial.py::test_whatever_stays_on_old_neither_blocks_nor_blinds",
    ),
    "F16, another mix": (
        "unit/test_trial.py::test_another_mix_holds_and_does_not_fail",
        "unit/test_trial.py::test_a_mix_near_the_limit_is_no_harm_at_any_look",
        "unit/test_trial.py::test_harm_that_no_other_mix_explains_is_told_whoever_asks",
        "unit/test_realistic.py::test_where_the_sides_are_asked_otherwise_it_holds_and_says_so",
    ),
    "F17, fast and cold": (
        "unit/test_trial.py::test_a_fast_service_has_an_absolute_tolerance_of_time",
        "unit/test_trial.py::"
        "test_while_it_warms_up_a_small_rise_of_errors_is_no_harm_and_a_large_one_is",
        "unit/test_realistic.py::test_a_healthy_side_in_real_traffic_is_left_alone",
    ),
    "F18, counts of the window": (
        "unit/test_trial.py::test_harm_that_began_late_is_told_with_the_counts_of_its_time",
    ),
    "F19, a late driver": (
        "unit/test_comparison.py::"
        "test_a_driver_that_comes_late_judges_by_the_times_from_before_the_step",
    ),
    "F20, rows of probes": (
        "unit/test_replay.py::test_rounds_of_probes_stand_between_the_figures",
        "unit/test_rounds.py::test_a_target_that_is_broken_is_found_in_three_rounds",
    ),
    "F21, coarse bounds": (
        "unit/test_trial.py::test_bounds_of_the_file_are_said_as_what_they_are",
        "unit/test_verdict_trial.py::test_a_side_half_as_slow_again_is_not_called_ten_per_cent",
    ),
    "F22, a base rate": (
        "unit/test_trial.py::test_three_per_cent_of_errors_on_both_sides_can_be_proven",
        "unit/test_verdict_trial.py::test_a_bound_that_many_answers_exceed_can_be_proven",
    ),
    "F23, one judge": (
        "unit/test_trial.py::test_a_router_that_makes_clients_stick_is_judged_alike_by_whoever_reads",
        "unit/test_trial.py::test_whatever_a_move_records_is_judged_alike_from_its_lines",
        "unit/test_replay.py::test_by_dns_the_share_that_arrives_is_not_tested",
    ),
    "8, 4xx": ("unit/test_trial.py::test_4xx_for_everybody_is_harm",),
    "19, what the bounds are of": (
        "unit/test_verdict_trial.py::test_the_docs_say_over_what_the_bounds_hold",
    ),
    "20, the peers' own rules": (
        "unit/test_realistic.py::test_argo_ends_with_the_first_failure_or_with_the_fourth_of_its_example",
        "unit/test_realistic.py::test_flagger_never_forgets_a_failed_check",
    ),
    "3, low traffic": ("unit/test_figures.py::test_a_small_service_gets_a_plan_that_fits_it",),
    "4, the primitive": ("unit/test_judge.py::test_the_expectation_never_exceeds_one_on_the_null",),
    "6.2, the old side against itself": (
        "unit/test_figures.py::test_bursts_are_seen_before_the_first_step",
        "unit/test_by_target.py::"
        "test_targets_that_are_alike_are_not_failed_against_each_other_and_a_bad_one_is",
    ),
}


@cache
def _tests_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_case_of_the_trial_has_a_test():
    """A test that is renamed or removed needs its place here."""
    for case, tests in CASES.items():
        for test in tests:
            file, _, name = test.partition("::")
            assert name in _tests_in(file), f"{case}: there is no {test}"


def line(t: float, side: str, requests: int, errors: int, **more: object) -> str:
    return json.dumps({"t": t, "side": side, "requests": requests, "errors": errors, **more})


def both(seed: int, n: int, share: int, rates: tuple[float, float]) -> tuple[Arm, Arm]:
    """A minute of ``n`` requests of which these parts fail on the old and on the new side."""
    rng = random.Random(seed)
    n_new = n * share // 1000
    old, new = n - n_new, n_new
    return Arm(old, binomial(rng, old, rates[0])), Arm(new, binomial(rng, new, rates[1]))


def batch(t: int, share: int, old: Arm, new: Arm, step: int = 3) -> Batch:
    return Batch(t * MINUTE, MINUTE, share, {"": {"old": old, "new": new}}, step)


# --- F1


@pytest.mark.parametrize(("dt", "n"), [(60, 3000), (1, 50)])
def test_six_per_cent_against_five_is_no_pass_with_a_share(dt: int, n: int):
    """180,000 requests, half on each side; without the share the line is refused."""
    rng = random.Random(1)
    lines = []
    for t in range(0, 1800, dt):
        for side, part in (("old", 0.05), ("new", 0.06)):
            lines.append(line(t, side, n, binomial(rng, n, part), share=500, dt=dt))
    found = list(looks(lines, "f", Trial(Margins(bake_s=60))))
    assert Verdict.PASS not in {look.verdict for look in found}
    bare = json.dumps({key: v for key, v in json.loads(lines[0]).items() if key != "share"})
    with pytest.raises(UsageProblem, match="f:1: share is missing"):
        list(looks([bare], "f", Trial(Margins())))


# --- F6


@pytest.mark.parametrize("router", ["rule", "sticky"])
def test_a_file_tells_of_a_side_without_targets_too(router: str):
    """Three rounds as a live move records them, between figures of the old side alone."""
    batches = [batch(0, 100, Arm(5400, 5), Arm(600, 1))]
    for n in range(3):
        gone = {"old": Arm(healthy=4), "new": Arm(healthy=0)}
        batches.append(Batch(61.0 + 5 * n, 5.0, 100, {"": gone}, 3))
    lines = [each for one in batches for each in lines_of(one)]
    guards = Guards(sticky=router == "sticky")
    found = list(looks(lines, "f", Trial(Margins(), PLAN, guards)))
    assert [look.verdict for look in found] == [*[Verdict.UNSURE] * 3, Verdict.FAIL]


# --- F10


@pytest.mark.parametrize(
    ("what", "after", "within"),
    [("errors", 0.003, 60), ("errors", 0.005, 20), ("errors", 0.01, 8), ("rejected", 0.05, 30)],
)
def test_a_proof_does_not_outlive_what_it_was_made_of(what: str, after: float, within: int):
    """Three hours at 5%, then the new side fails more: soon nobody is told that it is as good."""
    usual = 0.001 if what == "errors" else 0.01
    trial = Trial(Margins(bake_s=600), PLAN)
    rng = random.Random(7)

    def look(t: int, part: float) -> Look:
        bad = {"old": binomial(rng, 5700, usual), "new": binomial(rng, 300, part)}
        arms = {}
        for side, n in (("old", 5700), ("new", 300)):
            arms[side] = (
                Arm(n, bad[side]) if what == "errors" else Arm(n, n // 1000, rejected=bad[side])
            )
        return trial.look(batch(t, 50, arms["old"], arms["new"]))

    for t in range(180):
        rested = look(t, usual)
    assert rested.verdict is Verdict.PASS
    verdicts = [look(180 + t, after).verdict for t in range(within)]
    assert verdicts[-1] is not Verdict.PASS


# --- F13


@pytest.mark.parametrize(("part", "lasts"), [(0.3, 2), (0.5, 1), (0.9, 1), (0.024, 10)])
def test_nothing_passes_in_the_middle_of_an_incident(part: float, lasts: int):
    """Of both sides alike, by figures of a minute; afterwards the step goes on."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN)
    verdicts = []
    for t in range(60):
        bad = part if 40 <= t < 40 + lasts else 0.001
        verdicts.append(trial.look(batch(t, 500, *both(t, 6000, 500, (bad, bad)))).verdict)
    assert verdicts[39] is Verdict.PASS
    assert set(verdicts[40 : 40 + lasts]) == {Verdict.UNSURE}
    assert verdicts[-1] is Verdict.PASS


# --- F14 and F15


def at_whole(rates: Iterator[float], left: float, old_rate: float = 0.001) -> list[Look]:
    """Two hours at 95%, then 100%, where this part of the requests stays on the old side."""
    rng = random.Random(9)
    trial = Trial(Margins(bake_s=600, long_bake_s=3600), PLAN)
    for t in range(120):
        arms = both(t, 6000, 950, (old_rate, old_rate))
        trial.look(batch(t, 950, *arms))
    found = []
    for t, rate in enumerate(rates):
        old = round(6000 * left)
        arms = Arm(old, binomial(rng, old, old_rate)), Arm(6000 - old, binomial(rng, 6000, rate))
        found.append(trial.look(batch(120 + t, 1000, *arms, step=4)))
    return found


@pytest.mark.parametrize("left", [0.0, 0.003])
def test_trouble_of_a_minute_backs_nobody_out_at_the_whole(left: float):
    """A third of everything fails, whosever that is; and a hiccup of 8% each ten minutes does not
    either."""
    once = at_whole((0.3 if t == 20 else 0.001 for t in range(60)), left)
    assert Verdict.FAIL not in {look.verdict for look in once}
    often = at_whole((0.08 if t % 10 == 5 else 0.001 for t in range(60)), left)
    assert Verdict.FAIL not in {look.verdict for look in often}


@pytest.mark.parametrize("left", [0.003, 0.009, 0.012, 0.02, 0.045])
def test_whatever_stays_on_old_neither_blocks_nor_blinds(left: float):
    """Three in a thousand or forty-five: healthy passes within the hour, harm is found soon."""
    healthy = at_whole((0.001 for _ in range(60)), left)
    assert Verdict.PASS in {look.verdict for look in healthy}
    harm = at_whole((0.05 for _ in range(10)), left)
    assert harm[-1].verdict is Verdict.FAIL


# --- F21 and F22


def test_a_side_half_as_slow_again_is_not_called_ten_per_cent():
    """110 to 130 ms against 200 to 240 ms, counted at 0.1, 0.25 and 0.5 s: no bound lies where they
    differ, so nothing is said of times."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN)
    within = {0.1: 0, 0.25: 3000, 0.5: 3000}
    slow = {0.1: 0, 0.25: 2999, 0.5: 3000}
    for t in range(60):
        found = trial.look(batch(t, 500, Arm(3000, 0, None, within), Arm(3000, 0, None, slow)))
    assert found.verdict is Verdict.PASS
    assert "slower" not in EN(found.reason) and "times are not known" in EN(found.reason)


@pytest.mark.parametrize("slow", [0.01, 0.05])
def test_a_bound_that_many_answers_exceed_can_be_proven(slow: float):
    """150 ms is the p95 of many a service: with `fast_enough` at it identical sides pass."""
    margins = Margins(0.01, 0.002, 60, fast_enough_ms=150)
    assert requests_to_prove(margins, 500, 1000, slow, "latency") < 5e7
    trial = Trial(margins, PLAN)
    rng = random.Random(2)
    for t in range(900):
        arms = []
        for _ in range(2):
            fast = 3000 - binomial(rng, 3000, slow)
            arms.append(Arm(3000, 0, None, {0.15: fast}))
        found = trial.look(batch(t, 500, *arms))
        if found.verdict is Verdict.PASS:
            return
    raise AssertionError(EN(found.reason))


# --- 19


def test_the_docs_say_over_what_the_bounds_hold():
    """The 1% is of one attempt; the 5% of a wrong pass is of each step and metric."""
    page = (ROOT.parent / "docs/explanation/verdict.md").read_text("utf-8")
    assert "1% in one attempt" in page and "for each step and metric" in page
    reference = (ROOT.parent / "docs/reference/project-file.md").read_text("utf-8")
    rows = [row for row in reference.splitlines() if ".judge.false_alarms`" in row]
    assert rows and all("one attempt" in row and "whole move" not in row for row in rows)
