"""The project file is read strictly; each fault names file, line, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.console.kinds import project_schema, read_project
from kirikae.model.errors import ProjectProblem, UsageProblem
from kirikae.model.project import Project
from kirikae.model.share import percent, share_from
from kirikae.model.values import milliseconds_from, part_from, seconds_from
from tests.command import run

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
    ("kind: traffic", "kind: emails", "moves.web.kind", "cannot be moved by this release"),
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
    message = refusal(GOOD.replace(before, after))
    assert message.startswith("kirikae.yml:") and key in message and remedy in message, message


ACCOUNT = 'account: "123456789012"'
STORE = "store: .kirikae/state.db"
BAKE = "bake: 8s"
PLAN = 'plan: ["10%", "50%", "100%"]'
ACCEPTED = "accepted: [{finding: a, where: b, why: c, by: d, until: UNTIL}]"


ONLY_JOBS = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {hosts: ["ssh://batch1"]GROUP}
  new: {cluster: shop, ecs_service: none GROUP}
moves:
  batch: {kind: jobs, crontab: crontab, ledger: "http://127.0.0.1:8062"}
"""


def refusal(text: str) -> str:
    with pytest.raises(ProjectProblem) as caught:
        read_project(text, "kirikae.yml")
    return str(caught.value)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("before", "after", "remedy"),
    [
        (ACCOUNT, "account: 012345678901", 'put it in quotes: "012345678901"'),
        (ACCOUNT, "account: 0o123", 'put it in quotes: "0o123"'),
        (ACCOUNT, "account: .nan", 'put it in quotes: ".nan"'),
        (ACCOUNT, "account: " + "1" * 400, "must be a string"),
        (ACCOUNT, "account: " + "1" * 5000, "too long for a number (text: put it in quotes)"),
        (ACCOUNT, "account:", "a value must be given"),
        (ACCOUNT, "account: [1]", "one text is needed, and no list"),
        (ACCOUNT, 'account: "１２３４５６７８９０１２"', "write the 12 digits"),
        (ACCOUNT, 'account: "12\\x1b[31m"', "holds a control character (U+001B)"),
        (ACCOUNT, 'account: "12\\ud800"', "holds a control character (U+D800)"),
        (ACCOUNT, "account: !!python/name:os.system x", "means nothing here; remove it"),
        ("service: bookshop", "service: book\x1bshop", "unacceptable character #x001b"),
        ("service: bookshop", "service: <script>", "write letters, digits, dots"),
        ("service: bookshop", "service:\tbookshop", "cannot start any token"),
        (BAKE, f"bake: {'9' * 400}d", "is not a duration"),
        (BAKE, "bake: 999999999d", "ten years at most"),
        (BAKE, "bake: 1e400", "is not a duration"),
        (BAKE, "bake: ８s", "is not a duration"),
        (PLAN, 'plan: ["１%", "100%"]', "is not a share"),
        (PLAN, "plan: 10%", "a list is needed"),
        (PLAN, "plan: []", "at least 1 must be given"),
        (STORE, "time_zone: America", "such as Asia/Tokyo"),
        (STORE, f"time_zone: {'x' * 5000}", "such as Asia/Tokyo"),
        (STORE, "time_zone: ../../etc/passwd", "such as Asia/Tokyo"),
        (STORE, "region: Tokyo", "such as ap-northeast-1"),
        (STORE, "store: s3:/bucket/x", "s3://BUCKET/PREFIX"),
        (STORE, "store: S3://bucket", "s3://BUCKET/PREFIX"),
        (STORE, "store: .kirikae/", "such as .kirikae/state.db"),
        (STORE, "store: ~/state.db", "such as .kirikae/state.db"),
        (STORE, 'store: ""', "such as .kirikae/state.db"),
        ("release_header: X-Release-Id", "release_header: 'X: y'", "write the header's name alone"),
        (STORE, "fleet: x", "did you mean `fleets`"),
        (STORE, "~: x", "the key ~ is no text"),
        ("tasks: 2", "environment: {1: a}", "the key 1 is no text"),
        (STORE, ACCEPTED.replace("UNTIL", "2027-02-30"), "day is out of range for month"),
        (STORE, ACCEPTED.replace("UNTIL", '"2027-02-28"'), "a day is needed, without quotes"),
        (STORE, ACCEPTED.replace("UNTIL", "99999-02-03"), "a day is needed"),
        ("get: /health", 'get: "/a b"', "has no spaces"),
        ("get: /health", 'get: "/a\\r\\nHost: x"', "has no spaces"),
        ("get: /health", "get: /日本", "other letters as %XX"),
        ("period: 1s", "period: 0s", "more than 0"),
        ("period: 1s", "period: 7s", "CloudWatch has no figures of 7 s"),
        ("fast_enough: 1s", "fast_enough: 0ms", "more than 0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_told_with_its_line(before, after, remedy):
    """Huge, not a number, in other digits, of another type, for another eye: never a traceback, and
    one line a fault."""
    assert before in GOOD
    text = GOOD.replace(before, after, 1)
    told = refusal(text).split("\n")
    number = line_of(text, after)
    fitting = [line for line in told if remedy in line]
    assert fitting and all(line.startswith(f"kirikae.yml:{number}:") for line in told), told
    assert all(len(line) <= 500 and line.isprintable() for line in told)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        (LAUGHS, "with its aliases (*name) written out"),
        ("#" + "x" * 2_000_000, "more than 1000 kB"),
        ("x:\n" + "".join(f"  k{n}: x\n" for n in range(30_000)), "more than 20000 values"),
        ("x: " + "[" * 9_000, "nested more than 20 deep"),
        ("x: " + "{a: " * 9_000, "nested more than 20 deep"),
        (f"x: {'y' * 20_000}", "longer than a value can be"),
        ("".join(f"k{n}: x\n" for n in range(3_000)), "and more; mend these first"),
        ("---\na: 1\n", "found another document"),
        (f"{ACCOUNT}\n", "duplicate key"),
    ],
)
def test_a_file_that_is_no_project_file_is_refused_before_it_costs(more, remedy):
    """Aliases, comments, nesting, a flood of keys: told in a few lines."""
    told = refusal(GOOD + more)
    assert remedy in told and len(told) < 10_000 and told.startswith("kirikae.yml")


