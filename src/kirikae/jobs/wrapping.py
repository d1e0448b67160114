"""Put the guard before the jobs of a crontab, and take it away again to the byte.

Only commands change: times, users, variables (MAILTO among them), comments and whatever stands
after the first ``%`` stay as they are.  A line is left alone, with the reason, wherever the shell
would not get exactly what cron gave it before.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from typing import NamedTuple

from kirikae.jobs.errors import NoTable
from kirikae.jobs.tables import Jobs
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.table import REBOOT, Entry, Table, read_entry, stdin_at
from kirikae.model.said import Said, said

GUARD = "/usr/local/bin/kirikae-guard"
_SHELLS = frozenset(["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"])
_QUOTE = "'"
_QUOTED = "'\\''"


@dataclass(frozen=True, slots=True)
class Manner:
    """``guard``: its path on the host.  ``conf``: where it finds the ledger, if not at its default.
    ``only``: IDs; empty: every job.  ``unreachable``: ``open`` or ``closed``; empty: as the file at
    ``conf`` says."""

    guard: str = GUARD
    conf: str = ""
    only: frozenset[str] = frozenset()
    unreachable: str = ""


class Left(NamedTuple):
    """A line that is not wrapped, and why."""

    line: int
    text: str
    why: Said


@dataclass(frozen=True, slots=True)
class Edit:
    """``jobs``: the IDs whose lines change."""

    before: str
    after: str
    jobs: tuple[str, ...]
    left: tuple[Left, ...] = ()

    @property
    def digest(self) -> str:
        """Names exactly this edit: whoever has read the diff can say so."""
        both = f"{self.before}\0{self.after}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(both).hexdigest()[:12]

    def diff(self, name: str) -> list[str]:
        """As ``diff -u`` shows it."""
        before = self.before.splitlines()
        after = self.after.splitlines()
        return list(
            unified_diff(
                before,
                after,
                name,
                f"{name} (new)",
                lineterm="",
            )
        )


def wrapped(
    text: str,
    table: Table,
    jobs: Jobs,
    manner: Manner,
) -> Edit:
    """``table`` and ``jobs``: read from this text."""
    lines = text.split("\n")
    changed: list[str] = []
    left: list[Left] = []
    for timed in jobs.timed:
        entry = timed.entry
        chosen = not manner.only or timed.job.id in manner.only
        if not chosen or _guarded(entry.raw_command) is not None:
            continue
        line = lines[entry.line - 1]
        options = _options(
            entry,
            timed.zone.name,
            table,
            manner,
        )
        new = _line(
            line,
            entry,
            " ".join([manner.guard, *options, f"{timed.job.id} -c"]),
        )
        why = _differs(
            new,
            entry,
            table.dialect,
        )
        if why is not None:
            left.append(
                Left(
                    entry.line,
                    line,
                    why,
                )
            )
            continue
        lines[entry.line - 1] = new
        changed.append(timed.job.id)
    return Edit(
        text,
        "\n".join(lines),
        tuple(changed),
        tuple(left),
    )


def _options(
    entry: Entry,
    zone: str,
    table: Table,
    manner: Manner,
) -> Iterator[str]:
    yield f"-w '{entry.when}' -z {zone}"
    if table.dialect is not Dialect.DEBIAN:
        yield f"-d {table.dialect}"
    if manner.unreachable:
        yield f"-u {manner.unreachable}"
    if manner.conf:
        yield f"-f {shlex.quote(manner.conf)}"


def _line(
    line: str,
    entry: Entry,
    begun: str,
) -> str:
    """What stands before the command, and what follows the first ``%``, is not touched."""
    head = line[: len(line) - len(entry.raw_command)]
    end = stdin_at(entry.raw_command)
    command = entry.raw_command[:end]
    quoted = command.replace(_QUOTE, _QUOTED)
    return f"{head}{begun} {_QUOTE}{quoted}{_QUOTE}{entry.raw_command[end:]}"


def _differs(
    line: str,
    entry: Entry,
    dialect: Dialect,
) -> Said | None:
    """Why this line would not do what the former one did; None: it does."""
    if entry.when == REBOOT:
        return said("jobs.wrap.reboot")
    if not entry.command.strip():
        return said("jobs.wrap.nothing")
    shell = entry.variables.get("SHELL", "/bin/sh")
    if shell.rpartition("/")[2] not in _SHELLS:
        return said("jobs.wrap.shell", shell=shell)
    read = read_entry(
        line.lstrip(" \t"),
        dialect,
        bool(entry.user),
    )
    if isinstance(read, Said):
        return read
    same = read.schedule == entry.schedule and read.stdin == entry.stdin
    if not same or shlex.split(read.command)[-1] != entry.command:
        return said("jobs.wrap.quoting")
    guarded = _guarded(read.raw_command)
    if guarded is None or _unquoted(guarded.rest) != entry.raw_command:
        return said("jobs.wrap.no_way_back")
    return None


_GUARDED = re.compile(
    r"(?P<guard>\S*kirikae-guard) -w '[^']*' -z \S+(?: -[duf] (?:'[^']*'|\S+))* "
    r"(?P<job>[A-Za-z0-9._-]+) -c '"
)


class _Guarded(NamedTuple):
    job: str
    rest: str
    """From the command's first letter on, still quoted."""


def _guarded(raw: str) -> _Guarded | None:
    """None where no guard stands before it, as ``wrapped`` writes one."""
    found = _GUARDED.match(raw)
    return None if found is None else _Guarded(found["job"], raw[found.end() :])


def unwrapped(
    text: str,
    table: Table,
    only: frozenset[str] = frozenset(),
) -> Edit:
    """The former lines, byte by byte."""
    lines = text.split("\n")
    changed: list[str] = []
    left: list[Left] = []
    for entry in table.written:
        guarded = _guarded(entry.raw_command)
        if guarded is None or (only and guarded.job not in only):
            continue
        line = lines[entry.line - 1]
        command = _unquoted(guarded.rest)
        if command is None:
            left.append(
                Left(
                    entry.line,
                    line,
                    said("jobs.wrap.by_hand"),
                )
            )
            continue
        head = line[: len(line) - len(entry.raw_command)]
        lines[entry.line - 1] = head + command
        changed.append(guarded.job)
    return Edit(
        text,
        "\n".join(lines),
        tuple(changed),
        tuple(left),
    )


def without_guards(
    text: str,
    named: str,
    read: Callable[[str], Table],
) -> tuple[str, Table]:
    """What schedulers, workers and moves take of a crontab that may be the host's guarded one: its
    text and table as before `wrapped`.  There is no guard on the new side, and none is needed.

    Raises NoTable for a guarded line that somebody has edited.
    """
    table = read(text)
    edit = unwrapped(text, table)
    if edit.left:
        raise NoTable(
            f"{named}:{edit.left[0].line}: a guard stands before this command, and the line was "
            "edited since, so the command behind it is not known; write the line as `kirikae jobs "
            "wrap` writes it, or name the crontab without guards"
        )
    return (edit.after, read(edit.after)) if edit.jobs else (text, table)


def _unquoted(rest: str) -> str | None:
    """``rest``: begins inside the quotes; what follows them is what followed the first ``%``."""
    found: list[str] = []
    at = 0
    while True:
        end = rest.find(_QUOTE, at)
        if end < 0:
            return None
        found.append(rest[at:end])
        if not rest.startswith(_QUOTED, end):
            break
        found.append(_QUOTE)
        at = end + len(_QUOTED)
    after = rest[end + 1 :]
    # Somebody has written more behind it than ``wrapped`` does.
    return "".join(found) + after if not after or after.startswith("%") else None
