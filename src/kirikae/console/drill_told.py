"""What an experiment says of itself: in sentences, and as data."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

from kirikae.console.drill_load import figures_plain, time_told
from kirikae.drill import slo
from kirikae.drill.advice import advice
from kirikae.drill.experiment import Experiment, Ran
from kirikae.drill.faults import Prepared
from kirikae.drill.fleet import Fleet
from kirikae.drill.watching import changes
from kirikae.drill.windows import WINDOWS, Cost, InWindow
from kirikae.model.said import Said, said


def expected_told(experiment: Experiment, fleet: Fleet, prepared: Prepared) -> Said:
    """Before it is made."""
    if prepared.detection_s is None:
        return said("drill.fault.not_foretold", fault=prepared.name, service=fleet.service)
    return said(
        "drill.fault.foretold",
        fault=prepared.name,
        service=fleet.service,
        rate=experiment.rate,
        share=prepared.share,
        seconds=prepared.detection_s,
        bad=experiment.rate * prepared.share * prepared.detection_s,
    )


def told_of(ran: Ran, cost: Cost) -> Iterator[Said]:
    """The cost first, the timeline after it, the verdict last."""
    for name in WINDOWS:
        figures = cost.windows[name]
        yield said(
            "drill.fault.window",
            name=said(f"drill.fault.{name}"),
            requests=figures.requests,
            p99=time_told(figures.percentile(99)),
            **figures.counts,
        )
    yield said("drill.fault.cost", bad=cost.bad, lost=cost.lost)
    if cost.recovery_s is None:
        yield said("drill.fault.not_recovered")
    else:
        yield said("drill.fault.recovered", seconds=cost.recovery_s)
    yield from _seen_told(cost)
    for at, what in timeline_of(ran):
        yield said("drill.fault.at", at=at - cost.span.begins, what=what)
    yield from map(in_window_told, cost.checked)
    yield from cost.doubts
    yield said(f"drill.{cost.word}") if cost.checked else said("drill.fault.unlimited")


def _seen_told(cost: Cost) -> Iterator[Said]:
    if cost.seen.detection_s is not None:
        yield said("drill.fault.detected", seconds=cost.seen.detection_s)
    if cost.seen.whole_s is None:
        yield said("drill.fault.not_whole")
    else:
        yield said("drill.fault.whole", seconds=cost.seen.whole_s)
    explained = cost.explained
    if cost.plausible is not None and explained is not None:
        key = "explained" if cost.plausible else "unexplained"
        yield said(f"drill.fault.{key}", bad=cost.bad, explained=explained)


def timeline_of(ran: Ran) -> list[tuple[float, Said]]:
    """What was done and what was seen, in order."""
    return sorted([*ran.timeline, *changes(ran.looks)], key=lambda each: each[0])


def in_window_told(each: InWindow) -> Said:
    """One limit in one window."""
    mark = {True: "holds", False: "broken", None: "unknown"}[each.holds]
    limit = each.limit
    found: object = said("drill.not_asked")
    if each.found is not None:
        found = f"{each.found:.3%}" if limit.share else f"{each.found:g}"
        if limit.figure in slo.OF_FAULTS:
            found = seconds_told(each.found)
        elif limit.figure not in (*slo.COUNTS, "rate"):
            found = time_told(each.found)
    window = said(f"drill.fault.{each.window or 'whole_run'}")
    return said(
        "drill.fault.limit",
        mark=said(f"drill.{mark}"),
        limit=limit.text,
        window=window,
        found=found,
    )


def seconds_told(found: float) -> object:
    return f"{found:.1f} s" if isfinite(found) else said("drill.fault.not_within")


def plain_of(ran: Ran, cost: Cost, fleet: Fleet, prepared: Prepared) -> dict[str, Any]:
    """The same as data; times in seconds from the fault on."""
    return {
        "verdict": cost.word if cost.checked else None,
        "fault": prepared.name,
        "service": fleet.service,
        "tasks": len(fleet.tasks),
        "hit": [task.arn for task in prepared.hit],
        "stopped_early": ran.stopped,
        "began_s": cost.span.begins,
        "ended_s": cost.span.ends,
        "windows": {name: figures_plain(figures) for name, figures in cost.windows.items()},
        "bad": cost.bad,
        "lost": cost.lost,
        "recovery_s": cost.recovery_s,
        "detection_s": cost.seen.detection_s,
        "whole_s": cost.seen.whole_s,
        "expected": {
            "share": cost.expected.share,
            "detection_s": cost.expected.detection_s,
            "bad": cost.expected.bad,
        },
        "explained": cost.explained,
        "plausible": cost.plausible,
        "limits": [
            {
                "limit": each.limit.text,
                "window": each.window or None,
                "found": each.found,
                "holds": each.holds,
            }
            for each in cost.checked
        ],
        "doubts": [each.to_plain() for each in cost.doubts],
        "advice": [each.to_plain() for each in advice(fleet, prepared, cost)],
        "timeline": [
            {"at_s": at - cost.span.begins, "what": what.to_plain()}
            for at, what in timeline_of(ran)
        ],
    }
