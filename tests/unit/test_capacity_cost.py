"""`kirikae capacity cost`: what a month costs, where, and against which rules."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kirikae.capacity import month
from kirikae.capacity.cost import MONTH_H, Price
from kirikae.capacity.errors import RulesProblem
from kirikae.capacity.month import Instance, for_the_peak, instance_hours, instances_of, months
from kirikae.capacity.settings import read as read_rules
from kirikae.capacity.simulate import Task
from kirikae.capacity.trace import Trace
from kirikae.capacity.writing import FIRST
from kirikae.model.said import LANGUAGES
from tests.command import run

REGION = "ap-northeast-1"
ALWAYS_TEN = FIRST.replace("min: 3, max: 20, base: 3", "min: 10, max: 10, base: 4")
"""Ten tasks of 1 vCPU and 2 GB, four of them not on Spot."""
HOUR = 0.05056 + 2 * 0.00553


@pytest.fixture
def ten(tmp_path):
    file = tmp_path / "capacity.yml"
    file.write_text(ALWAYS_TEN)
    return file


def flat(rate, hours=2):
    return Trace(0, np.full(hours * 60, float(rate)))


def test_a_fleet_that_never_changes_costs_what_a_calculator_says(ten):
    """10 tasks x 730 h; on Spot six of them at 30% to 50%."""
    own = next(months(read_rules(ten), flat(100), instances_of(REGION)))
    assert (own.name, own.mean_tasks, own.most_tasks) == ("own", pytest.approx(10), 10)
    fargate = own.way("fargate")
    assert fargate.least == fargate.most == pytest.approx(10 * HOUR * MONTH_H)
    spot = own.way("spot")
    assert spot.least == pytest.approx((4 + 6 * 0.30) * HOUR * MONTH_H)
    assert spot.most == pytest.approx((4 + 6 * 0.50) * HOUR * MONTH_H)
    assert own.way("c5.xlarge").most == pytest.approx(4 * 0.214 * MONTH_H, rel=0.01)


@pytest.mark.parametrize(
    ("name", "holds"),
    [("c5.large", 1), ("c5.xlarge", 3), ("c5.2xlarge", 7)],
)
def test_an_instance_does_not_hold_as_many_tasks_as_its_memory_divided(name, holds):
    """The system keeps a part of the memory: of 4 GiB one task of 2 GiB has room, not two."""
    found = next(each for each in instances_of(REGION) if each.name == name)
    assert found.holds(1024, 2048) == holds


def test_an_instance_that_holds_no_such_task_has_no_row_and_is_named(tmp_path):
    file = tmp_path / "capacity.yml"
    file.write_text(ALWAYS_TEN.replace("cpu: 1024", "cpu: 4096").replace("2048", "8192"))
    small = Instance("c5.large", 2, 4096, Price(0.1, "2026-11-01", "test"))
    own = next(months(read_rules(file), flat(100), [small]))
    assert own.way("c5.large") is None
    trace = written(tmp_path, [100] * 90)
    told = run("capacity", "cost", str(file), "--trace", str(trace)).stdout
    assert "EC2 c5.large holds no such task" in told


def test_instances_stay_a_while_after_they_were_needed():
    """One minute of four tasks in an hour of two: the second instance stays for fifteen more."""
    tasks = np.full(60, 2.0)
    tasks[10] = 4.0
    assert instance_hours(tasks, 2) * 60 == pytest.approx(60 + 16)


def test_the_fleet_for_the_peak_answers_it_within_the_limit():
    """One task fewer would not."""
    task = Task(requests_per_s=25, answer_s=0.2, start_s=60, drain_s=30)
    needed = for_the_peak(task, 300, 0.5)

    def p99(tasks):
        used = 300 / (25 * tasks)
        return 0.2 * (1 + 0.69 * used / (1 - used))

    assert p99(needed) <= 0.5 < p99(needed - 1)
    assert for_the_peak(task, 300, 0.2) is None, "even an idle one is as slow as that"


def written(folder, rates):
    """A trace of requests a second by minutes; None: no figure."""
    file = folder / "trace.csv"
    rows = [f"{60 * at},{'' if r is None else 60 * r}" for at, r in enumerate(rates)]
    file.write_text("\n".join(("time,requests", *rows)) + "\n")
    return file


def test_the_whole_answer_in_both_languages(ten, tmp_path):
    """With the old side's VMs, and what was filled is said."""
    trace = written(tmp_path, [100] * 30 + [None] + [100] * 29)
    words = ("capacity", "cost", str(ten), "--trace", str(trace), "--vm", "c5.large", "--vms", "6")
    found = run(*words, "--both-days", "10", "--json").json
    assert [each["rules"] for each in found["months"]] == ["own", "hand", "peak"]
    assert found["old_side"]["usd_a_month"] == pytest.approx(6 * 0.107 * MONTH_H)
    assert found["old_side"]["usd_while_both_run"] == pytest.approx(6 * 0.107 * 240)
    assert found["months"][2]["bad_share"] is None, "it was not simulated"
    for language in LANGUAGES:
        told = run(*words, "--lang", language).stdout
        assert "2026-09" in told and "c5.xlarge" in told and "{" not in told
    assert "1 minute was without a figure" in run(*words).stdout
    assert "shorter than a week" in run(*words).stdout


