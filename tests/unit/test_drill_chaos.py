"""Experiments of the Chaos Toolkit: what is carried out, and what is refused by its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kirikae.drill.chaos import read
from kirikae.drill.errors import ExperimentProblem

FILE = Path(__file__).parents[1] / "data" / "chaos" / "stop-task.json"


def test_an_experiment_is_a_fault_its_targets_and_its_hypothesis():
    """Configuration is filled in; the pause after the action is how long the fault lasts."""
    found = read(FILE, {"SHOP_URL": "http://127.0.0.1:18080"})
    assert found.fault == "kill-task"
    assert found.options == {"cluster": "bookshop", "service": "bookshop-web", "count": "1"}
    assert [each.url.geturl() for each in found.targets] == ["http://127.0.0.1:18080/"]
    assert found.targets[0].expected == {200}
    assert found.limits == ("errors@before==0", "errors@after==0")
    assert found.watches_whole
    assert found.lasts_s == 15


def test_without_the_variable_its_default_counts():
    """As the Chaos Toolkit does."""
    assert read(FILE, {}).targets[0].url.hostname == "shop.example"


def altered(tmp_path, change):
    raw = json.loads(FILE.read_text())
    change(raw)
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(raw, indent=1))
    return file


def process(raw):
    raw["method"][0]["provider"] = {"type": "process", "path": "rm"}


def second(raw):
    raw["method"].append(raw["method"][0])


def unknown(raw):
    raw["method"][0]["provider"]["func"] = "delete_cluster"


def argument(raw):
    raw["method"][0]["provider"]["arguments"]["filters"] = "x"


def tolerance(raw):
    raw["steady-state-hypothesis"]["probes"][0]["tolerance"] = {"type": "regex", "pattern": "ok"}


def body(raw):
    raw["steady-state-hypothesis"]["probes"][0]["provider"]["arguments"] = {"q": 1}


def rollback(raw):
    raw["rollbacks"] = [raw["method"][0]]


def blank(raw):
    raw["method"][0]["provider"]["arguments"]["cluster"] = "${nowhere}"


def probe(raw):
    raw["method"].append({"type": "probe", "name": "x", "provider": {"type": "http"}})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (process, "the provider 'process' is not supported"),
        (second, "one fault at a time"),
        (unknown, "chaosaws.ecs.actions.delete_cluster is not supported; supported are"),
        (argument, "the argument filters is not supported"),
        (tolerance, "is not supported; it is a status code"),
        (body, "http: arguments is not supported"),
        (rollback, "the rollback chaosaws.ecs.actions.stop_random_tasks is not supported"),
        (blank, "is not in the configuration"),
        (probe, "put it into the hypothesis"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_file_and_line(tmp_path, change, says):
    """Never skipped."""
    file = altered(tmp_path, change)
    with pytest.raises(ExperimentProblem, match=says) as refused:
        read(file, {})
    place, _, _ = str(refused.value).partition(": ")
    line = int(place.removeprefix(f"{file}:"))
    assert file.read_text().splitlines()[line - 1].strip()


@pytest.mark.parametrize("text", ["", "[]", "{", "a: 1", "{'method': []}"])
def test_what_is_no_experiment_is_refused(tmp_path, text):
    """Not a traceback."""
    file = tmp_path / "none.yml"
    file.write_text(text)
    with pytest.raises(ExperimentProblem, match=str(file)):
        read(file, {})
