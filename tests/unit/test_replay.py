"""``kirikae move judge FILE``: recorded shifts with planted faults get the right verdict; lines
that cannot be read are named."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator

import pytest

from kirikae.model.errors import UsageProblem
from kirikae.model.said import Words
from kirikae.move.judge import Margins
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.judging import trial_of
from kirikae.traffic.replay import batches, lines_of, looks
from kirikae.traffic.settings import TrafficMove
from kirikae.traffic.trial import Guards, Look, Trial
from tests.command import run
from tests.simulation import poisson

BOUNDS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
MARGINS = Margins(0.01, 0.0005, 30)
EN = Words.of("kirikae.traffic").say
Rates = Callable[[int], tuple[float, float]]
"""Second -> (error rate, factor on latency) of the new side."""


def _count(rng: random.Random, n: int, p: float) -> int:
    return sum(rng.random() < p for _ in range(n))


def _within(rng: random.Random, n: int, factor: float) -> dict[str, int]:
    """Lognormal answers, p50 100 ms and p99 404 ms, times the factor."""
    times = [0.1 * factor * math.exp(rng.gauss(0, 0.6)) for _ in range(n)]
    return {str(bound): sum(t <= bound for t in times) for bound in BOUNDS}


def trace(
    seed: int,
    seconds: int,
    new: Rates,
    rps: int = 100,
    share: int = 100,
    old: Rates = lambda t: (0.002, 1.0),
) -> Iterator[str]:
    rng = random.Random(seed)
    for t in range(seconds):
        for side, rates, part in (("old", old, 1000 - share), ("new", new, share)):
            n = poisson(rng, rps * part / 1000)
            (errors, factor) = rates(t)
            yield json.dumps(
                {
                    "t": t,
                    "side": side,
                    "requests": n,
                    "errors": _count(rng, n, errors),
                    "le": _within(rng, n, factor),
                    "share": share,
                }
            )


def line(t: int, side: str, requests: int, errors: int = 0, **more: object) -> str:
    """One line, at a share of a half."""
    plain = {"t": t, "side": side, "requests": requests, "errors": errors, "share": 500}
    return json.dumps({**plain, **more})


def judged(lines: Iterator[str] | list[str], **more: float) -> list[Look]:
    return list(looks(lines, "trace", Trial(MARGINS, guards=Guards(**more))))


def first_fail(found: list[Look]) -> Look | None:
    return next((look for look in found if look.verdict == "fail"), None)


@pytest.mark.parametrize(
    ("fault", "new", "by", "most"),
    [
        ("errors", lambda t: (0.05, 1.0), "errors", 400),
        ("slow", lambda t: (0.002, 1.5), "p50", 600),
        ("hang", lambda t: (0.002, 20.0), "p95", 100),
        ("refused", lambda t: (1.0, 1.0), "errors", 60),
    ],
)
def test_harm_is_found_soon_and_named(fault, new, by, most):
    """At 10% of 100 requests a second; a fail stays."""
    found = judged(trace(1, 240, new))
    fail = first_fail(found)
    assert fail is not None and by in EN(fail.reason) and fail.exposed < most, (fault, fail)
    assert found[-1].verdict == "fail"


def test_identical_sides_are_not_failed_and_pass_in_time():
    """A seeded slice; make prove runs the table.  The margins are those of a small service."""
    verdicts = []
    for seed in range(6):
        found = list(
            looks(
                trace(seed, 400, lambda t: (0.002, 1.0), rps=200, share=500),
                "trace",
                Trial(Margins(0.01, 0.02, 30, slower=0.5)),
            )
        )
        assert first_fail(found) is None
        verdicts.append(found[-1].verdict)
    assert verdicts.count("pass") >= 1 and all(look.log_e["harm"] < math.log(100) for look in found)


def test_trouble_on_both_sides_is_nobody_s_fault():
    """A shared incident: 40% errors for a minute on both sides."""
    incident: Rates = lambda t: (0.4, 3.0) if 100 <= t < 160 else (0.002, 1.0)  # noqa: E731
    assert first_fail(judged(trace(2, 300, incident, old=incident))) is None


def test_no_step_is_taken_while_the_old_side_is_in_trouble():
    """Both sides alike, and a pass before and after: but nobody moves people about in an incident.
    What lasts is how things are now."""
    incident: Rates = lambda t: (0.3, 1.0) if t >= 600 else (0.002, 1.0)  # noqa: E731
    margins = Margins(0.01, 0.02, 30, slower=0.5)
    found = list(
        looks(trace(7, 2700, incident, rps=200, share=500, old=incident), "trace", Trial(margins))
    )
    assert first_fail(found) is None and found[599].verdict == "pass"
    assert all(
        look.verdict == "unsure" for look in found[630:2390]
    ) and "old side itself is in trouble (" in EN(found[700].reason)
    assert found[-1].verdict == "pass"


def test_harm_that_begins_late_is_found():
    """After ten quiet minutes."""
    fail = first_fail(judged(trace(3, 900, lambda t: (0.1 if t > 650 else 0.002, 1.0), rps=60)))
    assert fail is not None and 650 < fail.t < 800


def test_one_route_alone_is_found():
    """A fault in a tenth of the traffic, hidden in the sum of a service with errors of its own."""
    rng = random.Random(4)
    lines = []
    for t in range(400):
        for route, part, bad in (("/", 0.9, 0.02), ("/pay", 0.1, 0.3)):
            for side, n in (("old", 90), ("new", 60)):
                n = poisson(rng, n * part)
                p = bad if side == "new" and route == "/pay" else 0.02
                lines.append(
                    json.dumps(
                        {
                            "t": t,
                            "side": side,
                            "requests": n,
                            "errors": _count(rng, n, p),
                            "share": 400,
                            "route": route,
                        }
                    )
                )
    fail = first_fail(judged(lines))
    assert fail is not None and "/pay" in EN(fail.reason) and fail.t < 120


def test_wrong_content_caught_by_a_probe():
    """Two batches in a row on the new side only; on both sides it is nobody's fault."""

    def line(t: int, side: str, failed: int) -> str:
        return json.dumps(
            {
                "t": t,
                "side": side,
                "requests": 50,
                "errors": 0,
                "share": 500,
                "probe_failed": failed,
            }
        )

    fail = first_fail(
        judged(
            [
                line(t, side, int(t >= 5 and side == "new"))
                for t in range(10)
                for side in ("old", "new")
            ]
        )
    )
    assert fail is not None and fail.t == 6 and "probes" in EN(fail.reason)
    assert (
        first_fail(
            judged([line(t, side, int(t >= 5)) for t in range(10) for side in ("old", "new")])
        )
        is None
    )