def test_rules_that_break_the_limit_are_no_cheap_choice(tmp_path):
    """Two tasks for what eight need: it says so beside the money."""
    file = tmp_path / "capacity.yml"
    small = FIRST.replace("min: 3, max: 20, base: 3", "min: 1, max: 2, base: 1")
    file.write_text(small.replace("min: 5", "min: 2"))
    trace = written(tmp_path, [150] * 60)
    told = run("capacity", "cost", str(file), "--trace", str(trace)).stdout
    assert "`kirikae capacity tune` first" in told
    assert "it is no choice" in told


ROW = {"vcpu": 2, "memory_mib": 8192, "usd": 0.1054, "seen": "2026-11-28", "source": "price list"}


def test_prices_of_your_own_stand_beside_those_kept_or_in_their_place(ten, tmp_path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"m7g.large": ROW, "c5.large": {**ROW, "usd": 0.2}}))
    found = {each.name: each for each in instances_of(REGION, file)}
    assert found["m7g.large"].hour.usd == 0.1054
    assert found["c5.large"].hour.usd == 0.2
    assert found["c5.xlarge"].hour.usd == 0.214
    assert {each.name for each in instances_of("eu-north-9", file)} == {"m7g.large", "c5.large"}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("[]", "no object of instance types"),
        ("{", "cannot be read"),
        ({"m7g.large": {"usd": 1}}, "m7g.large: needs memory_mib, seen, source, usd, vcpu"),
        ({"m7g.large": {**ROW, "usd": 0}}, "numbers above 0"),
        ({"m7g.large": {**ROW, "usd": "0.1"}}, "numbers above 0"),
        ({"m7g.large": {**ROW, "vcpu": True}}, "numbers above 0"),
        ({"m7g.large": {**ROW, "usd": float("nan")}}, "numbers above 0"),
        ({"m7g.large": {**ROW, "seen": ""}}, "the day on which"),
        ({"m7g.large": {**ROW, "seen": "soon"}}, "the day on which"),
    ],
)
def test_prices_that_cannot_be_read_say_how_a_row_is_written(tmp_path, rows, says):
    file = tmp_path / "prices.json"
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    with pytest.raises(RulesProblem, match=says):
        instances_of(REGION, file)


def test_a_vm_without_a_price_is_refused_with_those_that_have_one(ten, tmp_path):
    trace = written(tmp_path, [100] * 60)
    words = ("capacity", "cost", str(ten), "--trace", str(trace))
    unknown = run(*words, "--vm", "z9.huge", "--vms", "2")
    assert unknown.exit_code == 2
    assert "c5.large" in unknown.stderr and "--prices" in unknown.stderr
    assert run(*words, "--vm", "c5.large").exit_code == 2, "how many?"


def test_a_region_without_any_price_says_so_and_tells_no_sum(tmp_path):
    """Missing is not zero."""
    file = tmp_path / "capacity.yml"
    file.write_text("region: eu-north-9\n" + ALWAYS_TEN)
    ran = run("capacity", "cost", str(file), "--trace", str(written(tmp_path, [100] * 60)))
    assert ran.exit_code == 2
    assert "no prices of eu-north-9" in ran.stderr


def test_the_oldest_price_is_told_and_one_without_a_day_is_named():
    ways = [
        month.Way("fargate", 1, 1, "2026-09-25"),
        month.Way("fargate_arm", 1, 1, "2026-09-06"),
        month.Way("c5.large", 1, 1, month.UNDATED, 1),
    ]
    assert month.oldest(ways) == "2026-09-06"
    assert month.undated(ways) == ["c5.large"]
