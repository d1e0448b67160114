"""`drill traces`: N+1 is found in traces, a batch is none, and no traces are no proof."""

from __future__ import annotations

import json

import pytest

from kirikae.drill.calls import calls_of, findings, read
from kirikae.drill.errors import RunProblem
from kirikae.model.said import LANGUAGES
from tests.command import run

SELECT = "SELECT * FROM books WHERE id = {}"


def span(trace, key, parent="", kind=3, name="", **told):
    attributes = [
        {"key": key.replace("__", "."), "value": {"stringValue": value}}
        for key, value in told.items()
    ]
    return {
        "traceId": trace,
        "spanId": key,
        "parentSpanId": parent,
        "kind": kind,
        "name": name,
        "attributes": attributes,
    }


def request(trace, route, statements, system="db__system"):
    """A request whose handler asks the database these things, a step below it."""
    yield span(trace, "s", kind=2, http__route=route, http__request__method="GET")
    yield span(trace, "h", "s", 1, "handler")
    for number, text in enumerate(statements):
        yield span(trace, f"d{number}", "h", **{system: "postgresql", "db__statement": text})


def written(folder, *spans, name="traces.json"):
    """One span a line: they may come in any order and in different exports."""
    file = folder / name
    lines = [{"resourceSpans": [{"scopeSpans": [{"spans": [each]}]}]} for each in spans]
    file.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    return file


def loop(many, start=0):
    return ["SELECT * FROM orders", *(SELECT.format(n) for n in range(start, start + many))]


def test_the_same_statement_again_and_again_is_told_with_its_route(tmp_path):
    """Values differ, the statement does not; a route that fetches them together is none."""
    spans = []
    for number in range(10):
        spans += request(f"a{number}", "/orders", loop(20 + number, 100 * number))
        wanted = ", ".join(str(n) for n in range(number + 1))
        joined = f"SELECT * FROM books WHERE id IN ({wanted})"
        spans += request(f"b{number}", "/cart", ["SELECT 1", joined], "db__system__name")
    file = written(tmp_path, *spans)
    found = calls_of(read([file]))
    assert {name: route.mean for name, route in found.routes.items()} == {
        "GET /orders": 25.5,
        "GET /cart": 2.0,
    }
    (told,) = findings(found)
    assert told.code == "DR10"
    assert "24.5 times" in told.says and "at most 29" in told.says
    assert told.evidence[0].says == "SELECT * FROM books WHERE id = ?"
    ran = run("drill", "traces", str(file), "--json")
    assert (ran.exit_code, ran.json["findings"][0]["code"]) == (6, "DR10")
    for language in LANGUAGES:
        assert "DR10" in run("drill", "traces", str(file), "--lang", language).stdout


def test_an_exception_is_none_and_few_requests_say_nothing(tmp_path):
    """One of thirty requests asks seven times; two requests are too few."""
    spans = []
    for number in range(30):
        spans += request(f"a{number}", "/a", loop(7 if number == 3 else 1))
    for number in range(2):
        spans += request(f"b{number}", "/b", loop(50))
    file = written(tmp_path, *spans)
    assert list(findings(calls_of(read([file])))) == []
    assert run("drill", "traces", str(file)).exit_code == 0


def test_a_call_belongs_to_the_nearest_request_above_it(tmp_path):
    """One service asks another in the same trace; a call whose request is not there is counted."""
    spans = [
        *request("t", "/outer", ["SELECT 1"]),
        span("t", "inner", "h", 2, http__route="/inner", http__method="GET"),
        *(span("t", f"i{n}", "inner", db__system="mysql", db__statement="x") for n in range(3)),
        span("t", "orphan", "nobody", db__system="mysql", db__statement="x"),
        span("t", "circle", "circle", db__system="mysql", db__statement="x"),
    ]
    found = calls_of(read([written(tmp_path, *spans)]))
    assert {name: route.mean for name, route in found.routes.items()} == {
        "GET /outer": 1.0,
        "GET /inner": 3.0,
    }
    assert found.lost == 2


def test_traces_without_database_calls_are_no_proof(tmp_path):
    """Exit code 5: missing is not zero."""
    file = written(tmp_path, *request("t", "/a", []))
    ran = run("drill", "traces", str(file))
    assert ran.exit_code == 5 and "nothing is known" in ran.stdout


@pytest.mark.parametrize(
    "text", ["no json\n", "[]\n", '{"spans": []}\n', '{"resourceSpans": [1]}\n']
)
def test_what_is_no_trace_is_told_with_its_line(tmp_path, text):
    file = tmp_path / "traces.json"
    file.write_text(text)
    with pytest.raises(RunProblem, match=r"traces.json:1: .* is no trace"):
        list(read([file]))
