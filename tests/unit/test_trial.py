"""The trial of a move on traffic as it is: nothing passes unseen, and nothing fails for what is
nobody's fault."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from kirikae.model.evidence import Verdict
from kirikae.model.said import Words
from kirikae.move.judge import Margins, requests_to_prove
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.guards import Ceiling, Delivered, Incident
from kirikae.traffic.replay import batches, lines_of, looks
from kirikae.traffic.trial import Guards, Trial
from tests.simulation import binomial

EN = Words.of("kirikae.traffic").say
PLAN = (10, 50, 250, 500, 950, 1000)
MINUTE = 60.0
TAU = {"p50": 0.1, "p95": 0.27, "p99": 0.4}


def batch(t: float, share: int, old: Arm, new: Arm, **more) -> Batch:
    """Of one minute."""
    step = more.pop("step", 3)
    return Batch(t, MINUTE, share, {"": {"old": old, "new": new}}, step, **more)


def minutes(
    seed: int,
    count: int,
    share: int,
    errors: float,
    new_errors: float | None = None,
    rps: int = 100,
) -> Iterator[Batch]:
    rng = random.Random(seed)
    for minute in range(count):
        n_new = rps * 60 * share // 1000
        n_old = rps * 60 - n_new
        old = Arm(n_old, binomial(rng, n_old, errors))
        new = Arm(n_new, binomial(rng, n_new, errors if new_errors is None else new_errors))
        yield batch(minute * MINUTE, share, old, new)


# --- never pass what was not seen


def test_a_side_without_targets_is_harm_in_three_rounds():
    """All tasks are gone: the balancer answers 503, of which no target group's figures tell."""
    trial = Trial(Margins(), PLAN).at(3, 100)

    def round_(t: float, old: int, new: int) -> Verdict:
        sides = {"old": Arm(healthy=old), "new": Arm(healthy=new)}
        return trial.look(Batch(t, 5.0, 100, {"": sides}, 3)).verdict

    assert [round_(t, 4, 0) for t in (0, 5)] == [Verdict.UNSURE] * 2
    assert round_(10, 4, 2) is Verdict.UNSURE
    assert [round_(t, 4, 0) for t in (15, 20, 25)] == [Verdict.UNSURE] * 2 + [Verdict.FAIL]
    assert "no healthy target in 3 rounds" in EN(trial.evidence().reason)


def test_targets_of_an_old_side_that_nobody_looked_at_are_not_known():
    """Then it may be without any as well."""
    trial = Trial(Margins(), PLAN).at(3, 100)
    sides = {"old": Arm(), "new": Arm(healthy=0)}
    for t in range(10):
        assert trial.look(Batch(5.0 * t, 5.0, 100, {"": sides}, 3)).verdict is Verdict.UNSURE


def test_where_neither_side_has_targets_there_is_nowhere_to_go():
    """Both are gone: that is an incident, no harm of the new side."""
    trial = Trial(Margins(), PLAN).at(3, 100)
    sides = {"old": Arm(healthy=0), "new": Arm(healthy=0)}
    for t in range(10):
        assert trial.look(Batch(5.0 * t, 5.0, 100, {"": sides}, 3)).verdict is Verdict.UNSURE


def test_a_round_that_looked_at_targets_only_is_no_period_of_figures():
    """A project without checks."""
    sides = {"old": Arm(healthy=2), "new": Arm(healthy=2)}
    assert Batch(0.0, 5.0, 100, {"": sides}, 3).only_probes


def test_what_the_balancer_answers_itself_above_its_past_holds():
    """502 to 504 of no side: a reason to hold, and none to fail."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN)
    for t in range(20):
        bad = 5 if t < 15 else 300
        trial.look(batch(t * MINUTE, 500, Arm(3000, 3), Arm(3000, 3), unplaced=bad))
        if t == 14:
            assert trial.evidence().verdict is Verdict.PASS
    assert trial.evidence().verdict is Verdict.UNSURE
    assert "the load balancer itself answered 5xx" in EN(trial.evidence().reason)


def test_what_the_balancer_goes_on_answering_itself_holds_until_somebody_resumes():
    """Nobody knows whose it is, so it does not become usual by itself; a new step at the same
    share is a person who has looked."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN)
    verdicts = []
    for t in range(140):
        bad = 5 if t < 15 else 300
        step = 1 if t < 120 else 2
        found = batch(t * MINUTE, 500, Arm(3000, 3), Arm(3000, 3), unplaced=bad, step=step)
        verdicts.append(trial.look(found).verdict)
    assert set(verdicts[15:120]) == {Verdict.UNSURE}, "an hour and three quarters"
    assert verdicts[-1] is Verdict.PASS


