"""Between the lock and the first fleet: what a person locked, the database's schema, and hooks."""

from __future__ import annotations

import subprocess

import pytest

from kirikae.model.errors import UsageProblem
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release.contents import IGNORE_FILE
from kirikae.release.errors import HookFailed, NotFinished, SchemaInTheWay, UnderWay
from kirikae.release.freeze import Freeze
from kirikae.release.ledger import Ledger, Outcome
from kirikae.release.lock import Lock
from kirikae.release.manifest import About, pack
from kirikae.release.schema import Schema, asked, assert_readable
from tests.fleet import around_of


@pytest.fixture
def ledger(tmp_path):
    return Ledger(SqliteStore(tmp_path / "around.db"), "test", "shop", "me")


@pytest.fixture
def around(tmp_path, ledger):
    found = around_of(tmp_path, ledger)
    (tmp_path / "app").mkdir()
    (tmp_path / "app/x").touch()
    packed = pack(tmp_path / "app")
    for name, schema in (
        ("r3", Schema(2, 3)),
        ("r5", Schema(3, 5, 5)),
        ("r6", Schema(6, 6)),
        ("plain", None),
    ):
        about = About(schema=None if schema is None else schema.to_plain())
        found.releases.keep(name, packed, "", "me", 1.0, about)
    return found


def hook(folder, name, body):
    path = folder / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


# --- the schema


@pytest.mark.parametrize(
    ("reads", "provides", "found"),
    [
        ("3-5", 5, Schema(3, 5, 5)),
        ("4", None, Schema(4, 4)),
        (None, None, None),
        ("5-3", None, UsageProblem),
        ("3-5", 6, UsageProblem),
        (None, 5, UsageProblem),
        ("three", None, UsageProblem),
    ],
)
def test_a_schema_is_asked_for_as_a_range(reads, provides, found):
    if found is UsageProblem:
        with pytest.raises(UsageProblem, match="schema"):
            asked(reads, provides)
    else:
        assert asked(reads, provides) == found


@pytest.mark.parametrize(
    ("wanted", "level", "others", "target"),
    [
        (None, 4, [], None),
        (Schema(3, 5, 5), 4, [], 5),
        (Schema(3, 5, 5), None, [], 5),
        (Schema(3, 5, 5), 5, [], None),
        (Schema(3, 7, 5), 6, [], None),
        (Schema(3, 5), 4, [], None),
        (Schema(3, 5, 5), 4, [("old", Schema(4, 5))], 5),
        (Schema(3, 5, 5), 4, [("old", Schema(3, 4))], SchemaInTheWay),
        (Schema(3, 5, 5), 6, [], SchemaInTheWay),
        (Schema(3, 5), 6, [], SchemaInTheWay),
    ],
)
def test_no_release_goes_where_it_could_not_read_nor_takes_the_schema_from_another(
    wanted, level, others, target
):
    """The database never goes back."""
    if target is SchemaInTheWay:
        with pytest.raises(SchemaInTheWay, match="schema"):
            assert_readable("r", wanted, level, others)
    else:
        assert assert_readable("r", wanted, level, others) == target


def test_a_migration_runs_once_under_the_lock_and_before_the_first_fleet(tmp_path, around, ledger):
    """The other fleet must read what it makes; a rollback never goes below it."""
    ahead = around.ahead("r5", ["new"])
    with pytest.raises(HookFailed, match="hooks/migrate that does it; nothing was changed"):
        ahead.do("r5")
    hook(tmp_path, "migrate", 'echo "$KIRIKAE_SCHEMA_TO $KIRIKAE_RELEASE" >>ran; exit $(cat code)')
    (tmp_path / "code").write_text("1")
    with pytest.raises(NotFinished, match="migrate ended with 1"):
        ahead.do("r5")
    (tmp_path / "code").write_text("0")
    ahead.do("r5")
    ahead.do("r5")
    assert (tmp_path / "ran").read_text() == "5 r5\n5 r5\n"
    assert ahead.level.now() == 5
    with pytest.raises(SchemaInTheWay, match="r3 reads the schema 2-3, and the database has 5"):
        ahead.go_back(["r3"])
    ahead.go_back(["r5", "plain", "nobody-made-it"])
    with pytest.raises(SchemaInTheWay, match="r6 reads"):
        ahead.do("r6")


