"""Figures of CloudWatch: what was never answered is an error of its side, whoever answered."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kirikae.aws.elbv2 import TargetGroup
from kirikae.aws.session import Aws
from kirikae.model.said import Words, said
from kirikae.move.judge import Margins
from kirikae.traffic.alike import Alike, Parts, against_itself
from kirikae.traffic.batches import Arm
from kirikae.traffic.figures import Asked, CloudWatch, Places
from kirikae.traffic.forecast import SmallPlan, Today, forecast, smaller_plan
from kirikae.traffic.prospects import prospects_of
from tests.simulation import binomial

WORDS = Words.of("kirikae.traffic", "kirikae.model")
EN = WORDS.say
OLD = TargetGroup("arn:aws:elb:r:1:targetgroup/old/1", "old")
NEW = TargetGroup("arn:aws:elb:r:1:targetgroup/new/1", "new")
PLACES = Places("arn:rule", OLD, NEW, "app/shop/1", "app/shop/1")


class Told:
    """CloudWatch with one value for each minute.  ``figures``: (dimension, metric, statistic) ->
    value."""

    def __init__(self, figures: dict[tuple[str, str, str], float]) -> None:
        self.figures = figures
        self.asked: list[dict[str, Any]] = []

    def get_metric_data(
        self, MetricDataQueries: Any, StartTime: Any, EndTime: Any, **_: Any
    ) -> Any:
        self.asked += MetricDataQueries
        stamps = range(int(StartTime.timestamp()), int(EndTime.timestamp()), 60)
        return {"MetricDataResults": [self._series(query, stamps) for query in MetricDataQueries]}

    def _series(self, query: Any, stamps: range) -> Any:
        metric = query["MetricStat"]["Metric"]
        of = metric["Dimensions"][0]["Value"]
        value = self.figures.get((of, metric["MetricName"], query["MetricStat"]["Stat"]))
        known = [] if value is None else list(stamps)
        return {
            "Id": query["Id"],
            "Timestamps": [datetime.fromtimestamp(stamp, UTC) for stamp in known],
            "Values": [value] * len(known),
            "StatusCode": "Complete",
        }


def source(monkeypatch: pytest.MonkeyPatch, figures: dict[tuple[str, str, str], float]) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    aws = Aws("eu-west-1")
    told = Told(figures)
    monkeypatch.setattr(
        aws.client("cloudwatch"), "get_metric_data", told.get_metric_data, raising=False
    )
    return CloudWatch(aws, PLACES, 60), told


def asked(until: float) -> Asked:
    return Asked(100, 3, 0.0, until, {"p50": 0.1}, {"old": [0.1], "new": [0.11]})


FIGURES: dict[tuple[str, str, str], float] = {
    (OLD.dimension, "RequestCount", "Sum"): 900,
    (OLD.dimension, "TargetResponseTime", "SampleCount"): 900,
    (OLD.dimension, "TargetResponseTime", "TC(0.1000:)"): 450,
    (NEW.dimension, "RequestCount", "Sum"): 100,
    (NEW.dimension, "TargetResponseTime", "SampleCount"): 70,
    (NEW.dimension, "TargetResponseTime", "TC(0.1100:)"): 40,
    (NEW.dimension, "HTTPCode_Target_5XX_Count", "Sum"): 2,
    (NEW.dimension, "HTTPCode_Target_4XX_Count", "Sum"): 5,
    (NEW.dimension, "TargetConnectionErrorCount", "Sum"): 10,
    ("app/shop/1", "HTTPCode_ELB_5XX_Count", "Sum"): 30,
}


def test_requests_without_a_time_are_errors_of_their_side_and_not_fast(monkeypatch):
    """30 of 100 hang or are answered 502 to 504 by the balancer: no target's 5xx tells of them."""
    cloudwatch, _ = source(monkeypatch, FIGURES)
    batch = cloudwatch.batches(asked(180.0))[0]
    new = batch.side("new")
    assert (new.requests, new.errors, new.rejected) == (100, 32, 5)
    assert new.within == {0.11: 100 - 40 - 30}
    assert batch.side("old")[:2] == (900, 0) and batch.side("old").rejected == 0
    assert batch.unplaced == 30


def test_what_has_no_time_yet_is_believed_a_period_later(monkeypatch):
    """CloudWatch may show a request before its time."""
    cloudwatch, told = source(monkeypatch, FIGURES)
    assert [batch.start for batch in cloudwatch.batches(asked(180.0))] == [0.0, 60.0]
    told.figures = {**FIGURES, (NEW.dimension, "TargetResponseTime", "SampleCount"): 100.0}
    told.figures[NEW.dimension, "TargetConnectionErrorCount", "Sum"] = 0.0
    assert [batch.start for batch in cloudwatch.batches(asked(180.0))] == [0.0, 60.0, 120.0]


def test_the_balancer_s_own_answers_are_asked_of_the_balancer(monkeypatch):
    """HTTPCode_ELB_5XX_Count has no dimension of a target group."""
    cloudwatch, told = source(monkeypatch, FIGURES)
    cloudwatch.batches(asked(60.0))
    metrics = [query["MetricStat"]["Metric"] for query in told.asked]
    [own] = [metric for metric in metrics if metric["MetricName"] == "HTTPCode_ELB_5XX_Count"]
    assert own["Dimensions"] == [{"Name": "LoadBalancer", "Value": "app/shop/1"}]


