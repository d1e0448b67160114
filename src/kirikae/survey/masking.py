"""Mask secrets on this machine, by the same rules and with the same fingerprints as on a host."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from importlib.resources import as_file, files

from kirikae.survey.errors import NoMasking

_PROBE = '@text x /etc/probe\n|A_PASSWORD="kirikae probe 1"\n|curl -u a:kirikae-probe-2 x\n'
_PROBED = {"kirikae probe 1", "kirikae-probe-2"}


def masked(
    plain: str,
    sensitive: str,
    keys: tuple[str, str],
) -> str:
    """Both texts as one, the values that ``sensitive`` shows as fingerprints in all of it.  Raises
    NoMasking."""
    if set(_run("find", _PROBE).splitlines()) != _PROBED:
        raise NoMasking(
            "the awk of this machine does not find secrets; install mawk, gawk or busybox"
        )
    values = set(_run("find", sensitive).splitlines()) - {""}
    table = "".join(
        f"{fingerprint(value, keys)}\t{value}\n"
        for value in sorted(values, key=_size, reverse=True)
    )
    return _run("mask", f"{table}\x01\n{plain}\x02\n{sensitive}")


def _size(value: str) -> tuple[int, str]:
    """A value may hold another one: the longer one is looked for first."""
    return len(value), value


def fingerprint(value: str, keys: tuple[str, str]) -> str:
    """SHA-256(outer SHA-256(inner value)), as collect.sh has it."""
    outer, inner = keys
    first = _sum([inner, value])
    return _sum([outer, first])[:16]


def _sum(parts: Iterable[str]) -> str:
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _awk() -> list[str]:
    """Raises NoMasking."""
    for name in ("awk", "mawk", "gawk"):
        if shutil.which(name):
            return [name]
    if shutil.which("busybox"):
        return ["busybox", "awk"]
    raise NoMasking("there is no awk on this machine, which tells secrets; install mawk or gawk")


def _run(mode: str, given: str) -> str:
    """Raises NoMasking."""
    with as_file(files("kirikae.survey") / "mask.awk") as rules:
        done = subprocess.run(
            [*_awk(), "-v", f"MODE={mode}", "-f", str(rules)],
            input=given.encode("utf-8", "surrogateescape"),
            capture_output=True,
            check=False,
            env={"LC_ALL": "C", "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin"},
        )
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip()
        raise NoMasking(f"secrets cannot be told on this machine: {complaint}")
    return done.stdout.decode("utf-8", "surrogateescape")
