"""What a plan will ask for, in words and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from kirikae.model.said import Said, duration, said
from kirikae.model.share import WHOLE, percent
from kirikae.move.judge import Margins
from kirikae.move.kind import Fact, Prospect, Prospects
from kirikae.traffic.alike import Alike
from kirikae.traffic.forecast import (
    RISE,
    SmallPlan,
    StepForecast,
    Today,
)


def prospects_of(
    margins: Margins,
    plan: Sequence[int],
    known: Today,
    forecasts: Sequence[StepForecast],
    alike: Alike | None = None,
    small: SmallPlan | None = None,
) -> Prospects:
    steps = [_prospect(margins, plan, forecast) for forecast in forecasts]
    facts = [_rate(known), _against_itself(alike), *_small(small)]
    return Prospects(tuple(steps), tuple(facts))


def _against_itself(alike: Alike | None) -> Fact:
    """How often this judge would have failed the old side against itself."""
    if alike is None:
        return Fact(
            "against_itself",
            None,
            said("traffic.fact.not_against_itself"),
        )
    bursts = max(alike.dispersion.values(), default=1.0)
    says = said(
        f"traffic.fact.against_itself_by_{alike.of}",
        compared=alike.compared,
        hours=alike.hours,
        failed=alike.failed,
        bursts=bursts,
    )
    return Fact("against_itself", alike.to_plain(), says)


def _small(small: SmallPlan | None) -> Iterator[Fact]:
    """What fits a small service, and what cannot be shown of one."""
    if small is None:
        return
    plan = [percent(share) for share in small.steps]
    steps = " - ".join(plan)
    says = said("traffic.fact.small_plan_untimed", plan=steps)
    if small.seconds is not None:
        says = said(
            "traffic.fact.small_plan",
            plan=steps,
            time=_time(small.seconds),
            instead_of=_time(small.instead_of),
        )
    yield Fact("small_plan", {"plan": plan, "seconds": small.seconds}, says)
    if small.unprovable:
        shares = [percent(share) for share in small.unprovable]
        yield Fact(
            "cannot_be_shown_at",
            shares,
            said("traffic.fact.cannot_be_shown", at=shares),
        )


def _time(seconds: float | None) -> Said:
    return said("traffic.fact.too_long") if seconds is None else duration(seconds)


def _rate(known: Today) -> Fact:
    says = said("traffic.fact.no_rate")
    if known.per_s:
        says = said("traffic.fact.rate", per_s=known.per_s, errors=known.errors)
    return Fact(
        "requests_per_s",
        round(known.per_s, 2) if known.per_s else None,
        says,
    )


def _prospect(margins: Margins, plan: Sequence[int], forecast: StepForecast) -> Prospect:
    after = next((share for share in plan if share > forecast.share), WHOLE)
    after = margins.measured_by(forecast.share, after)
    slower = None if margins.fast_enough_ms else margins.slower_at(after)
    expected = _known(forecast.seconds)
    needed = _known(forecast.needed)
    whole = forecast.share == WHOLE
    step = said(
        "traffic.prospect.step",
        expected=_expected(expected),
        bake=margins.bake_at(forecast.share),
        needed=_needed(needed),
        errors=margins.errors_at(after),
        slower=_slower(slower),
        by=said("traffic.prospect.by_limits" if whole else "traffic.prospect.by_comparison"),
    )
    finds = _known(forecast.finds)
    finds_s = _known(forecast.finds_s)
    says = (step,) if finds is None else (step, _finds(finds, finds_s))
    plain = {
        "bake_s": margins.bake_at(forecast.share),
        "errors_at_most_more": margins.errors_at(after),
        "slower_at_most": slower,
        "new_side_requests_needed": needed,
        "slowest_to_show": forecast.metric,
        "finds": {
            "more_errors": RISE,
            "requests": finds,
            "seconds": finds_s,
        },
        "judged_by": "absolute limits" if whole else "comparison",
    }
    seconds = forecast.seconds if isfinite(forecast.seconds) else None
    return Prospect(
        forecast.share,
        seconds,
        says,
        plain,
    )


def _known(value: float) -> int | None:
    """Infinity stands for what is not known, or never comes."""
    return round(value) if isfinite(value) else None


def _expected(seconds: int | None) -> Said:
    if seconds is None:
        return said("traffic.prospect.time_unknown")
    return said("traffic.prospect.expected", time=duration(seconds))


def _needed(needed: int | None) -> Said:
    """None where an error rate of 0.1% on both sides could never prove it."""
    if needed is None:
        return said("traffic.prospect.never")
    return said("traffic.prospect.needed", n=needed)


def _slower(slower: float | None) -> Said:
    if slower is None:
        return said("traffic.prospect.any_slower")
    return said("traffic.prospect.slower", slower=slower)


def _finds(requests: int, seconds: int | None) -> Said:
    within = said("traffic.prospect.not_within")
    if seconds is not None:
        within = said("traffic.prospect.within", time=duration(seconds))
    return said(
        "traffic.prospect.finds",
        rise=RISE,
        n=requests,
        within=within,
    )
