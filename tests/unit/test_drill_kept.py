"""`--keep` and `drill report`: a run is judged anew without a request; vegeta's too."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kirikae.console.drill_fault import Made, files_of
from kirikae.console.drill_load import speech_of
from kirikae.console.drill_page import page_of_fault
from kirikae.console.drill_written import write_all
from kirikae.console.here import Here, to_json
from kirikae.drill import slo
from kirikae.drill.columns import Error
from kirikae.drill.errors import RunProblem
from kirikae.drill.experiment import Experiment, Ran, judge
from kirikae.drill.faults import prepare
from kirikae.drill.kept import kept, read
from kirikae.drill.targets import target
from kirikae.drill.watching import Look
from kirikae.drill.windows import Span
from kirikae.model.errors import Exit
from kirikae.model.said import LANGUAGES, said
from tests.command import run
from tests.unit.test_drill_engine import serving
from tests.unit.test_drill_faults import ASKED, FLEET, RATE
from tests.unit.test_drill_faults import record as made


def test_a_kept_run_is_judged_as_it_was_and_by_other_limits(tmp_path):
    """The figures are the same; a stricter limit breaks; the page is made in both languages."""
    file, page = tmp_path / "run.npz", tmp_path / "page.html"
    with serving() as base:
        load = (
            "drill",
            "load",
            "50/s for 4s",
            "--target",
            f"{base}/ok",
            "--target",
            f"{base}/teapot",
        )
        first = run(*load, "--keep", str(file), "--json").json
    again = run("drill", "report", str(file), "--json").json
    assert {**again, "wrote": 0} == {**first, "by": "kirikae", "wrote": 0}
    strict = run("drill", "report", str(file), "--slo", "wrong==0", "--json").json
    assert strict["verdict"] in ("fail", "unsure"), "every second answer is a teapot"
    for language in LANGUAGES:
        told = run("drill", "report", str(file), "--html", str(page), "--lang", language)
        assert f'lang="{language}"' in page.read_text() and "{" not in told.stdout
    mended = run("drill", "report", str(file), "--expect", "418", "--expect", "200", "--json").json
    assert mended["figures"]["wrong"] == 0


def test_what_was_kept_has_no_secret(tmp_path):
    """Neither bodies nor headers nor a password in a URL."""
    asked = target("POST", "http://u:hunter2@shop/", "t", (("Cookie", "s=hunter2"),), b"hunter2")
    file = tmp_path / "run.npz"
    file.write_bytes(kept(made(lambda number, at: None), [asked], 20.0))
    assert b"hunter2" not in file.read_bytes()
    with np.load(file) as columns:
        assert b"hunter2" not in columns["about"].tobytes()
    assert read(file).targets[0].url.geturl() == "http://shop/"


NAME = "crash-task"
SPAN = Span(8.0, 12.0)


def kept_fault(file, limits=("errors@after<1%", "lost@during<1000")):
    """A crash that lost half of the requests for a second, with all that was seen of it."""
    record = made(lambda number, at: 0.5 if number % 2 and 8 <= at < 9 else None)
    experiment = Experiment(RATE, 8.0, 4.0, 8.0, tuple(slo.read(each, True) for each in limits))
    prepared = prepare(NAME, FLEET, ASKED)
    few = frozenset(list(FLEET.group.healthy)[:2])
    looks = (
        Look(7.0, 3, 3, 0, FLEET.definition, 1, FLEET.group.healthy),
        Look(9.0, 3, 2, 1, FLEET.definition, 1, few),
        Look(11.0, 3, 3, 0, FLEET.definition, 1, FLEET.group.healthy),
    )
    machine = (said("drill.doubt.machine", load=9.0, cores=2),)
    timeline = ((8.0, said("drill.fault.does", act="engine kill -s KILL engine0")),)
    asked = [target("GET", "http://shop/", "t")]
    cost = judge(experiment, FLEET, prepared, SPAN, looks, record, asked, machine)
    ran = Ran(record, cost, looks, timeline, False, None, machine)
    whole = Made((), ran, asked, cost, FLEET, prepared, experiment)
    write_all(files_of(whole, speech_of(Here(), "en"), None, file))
    return whole


def test_a_kept_fault_is_told_as_it_was_and_by_other_limits(tmp_path):
    """Windows, recovery, timeline, doubts and advice are those of then, without a request; a page
    in the other language can be had."""
    file, page = tmp_path / "fault.npz", tmp_path / "fault.html"
    first = kept_fault(file)
    again = run("drill", "report", str(file), "--json").json
    expected = json.loads(to_json(first.to_plain()))
    assert {**again, "outcome": 0, "wrote": 0} == {**expected, "outcome": 0, "wrote": 0}
    assert again["recovery_s"] == pytest.approx(1.0, abs=0.1)
    assert again["whole_s"] == 3.0 and again["bad"] > 0
    strict = run("drill", "report", str(file), "--slo", "recovery<500ms", "--json").json
    assert [(each["limit"], each["holds"]) for each in strict["limits"]] == [
        ("recovery<500ms", False)
    ]
    csv = tmp_path / "run.csv"
    for language in LANGUAGES:
        shown = ("--html", str(page), "--csv", str(csv), "--lang", language)
        told = run("drill", "report", str(file), *shown)
        assert page.read_text() == page_of_fault(first, speech_of(Here(), language))
        assert "{" not in told.stdout
    assert len(csv.read_text().splitlines()) == len(first.ran.record.due)


def test_a_kept_fault_can_do_nothing(tmp_path):
    """What makes and undoes it is not in the file: only what it was."""
    kept_fault(tmp_path / "fault.npz")
    plain = read(tmp_path / "fault.npz").fault
    assert plain["prepared"]["inject"] == plain["prepared"]["undo"] == []


@pytest.mark.parametrize("lacks", ["fleet", "span", "looks", "experiment"])
def test_a_kept_fault_that_lacks_something_says_so(tmp_path, lacks):
    """With the file's name and what to do."""
    file = tmp_path / "fault.npz"
    whole = kept_fault(file)
    plain = {key: value for key, value in read(file).fault.items() if key != lacks}
    file.write_bytes(kept(whole.ran.record, whole.targets, 20.0, plain))
    told = run("drill", "report", str(file))
    assert told.exit_code != 0
    assert "fault.npz" in told.stderr and lacks in told.stderr and "keep it anew" in told.stderr


