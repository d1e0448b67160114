"""The project file is read strictly; each fault names file, line, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.console.kinds import project_schema, read_project
from kirikae.model.errors import ProjectProblem
from kirikae.model.project import Project
from kirikae.model.share import percent, share_from
from kirikae.model.values import milliseconds_from, part_from, seconds_from

GOOD = (Path(__file__).parents[2] / "examples/bookshop/kirikae.yml").read_text()
FAULTS = [
    ('account: "123456789012"', "account: 123456789012", "account", "put it in quotes"),
    ("service: bookshop", "servce: bookshop", "servce", "did you mean `service`"),
    ('plan: ["10%", "50%", "100%"]', "plan: [10, 50, 100]", "moves.web.plan.0", "per cent sign"),
    ('plan: ["10%", "50%", "100%"]', 'plan: ["10%", "50%"]', "moves.web", "end at 100%"),
    ('plan: ["10%", "50%", "100%"]', 'plan: ["50%", "10%", "100%"]', "moves.web", "must rise"),
    (
        "advance: auto",
        "advance: sometimes",
        "moves.web.advance",
        "choose one of 'ask', 'window' or 'auto'",
    ),
    ("kind: traffic", "kind: jobs", "moves.web.kind", "cannot be moved by this release"),
    ("bake: 8s", "bake: 8", "moves.web.judge.bake", "not a duration"),
    ('false_alarms: "1%"', 'false_alarms: "70%"', "moves.web.judge.false_alarms", "less than 0.5"),
    ("fast_enough: 1s", "{fast_enough: 1s", "", "not YAML"),
    (
        "fast_enough: 1s",
        'fast_enough: 1s\n      slower_at_most: "10%"',
        "moves.web.judge",
        "not both",
    ),
    (
        "listener_rule: bookshop/main",
        "listener_rule: main",
        "moves.web.router.listener_rule",
        "must match",
    ),
    ("store: .kirikae/state.db", "store: gs://bucket", "store", "s3://BUCKET/PREFIX"),
    ("advance: auto", "advance: window", "moves.web", "needs `windows`"),
    (
        "advance: auto",
        "advance: window\n    windows: [Mon 9-17]",
        "moves.web.windows",
        "Mon-Fri 10:00-17:00",
    ),
    ("store: .kirikae/state.db", "time_zone: Asia/Kyoto", "time_zone", "such as Asia/Tokyo"),
    (
        "store: .kirikae/state.db",
        "freezes: [{from: 2027-01-05, until: 2026-12-28, why: x}]",
        "freezes.0",
        "before it begins",
    ),
]


def test_the_sample_can_be_used():
    """The file that ships is a good one."""
    project = read_project(GOOD, "kirikae.yml")
    assert project.moves["web"].plan == (100, 500, 1000)
    assert project.moves["web"].judge.worse_requests_at_most == 0.02


@pytest.mark.parametrize(("before", "after", "key", "remedy"), FAULTS)
def test_a_fault_names_file_line_key_and_remedy(before, after, key, remedy):
    """An operator can mend the file from the message alone."""
    assert before in GOOD
    text = GOOD.replace(before, after)
    with pytest.raises(ProjectProblem) as caught:
        read_project(text, "kirikae.yml")
    message = str(caught.value)
    assert message.startswith("kirikae.yml:") and key in message and remedy in message, message


def test_the_line_is_the_line_of_the_fault():
    """Not the first line of the block."""
    text = GOOD.replace("bake: 8s", "bake: 8")
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "bake: 8" in row)
    with pytest.raises(ProjectProblem, match=f"kirikae.yml:{line}: moves.web.judge.bake"):
        read_project(text, "kirikae.yml")


def test_every_fault_is_told_at_once():
    """Not one per run."""
    text = GOOD.replace("bake: 8s", "bake: 8").replace("kind: traffic", "kind: jobs")
    with pytest.raises(ProjectProblem) as caught:
        read_project(text, "kirikae.yml")
    assert len(str(caught.value).splitlines()) == 2


def test_an_empty_or_scalar_file_is_refused():
    """Also what is hardly a file."""
    for text in ("", "just words", "- a\n- b\n"):
        with pytest.raises(ProjectProblem):
            read_project(text, "k.yml")


@given(st.lists(st.integers(0, len(GOOD.splitlines()) - 1), max_size=3), st.text(max_size=8))
def test_a_damaged_file_is_read_or_refused(lines, junk):
    """Whatever is done to its lines: a project, or a problem that begins with the file's name;
    never a traceback."""
    rows = GOOD.splitlines()
    for line in lines:
        rows[line] = rows[line][: len(rows[line]) // 2] + junk
    try:
        read_project("\n".join(rows), "kirikae.yml")
    except ProjectProblem as problem:
        assert str(problem).startswith("kirikae.yml")


def test_the_schema_knows_every_key():
    """The published schema is made from the model that reads the file."""
    assert set(project_schema()["properties"]) == set(Project.model_fields)


@pytest.mark.parametrize(
    ("text", "share"), [("0.1%", 1), ("1%", 10), ("99.9%", 999), ("100%", 1000), (" 25% ", 250)]
)
def test_shares_are_read_and_written(text, share):
    """Permille in, per cent out."""
    assert share_from(text) == share
    assert share_from(percent(share)) == share


@pytest.mark.parametrize("bad", [1, 0.5, "1", "0.01%", "101%", "-1%", "", None, True])
def test_a_share_that_may_be_misread_is_refused(bad):
    """Is 1 one per cent or all of it?  Nobody has to guess."""
    with pytest.raises(ValueError, match=r"share|whole"):
        share_from(bad)


def test_durations_and_parts():
    """Units stand in the text."""
    assert (
        seconds_from("10m"),
        seconds_from("2h"),
        milliseconds_from("150ms"),
        milliseconds_from("2s"),
    ) == (600, 7200, 150, 2000)
    assert part_from("0.05%") == pytest.approx(0.0005)
    for bad in (10, "10", "ten"):
        with pytest.raises(ValueError, match="write"):
            seconds_from(bad)
        with pytest.raises(ValueError, match="write"):
            part_from(bad)
