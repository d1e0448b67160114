"""The realistic scenarios: fifteen kinds of traffic that services have, healthy and harmful.

100 requests a second, 0.1% errors and a median of 100 ms unless said; plan 1% - 5% - 25% - 50% -
95% - 100%.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.worlds import (
    Alone,
    Change,
    Outages,
    Retries,
    Sessions,
    Traffic,
    Users,
    always,
    by_night,
    by_weight,
    each_minutes,
    first_minutes,
    from_share,
    new_only,
    old_only,
    one_minute_at_whole,
    stays_on_old,
)
from kirikae.model.share import WHOLE
from kirikae.traffic.settings import TrafficMove

PLAN = (10, 50, 250, 500, 950, WHOLE)
SMALL = (100, 250, 500, WHOLE)
HOUR = 60
X10 = Change(errors=10)
MIX_REASONS = frozenset({"traffic.other_clients", "traffic.other_routes", "traffic.mismatch"})


@dataclass(frozen=True)
class Scenario:
    """``twin``: the healthy scenario on which false back-outs of the same traffic are counted.

    ``sticky``, ``dns``: what the router is.  ``judge``: keys of the project file.
    ``logs``: kirikae reads an access log, which shows who asks, and not CloudWatch.
    ``holds``: reasons with which the product may rightly hold instead.
    ``hours``: when a run ends, whatever it waits for.
    """

    name: str
    traffic: Traffic
    harmful: bool = False
    twin: str = ""
    plan: tuple[int, ...] = PLAN
    sticky: bool = False
    dns: bool = False
    logs: bool = False
    judge: Mapping[str, Any] = field(default_factory=dict)
    holds: frozenset[str] = frozenset()
    hours: int = 72

    def settings(self) -> TrafficMove:
        """As a project file would say it."""
        record = {"zone": "example.com", "name": "books.example.com", "new": "new.example.com"}
        router = {"record": record} if self.dns else {"listener_rule": "bookshop/main"}
        plan = [f"{share / 10:g}%" for share in self.plan]
        raw = {"kind": "traffic", "router": router, "plan": plan, "judge": dict(self.judge)}
        if self.logs:
            raw["figures"] = {"source": "access_log", "count": "requests"}
        return TrafficMove.model_validate(raw)


def _pair(name: str, healthy: Traffic, harms: Mapping[str, Traffic], **more: Any) -> list[Scenario]:
    """A healthy service, and what may be wrong with its new side."""
    found = [Scenario(name, healthy, **more)]
    for harm, traffic in harms.items():
        found.append(Scenario(f"{name}: {harm}", traffic, True, name, **more))
    return found


def _independent() -> list[Scenario]:
    harms = {
        "errors x10": Traffic(new=always(X10)),
        "p50 +20%": Traffic(new=always(Change(times=1.2))),
    }
    return _pair("independent", Traffic(), harms)


def _sessions() -> list[Scenario]:
    sticky = _pair(
        "sessions of 50, sticky",
        Traffic(Sessions(sticky=True)),
        {"errors x10": Traffic(Sessions(sticky=True), always(X10))},
        sticky=True,
    )
    spread = _pair(
        "sessions of 50, spread",
        Traffic(Sessions(sticky=False)),
        {"errors x10": Traffic(Sessions(sticky=False), always(X10))},
    )
    return sticky + spread


def _retries() -> list[Scenario]:
    harms = {"errors x10": Traffic(Retries(), always(X10))}
    return _pair("retries x3", Traffic(Retries()), harms)


def _targets() -> list[Scenario]:
    few = Alone((Users(failing=0.0005),))
    found: list[Scenario] = []
    for old, new in ((4, 4), (20, 20), (4, 1)):
        name = f"{old}+{new} targets fail 10 s in 2 h"
        harms = {"new ten times as often": Traffic(few, outages=Outages(old, new, 7200.0, 720.0))}
        found += _pair(name, Traffic(few, outages=Outages(old, new)), harms)
    return found


def _wobbles() -> list[Scenario]:
    found: list[Scenario] = []
    for percent in (2, 5, 10):
        spread = percent / 100
        harms = {"p50 +30%": Traffic(new=always(Change(times=1.3)), wobble=spread)}
        found += _pair(f"median wobbles {percent}%", Traffic(wobble=spread), harms)
    return found


def _shared() -> list[Scenario]:
    hiccup = each_minutes(10, Change(more_errors=0.5 * 10 / 60))
    harms = {"errors x10": Traffic(new=always(X10), both=hiccup)}
    return _pair("shared bursts, 10 s of 50% each 10 min", Traffic(both=hiccup), harms)


def _mixes() -> list[Scenario]:
    heavy = Users(20.0, 0.004, 1.5, stays_on_old, each=60.0)
    light = Users(80.0, 0.0005)
    keep = Alone((heavy, light))
    found = _pair(
        "heavy users stay on old",
        Traffic(keep),
        {"errors x4": Traffic(keep, always(Change(errors=4)))},
        sticky=True,
        logs=True,
        holds=MIX_REASONS,
    )
    heavier = Users(30.0, 0.002, 1.5, _newcomers, each=15.0)
    newcomers = Alone((heavier, Users(70.0, 0.0005, 1.0, _returning, each=5.0)))
    found += _pair(
        "newcomers are heavier",
        Traffic(newcomers),
        {"errors x10": Traffic(newcomers, always(X10))},
        sticky=True,
        logs=True,
        holds=MIX_REASONS,
    )
    return found + _bots()


def _newcomers(share: int) -> float:
    """Whoever has no cookie yet is sent by weight."""
    return by_weight(share)


def _returning(share: int) -> float:
    """Those who have one come to the new side later: a fifth of them at once."""
    return 1.0 if share == WHOLE else 0.2 * by_weight(share)


def _bots() -> list[Scenario]:
    people = Users(100.0)
    old_bots = Alone((people, Users(20.0, 0.0, 0.3, old_only, each=300.0)))
    found = _pair(
        "bots on old only",
        Traffic(old_bots),
        {"errors x10": Traffic(old_bots, always(X10))},
        logs=True,
        holds=MIX_REASONS,
    )
    new_bots = Alone((people, Users(20.0, 0.0, 0.3, new_only, each=300.0)))
    found += _pair(
        "bots on new only",
        Traffic(new_bots),
        {
            "errors x5": Traffic(new_bots, always(Change(errors=5))),
            "p50 +50%": Traffic(new_bots, always(Change(times=1.5))),
        },
        logs=True,
        holds=MIX_REASONS,
    )
    return found


def _whole() -> list[Scenario]:
    night = Traffic(both=by_night(Change(errors=2)))
    incident = Traffic(both=one_minute_at_whole(Change(more_errors=0.3)))
    knees = {
        "knee: 1% errors at 100%": Traffic(new=from_share(WHOLE, Change(more_errors=0.01))),
        "knee: x1.5 slower at 100%": Traffic(new=from_share(WHOLE, Change(times=1.5))),
        "knee: x1.3 slower from 50% on": Traffic(new=from_share(500, Change(times=1.3))),
    }
    found = [
        Scenario("twice the errors by night", night, judge={"long_bake": "24h"}),
        Scenario("one minute of 30% at 100%", incident),
    ]
    for name, traffic in knees.items():
        found.append(Scenario(name, traffic, True, "independent"))
    return found


def _hang() -> list[Scenario]:
    found = []
    for percent in (5, 30):
        traffic = Traffic(new=always(Change(hung=percent / 100)))
        found.append(Scenario(f"{percent}% hang (504)", traffic, True, "independent"))
    return found


def _trickle() -> list[Scenario]:
    most = Alone((Users(goes=_all_but_a_few),))
    late = from_share(WHOLE, Change(more_errors=0.05))
    harms = {"5% errors at 100%": Traffic(most, late)}
    return _pair("0.3% stay on old at 100% (DNS)", Traffic(most), harms, dns=True)


def _all_but_a_few(share: int) -> float:
    return 0.997 if share == WHOLE else by_weight(share)


def _fast() -> list[Scenario]:
    found = []
    for more_ms in (0.15, 0.3):
        traffic = Traffic(new=always(Change(more_s=more_ms / 1000)), median_s=0.002)
        found.append(Scenario(f"2 ms service, {more_ms:g} ms more", traffic))
    slow = Traffic(new=always(Change(more_s=0.02)), median_s=0.002)
    found.append(Scenario("2 ms service: 20 ms more", slow, True, "2 ms service, 0.3 ms more"))
    return found


def _base_rates() -> list[Scenario]:
    found: list[Scenario] = []
    for percent in (1, 3, 5):
        usual = Alone((Users(1000.0, percent / 100),))
        harms = {"errors x2": Traffic(usual, always(Change(errors=2)))}
        found += _pair(f"1,000/s, {percent}% errors", Traffic(usual), harms, hours=96)
    return found


def _small() -> list[Scenario]:
    found: list[Scenario] = []
    for per_s in (1, 3, 10, 30):
        few = Alone((Users(float(per_s)),))
        plan = SMALL if per_s < 30 else PLAN
        harms = {"5% errors": Traffic(few, always(Change(more_errors=0.05)))}
        hours = 240 if per_s < 10 else 96
        found += _pair(f"{per_s}/s", Traffic(few), harms, plan=plan, hours=hours)
    return found


def _cold() -> list[Scenario]:
    cold = Traffic(new=first_minutes(10, Change(times=1.5)))
    start = Traffic(new=first_minutes(1, Change(more_errors=0.01)))
    return [
        Scenario("cold caches: x1.5 slower for 10 min", cold, judge={"warm_up": "10m"}),
        Scenario("1% errors in the first minute", start, judge={"warm_up": "60s"}),
    ]


def everything() -> list[Scenario]:
    kinds = (
        _independent,
        _sessions,
        _retries,
        _targets,
        _wobbles,
        _shared,
        _mixes,
        _whole,
        _hang,
        _trickle,
        _fast,
        _base_rates,
        _small,
        _cold,
    )
    return [scenario for kind in kinds for scenario in kind()]
