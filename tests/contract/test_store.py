"""The store port: one suite for every implementation."""

from __future__ import annotations

import threading
import time
import uuid

import pytest

from kirikae.aws.s3_store import S3Store, store_at
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable, Changed, StoreBroken, Taken
from kirikae.model.said import text
from kirikae.model.store import Store
from kirikae.move.button import back_out
from kirikae.move.sqlite_store import SqliteStore
from tests.world import Bench


@pytest.fixture(params=["sqlite", pytest.param("s3", marks=pytest.mark.engine)])
def store(request, tmp_path, monkeypatch) -> Store:
    if request.param == "sqlite":
        return SqliteStore(tmp_path / "deep" / "state.db")
    return bucket_store(request.getfixturevalue("local"), monkeypatch)


def bucket_store(local, monkeypatch) -> S3Store:
    """A fresh bucket of kirikae local."""
    name = f"journal-{uuid.uuid4().hex[:12]}"
    for key, value in local.environment.items():
        monkeypatch.setenv(key, value)
    local.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": local.status["region"]}
    )
    return store_at(Aws(local.status["region"]), f"s3://{name}/team/state", "123456789012")


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
    tag = store.create_if_absent("r", "nobody")
    won: list[str] = []

    def write(n: int) -> None:
        for attempt in (
            lambda: store.create_if_absent("k", str(n)),
            lambda: store.replace_if_match("r", str(n), tag),
        ):
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
        SqliteStore(file).get("a")


@pytest.mark.engine
def test_a_bucket_that_is_not_there_is_named(local, monkeypatch):
    """With what to do."""
    bucket_store(local, monkeypatch)
    store = store_at(Aws(local.status["region"]), "s3://no-such-journal/x")
    for call in (
        lambda: store.get("a"),
        lambda: store.list("a"),
        lambda: store.create_if_absent("a", "1"),
    ):
        with pytest.raises(StoreBroken, match="no bucket no-such-journal"):
            call()


@pytest.mark.engine
def test_a_write_whose_answer_is_lost_is_looked_for(local, monkeypatch):
    """It arrived: its tag is found, and nobody is called beaten by himself.  It did not: the caller
    is told."""
    store = bucket_store(local, monkeypatch)
    client = store._aws.client("s3")
    real = client.put_object
    arrives = True

    def put(**asked):
        if arrives:
            real(**asked)
        raise AwsUnreachable("cut")

    monkeypatch.setattr(client, "put_object", put)
    tag = store.create_if_absent("a", "1")
    assert store.get("a").body == "1" and store.get("a").tag == tag
    tag = store.replace_if_match("a", "2", tag)
    assert store.get("a").body == "2"
    arrives = False
    with pytest.raises(AwsUnreachable):
        store.replace_if_match("a", "3", tag)
    with pytest.raises(AwsUnreachable):
        store.create_if_absent("b", "1")
    assert store.get("a").body == "2" and store.get("b") is None


@pytest.mark.engine
def test_a_whole_move_on_a_bucket(local, monkeypatch, tmp_path):
    """The engine, the lease and the red button know nothing of where the journal lies."""
    store = bucket_store(local, monkeypatch)
    bench = Bench(tmp_path, store=store)
    bench.plan()
    bench.drive()
    assert bench.journal.read("web").phase == "settled" and bench.world.share == 1000
    rival = Bench(tmp_path, store=store)
    began = time.monotonic()
    assert back_out(rival.journal, rival.thing, rival.lease, "web", text("smoke")).share == 0
    assert bench.world.share == 0 and time.monotonic() - began < 2
