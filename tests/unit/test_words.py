"""What people are told: verdict first, number second, the command to undo third; in both
languages."""

from __future__ import annotations

import pytest

from kirikae.console.notices import Announcer, explain
from kirikae.console.speech import Speech
from kirikae.model.evidence import Evidence
from kirikae.model.move import Hold, Move, Order, Phase, Verb, Why
from kirikae.model.said import text
from kirikae.move.engine import Waits
from kirikae.move.judge import Margins
from kirikae.traffic import telling
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.trial import Trial

RUNNING = Move("web", (10, 500, 1000), Phase.RUNNING, 10, seq=7, attempt=5, stepped=7)
EN = Speech("en", "traffic")
JA = Speech("ja", "traffic")
ENGLISH = Announcer(EN, lambda evidence: telling.told(evidence.figures))
JAPANESE = Announcer(JA, lambda evidence: telling.told(evidence.figures))


def trial(errors: int, seconds: int = 40) -> Trial:
    found = Trial(Margins(bake_s=60), RUNNING.plan)
    for t in range(seconds):
        found.look(Batch(float(t), 1.0, 10, {"": {"old": Arm(990, 1), "new": Arm(10, errors)}}, 7))
    return found.at(7, 10)


def evidence(errors: int, seconds: int = 40) -> Evidence:
    return trial(errors, seconds).evidence()


def test_a_back_out_says_fail_then_the_number_then_the_way_on():
    """Three lines."""
    after = Move("web", (10, 500, 1000), Phase.RUNNING, 0, Hold(Why.BACKED_OUT), seq=9)
    order = Order(Verb.BACK_OUT, reason=text("harm"))
    told = ENGLISH.of_order(order, after, evidence(2), "").text().split("\n")
    assert told[0].startswith("FAIL · web was backed out")
    assert told[1].startswith("new side: 80 of 400 requests failed (20.00%)")
    assert told[2] == "to go on: `kirikae move resume web`"
    pressed = Order(Verb.BACK_OUT, reason=text("nervous"))
    assert JAPANESE.of_order(pressed, after, None, "").text().split("\n")[:2] == [
        "停止 · web：非常ボタンが押され、全員が旧環境に戻っています",
        "理由：nervous",
    ]


def test_a_step_says_who_approved_and_how_to_take_it_back():
    """And preparing is nobody's news."""
    who = "arn:aws:sts::1:assumed-role/sre/hanako"
    told = ENGLISH.of_order(Order(Verb.SHIFT, 10), RUNNING, evidence(0), who)
    assert told.number.endswith("approved by hanako")
    assert told.command == "to take it back: `kirikae back-out web`"
    assert ENGLISH.of_order(Order(Verb.PREPARE), RUNNING, None, "") is None
    waits = ENGLISH.of_waiting(Waits.APPROVAL, RUNNING, None)
    assert (
        waits.command
        == "to let it go on: `kirikae move approve web` · to take it back: `kirikae back-out web`"
    )


@pytest.mark.parametrize(
    ("move", "given", "said"),
    [
        (RUNNING, evidence(0), "1% of the requests are on the new side, and so far it does as"),
        (RUNNING, evidence(3), "The new side does harm"),
        (RUNNING, evidence(0, 0), "no figures of both sides"),
        (Move("web", (1000,)), None, "web is planned"),
        (Move("web", (1000,), Phase.SETTLED, 1000), None, "web is settled"),
        (
            Move("web", (10, 1000), Phase.RUNNING, 10, Hold(Why.BY_HAND, text("lunch"))),
            None,
            "web stands still with 1% of the requests",
        ),
    ],
)
def test_one_sentence_that_a_director_understands(move, given, said):
    """It ends, and its Japanese does too."""
    assert said in explain(EN, move, given)
    assert explain(JA, move, given).endswith("。") and "{" not in explain(JA, move, given)


def test_the_forecast_of_the_sentence_is_in_minutes_hours_or_days():
    """About so many more requests."""
    for seconds, word in ((1.0, "minutes"), (100.0, "hours"), (1000.0, "days")):
        found = Trial(Margins(bake_s=60), RUNNING.plan)
        for t in range(40):
            arms = {"old": Arm(990, 1), "new": Arm(10, 0)}
            found.look(Batch(t * seconds, seconds, 10, {"": arms}, 7))
        sentence = explain(EN, RUNNING, found.evidence())
        assert "more requests, " in sentence and word in sentence


def test_a_guard_is_named_in_the_sentence():
    """Proven or not: while the old side is in trouble nothing moves, and the sentence says so."""
    found = trial(0, 60)
    for t in range(60, 95):
        found.look(Batch(float(t), 1.0, 10, {"": {"old": Arm(990, 300), "new": Arm(10, 3)}}, 7))
    assert "no step is taken, because the old side itself is in trouble" in explain(
        EN, RUNNING, found.evidence()
    )
    assert "今は進めません" in explain(JA, RUNNING, found.evidence())


def test_the_line_of_figures_has_rates_times_and_evidence():
    """What `move watch` shows: both sides' requests a second, what took longer than the old side's
    quantiles, how far harm is shown."""
    found = Trial(Margins(bake_s=60), RUNNING.plan)
    harm, safe = Margins().bounds(0.3, 500)
    for t in range(20):
        sides = {"old": Arm(990, 1, None, {0.3: 940}), "new": Arm(10, 1, None, {harm: 9, safe: 10})}
        found.look(Batch(float(t), 1.0, 10, {"": sides}, 7, {"p95": 0.3}))
    line = EN.say(telling.told(found.evidence().figures).line)
    assert line.startswith(
        "new 200 (10.0/s), 20 errors, over the old p50/p95/p99 (?/300/? ms) "
        "?/10.0%/? | old 19800 (990.0/s)"
    )
    assert "harm 100% proven | delivered 1.0%" in line


def test_what_is_not_known_is_said_to_be_unknown():
    """Missing is not zero: no rate, no delivered share, no blank of a sentence."""
    found = Trial(Margins(bake_s=60), RUNNING.plan).at(7, 10)
    assert "new_rate_per_s" not in found.evidence().figures
    assert "delivered" not in found.evidence().figures
    assert telling.told(found.evidence().figures) is None