def test_a_file_that_cannot_be_written_loses_no_figure(tmp_path):
    """A full disk at the end of a drill: figures and the other files are there, and it is said
    what is not; the exit code is that of something unfinished."""
    file = tmp_path / "fault.npz"
    kept_fault(file, limits=())
    into = ("--html", "/dev/null/page.html", "--csv", str(tmp_path / "run.csv"))
    found = run("drill", "report", str(file), *into, "--json")
    assert found.exit_code == Exit.UNFINISHED
    assert found.json["bad"] > 0
    assert found.json["wrote"] == [str(tmp_path / "run.csv")]
    assert "page.html" in str(found.json["not_written"])


CSV = """\
1795827600000000000,200,12000000,0,345,,b2s=,load,0,GET,http://shop/a?x=1,
1795827601000000000,0,30000000000,0,0,"Get ""http://shop/b"": context deadline exceeded",,load,1,GET,http://shop/b,
1795827600500000000,500,9000000,3,2,500 Internal Server Error,,load,2,POST,http://shop/a,
1795827602500000000,0,900,0,0,dial tcp: connect: connection refused,,load,3,GET,http://shop/b,
"""
JSON = "\n".join(
    json.dumps(
        {
            "attack": "load",
            "seq": number,
            "code": status,
            "timestamp": at,
            "latency": latency,
            "bytes_out": 0,
            "bytes_in": octets,
            "error": error,
            "body": None,
            "method": method,
            "url": url,
            "headers": {},
        }
    )
    for number, (at, status, latency, octets, error, method, url) in enumerate(
        [
            ("2026-11-28T10:00:00+09:00", 200, 12000000, 345, "", "GET", "http://shop/a?x=1"),
            ("2026-11-28T01:00:01Z", 0, 30000000000, 0, "timeout", "GET", "http://shop/b"),
            ("2026-11-28T01:00:00.5Z", 500, 9000000, 2, "500", "POST", "http://shop/a"),
            ("2026-11-28T01:00:02.500000000Z", 0, 900, 0, "refused", "GET", "http://shop/b"),
        ]
    )
)


