"""The old side's targets by its access log: each stands for a new side, the others for the old."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import pytest

from kirikae.aws import logs_bucket
from kirikae.aws.elbv2 import TargetGroup
from kirikae.aws.errors import NotThere
from kirikae.move.judge import Margins
from kirikae.traffic import access_log
from kirikae.traffic.access_log import AccessLog, Request, Votes
from kirikae.traffic.alike import Alike, Parts, against_itself, bounds_of
from kirikae.traffic.batches import Arm
from kirikae.traffic.by_target import ByTarget, by_target
from kirikae.traffic.forecast import Today
from kirikae.traffic.past import Past
from tests.unit.test_access_log import LINE, OLD
from tests.unit.test_figures import facts

BOUNDS = (0.1, 0.25)


def asked_by(rng: random.Random, at: float, target: str, bad: float = 0.2) -> Request:
    """A client of twelve, with two of which most requests are."""
    return Request(
        at,
        "old",
        f"client {int(12 * rng.random() ** 3)}",
        rng.random() < bad,
        rng.choice((None, 0.05, 0.1, 0.2, 1.0)),
        "/",
        rng.random() < 0.1,
        rng.random() < 0.3,
        target,
    )


def alike(one: Arm, other: Arm) -> bool:
    """Both add up parts of votes, in another order."""
    plain = [one.requests, one.errors, one.rejected, *one.within.values(), *one.mix.values()]
    other_plain = [other.requests, other.errors, other.rejected]
    other_plain += [*other.within.values(), *other.mix.values()]
    return plain == pytest.approx(other_plain, abs=5e-6) and one.served == other.served


@pytest.mark.parametrize("per_client", [True, False])
def test_a_target_and_the_others_are_counted_as_the_sides_of_a_move_are(per_client):
    """The same votes, were the target the new side and all others the old one."""
    rng = random.Random(4)
    requests = [asked_by(rng, 30.0, rng.choice("abc")) for _ in range(300)]
    counted = ByTarget(60.0, BOUNDS, per_client)
    for request in requests:
        counted.add(request)
    counted.close(0.0)
    assert counted.asked == 300
    for target in "abc":
        votes = Votes(per_client)
        for request in requests:
            votes.add(request._replace(side="new" if request.target == target else "old"))
        sides = votes.routes({"old": BOUNDS, "new": BOUNDS})[""]
        assert alike(counted.alone[target][0], sides["new"])
        assert alike(counted.others[target][0], sides["old"])


def test_what_no_target_was_asked_for_and_what_came_too_late_is_nobody_s():
    """503 of the balancer itself; a minute that is not over."""
    counted = ByTarget(119.0, BOUNDS, True)
    rng = random.Random(1)
    for at, target in ((30.0, "a"), (30.0, ""), (70.0, "a")):
        counted.add(asked_by(rng, at, target))
    counted.close(0.0)
    assert counted.asked == 1 and list(counted.alone["a"]) == [0]


ENDS = {"0900": 1795251600.0, "0905": 1795251900.0, "0910": 1795252200.0}


def log_of(monkeypatch: pytest.MonkeyPatch, files: dict[str, list[str] | None]) -> AccessLog:
    keys = {f"app.shop.1_20261121T{end}Z_10.0.0.1_x.log.gz": end for end in sorted(files)}
    monkeypatch.setattr(logs_bucket, "files", lambda *_: list(keys))
    monkeypatch.setattr(logs_bucket, "lines", lambda aws, place, key: files[keys[key]])
    group = TargetGroup(OLD, "old")
    return AccessLog(None, None, group, TargetGroup(OLD + "x", "new"), 60, (), False)


def line(at: str, target: str = "10.0.0.5:80") -> str:
    text = LINE.format(took="0.1", status=200, target="200", path="/")
    text = text.replace("2026-11-21T03:00:05.000000Z", f"2026-11-21T{at}.000000Z")
    return text.replace("10.0.0.5:80 0.001", f"{target} 0.001")


def test_a_minute_counts_when_all_its_files_are_read(monkeypatch):
    """A request of 09:04 that ended after 09:05 stands in the next file."""
    files = {
        "0905": [line("09:01:05"), line("09:04:05", "10.0.0.6:80"), "nonsense"],
        "0910": [line("09:04:59"), line("09:06:00")],
        "0900": None,
    }
    log = log_of(monkeypatch, files)
    counted = by_target(log, ENDS["0910"], BOUNDS)
    at_0900 = int(ENDS["0900"])
    requests = {
        target: {(stamp - at_0900) // 60: arm.requests for stamp, arm in series.items()}
        for target, series in counted.alone.items()
    }
    assert requests == {"10.0.0.5:80": {1: 1, 4: 1, 6: 1}, "10.0.0.6:80": {4: 1}}
    monkeypatch.setattr(access_log, "MOST_LINES", 2)
    latest = by_target(log, ENDS["0910"], BOUNDS)
    assert latest.asked == 0, "more than is read: no minute of the only file is known to be whole"


def burst(ends: int, files: int, rps: int) -> dict[str, list[str] | None]:
    """Log files of five minutes; now and then half of what is asked in a minute fails."""
    found: dict[str, list[str] | None] = {}
    for file in range(files):
        minutes = range(5 * file, 5 * file + 5)
        lines = []
        for minute, n in product(minutes, range(rps * 6)):
            text = line(f"{9 + minute // 60:02}:{minute % 60:02}:{n % 60:02}")
            text = text.replace("203.0.113.7", f"203.0.113.{n}")
            failed = minute in (3, 4, 5, 17, 31) and n % 2
            lines.append(text.replace(" 200 200 ", " 500 500 ") if failed else text)
        ended = ends + 5 * (file + 1)
        found[f"{9 + ended // 60:02}{ended % 60:02}"] = lines
    return found


@pytest.mark.parametrize("per_client", [False, True])
def test_the_day_before_tells_how_errors_come_together(monkeypatch, per_client):
    """A move that reads the log is told of bursts before its first step, as by CloudWatch."""
    log = log_of(monkeypatch, burst(0, 8, 2))
    log.per_client = per_client
    until = ENDS["0900"] + 40 * 60
    told = log.past(until, {"latency": 1.0})
    assert told["latency"] == 0.0
    assert told["errors"] > 0.1
    monkeypatch.setattr(logs_bucket, "files", lambda *_: [])
    assert log.past(until, {"latency": 1.0}) == {}, "not known is not 0"


# --- the judge on them


def targets(bad: Callable[[str], float], minutes: int = 90) -> Parts:
    """Four targets of 150 requests a minute each."""
    rng = random.Random(9)
    counted = ByTarget(60.0 * minutes, (), False)
    for minute in range(minutes):
        for target in "abcd":
            for n in range(150):
                failed = rng.random() < bad(target)
                counted.add(Request(60.0 * minute, "old", f"{n}", failed, 0.1, "/", target=target))
    counted.close(0.0)
    return Parts(
        60.0,
        counted.alone,
        counted.asked,
        {},
        {},
        "targets",
        counted.others,
    )


def test_targets_that_are_alike_are_not_failed_against_each_other_and_a_bad_one_is():
    """A plan says so with the number of targets."""
    found = against_itself(Margins(), targets(lambda _: 0.002))
    assert found is not None and (found.of, found.compared, found.failed) == ("targets", 4, 0)
    broken = against_itself(Margins(), targets(lambda name: 0.1 if name == "b" else 0.002))
    assert broken is not None and broken.failed > 0
    told = facts(Today(50.0, 0.001, {}, {}), broken)["against_itself"]
    assert f"one of its 4 targets harmful {broken.failed} time(s)" in told and "1.5 h" in told


def test_two_zones_of_one_size_are_judged_by_their_times():
    """Twice as slow is found, whatever share exactly arrives at each of the two."""
    tau = {"p50": 0.1, "p95": 0.3, "p99": 0.5}
    bounds = bounds_of(Margins(), tau)
    fast = {bound: 1500 if bound < 0.2 else 2990 for bound in bounds}
    slow = {bound: 700 if bound < 0.2 else 2700 for bound in bounds}
    by_name = {
        name: {60 * minute: Arm(3000, 3, None, within) for minute in range(90)}
        for name, within in (("a", fast), ("b", slow))
    }
    found = against_itself(Margins(), Parts(60.0, by_name, 2 * 90 * 3000, tau, {}))
    assert found is not None and found.failed > 0
    even = dict.fromkeys("ab", by_name["a"])
    calm = against_itself(Margins(), Parts(60.0, even, 2 * 90 * 3000, tau, {}))
    assert calm is not None and calm.failed == 0 and "p50" in calm.dispersion


class Days:
    """A CloudWatch that knows two days."""

    def days(self, until: float, bounds: object) -> dict[str, dict[int, Arm]]:
        return {name: {60 * minute: Arm(3000, 3) for minute in range(90)} for name in "yz"}


class Refused:
    """A log that may not be read."""

    per_client = False

    def back_from(self, until: float) -> Iterator[None]:
        raise NotThere("ListObjectsV2", "AccessDenied", "no")


def test_a_log_that_names_no_two_targets_leaves_zones_or_days(monkeypatch):
    """So does one that may not be read: the plan is made all the same."""
    zones = replace(targets(lambda _: 0.002), of="zones")
    one = Parts(60.0, {}, 0, {}, {})
    log = log_of(monkeypatch, {"0905": [line("09:01:05")]})
    for unknown in (log, Refused(), None):
        past = Past(zones, Days(), unknown, Margins(), ENDS["0910"])
        assert past.parts().of == "zones"
        assert replace(past, zones=one).parts().of == "days"


def test_what_a_plan_says_of_targets_is_a_figure():
    """Also in JSON."""
    assert Alike(4, 1, 2.25, {"errors": 3.0}, "targets").to_plain()["parts"] == "targets"
