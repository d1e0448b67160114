"""The pure parts of `kirikae drill`: when requests are due, what is asked, limits, verdicts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.drill import slo
from kirikae.drill.columns import Error, Record
from kirikae.drill.errors import PlanProblem, SloProblem, TargetsProblem
from kirikae.drill.files import hgrm
from kirikae.drill.plan import Stage, of_stages, replayed
from kirikae.drill.plan import read as read_plan
from kirikae.drill.targets import read as read_targets
from kirikae.drill.targets import target
from kirikae.drill.verdict import Verdict, judged, verdicts_of


def test_a_constant_rate_is_due_evenly():
    found = read_plan("10/s for 1s")
    assert found.due.tolist() == pytest.approx([number / 10 for number in range(10)])
    assert (found.requests, found.seconds, found.rate) == (10, 1.0, 10.0)


def test_a_ramp_sends_the_mean_rate_and_ever_faster():
    found = read_plan("10/s..30/s for 10s")
    assert found.requests == 200
    between = np.diff(found.due)
    assert between[0] == pytest.approx(0.1, rel=0.05)
    assert between[-1] == pytest.approx(1 / 30, rel=0.05)
    assert (np.diff(between) < 1e-9).all()


def test_a_wave_sends_the_mean_rate_over_whole_waves():
    found = read_plan("100/s+-50/s every 2s for 10s")
    assert found.requests == 1000
    first = ((found.due >= 0) & (found.due < 1)).sum()
    second = ((found.due >= 1) & (found.due < 2)).sum()
    assert first == pytest.approx(100 + 100 / np.pi, abs=1.5)
    assert second == pytest.approx(100 - 100 / np.pi, abs=1.5)


@given(
    st.lists(
        st.builds(
            Stage,
            begins=st.floats(0, 200),
            ends=st.floats(0, 200),
            seconds=st.floats(0.1, 20),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_stages_follow_each_other_without_a_gap_or_a_burst(stages):
    """As many requests as the integral of the rate, in order, within the plan's time."""
    whole = sum((stage.begins + stage.ends) / 2 * stage.seconds for stage in stages)
    if whole < 1e-6:
        return
    found = of_stages(stages)
    assert abs(found.requests - whole) <= 1
    assert (np.diff(found.due) >= -1e-6).all()
    assert found.due.min() >= 0
    assert found.due.max() <= found.seconds + 1e-6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100 for 10s",
        "100/s",
        "100/s for 10",
        "100/s for 0s",
        "0/s for 10s",
        "9999999/s for 10s",
        "1000000/s for 1d",
        "10/s+-20/s every 5s for 10s",
        "-5/s for 10s",
        "nan/s for 10s",
        "10/s for 10s,,",
    ],
)
def test_a_plan_that_cannot_be_sent_is_refused(text):
    with pytest.raises(PlanProblem):
        read_plan(text)


def test_a_log_is_replayed_with_its_own_times():
    found = replayed(np.array([105.0, 100.0, 101.0]), speed=2)
    assert found.due.tolist() == [0, 0.5, 2.5]


HTTP_FORM = """\
# a comment
GET http://127.0.0.1:8080/one
GET http://127.0.0.1:8080/two?a=b
X-Name: a: b
accept: */*

POST http://127.0.0.1:8080/three
@body.txt

HEAD http://127.0.0.1:8080
"""


def test_vegetas_http_form(tmp_path):
    (tmp_path / "body.txt").write_bytes(b"a=1")
    (tmp_path / "targets").write_text(HTTP_FORM)
    one, two, three, four = read_targets(tmp_path / "targets")
    assert one.wire() == b"GET /one HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
    assert two.headers == (("X-Name", "a: b"), ("accept", "*/*"))
    assert b"\r\nX-Name: a: b\r\n" in two.wire() and two.name == "GET /two"
    assert three.wire().endswith(b"\r\nContent-Length: 3\r\n\r\na=1")
    assert four.wire().startswith(b"HEAD / HTTP/1.1")