def test_4xx_are_no_times():
    """A pass claims no times where 4xx are all that is known beside errors, nor of them where
    times are."""
    counts = (1500, 1700, 2850, 2900, 2970, 2990)
    within = dict(zip((0.05, 0.0575, 0.08, 0.092, 0.1, 0.115), counts, strict=True))
    for arm, told in (
        (Arm(3000, 3, rejected=60), "times are not known"),
        (None, "slower by p50, p95, p99"),
    ):
        trial = Trial(Margins(0.01, 0.02, 60, slower=0.15), PLAN)
        sides = arm or Arm(3000, 3, None, within, rejected=60)
        for t in range(60):
            tau = {} if arm else {"p50": 0.05, "p95": 0.08, "p99": 0.1}
            found = trial.look(batch(t * MINUTE, 500, sides, sides, tau=tau))
        assert found.verdict is Verdict.PASS
        assert told in EN(found.reason) and "4xx" not in EN(found.reason)


def test_what_figures_no_longer_tell_of_is_proven_no_more():
    """4xx were as they should be for an hour; then nobody counts them.  Figures that tell of them
    again go on."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN)
    verdicts = []
    for t in range(90):
        arm = Arm(3000, 3, rejected=None if 60 <= t < 75 else 60)
        verdicts.append(trial.look(batch(t * MINUTE, 500, arm, arm)))
    assert {look.verdict for look in verdicts[60:75]} == {Verdict.UNSURE}
    assert "no longer tell of 4xx" in EN(verdicts[70].reason)
    assert (verdicts[59].verdict, verdicts[-1].verdict) == (Verdict.PASS, Verdict.PASS)


@pytest.mark.parametrize("of_ten", [1, 5, 8])
@pytest.mark.parametrize("what", ["rejected", "within"])
def test_figures_that_tell_of_it_now_and_then_pass_nothing(what: str, of_ten: int) -> None:
    """4xx, or times at the file's own bounds, are told in some batches of ten: what is bad in the
    others is not seen, and the batches that tell prove nothing of it."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN)
    within = {0.05: 9000, 0.1: 15_000, 0.3: 28_500, 0.5: 29_700}
    whole = Arm(30_000, 30, None, within, rejected=600)
    less = whole._replace(**{what: None if what == "rejected" else {}})
    found = []
    for t in range(120):
        new = whole if t < 40 or t % 10 < of_ten else less
        found.append(trial.look(batch(t * MINUTE, 500, whole, new)))
    assert found[39].verdict is Verdict.PASS
    assert {look.verdict for look in found[60:]} == {Verdict.UNSURE}
    assert found[-1].reason.key == "traffic.no_longer_told"


def test_a_gap_of_seconds_in_a_day_of_figures_is_soon_forgotten():
    """One period without 4xx, of ten minutes: it holds, and the next one that tells goes on."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN)
    found = []
    for t in range(120):
        arm = Arm(3000, 3, rejected=None if t == 100 else 60)
        found.append(trial.look(batch(t * MINUTE, 500, arm, arm)).verdict)
    assert found[99:103] == [Verdict.PASS, Verdict.UNSURE, Verdict.PASS, Verdict.PASS]


@pytest.mark.parametrize(("per_s", "errors"), [(1, 0.03), (3, 0.04), (10, 0.01)])
def test_at_the_whole_a_small_service_is_not_held_to_luck(per_s: int, errors: float) -> None:
    """An hour at 95% of a few requests a second shows some twenty errors of the old side: the new
    one is not worse because those were few; three times as many are found all the same."""
    ends = {1.0: [], 3.0: []}
    for times, found in ends.items():
        for seed in range(8):
            trial = Trial(Margins(), PLAN)
            for each in minutes(seed, 60, 950, errors, rps=per_s):
                trial.look(each)
            rng = random.Random(f"{seed}/{times}")
            for t in range(60, 180):
                n = 60 * per_s
                new = Arm(n, binomial(rng, n, errors * times))
                last = trial.look(batch(t * MINUTE, 1000, Arm(), new, step=4))
            found.append(last.verdict is Verdict.FAIL)
    assert not any(ends[1.0]) and sum(ends[3.0]) >= 5


def test_a_mix_that_one_side_alone_tells_is_not_compared():
    """What is missing is not zero: the new side is not without writing requests."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN)
    told = Arm(3000, 3, rejected=60, mix={"per_client": 9000.0, "writes": 1500.0})
    for t in range(30):
        found = trial.look(batch(t * MINUTE, 500, told, told._replace(mix={})))
    assert found.verdict is Verdict.PASS
    for t in range(30, 60):
        other = told._replace(mix={"per_client": 9000.0, "writes": 0.0})
        found = trial.look(batch(t * MINUTE, 500, told, other))
    assert found.verdict is Verdict.UNSURE and "50% of the old side's requests" in EN(found.reason)


