"""Figures in the shapes that monitoring reads."""

from __future__ import annotations

import urllib.request
from typing import Any

from kirikae.jobs import metrics
from kirikae.jobs.metrics import NAMESPACE, each_minute, embedded, prometheus
from kirikae.jobs.stats import Stats
from kirikae.jobs.worker import Counts
from tests.pace import eventually


def test_prometheus_gets_counters_seconds_and_levels():
    text = prometheus("worker", {"started": 3, "run_s": 1.5, "busy": 2})
    assert text.splitlines() == [
        "# TYPE kirikae_jobs_busy gauge",
        'kirikae_jobs_busy{part="worker"} 2',
        "# TYPE kirikae_jobs_run_seconds_total counter",
        'kirikae_jobs_run_seconds_total{part="worker"} 1.5',
        "# TYPE kirikae_jobs_started_total counter",
        'kirikae_jobs_started_total{part="worker"} 3',
    ]


def test_a_page_of_text_is_no_json():
    stats = Stats(("127.0.0.1", 0), {"/metrics": lambda: prometheus("worker", {"started": 1})})
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stats.port}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert answer.read().endswith(b'kirikae_jobs_started_total{part="worker"} 1\n')
    finally:
        stats.close()


def test_cloudwatch_gets_what_has_come_since_the_last_line():
    """Levels as they are; every figure is named with its unit."""
    line = embedded("scheduler", {"sent": 5, "registered": 9}, {"sent": 7, "registered": 9}, 12.5)
    assert (line["sent"], line["registered"], line["Part"]) == (2, 9, "scheduler")
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert line["_aws"]["Timestamp"] == 12_500 and directive["Namespace"] == NAMESPACE
    assert {each["Name"] for each in directive["Metrics"]} == {"sent", "registered"}
    assert directive["Dimensions"] == [["Part"]]


def test_the_last_minute_is_told_when_it_ends(monkeypatch):
    monkeypatch.setattr(metrics, "EVERY_S", 0.05)
    counts = Counts()
    lines: list[Any] = []
    stop = each_minute("worker", counts.to_plain, lines.append, lambda: 0.0)
    eventually(lambda: lines, "the first line")
    counts.started += 3
    stop()
    assert sum(line["started"] for line in lines) == 3
