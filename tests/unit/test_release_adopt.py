"""A plain folder that hosts have served from for years becomes release 0: told first, in one step,
and back."""

from __future__ import annotations

import os
import signal
import subprocess
import threading

import pytest

from kirikae.hosts.ssh import Host
from kirikae.release.adopted import _LOOK, RELEASE_0, Adoption, outlooks
from kirikae.release.errors import InTheWay
from kirikae.release.on_host import OnHost
from tests.fleet import StandInHosts


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Two hosts with a plain folder `www` each, and nothing of ours."""
    hosts = StandInHosts(tmp_path / "hosts", "web1", "web2")
    monkeypatch.setenv("KIRIKAE_SSH", hosts.command)
    for name in hosts.names:
        www = hosts.folder / name / "www"
        www.mkdir()
        (www / "index").write_text(name)
    yield hosts
    hosts.close()


def adoption(path="@HOST@/www", root="@HOST@/app"):
    return Adoption(root, path)


def members(hosts):
    return [Host(f"ssh://{name}") for name in hosts.names]


def test_the_folder_becomes_release_0_and_goes_back(world):
    """It stays readable under its name at every moment, and is the very same folder."""
    place = world.folder / "web1" / "www"
    before = place.stat().st_ino
    [one, _] = outlooks(adoption(), members(world))
    assert not one.done and one.way in ("mv", "python", "perl"), one
    misses = []
    ended = threading.Event()

    def look():
        while not ended.is_set():
            try:
                (place / "index").read_text()
            except OSError as error:
                misses.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    host = Host("ssh://web1")
    for _ in range(3):
        adoption().adopt(host, one.way)
        assert place.is_symlink() and place.stat().st_ino == before
        assert place.resolve().name == RELEASE_0
        assert OnHost(host, "@HOST@/app").current().endswith(f"/releases/{RELEASE_0}")
        assert adoption().outlook(host).done
        adoption().undo(host)
        assert not place.is_symlink() and place.stat().st_ino == before
        assert not (world.folder / "web1/app/current").exists()
    ended.set()
    reader.join()
    assert misses == [] and not adoption().outlook(host).done


def test_a_host_that_can_exchange_no_names_is_told_so_and_adopted_in_two_renames(world):
    host = Host("ssh://web2")
    adoption().adopt(host, "posix")
    assert (world.folder / "web2/www").is_symlink()
    assert (world.folder / "web2/www/index").read_text() == "web2"


@pytest.mark.parametrize(
    ("path", "root", "says"),
    [
        ("@HOST@/nowhere", "@HOST@/app", "is not there"),
        ("@HOST@/port", "@HOST@/app", "is no folder"),
        ("@HOST@/www", "@HOST@/www/app", "lies inside of"),
        ("/proc/self", "@HOST@/app", "is a link to"),
        ("/proc", "@HOST@/app", "is a mount point"),
        ("@HOST@/www", "@HOST@/srv", "current is there already"),
    ],
)
def test_what_cannot_be_adopted_is_told_before_anything_is_changed(world, path, root, says):
    before = sorted(map(str, world.folder.rglob("*")))
    with pytest.raises(InTheWay, match=says):
        outlooks(adoption(path, root), members(world))
    assert sorted(map(str, world.folder.rglob("*"))) == before


def test_a_mount_of_the_same_file_system_is_told_before_anything_is_changed(world):
    """A bind mount has the device of the folder around it, and no name of it can be exchanged."""
    place = world.folder / "web1"
    (place / "data").mkdir()
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    script = adoption()._script(_LOOK).replace("@HOST@", str(place))
    before = sorted(map(str, place.rglob("*")))
    told = subprocess.run(
        [*mount, 'mount --bind "$1" "$2" && exec sh -s', "sh", place / "data", place / "www"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told == f"no {place}/www is a mount point: it cannot be renamed\n"
    assert sorted(map(str, place.rglob("*"))) == before


def test_stopped_at_any_command_it_is_gone_on_with(world, monkeypatch):
    """The script is cut after each of its lines; the same call ends in the same state."""
    host = Host("ssh://web1")
    scripts = []
    monkeypatch.setattr(Host, "run", lambda self, script, **_: scripts.append(script) or b"")
    adoption().adopt(host, "python")
    monkeypatch.undo()
    monkeypatch.setenv("KIRIKAE_SSH", world.command)
    place = world.folder / "web1"
    body = scripts[0].replace("@HOST@", str(place))
    head, _, acts = body.partition("\nmkdir -p")
    lines = f"mkdir -p{acts}".splitlines()
    whole = [n for n in range(len(lines) + 1) if _is_whole(head, lines[:n])]
    assert len(whole) > 5
    for stop in whole:
        subprocess.run(["sh", "-c", "\n".join([head, *lines[:stop]])], check=False)
        assert (place / "www/index").read_text() == "web1"
        if not adoption().outlook(host).done:
            subprocess.run(["sh", "-c", body], check=True)
        assert adoption().outlook(host).done and (place / "www/index").read_text() == "web1"
        adoption().undo(host)


def _is_whole(head, lines):
    text = "\n".join([head, *lines])
    return (
        subprocess.run(["sh", "-n", "-c", text], capture_output=True, check=False).returncode == 0
    )


def test_what_a_living_process_uses_is_not_pruned(world):
    """Working folder, open file: whichever release serves."""
    root = world.folder / "web1" / "srv"
    for number in range(2, 9):
        release = root / f"releases/r{number}"
        release.mkdir()
        (release / ".kirikae").touch()
        os.utime(release, (number, number))
    worker = subprocess.Popen(["sleep", "1000"], cwd=root / "releases/r2")
    reader = subprocess.Popen(["sleep", "1000"], stdin=(root / "releases/r3/.kirikae").open())
    try:
        OnHost(Host("ssh://web1"), "@HOST@/srv").prune("r8", "r7", 2)
    finally:
        for child in (worker, reader):
            child.send_signal(signal.SIGKILL)
            child.wait()
    left = {each.name for each in (root / "releases").iterdir()}
    assert {"r1", "r2", "r3", "r7", "r8"} <= left and not {"r4", "r5"} & left
