"""Every verb of the command line keeps the same few promises; new ones are found by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, OUTCOMES
from kirikae.console.main import _GROUPS, TRACEBACK, cli
from kirikae.console.options import Number
from kirikae.traffic.kind import TRAFFIC
from tests.command import run
from tests.world import WORLD, known

ARN = "arn:aws:iam::123456789012:user/sre"
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://web1"]}
  new: {cluster: c, ecs_service: b, target_group: b}
moves:
  earth: {kind: world, file: world, advance: auto}
"""
ARGUMENTS = {
    "survey diff": ["web1", "web2"],
    "survey explain": ["ST03"],
    "explain": ["ST03"],
    "iam": ["drive"],
    "jobs lint": ["no-such-crontab"],
    "jobs next": ["no-such-crontab"],
    "jobs wrap": ["no-such-crontab", "--zone", "UTC"],
    "jobs unwrap": ["no-such-crontab"],
    "jobs write": ["batch"],
    "jobs export": ["no-such-crontab", "--target", "rules"],
    "jobs serve": ["--listen", "nowhere"],
    "jobs scheduler": ["no-such-crontab", "--queue", "q.fifo", "--ledger", "nowhere"],
    "jobs worker": ["--queue", "q.fifo", "--ledger", "nowhere"],
    "jobs history": ["--ledger", "nowhere"],
    "jobs show": ["a@20260308T0700Z", "--ledger", "nowhere"],
    "jobs own": ["new", "a", "--ledger", "nowhere"],
    "logs layout": ["no-such-tree"],
    "logs classify": ["earth"],
    "logs double": ["on", "earth"],
    "logs backfill": ["earth"],
    "logs verify": ["earth"],
    "logs tables": ["earth", "--view"],
    "build explain": ["/etc/passwd"],
    "build image": ["r1"],
    "release create": ["r1", "--from", "."],
    "release deploy": ["r1", "--to", "new"],
    "release rollback": ["--to", "new"],
    "release lock": ["--message", "the sale"],
    "guard check": ["no-such-Dockerfile"],
    "guard nist": ["no-such-Dockerfile"],
    "guard tickets": ["no-such-Dockerfile", "--github", "shop/web"],
    "ecs init": ["--service", "shop"],
    "ecs render": ["config"],
    "move judge": ["figures.jsonl"],
    "move drive": ["earth", "--service"],
    "back-out": ["earth"],
    "local interrupt-spot": ["50"],
}
"""What a verb needs to be called at all; a verb of a move that is not here gets its name."""


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, (*path, name))
    else:
        yield " ".join(path), command


VERBS = dict(leaves(cli))
OUTCOME_WORDS = {*OUTCOMES.values(), DRY_RUN, NOTHING_TO_DO}


@pytest.mark.parametrize("verb", VERBS)
def test_no_number_is_without_limits(verb):
    """NaN is never over: who waits until it is waits for ever."""
    for param in VERBS[verb].params:
        kind = param.type
        if isinstance(kind, click.types.FloatParamType):
            assert isinstance(kind, Number) and kind.min is not None, param.name
        if isinstance(kind, click.types.IntParamType):
            assert isinstance(kind, click.IntRange) and kind.min is not None, param.name


def not_a_folder(folder: Path) -> None:
    (folder / ".kirikae").mkdir()
    (folder / ".kirikae" / "releases").touch()


def a_folder_in_its_place(folder: Path) -> None:
    (folder / ".kirikae" / "releases" / "r1.tar.gz").mkdir(parents=True)


