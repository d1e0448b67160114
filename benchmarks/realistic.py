"""What kirikae's judge and its peers make of traffic as services have it: a table of scenarios,
healthy and harmful.

``python benchmarks/realistic.py --runs 24 --only sessions --json``.  Every tool climbs the same
ladder in the same worlds (benchmarks/worlds.py), its own share decides who asks which side; all
read the same figures once a minute (benchmarks/climbers.py, benchmarks/scenarios.py).
Deterministic by seed.  With ``--keep FILE --for 500`` it measures for so many seconds, and the next
call goes on; ``--for 0`` shows what was measured so far.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.climbers import PEERS, Climb, Climber, End, Kirikae, climb
from benchmarks.kept import Kept
from benchmarks.scenarios import HOUR, Scenario, everything
from benchmarks.worlds import World

OURS = "kirikae"
TOOLS = (OURS, *PEERS)
PEERS_LAST_H = 12
WEEKS_H = 10_000


def climber_of(tool: str, scenario: Scenario) -> Climber:
    if tool == OURS:
        outages = scenario.traffic.outages
        targets = (outages.old, outages.new) if outages else (1, 1)
        return Kirikae(scenario.settings(), scenario.sticky, targets)
    return PEERS[tool](scenario.plan)


def run(tool: str, scenario: Scenario, seed: str, most_hours: int = WEEKS_H) -> Climb:
    world = World(f"{seed}/{scenario.name}", scenario.traffic)
    hours = min(most_hours, scenario.hours if tool == OURS else PEERS_LAST_H)
    return climb(climber_of(tool, scenario), world, hours * HOUR)


@dataclass(frozen=True)
class Row:
    """One tool in one scenario.

    ``reasons``: what the runs that neither ended nor backed out wait for.
    """

    scenario: str
    harmful: bool
    tool: str
    runs: int
    done: int
    out: int
    open: int
    minutes: float
    exposed: float
    reasons: dict[str, int]
    reached: dict[str, int]
    """Where those that backed out stood."""

    @property
    def false(self) -> bool:
        """A healthy side was backed out in more than 1% of the runs."""
        return not self.harmful and self.out > 0.01 * self.runs

    @property
    def missed(self) -> bool:
        """Harm was not found in some run."""
        return self.harmful and self.out < self.runs

    def to_plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def row_of(scenario: Scenario, tool: str, climbs: Sequence[Climb]) -> Row:
    ends = Counter(each.end for each in climbs)
    right = End.OUT if scenario.harmful else End.DONE
    told = [each for each in climbs if each.end is right] or climbs
    return Row(
        scenario.name,
        scenario.harmful,
        tool,
        len(climbs),
        ends[End.DONE],
        ends[End.OUT],
        ends[End.OPEN],
        median(each.minutes for each in told),
        median(each.exposed for each in told),
        _reasons(climbs),
        _reached(climbs),
    )


def _reasons(climbs: Sequence[Climb]) -> dict[str, int]:
    return dict(Counter(each.reason for each in climbs if each.end is End.OPEN))


def _reached(climbs: Sequence[Climb]) -> dict[str, int]:
    out = [each.reached for each in climbs if each.end is End.OUT]
    return dict(Counter(f"{share / 10:g}%" for share in sorted(out)))


def measure(
    scenarios: Sequence[Scenario],
    runs: Callable[[str], int],
    seed: str,
    tools: Sequence[str] = TOOLS,
    most_hours: int = WEEKS_H,
    kept: Kept | None = None,
) -> Iterator[Row]:
    """A row for each that has runs."""
    kept = kept or Kept()
    for scenario in scenarios:
        for tool in tools:
            climbs = []
            for number in range(runs(tool)):
                each = f"{seed}/{number}"
                climbing = partial(run, tool, scenario, each, most_hours)
                found = kept.climb(f"{tool}/{scenario.name}/{each}", climbing)
                if found is not None:
                    climbs.append(found)
            if climbs:
                yield row_of(scenario, tool, climbs)


def _cell(row: Row) -> str:
    parts = "/".join(f"{n / row.runs:.2f}" for n in (row.done, row.out, row.open))
    took = f"{row.minutes:.0f} min" if row.minutes < 600 else f"{row.minutes / 60:.0f} h"
    waits = ", ".join(f"{reason} {n}" for reason, n in row.reasons.items())
    where = ", ".join(f"{share} {n}" for share, n in row.reached.items())
    told = f"{parts}  {took}  {row.exposed:,.0f}"
    if row.out:
        told += f"  [out at {where}]"
    return told + (f"  [open: {waits}]" if row.reasons and row.tool == OURS else "")


def line_of(row: Row) -> str:
    truth = "harmful" if row.harmful else "healthy"
    return f"{row.scenario:<48} {truth}  {row.tool:<13} {row.runs:>4} runs  {_cell(row)}"


def summary(rows: Sequence[Row]) -> list[str]:
    """By tool: where it is wrong about a healthy side, and where it finds harm too seldom."""
    told = []
    for tool in dict.fromkeys(row.tool for row in rows):
        mine = [row for row in rows if row.tool == tool]
        harmful = sum(row.harmful for row in mine)
        false = sum(row.false for row in mine)
        missed = sum(row.missed for row in mine)
        told.append(
            f"{tool:<13} backs out of more than 1% in {false} of {len(mine) - harmful} healthy "
            f"scenarios, does not find all in {missed} of {harmful} harmful ones"
        )
    return told + beaten(rows)


def beaten(rows: Sequence[Row]) -> list[str]:
    """Where a peer that finds the harm exposes fewer requests; whether it is comparable: it leaves
    the healthy side of the same traffic alone."""
    told = []
    by = {(row.scenario, row.tool): row for row in rows}
    twins = {scenario.name: scenario.twin for scenario in everything()}
    for row in rows:
        ours = by.get((row.scenario, OURS))
        if ours is None or row.tool == OURS or not _exposes_less(row, ours):
            continue
        twin = by.get((twins[row.scenario], row.tool))
        wrong = f", but backs out of {twin.out} of {twin.runs} healthy" if twin and twin.out else ""
        told.append(
            f"{row.scenario}: {row.tool} exposes {row.exposed:,.0f} (finds {row.out} of "
            f"{row.runs}{wrong}), {OURS} {ours.exposed:,.0f}"
        )
    return told


def _exposes_less(row: Row, ours: Row) -> bool:
    finds = row.harmful and row.out * 2 >= row.runs
    return finds and (row.exposed < ours.exposed or not ours.out)


def _arguments(asked: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=24, help="runs of kirikae's judge")
    parser.add_argument("--peer-runs", type=int, help="runs of each peer; default: --runs")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", default="", help="scenarios whose name holds this text")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--healthy", action="store_true", help="healthy scenarios only")
    parser.add_argument("--harmful", action="store_true", help="harmful scenarios only")
    parser.add_argument("--hours", type=int, default=WEEKS_H, help="the most of one run")
    parser.add_argument(
        "--long-bake", default="24h", help="before 100%%, where nights do not matter"
    )
    parser.add_argument("--keep", type=Path, help="a file of climbs, read and added to")
    parser.add_argument("--for", dest="seconds", type=float, help="begin no run after so long")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(asked)


def baked_for(scenario: Scenario, long_bake: str) -> Scenario:
    """With another long bake, where the scenario asks for none itself."""
    return replace(scenario, judge={"long_bake": long_bake} | dict(scenario.judge))


def _scenarios(given: argparse.Namespace) -> list[Scenario]:
    return [
        baked_for(scenario, given.long_bake)
        for scenario in everything()
        if given.only in scenario.name
        and not (given.healthy and scenario.harmful)
        and not (given.harmful and not scenario.harmful)
    ]


def main(asked: Sequence[str] | None = None) -> int:
    given = _arguments(asked)
    tools = [tool for tool in TOOLS if tool in given.tools.split(",")]

    def runs(tool: str) -> int:
        return given.runs if tool == OURS or given.peer_runs is None else given.peer_runs

    scenarios = _scenarios(given)
    shown = sys.stderr if given.json else sys.stdout
    print(
        f"{os.cpu_count()} cores; done / backed out / open, median time and requests on the new "
        "side of those that went right",
        file=shown,
    )
    rows: list[Row] = []
    until = None if given.seconds is None else time.monotonic() + given.seconds
    kept = Kept(given.keep, until)
    for row in measure(scenarios, runs, given.seed, tools, given.hours, kept):
        rows.append(row)
        place = f"{len(rows)}/{len(scenarios) * len(tools)}"
        print(f"{place:>7} {line_of(row)}", file=shown, flush=True)
    if given.json:
        plain = {"cores": os.cpu_count(), "rows": [row.to_plain() for row in rows]}
        print(json.dumps(plain, indent=1))
    else:
        print("\n".join(summary(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