def test_what_serves_on_the_other_fleet_keeps_its_schema(tmp_path, around, ledger):
    hook(tmp_path, "migrate", "exit 0")
    ledger.end(ledger.begin("r3", "old"), Outcome.DONE, "")
    with pytest.raises(SchemaInTheWay, match="r3 on the other fleet does not read"):
        around.ahead("r5", ["new"]).do("r5")
    assert around.ahead("r5", ["old", "new"]).target("r5") == 5


# --- hooks and a person's lock


def test_a_hook_that_refuses_leaves_every_fleet_as_it_is(tmp_path, around, ledger):
    """And knows what is about to happen; the last one is told how it went."""
    hook(tmp_path, "pre-deploy", '[ "$KIRIKAE_FLEETS" = old,new ] && [ "$KIRIKAE_PERFORMER" = me ]')
    around.ahead("plain", ["old", "new"]).do("plain")
    refused = around.ahead("plain", ["new"])
    lock = Lock(SqliteStore(tmp_path / "around.db"), "test", "shop")
    with pytest.raises(HookFailed, match="pre-deploy ended with 1; nothing was changed"):
        deploying.deploy("plain", [], ledger, lock, lambda: refused.do("plain"))
    assert ledger.all() == []
    hook(tmp_path, "post-deploy", 'echo "$KIRIKAE_OUTCOME" >ended; exit 4')
    assert refused.hooks.after("rolled back") == "the hook post-deploy ended with 4"
    assert (tmp_path / "ended").read_text() == "rolled back\n"


def test_a_lock_of_a_person_s_bears_a_name_a_message_and_an_end(tmp_path, around):
    """Somebody else may end it only by force; it ends by itself."""
    store = SqliteStore(tmp_path / "around.db")
    now = [1000.0]
    freeze = Freeze(store, "test", "shop", lambda: now[0])
    freeze.assert_none()
    freeze.take("hanako", "the sale", 60)
    with pytest.raises(UnderWay, match=r"hanako has locked it until .*: the sale"):
        freeze.assert_none()
    with pytest.raises(UnderWay, match="unlock --force"):
        freeze.take("taro", "x", 60)
    with pytest.raises(UnderWay, match="--force"):
        freeze.end("taro", False)
    assert freeze.take("hanako", "longer", 120).until == 1120
    now[0] = 1121
    freeze.assert_none()
    freeze.take("taro", "x", 60)
    assert freeze.end("hanako", True).who == "taro" and freeze.now() is None
    Freeze(store, "test", "shop").take("hanako", "the sale", 60)
    with pytest.raises(UnderWay, match="the sale"):
        around.ahead("plain", ["new"]).do("plain")


# --- what git tracks


def test_in_a_repository_what_git_tracks_goes_along_and_the_rest_is_told(tmp_path):
    """An ignore file, even an empty one, says otherwise; where git tracks nothing, all goes."""
    names = ("app.py", "lib/a.py", "notes.txt", "lib/b.log")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    for words in (["init", "-q"], ["add", "app.py", "lib/a.py"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    found = pack(tmp_path)
    told = {each.name: (each.why, each.size) for each in found.left_out}
    assert found.files == 2 and told["notes.txt"][0].startswith("git does not track it")
    assert told["lib/b.log"][1] == len("lib/b.log") and ".git/" in told
    (tmp_path / IGNORE_FILE).write_text("*.log\n")
    assert pack(tmp_path).files == 3
    (tmp_path / "build").mkdir()
    (tmp_path / "build/out").touch()
    assert pack(tmp_path / "build").files == 1
