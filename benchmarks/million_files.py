"""What does a host of a million files cost?  The collector walks it, and its bundle is judged.

    sudo python benchmarks/million_files.py FOLDER [COUNT]

A tree is made in FOLDER (and kept, for the next time): a service whose users have sent so many
files, and code beside them.  This machine's own programs, packages and configuration are bound
into it, and the script that goes to hosts runs there, in a mount namespace and a root of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kirikae.survey.bundles import read
from kirikae.survey.collect import script
from kirikae.survey.offline import bundle_of
from kirikae.survey.sections import unpacked
from kirikae.survey.survey import findings
from kirikae.survey.trees import FolderTree

_KEYS = ("a" * 64, "b" * 64)
_IN_A_FOLDER = 40
_ONE_IN = 20
"""Of so many files one is not empty."""
_SERVES = 33
_BOUND = ("usr", "etc", "proc", "dev", "var/lib/dpkg")
_MERGED = ("bin", "sbin", "lib", "lib64")
_NAMESPACE = (
    "for each in {bound}; do mount --bind /$each {root}/$each; done; exec chroot {root} /bin/sh -s"
)
_LOOK_EVERY_S = 0.25


def made(root: Path, count: int) -> None:
    """The tree, unless it is there."""
    uploads = root / "srv/shop/shared/uploads"
    if uploads.exists():
        return
    for each in _BOUND:
        (root / each).mkdir(parents=True)
    for each in _MERGED:
        (root / each).symlink_to(f"usr/{each}")
    code = root / "srv/shop/current"
    code.mkdir(parents=True)
    (code / "app.py").write_text('UPLOADS = "/srv/shop/shared/uploads"\n')
    for number in range(count // _IN_A_FOLDER):
        folder = uploads / f"{number % 256:02x}/{number // 256 % 256:02x}/{number // 65536}"
        folder.mkdir(parents=True, exist_ok=True)
        for each in (folder, folder.parent, folder.parent.parent, uploads):
            os.chown(each, _SERVES, _SERVES)
        _fill(folder, number)


def _fill(folder: Path, number: int) -> None:
    """Photos of one folder."""
    at = os.open(folder, os.O_RDONLY)
    for each in range(_IN_A_FOLDER):
        name = f"IMG_{number:06}_{each:02}.jpg"
        file = os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=at)
        if each % _ONE_IN == 0:
            os.write(file, b"\xff\xd8\xff\xe0")
        os.fchown(file, _SERVES, _SERVES)
        os.close(file)
    os.close(at)


def _memory_mib(group: int) -> float:
    """Of all processes of a group, what each has for itself and its share of the rest."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                text = (folder / "smaps_rollup").read_text()
                total += int(text.partition("Pss:")[2].split()[0])
        except (OSError, IndexError, ValueError):
            continue
    return total / 1024


def _watch(group: int, ended: threading.Event, seen: list[float]) -> None:
    while not ended.wait(_LOOK_EVERY_S):
        seen.append(_memory_mib(group))


def collected(root: Path) -> tuple[bytes, dict[str, float]]:
    """What the collector answers there, and what that cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    inside = _NAMESPACE.format(bound=" ".join(_BOUND), root=root)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inside]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    ended = threading.Event()
    seen = [0.0]
    watcher = threading.Thread(target=_watch, args=(child.pid, ended, seen))
    watcher.start()
    raw, _ = child.communicate(script(_KEYS).encode())
    ended.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return raw, {
        "cpu_s": spent,
        "wall_s": time.monotonic() - began,
        "memory_mib": max(seen),
        "sent_mib": len(raw) / (1 << 20),
    }


def judged(text: str) -> dict[str, float]:
    """In this process: what the machine of whoever surveys pays."""
    began = time.process_time()
    bundle = read(text, "million")
    found = findings([bundle], [], datetime.now(tz=UTC).date())
    return {
        "cpu_s": time.process_time() - began,
        "findings": len(found),
        "largest_process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _told(root: Path) -> Iterator[dict[str, object]]:
    """Twice over the collector: the first look finds nothing in the kernel's memory."""
    for what in ("first look", "warm"):
        raw, cost = collected(root)
        yield {"what": what, **cost}
    yield {"what": "judged", **judged(unpacked(raw))}
    began = time.process_time(), time.monotonic()
    bundle_of(FolderTree(root), "million", _KEYS)
    ended = time.process_time(), time.monotonic()
    yield {
        "what": "the same as a root directory",
        "cpu_s": ended[0] - began[0],
        "wall_s": ended[1] - began[1],
        "largest_process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main(arguments: list[str]) -> None:
    root = Path(arguments[0]).resolve()
    count = int(arguments[1]) if len(arguments) > 1 else 1_000_000
    made(root, count)
    for each in _told(root):
        rounded = {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in each.items()
        }
        print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