def test_the_past_of_an_even_old_side_shows_no_dispersion(monkeypatch):
    """By metric; what is not known is left out."""
    cloudwatch, _ = source(monkeypatch, FIGURES)
    assert cloudwatch.past(86_400.0, {"p50": 0.1}) == {"errors": 0.0, "rejected": 0.0, "p50": 0.0}
    silent, _ = source(monkeypatch, {})
    assert silent.past(86_400.0, {"p50": 0.1}) == {}


# --- the old side against itself


def zones(bursts: bool) -> Parts:
    """Two zones over a day; a target of one fails for ten seconds now and then, or none does."""
    rng = random.Random(3)
    by_name: dict[str, dict[int, Arm]] = {}
    for name in ("a", "b"):
        by_name[name] = {}
        for minute in range(720):
            errors = binomial(rng, 3000, 0.001)
            if bursts and rng.random() < 1 / 60:
                errors += 250
            by_name[name][60 * minute] = Arm(3000, errors)
    return Parts(60.0, by_name, 2 * 720 * 3000, {}, {})


def test_an_old_side_whose_requests_fail_independently_is_never_failed_against_itself():
    """Twelve hours of two zones."""
    found = against_itself(Margins(), zones(bursts=False))
    assert found is not None and (found.compared, found.failed) == (2, 0)
    assert found.hours == 12 and found.dispersion["errors"] < 2.5


def test_bursts_are_seen_before_the_first_step():
    """What is said of them is a figure."""
    found = against_itself(Margins(), zones(bursts=True))
    assert found is not None and found.dispersion["errors"] > 10


def test_zones_that_are_not_told_apart_say_nothing():
    """Each has the figures of all: two equal sides would never be failed."""
    same = zones(bursts=False)
    assert against_itself(Margins(), Parts(60.0, same.by_name, 720 * 3000, {}, {})) is None
    assert against_itself(Margins(), Parts(60.0, {"a": same.by_name["a"]}, 1, {}, {})) is None


def test_where_zones_cannot_be_told_apart_two_days_are_compared():
    """And the plan says that it is days."""
    days = replace(zones(bursts=False), of="days")
    found = against_itself(Margins(), days)
    assert found is not None and found.of == "days"
    assert (
        "yesterday against the day before"
        in facts(Today(50.0, 0.001, {}, {}), found)["against_itself"]
    )


# --- what a plan says


def facts(known: Today, alike: Alike | None = None) -> dict[str, str]:
    margins = Margins(long_bake_s=86_400)
    plan = (1, 10, 50, 250, 500, 950, 1000)
    steps = forecast(margins, plan, known, 180)
    small = smaller_plan(margins, plan, known, 180)
    return {
        fact.key: EN(fact.says)
        for fact in prospects_of(margins, plan, known, steps, alike, small).facts
    }


def test_a_small_service_gets_a_plan_that_fits_it():
    """Five requests a second: 10-25-50-100 takes a fraction of the time; a large one gets none."""
    small = facts(Today(5.0, 0.001, {}, {}))
    assert "10% - 25% - 50% - 100%" in small["small_plan"]
    assert "small_plan" not in facts(Today(300.0, 0.001, {}, {}))
    assert "cannot_be_shown_at" not in small
    assert "50%" in facts(Today(0.05, 0.001, {}, {}))["cannot_be_shown_at"]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_plan_whose_time_is_not_known_is_not_compared_with_one_that_is_not_known(language):
    """An unknown time "instead of" an unknown time is no sentence."""
    known, margins, plan = Today(5.0, 0.001, {}, {}), Margins(), (100, 1000)
    for seconds, instead_of in ((None, None), (7200.0, None), (7200.0, 90000.0)):
        small = SmallPlan((100, 250, 500, 1000), seconds, instead_of, ())
        facts = prospects_of(margins, plan, known, (), None, small).facts
        (says,) = [fact.says for fact in facts if fact.key == "small_plan"]
        told = WORDS.say(says, language)
        assert "10% - 25% - 50% - 100%" in told
        nowhere = WORDS.say(said("traffic.fact.too_long"), language)
        assert told.count(nowhere) <= 1 and (nowhere in told) == (bool(seconds) and not instead_of)


def test_bursts_of_the_past_make_a_plan_longer():
    """As many times as they divide evidence: at 50% of 50 requests a second, one minute has 3,000
    requests, and each adds its part."""
    calm = Today(50.0, 0.001, {}, {})
    bursty = Today(50.0, 0.001, {}, {}, {"errors": 0.002})
    steps = [forecast(Margins(), (500, 1000), known, 180)[0] for known in (calm, bursty)]
    assert steps[1].needed == pytest.approx(steps[0].needed * (1 + 0.002 * 1500))
    assert steps[1].finds == pytest.approx(steps[0].finds * (1 + 0.002 * 1500))


def test_a_plan_says_how_often_this_judge_would_have_failed_the_old_side():
    """A measured figure, or that it is not known."""
    told = facts(Today(50.0, 0.001, {}, {}), Alike(3, 2, 24.0, {"errors": 7.0}))["against_itself"]
    assert "3 zones harmful 2 time(s)" in told and "7.0 times" in told
    assert "not known" in facts(Today(50.0, 0.001, {}, {}))["against_itself"]