def test_a_ceiling_needs_no_comparison():
    """Half of the requests failed on both sides: with a ceiling it goes back all the same."""
    lines = [line(t, s, 10, 5) for t in range(10) for s in ("old", "new")]
    assert first_fail(judged(lines)) is None and first_fail(judged(lines, ceiling=0.3)) is not None


def test_without_figures_of_one_side_the_clock_stands_still():
    """What came meanwhile is judged together with what comes next."""
    lines = [line(t, "old", 100) for t in range(50)]
    found = judged(lines)
    assert (
        found[-1].verdict == "unsure"
        and "new side" in EN(found[-1].reason)
        and found[-1].log_e["harm"] == pytest.approx(0, abs=1e-9)
    )
    again = judged([*lines, line(60, "new", 30)])
    assert again[-1].exposed == 30


def test_seconds_without_any_request_stand_still_too():
    """Nobody asks at all: that is no round of probes, and no pass."""
    lines = [line(t, s, 200 if t < 60 else 0) for t in range(120) for s in ("old", "new")]
    found = list(looks(lines, "trace", Trial(Margins(0.01, 0.02, 30))))
    assert found[59].verdict == "pass"
    assert all(look.verdict == "unsure" for look in found[60:]) and "the clock stands still" in EN(
        found[-1].reason
    )