def test_a_pass_says_that_4xx_are_not_known():
    """A file that does not count them is judged without them, and they are not claimed."""
    for rejected, told in ((None, True), (60, False)):
        trial = Trial(Margins(0.01, 0.02, 60), PLAN)
        arm = Arm(3000, 3, rejected=rejected)
        for t in range(30):
            found = trial.look(batch(t * MINUTE, 500, arm, arm))
        assert found.verdict is Verdict.PASS
        assert ("4xx are not known" in EN(found.reason)) is told


def test_at_whole_the_sentence_says_what_the_new_side_was_held_to():
    """A trickle on the old side is nobody to compare with; where it never answered, the limit is
    assumed; where it still answers a twentieth, it is a comparison."""
    broken = Trial(Margins(), PLAN)
    for t in range(10):
        found = broken.look(batch(t * MINUTE, 1000, Arm(18, 0), Arm(6000, 120)))
    assert found.verdict is Verdict.FAIL and "against a limit of 0.15%" in EN(found.reason)
    for old, told in ((0, "too little was seen of the old side"), (300, "comparison of both")):
        trial = Trial(Margins(0.01, 0.02, 60), PLAN)
        for t in range(60):
            found = trial.look(batch(t * MINUTE, 1000, Arm(old, 0), Arm(6000, 3)))
        assert found.verdict is Verdict.PASS and told in EN(found.reason)


def test_4xx_for_everybody_is_harm():
    """Another secret, path or host name: the typical fault of a configuration that was moved."""
    trial = Trial(Margins(), PLAN)
    for t in range(5):
        arms = Arm(5940, 6, rejected=120), Arm(60, 0, rejected=60)
        found = trial.look(batch(t * MINUTE, 10, *arms))
        if found.verdict is Verdict.FAIL:
            break
    assert found.verdict is Verdict.FAIL and "answered with 4xx" in EN(found.reason)


def test_a_base_of_4xx_does_not_keep_a_step_from_being_proven():
    """One request in twenty asks for what is not there, on both sides."""
    trial = Trial(Margins(0.01, 0.0005, 60), PLAN)
    rng = random.Random(4)
    for t in range(60):
        arms = [
            Arm(3000, binomial(rng, 3000, 0.001), rejected=binomial(rng, 3000, 0.05))
            for _ in range(2)
        ]
        trial.look(batch(t * MINUTE, 500, *arms))
    assert trial.evidence().verdict is Verdict.PASS


def test_a_pass_says_what_the_last_figures_show():
    """Proven at 5%, then hours at rest; errors rise from .1 to .5%: soon it is no pass any more,
    long before the whole past is outweighed."""
    trial = Trial(Margins(), PLAN)
    for each in minutes(1, 480, 50, 0.001):
        trial.look(each)
    assert trial.evidence().verdict is Verdict.PASS
    for late in range(60):
        rng = random.Random(late)
        arms = Arm(5700, binomial(rng, 5700, 0.001)), Arm(300, binomial(rng, 300, 0.005))
        trial.look(batch((480 + late) * MINUTE, 50, *arms))
        if trial.evidence().verdict is not Verdict.PASS:
            break
    assert late < 15


# --- windows in seconds


@pytest.mark.parametrize("period_s", [1, 10, 60])
def test_the_ceiling_is_broken_within_a_minute_whatever_the_period(period_s):
    """Half of the requests fail: after hours without."""
    ceiling = Ceiling(0.2)
    for t in range(0, 3600, period_s):
        ceiling.add(t, Arm(100 * period_s, 0))
    assert ceiling.broken() is None
    for t in range(3600, 3660, period_s):
        ceiling.add(t, Arm(100 * period_s, 50 * period_s))
    assert ceiling.broken() is not None


