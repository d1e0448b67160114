"""A crontab from a file, as its place says that cron reads it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from kirikae.jobs.errors import NoCrontab
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.table import Table, is_read_in_cron_d, read_table
from kirikae.model.crontab.zones import Zone

STANDARD_INPUT = "-"
_MOST_BYTES = 16_000_000
_USER = re.compile(r"[a-z_][a-z0-9_-]*")
_USERS = frozenset(("root", "www-data", "nobody", "apache", "ec2-user", "ubuntu", "deploy"))
"""Of distributions and of habit; none of them is a program."""
_BEFORE_OTHERS = frozenset(
    ("sudo", "nice", "ionice", "env", "exec", "time", "nohup", "setsid", "chronic", "command", "if")
)
"""Programs that begin another one."""
_BEGINS_COMMANDS = frozenset(
    (
        *("cd", "[", "test", "nice", "ionice", "flock", "timeout", "env", "sh", "bash", "perl"),
        *("php", "python", "python3", "ruby", "node", "tar", "find", "curl", "wget", "rsync"),
    )
)
"""No program but those above takes one of these as its first argument."""


@dataclass(frozen=True, slots=True)
class Crontab:
    """``named``: as it was named.  ``unread``: cron reads no file of this name in its folder.
    ``text``: what stands in it; empty where nobody kept it."""

    named: str
    table: Table
    unread: bool = False
    text: str = ""
    users: tuple[int, ...] = ()
    """Lines whose command seems to begin with a user, although the file's place says that none
    stands there."""


def read(named: str, dialect: Dialect, system: bool | None) -> Crontab:
    """``system``: has it a column of users?  None: by its place, ``/etc/crontab`` and ``cron.d``
    have.  ``-`` is the standard input.  Raises NoCrontab."""
    path = Path(named)
    unread = _in_cron_d(path) and not is_read_in_cron_d(path.name)
    text = read_text(named)
    table = table_of(named, text, dialect, system)
    return Crontab(named, table, unread, text, perhaps_users(table) if system is None else ())


def perhaps_users(table: Table) -> tuple[int, ...]:
    """A file of cron.d that was copied elsewhere is read as one without users: its commands then
    begin with `root` and the like, or with a word before what only a command begins with."""
    return tuple(entry.line for entry in table.written if not entry.user and _told(entry.command))


def _told(command: str) -> bool:
    words = command.split()
    if len(words) < 2 or words[0] in _BEFORE_OTHERS or not _USER.fullmatch(words[0]):
        return False
    known = words[0] in _USERS and not words[1].startswith("-")
    return known or words[1] in _BEGINS_COMMANDS


def _in_cron_d(path: Path) -> bool:
    return path.absolute().parent.name == "cron.d"


def table_of(named: str, text: str, dialect: Dialect, system: bool | None) -> Table:
    """A text that was read from there."""
    path = Path(named)
    with_user = system if system is not None else _in_cron_d(path) or str(path) == "/etc/crontab"
    return read_table(text, dialect, with_user)


def read_text(named: str) -> str:
    """``-`` is the standard input.  Raises NoCrontab."""
    try:
        if named == STANDARD_INPUT and sys.stdin is None:
            raise NoCrontab("the standard input is closed; name a crontab")
        if named == STANDARD_INPUT:
            raw = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(named).open("rb") as file:
                raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise NoCrontab(f"{named} cannot be read: {error.strerror}; name a crontab") from error
    if len(raw) > _MOST_BYTES:
        raise NoCrontab(f"{named} is larger than 16 MB: that is no crontab; name one")
    # cron reads bytes: whatever is no UTF-8 is kept as it is.
    return raw.decode("utf-8", "surrogateescape")


def zone_of(name: str) -> Zone:
    """Raises NoCrontab."""
    try:
        return Zone(name)
    except (KeyError, ValueError, OSError) as error:
        raise NoCrontab(
            f"{name[:80]!r} is no time zone; write one such as Asia/Tokyo or UTC"
        ) from error
