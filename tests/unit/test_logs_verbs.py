"""`kirikae logs`: from a tree that nobody has described to one that is proven, on the command
line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kirikae.aws.session import Aws
from kirikae.logs.thing import LogsThing
from kirikae.model.said import LANGUAGES
from tests.logs_made import line_of, made, packed
from tests.logs_place import PROJECT, LogsPlace
from tests.logs_world import BEGIN
from tests.pace import eventually

ARN = "arn:aws:iam::123456789012:user/sre"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> LogsPlace:
    place = LogsPlace(tmp_path / "shop")
    place.fill(days=2)
    return place


def test_the_whole_way(place):
    """Look, classify, move, prove, tell the query engine."""
    found = place.json("logs", "layout", str(place.old_root))
    assert (found["prefix"], found["zone"], found["grain"]) == ("%Y/%m/%d/", "Asia/Tokyo", "day")
    assert found["format"] == "combined" and found["yaml"].startswith("old: {at: ")
    classes = place.json("logs", "classify", "web")
    assert classes["classes"]["C"]["objects"] == 2 and classes["dollars"] > 0
    would = place.json("logs", "backfill", "web", "--dry-run")
    assert would["outcome"] == "dry run" and would["objects"] == 2 and not place.tree()
    assert place.run("logs", "verify", "web").exit_code == 1, "nothing was moved yet"
    moved = place.json("logs", "backfill", "web")
    assert moved["objects"] == {"done": 2} and moved["outcome"] == "done"
    assert place.json("logs", "backfill", "web")["unchanged"] == 2
    proven = place.json("logs", "verify", "web", "--deep", "--export")
    assert proven["pass"] == len(proven["proofs"]) > 24 and not proven["fail"]
    again = place.json("logs", "verify", "web", "--deep", "--export")
    assert again["proofs"] == proven["proofs"], "a proof is written once"
    for wants in ("--projection", "--view"):
        assert place.run("logs", "tables", "web", wants).exit_code == 0


def test_what_is_wrong_is_told_with_its_folder_and_the_object_to_do_again(place):
    """Exit code 6, in both languages."""
    place.run("logs", "backfill", "web")
    key = next(iter(place.tree()))
    (place.new_root / key).unlink()
    for language in LANGUAGES:
        ran = place.run("logs", "verify", "web", "--lang", language)
        assert ran.exit_code == 6 and key in ran.stdout and "web1_0.log.GZ" in ran.stdout
        assert "{" not in ran.stdout
    assert place.json("logs", "verify", "web", "--folder", "nowhere/")["outcome"] == "wrong usage"


def test_a_move_of_another_kind_and_a_tree_that_is_not_there_are_told(place, tmp_path):
    """With what to write instead."""
    assert "has no move" in place.run("logs", "classify", "mail").stderr
    assert "is no folder" in place.run("logs", "layout", "no-such-tree").stderr
    assert "'' is no folder" in place.run("logs", "layout", "").stderr, "and not all folders"
    (tmp_path / "empty").mkdir()
    assert "holds no object" in place.run("logs", "layout", str(tmp_path / "empty")).stderr
    assert "say which" in place.run("logs", "tables", "web").stderr


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("zone: Asia/Tokyo", "zone: Tokyo", "is not a time zone"),
        ("old/%Y/%m/%d/", "old/%m/%d/", "does not name the day"),
        ("old/%Y/%m/%d/", "old/%Y/%m/%d/%S/", "is none of %Y"),
        ("new/%Y/%m/%d/%H/", "new/%Y/%m/%d/", "needs %H"),
        ("bake: 0s", "double_write_since: 2026-11-20T10:00:00", "has no offset"),
        ("bake: 0s", 'double_write_since: "2026-11-20T10:00:00"', "has no offset"),
        ("bake: 0s", "double_write_since: 2026-11-20", "has no offset"),
        ("bake: 0s", 'double_write_since: "yesterday"', "double status"),
        ("writer: fluentd", "format: nginx", "is none of combined"),
    ],
)
def test_a_layout_that_cannot_be_is_told_by_line_and_key(place, before, after, told):
    """Before anything is looked at."""
    file = place.folder / "kirikae.yml"
    file.write_text(PROJECT.replace(before, after))
    ran = place.run("logs", "classify", "web")
    assert ran.exit_code == 2 and told in ran.stderr and "kirikae.yml:" in ran.stderr


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-20T10:00:00Z",
        '"2026-11-20T10:00:00Z"',
        "2026-11-20T19:00:00+09:00",
        "'2026-11-20T19:00:00+09:00'",
        '"2026-11-20 10:00:00+00:00"',
    ],
)
def test_since_when_both_are_written_may_stand_in_quotes(place, written):
    """YAML's own time and the same as a text are one moment."""
    file = place.folder / "kirikae.yml"
    file.write_text(PROJECT.replace("bake: 0s", f"double_write_since: {written}"))
    found = place.json("logs", "double", "status", "web")["double_write_since"]
    assert datetime.fromisoformat(found) == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_the_double_write_is_measured_from_the_first_record(place):
    """What kirikae put there does not count."""
    assert place.run("logs", "double", "status", "web").exit_code == 5
    place.run("logs", "backfill", "web")
    assert place.json("logs", "double", "status", "web")["measured"] is None
    when = BEGIN + timedelta(hours=40, minutes=7)
    lines = [line_of("combined", when + timedelta(minutes=n), n) for n in (3, 0, 5)]
    hour = when.astimezone(UTC).strftime("%Y/%m/%d/%H/")
    place.put_new(f"{hour}firehose-1.gz", packed(b"\n".join(lines) + b"\n"))
    assert place.json("logs", "double", "status", "web")["measured"] == "2026-11-21T07:07:00Z"


