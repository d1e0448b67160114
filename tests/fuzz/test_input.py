"""Whatever is read, from a file, a host or the command line: it is data, or it is refused with the
place and an exit code that is documented.  Never a traceback.

The cases are seeded, so that a failure comes again.  A slice runs always; ``make prove`` runs more
than ten thousand.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable, Exit
from kirikae.model.hosts import address_from
from kirikae.model.shown import clean
from kirikae.release.definitions import load
from kirikae.release.errors import DefinitionProblem
from kirikae.survey.bundles import read
from kirikae.survey.errors import BundleProblem
from kirikae.survey.sections import unpacked
from kirikae.survey.survey import findings
from kirikae.traffic.access_log import Votes, request_of
from tests.command import Ran, run
from tests.unit.test_access_log import LINE, OLD
from tests.unit.test_every_verb import VERBS
from tests.unit.test_survey import bundle_text

SEED = 20261127
SLICE = 40
ALL = 1_300
"""Of each of the eight kinds."""
PROJECT = (Path(__file__).parents[2] / "examples/bookshop/kirikae.yml").read_text()
DOCUMENTED = frozenset(map(int, Exit))

# --- what hurts

_NUMBERS = (
    "NaN .nan Infinity -Infinity .inf 1e400 -1e400 1e-400 -1 -0 0 1.5 0x10 0o17 1_000 007 "
    "９９ ٣ 1e308 253402300800 1795250000000 true null ~ 50% １% 0.01% 999..d 999999999d 10"
)
NUMBERS = (*_NUMBERS.split(), "9" * 400, "9" * 5000)
TEXTS = (
    "",
    " ",
    "\t",
    "\x00",
    "\x1b]0;owned\x07",
    "\x1b[31mred",
    "\x9b31m",
    "\u202e",
    "\ufeff",
    "<script>alert(1)</script>",
    "'; DROP TABLE moves; --",
    "$(id)",
    "../../etc/passwd",
    "/etc/passwd\n",
    "America",
    "日本語",
    "é" * 300,
    "x" * 12_000,
    "{{ env `X` }}",
    "*a",
    "&a",
    "!!python/object/apply:os.system [id]",
    "<<",
    "[" * 3_000,
    "{a: " * 3_000,
    '{"a":' * 3_000,
)
JUNK = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
ENCODINGS = st.sampled_from(["utf-8"] * 12 + ["utf-16", "utf-8-sig", "latin-1", "cp932"])
VALUE = re.compile(r"[^\s{}\[\],:\"]+")


class Case(NamedTuple):
    """Where the text is changed (a part of one), how, and what is put there."""

    at: float
    how: str
    junk: str


CASES = st.lists(
    st.builds(
        Case,
        st.floats(0, 0.999),
        st.sampled_from(["value", "value", "value", "line", "insert", "cut", "twice", "swap"]),
        JUNK,
    ),
    min_size=1,
    max_size=3,
)


def damaged(text: str, cases: list[Case]) -> str:
    """Values replaced, lines cut, doubled and replaced, text put in between."""
    for case in cases:
        text = _damaged(text, case)
    return text


def _damaged(text: str, case: Case) -> str:
    lines = text.split("\n")
    number = int(case.at * len(lines))
    line = lines[number]
    match case.how:
        case "value":
            found = list(VALUE.finditer(text))
            if not found:
                return case.junk
            value = found[int(case.at * len(found))]
            return text[: value.start()] + case.junk + text[value.end() :]
        case "line":
            lines[number] = case.junk
        case "insert":
            middle = len(line) // 2
            lines[number] = line[:middle] + case.junk + line[middle:]
        case "cut":
            lines[number] = line[: len(line) // 2]
        case "twice":
            lines.insert(number, line)
        case "swap":
            lines[number], lines[0] = lines[0], line
    return "\n".join(lines)


def encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding, "replace")


# --- what must hold


def assert_said_well(ran: Ran, *codes: Exit) -> None:
    """A documented code, and nothing that a terminal would obey."""
    assert ran.exit_code in (codes or DOCUMENTED), ran
    for told in (ran.stdout, ran.stderr):
        assert clean(told) == told, told
        assert "Traceback" not in told, told


def project_file(case: tuple[list[Case], str]) -> None:
    """Used, or refused with file and line; by a verb that only reads it, and by one that uses
    it."""
    Path("kirikae.yml").write_bytes(encoded(damaged(PROJECT, case[0]), case[1]))
    ran = run("project", "check")
    assert_said_well(ran, Exit.DONE, Exit.USAGE, Exit.FOUND)
    if ran.exit_code == Exit.USAGE:
        for line in ran.stderr.splitlines():
            assert re.match(r"kirikae\.yml:(\d+: .|[^:]+$)", line), ran.stderr
    used = run("survey", "show", "--json")
    assert_said_well(used)
    assert (used.exit_code == Exit.USAGE) is (ran.exit_code == Exit.USAGE)
    assert json.loads(used.stdout)["outcome"]


def pressed(case: tuple[list[Case], str]) -> None:
    """The red button reads what it can of it, and says what it would do."""
    Path("kirikae.yml").write_bytes(encoded(damaged(PROJECT, case[0]), case[1]))
    assert_said_well(run("back-out", "--all", "--dry-run"))


def judge_lines() -> str:
    lines = []
    for t in range(6):
        for side, requests in (("old", 900), ("new", 100)):
            le = {"0.1": requests // 2, "0.5": requests - 3, "+Inf": requests}
            line = {"t": t, "side": side, "requests": requests, "errors": t % 3, "share": 100}
            lines.append(json.dumps({**line, "le": le, "route": "/pay"}))
    return "\n".join(lines)


JUDGED = judge_lines()


def judge_file(case: tuple[list[Case], str]) -> None:
    """Judged, or refused with the line; as a table, as JSON and as a picture."""
    Path("f.jsonl").write_bytes(encoded(damaged(JUDGED, case[0]), case[1]))
    ran = run("move", "judge", "f.jsonl", "--html", "p.html")
    codes = (Exit.DONE, Exit.USAGE, Exit.BACKED_OUT, Exit.WAITING)
    assert_said_well(ran, *codes)
    if ran.exit_code == Exit.USAGE:
        assert re.match(r"f\.jsonl:\d+: .", ran.stderr), ran.stderr
    elif Path("p.html").exists():
        assert "<script" not in Path("p.html").read_text()
    again = run("move", "judge", "f.jsonl", "--json")
    assert again.exit_code == ran.exit_code
    assert json.loads(again.stdout)["outcome"]


@cache
def small_bundle() -> str:
    """A captured host, some lines of each section."""
    kept = []
    for line in unpacked_text().split("\n"):
        if not line.startswith("|"):
            kept.append(line)
            since = 0
        elif since < 6:
            kept.append(line)
            since += 1
    return "\n".join(kept)


def unpacked_text() -> str:
    text = bundle_text("web1")
    return text if isinstance(text, str) else unpacked(text)


def bundle(case: tuple[list[Case], str]) -> None:
    """What a host answers: read, or said to be no bundle of this host; then the rules look at
    it."""
    raw = encoded(damaged(small_bundle(), case[0]), case[1])
    try:
        found = read(unpacked(raw), "web1")
    except BundleProblem as problem:
        assert "collect it again" in str(problem) or "bundle" in str(problem)
        return
    for each in findings([found], [], date(2026, 11, 27)):
        assert each.code and each.remedy


def access_log(case: tuple[list[Case], str]) -> None:
    """A line is somebody's request, nobody's, or no line: what a client sent stands in it."""
    line = LINE.format(took="0.120", status=200, target="200", path="/pay/7")
    votes = Votes(per_client=True)
    text = encoded(damaged(line, case[0]), case[1]).decode("utf-8", "replace")
    for each in text.splitlines():
        try:
            request = request_of(each, {OLD: "old"})
        except ValueError:
            continue
        if request is not None:
            votes.add(request)
            assert request.at >= 0 and (request.seconds is None or request.seconds >= 0)
    counted = votes.routes({"old": [0.1, 1.0], "new": [0.1, 1.0]})
    in_all = sum(arm.requests for sides in counted.values() for arm in sides.values())
    assert in_all <= len(text.splitlines()) + 1e-9


DEFINITION = json.dumps(
    {
        "family": "{{ must_env `NAME` }}",
        "cpu": "256",
        "containerDefinitions": [{"name": "app", "image": "httpd", "memory": 512}],
    },
    indent=1,
)


def definitions(case: tuple[list[Case], str]) -> None:
    """One object, or a problem that names file and mostly line."""
    Path("t.json").write_bytes(encoded(damaged(DEFINITION, case[0]), case[1]))
    try:
        assert isinstance(load(Path(), "t.json", {"NAME": "web"}), dict)
    except DefinitionProblem as problem:
        assert str(problem).startswith("t.json:"), problem


URLS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(alphabet="sh:/@[]-.%?#oab19\x00\n", max_size=20),
    st.text(alphabet=":@[]-.%?#ab19_", max_size=12).map("ssh://{}".format),
    JUNK.map("ssh://{}".format),
)


def host_url(url: str) -> None:
    """A host of the project file, or refused with the line and what to write."""
    text = PROJECT.replace("ssh://web2", json.dumps(url), 1)
    Path("kirikae.yml").write_text(text, encoding="utf-8")
    ran = run("project", "check")
    assert_said_well(ran, Exit.DONE, Exit.USAGE)
    if ran.exit_code == Exit.DONE:
        name = address_from(url).name
        assert not name.startswith((".", "-")) and "/" not in name
    else:
        assert ran.stderr.startswith("kirikae.yml:9: "), ran.stderr


SERVING = ("jobs serve", "jobs scheduler", "jobs worker")
NOT_HERE = ("back-out", "local ", "build image", "move drive", *SERVING)
"""They try for minutes, reach for a container engine, or go on until they are stopped."""
CALLED = [verb for verb in VERBS if not verb.startswith(NOT_HERE)]


def _stays_here(word: str) -> bool:
    """``/`` and ``..`` are folders that some verbs read whole, and that is this whole machine."""
    if "\0" in word:
        return False
    try:
        return not Path(word).is_dir() or Path(word).resolve().is_relative_to(Path.cwd())
    except OSError:  # longer than a name can be
        return True


WORDS = st.one_of(
    JUNK.filter(_stays_here),
    st.sampled_from(["web", "web1", "ST03", "r1", "f.jsonl", "kirikae.yml", ".", "old,new"]),
)


@st.composite
def command_lines(draw: Any) -> list[str]:
    """A verb, some of its options with values that nobody meant, and some words."""
    verb = draw(st.sampled_from(CALLED))
    words = verb.split()
    for option in draw(st.lists(st.sampled_from(_options(verb)), max_size=3)):
        words.append(option)
        if draw(st.booleans()):
            words.append(draw(WORDS))
    words += draw(st.lists(WORDS, max_size=2))
    return [word for word in words if word not in ("--out", "--record", "--html", "--out-dir")]


@cache
def _options(verb: str) -> list[str]:
    return sorted({name for param in VERBS[verb].params for name in param.opts}) or ["--json"]


def command_line(words: list[str]) -> None:
    """Every verb, whatever stands behind it; AWS does not answer."""
    Path("kirikae.yml").write_text(PROJECT, encoding="utf-8")
    Path("f.jsonl").write_text(JUDGED)
    assert_said_well(run(*words))


# --- the cases

FILES = st.tuples(CASES, ENCODINGS)
TARGETS: dict[str, tuple[Any, Callable[[Any], None]]] = {
    "project file": (FILES, project_file),
    "red button's project file": (FILES, pressed),
    "judge file": (FILES, judge_file),
    "bundle": (FILES, bundle),
    "access log": (FILES, access_log),
    "definitions": (FILES, definitions),
    "host URL": (URLS, host_url),
    "command line": (command_lines(), command_line),
}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder; nobody answers."""

    def silent(*_: object) -> str:
        raise AwsUnreachable("nobody answers")

    monkeypatch.setattr(Aws, "identity", silent)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("KIRIKAE_SSH", "false")
    monkeypatch.setenv("LANG", "C.UTF-8")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        yield


def fuzz(target: str, examples: int) -> None:
    cases, check = TARGETS[target]

    @seed(SEED)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def every(case: Any) -> None:
        check(case)

    every()


@pytest.mark.parametrize("target", TARGETS)
def test_a_slice_of_input_that_nobody_meant(target, alone):
    """Data or a refusal, in each of a few dozen cases."""
    fuzz(target, SLICE)


@pytest.mark.prove
@pytest.mark.parametrize("target", TARGETS)
def test_ten_thousand_inputs_that_nobody_meant(target, alone):
    """The same, at length."""
    fuzz(target, ALL)
