"""Whatever lies in the journal's store: the button sets share 0, and every look is an answer."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kirikae.aws.s3_store import S3Store
from kirikae.aws.session import Aws
from kirikae.console import pressing
from kirikae.model.errors import StoreBroken, Taken
from kirikae.model.move import Move, Phase
from kirikae.model.said import text
from kirikae.move.button import Finger, write_down
from kirikae.move.driver import hold_without_lease
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release.ledger import Ledger
from kirikae.release.manifest import Releases
from tests.command import run
from tests.unit.test_button import folder, journal_of, running, share
from tests.world import PLAN, Bench

__all__ = ["folder"]

Fault = Callable[[Path], None]
NO_BODIES = {
    "nothing": "",
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "NaN": "NaN",
    "a NUL": "\x00",
    "the mark of an editor": "\ufeff{}",
    "deep": "[" * 100_000,
}
WRONG = {
    "nothing": None,
    "a text": "x",
    "a list": [],
    "less than none": -5,
    "NaN": math.nan,
    "infinity": math.inf,
    "half": 1.5,
    "true": True,
    "thousands of digits": 10**400,
}


def database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / ".kirikae" / "state.db", isolation_level=None)


def entry_is(body: str) -> Fault:
    def fault(folder: Path) -> None:
        running(folder)
        with closing(database(folder)) as opened:
            opened.execute("update entry set body = ? where key like 'move/%'", (body,))

    return fault


def lease_is(body: str) -> Fault:
    def fault(folder: Path) -> None:
        running(folder)
        store = SqliteStore(folder / ".kirikae" / "state.db")
        store.create_if_absent("lease/test/shop/earth", body)

    return fault


def moved(name: str, wrong: Any) -> Fault:
    """The move in the entry has this value under this name."""
    move = Move("earth", PLAN, Phase.RUNNING, 100, seq=1, attempt=1, stepped=1)
    plain = {"move": move.to_plain() | {name: wrong}, "at": 1.0, "who": "me", "where": "here"}
    return entry_is(json.dumps({**plain, "format": 3, "requests": [], "evidence": None}))


def until(wrong: Any) -> Fault:
    lease = {"id": "x", "host": "h", "boot": "", "pid": 1, "started": "", "until": wrong}
    return lease_is(json.dumps(lease))


def changed(*statements: str) -> Fault:
    """The database is a good one, and somebody changed it by hand."""

    def fault(folder: Path) -> None:
        running(folder)
        with closing(database(folder)) as opened:
            for statement in statements:
                opened.execute(statement)

    return fault


def a_folder(folder: Path) -> None:
    (folder / ".kirikae" / "state.db").mkdir(parents=True)


def a_link_to_nowhere(folder: Path) -> None:
    (folder / ".kirikae").symlink_to("/nowhere/at/all")


def cut_off(folder: Path) -> None:
    running(folder)
    file = folder / ".kirikae" / "state.db"
    file.write_bytes(file.read_bytes()[:6000])


ENTRIES = {f"entry: {name}": entry_is(body) for name, body in NO_BODIES.items()}
FIELDS = {
    f"{name}: {word}": moved(name, wrong)
    for name in ("seq", "share")
    for word, wrong in WRONG.items()
}
FILES = {
    "a folder": a_folder,
    "a link to nowhere": a_link_to_nowhere,
    "cut off": cut_off,
    "a view": changed("alter table entry rename to old", "create view entry as select * from old"),
    "another table": changed("drop table entry", "create table entry (a int)"),
    "bytes": changed("update entry set body = cast(x'ff00fe' as text)"),
    "never takes": changed(
        "create trigger no before insert on entry begin select raise(abort, 'no'); end"
    ),
}
KEYS = {
    "another number": changed("update entry set key = replace(key, '00000001', '00000009')"),
    "another move's": moved("name", "moon"),
    "no number": changed("update entry set key = replace(key, '00000001', 'zzz')"),
}
READ = ENTRIES | FIELDS | FILES | KEYS
LEASES = {f"lease: {name}": lease_is(body) for name, body in NO_BODIES.items()}
UNTIL = {f"until: {word}": until(wrong) for word, wrong in WRONG.items()}


@pytest.mark.parametrize("fault", READ | LEASES | UNTIL)
def test_the_button_sets_0_whatever_lies_there(folder, fault, monkeypatch):
    """0%, an answer in JSON, and no doubt about the share."""
    monkeypatch.setattr(pressing, "STORE_PATIENCE_S", 0.2)
    (READ | LEASES | UNTIL)[fault](folder)
    ran = run("back-out", "earth", "--json")
    assert share(folder) == 0 and ran.exit_code in (3, 4), ran.stdout
    assert ran.json["shares"] == {"earth": "0%"}
    assert "kirikae itself failed" not in ran.stdout


@pytest.mark.parametrize("verb", ["status", "history"])
@pytest.mark.parametrize("fault", READ)
def test_a_look_says_what_cannot_be_read(folder, fault, verb):
    """With a documented exit code."""
    READ[fault](folder)
    ran = run("move", verb, "earth", "--json")
    assert "kirikae itself failed" not in ran.stdout and "Traceback" not in ran.stderr
    assert ran.json["outcome"]


@pytest.mark.parametrize("fault", FIELDS | KEYS)
def test_an_entry_that_says_what_cannot_be_is_not_believed(folder, fault):
    """Its number is that of its key, its move is that of its key, shares are permille."""
    (FIELDS | KEYS)[fault](folder)
    with pytest.raises(StoreBroken, match=r"move/test/shop/earth/.* cannot be read"):
        journal_of(folder).read("earth")


class Denying(SqliteStore):
    """Says of each key that somebody else has written it, and does not have it."""

    def create_if_absent(self, key: str, body: str) -> str:
        raise Taken(key)


def test_a_store_that_always_says_taken_is_not_asked_for_ever(tmp_path):
    """Nor by the button, nor by a hold."""
    bench = Bench(tmp_path)
    bench.plan()
    with bench.lease.held():
        while not bench.engine.step("web").move.live:
            pass
    denying = Journal(Denying(tmp_path / "state.db"), "test", "shop", "me", "here")
    for act in (
        lambda: write_down(denying, bench.thing, bench.lease, "web", text("x"), Finger()),
        lambda: hold_without_lease(denying, "web", None),
    ):
        with pytest.raises(StoreBroken, match="does not show it"):
            act()


class Bucket:
    """What boto3's client answers to a list."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def get_paginator(self, _: str) -> Bucket:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Contents": [{"Key": key} for key in self.keys]}, {}]


