"""A second kind of move is one registered value: the project file, every verb, JSON and Japanese
know it, and nothing in ``src/`` does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.kinds import read_project
from kirikae.model.errors import ProjectProblem
from kirikae.traffic.kind import TRAFFIC
from tests.command import Ran, run
from tests.world import WORLD, known

PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://web1"]}
  new: {cluster: c, ecs_service: b, target_group: b}
moves:
  earth: {kind: world, file: world, advance: auto}
accepted:
  - {finding: SV01, where: web1, why: "no host in this test", by: "test", until: 2099-12-31}
"""
ARN = "arn:aws:iam::123456789012:user/sre"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, WORLD))
    # A second kind needs no AWS: only who we are is asked, and answered here.
    monkeypatch.setattr(Aws, "identity", lambda self, account: ARN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", "C.UTF-8")
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    return tmp_path


def plain(*words: str) -> dict[str, object]:
    return run(*words, "--json").json


def test_the_whole_way_of_a_second_kind(folder):
    """Plan, start, status, watch, explain, retire, history: none knows traffic."""
    planned = plain("move", "plan", "earth")
    assert planned["outcome"] == "done"
    assert [step["share"] for step in planned["steps"]] == ["10%", "50%", "100%"]
    assert planned["steps"][0]["turns"] == 1 and planned["found_share"] == 0
    started = run("move", "start", "earth")
    assert started.exit_code == 0, started.stderr
    assert "earth is settled at 100%" in started.stdout
    assert plain("move", "status", "earth")["found_share"] == 1000
    assert run("move", "status", "earth").stdout.splitlines()[-1] == "the file says 100%"
    assert "everything is on the new side" in run("move", "explain", "earth").stdout
    assert plain("move", "watch", "earth", "--once")["phase"] == "settled"
    retired = run("move", "retire", "earth")
    assert retired.exit_code == 0
    page = (folder / "removal-earth.md").read_text()
    assert page.startswith("# Remove the file of earth\n\n## What the survey saw on these hosts")
    told = [
        json.loads(line)
        for line in run("move", "history", "earth", "--json").stdout.split("\n")
        if line
    ]
    assert told[-1]["phase"] == "retired" and told[-1]["who"] == ARN
    proven = next(entry["evidence"] for entry in told if entry["evidence"])
    assert proven["reason"] == "judged pass"


def test_a_second_kind_speaks_japanese(folder):
    """Its own words, and the common ones where it has none."""
    ran = run("move", "plan", "earth", "--lang", "ja")
    assert "世界の一段階" in ran.stdout and "10%" in ran.stdout
    assert run("move", "start", "earth").exit_code == 0
    assert "新環境" in run("move", "explain", "earth", "--lang", "ja").stdout
    assert "ファイルでは 100%" in run("move", "status", "earth", "--lang", "ja").stdout


def test_what_stands_in_its_way_is_told_and_explained(folder):
    """A finding of its own catalogue: exit code 1 of plan, `explain CODE` in both languages."""
    text = PROJECT.replace("file: world,", "file: world, rain: true,")
    (folder / "kirikae.yml").write_text(text)
    ran = run("move", "plan", "earth", "--json")
    assert ran.exit_code == 1 and ran.json["findings"][0]["code"] == "WO01"
    assert "雨が降っている" in run("explain", "WO01", "--lang", "ja").stdout
    assert plain("explain", "wo01")["title"]["en"] == "it rains"


def test_the_red_button_knows_it_too(folder):
    """`--all` backs out what is live of any kind, and never says nothing."""
    nothing = run("back-out", "--all")
    assert nothing.exit_code == 0 and "no move of this project is live" in nothing.stdout
    assert run("move", "start", "earth").exit_code == 0
    pressed = run("back-out", "--all", "--json")
    assert pressed.exit_code == 4 and pressed.json["outcome"] == "backed out"
    assert (folder / "world").read_text().split()[-1] == "0"


def test_a_hold_whose_reason_sounds_like_a_back_out_is_none(folder):
    """Exit codes come from values: `hold --reason "backed out r3 by hand"` waits."""
    (folder / "kirikae.yml").write_text(PROJECT.replace("advance: auto", "advance: ask"))
    assert run("move", "start", "earth", "--detach").exit_code == 0
    assert run("move", "hold", "earth", "--reason", "backed out r3 by hand").exit_code == 0
    ran = run("move", "start", "earth", "--json")
    assert ran.exit_code == 5 and ran.json["outcome"] == "waiting"
    assert ran.json["held"] == "backed out r3 by hand" and ran.json["held_why"] == "by hand"


def test_a_project_file_that_names_another_thing_does_not_move_it(folder, monkeypatch):
    """What a move began with is written down; a changed file is told, and back-out still works."""
    assert run("move", "start", "earth", "--detach").exit_code == 0
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, _of_subject("another world")))
    ran = run("move", "start", "earth")
    assert ran.exit_code == 1 and "the world" in ran.stderr and "another world" in ran.stderr


def _of_subject(subject):
    def opened(settings, bench):
        thing = WORLD.open(settings, bench)
        thing.subject = subject
        return thing

    return replace(WORLD, open=opened)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("earth: {kind: worlds, file: x}", "`traffic`, `world`"),
        ("earth: {kind: world, fle: x}", "did you mean `file`"),
        ("earth: {file: x}", "`kind` must be given"),
        ("earth: {kind: world}", "moves.earth.file: this key must be given"),
    ],
)
def test_the_project_file_knows_the_keys_of_each_kind(folder, line, said):
    """A fault names file, line, key and remedy, whichever kind it is in."""
    text = PROJECT.replace("earth: {kind: world, file: world, advance: auto}", line)
    with pytest.raises(ProjectProblem) as caught:
        read_project(text, "kirikae.yml")
    assert said in str(caught.value) and "kirikae.yml:8: moves.earth" in str(caught.value)


def test_the_schema_and_the_doctor_know_it(folder):
    """`project schema` has its keys; doctor says what it turns."""
    schema = plain("project", "schema")["schema"]
    assert "WorldMove" in schema["$defs"]
    ran: Ran = run("doctor")
    assert "could change: world, the service c/b" in ran.stdout


def test_status_says_what_can_be_done_and_not_what_cannot(folder):
    """A driver would do nothing with a move that is held, settled or over."""
    run("move", "start", "earth", "--detach")
    run("move", "hold", "earth")
    held = run("move", "status", "earth").stdout
    assert "`kirikae move resume earth` lifts the hold" in held
    assert "you can: `kirikae move hold earth`, `kirikae move resume earth`" in held
    assert "takes over" not in held
    run("move", "resume", "earth")
    waiting = run("move", "status", "earth").stdout
    assert "`kirikae move start earth` takes over" in waiting and "resume" not in waiting
    run("move", "start", "earth")
    settled = run("move", "status", "earth").stdout
    assert "needs no driver" in settled and "`kirikae back-out earth`" in settled
    run("move", "retire", "earth")
    over = run("move", "status", "earth").stdout
    assert "it is over" in over and "you can" not in over
    assert plain("move", "status", "earth")["lawful"] == []


def test_a_kind_is_imported_when_a_move_of_it_is_met(tmp_path):
    """A deploy of a service that moves traffic alone waits for no other room."""
    file = tmp_path / "kirikae.yml"
    file.write_text(PROJECT.split("moves:")[0])
    code = (
        "import sys; from kirikae.console.context import load_project; "
        "from kirikae.console.here import Here; load_project(Here(sys.argv[1])); "
        "print([name for name in sys.modules if name.endswith('.kind')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "['kirikae.move.kind']\n"
