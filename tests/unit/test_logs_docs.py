"""The commands of the pages on logs, as a reader pastes them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs_place import LogsPlace

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)


def pasted(script: str, folder: Path) -> str:
    """By a shell that ends at the first error; ``kirikae`` is this checkout's."""
    home = folder / "bin"
    home.mkdir(exist_ok=True)
    program = home / "kirikae"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kirikae "$@"\n')
    program.chmod(0o755)
    path = f"{home}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial(tmp_path):
    """Three days of logs: moved, killed, proven; a lost and a doubled line are found."""
    told = pasted("\n".join(blocks("tutorial/move-logs.md")), tmp_path)
    assert "old/%Y/%m/%d/" in told and "C  6 objects" in told
    assert "6 were done before" in told
    assert "72 folders pass, 0 fail, 0 unsure" in told and "\n72\n" in told
    assert "70 folders pass, 2 fail, 0 unsure" in told
    assert "2026/03/10/04/" in told and "2026/03/11/20/" in told
    assert told.count("exit code 6") == 1
    assert "2 folders whose proof had failed made again" in told and "\n2\n" in told
    assert told.count("72 folders pass, 0 fail, 0 unsure") == 3
    assert "CREATE EXTERNAL TABLE" in told and "CREATE OR REPLACE VIEW" in told


def test_whoever_looks_at_a_rehearsal_s_data_asks_its_own_endpoint():
    """It lies beside the project: without the folder nothing is set, and AWS itself is asked."""
    pages = [page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md")]
    there = [page for page in pages if "cd .kirikae/rehearsal/project" in page]
    assert len(there) >= 3
    for page in there:
        assert "$(kirikae local --dir ../local env)" in page
        assert 'eval "$(kirikae local env)"' not in page


@pytest.fixture
def place(tmp_path: Path) -> LogsPlace:
    found = LogsPlace(tmp_path / "place")
    found.fill(days=2, count=200, faults=0)
    found.put("2026/11/21/unended.gz", b'1 - - [21/Nov/2026:10:00:00 +0900] "GET / HTTP/1.1" 200 1')
    found.backfill_and_verify()
    return found


def test_the_proof_repeated_with_the_tools_of_every_machine(place):
    """Equal; then a line that was lost and one that was doubled are shown."""
    if not shutil.which("gawk"):
        pytest.skip("GNU awk is not here")
    compare, places = blocks("how-to/prove-logs.md")[:2]
    told = pasted(compare, place.folder)
    assert told.splitlines()[0] == "the same lines, as often"
    assert told.splitlines()[-1].split()[0] == str(place.old_lines().total())
    assert pasted(places, place.folder).strip() == "0"
    key = next(key for key in place.tree() if key.endswith(".gz"))
    altered = f"zcat -f new/{key} | sed 1d >x; zcat -f new/{key} | sed -n 2p >>x"
    pasted(f"{altered}; gzip <x >new/{key}; rm x", place.folder)
    told = pasted(compare.replace("cmp old", "! cmp old"), place.folder)
    assert len([line for line in told.splitlines() if " - " in line]) == 2
    other = key.replace(key[: key.rfind("/")], "2026/01/01/00")
    pasted(f"mkdir -p new/2026/01/01/00; mv new/{key} new/{other}", place.folder)
    assert int(pasted(places, place.folder)) > 0
