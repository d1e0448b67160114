"""A release on hosts: killed with SIGKILL at every step and run again it ends in the same state; a
bad one is taken back."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from kirikae.hosts import ssh
from kirikae.model.project import Check, OldDeployer
from kirikae.move.lease import Lease
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import old_fleet
from kirikae.release.errors import RolledBack
from kirikae.release.ledger import Ledger
from kirikae.release.manifest import Releases
from kirikae.release.old_fleet import OldFleet
from tests.fleet import Fleet

SETTINGS = OldDeployer(
    root="/@HOST@/srv",
    reload="echo reload >>@HOST@/reloads",
    before="echo before $RELEASE_ID >>@HOST@/hooks",
    after="echo after >>@HOST@/hooks",
    batch=1,
    patience="2s",
)


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    made = Fleet(tmp_path / "hosts", "web1", "web2")
    monkeypatch.setenv("KIRIKAE_SSH", made.command)
    monkeypatch.setattr(old_fleet, "_POLL_S", 0.01)
    for name, files in (
        ("r2", {"app": "two"}),
        ("bad", {"app": "x", "BROKEN": ""}),
        ("r3", {"app": "three"}),
    ):
        for file, text in files.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(text)
        releases(tmp_path).create(name, tmp_path / name, "me", 1.0)
    yield made
    made.close()


def releases(folder: Path) -> Releases:
    return Releases(SqliteStore(folder / "state.db"), "test", "shop", folder / "releases")


def members(settings: OldDeployer = SETTINGS) -> OldFleet:
    hosts = [ssh.Host(f"ssh://{name}") for name in ("web1", "web2")]
    return OldFleet(
        hosts, settings, 80, [Check(get="/")], "X-Release-Id", lambda _: None, lambda _: None
    )


def deploy(folder: Path, release: str, settings: OldDeployer = SETTINGS) -> None:
    """What `release deploy RELEASE --to old` does, without AWS: lock, ledger, fleet."""
    store = SqliteStore(folder / "state.db")
    ledger = Ledger(store, "test", "shop", "me")
    manifest, archive = releases(folder).get(release)
    with Lease(store, "release/test/shop").held():
        entry = ledger.begin(release, "old")
        try:
            entry = members(settings).deploy(manifest, archive, ledger, entry)
        except RolledBack as error:
            ledger.end(
                next(e for e in ledger.all() if e.seq == entry.seq), "rolled back", str(error)
            )
            raise
        ledger.end(entry, "done", "2 hosts")


def killed_at(folder: Path, step: int) -> bool:
    """Run a deploy in a process of its own that kills itself before its ``step``-th act; True if it
    came that far."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(act: Any) -> Any:
            def wrapper(*arguments: Any, **more: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return act(*arguments, **more)

            return wrapper

        ssh.Host.run = counted(ssh.Host.run)  # type: ignore[method-assign]
        SqliteStore.create_if_absent = counted(SqliteStore.create_if_absent)  # type: ignore[method-assign]
        SqliteStore.replace_if_match = counted(SqliteStore.replace_if_match)  # type: ignore[method-assign]
        status = 1
        try:
            deploy(folder, "r2")
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def kill_and_run_again(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both hosts on r2, nothing half unpacked, and the ledger knows what ran before; False if no
    step was left to be killed at."""
    monkeypatch.setattr(old_fleet, "_POLL_S", 0.01)
    folder.mkdir()
    fleet = Fleet(folder / "hosts", "web1", "web2")
    monkeypatch.setenv("KIRIKAE_SSH", fleet.command)
    (folder / "r2").mkdir()
    (folder / "r2/app").write_text("two")
    releases(folder).create("r2", folder / "r2", "me", 1.0)
    came_so_far = killed_at(folder, step)
    if came_so_far:
        deploy(folder, "r2")
    assert [fleet.current(n) for n in ("web1", "web2")] == ["r2", "r2"], step
    assert [fleet.leftovers(n) for n in ("web1", "web2")] == [[], []], step
    assert all(fleet.reloads(n) >= 1 for n in ("web1", "web2")), step
    # Killed after the last write, the second run finds a release that was done and is one of its
    # own.
    entries = Ledger(SqliteStore(folder / "state.db"), "test", "shop", "me").all()
    assert 1 <= len(entries) <= 2 and {(e.release, e.outcome) for e in entries} == {
        ("r2", "done")
    }, step
    assert {Path(p).name for e in entries for p in e.previous.values()} == {"r1"}, step
    fleet.close()
    return came_so_far


@pytest.mark.parametrize("step", range(2, 24, 3))
def test_a_release_killed_and_run_again_ends_in_the_same_state(tmp_path, monkeypatch, step):
    """Before a command on a host or a write: every third of them (all by `make prove`)."""
    assert kill_and_run_again(tmp_path / "x", step, monkeypatch)


@pytest.mark.prove
def test_a_release_killed_at_each_step_and_run_again_ends_in_the_same_state(tmp_path, monkeypatch):
    """Every single step until there is none left."""
    step = 1
    while kill_and_run_again(tmp_path / str(step), step, monkeypatch):
        step += 1
    print(f"a release on two hosts: {step - 1} of {step - 1} SIGKILLs ended in the same state")
    assert step > 20


def test_a_release_that_does_not_answer_is_taken_back_on_every_host(fleet, tmp_path):
    """The health gate: the first host never serves it to the second; what served before serves."""
    deploy(tmp_path, "r2")
    with pytest.raises(RolledBack, match=r"GET / answered 500.*what served before serves"):
        deploy(tmp_path, "bad")
    assert [fleet.current(n) for n in ("web1", "web2")] == ["r2", "r2"]
    assert not (fleet.folder / "web2/srv/releases/bad").exists()
    assert (
        Ledger(SqliteStore(tmp_path / "state.db"), "test", "shop", "me").all()[-1].outcome
        == "rolled back"
    )


def test_a_later_host_that_fails_takes_the_earlier_ones_back_too(fleet, tmp_path):
    """One fleet, one release."""
    deploy(tmp_path, "r2")
    failing = SETTINGS.model_copy(
        update={"after": "case @HOST@ in *web2) echo no >&2; exit 7;; esac"}
    )
    with pytest.raises(RolledBack, match="web2: no"):
        deploy(tmp_path, "r3", failing)
    assert [fleet.current(n) for n in ("web1", "web2")] == ["r2", "r2"]


def test_a_host_that_does_not_answer_is_told_and_changes_nothing(fleet, tmp_path):
    """Before the first host is touched as well as between hosts."""
    (fleet.folder / "web1/silent").touch()
    with pytest.raises(ssh.HostSilent, match=r"web1: no route.*try `ssh web1 true`"):
        deploy(tmp_path, "r2")
    (fleet.folder / "web1/silent").unlink()
    (fleet.folder / "web2/silent").touch()
    with pytest.raises(ssh.HostSilent):
        deploy(tmp_path, "r2")
    assert fleet.current("web1") == "r1", "every host is asked before the first one is touched"
    (fleet.folder / "web2/silent").unlink()
    deploy(tmp_path, "r2")
    assert [fleet.current(n) for n in ("web1", "web2")] == ["r2", "r2"]


def test_hooks_see_the_release_and_the_former_one_can_be_put_back(fleet, tmp_path):
    """`release rollback`: every host back to the folder that the ledger names."""
    deploy(tmp_path, "r2")
    deploy(tmp_path, "r3")
    assert (fleet.folder / "web1/hooks").read_text().splitlines() == [
        "before r2",
        "after",
        "before r3",
        "after",
    ]
    last = Ledger(SqliteStore(tmp_path / "state.db"), "test", "shop", "me").serving("old")
    assert last is not None
    members().put_back(last.previous)
    assert [fleet.current(n) for n in ("web1", "web2")] == ["r2", "r2"]


def test_a_folder_that_kirikae_did_not_make_is_never_overwritten(fleet, tmp_path):
    """The ID of a release that the old script put there cannot be taken."""
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1/app").write_text("one")
    releases(tmp_path).create("r1", tmp_path / "r1", "me", 1.0)
    with pytest.raises(RolledBack, match="was not put there by kirikae"):
        deploy(tmp_path, "r1")
    assert (
        fleet.current("web1") == "r1" and not (fleet.folder / "web1/srv/releases/r1/app").exists()
    )


def test_a_deployer_is_kirikae_or_a_command():
    """Both, or neither, is refused with what to write."""
    for given in ({}, {"root": "/srv", "command": "x"}, {"root": "/srv"}):
        with pytest.raises(ValueError, match=r"root|reload"):
            OldDeployer(**given)