def test_a_folder_of_the_console_is_no_entry(monkeypatch):
    """An empty object whose key ends with a slash."""
    aws = Aws("ap-northeast-1")
    bucket = Bucket("team/", "team/move/x/web/", "team/move/x/web/00000001")
    monkeypatch.setattr(Aws, "client", lambda *_: bucket)
    assert S3Store(aws, "b", "team").list("move/x/web/") == ["move/x/web/00000001"]


# --- releases


GOOD_ENTRY = {
    "seq": 1,
    "release": "r1",
    "fleet": "new",
    "who": "me",
    "at": 1.0,
    "outcome": "done",
    "detail": "arn:aws:ecs:x:1:task-definition/shop:1",
    "previous": {},
}
LEDGER = {
    **NO_BODIES,
    **{f"at {word}": json.dumps(GOOD_ENTRY | {"at": wrong}) for word, wrong in WRONG.items()},
    **{f"previous {word}": json.dumps(GOOD_ENTRY | {"previous": w}) for word, w in WRONG.items()},
    "another word": json.dumps(GOOD_ENTRY | {"outcome": "perhaps"}),
    "a key of tomorrow": json.dumps(GOOD_ENTRY | {"mood": "good"}),
}
MANIFEST = {"id": "r1", "sha256": "0", "size": 1, "files": 1, "git": "", "who": "me", "at": 1.0}
MANIFESTS = {
    **NO_BODIES,
    "another release": json.dumps(MANIFEST | {"id": "r2"}),
    "no time": json.dumps(MANIFEST | {"at": "noon"}),
    "a key of tomorrow": json.dumps(MANIFEST | {"mood": "good"}),
    "a key less": json.dumps({"id": "r1"}),
}
HARMLESS = ("at less than none", "at half", "at true")
"""Times long ago."""


@pytest.mark.parametrize("body", [body for body in LEDGER if body not in HARMLESS])
def test_an_entry_of_the_ledger_that_is_none_is_told(tmp_path, body):
    """Never a rollback to what a damaged entry says."""
    store = SqliteStore(tmp_path / "state.db")
    store.create_if_absent("release/test/shop/00000001", LEDGER[body])
    with pytest.raises(StoreBroken, match="release/test/shop/00000001 of the store cannot be read"):
        Ledger(store, "test", "shop", "me").all()


@pytest.mark.parametrize("body", MANIFESTS)
def test_a_manifest_that_is_none_is_told(tmp_path, body):
    """Nothing of it is put on a host."""
    store = SqliteStore(tmp_path / "state.db")
    store.create_if_absent("releases/test/shop/r1", MANIFESTS[body])
    with pytest.raises(StoreBroken, match="releases/test/shop/r1 of the store cannot be read"):
        Releases(store, "test", "shop", tmp_path).get("r1")


@pytest.mark.parametrize("body", NO_BODIES)
def test_images_that_are_none_are_told(tmp_path, body):
    """No definition names them."""
    store = SqliteStore(tmp_path / "state.db")
    store.create_if_absent("images-releases/test/shop/r1", NO_BODIES[body])
    with pytest.raises(StoreBroken, match="images-releases/test/shop/r1"):
        Releases(store, "test", "shop", tmp_path).images("r1")


@pytest.mark.parametrize("body", NO_BODIES)
def test_a_note_of_a_move_that_is_none_is_told(tmp_path, body):
    """The size that the old side had, or the TTL of its record."""
    store = SqliteStore(tmp_path / "state.db")
    move = Move("web", PLAN, seq=1)
    store.create_if_absent("note/test/shop/web/00000001/old-side", NO_BODIES[body])
    with pytest.raises(StoreBroken, match="old-side of the store cannot be read"):
        Journal(store, "test", "shop", "me", "here").note(move, "old-side")