@pytest.mark.parametrize("period_s", [1, 60])
@pytest.mark.parametrize(("part", "minutes_"), [(0.3, 2), (0.5, 1), (0.024, 10), (0.9, 1)])
def test_an_incident_holds_while_it_lasts_and_not_much_longer(period_s, part, minutes_):
    """The bar is five times the usual errors, and half a point."""
    incident = Incident("traffic.incident")
    ends = 3600 + 60 * minutes_
    held = []
    for t in range(0, 7200, period_s):
        bad = part if 3600 <= t < ends else 0.001
        if incident.told(t, bad * 100 * period_s, 100 * period_s) is not None:
            held.append(t)
    assert 3600 <= min(held) < 3600 + max(30, period_s + 1)
    assert ends - 2 * period_s <= max(held) <= ends + 90


@pytest.mark.parametrize("period_s", [1, 60])
def test_a_rule_that_was_mended_is_forgotten(period_s):
    """Two hours at another share, then the commanded one: ten minutes later, and at once for who
    resumes."""
    delivered = Delivered()

    def told(step: int, t: float, new: float):
        n = 100 * period_s
        return delivered.mismatch(step, 250, t, n - new * n, new * n)

    for t in range(0, 7200, period_s):
        found = told(3, t, 0.01)
    assert found is not None
    after = [told(3, t, 0.25) for t in range(7200, 7200 + 900, period_s)]
    assert after[-1] is None
    for t in range(8100, 8700, period_s):
        told(3, t, 0.01)
    assert told(5, 8700, 0.25) is None


# --- nothing fails for what is nobody's fault


def test_while_it_warms_up_a_small_rise_of_errors_is_no_harm_and_a_large_one_is():
    """The first minute of a step: 1% fail; or a fifth."""

    def trial(errors: float) -> Verdict:
        judged = Trial(Margins(), PLAN, Guards(warm_up_s=60))
        bad = round(3000 * errors)
        found = judged.look(batch(0, 500, Arm(3000, 3), Arm(3000, bad)))
        return found.verdict

    assert trial(0.01) is Verdict.UNSURE and trial(0.05) is Verdict.FAIL


def test_three_per_cent_of_errors_on_both_sides_can_be_proven():
    """The old side's rate is among the alternatives: without it no number of requests shows it."""
    for errors in (0.01, 0.03, 0.05):
        assert requests_to_prove(Margins(), 500, 1000, errors) < 5e7
    trial = Trial(Margins(0.01, 0.002, 60), PLAN)
    for each in minutes(5, 600, 500, 0.03):
        trial.look(each)
    assert trial.evidence().verdict is Verdict.PASS


def test_a_fast_service_has_an_absolute_tolerance_of_time():
    """2 ms and 0.3 ms more; but 100 ms and a fifth more is another time."""
    margins = Margins()
    assert margins.bounds(0.002, 1000) == (0.007, 0.007)
    assert margins.bounds(0.1, 1000) == (0.105, 0.11)


def test_figures_asked_at_former_bounds_are_still_judged():
    """A move that was under way when the tolerance of time came."""
    former = Margins(least_slower_ms=0).bounds(0.02, 50)
    within = dict.fromkeys(former, 55)
    arms = Arm(5940, 0, None, {0.02: 5643}), Arm(60, 0, None, within)
    trial = Trial(Margins(), PLAN)
    trial.look(batch(0, 10, *arms, tau={"p95": 0.02}))
    assert trial.evidence().figures["timed_p95"] == 60


def test_a_trickle_that_stays_on_old_neither_blocks_nor_blinds():
    """By DNS three in a thousand stay: 100% is judged by limits, with all its requests."""

    def judged(new_errors: float) -> list[Verdict]:
        rng = random.Random(6)
        trial = Trial(Margins(0.01, 0.002, 600), PLAN, Guards(sticky=True))
        for each in minutes(5, 60, 500, 0.001):
            trial.look(each)
        found = []
        for t in range(60, 120):
            old = Arm(18, binomial(rng, 18, 0.001))
            new = Arm(5982, binomial(rng, 5982, new_errors))
            found.append(trial.look(batch(t * MINUTE, 1000, old, new, step=9)).verdict)
        return found

    assert Verdict.PASS in judged(0.001)[:30]
    assert judged(0.05)[5] is Verdict.FAIL


