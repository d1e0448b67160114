"""What people are told: verdict first, number second, the command to undo third; in both
languages."""

from __future__ import annotations

import string

import pytest

from kirikae.console.words import _WORDS, explain, notice_of, notice_of_waiting
from kirikae.model.evidence import Arm, Batch
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.move.judge import Margins
from kirikae.move.trial import Trial

RUNNING = Move("web", (10, 500, 1000), Phase.RUNNING, 10, seq=7, attempt=5, stepped=7)


def trial(errors: int, seconds: int = 40) -> Trial:
    found = Trial(Margins(bake_s=60), RUNNING.plan)
    for t in range(seconds):
        found.look(Batch(float(t), 1.0, 10, {"": {"old": Arm(990, 1), "new": Arm(10, errors)}}, 7))
    return found


def test_both_languages_say_the_same_things():
    """The same keys, with the same blanks to fill."""

    def blanks(text: str) -> set[str]:
        return {field for _, field, _, _ in string.Formatter().parse(text) if field}

    assert _WORDS["en"].keys() == _WORDS["ja"].keys()
    for key, text in _WORDS["en"].items():
        assert blanks(text) == blanks(_WORDS["ja"][key]), key


def test_a_back_out_says_fail_then_the_number_then_the_way_on():
    """Three lines."""
    figures = trial(2).evidence().figures
    after = Move("web", (10, 500, 1000), Phase.RUNNING, 0, "backed out: harm", seq=9)
    told = (
        notice_of(Order(Verb.BACK_OUT, reason="harm"), after, figures, "", "en").text().split("\n")
    )
    assert told[0].startswith("FAIL · web was backed out") and told[1].startswith(
        "new side: 80 of 400 requests failed (20.00%)"
    )
    assert told[2] == "to go on: `kirikae move resume web`"
    assert notice_of(Order(Verb.BACK_OUT, reason="nervous"), after, {}, "", "ja").text().split(
        "\n"
    )[:2] == [
        "停止 · web：非常ボタンが押され、全員が古い側に戻っています",
        "理由：nervous",
    ]


def test_a_step_says_who_approved_and_how_to_take_it_back():
    """And preparing is nobody's news."""
    told = notice_of(
        Order(Verb.SHIFT, 10),
        RUNNING,
        trial(0).evidence().figures,
        "arn:aws:sts::1:assumed-role/sre/hanako",
        "en",
    )
    assert (
        told.number.endswith("approved by hanako")
        and told.command == "to take it back: `kirikae back-out web`"
    )
    assert notice_of(Order(Verb.PREPARE), RUNNING, {}, "", "en") is None
    waits = notice_of_waiting("approval", RUNNING, {}, "en")
    assert (
        waits.command
        == "to let it go on: `kirikae move approve web` · to take it back: `kirikae back-out web`"
    )


@pytest.mark.parametrize(
    ("move", "given", "said"),
    [
        (RUNNING, trial(0), "1% of the requests are on the new side, and so far it does as well"),
        (RUNNING, trial(3), "The new side does harm"),
        (RUNNING, trial(0, 0), "no figures of both sides"),
        (Move("web", (1000,)), None, "web is planned"),
        (Move("web", (1000,), Phase.SETTLED, 1000), None, "web is settled"),
        (
            Move("web", (10, 1000), Phase.RUNNING, 10, "lunch"),
            None,
            "web stands still with 1% of the requests",
        ),
    ],
)
def test_one_sentence_that_a_director_understands(move, given, said):
    """It ends, and its Japanese does too."""
    assert explain(move, given, "en").startswith(said) or said in explain(move, given, "en")
    assert explain(move, given, "ja").endswith("。") and "{" not in explain(move, given, "ja")


def test_the_forecast_of_the_sentence_is_in_minutes_hours_or_days():
    """About so many more requests."""
    for seconds, word in ((1.0, "minutes"), (100.0, "hours"), (1000.0, "days")):
        found = Trial(Margins(bake_s=60), RUNNING.plan)
        for t in range(40):
            found.look(
                Batch(t * seconds, seconds, 10, {"": {"old": Arm(990, 1), "new": Arm(10, 0)}}, 7)
            )
        sentence = explain(RUNNING, found, "en")
        assert "more requests, " in sentence and word in sentence


def test_a_guard_is_named_in_the_sentence():
    """Proven or not: while the old side is in trouble nothing moves, and the sentence says so."""
    found = trial(0, 60)
    for t in range(60, 95):
        found.look(Batch(float(t), 1.0, 10, {"": {"old": Arm(990, 300), "new": Arm(10, 3)}}, 7))
    assert "no step is taken, because the old side itself is in trouble" in explain(
        RUNNING, found, "en"
    )
    assert "今は進めません" in explain(RUNNING, found, "ja")


def test_the_line_of_figures_has_rates_times_and_evidence():
    """What `move watch` shows: both sides' requests a second, what took longer than the old side's
    quantiles, how far harm is shown."""
    from kirikae.console.telling import figures_line

    found = Trial(Margins(bake_s=60), RUNNING.plan)
    harm, safe = Margins().bounds(0.3, 500)
    for t in range(20):
        sides = {"old": Arm(990, 1, None, {0.3: 940}), "new": Arm(10, 1, None, {harm: 9, safe: 10})}
        found.look(Batch(float(t), 1.0, 10, {"": sides}, 7, {"p95": 0.3}))
    line = figures_line(found.evidence())
    assert line.startswith(
        "new 200 requests (10.0/s), 20 errors, over the old p50/p95/p99 (?/300/? ms) "
        "?/10.0%/? · old 19800 requests (990.0/s)"
    )
    assert "delivered 1.0% · harm 10^" in line
