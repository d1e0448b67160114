"""``kirikae local`` where nothing runs: every verb answers, as text and as JSON with an outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import run


@pytest.mark.parametrize(
    ("words", "code", "outcome"),
    [
        (["status"], 1, "refused"),
        (["env"], 1, "refused"),
        (["logs"], 1, "refused"),
        (["interrupt-spot", "--percent", "50"], 1, "refused"),
        (["interrupt-spot", "--percent", "50", "--dry-run"], 1, "refused"),
        (["down"], 0, "nothing to do"),
        (["down", "--dry-run"], 0, "dry run"),
        (["up", "--dry-run"], 0, "dry run"),
        (["interrupt-spot", "--percent", "500"], 2, "wrong usage"),
    ],
)
def test_every_verb_answers_where_nothing_runs(tmp_path: Path, words, code, outcome):
    """Nothing is started and nothing is made, and both forms end with the same exit code."""
    place = tmp_path / "local"
    told = run("local", "--dir", str(place), *words, "--json")
    assert (told.exit_code, told.json["outcome"]) == (code, outcome)
    text = run("local", "--dir", str(place), *words)
    assert text.exit_code == code and (text.stdout or text.stderr).strip()
    assert not place.exists()


def test_status_says_how_to_start_it(tmp_path: Path):
    """On standard output, as before; the word for scripts is `running`."""
    place = str(tmp_path / "local")
    assert "`kirikae local up` starts it" in run("local", "--dir", place, "status").stdout
    assert run("local", "--dir", place, "status", "--json").json["running"] is False
