"""Figures for monitoring: Prometheus' text, and CloudWatch's embedded metric format.

Sources: Prometheus, "Exposition formats"; CloudWatch User Guide, "Specification: Embedded metric
format".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, float]
NAMESPACE = "kirikae/jobs"
EVERY_S = 60.0
SECONDS = frozenset({"run_s", "late_s", "oldest_age_s"})
LEVELS = frozenset({"registered", "busy", "queue_depth", "dead_letters", "oldest_age_s"})
"""What rises and falls; everything else only rises."""


def prometheus(part: str, figures: Figures) -> str:
    """``part``: scheduler or worker.  Names as Prometheus wants them: totals, seconds."""
    lines = []
    for name, value in sorted(figures.items()):
        level = name in LEVELS
        full = f"kirikae_jobs_{name}"
        if name in SECONDS:
            full = f"kirikae_jobs_{name.removesuffix('_s')}_seconds"
        if not level:
            full += "_total"
        kind = "gauge" if level else "counter"
        lines += [f"# TYPE {full} {kind}", f'{full}{{part="{part}"}} {value:g}']
    return "\n".join(lines) + "\n"


def embedded(part: str, before: Figures, now: Figures, at: float) -> dict[str, Any]:
    """One line of a log that CloudWatch reads as metrics: what has come since ``before``."""
    values = {
        name: value if name in LEVELS else value - before.get(name, 0)
        for name, value in now.items()
    }
    metrics = [
        {"Name": name, "Unit": "Seconds" if name in SECONDS else "Count"} for name in sorted(values)
    ]
    directive = {"Namespace": NAMESPACE, "Dimensions": [["Part"]], "Metrics": metrics}
    return {
        "_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]},
        "Part": part,
        **values,
    }


def each_minute(
    part: str,
    figures: Callable[[], Figures],
    print_line: Callable[[Mapping[str, Any]], None],
    clock: Callable[[], float],
) -> Callable[[], None]:
    """Prints them until the answer is called, and once more then: a short life counts, too."""
    over = threading.Event()

    def go_on() -> None:
        before: Figures = {}
        ended = False
        while not ended:
            ended = over.wait(EVERY_S)
            now = dict(figures())
            print_line(embedded(part, before, now, clock()))
            before = now

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()

    return stop
