"""The main job: the bookshop is moved under load, and its report keeps every promise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kirikae.local.files import free_port
from tests.pace import ended
from tests.shop import Hammer
from tests.tidy import OnThisMachine, processes_left

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
STATE = ROOT / ".kirikae" / "rehearsal"


def rehearsal(port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples/bookshop/rehearse.py")],
        env={**os.environ, "REHEARSAL_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def assert_nothing_is_left(before: OnThisMachine) -> None:
    assert OnThisMachine.now().left_since(before) == []
    assert [process for process in processes_left() if str(STATE) in process] == []
    assert not STATE.exists()


@pytest.mark.timeout(3600)  # it gives up by itself where nothing moves
def test_the_bookshop_moves_without_losing_a_request():
    """`make rehearse`, with a load generator of our own beside its virtual users."""
    before = OnThisMachine.now()
    port = free_port()
    process = rehearsal(port)
    lines: list[str] = []
    hammer = Hammer(port, threads=1, pause_s=0.02)
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Act 1 "):
            threading.Timer(1.0, hammer.__enter__).start()
        if line.strip() == "Summary":
            hammer.__exit__()
    told = "".join(lines)
    assert ended(process) == 0, told
    report = json.loads((ROOT / "rehearsal/report.json").read_text())
    assert report["broken"] == [] and report["outside"] == [] and report["sessions_lost"] == 0
    assert 0 < report["met_the_planted_fault"] < 200
    assert report["journal"][-1]["phase"] == "retired"
    # The driver's answer, and what a command takes here: measured a moment apart, so wide.
    facts = report["facts"]
    crontab = facts["crontab"]
    assert crontab["once"] == crontab["due"] > crontab["on_ecs"] > 0
    letters = facts["letters"]
    assert letters["once"] == letters["asked"] > letters["on_ecs"] > 0
    logs = facts["logs"]
    assert logs["missing"] == 0 < logs["now"] and logs["counted"] > 0
    assert logs["shares"] == ["10%", "50%", "100%"] and logs["lost"] != logs["doubled"]
    assert facts["red_button_s"] < 5 + 4 * facts["status_s"]
    assert "<svg" in (ROOT / "rehearsal/report.html").read_text()
    # The independent generator asks for `/`, which neither the planted fault nor the killed task's
    # neighbours may hurt.
    assert hammer.count > 500 and len(hammer.failures) <= 1, hammer.failures
    assert_nothing_is_left(before)


@pytest.mark.parametrize(
    ("number", "at"),
    [(signal.SIGINT, "kirikae local answers"), (signal.SIGTERM, "the shop is at")],
)
def test_a_rehearsal_that_is_stopped_leaves_nothing(number, at):
    """While machines boot, and under load: no container, network, process or file stays."""
    before = OnThisMachine.now()
    process = rehearsal(free_port())
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if at in line:
            process.send_signal(number)
    assert ended(process) == 128 + number, "".join(lines)
    assert "what was made is removed" in "".join(lines)
    assert_nothing_is_left(before)
