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


def of_text(raw):
    raw["method"] = "stop it"


def of_texts(raw):
    raw["method"] = ["stop it"]


def no_provider(raw):
    raw["method"][0]["provider"] = "chaosaws"


def no_arguments(raw):
    raw["method"][0]["provider"]["arguments"] = "cluster=a"


def pause(raw):
    raw["method"][0]["pauses"] = {"after": "a while"}


def backwards(raw):
    raw["method"][0]["pauses"] = {"after": -1}


def second_line(raw):
    raw["steady-state-hypothesis"]["probes"][0]["provider"]["headers"] = {"X": "a\r\nY: b"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (of_text, "method is a list, not 'stop it'"),
        (of_texts, "method: 'stop it' has no keys"),
        (no_provider, "provider has keys and values, not 'chaosaws'"),
        (no_arguments, "arguments has keys and values"),
        (pause, "pauses.after 'a while' is no number of seconds"),
        (backwards, "pauses.after '?-1'? is no number of seconds"),
        (second_line, "the header X holds a line break"),
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


@pytest.mark.parametrize("text", ["", "[]", "{", "a: 1", "{'method': []}", "[" * 5000])
def test_what_is_no_experiment_is_refused(tmp_path, text):
    """Not a traceback."""
    file = tmp_path / "none.yml"
    file.write_text(text)
    with pytest.raises(ExperimentProblem, match=str(file)):
        read(file, {})