def test_at_the_whole_the_worst_hour_of_the_old_side_is_the_limit():
    """Twice as many errors by night, as every night."""
    trial = Trial(Margins(), PLAN)
    for hour in range(8):
        errors = 0.002 if hour in (3, 4) else 0.001
        for each in minutes(hour, 60, 950, errors):
            at = (hour * 60 + each.start / MINUTE) * MINUTE
            trial.look(Batch(at, MINUTE, 950, each.routes, 3))
    rng = random.Random(7)
    for t in range(480, 540):
        new = Arm(6000, binomial(rng, 6000, 0.002))
        assert trial.look(batch(t * MINUTE, 1000, Arm(), new, step=9)).verdict is not Verdict.FAIL


def test_the_long_bake_stands_before_the_whole():
    """At 95% a day goes by, whatever was proven."""
    margins = Margins(0.01, 0.0005, 600, long_bake_s=86_400)
    trial = Trial(margins, PLAN)
    for each in minutes(8, 120, 950, 0.001):
        trial.look(each)
    evidence = trial.evidence()
    assert evidence.verdict is Verdict.UNSURE and evidence.reason.key == "traffic.baking"
    assert margins.bake_at(500) == 600 == margins.bake_at(1000)


def test_another_mix_holds_and_does_not_fail():
    """Bots ask the old side only; new sessions are heavier: no harm of the new side."""
    trial = Trial(Margins(), PLAN)
    for t in range(60):
        old = Arm(300, 0, served=600, mix={"per_client": 12_000.0, "writes": 60.0})
        new = Arm(100, 2, served=200, mix={"per_client": 800.0, "writes": 20.0})
        found = trial.look(batch(t * MINUTE, 250, old, new))
        assert found.verdict is not Verdict.FAIL
    assert "the sides are not asked alike" in EN(found.reason)


def test_other_routes_on_each_side_hold():
    """Half of the new side's requests pay, a tenth of the old side's."""
    trial = Trial(Margins(), PLAN)
    for t in range(10):
        routes = {
            "": {"old": Arm(900), "new": Arm(500)},
            "/pay/*": {"old": Arm(100), "new": Arm(500)},
        }
        found = trial.look(Batch(t * MINUTE, MINUTE, 500, routes, 3))
    assert "/pay/*" in EN(found.reason) and "not asked alike" in EN(found.reason)


# --- sentences are true


def test_harm_that_began_late_is_told_with_the_counts_of_its_time():
    """Ten hours of 0.1%, then 3%: not "50 of 36,000"."""
    trial = Trial(Margins(), PLAN)
    for each in minutes(2, 600, 100, 0.001):
        trial.look(each)
    for t in range(600, 660):
        found = trial.look(batch(t * MINUTE, 100, Arm(5400, 5), Arm(600, 18)))
        if found.verdict is Verdict.FAIL:
            break
    counted = found.reason.blanks["counted"]
    assert counted.key == "traffic.counted_bad_lately"
    assert counted.blanks["bad"] / counted.blanks["of"] > 0.01


def test_bounds_of_the_file_are_said_as_what_they_are():
    """Counted at 0.1, 0.25 and 0.5 s: nothing is said of how much slower, but above what."""
    trial = Trial(Margins(0.01, 0.02, 60, slower=0.5), PLAN)
    for t in range(60):
        within = {0.1: 1500, 0.25: 2870, 0.5: 2990}
        trial.look(batch(t * MINUTE, 500, Arm(3000, 0, None, within), Arm(3000, 0, None, within)))
    told = EN(trial.evidence().reason)
    assert trial.evidence().verdict is Verdict.PASS
    assert "slower" not in told and "(0.5 s)" in told


def test_a_bound_that_one_side_did_not_count_is_not_zero():
    """Nothing is said of times, and where they are to be proven nothing passes."""
    trial = Trial(Margins(0.01, 0.02, 60), PLAN, Guards(times=True))
    for t in range(60):
        old = Arm(3000, 0, None, {0.1: 1500, 0.25: 2870, 0.5: 2990})
        trial.look(batch(t * MINUTE, 500, old, Arm(3000, 0, None, {0.2: 3000})))
    assert trial.evidence().verdict is Verdict.UNSURE
    assert "times are not known" in EN(trial.evidence().reason)


