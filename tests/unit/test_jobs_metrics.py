"""Figures in the shapes that monitoring reads."""

from __future__ import annotations

import urllib.request
from typing import Any

from kirikae.aws.sqs import Outgoing
from kirikae.jobs import metrics
from kirikae.jobs.job import Owner
from kirikae.jobs.ledger import Claim
from kirikae.jobs.levels import Levels
from kirikae.jobs.metrics import NAMESPACE, each_minute, embedded, prometheus
from kirikae.jobs.stats import Stats
from kirikae.jobs.worker import Counts
from tests.pace import eventually
from tests.unit.test_jobs_scheduler import NOON, Place, jobs
from tests.unit.test_jobs_scheduler import place as scheduling

place = scheduling


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


def test_the_oldest_firing_that_waits_has_an_age_and_dead_letters_are_counted(place: Place):
    """It grows while nobody begins it, and is 0 when nothing waits; a firing of the old side waits
    for nobody."""
    table = jobs("# kirikae: id=a\n* * * * * a\n# kirikae: id=theirs\n* * * * * b\n")
    place.ledger.own(["theirs"], Owner.OLD)
    place.machine(table).look()
    queue = place.server.queue("other.fifo", dead="dead.fifo")
    queue.send([Outgoing("nobody can work on it", "a", "1")])
    levels = Levels(place.ledger, queue)
    place.clock.now += 90
    found = levels.figures()
    assert found == {"queue_depth": 1, "dead_letters": 0, "oldest_age_s": 90}
    place.clock.now += 30
    assert levels.figures()["oldest_age_s"] == 120
    place.ledger.claim(Claim("a", NOON, Owner.NEW, "w1"))
    assert levels.figures()["oldest_age_s"] == 0
    for _ in range(4):
        queue.receive(1, 0, 0)
    assert levels.figures()["dead_letters"] == 1


def test_a_level_that_cannot_be_asked_is_left_out(place: Place):
    """Missing is not zero."""
    levels = Levels(place.ledger, place.queue)
    assert levels.figures() == {"queue_depth": 0, "oldest_age_s": 0}
    place.server.away = True
    assert levels.figures() == {"oldest_age_s": 0}
    text = prometheus("scheduler", {"oldest_age_s": 12.5, "dead_letters": 2})
    assert 'kirikae_jobs_oldest_age_seconds{part="scheduler"} 12.5' in text
    assert "# TYPE kirikae_jobs_dead_letters gauge" in text
