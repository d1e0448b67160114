"""Debian's packaged cron in a folder of its own, under a clock that passes only while it sleeps.

Nothing is installed: the package is taken apart below ``.cache``.  ``clock.c`` says what is cron's
own (all but the time, the log, logging in and the start of the job) and what is written down.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
CACHE = _HERE.parent.parent / ".cache/oracle"
"""``scripts/prepare`` puts the package there."""
_FOLDERS = ("etc/cron.d", "var/spool/cron/crontabs", "var/run", "run", "usr/sbin", "tmp", "root")
_ZONES = "usr/share/zoneinfo"


@dataclass(frozen=True, slots=True)
class File:
    """A crontab.  ``system``: of ``/etc/cron.d``, with a column of users; or a user's own."""

    text: str
    system: bool


@dataclass(frozen=True, slots=True)
class Started:
    """One job as cron would have given it to the shell.  ``at``: seconds of UTC since 1970."""

    at: int
    shell: str
    command: str
    stdin: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Heard:
    """All that one cron did.  ``log``: its lines, without the jobs' own."""

    started: tuple[Started, ...]
    log: tuple[str, ...]

    @property
    def ignored(self) -> set[str]:
        """The names of the files that it passed over as a whole."""
        return {
            line[1:].split(")")[0].removeprefix("*system*")
            for line in self.log
            if "this crontab file will be ignored" in line
        }


def missing() -> str | None:
    """Why it cannot be run here; None: it can."""
    if os.geteuid():
        return "only root may give cron a root folder of its own"
    if not (CACHE / "usr/sbin/cron").exists():
        return "scripts/prepare has not fetched Debian's cron"
    return None if shutil.which("cc") else "there is no C compiler"


def run(
    root: Path,
    files: Mapping[str, File],
    zone: str,
    begin: int,
    minutes: int,
) -> Heard:
    """``begin``: seconds of UTC, a whole minute; cron looks at the minutes after it, ``minutes`` of
    them.  The user of a user's own tab is named as the file."""
    _furnish(root, zone)
    users = ["root", *(name for name, file in files.items() if not file.system)]
    lines = [f"{user}:x:0:0:{user}:/root:/bin/sh\n" for user in users]
    (root / "etc/passwd").write_text("".join(lines))
    for name, file in files.items():
        place = root / ("etc/cron.d" if file.system else "var/spool/cron/crontabs") / name
        place.write_bytes(file.text.encode("utf-8", "surrogateescape"))
        place.chmod(0o600)
    variables = {
        "LD_PRELOAD": "/clock.so",
        "ORACLE_BEGIN": str(begin),
        "ORACLE_END": str(begin + (minutes + 1) * 60),
        "TZ": zone,
    }
    subprocess.run(
        ["/usr/sbin/cron", "-f"],
        env=variables,
        preexec_fn=lambda: _enter(root),
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return _heard((root / "record").read_bytes())


def _enter(root: Path) -> None:
    os.chroot(root)
    os.chdir("/")


def _furnish(root: Path, zone: str) -> None:
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True)
    shutil.copy(CACHE / "usr/sbin/cron", root / "usr/sbin/cron")
    for library in _libraries(root / "usr/sbin/cron"):
        place = root / library.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    shutil.copy(_clock(), root / "clock.so")
    place = root / _ZONES / zone
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path("/", _ZONES, zone), place)
    (root / "etc/crontab").touch()
    (root / "etc/group").write_text("root:x:0:\n")


def _libraries(program: Path) -> Iterator[Path]:
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    for word in told.stdout.split():
        if word.startswith("/"):
            yield Path(word)


def _clock() -> Path:
    """Compiled anew where its source is younger; two sessions may do so beside each other."""
    source = _HERE / "clock.c"
    built = CACHE / "clock.so"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        mine = CACHE / f"clock.{os.getpid()}.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", mine, source], check=True)
        mine.replace(built)
    return built


def _heard(record: bytes) -> Heard:
    started: list[Started] = []
    log: list[str] = []
    for row in record.decode("utf-8", "surrogateescape").split("\x1e"):
        kind, *cells = row.split("\x1f")
        if kind == "J":
            at, shell, command, stdin, *variables = cells
            pairs = dict(each.split("=", 1) for each in variables if each)
            started.append(
                Started(
                    int(at),
                    shell,
                    command,
                    stdin,
                    pairs,
                )
            )
        elif kind == "L":
            log.append(cells[1])
    return Heard(tuple(started), tuple(log))