def test_where_no_share_was_commanded_a_side_without_requests_is_waited_for():
    """Zones compared with each other: in one minute the others were asked nothing."""
    trial = Trial(Margins(), PLAN)
    for t, n_old in ((0, 3000), (60, 0), (120, 3000)):
        look = trial.look(
            Batch(float(t), MINUTE, None, {"": {"old": Arm(n_old), "new": Arm(9)}}, 0)
        )
        assert look.verdict is Verdict.UNSURE
    assert trial.evidence().figures["new_requests"] == 27


def test_a_router_that_makes_clients_stick_is_judged_alike_by_whoever_reads():
    """It stands in the batch that the share is not tested."""
    for exact in (True, False):
        trial = Trial(Margins(0.01, 0.02, 60), PLAN)
        for t in range(10):
            each = batch(t * MINUTE, 500, Arm(5900), Arm(100), exact=exact)
            trial.look(Batch.from_plain(each.to_plain()))
        assert ("delivered" in EN(trial.evidence().reason)) is exact


def test_whatever_a_move_records_is_judged_alike_from_its_lines():
    """Votes in parts, 4xx, targets, the balancer's own answers, a router that makes clients stick,
    the past's dispersion: nothing is lost on the way to a file."""
    rng = random.Random(9)
    recorded = []
    for t in range(30):
        arms = {
            side: Arm(
                n, rng.random(), None, {0.1: n / 3}, n / 7, int(3 * n), mix={"writes": 1.0 * t}
            )
            for side, n in (("old", 95.25), ("new", 20.5))
        }
        recorded.append(
            Batch(
                60.0 * t,
                60.0,
                100,
                {"": arms},
                3,
                unplaced=t,
                exact=False,
                dispersion={"errors": 0.25},
            )
        )
        looked = {"old": Arm(healthy=3), "new": Arm(healthy=t % 2, probe_failed=0)}
        recorded.append(Batch(60.0 * t + 30, 5.0, 100, {"": looked}, 3))
    lines = [line for each in recorded for line in lines_of(each)]
    assert list(batches(lines, "t")) == recorded
    live = Trial(Margins(), PLAN)
    again = Trial(Margins(), PLAN)
    assert [live.look(each) for each in recorded] == list(looks(lines, "t", again))
    assert live.evidence() == again.evidence()


@pytest.mark.parametrize(("asked", "each", "held"), [(80, 4.0, True), (80, 10.0, False)])
def test_clients_of_another_kind_are_seen_by_the_first_requests(
    asked: int, each: float, held: bool
) -> None:
    """Three times as often is told by 60 requests; a smaller difference takes 300."""
    old = Arm(5920, 6, mix={"per_client": 5920 * 16.0, "writes": 0.0})
    new = Arm(asked, 0, mix={"per_client": asked * each, "writes": 0.0})
    reason = Trial(Margins(), PLAN).look(batch(0, 10, old, new)).reason
    assert (reason.key == "traffic.other_clients") is held


# --- sides that are not asked alike


def asked(t: int, each: float, bad: int = 0, of: int = 60, share: int = 10, **more) -> Batch:
    """The new side's clients ask so often a minute, the old side's ten times, six of 5,940 of them
    in vain."""
    old = Arm(5940, 6, mix={"per_client": 59_400.0, "writes": 0.0})
    new = Arm(of, bad, mix={"per_client": of * each, "writes": 0.0})
    return batch(t * MINUTE, share, old, new, **more)


def test_what_other_clients_showed_is_no_evidence_once_the_sides_are_asked_alike():
    """For hours whoever asks the new side fails three times as often, which is who they are; then
    they go, and the sides are alike."""
    trial = Trial(Margins(), PLAN)
    looks_ = [trial.look(asked(t, 15.0, int(t % 6 == 0))) for t in range(300)]
    assert looks_[-1].reason.key == "traffic.other_clients"
    after = [trial.look(asked(t, 10.0, int(t % 15 == 0))) for t in range(300, 420)]
    assert {look.verdict for look in [*looks_, *after]} <= {Verdict.UNSURE, Verdict.PASS}
    assert max(look.log_e["harm"] for look in after) < 2.3
    assert after[-1].reason.key != "traffic.other_clients"


def test_what_other_clients_showed_proves_nothing_either():
    """Bots that are never failed, then people: neither proof nor bake time is theirs."""
    trial = Trial(Margins(bake_s=3600), PLAN)
    for t in range(200):
        trial.look(asked(t, 90.0, 0, 600, 100))
    reasons = [trial.look(asked(t, 10.0, 1, 600, 100)).reason.key for t in range(200, 290)]
    alike = next(n for n, key in enumerate(reasons) if key != "traffic.other_clients")
    assert "traffic.passed_4xx_unknown" not in reasons[: alike + 59]


