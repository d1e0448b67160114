"""Findings of guard for programs: SARIF with the reader's own files, JUnit's XML for CI."""

from __future__ import annotations

import json
from xml.etree import ElementTree as xml

import pytest

from tests import guarded
from tests.command import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faulty = guarded.changed(*guarded.PLANTED.values(), ((*guarded.APP, "image"), "{{ x }}"))
    tmp_path.joinpath("task.json").write_text(guarded.raw(faulty))
    tmp_path.joinpath("app 1.Dockerfile").write_text(guarded.DOCKERFILE.replace("999:997", "root"))
    return tmp_path


def test_sarif_names_the_file_and_the_line(folder, monkeypatch):
    """The exit code stays what it is; a rule for each code, a place for each finding."""
    done = run("guard", "check", "task.json", "app 1.Dockerfile", "--format", "sarif")
    assert done.exit_code == 6
    [ran] = json.loads(done.stdout)["runs"]
    assert {*guarded.PLANTED, "GD06"} == {rule["id"] for rule in ran["tool"]["driver"]["rules"]}
    places = [result["locations"][0]["physicalLocation"] for result in ran["results"]]
    assert {
        "artifactLocation": {"uri": "app%201.Dockerfile"},
        "region": {"startLine": 12},
    } in places
    assert {"artifactLocation": {"uri": "task.json"}} in places
    whole = str(folder / "task.json")
    assert '"uri": "task.json"' in run("guard", "check", whole, "--format", "sarif").stdout
    folder.joinpath("below").mkdir()
    monkeypatch.chdir(folder / "below")
    elsewhere = run("guard", "check", whole, "--format", "sarif").stdout
    assert f'"uri": "file://{whole}"' in elsewhere


def test_junit_fails_for_what_is_grave_and_skips_with_a_reason(folder):
    """Every check of every object is a case; a value that is open is no success."""
    done = run("guard", "check", "task.json", "--format", "junit")
    suite = xml.fromstring(done.stdout)
    cases = {case.get("name", "")[:4]: case for case in suite}
    assert int(suite.get("tests", "")) == len(cases)
    assert len(suite.findall(".//failure")) == int(suite.get("failures", "")) == 9
    assert cases["GD04"].find("skipped").get("message").startswith("not checked: app.image")
    assert cases["GD02"].find("skipped").get("message").startswith("fail: task.json#app.readonly")
    assert len(cases["FG10"]) == 0 and "hunter2" not in done.stdout


def test_hostile_names_stay_data(folder):
    """Control characters and markup in a container's name."""
    name = "<b>\u0007\u001b[31m&\ufffe"
    faulty = guarded.changed(((*guarded.APP, "name"), name), guarded.PLANTED["FG04"])
    folder.joinpath("t.json").write_text(guarded.raw(faulty))
    assert xml.fromstring(run("guard", "check", "t.json", "--format", "junit").stdout) is not None
    assert json.loads(run("guard", "check", "t.json", "--format", "sarif").stdout)
    assert "\u001b" not in run("guard", "check", "t.json").stdout