def test_vegetas_json_form(tmp_path):
    rows = [
        {"method": "GET", "url": "http://a:1/"},
        {"method": "PUT", "url": "https://a/b", "body": "YQ==", "header": {"A": ["1", "2"]}},
    ]
    (tmp_path / "targets").write_text("\n\n".join(map(json.dumps, rows)))
    one, two = read_targets(tmp_path / "targets")
    assert one.origin == ("a", 1, False)
    assert two.origin == ("a", 443, True)
    assert two.body == b"a" and two.headers == (("A", "1"), ("A", "2"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no target"),
        ("GET /path\n", ":1: '/path' is no absolute URL"),
        ("get http://a/\n", ":1: .* is no request line"),
        ("GET http://a/\nNo header\n", ":2: 'No header' is no header"),
        ("GET http://a/\nA: b\nGET http://b/\n", ":3: a request line right after headers"),
        ("GET http://a/\n@no-file\n", ":2: the body .*no-file cannot be read"),
        ("GET http://a:99999/\n", ":1: .* is no URL"),
        ("GET http://a/ü\n", ":1: .* must be %-encoded"),
        ('{"method": "GET"}\n', ":1: a target is"),
        ('{"method": "GET", "url": "http://a/", "x": 1}\n', ":1: the key 'x' is none"),
        ('{"method": "G T", "url": "http://a/"}\n', ":1: 'G T' is no method"),
        ('{"method": "GET", "url": "http://a/", "body": "?"}\n', ":1: body is not base64"),
        (
            '{"method": "GET", "url": "http://a/", "header": {"A": ["b\\r\\nC: d"]}}\n',
            ":1: the header A holds a line break",
        ),
        ('{"method": "GET", "url": "http://a/\\r\\nX: y"}\n', ":1: "),
        ("POST http://a/\n@/dev/zero\n", ":2: the body /dev/zero .* no regular file"),
        ('{"method": NaN, "url": "http://a/"}\n', ":1: method and url are texts"),
        ('{"method": "GET", "url": "http://a/", "header": ' + "[" * 100_000, ":1: not JSON"),
    ],
    ids=range(17),
)
def test_targets_that_cannot_be_asked_name_their_line(tmp_path, text, says):
    (tmp_path / "targets").write_text(text)
    with pytest.raises(TargetsProblem, match=says):
        read_targets(tmp_path / "targets")


def test_what_a_target_says_of_its_own_length_is_left_out(tmp_path):
    """As vegeta does: two lengths, or a wrong one, would make the next request part of this one."""
    (tmp_path / "targets").write_text(
        "POST http://a/\nContent-Length: 5\nX: 1\n\n"
        "PUT http://a/\nTransfer-Encoding: chunked\ncontent-length: 9\n@body\n"
    )
    (tmp_path / "body").write_bytes(b"ok")
    one, two = (each.wire() for each in read_targets(tmp_path / "targets"))
    assert one.endswith(b"\r\nX: 1\r\nContent-Length: 0\r\n\r\n") and b"5" not in one
    assert two.endswith(b"\r\nContent-Length: 2\r\n\r\nok") and b"chunked" not in two


@pytest.mark.parametrize(
    ("text", "figure", "value", "share"),
    [
        ("p99<300ms", "p99", 0.3, False),
        ("p99.9 <= 1s", "p99.9", 1.0, False),
        ("errors<0.1%", "errors", 0.001, True),
        ("lost==0", "lost", 0.0, False),
        ("rate>=100/s", "rate", 100.0, False),
    ],
)
def test_limits(text, figure, value, share):
    found = slo.read(text)
    assert (found.figure, found.value, found.share) == (figure, pytest.approx(value), share)


@pytest.mark.parametrize(
    "text",
    ["p99", "p99<300", "p100<1s", "p0<1s", "errors<5ms", "rate>5", "rate>5%", "x<1s", "p99<-1s"],
)
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(SloProblem):
        slo.read(text)


SECOND = 1_000_000_000


def record(*rows, cores=(0.1,)):
    """Rows of (due, sent, done, status, error) in seconds; the plan begins at 1000 s."""
    many = len(rows)

    def column(place, kind=np.int64, factor=SECOND):
        return np.array([round(row[place] * factor) for row in rows], kind)

    shifted = [column(place) for place in range(3)]
    for values in shifted:
        values[values > 0] += 1000 * SECOND
    due = column(0) + 1000 * SECOND
    return Record(
        due=due,
        sent=shifted[1],
        first=shifted[2],
        done=shifted[2],
        status=column(3, np.int16, 1),
        error=column(4, np.uint8, 1),
        octets=np.zeros(many, np.int64),
        target=np.zeros(many, np.int64),
        began_ns=1000 * SECOND,
        wall=0.0,
        cores=cores,
    )


