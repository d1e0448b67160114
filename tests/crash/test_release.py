"""A release on hosts and on ECS: killed with SIGKILL at every step and run again it ends in the
same state; a bad one is taken back."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kirikae.hosts import ssh
from kirikae.hosts.errors import HostSilent
from kirikae.model.project import Check, NewFleet, OldDeployer
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release import gate, service_deployment
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.errors import InTheWay, LockLost, NotFinished, NothingBefore, RolledBack
from kirikae.release.fleet import Fleet
from kirikae.release.gate import Gate
from kirikae.release.hosts_fleet import HostsFleet
from kirikae.release.ledger import Deployed, Ledger, OpenEntry, Outcome
from kirikae.release.lock import Lock
from kirikae.release.manifest import Manifest, Releases
from kirikae.release.on_host import OnHost
from kirikae.release.scaling import Asked
from tests.fleet import StandInHosts, StandInService

SETTINGS = OldDeployer(
    root="/@HOST@/srv",
    reload="echo reload >>@HOST@/reloads",
    before="echo before $RELEASE_ID >>@HOST@/hooks",
    after="echo after >>@HOST@/hooks",
    batch=1,
    patience="2s",
)
TASK = {
    "family": "shop",
    "containerDefinitions": [{"name": "app", "image": "{{ must_env `IMAGE_APP` }}"}],
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(gate, "POLL_S", 0.01)
    monkeypatch.setattr(service_deployment, "POLL_S", 0.01)


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    made = StandInHosts(tmp_path / "hosts", "web1", "web2")
    monkeypatch.setenv("KIRIKAE_SSH", made.command)
    for name, files in (
        ("r2", {"app": "two"}),
        ("bad", {"app": "x", "BROKEN": ""}),
        ("r3", {"app": "three"}),
    ):
        release(tmp_path, name, **files)
    yield made
    made.close()


def release(folder: Path, name: str, **files: str) -> None:
    (folder / name).mkdir()
    for file, text in files.items():
        (folder / name / file).write_text(text)
    releases(folder).create(name, folder / name, "me", 1.0)
    releases(folder).set_images(name, {"app": name})


def releases(folder: Path) -> Releases:
    return Releases(SqliteStore(folder / "state.db"), "test", "shop", folder / "releases")


def ledger(folder: Path) -> Ledger:
    return Ledger(SqliteStore(folder / "state.db"), "test", "shop", "me")


def on_hosts(folder: Path, settings: OldDeployer = SETTINGS) -> Fleet:
    members = [ssh.Host(f"ssh://{name}") for name in ("web1", "web2")]
    asked = Gate(80, [Check(get="/")], "X-Release-Id", settings.patience)
    return HostsFleet(
        members, settings, releases(folder), asked, lambda hosts: None, lambda text: None
    )


def on_ecs(folder: Path) -> Fleet:
    service = StandInService(folder / "service.json")
    place = NewFleet(cluster="c", ecs_service="shop", target_group="g")
    return EcsFleet(
        service,  # type: ignore[arg-type]
        place,
        releases(folder),
        folder / "ecs",
        {},
        10,
        lambda text: None,
    )


def deploy(folder: Path, fleet: Fleet, release_id: str) -> Deployed:
    """What `release deploy` does: lock, ledger, fleet.  Raises what went wrong."""
    lock = Lock(SqliteStore(folder / "state.db"), "test", "shop")
    ended = deploying.deploy(release_id, [fleet], ledger(folder), lock)
    if ended.trouble is not None:
        raise ended.trouble
    return ended.entries[0]


Made = Callable[[Path], Fleet]
_CHANGES = [
    "register_task_definition",
    "create_service",
    "update_service",
    "tag_resource",
    "untag_resource",
    "register_scalable_target",
]
"""Calls by which a deploy changes something at AWS."""


def killed_at(folder: Path, made: Made, step: int) -> bool:
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

        for kind, acts in (
            (ssh.Host, ["run"]),
            (SqliteStore, ["create_if_absent", "replace_if_match"]),
            (StandInService, _CHANGES),
        ):
            for act in acts:
                setattr(kind, act, counted(getattr(kind, act)))
        status = 1
        try:
            deploy(folder, made(folder), "r2")
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def assert_one_story(folder: Path, before: str, step: int) -> None:
    """Killed after the last write, the second run finds a release that was done and is one of its
    own."""
    entries = ledger(folder).all()
    assert 1 <= len(entries) <= 2, step
    assert {(each.release, each.outcome) for each in entries} == {("r2", "done")}, step
    assert {each.former for each in entries} == {before}, step


def hosts_killed_and_run_again(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both hosts on r2, nothing half unpacked, and the ledger knows what ran before; False if no
    step was left to be killed at."""
    folder.mkdir()
    hosts = StandInHosts(folder / "hosts", "web1", "web2")
    monkeypatch.setenv("KIRIKAE_SSH", hosts.command)
    release(folder, "r2", app="two")
    came_so_far = killed_at(folder, on_hosts, step)
    if came_so_far:
        deploy(folder, on_hosts(folder), "r2")
    assert hosts.serving() == ["r2", "r2"], step
    assert [hosts.leftovers(name) for name in hosts.names] == [[], []], step
    assert all(hosts.reloads(name) >= 1 for name in hosts.names), step
    assert_one_story(folder, "r1", step)
    hosts.close()
    return came_so_far