def test_a_period_without_a_line_of_the_log_is_no_round_of_probes():
    """An access log that tells of nobody: the clock stands still, and a restarted driver goes on
    after that period."""
    nobody = Batch(5.0, 1.0, 10, {"": {}}, 3)
    assert (
        not nobody.only_probes
        and Batch(
            5.0, 5.0, 10, {"": {"old": Arm(probe_failed=0), "new": Arm(probe_failed=0)}}, 3
        ).only_probes
    )
    assert "clock stands still" in EN(Trial(MARGINS).look(nobody).reason)


def test_a_share_that_is_not_delivered_holds():
    """Commanded 50%, delivered 1%."""
    lines = [
        json.dumps({"t": t, "side": s, "requests": n, "errors": 0, "share": 500})
        for t in range(60)
        for s, n in (("old", 99), ("new", 1))
    ]
    assert "delivered" in EN(judged(lines)[-1].reason)


GOOD = '{"t": 1, "side": "old", "requests": 9, "errors": 0, "share": 10}'


def damaged(before: str, after: str) -> str:
    assert before in GOOD
    return GOOD.replace(before, after)


def more(text: str) -> str:
    return GOOD.replace("}", f", {text}}}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "an object"),
        ("[" * 100_000, "not JSON"),
        (more('"le": ' + "[" * 100_000), "not JSON"),
        (damaged('"old"', '"mid"'), "side 'mid'"),
        (damaged('"requests": 9, ', ""), "requests is missing"),
        (damaged('"errors": 0, ', ""), "errors is missing"),
        (damaged('"errors"', '"error"'), "unknown key 'error'; did you mean errors?"),
        (damaged(', "share": 10', ""), "share is missing"),
        (more('"zzz": 1'), "unknown key 'zzz'; the keys are t, side"),
        (more('"errors": 1'), "the key 'errors' stands twice"),
        (damaged("9", "1.5"), "requests 1.5"),
        (damaged("9", "NaN"), "NaN is no number"),
        (damaged("9", "Infinity"), "Infinity is no number"),
        (damaged("9", "1e400"), "requests inf"),
        (damaged("9", "1" + "0" * 400), r"requests 10+\.\.\. \(401 characters\)"),
        (damaged("9", "1" + "0" * 5000), "not JSON"),
        (damaged("9", "-1"), "requests -1"),
        (damaged("9", '"9"'), "requests '9'"),
        (damaged('"errors": 0', '"errors": 10'), "10 errors of 9"),
        (damaged('"t": 1', '"t": true'), "t True"),
        (damaged('"t": 1', '"t": "1"'), "t '1'"),
        (damaged('"t": 1', '"t": 1795250000000'), "is it in milliseconds"),
        (damaged('"t": 1', '"t": -1e300'), "t -1e[+]300"),
        (damaged('"share": 10', '"share": 0.5'), "permille"),
        (damaged('"share": 10', '"share": "50%"'), r"share '50%': permille, .*50% is 500"),
        (damaged('"share": 10', '"share": [1]'), r"share \[1\]: permille"),
        (damaged('"share": 10', '"share": 1001'), "share 1001"),
        (damaged('"share": 10', '"share": null'), "share None"),
        (more('"le": [1]'), r"le \[1\]: counts by seconds"),
        (more('"le": {"x": 1}'), "le 'x'"),
        (more('"le": {"\uff11": 1}'), "le '\uff11'"),
        (more('"le": {"-1": 1}'), "le '-1'"),
        (more('"le": {"1": 10}'), "more answers"),
        (more('"le": {"1": 3, "1.0": 4}'), "one bound twice"),
        (more('"le": {"1": 4, "2": 3}'), "le 2 counts fewer answers"),
        (more('"le": {"2": 3, "1": 4}'), "le 2 counts fewer answers"),
        (more('"dt": 0'), "dt 0"),
        (more('"dt": 1e9'), "dt 1e[+]09"),
        (more('"route": 7'), "route 7"),
        (more('"step": -1'), "step -1"),
        (more('"probe_failed": "no"'), "probe_failed 'no'"),
        (more('"tau": {"p12": 1}'), "tau"),
        (more('"tau": 3'), "tau 3"),
    ],
)
def test_a_line_that_is_no_figure_is_refused(text, said):
    """The file, the line, the value, and what to write."""
    with pytest.raises(UsageProblem, match=rf"^t:2: .*{said}"):
        list(looks([GOOD, text], "t", Trial(MARGINS)))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (GOOD, damaged('"t": 1', '"t": 0'), "t 0 is before the line above"),
        (GOOD, damaged('"share": 10', '"share": 50'), "share 50: the line above .* says 10"),
        (GOOD, more('"dt": 2'), "dt 2"),
        (GOOD, more('"step": 2'), "step 2"),
        (more('"le": {"0.1": 1}'), more('"le": {"0.5": 1}'), "counts at 0.5, .*count at 0.1"),
        (more('"le": {"0.1": 1}'), GOOD, "counts no times, .*count at 0.1"),
        (GOOD, more('"le": {"0.1": 1}'), "counts at 0.1, .*count no times"),
    ],
)
def test_a_line_that_does_not_fit_the_ones_above_is_refused(first, second, said):
    """Order, one share of one time, and the same bounds: what was not counted is not 0."""
    with pytest.raises(UsageProblem, match=rf"^t:2: .*{said}"):
        list(looks([first, second.replace('"old"', '"new"')], "t", Trial(MARGINS)))


