"""How long the collector takes to find changed files of packages, beside ``dpkg --verify``.

    python benchmarks/integrity.py

Looks at this machine (a Debian with many packages), read only, then asks ``dpkg --verify``.
One file of a package is covered by another one in a mount namespace of its own (as root): the gate
must name it.  Goal: 1 s per 50,000 packaged files.
"""

from __future__ import annotations

import re
import resource
import shlex
import subprocess
import tempfile
import time
from importlib.resources import files
from pathlib import Path

ROUNDS = 3
PER = 50_000
_LISTS = Path("/var/lib/dpkg/info")
_BEGIN = "set -u; LC_ALL=C; export LC_ALL; TAB=$(printf '\\t')\n"


def gate() -> str:
    """The collector's own function, alone."""
    text = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    found = re.search(r"^packaged_files\(\) \{\n.*?^\}\n", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return f"{_BEGIN}{found[0]}packaged_files\n"


def timed(*command: str, given: str = "") -> tuple[float, float, str]:
    """Wall seconds, CPU seconds, and what it wrote."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall, cpu, done.stdout


def packaged() -> int:
    """Files of packages that have a checksum."""
    return sum(len(each.read_bytes().splitlines()) for each in _LISTS.glob("*.md5sums"))


def patched() -> bool:
    """Is a file that was changed after its package came found?"""
    target = "/usr/share/debconf/confmodule"
    with tempfile.NamedTemporaryFile("w", prefix="kirikae-") as other:
        other.write("# a hot fix\n")
        other.flush()
        over = f"mount --bind {shlex.quote(other.name)} {target} && exec sh -s"
        _, _, found = timed("unshare", "-m", "sh", "-c", over, given=gate())
    return f"packaged\tmodified\t{target}" in found.splitlines()


def main() -> None:
    """The best of each: other work on this machine only makes them slower."""
    many = packaged()
    ours = [timed("sh", "-s", given=gate())[:2] for _ in range(ROUNDS)]
    theirs = timed("dpkg", "--verify")[:2]
    wall, cpu = min(ours)
    print(f"{many} packaged files: gate {wall:.2f} s wall, {cpu:.2f} s CPU (best of {ROUNDS})")
    print(f"per {PER}: {wall * PER / many:.2f} s wall, {cpu * PER / many:.2f} s CPU (goal 1 s)")
    print(f"dpkg --verify in the same run: {theirs[0]:.1f} s wall, {theirs[1]:.1f} s CPU")
    print(f"a file that was changed after its package came is found: {patched()}")


if __name__ == "__main__":
    main()
