"""The script writes nothing on a host: proved where nothing can be written."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kirikae.survey.bundles import read
from kirikae.survey.collect import script
from kirikae.survey.sections import unpacked

SECRET = "Hemlock-73-Mount"
# A root of its own, its /proc, and everything below it read only: whatever is written fails.
JAIL = """
mount --bind "$1" "$1" && mount -t proc proc "$1/proc" || exit 99
mount --bind /dev/null "$1/dev/null" || exit 99
mount -o remount,bind,ro "$1" || exit 99
( : >"$1/srv/try" ) 2>/dev/null && exit 98
exec chroot "$1" /bin/sh -s
"""


def jailed(root: Path) -> subprocess.CompletedProcess[bytes]:
    """What the script answers on this host."""
    return subprocess.run(
        ["unshare", "-rmpf", "sh", "-c", JAIL, "-", str(root)],
        input=script(("a" * 64, "b" * 64)).encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )


def remembered(root: Path) -> dict[str, tuple[int, ...]]:
    """Everything that a write would change; reading a file may change its time of access."""
    seen = {}
    for folder, names, files in os.walk(root):
        for name in (".", *names, *files):
            path = Path(folder, name)
            if "proc" not in path.parts:
                at = path.lstat()
                seen[str(path)] = (at.st_mode, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
    return seen


@pytest.fixture
def root(tmp_path):
    """A host of busybox alone, without systemd, bash, Python or GNU find."""
    program = shutil.which("busybox")
    if program is None or shutil.which("unshare") is None:
        pytest.skip("no busybox, or no way to a mount of one's own")
    if subprocess.run(["ldd", program], capture_output=True, check=False).returncode == 0:
        pytest.skip("this busybox needs libraries")
    folder = tmp_path / "root"
    for name in ("bin", "dev", "proc", "etc/default", "srv/app", "tmp", "var/spool/cron/crontabs"):
        (folder / name).mkdir(parents=True)
    shutil.copy(program, folder / "bin/busybox")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        if name != "busybox":
            (folder / "bin" / name).symlink_to("busybox")
    (folder / "dev/null").touch()
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\n")
    (folder / "etc/os-release").write_text('ID=alpine\nVERSION_ID="3.20"\n')
    (folder / "etc/default/app").write_text(f"DB_PASSWORD={SECRET}\nPORT=80\n")
    (folder / "var/spool/cron/crontabs/root").write_text(
        f"0 1 * * * curl -u a:{SECRET} http://x/\n"
    )
    (folder / "srv/app/.env").write_text(f"TOKEN={SECRET}\n")
    return folder


def test_the_script_looks_at_a_host_on_which_nothing_can_be_written(root):
    """It ends well, says what is there, and leaves everything as it was; no secret leaves."""
    before = remembered(root)
    done = jailed(root)
    if done.returncode == 99:
        pytest.skip("mounts are not allowed here")
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert remembered(root) == before
    text = unpacked(done.stdout)
    assert SECRET not in text
    bundle = read(text, "bb")
    assert {"/etc/default/app", "/srv/app/.env"} <= set(bundle.by_path)
    assert bundle.by_path["/etc/default/app"].lines[1] == "PORT=80"
    values = [line for each in bundle.texts for line in each.lines if "<masked:" in line]
    assert len(values) == 3 and "<masked:unknown>" not in text