GET = [target("GET", "http://a/", "here")]


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ((1, 1.001, 1.2, 200, Error.NONE), Verdict.OK),
        ((1, 1.001, 1.2, 302, Error.NONE), Verdict.OK),
        ((1, 1.001, 1.6, 200, Error.NONE), Verdict.SLOW),
        ((1, 1.001, 1.2, 404, Error.NONE), Verdict.WRONG),
        ((1, 1.001, 1.2, 500, Error.NONE), Verdict.WRONG),
        ((1, 1.001, 1.2, 502, Error.NONE), Verdict.LOST),
        ((1, 1.001, 1.2, 504, Error.NONE), Verdict.LOST),
        ((1, 1.001, 0, 0, Error.TIMED_OUT), Verdict.LOST),
        ((1, 1.001, 0, 0, Error.CLOSED), Verdict.LOST),
        ((1, 1.001, 0, 0, Error.REFUSED), Verdict.LOST),
        ((1, 0, 0, 0, Error.NOT_SENT), Verdict.NOT_SENT),
        ((1, 1.06, 1.2, 200, Error.NONE), Verdict.NOT_SENT),
        ((1, 1.001, 0, 0, Error.STOPPED), Verdict.STOPPED),
    ],
)
def test_every_request_has_one_verdict(row, verdict):
    assert verdicts_of(record(row), GET, slow_s=0.5).tolist() == [verdict]


def rows(many, **more):
    """Answered after 10 ms, ten a second from second 3 on."""
    row = {"wait": 0.01, "status": 200, "error": Error.NONE, **more}
    return [
        (3 + at / 10, 3 + at / 10 + 0.001, 3 + at / 10 + row["wait"], row["status"], row["error"])
        for at in range(many)
    ]


def test_what_has_no_answer_is_slower_than_everything():
    """p99 of 100 requests of which two are lost is no time."""
    found = judged(record(*rows(98), *rows(2, error=Error.TIMED_OUT)), GET, [slo.read("p99<300ms")])
    assert found.figures.percentile(99) == np.inf
    assert found.figures.percentile(98) == pytest.approx(0.01, abs=1e-4)
    assert found.word == "fail"


def test_a_count_is_exact_where_a_share_would_hide_it():
    """719,998 of 720,000 once failed a build: a limit says how much it allows."""
    one_wrong = record(*rows(999), *rows(1, status=500))
    assert judged(one_wrong, GET, [slo.read("errors<0.2%")]).word == "pass"
    assert judged(one_wrong, GET, [slo.read("errors==0")]).word == "fail"


@pytest.mark.parametrize(
    ("record", "doubt"),
    [
        (record(*rows(100), cores=(0.9,)), "drill.doubt.busy"),
        (record(*rows(100), *rows(1, error=Error.NOT_SENT)), "drill.doubt.not_sent"),
        (
            record(*((due, due + 0.02, done + 1, *rest) for due, _, done, *rest in rows(9))),
            "drill.doubt.pace",
        ),
        (record((1, 1.001, 1.2, 200, Error.NONE)), "drill.doubt.nothing"),
    ],
)
def test_where_the_engine_was_measured_there_is_no_verdict(record, doubt):
    found = judged(record, GET, [slo.read("p99<300ms"), slo.read("errors==0")], warm_s=2)
    assert [each.key for each in found.doubts] == [doubt]
    assert found.word == "unsure"


def test_a_route_that_was_never_asked_holds_no_limit():
    found = judged(record(*rows(100)), GET, [slo.read("p99[GET /other]<1s")])
    assert found.checked[0].holds is None and found.word == "unsure"
    assert judged(record(*rows(100)), GET, [slo.read("p99[GET /]<1s")]).word == "pass"


def test_a_histogram_ends_at_its_longest():
    lines = list(hgrm(np.array([0.001, 0.002, 0.003, np.inf])))
    assert lines[1].split() == ["2.000", "0.500000000000", "2", "2.00"]
    assert lines[-4].split() == ["3.000", "1.000000000000", "3"]