@pytest.mark.parametrize("trouble", [not_a_folder, a_folder_in_its_place])
def test_a_disk_that_does_not_take_it_is_told_with_the_file(tmp_path, monkeypatch, trouble):
    """It is no fault of kirikae's own, and who works here can mend it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_text(PROJECT.split("moves:")[0])
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "x").touch()
    trouble(tmp_path)
    for words in (["--json"], []):
        ran = run("release", "create", "r1", "--from", "app", *words)
        told = ran.json["message"] if words else ran.stderr
        assert ran.exit_code == 3 and "releases" in told and "see to the disk" in told
        assert "kirikae itself failed" not in told


def has(command: click.Command, option: str) -> bool:
    return any(option in param.opts for param in command.params)


def words_of(verb: str) -> list[str]:
    given = ARGUMENTS.get(verb, ["earth"] if verb.startswith("move ") else [])
    return [*verb.split(), *given]


def objects(text: str) -> list[Any]:
    """The whole of what was printed: one object, or one a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def assert_answers_in_json(verb: str, *more: str) -> dict[str, Any]:
    ran = run(*more, *words_of(verb), "--json")
    assert ran.stdout, (verb, ran)
    last = objects(ran.stdout)[-1]
    assert isinstance(last, dict) and last.get("outcome") in OUTCOME_WORDS, (verb, last)
    return {**last, "exit": ran.exit_code}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, WORLD))
    # Who we are is asked of AWS; here nobody answers anything else.
    monkeypatch.setattr(Aws, "identity", lambda self, account: ARN)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("KIRIKAE_SSH", "false")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    line = {"t": 1, "side": "old", "requests": 1}
    (tmp_path / "figures.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_speaks_json(verb):
    """Beside every human output."""
    assert has(VERBS[verb], "--json"), verb


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_project_file_it_says_so_in_json(verb, tmp_path, monkeypatch):
    """An error is an answer: one object with `outcome` in words, and the exit code that it means.
    Verbs that need no project file do what they do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "figures.jsonl").write_text("")
    if verb in ("local up", "local logs"):
        return  # would start the endpoint; its dry run is asked below
    answer = assert_answers_in_json(verb)
    if "message" in answer and "kirikae.yml" in answer["message"]:
        assert (answer["exit"], answer["outcome"]) == (2, "wrong usage")


@pytest.mark.parametrize("verb", VERBS)
def test_a_word_too_many_is_wrong_usage_in_json(verb, tmp_path, monkeypatch):
    """Also what click itself refuses."""
    monkeypatch.chdir(tmp_path)
    ran = run(*verb.split(), "--no-such-option", "--json")
    assert ran.exit_code == 2
    assert json.loads(ran.stdout)["outcome"] == "wrong usage"


DRY = [verb for verb, command in VERBS.items() if has(command, "--dry-run")]


@pytest.mark.parametrize("verb", DRY)
def test_a_dry_run_answers_in_json_and_changes_nothing(verb, folder):
    """What would be done, or why it would be refused; no file is written, no share is turned."""
    assert run("move", "start", "earth", "--detach").exit_code in (0, 1)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    ran = run(*words_of(verb), "--dry-run", "--json")
    answer = objects(ran.stdout)[-1]
    assert answer["outcome"] in OUTCOME_WORDS, answer
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert {f: b for f, b in after.items() if ".kirikae" not in f.parts} == {
        f: b for f, b in before.items() if ".kirikae" not in f.parts
    }, verb


ONLY_LOOKS = ("survey aws", "survey collect", "survey watch")
"""They send reading calls and commands only; what they keep lies in ``.kirikae``."""
CHANGING = [v for v in DRY if not v.startswith("local ") and v not in ONLY_LOOKS]


@pytest.mark.parametrize("verb", CHANGING)
def test_what_changes_something_refuses_to_begin_under_read_only(verb, folder):
    """Before anything is written down; the dry run is still there."""
    answer = assert_answers_in_json(verb, "--read-only")
    assert answer["exit"] in (1, 2), (verb, answer)
    assert not (folder / "world").exists()


def test_the_table_of_verbs_and_their_modules_agree():
    """A group's line in the table names what its module has."""
    assert set(_GROUPS) == set(cli.list_commands(click.Context(cli)))
    assert {verb.split()[0] for verb in VERBS} == set(_GROUPS)


def test_a_fault_of_our_own_is_one_line_and_never_done(folder, monkeypatch):
    """Whether something was changed is not known: exit code 3, and what to do next."""
    monkeypatch.delenv(TRACEBACK)

    def broken(*_):
        raise KeyError("ZoneName")

    monkeypatch.setattr(kinds, "read_source", broken)
    ran = run("move", "status", "earth", "--json")
    assert ran.exit_code == 3 and ran.json["outcome"] == "unfinished"
    assert "KeyError: 'ZoneName'" in ran.json["message"] and "Traceback" not in ran.stderr
    assert "KIRIKAE_TRACEBACK=1" in run("move", "status", "earth").stderr


def test_a_name_that_no_file_can_have_is_wrong_usage(folder):
    ran = run("release", "create", "r1", "--from", "[" * 5000)
    assert ran.exit_code == 2 and "no file can have so long a name" in ran.stderr
    assert len(ran.stderr) < 400