def service_killed_and_run_again(folder: Path, exists: bool, step: int) -> bool:
    """The service runs r2, and at most one revision is of no use; False if no step was left to be
    killed at."""
    (folder / "ecs").mkdir(parents=True)
    (folder / "ecs/ecs-task-def.json").write_text(json.dumps(TASK))
    (folder / "ecs/ecs-service-def.json").write_text('{"desiredCount": 2}')
    service = StandInService(folder / "service.json", exists)
    known = service.revisions()
    release(folder, "r2", app="two")
    came_so_far = killed_at(folder, on_ecs, step)
    if came_so_far:
        deploy(folder, on_ecs(folder), "r2")
    assert service.serving() == "r2", step
    assert known + 1 <= service.revisions() <= known + 2, step
    if exists:
        assert_one_story(folder, "shop:1", step)
    assert ledger(folder).all()[-1].outcome == "done", step
    return came_so_far


@pytest.mark.parametrize("step", range(2, 24, 3))
def test_a_release_killed_and_run_again_ends_in_the_same_state(tmp_path, monkeypatch, step):
    """Before a command on a host or a write: every third of them (all by `make prove`)."""
    assert hosts_killed_and_run_again(tmp_path / "x", step, monkeypatch)


@pytest.mark.prove
def test_a_release_killed_at_each_step_and_run_again_ends_in_the_same_state(tmp_path, monkeypatch):
    """Every single step until there is none left."""
    step = 1
    while hosts_killed_and_run_again(tmp_path / str(step), step, monkeypatch):
        step += 1
    print(f"a release on two hosts: {step - 1} of {step - 1} SIGKILLs ended in the same state")
    assert step > 20


@pytest.mark.parametrize("exists", [True, False], ids=["update", "create"])
def test_a_release_on_ecs_killed_at_each_step_and_run_again_ends_in_the_same_state(
    tmp_path, exists
):
    """Before each call that changes something, and each write: all of them, there are few."""
    step = 1
    while service_killed_and_run_again(tmp_path / str(step), exists, step):
        step += 1
    assert step > 6


def suspending(folder: Path) -> Fleet:
    fleet = on_ecs(folder)
    assert isinstance(fleet, EcsFleet)
    return replace(fleet, scaling=Asked(suspended=True, most=8))