@pytest.mark.parametrize("part", [0.01, 0.02])
def test_harm_that_no_other_mix_explains_is_told_whoever_asks(part: float) -> None:
    """Ten times the errors and more, where whoever asks the new side does so half as often
    again."""
    rng = random.Random(3)
    trial = Trial(Margins(), PLAN)
    for t in range(240):
        look = trial.look(asked(t, 15.0, binomial(rng, 60, part)))
        if look.verdict is Verdict.FAIL:
            break
    assert look.reason.key == "traffic.harm_whoever" and t > 5
    assert "whoever asks it" in EN(look.reason) and "more than five times" in EN(look.reason)


def test_four_times_the_errors_may_be_who_asks():
    """It is held for as long as that, by night as well, when few ask."""
    rng = random.Random(4)
    trial = Trial(Margins(), PLAN)
    for t in range(600):
        of = 60 if t < 400 else 1
        look = trial.look(asked(t, 15.0, binomial(rng, of, 0.004), of, exact=False))
        assert look.verdict is Verdict.UNSURE
    assert look.reason.key == "traffic.other_clients"


def test_a_mix_near_the_limit_is_no_harm_at_any_look():
    """1.45 times as often, give or take: half an hour of it may look like 1.39."""
    rng = random.Random(5)
    trial = Trial(Margins(), PLAN)
    for t in range(600):
        look = trial.look(asked(t, 14.5 + rng.gauss(0, 3), int(rng.random() < 0.4)))
    assert look.verdict is Verdict.UNSURE and look.reason.key == "traffic.other_clients"


@pytest.mark.parametrize(
    ("mix", "routes"),
    [({"per_client": 10.0, "writes": 0.5}, ("", "")), (None, ("/a", "/b"))],
)
def test_other_methods_and_routes_hold_until_they_are_alike(mix, routes) -> None:
    """Half of one side's requests change something, or ask another route; then a sixth, which is
    less than what holds at first and not alike yet; then none."""

    def at(t: int, part: float) -> Batch:
        if mix is None:
            shares = {"old": 0.0, "new": part}
            sides = {
                route: {
                    side: Arm(round(600 * (p if route == routes[1] else 1 - p)), 0)
                    for side, p in shares.items()
                }
                for route in routes
            }
        else:
            arms = {
                side: Arm(600, 0, mix={"per_client": 6000.0, "writes": 600 * p})
                for side, p in (("old", 0.0), ("new", part))
            }
            sides = {"": arms}
        return Batch(t * MINUTE, MINUTE, 500, sides, 3)

    trial = Trial(Margins(), PLAN)
    parts = [0.5] * 10 + [1 / 6] * 60 + [0.0] * 60
    held = [
        trial.look(at(t, part)).reason.key.startswith("traffic.other")
        for t, part in enumerate(parts)
    ]
    assert all(held[:70]) and not any(held[101:])


@pytest.mark.parametrize("calm_s", [0, 1, 3, 5, 6])
def test_trouble_that_came_before_calm_times_were_known_holds_too(calm_s: int) -> None:
    """A slow service: a third of the answers of both sides fails before 200 requests have shown
    what is usual.  They are alike, and nobody is moved about meanwhile."""
    rng = random.Random(calm_s)
    trial = Trial(Margins(0.01, 0.05, 4.0), (200, 500, 1000))
    verdicts = []
    for t in range(120):
        part = 0.31 if t >= calm_s else 0.0
        arms = {side: Arm(n, binomial(rng, n, part)) for side, n in (("old", 30), ("new", 8))}
        verdicts.append(trial.look(Batch(float(t), 1.0, 200, {"": arms}, 1)).verdict)
    assert set(verdicts) == {Verdict.UNSURE}
    assert "in trouble" in EN(trial.evidence().reason)


def test_what_was_there_from_the_beginning_is_how_things_are_after_half_an_hour() -> None:
    trial = Trial(Margins(0.01, 0.05, 60.0), (200, 500, 1000))
    arms = {"old": Arm(600, 180), "new": Arm(600, 180)}
    looks_ = [trial.look(Batch(t * MINUTE, MINUTE, 500, {"": arms}, 1)) for t in range(90)]
    assert looks_[25].reason.key == "traffic.incident"
    assert looks_[-1].verdict is Verdict.PASS