@pytest.mark.parametrize("text", [CSV, JSON])
def test_vegetas_results_are_read_in_both_forms(tmp_path, text):
    """In the order of their times, whatever their order in the file."""
    file = tmp_path / "results"
    file.write_text(text)
    found = read(file)
    assert [each.name for each in found.targets] == ["GET /a", "POST /a", "GET /b"]
    assert found.record.status.tolist() == [200, 500, 0, 0]
    assert found.record.error.tolist() == [
        Error.NONE,
        Error.NONE,
        Error.TIMED_OUT,
        Error.REFUSED,
    ]
    assert (found.record.latency_s[:2] * 1000).tolist() == [12, 9]
    assert (found.seconds, found.by) == (2.5, "vegeta")
    words = ("drill", "report", str(file), "--warm-up", "0s", "--slo", "lost==0")
    assert run(*words, "--json").json["figures"]["lost"] == 2
    assert run(*words).exit_code == 1
    assert "count from when it sent" in run(*words).stdout


def test_our_own_csv_comes_back_as_it_was(tmp_path):
    """Lost requests, too."""
    file, table = tmp_path / "run.npz", tmp_path / "run.csv"
    bad = made(lambda number, at: 2.0 if 5 <= at < 6 else None)
    file.write_bytes(kept(bad, [target("GET", "http://shop/", "t")], 20.0))
    words = ("drill", "report", str(file), "--warm-up", "0s", "--json")
    first = run(*words, "--csv", str(table)).json["figures"]
    again = run("drill", "report", str(table), "--warm-up", "0s", "--json").json["figures"]
    assert (again["requests"], again["lost"]) == (first["requests"], first["lost"]) == (2000, 100)
    assert again["latency_ms"] == first["latency_ms"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no result"),
        (b"\x0d\xff\x81\x03\x01\x01\x06Result", "vegeta encode"),
        (b"1,2,3\n", ":1: 3 columns in place of 12"),
        (CSV.replace("12000000", "-5").encode(), ":1: a time that is none"),
        (CSV.replace(",500,", ",5000,").encode(), ":3: a status or a length"),
        (CSV.replace("http://shop/b,", "file:///etc/passwd,").encode(), "no absolute URL"),
        (b'{"code": 200}\n', ":1: .* is no result of vegeta"),
        (JSON.replace("T01:00:01Z", " yesterday").encode(), ":2: .* is no time"),
        (b"PK\x03\x04 torn", "no whole run"),
    ],
)
def test_what_cannot_be_read_says_where_and_what_next(tmp_path, content, says):
    file = tmp_path / "results"
    file.write_bytes(content)
    with pytest.raises(RunProblem, match=says):
        read(file)


@pytest.mark.parametrize("lacks", ["due", "about"])
def test_a_run_that_lacks_a_column_is_no_run(tmp_path, lacks):
    file = tmp_path / "run.npz"
    file.write_bytes(kept(made(lambda number, at: None), [target("GET", "http://s/", "t")], 20.0))
    with np.load(file) as columns:
        left = {name: columns[name] for name in columns.files if name != lacks}
    np.savez(file, **left)
    with pytest.raises(RunProblem, match="no whole run"):
        read(file)