def tagged_killed_and_run_again(folder: Path, step: int) -> bool:
    """The service runs r2 with the tags of its file, and auto scaling is as it was asked for; False
    if no step was left to be killed at."""
    (folder / "ecs").mkdir(parents=True)
    (folder / "ecs/ecs-task-def.json").write_text(json.dumps(TASK))
    (folder / "ecs/ecs-service-def.json").write_text('{"tags": [{"key": "Env", "value": "new"}]}')
    service = StandInService(folder / "service.json")
    before = [{"key": "Env", "value": "old"}, {"key": "Gone", "value": "1"}]
    service.tag_resource("shop", before)
    service.register_scalable_target(MinCapacity=1, MaxCapacity=4)
    release(folder, "r2", app="two")
    came_so_far = killed_at(folder, suspending, step)
    if came_so_far:
        deploy(folder, suspending(folder), "r2")
    assert (service.serving(), service.tags()) == ("r2", {"Env": "new"}), step
    [target] = service.describe_scalable_targets()["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 8), step
    assert set(target["SuspendedState"].values()) == {True}, step
    assert_one_story(folder, "shop:1", step)
    return came_so_far


def test_a_release_that_changes_tags_and_scaling_killed_at_each_step_ends_in_the_same_state(
    tmp_path,
):
    """TagResource, UntagResource, RegisterScalableTarget among the calls."""
    step = 1
    while tagged_killed_and_run_again(tmp_path / str(step), step):
        step += 1
    assert step > 9


def test_a_release_that_does_not_answer_is_taken_back_on_every_host(hosts, tmp_path):
    """The health gate: the first host never serves it to the second; what served before serves."""
    deploy(tmp_path, on_hosts(tmp_path), "r2")
    with pytest.raises(RolledBack, match=r"GET / answered 500.*what served before serves"):
        deploy(tmp_path, on_hosts(tmp_path), "bad")
    assert hosts.serving() == ["r2", "r2"]
    assert not (hosts.folder / "web2/srv/releases/bad").exists()
    assert ledger(tmp_path).all()[-1].outcome == "rolled back"


def test_a_later_host_that_fails_takes_the_earlier_ones_back_too(hosts, tmp_path):
    """One fleet, one release; the last host that was touched goes back first."""
    deploy(tmp_path, on_hosts(tmp_path), "r2")
    before = {name: hosts.reloads(name) for name in hosts.names}
    failing = SETTINGS.model_copy(
        update={
            "after": "case @HOST@ in *web2) echo no >&2; exit 7;; esac",
            "reload": "echo reload >>@HOST@/reloads; echo @HOST@ >>@HOST@/../order",
        }
    )
    with pytest.raises(RolledBack, match="web2: no"):
        deploy(tmp_path, on_hosts(tmp_path, failing), "r3")
    assert hosts.serving() == ["r2", "r2"]
    assert all(hosts.reloads(name) == before[name] + 2 for name in hosts.names)
    order = [Path(line).name for line in (hosts.folder / "order").read_text().splitlines()]
    assert order == ["web1", "web2", "web2", "web1"]


def test_a_host_that_cannot_go_back_is_named(hosts, tmp_path):
    """It ran no release before: nobody is told that all is as it was."""
    (hosts.folder / "web1/srv/current").unlink()
    with pytest.raises(NotFinished, match=r"web1 \(it ran no release before\): look at these"):
        deploy(tmp_path, on_hosts(tmp_path), "bad")
    assert ledger(tmp_path).all()[-1].outcome == "not finished"


def test_a_host_that_does_not_answer_is_told_and_changes_nothing(hosts, tmp_path):
    """Before the first host is touched as well as between hosts."""
    (hosts.folder / "web1/silent").touch()
    with pytest.raises(HostSilent, match=r"web1: no route.*try `\S*ssh web1 true`"):
        deploy(tmp_path, on_hosts(tmp_path), "r2")
    (hosts.folder / "web1/silent").unlink()
    (hosts.folder / "web2/silent").touch()
    with pytest.raises(HostSilent):
        deploy(tmp_path, on_hosts(tmp_path), "r2")
    assert hosts.current("web1") == "r1", "every host is asked before the first one is touched"
    (hosts.folder / "web2/silent").unlink()
    deploy(tmp_path, on_hosts(tmp_path), "r2")
    assert hosts.serving() == ["r2", "r2"]


def test_hooks_see_the_release_and_the_former_one_can_be_put_back(hosts, tmp_path):
    """`release rollback`: every host back to the folder that the ledger names."""
    deploy(tmp_path, on_hosts(tmp_path), "r2")
    deploy(tmp_path, on_hosts(tmp_path), "r3")
    assert (hosts.folder / "web1/hooks").read_text().splitlines() == [
        "before r2",
        "after",
        "before r3",
        "after",
    ]
    roll_back(tmp_path)
    assert hosts.serving() == ["r2", "r2"]


def roll_back(folder: Path) -> deploying.Ended:
    lock = Lock(SqliteStore(folder / "state.db"), "test", "shop")
    return deploying.roll_back([on_hosts(folder)], ledger(folder), lock)


def test_a_host_that_ran_nothing_before_is_not_called_rolled_back(hosts, tmp_path):
    """The others go back; that one is named, with what it serves."""
    (hosts.folder / "web2/srv/current").unlink()
    deploy(tmp_path, on_hosts(tmp_path), "r2")
    trouble = roll_back(tmp_path).trouble
    assert isinstance(trouble, NotFinished) and "web2 ran no release before, so r2" in str(trouble)
    assert hosts.serving() == ["r1", "r2"]


def test_a_rollback_that_a_host_stopped_is_gone_on_with(hosts, tmp_path):
    """The same command once more, from the same entry."""
    deploy(tmp_path, on_hosts(tmp_path), "r2")
    last = ledger(tmp_path).serving("old")
    assert last is not None
    (hosts.folder / "web2/silent").touch()
    stopped = roll_back(tmp_path)
    assert isinstance(stopped.trouble, HostSilent) and hosts.serving() == ["r2", "r2"]
    (hosts.folder / "web2/silent").unlink()
    assert roll_back(tmp_path).trouble is None and hosts.serving() == ["r1", "r1"]


def test_a_link_that_is_meant_from_its_own_folder_is_gone_back_to(hosts, tmp_path):
    """`current -> releases/r1`: by itself where the release fails, and by a rollback."""
    for name in hosts.names:
        link = hosts.folder / name / "srv/current"
        link.unlink()
        link.symlink_to("releases/r1")
    with pytest.raises(RolledBack):
        deploy(tmp_path, on_hosts(tmp_path), "bad")
    assert hosts.serving() == ["r1", "r1"]
    deploy(tmp_path, on_hosts(tmp_path), "r2")
    assert roll_back(tmp_path).trouble is None and hosts.serving() == ["r1", "r1"]


def test_a_folder_that_kirikae_did_not_make_is_never_overwritten(hosts, tmp_path):
    """The ID of a release that the old script put there cannot be taken."""
    release(tmp_path, "r1", app="one")
    with pytest.raises(RolledBack, match="was not put there by kirikae"):
        deploy(tmp_path, on_hosts(tmp_path), "r1")
    assert hosts.current("web1") == "r1"
    assert not (hosts.folder / "web1/srv/releases/r1/app").exists()


def test_a_deployer_is_kirikae_or_a_command():
    """Both, or neither, is refused with what to write."""
    for given in ({}, {"root": "/srv", "command": "x"}, {"root": "/srv"}):
        with pytest.raises(ValueError, match=r"root|reload"):
            OldDeployer(**given)


# --- what stands in the way, and who has taken over


def test_a_folder_instead_of_the_link_is_told_before_any_host_is_touched(hosts, tmp_path):
    """Also by the dry run; nothing is left lying about, and nothing is in the ledger."""
    root = hosts.folder / "web2/srv"
    (root / "current").unlink()
    (root / "current").mkdir()
    for act in (
        lambda: deploying.steps("r2", [on_hosts(tmp_path)]),
        lambda: deploy(tmp_path, on_hosts(tmp_path), "r2"),
    ):
        with pytest.raises(InTheWay, match=r"web2: .*/current is a folder .* nothing was changed"):
            act()
    assert hosts.current("web1") == "r1" and ledger(tmp_path).all() == []
    assert not (hosts.folder / "web1/srv/releases/r2").exists()
    assert sorted(path.name for path in root.iterdir()) == ["current", "releases"]


def test_a_link_in_a_release_is_not_written_through(hosts, tmp_path):
    """RELEASE and .kirikae of an archive that somebody else made: both are removed first."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("RELEASE", ".kirikae"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, str(victim)
            tar.addfile(entry)
    archive = gzip.compress(out.getvalue())
    checksum = hashlib.sha256(archive).hexdigest()
    manifest = Manifest("evil", checksum, len(archive), 0, "", "me", 1.0)
    OnHost(ssh.Host("ssh://web1"), "/@HOST@/srv").install(manifest, archive)
    assert victim.read_text() == "mine"
    written = hosts.folder / "web1/srv/releases/evil/RELEASE"
    assert written.read_text() == "evil\n" and not written.is_symlink()


class Overtaken:
    """Another deployer puts ``r3`` on every host and takes the lock, at the n-th question."""

    def __init__(self, folder: Path, at: int) -> None:
        self.folder = folder
        self.left = at

    @contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        yield self.asked

    def asked(self) -> None:
        self.left -= 1
        if self.left == 0:
            ledger_ = ledger(self.folder)
            entry = ledger_.begin("r3", "old")
            assert on_hosts(self.folder).deploy("r3", OpenEntry(ledger_, entry)) == "2 hosts"
            ledger_.end(entry, Outcome.DONE, "2 hosts")
        if self.left <= 0:
            raise LockLost("another release of shop has taken over")


def test_a_deployer_that_slept_touches_nothing_that_the_next_one_did(hosts, tmp_path):
    """Wherever it wakes up: before a batch, before the switch, before `after`, before the clean-up:
    all hosts stay on what the other one put there, and the ledger says so."""
    places = 0
    while True:
        places += 1
        lock = Overtaken(tmp_path, places)
        ended = deploying.deploy("r2", [on_hosts(tmp_path)], ledger(tmp_path), lock)  # type: ignore[arg-type]
        if ended.trouble is None:
            break
        assert isinstance(ended.trouble, LockLost), places
        assert hosts.serving() == ["r3", "r3"], places
        last = ledger(tmp_path).all()[-1]
        assert (last.release, last.outcome) == ("r3", "done"), places
    assert places > 6


def test_a_deployer_that_slept_does_not_take_back_what_it_finds(hosts, tmp_path):
    """It wakes up to a host that answers with another release: that is no reason to go back."""

    class Slept(Overtaken):
        """Sleeps while its first host is asked whether it serves."""

        def __init__(self, folder: Path) -> None:
            super().__init__(folder, 0)
            self.asleep = True

        def asked(self) -> None:
            if not self.asleep:
                raise LockLost("another release of shop has taken over")

    lock = Slept(tmp_path)
    fleet = on_hosts(tmp_path)

    def overtaken(members: Any) -> None:
        entry = ledger(tmp_path).begin("r3", "old")
        on_hosts(tmp_path).deploy("r3", OpenEntry(ledger(tmp_path), entry))
        ledger(tmp_path).end(entry, Outcome.DONE, "2 hosts")
        lock.asleep = False
        raise NotFinished("the load balancer does not take web1 for healthy")

    slept = replace(fleet, healthy=overtaken)  # type: ignore[type-var]
    ended = deploying.deploy("r2", [slept], ledger(tmp_path), lock)  # type: ignore[arg-type]
    assert isinstance(ended.trouble, LockLost) and hosts.serving() == ["r3", "r3"]
    assert [(each.release, each.outcome) for each in ledger(tmp_path).all()] == [
        ("r2", "not finished"),
        ("r3", "done"),
    ]


def test_a_release_that_lies_no_more_on_a_host_is_not_put_back_half(hosts, tmp_path):
    """Told before the first host is touched, with the command that brings it there again."""
    for name in ("r2", "r3"):
        deploy(tmp_path, on_hosts(tmp_path), name)
    (hosts.folder / "web2/srv/releases/r2").rename(hosts.folder / "web2/srv/gone")
    with pytest.raises(NothingBefore, match=r"r2 lies no more on web2.*release deploy r2 --to old"):
        roll_back(tmp_path)
    assert hosts.serving() == ["r3", "r3"]


def test_after_a_deploy_that_was_not_finished_the_hosts_go_to_the_last_good_release(
    hosts, tmp_path
):
    """Not to what ran before that one, and not to the one that hangs."""
    for name in ("r2", "r3"):
        deploy(tmp_path, on_hosts(tmp_path), name)
    entry = ledger(tmp_path).begin("bad", "old")
    ledger(tmp_path).end(entry, Outcome.NOT_FINISHED, "killed")
    assert roll_back(tmp_path).trouble is None and hosts.serving() == ["r3", "r3"]