def test_an_alias_that_is_meant_can_be_used():
    """YAML's own way to say a thing once."""
    text = GOOD.replace("service: bookshop", "service: &name bookshop")
    text = text.replace("cluster: bookshop", "cluster: *name")
    assert read_project(text, "k").fleets.new.cluster == "bookshop"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (GOOD.encode("utf-16"), "kirikae.yml:1: the file is UTF-16; save it as plain UTF-8"),
        (b"service: shop\nenvironment: caf\xe9\n", "kirikae.yml:2: not UTF-8 text (byte 0xe9)"),
        (b"\0" * 50, "kirikae.yml:1: not YAML"),
        (b"", "kirikae.yml:1: the file must be a mapping"),
        (b" " * 50_000_000, "more than 1000 kB"),
    ],
)
def test_a_file_in_another_encoding_is_told(tmp_path, monkeypatch, raw, said):
    """UTF-16, Latin-1, a program, nothing; by every verb that reads it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_bytes(raw)
    for verb in (("project", "check"), ("move", "status", "web")):
        ran = run(*verb)
        assert ran.exit_code == 2 and ran.stderr.startswith("kirikae.yml") and said in ran.stderr


def test_the_mark_of_an_editor_is_no_fault(tmp_path, monkeypatch):
    """UTF-8 with a byte order mark, and lines that end as on Windows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert run("project", "check").exit_code == 0


OLD = "target_group: bookshop-ec2"
ARN = "arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener-rule/app/shop/1/2/3"
SECOND = "moves:\n  api: {kind: traffic, router: {listener_rule: bookshop/main}}"


def arn(account: str, region: str = "ap-northeast-1") -> str:
    return f"listener_rule: {ARN.replace('ACCOUNT', account).replace('REGION', region)}"


@pytest.mark.parametrize(
    ("before", "after", "key", "remedy"),
    [
        (OLD, "target_group: bookshop-ecs", "fleets.new.target_group", "(TR09)"),
        (OLD, "port: 8080", "fleets.old", "the move web turns traffic"),
        ("ssh://web2", "web2", "fleets.old.hosts.1", "write ssh://name"),
        ("ssh://web2", "ssh://web1:22", "fleets.old.hosts.1", "name it once"),
        ("ssh://batch1", "ssh://web1", "survey.also.0", "fleets.old.hosts.0"),
        ("moves:", SECOND, "moves.web.router.listener_rule", "turned by the move api"),
        (
            "listener_rule: bookshop/main",
            arn("999999999999"),
            "moves.web.router.listener_rule",
            "is of account 999999999999, and `account` says 123456789012",
        ),
        (
            "listener_rule: bookshop/main",
            arn("123456789012", "us-east-1"),
            "moves.web.router.listener_rule",
            "is of region us-east-1",
        ),
        (
            "build:\n",
            "build:\n  task_role: 'arn:aws:iam::999999999999:role/x'\n",
            "build.task_role",
            "is of account 999999999999",
        ),
        (
            STORE,
            "accepted:\n" + "- {finding: ST03, where: a, why: b, by: c, until: 2027-01-31}\n" * 2,
            "accepted.1",
            "answered for twice",
        ),
    ],
)
def test_what_a_later_verb_would_refuse_is_found_by_the_first(before, after, key, remedy):
    """As far as the file alone shows it."""
    assert before in GOOD
    told = refusal(GOOD.replace(before, after, 1))
    assert f": {key}: " in told and remedy in told, told


@pytest.mark.parametrize("group", ["", ", target_group: none"])
def test_who_moves_only_jobs_needs_no_target_groups(group):
    """None, or one word for both: nobody turns traffic between them."""
    project = read_project(ONLY_JOBS.replace("GROUP", group), "kirikae.yml")
    if not group:
        with pytest.raises(UsageProblem, match=r"fleets\.old\.target_group.* is missing"):
            assert project.fleets.old.target_group


def test_the_line_is_the_line_of_the_fault():
    """Not the first line of the block."""
    text = GOOD.replace("bake: 8s", "bake: 8")
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "bake: 8" in row)
    with pytest.raises(ProjectProblem, match=f"kirikae.yml:{line}: moves.web.judge.bake"):
        read_project(text, "kirikae.yml")


def test_every_fault_is_told_at_once():
    """Not one per run."""
    text = GOOD.replace("bake: 8s", "bake: 8") + "\nweather: rain\n"
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