def test_a_side_without_requests_needs_no_times():
    """And a move that goes on with other settings counts at others, both sides from one time on."""
    silent = more('"le": {"0.1": 1}'), line(1, "new", 0, share=10)
    assert len(list(batches(silent, "t"))) == 1
    moves = [
        line(t, side, 9, step=3, le={bound: 9})
        for t, bound in ((1, "0.1"), (2, "0.5"))
        for side in ("old", "new")
    ]
    assert len(list(batches(moves, "t"))) == 2
    mixed = [*moves[:3], line(2, "new", 9, step=3, le={"0.2": 9})]
    with pytest.raises(UsageProblem, match=r"^t:4: le counts at 0\.2"):
        list(batches(mixed, "t"))


def test_what_was_recorded_at_share_0_can_be_read():
    """Rounds of probes before the first step."""
    batch = Batch(5.0, 1.0, 0, {"": {"old": Arm(probe_failed=0), "new": Arm(probe_failed=0)}}, 1)
    assert list(batches(lines_of(batch), "t")) == [batch]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (GOOD.encode("utf-16"), "f:1: the file is UTF-16; save it as plain UTF-8"),
        (b"\x1f\x8b\x08", "f:1: the file is compressed"),
        (GOOD.encode() + b'\n{"route": "caf\xe9"}', r"f:2: not UTF-8 text \(byte 0xe9\)"),
        (b" " * (1 << 21), "f:1: longer than a line"),
        (b"\0" * 9, "f:1: not JSON"),
    ],
)
def test_a_file_in_another_encoding_is_told(tmp_path, raw, said):
    """With the line; a file of one endless line is not read to its end."""
    (tmp_path / "f").write_bytes(raw)
    ran = run("move", "judge", str(tmp_path / "f"))
    assert ran.exit_code == 2 and re.search(said, ran.stderr), ran


def test_the_mark_of_an_editor_is_no_fault(tmp_path):
    """UTF-8 with a byte order mark, as some editors save it."""
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert run("move", "judge", str(tmp_path / "f")).exit_code == 5


