"""The store port: one suite for every implementation."""

from __future__ import annotations

import threading

import pytest

from kirikae.model.store import Changed, Store, StoreBroken, Taken
from kirikae.move.sqlite_store import SqliteStore


@pytest.fixture(params=["sqlite"])
def store(request, tmp_path) -> Store:
    return SqliteStore(tmp_path / "deep" / "state.db")


def test_what_is_written_is_read(store):
    """Bodies come back as they were, in any language."""
    tag = store.create_if_absent("a/1", '{"x": "切り替え"}')
    stored = store.get("a/1")
    assert stored is not None and stored.body == '{"x": "切り替え"}' and stored.tag == tag
    assert store.get("a/2") is None


def test_a_key_is_created_once(store):
    """The second writer is told."""
    store.create_if_absent("a", "1")
    with pytest.raises(Taken):
        store.create_if_absent("a", "2")
    assert store.get("a").body == "1"


def test_a_body_is_replaced_only_by_who_read_it(store):
    """A stale tag changes nothing."""
    first = store.create_if_absent("a", "1")
    second = store.replace_if_match("a", "2", first)
    with pytest.raises(Changed):
        store.replace_if_match("a", "3", first)
    assert store.get("a").body == "2" and store.get("a").tag == second
    with pytest.raises(Changed):
        store.replace_if_match("missing", "3", first)


def test_keys_are_listed_by_prefix_and_sorted(store):
    """Only what begins so, and 'a%' means itself."""
    for key in ("a/2", "a/10", "b/1", "a", "a%/1"):
        store.create_if_absent(key, "x")
    assert store.list("a/") == ["a/10", "a/2"]
    assert store.list("a%") == ["a%/1"]


def test_of_many_writers_one_wins(store):
    """Twenty at once on one key, and twenty on one tag."""
    tag = store.create_if_absent("r", "0")
    won: list[str] = []

    def write(n: int) -> None:
        for attempt in (lambda: store.create_if_absent("k", str(n)), lambda: store.replace_if_match("r", str(n), tag)):
            try:
                attempt()
                won.append("x")
            except (Taken, Changed):
                pass

    threads = [threading.Thread(target=write, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 2


def test_a_broken_store_says_what_to_do(tmp_path):
    """Not a traceback."""
    file = tmp_path / "state.db"
    file.write_text("this is no database, " * 100)
    with pytest.raises(StoreBroken, match="check the disk"):
        SqliteStore(file)