def test_the_configuration_of_each_writer(place):
    """What a person puts in, and takes out again; the new tree's zone counts."""
    file = place.folder / "kirikae.yml"
    for writer, says in (
        ("fluentd", "timekey_use_utc true"),
        ("fluent-bit", "s3_key_format"),
        ("vector", 'timezone = "UTC"'),
        ("rsyslog", 'date.inUTC="on"'),
    ):
        file.write_text(PROJECT.replace("writer: fluentd", f"writer: {writer}"))
        assert says in place.json("logs", "double", "on", "web")["configuration"]
        assert place.json("logs", "double", "off", "web")["remove"]
    file.write_text(PROJECT.replace("writer: fluentd", "writer: firehose"))
    assert "writes one tree only" in place.run("logs", "double", "on", "web").stderr


def test_an_auditor_repeats_the_proof_without_kirikae(place):
    """The script of the how-to, run by a Python that knows nothing of kirikae but xxhash."""
    place.run("logs", "backfill", "web")
    place.run("logs", "verify", "web", "--deep", "--export")
    page = (ROOT / "docs" / "how-to" / "prove-logs.md").read_text(encoding="utf-8")
    script = page.split("```python\n")[1].split("```")[0]
    file = place.folder / "audit.py"
    file.write_text(script)
    done = subprocess.run(
        [sys.executable, str(file), str(place.new_root)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].endswith("0 wrong"), done.stdout
    key = next(key for key in place.tree() if not key.startswith("_"))
    (place.new_root / key).write_bytes(packed(b"altered\n"))
    wrong = subprocess.run(
        [sys.executable, str(file), str(place.new_root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 1 and key in wrong.stdout


def test_a_window_keeps_it_waiting(place):
    """Exit code 5, and the same command goes on."""
    now = datetime.now(UTC)
    closed = f"{now + timedelta(hours=3):%H}:00-{now + timedelta(hours=4):%H}:00"
    if closed.endswith("-00:00"):
        closed = closed.replace("-00:00", "-24:00")
    ran = place.run("logs", "backfill", "web", "--window", closed)
    assert ran.exit_code == 5 and not place.tree()
    assert place.run("logs", "backfill", "web", "--window", "at night").exit_code == 2
    assert place.run("logs", "backfill", "web").exit_code == 0


def test_readers_are_shifted_only_over_what_is_proven(place, monkeypatch):
    """The whole way of the move: plan, start, retire refused while the double write has shown
    nothing, back out."""
    monkeypatch.setattr(Aws, "identity", lambda self, account: ARN)
    monkeypatch.setattr(LogsThing, "look_every_s", 0.01)  # nothing here comes by waiting
    accepted = "accepted:\n  - {finding: SV01, where: web1, why: x, by: x, until: 2099-12-31}\n"
    (place.folder / "kirikae.yml").write_text(PROJECT + accepted)
    assert place.json("move", "plan", "web")["findings"][0]["code"] == "LM01"
    place.backfill_and_verify()
    planned = place.json("move", "plan", "web")
    assert planned["steps"][0]["folders"] == 5 and planned["steps"][-1]["folders"] == 48
    started = place.run("move", "start", "web")
    assert started.exit_code == 0, started.stderr
    view = place.folder / "views" / "access.sql"
    assert view.read_text().startswith("-- kirikae: share 1000\n")
    assert "access_old" not in view.read_text()
    refused = place.run("move", "retire", "web")
    assert refused.exit_code == 1 and "3 must (`agree`)" in refused.stderr
    view.write_text(view.read_text().replace("access_new", "access_other"))
    assert place.json("move", "status", "web")["found_share"] is None
    assert place.run("back-out", "web").exit_code == 4
    assert view.read_text().startswith("-- kirikae: share 0\n")


def test_a_folder_that_goes_wrong_under_readers_sends_them_back(place, monkeypatch):
    """And one that they do not get yet only keeps them from going on."""
    from kirikae.model.evidence import Verdict
    from kirikae.model.move import Move, Phase

    place.backfill_and_verify()
    place.thing.shift("web", 100, (0,))
    key = list(place.tree())[-1]
    (place.new_root / key).unlink()
    place.run("logs", "verify", "web")
    place.journal.write(Move("web", place.thing.plan(), seq=1))
    at = Move("web", place.thing.plan(), Phase.RUNNING, 100, seq=1, stepped=1, attempt=1)
    evidence = place.thing.compare(at)
    assert evidence.verdict is Verdict.FAIL and key[: key.rfind("/") + 1] in json.dumps(
        evidence.to_plain()
    )
    place.thing.shift("web", 0, None)
    zero = Move("web", place.thing.plan(), Phase.RUNNING, 0, seq=1, stepped=1, attempt=1)
    assert place.thing.compare(zero).verdict is Verdict.UNSURE


def test_of_two_owners_one_is_let_in_and_after_its_sigkill_the_next(place):
    """Real processes; the workers of a killed owner do not keep its lock."""
    command = [sys.executable, "-m", "kirikae", "--project", str(place.folder / "kirikae.yml")]
    command += ["logs", "backfill", "web", "--workers", "2"]
    owner = subprocess.Popen([*command, "--rate", "0.1"], stderr=subprocess.DEVNULL)
    lock = place.folder / ".kirikae" / "logs" / "web.lock"
    try:
        held = f"process {owner.pid} on "
        eventually(lambda: lock.exists() and held in lock.read_text(), "the lock is held")
        rival = subprocess.run(command, check=False, capture_output=True, text=True)
        assert rival.returncode == 1
        assert held in rival.stderr and "run the same" in rival.stderr
        assert held in place.run("logs", "verify", "web").stderr
    finally:
        owner.kill()
        owner.wait()
    next_one = subprocess.run(command, check=False, capture_output=True, text=True)
    assert next_one.returncode == 0, next_one.stderr
    assert sum(place.new_lines().values(), Counter()) == place.old_lines()
    assert place.json("logs", "backfill", "web")["unchanged"] == 2


def test_two_workers_give_what_one_gives(place, tmp_path):
    """Real processes: each object in one of them, one manifest."""
    other = LogsPlace(tmp_path / "other")
    for number in range(4):
        day = BEGIN + timedelta(days=number)
        body = packed(made("combined", day, timedelta(hours=24), 40, number).body)
        other.put(f"{day:%Y/%m/%d}/b.gz", body)
    command = [sys.executable, "-m", "kirikae", "--project", str(other.folder / "kirikae.yml")]
    subprocess.run(
        [*command, "logs", "backfill", "web", "--workers", "2"], check=True, capture_output=True
    )
    assert sum(map(sum, (c.values() for c in other.new_lines().values()))) == sum(
        other.old_lines().values()
    )
    assert other.run("logs", "verify", "web", "--deep").exit_code == 0
    assert other.json("logs", "backfill", "web")["unchanged"] == 4
