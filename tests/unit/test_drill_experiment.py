"""One experiment with real load and an engine of our own: written down, made, undone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from kirikae.console.drill_fault import Made
from kirikae.console.drill_load import speech_of
from kirikae.console.drill_page import page_of_day
from kirikae.console.here import Here
from kirikae.drill.acts import Act, Ground, carry_out
from kirikae.drill.agent import started
from kirikae.drill.engine import Settings
from kirikae.drill.errors import CannotBeDone
from kirikae.drill.experiment import Experiment, _of_machine, run, standing_of
from kirikae.drill.faults import Asked, prepare
from kirikae.drill.targets import target
from kirikae.drill.undoing import Undoings
from kirikae.model.errors import KirikaeError
from tests.unit.test_drill_engine import serving
from tests.unit.test_drill_faults import FLEET


class SilentAws:
    """AWS that does not answer: what was not seen is not told."""

    def client(self, service):
        raise KirikaeError(f"{service} does not answer")


class OwnEngine:
    """Keeps what it is asked for, and what was written down by then."""

    def __init__(self, undoings, refuses=False):
        self.undoings = undoings
        self.refuses = refuses
        self.done = []

    def has_container(self, name):
        return True

    def act(self, *words):
        if words[0] == "inspect":
            return "paused"
        self.done.append((words[0], [each.fault for each in self.undoings.standing()]))
        if self.refuses and words[0] == "pause":
            raise KirikaeError("the engine does not pause")
        return ""


def broken(tmp_path, path="/ok", refuses=False, **changed):
    undoings = Undoings(tmp_path)
    engine = OwnEngine(undoings, refuses)
    experiment = Experiment(
        **{"rate": 50, "before_s": 0.5, "lasts_s": 0.5, "after_s": 1.5, "warm_s": 0, **changed}
    )
    prepared = prepare("hang-task", FLEET, Asked("m1"))
    with serving() as base:
        ran = run(
            experiment,
            FLEET,
            prepared,
            standing_of("m1", "web", "here", prepared, 0.0),
            Ground(SilentAws(), engine),
            undoings,
            [target("GET", base + path, "test")],
            Settings(timeout_s=1.0),
        )
    return ran, engine, prepared, experiment


def test_it_is_written_down_made_and_undone(tmp_path):
    """While the fault is made its undoing is in the file; afterwards the file is gone."""
    ran, engine, _, _ = broken(tmp_path)
    assert engine.done == [("pause", ["hang-task"]), ("unpause", ["hang-task"])]
    assert engine.undoings.standing() == []
    assert ran.cost is not None
    assert sum(figures.requests for figures in ran.cost.windows.values()) == 125
    assert (ran.cost.seen.detection_s, ran.cost.seen.whole_s) == (None, None)


def test_a_fault_that_cannot_be_made_is_undone_all_the_same(tmp_path):
    """A busy engine is asked again; the fault may have been made by half; the load ends."""
    ran, engine, _, _ = broken(tmp_path, refuses=True, lasts_s=600)
    assert [word for word, _ in engine.done] == ["pause"] * 4 + ["unpause"]
    assert ran.cost is None
    assert "does not pause" in str(ran.trouble)
    assert engine.undoings.standing() == []


def test_too_many_bad_requests_end_the_fault_early(tmp_path):
    """No request is answered: it is undone long before its time, and the load ends soon after."""
    ran, engine, _, _ = broken(tmp_path, "/empty", stop_at=0.5, lasts_s=600, before_s=0.1)
    assert ran.stopped
    assert [word for word, _ in engine.done] == ["pause", "unpause"]


@pytest.mark.parametrize("path", ["/empty", "/teapot", "/hang"])
def test_what_is_ill_already_is_not_broken_further(tmp_path, path):
    """Lost, wrong, or no answer for two seconds: no fault is made, and nothing is written down."""
    ran, engine, _, _ = broken(tmp_path, path, stop_at=0.5, lasts_s=600, before_s=3)
    assert engine.done == []
    assert ran.cost is None
    assert "was not well before it" in str(ran.trouble)
    assert engine.undoings.standing() == []


def test_the_page_is_one_file_with_its_pictures_in_it(tmp_path):
    """Nothing is loaded from elsewhere, and every picture can be read."""
    ran, _, prepared, experiment = broken(tmp_path)
    made = Made((), ran, (), ran.cost, FLEET, prepared, experiment)
    for language in ("en", "ja"):
        page = page_of_day(
            [made],
            [("fis", "<not here>"), ("az-loss", "az-loss: one")],
            speech_of(Here(), language),
        )
        assert not re.search(r"src=|url\(|<script|<link|href=.http", page)
        assert "<not here>" not in page
        assert "<li>fis: &lt;not here&gt;</li>" in page and "<li>az-loss: one</li>" in page
        assert (">正常</text>" in page) == (language == "ja")
        pictures = re.findall(r"<svg.*?</svg>", page, re.S)
        assert len(pictures) == 2
        for each in pictures:
            ElementTree.fromstring(each)


def test_only_the_driver_that_was_meant_is_killed(tmp_path):
    """Process IDs are used again: one that began at another time is left alone."""
    driver = subprocess.Popen(["sleep", "600"])
    try:
        ground = Ground(SilentAws(), OwnEngine(Undoings(tmp_path)))
        with pytest.raises(CannotBeDone, match="no longer the driver"):
            carry_out(ground, Act("kill_process", {"pid": driver.pid, "started": "1"}))
        assert driver.poll() is None
        meant = Asked("m1", driver=(driver.pid, started(driver.pid)))
        for act in prepare("kirikae-loss", FLEET, meant).inject:
            carry_out(ground, act)
        assert driver.wait() == -signal.SIGKILL
    finally:
        driver.kill()
        driver.wait()


def test_a_machine_that_everybody_wants_is_a_doubt_where_the_service_runs_on_it():
    """At a load of 20 on two cores requests are lost that no fault cost; on AWS it is no matter."""
    cores = os.cpu_count() or 1
    assert list(_of_machine(FLEET, 4.0 * cores)) == []
    (doubt,) = _of_machine(FLEET, 10.0 * cores)
    assert doubt.key == "drill.doubt.machine"
    elsewhere = replace(FLEET, tasks=tuple(replace(task, engine_id="") for task in FLEET.tasks))
    assert list(_of_machine(elsewhere, 10.0 * cores)) == []