@pytest.mark.parametrize(
    "option", ["--false-alarms", "--worse-requests", "--bake", "--warm-up", "--ceiling", "--slower"]
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
def test_an_option_that_is_no_number_is_refused(tmp_path, option, value):
    """NaN is neither below nor above a limit."""
    (tmp_path / "f").write_text(GOOD)
    ran = run("move", "judge", str(tmp_path / "f"), f"{option}={value}")
    assert ran.exit_code == 2 and option in ran.stderr, ran


def test_a_picture_that_cannot_be_written_is_told(tmp_path):
    """With the place and what the system says."""
    (tmp_path / "f").write_text(GOOD)
    ran = run("move", "judge", str(tmp_path / "f"), "--html", str(tmp_path / "f/p.html"))
    assert ran.exit_code == 2 and "p.html cannot be written" in ran.stderr, ran


def test_what_a_move_recorded_is_judged_alike():
    """Batches of a live move as lines, with the old side's quantiles and wider bounds for the new
    side: the same looks, bit by bit."""
    harm, safe = MARGINS.bounds(0.3, 50)
    recorded = [
        Batch(
            float(t),
            1.0,
            10,
            {
                "": {
                    "old": Arm(90, 0, 0, {0.3: 86}),
                    "new": Arm(10, 0, int(t > 50), {harm: 9 - t // 20, safe: 10}),
                }
            },
            3 + t // 40,
            {"p95": 0.3},
        )
        for t in range(60)
    ]
    lines = [line for batch in recorded for line in lines_of(batch)]
    assert json.loads(lines[1]) == {
        "t": 0.0,
        "dt": 1.0,
        "side": "new",
        "requests": 10,
        "errors": 0,
        "share": 10,
        "step": 3,
        "le": {f"{harm:g}": 9, f"{safe:g}": 10},
        "tau": {"p95": 0.3},
        "probe_failed": 0,
    }
    assert [
        Batch.from_plain(json.loads(json.dumps(batch.to_plain()))) for batch in recorded
    ] == recorded
    assert list(batches(lines, "t")) == recorded
    live = Trial(MARGINS)
    assert [live.look(batch) for batch in recorded] == judged(lines)
    assert live.evidence().verdict == "fail" and "p95" in EN(live.evidence().reason)


def test_rounds_of_probes_stand_between_the_figures():
    """A live move asks each five seconds: rows without requests.  Figures in which nobody asked do
    not end a row of bad rounds."""
    rows = []
    for t in range(30):
        arms = {"old": Arm(90), "new": Arm(10)}
        rows.append(Batch(float(t), 1.0, 10, {"": arms}, 3))
        if t % 5 == 4:
            bad = {
                "old": Arm(probe_failed=int(t == 9)),
                "new": Arm(probe_failed=int(t in (9, 14, 24, 29))),
            }
            rows.append(Batch(t + 0.5, 5.0, 10, {"": bad}, 3))
    found = judged([line for row in rows for line in lines_of(row)])
    fail = first_fail(found)
    assert fail is not None and fail.t == 29.5 and "2 times in a row" in EN(fail.reason)
    live = Trial(MARGINS).at(3, 10)
    assert [live.look(row) for row in rows] == found


def test_figures_of_an_older_journal_are_judged_on_errors():
    """Format 1 did not write down at which bound it counted."""
    old = {
        "start": 5.0,
        "seconds": 1.0,
        "share": 10,
        "step": 3,
        "tau_ms": 300,
        "old": [90, 1, 4, 4],
        "new": [10, 9, 1, 1],
    }
    batch = Batch.from_plain(old)
    assert batch.routes[""]["new"] == Arm(10, 9) and batch.step == 3
    trial = Trial(MARGINS)
    assert [trial.look(batch).verdict for _ in range(5)][-1] == "fail"


def test_while_it_warms_up_latency_is_not_judged_and_errors_are():
    """Cold caches look like slowness."""
    cold: Rates = lambda t: (0.002, 4.0 if t < 60 else 1.0)  # noqa: E731
    assert first_fail(judged(trace(11, 300, cold))) is not None
    assert first_fail(judged(trace(11, 300, cold), warm_up_s=70)) is None
    assert first_fail(judged(trace(11, 100, lambda t: (0.2, 1.0)), warm_up_s=70)).t < 60


def test_the_command_prints_a_table_json_and_a_picture(tmp_path):
    """Exit code 4 with a fail; the JSON holds every look; the picture is one page without
    scripts."""
    file = tmp_path / "shift.jsonl"
    file.write_text("\n".join(trace(1, 120, lambda t: (0.2, 1.0))))
    told = run("move", "judge", *[str(file), "--json", "--html", str(tmp_path / "p.html")])
    answer = json.loads(told.stdout)
    assert told.exit_code == 4 and answer["verdict"] == "fail" and len(answer["looks"]) == 120
    assert answer["first_fail_t"] == next(
        look["t"] for look in answer["looks"] if look["verdict"] == "fail"
    )
    assert {"t", "verdict", "log_e", "exposed"} <= set(answer["looks"][0])
    page = (tmp_path / "p.html").read_text()
    assert "<svg" in page and "<script" not in page and "fail" in page
    told = run("move", "judge", *[str(file)])
    assert "first fail at" in told.stdout and told.exit_code == 4
    empty = tmp_path / "empty"
    empty.write_text("")
    assert run("move", "judge", *[str(empty)]).exit_code == 5


@pytest.mark.prove
@pytest.mark.parametrize(
    ("rps", "share"), [(10, 10), (10, 50), (10, 250), (100, 10), (100, 50), (100, 250)]
)
def test_false_fails_of_replays(rps, share):
    """Identical sides, 1,200 looks each, latency included."""
    false = sum(
        first_fail(judged(trace(seed, 1200, lambda t: (0.002, 1.0), rps, share))) is not None
        for seed in range(20)
    )
    print(f"false fails of replays at {rps} requests/s, share {share / 10}%: {false} of 20")
    assert false <= 1


@pytest.mark.parametrize(
    ("router", "held"),
    [
        ({"listener_rule": "shop/main"}, True),
        ({"record": {"zone": "z.example", "name": "a", "new": "b"}}, False),
    ],
)
def test_by_dns_the_share_that_arrives_is_not_tested(router, held):
    """Weights of records are shares of answers: whoever looks on must not call a mismatch what is
    none."""
    settings = TrafficMove.model_validate(
        {"kind": "traffic", "router": router, "plan": ["50%", "100%"], "judge": {"warm_up": "0s"}}
    )
    trial = trial_of(settings, settings.plan)
    for t in range(60):
        trial.look(Batch(float(t), 1.0, 500, {"": {"old": Arm(99), "new": Arm(1)}}, 3))
    assert ("delivered" in EN(trial.evidence().reason)) is held


@pytest.mark.parametrize("told", [("old",), ("new",)])
def test_4xx_that_one_side_alone_counts_are_refused(told):
    """They would be compared with nothing, and a pass would not have looked at them."""
    sides = [{"t": 0, "side": side, "requests": 100, "errors": 0, "share": 500} for side in ARMS]
    lines = [side | ({"rejected": 90} if side["side"] in told else {}) for side in sides]
    with pytest.raises(UsageProblem, match=r"f:2: rejected: this line tells .* unlike"):
        list(batches(map(json.dumps, lines), "f"))
    quiet = [lines[0] | {"requests": 0, "errors": 0, "rejected": 0}, lines[1]]
    assert len(list(batches(map(json.dumps, quiet), "f"))) == 1, "who answered nothing says nothing"


def test_4xx_that_are_no_longer_counted_are_refused_and_a_move_records_what_its_source_tells():
    """Two minutes later they may be all there is."""
    lines = [
        {"t": t, "side": side, "requests": 100, "errors": 0, "share": 500}
        | ({"rejected": 2} if t < 2 else {})
        for t in range(4)
        for side in ARMS
    ]
    with pytest.raises(UsageProblem, match="f:5: rejected: this line tells of none"):
        list(batches(map(json.dumps, lines), "f"))
    of_a_move = [json.dumps(line | {"step": 1}) for line in lines]
    assert len(list(batches(of_a_move, "f"))) == 4


@pytest.mark.parametrize("key", ["mix", "dispersion"])
def test_a_misspelt_name_within_a_line_is_refused(key):
    """It would be taken for what is not known."""
    line = {"t": 0, "side": "old", "requests": 9, "errors": 0, "share": 500, key: {"error": 0.1}}
    with pytest.raises(UsageProblem, match=f"f:1: {key} .*numbers by"):
        list(batches([json.dumps(line)], "f"))


ARMS = ("old", "new")
