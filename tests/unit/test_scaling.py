"""Application Auto Scaling's rules: every row of what is known of them, as a table.

Expected values: Application Auto Scaling User Guide and Amazon ECS Developer Guide, read 2026-11.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.model.scaling import (
    Adjustment,
    Bounds,
    Metric,
    NotScaled,
    Scaling,
    Seen,
    Step,
    StepScaling,
    Suspended,
    TargetTracking,
    advance,
    not_scaled,
    rounded_percent,
)

CPU = Metric.CPU


class Service:
    """One service whose figures are told by hand, a minute apart."""

    def __init__(self, *policies, desired=10, least=0, most=100, **seen):
        self.policies = policies
        self.state = Scaling.of(desired, least, most)
        self.running = float(desired)
        self.now = 0.0
        self.more = seen
        self.suspended = Suspended()
        self.last = None

    def tell(self, *values, metric=CPU, scheduled=(), keep=None):
        """Each a minute later; what is decided runs at once, or ``keep`` goes on running."""
        for value in values:
            self.now += metric.period_s
            seen = Seen(
                now=self.now,
                running=np.array([self.running]),
                datapoints={} if value is None else {metric: np.array([float(value)])},
                scheduled=tuple(scheduled),
                **self.more,
            )
            self.state, self.last = advance(self.policies, self.state, seen, self.suspended)
            self.running = float(self.state.desired[0]) if keep is None else keep
        return int(self.state.desired[0])


def tracking(name="t", target=50.0, **more):
    return TargetTracking(name, more.pop("metric", CPU), target, **more)


def stepping(name="s", threshold=80.0, *steps, **more):
    return StepScaling(name, CPU, threshold, more.pop("above", True), steps, **more)


@pytest.mark.parametrize(
    ("values", "desired"),
    [((90, 90), 10), ((90, 90, 90), 18), ((90, 40, 90, 90), 10), ((50, 50, 50), 10)],
)
def test_scale_out_needs_three_datapoints_above_the_target(values, desired):
    assert Service(tracking()).tell(*values) == desired


def test_scale_in_needs_fifteen_datapoints_below_nine_tenths():
    service = Service(tracking())
    assert service.tell(*[20] * 14) == 10
    assert service.tell(20) == 4
    assert Service(tracking()).tell(*[46] * 40) == 10, "46 is not below 45"


def test_figures_of_20_s_take_45_for_the_same_time():
    service = Service(tracking(metric=Metric.CPU_20S))
    assert service.tell(*[20] * 44, metric=Metric.CPU_20S) == 10
    assert service.tell(20, metric=Metric.CPU_20S) == 4


def test_missing_data_scales_nothing_either_way():
    service = Service(tracking())
    assert service.tell(90, 90, math.nan, 90, 90) == 10, "a row of breaches ended"
    assert service.tell(*[math.nan] * 60) == 10
    assert service.tell(90, 90, 90) == 18


@pytest.mark.parametrize(
    ("metric", "capacity"),
    [(60, 11), (70, 14), (40, 13), (30, 10)],
)
def test_the_worked_example_of_step_scaling(metric, capacity):
    """Threshold 50, per cent; out 0, +10, +30, in 0, -10, -30; one after the other from 10."""
    out = stepping(
        "out",
        50.0,
        Step(0.0, 10.0, 0.0),
        Step(10.0, 20.0, 10.0),
        Step(20.0, None, 30.0),
        adjustment=Adjustment.PERCENT,
        datapoints=1,
        cooldown_s=0.0,
    )
    into = stepping(
        "in",
        50.0,
        Step(-10.0, 0.0, 0.0),
        Step(-20.0, -10.0, -10.0),
        Step(None, -20.0, -30.0),
        adjustment=Adjustment.PERCENT,
        datapoints=1,
        cooldown_s=0.0,
        above=False,
    )
    service = Service(out, into)
    story = {60: 11, 70: 14, 40: 13, 30: 10}
    for value in story:
        found = service.tell(value)
        if value == metric:
            assert found == capacity
            return


@pytest.mark.parametrize(
    ("change", "whole"),
    [(12.7, 12), (0.4, 1), (-0.3, -1), (-6.67, -6), (0, 0), (1, 1), (-1, -1)],
)
def test_percent_rounds_as_aws_does(change, whole):
    assert rounded_percent(np.array([change]))[0] == whole


def test_a_percent_change_has_a_least_amount():
    """25% of 4 with MinAdjustmentMagnitude 2 adds 2."""
    policy = stepping(
        "s",
        80.0,
        Step(0.0, None, 25.0),
        adjustment=Adjustment.PERCENT,
        datapoints=1,
        least_change=2.0,
    )
    assert Service(policy, desired=4).tell(90) == 6


def test_exact_capacity():
    policy = stepping("s", 80.0, Step(0.0, None, 7.0), adjustment=Adjustment.EXACT, datapoints=1)
    assert Service(policy, desired=4).tell(90) == 7


def test_bounds_of_steps_above_the_threshold_hold_their_lower_end():
    policy = stepping("s", 80.0, Step(0.0, 10.0, 1.0), Step(10.0, None, 5.0), datapoints=1)
    assert Service(policy).tell(80) == 11
    assert Service(policy).tell(90) == 15


def test_bounds_of_steps_below_the_threshold_hold_their_upper_end():
    policy = stepping(
        "s", 30.0, Step(-10.0, 0.0, -1.0), Step(None, -10.0, -5.0), datapoints=1, above=False
    )
    assert Service(policy).tell(30) == 9
    assert Service(policy).tell(20) == 5


def test_of_several_policies_the_largest_capacity_wins():
    small = stepping("small", 80.0, Step(0.0, None, 2.0))
    assert Service(small, tracking()).tell(90, 90, 90) == 18
    large = stepping("large", 80.0, Step(0.0, None, 12.0))
    service = Service(tracking(), large)
    assert service.tell(90, 90, 90) == 22
    assert service.last.by[0] == 1


def test_several_target_trackings_scale_in_only_when_all_agree():
    memory = tracking("m", 50.0, metric=Metric.MEMORY)
    service = Service(tracking(), memory)
    assert service.tell(*[20] * 30) == 10, "nothing is known of memory"
    service = Service(tracking(), TargetTracking("m", Metric.MEMORY, 50.0, scale_in=False))
    assert service.tell(*[20] * 15) == 4, "one that never scales in is not asked"


def test_a_step_scale_in_is_not_held_back_by_target_tracking():
    into = stepping("in", 60.0, Step(None, 0.0, -3.0), above=False, datapoints=1)
    assert Service(tracking(), into).tell(48) == 7


def test_inside_a_cool_down_the_capacity_already_added_counts():
    """+2 and then a step of +3 add one."""
    policy = stepping("s", 80.0, Step(0.0, 10.0, 2.0), Step(10.0, None, 3.0), datapoints=1)
    service = Service(policy)
    assert service.tell(85) == 12
    assert service.tell(85) == 12, "not larger: nothing"
    assert service.tell(95) == 13


def test_after_the_cool_down_it_starts_from_what_runs():
    policy = stepping("s", 80.0, Step(0.0, None, 2.0), datapoints=1, cooldown_s=120.0)
    service = Service(policy)
    assert service.tell(85) == 12
    assert service.tell(85) == 12
    assert service.tell(85) == 14


def test_changes_start_from_the_running_count():
    policy = stepping("s", 80.0, Step(0.0, None, 2.0), datapoints=1, cooldown_s=0.0)
    service = Service(policy)
    assert service.tell(85, keep=10.0) == 12
    assert service.tell(85, keep=10.0) == 12, "ten run, the two are on their way"


def test_a_scale_in_cool_down_blocks_scale_in_only():
    service = Service(tracking(in_cooldown_s=3600.0))
    assert service.tell(*[30] * 15) == 6
    assert service.tell(*[30] * 20) == 6
    assert service.tell(90, 90, 90) == 11, "a scale-out acts at once"
    assert service.tell(*[30] * 15) == 7, "and ended the cool-down"


def test_bounds_hold_back_and_say_so():
    service = Service(tracking(), most=12)
    assert service.tell(90, 90, 90) == 12
    assert service.tell(90) == 12
    assert not_scaled(service.state, service.last) == NotScaled.AT_MOST
    service = Service(tracking(), least=8)
    assert service.tell(*[10] * 15) == 8
    service.state.in_until[:] = -np.inf
    assert service.tell(10) == 8
    assert not_scaled(service.state, service.last) == NotScaled.AT_LEAST


def test_desired_below_the_minimum_is_lifted_only_by_a_scale_out():
    service = Service(tracking(), desired=2, least=5)
    assert service.tell(50) == 2
    assert service.tell(90, 90, 90) == 5


def test_desired_above_the_maximum_is_lowered_only_by_a_scale_in():
    service = Service(tracking(), desired=30, most=20)
    assert service.tell(90, 90, 90) == 30
    assert service.tell(*[40] * 15) == 20


def test_a_schedule_lifts_and_lowers_at_once_whatever_cools_down():
    service = Service(tracking())
    service.tell(90, 90, 90)
    assert service.tell(None, scheduled=[Bounds(least=30.0)]) == 30
    assert service.tell(None, scheduled=[Bounds(least=1.0, most=5.0)]) == 5
    assert service.tell(None, scheduled=[Bounds(least=0.0)]) == 5, "a lower floor lowers nothing"


def test_at_nothing_running_one_datapoint_scales_out_by_one():
    service = Service(tracking(metric=Metric.REQUESTS, target=600.0), desired=0)
    assert service.tell(0, metric=Metric.REQUESTS) == 0
    assert service.tell(5000, metric=Metric.REQUESTS) == 1


def test_while_a_deployment_runs_scale_in_is_off():
    service = Service(tracking(), deploying=True)
    assert service.tell(*[20] * 30) == 10
    assert service.tell(90, 90, 90) == 18


def test_what_is_suspended_does_not_act():
    service = Service(tracking())
    service.suspended = Suspended(scale_out=True, scheduled=True)
    assert service.tell(90, 90, 90, scheduled=[Bounds(least=50.0)]) == 10
    service.suspended = Suspended(scale_in=True)
    assert service.tell(*[20] * 30) == 10


_NUMBERS = st.lists(st.one_of(st.just(math.nan), st.floats(0, 100)), min_size=1, max_size=60)


@given(_NUMBERS, st.floats(20, 90), st.integers(0, 5), st.integers(6, 40))
def test_many_candidates_at_once_decide_as_each_alone(values, target, least, most):
    policies = (
        TargetTracking("t", CPU, np.array([target, target / 2])),
        StepScaling("s", CPU, np.array([80.0, 40.0]), True, (Step(0.0, None, 2.0),)),
    )
    alone = [
        (TargetTracking("t", CPU, part), StepScaling("s", CPU, over, True, policies[1].steps))
        for part, over in ((target, 80.0), (target / 2, 40.0))
    ]
    both = Scaling.of(5, least, most, 2)
    each = [Scaling.of(5, least, most) for _ in alone]
    for minute, value in enumerate(values):
        figures = {CPU: np.array([value, value])}
        both, _ = advance(policies, both, Seen(60.0 * minute, both.desired, figures))
        for index, one in enumerate(alone):
            figure = {CPU: np.array([value])}
            each[index], _ = advance(
                one, each[index], Seen(60.0 * minute, each[index].desired, figure)
            )
            assert both.desired[index] == each[index].desired[0]
        assert (both.desired <= max(most, 5)).all()
