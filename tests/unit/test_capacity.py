"""`kirikae capacity`: rules on a trace of load, what they cost, and better ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kirikae.capacity import cost
from kirikae.capacity.errors import RulesProblem, TraceProblem
from kirikae.capacity.settings import read as read_rules
from kirikae.capacity.simulate import Daily, Rules, Task, simulate
from kirikae.capacity.trace import Made, Trace, made
from kirikae.capacity.trace import read as read_trace
from kirikae.capacity.tune import LOUDER, judged, searched, split, tune
from kirikae.capacity.writing import FIRST, text_of
from kirikae.model.said import LANGUAGES
from kirikae.model.scaling import Metric, Step, StepScaling, TargetTracking
from tests.command import run

REGION = "ap-northeast-1"
TASK = Task(requests_per_s=25, answer_s=0.2, start_s=60, drain_s=30)


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "capacity.yml"
    file.write_text(FIRST)
    return file


def flat(*rates):
    return Trace(0, np.repeat(np.array(rates, float), 60))


@pytest.mark.parametrize(
    ("metric", "seconds"),
    [(Metric.CPU, 363), (Metric.CPU_20S, 86)],
)
def test_from_a_step_in_load_to_the_decision_it_takes_as_long_as_at_aws(metric, seconds):
    """AWS News Blog of 2026-06-18: 363 s and 86 s; within 5%."""
    rules = Rules((TargetTracking("t", metric, 60.0),), 3, 40)
    found = simulate([flat(125, 250)], TASK, rules, 0.5)
    assert found.log[0].at - 3600 == pytest.approx(seconds, rel=0.05)
    assert found.log[0].by == "t"


def test_a_fleet_that_is_never_changed_costs_what_it_is():
    rules = Rules((TargetTracking("t", Metric.CPU, 60.0, scale_in=False),), 10, 10)
    found = simulate([flat(100, 100)], TASK, rules, 0.5, base=4)
    assert found.task_s[0] == 10 * 7200
    assert found.base_s[0] == 4 * 7200
    assert found.bad[0] == 0
    assert found.changes[0] == 0


def test_too_few_tasks_are_bad_and_lose_requests():
    rules = Rules((TargetTracking("t", Metric.CPU, 60.0),), 2, 2)
    found = simulate([flat(200)], TASK, rules, 0.5)
    assert found.bad[0] > 0.99
    assert 0.6 < found.lost[0] < 0.75, "a quarter is served"


def test_a_daily_floor_lifts_at_its_minute():
    rules = Rules(
        (TargetTracking("t", Metric.CPU, 99.0, scale_in=False),), 2, 40, (Daily(90.0, 9.0),)
    )
    found = simulate([flat(10, 10, 10)], TASK, rules, 0.5)
    assert [(change.at, change.desired, change.by) for change in found.log] == [(90 * 60, 9, "")]
    assert found.tasks[89] == 2
    assert found.tasks[92] == 9


def test_of_too_many_tasks_those_on_their_way_go_first():
    """Sixteen are launched and called off before they start: nothing that serves is drained."""
    down = StepScaling("d", Metric.CPU, 50.0, False, (Step(None, 0.0, -16.0),), datapoints=31)
    rules = Rules((down,), 4, 40, (Daily(30.0, 20.0), Daily(32.0, 4.0)))
    slow = Task(requests_per_s=25, answer_s=0.2, start_s=600, drain_s=30)
    found = simulate([flat(20)], slow, rules, 0.5)
    assert [change.desired for change in found.log] == [20, 4]
    assert set(found.tasks) == {4}


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(0, 500), min_size=3, max_size=12),
    st.floats(20, 95),
    st.integers(1, 5),
    st.integers(5, 40),
)
def test_no_task_is_made_or_lost_on_the_way(rates, target, least, most):
    """Within bounds at every minute, whole numbers, and the bill is at least what served."""
    trace = Trace(0, np.repeat(np.array(rates), 10))
    rules = Rules((TargetTracking("t", Metric.CPU, target),), least, most)
    found = simulate([trace], TASK, rules, 0.5)
    assert ((found.tasks >= 0) & (found.tasks <= most)).all()
    assert (found.tasks == np.round(found.tasks)).all()
    assert found.task_s[0] >= found.tasks.sum() * 60 * 0.5
    assert 0 <= found.lost[0] <= found.bad[0] + 1e-9 <= 1 + 1e-6


def test_one_task_of_fargate_against_the_price_list():
    """2 vCPU and 4 GB: 15.2% above c5.large (0.107), and with ARM 7.9% below."""
    assert cost.task_hour("ap-northeast-1", 2048, 4096).usd / 0.107 == pytest.approx(
        1.152, abs=1e-3
    )
    assert cost.task_hour("ap-northeast-1", 2048, 4096, arm=True).usd / 0.107 == pytest.approx(
        0.921, abs=1e-3
    )


@pytest.mark.parametrize(("gb", "ratio"), [(1000, 1.7), (5000, 3.0), (20000, 4.7)])
def test_nat_against_endpoints(gb, ratio):
    found = cost.way_out("ap-northeast-1", gb, zones=2)
    assert found.nat / found.endpoints == pytest.approx(ratio, abs=0.06)
    assert found.break_even_gb == pytest.approx(1572, abs=1)


def test_a_region_without_prices_is_refused():
    with pytest.raises(RulesProblem, match="no prices of eu-north-9"):
        cost.task_hour("eu-north-9", 1024, 2048)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", ":1: the head line lacks requests and time"),
        ("time,requests\n0,5\n", "1 lines of figures"),
        ("time,requests\n60,5\n0,6\n", ":3: its time is not after"),
        ("time,requests\n0,5\n61,6\n", ":3: time 61 does not begin a minute"),
        ("time,requests\n0,5\n60,-6\n", ":3: requests '-6'"),
        ("time,requests\n0,5\n60,nan\n", ":3: requests 'nan'"),
        ("time,requests\n2026-11-01T00:00:00,5\n", r":2: time .* \(no offset from UTC"),
        ("time,requests\nmorgen,5\n", ":2: time 'morgen'"),
        ("time,requests\n0,5\n60,\n", "the first and the last period need a figure"),
        ("time,requests\n0,5\n60,5\n1200,5\n", "no figures from 1970-01-01T00:02Z for 18 minutes"),
        ("time,requests\n0,5\n120,5\n180,5\n300,5\n330,1\n", ":6: time 330"),
        ("time,requests\n0,5\n60,1,200\n", ":3: more cells than the head line names"),
        ("time,requests\n0,5\n60,1_200\n", ":3: requests '1_200'"),
        ("time,requests\n0,5\n60,\uff11\uff12\n", ":3: requests"),
        ("time,requests\n0,5\n60," + "1" * 200_000, "no line of a CSV file"),
        ("time,requests\n0,0\n60,0\n", "no request stands in it"),
        ("time,requests\n0,5\n86400,5\n", "hide every peak"),
    ],
)
def test_a_trace_that_cannot_be_read_names_its_line(tmp_path, text, says):
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(TraceProblem, match=says):
        read_trace(file)


def test_a_trace_that_never_ends_is_left(monkeypatch, tmp_path):
    """A device, or another file than meant."""
    monkeypatch.setattr("kirikae.capacity.trace._MOST_BYTES", 1_000_000)
    with pytest.raises(TraceProblem, match="more than 1 MB"):
        read_trace(Path("/dev/zero"))


def test_short_holes_are_filled_and_counted(tmp_path):
    file = tmp_path / "trace.csv"
    file.write_text("time,requests\n0,60\n60,\n180,240\n240,240\n")
    found = read_trace(file)
    assert found.rates.tolist() == pytest.approx([1, 2, 3, 4, 4])
    assert found.filled == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("min: 3, max: 20", "min: 30, max: 20", ":12: tasks: min 30 is above max 20"),
        ("memory: 2048", "memory: 999", "memory 999 does not go with cpu 1024"),
        ("target: 50", "target: 0", "policies.0.target: .*greater than 0"),
        ("target: 50", "target: 50, above: 3", "give one of"),
        ("{from: 10, add: 4}", "{from: 11, add: 4}", "a gap or an overlap"),
        ("{from: 10, add: 4}", "{from: 10, to: 20, add: 4}", "needs one that leaves out `to`"),
        ("name: rush", "name: cpu", "two policies are called cpu"),
        ("Asia/Tokyo", "Asia/Edo", "zone .Asia/Edo. is unknown"),
        ('"07:30"', '"7:30"', "daily.0.at"),
        ("limit_ms", "limit_s", "limit_s: no such key"),
        ("target: 50", "target: 101", "CPU ends at 100%"),
        ("max: 20", "max: 4", "the floor of 07:30 is .* tasks, and tasks.max is 4"),
        (FIRST, "- 1", "begins with `task:`"),
        (
            "daily:",
            "daily:\n  - {at: '07:30', min: 4, zone: Asia/Tokyo}",
            "two floors differ at 07:30",
        ),
    ],
)
def test_rules_that_aws_would_refuse_name_their_line(rules, old, new, says):
    rules.write_text(FIRST.replace(old, new))
    with pytest.raises(RulesProblem, match=says):
        read_rules(rules)


def test_the_text_of_rules_is_read_as_the_same_rules(rules, tmp_path):
    found = read_rules(rules)
    again = tmp_path / "again.yml"
    again.write_text(text_of(found))
    assert read_rules(again) == found


def test_tuning_needs_a_week_that_it_never_saw():
    with pytest.raises(TraceProblem, match="two whole ones at least"):
        split(made(Made(peak=100, days=10)))


def test_rules_are_searched_on_what_has_not_come_yet_as_well():
    """The last known week louder, and with a crowd a day; never the week that judges."""
    weeks = split(made(Made(peak=100, days=14, crowds=0, seed=4)))
    plain, louder, crowded = searched(weeks, np.random.default_rng(1))
    assert plain is weeks.seen[0] and np.allclose(louder.rates, LOUDER * plain.rates)
    times = (crowded.rates / plain.rates).reshape(7, 24 * 60).max(axis=1)
    assert np.all(times >= 2.19), "one a day"
    assert np.median(crowded.rates / plain.rates) < 1.01


def test_tuning_is_repeatable_and_judges_on_the_unseen_week(rules):
    """A small search: four hours stand for a week."""
    file = read_rules(rules)
    days = [Trace(0, made(Made(peak=300, days=1, seed=seed)).rates[420:660]) for seed in (1, 2)]
    weeks = type(split(made(Made(peak=300, days=14))))((days[0],), days[1])
    hour = cost.task_hour(file.region, 1024, 2048)
    one = tune(file, weeks, hour, seed=3, generations=1)
    assert one == tune(file, weeks, hour, seed=3, generations=1)
    assert one[0] == judged(file, weeks.unseen, hour)
    assert [each.usd for each in one[1:]] == sorted(each.usd for each in one[1:])


def test_the_whole_way(tmp_path):
    """A first file, a made-up load, a verdict; all of it twice with the same answer."""
    rules, trace = tmp_path / "capacity.yml", tmp_path / "trace.csv"
    assert run("capacity", "init", str(rules)).exit_code == 0
    make = ("capacity", "trace", "make", "--peak", "300", "--days", "1", "--out", str(trace))
    assert run(*make, "--dry-run").exit_code == 0 and not trace.exists()
    assert run(*make).exit_code == 0
    assert run(*make).exit_code == 2, "an existing trace stays"
    simulate = ("capacity", "simulate", str(rules), "--trace", str(trace))
    found = run(*simulate, "--json").json
    assert found == run(*simulate, "--json").json
    assert found["minutes"] == 1440 == len(found["tasks_by_minute"])
    assert found["usd"]["prices_seen"] == "2026-09-25"
    assert (found["bad_share"] > found["limit_share"]) == (found["outcome"] == "found")
    for language in LANGUAGES:
        told = run(*simulate, "--lang", language).stdout
        assert "2026-09-25" in told and "2026-" in told and "{" not in told


def test_nat_in_both_languages():
    plain = run("capacity", "nat", "--gb", "5000", "--json").json
    assert plain["saved_usd_if_nat_goes"] == pytest.approx(400.5 - 131.8, abs=0.5)
    for language in LANGUAGES:
        assert "400.52" in run("capacity", "nat", "--gb", "5000", "--lang", language).stdout
    assert "131.76" in run("capacity", "nat", "--gb", "5000").stdout


def test_what_is_taken_keeps_the_former_text(rules, tmp_path, monkeypatch):
    trace = tmp_path / "trace.csv"
    days = made(Made(peak=100, days=14))
    rows = (f"{days.begins + 60 * at},{rate * 60:.0f}" for at, rate in enumerate(days.rates))
    trace.write_text("\n".join(("time,requests", *rows)))
    better = read_rules(rules).model_copy(update={"limit_ms": 700})
    tried = judged(read_rules(rules), Trace(0, days.rates[:60]), cost.task_hour(REGION, 1024, 2048))
    found = [tried, replace(tried, rules=better)]
    monkeypatch.setattr("kirikae.console.capacity_try.tuned", lambda *_: found)
    tune = ("capacity", "tune", str(rules), "--trace", str(trace), "--take")
    assert run(*tune, "2").exit_code == 2, "only one was found"
    assert run(*tune, "1", "--dry-run").exit_code == 0
    assert read_rules(rules).limit_ms == 500
    assert run(*tune, "1").exit_code == 0
    assert read_rules(rules).limit_ms == 700
    assert (tmp_path / "capacity.yml.1").read_text() == FIRST


def test_a_balancers_requests_are_a_trace_and_a_missing_figure_is_not_zero(tmp_path, monkeypatch):
    """Ten minutes, of which CloudWatch tells nothing of one."""
    asked = []

    def answer(aws, queries, since, until, period_s):
        asked.append((queries[0], period_s))
        return [{60 * at: 600.0 for at in range(10) if at != 4}]

    monkeypatch.setattr("kirikae.aws.cloudwatch.metric_data", answer)
    monkeypatch.setenv("AWS_REGION", REGION)
    out = tmp_path / "trace.csv"
    found = run("capacity", "trace", "cloudwatch", "app/shop/1", "--out", str(out), "--json").json
    assert (found["minutes"], found["missing_minutes"]) == (10, 1)
    assert out.read_text().splitlines()[5] == "240,"
    assert (read_trace(out).rates.tolist(), read_trace(out).filled) == ([10.0] * 10, 1)
    query, period = asked[0]
    assert (query.balancer, query.metric, query.statistic) == ("app/shop/1", "RequestCount", "Sum")
    assert period == 60
    monkeypatch.setattr("kirikae.aws.cloudwatch.metric_data", lambda *_: [{}])
    none = run("capacity", "trace", "cloudwatch", "app/no/1", "--out", str(tmp_path / "none.csv"))
    assert none.exit_code == 2 and "app/NAME/ID" in none.stderr
    assert not (tmp_path / "none.csv").exists()


def test_a_missing_library_is_told_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr("kirikae.console.options.find_spec", lambda name: None)
    told = run("capacity", "nat", "--gb", "1")
    assert told.exit_code == 2 and "pip install 'kirikae[capacity]'" in told.stderr
