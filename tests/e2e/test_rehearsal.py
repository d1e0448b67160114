"""The main job: the bookshop is moved under load, and its report keeps every promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.contract.test_local import Hammer, free_port

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1500)
def test_the_bookshop_moves_without_losing_a_request():
    """`make rehearse`, with a load generator of our own beside its virtual users."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples/bookshop/rehearse.py")],
        env={**os.environ, "REHEARSAL_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    hammer = Hammer(port, threads=1, pause_s=0.02)
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Act 1"):
            threading.Timer(1.0, hammer.__enter__).start()
        if line.strip() == "Summary":
            hammer.__exit__()
    told = "".join(lines)
    assert process.wait(timeout=60) == 0, told
    report = json.loads((ROOT / "rehearsal/report.json").read_text())
    assert report["broken"] == [] and report["outside"] == [] and report["sessions_lost"] == 0
    assert 0 < report["met_the_planted_fault"] < 200
    assert report["journal"][-1]["phase"] == "retired"
    assert report["facts"]["red_button_s"] < 2.5
    assert "<svg" in (ROOT / "rehearsal/report.html").read_text()
    # The independent generator asks for `/`, which neither the planted fault nor the killed task's
    # neighbours may hurt.
    assert hammer.count > 1000 and len(hammer.failures) <= 1, hammer.failures
