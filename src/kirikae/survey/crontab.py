"""Which lines of a crontab cron runs, and which it passes over, by the rules of Debian's cron and
of cronie (measured; crontab(5), cron(8))."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from kirikae.model.bundle import Line


class Dialect(StrEnum):
    """Whose rules count on a host."""

    DEBIAN = "debian"
    """One bad line, or a last one without its end, and the whole file is passed over."""
    CRONIE = "cronie"
    """A bad line alone is passed over."""


class Entry(NamedTuple):
    """One job; ``user`` is empty in a crontab of a user's own."""

    line: Line
    when: str
    user: str
    command: str


class Passed(NamedTuple):
    """A line that cron does not understand."""

    line: Line
    why: str


@dataclass(frozen=True, slots=True)
class Read:
    """``settings``: lines that set something for the jobs below them."""

    entries: tuple[Entry, ...]
    settings: tuple[Line, ...]
    bad: tuple[Passed, ...]


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: Sequence[str] = ()


_MONTHS = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS),
)
_NICKNAMES = (
    "@reboot",
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
)
_SETTING = re.compile(r"""\s*(?:"[^"]*"|'[^']*'|[^\s="']*)[ \t]*=[ \t]*(.*)$""")
_QUOTED = re.compile(r"""("[^"]*"|'[^']*')[ \t\r]*$""")
_ENTRY = re.compile(r"[ \t]*(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(.*)$")
_BY_NAME = re.compile(r"[ \t]*(@\S+)[ \t]+(.*)$")
_ITEM = re.compile(r"(?:(\*)|([A-Za-z0-9]+)(?:(-)([A-Za-z0-9]+)?)?)(?:(/)(\d+)?)?")
_BLANKS = re.compile(r"[ \t]+")
_COMMAND_AT_MOST = 998


def read(
    lines: Sequence[Line], named_users: bool, users: Mapping[str, object], dialect: Dialect
) -> Read:
    """``named_users``: each line says as whom it runs, as in /etc/cron.d.

    ``users``: the host's; where none is known, none is missed.
    """
    entries: list[Entry] = []
    settings: list[Line] = []
    bad: list[Passed] = []
    for line in lines:
        said = line.text.strip(" \t")
        if not said or said.startswith("#"):
            continue
        match = _SETTING.match(line.text)
        if match:
            if _is_value(match[1], dialect):
                settings.append(line)
            else:
                bad.append(Passed(line, "a setting without a value"))
            continue
        entry = _entry(line, named_users)
        why = entry if isinstance(entry, str) else _refused(entry, users, dialect)
        if why:
            bad.append(Passed(line, why))
        elif isinstance(entry, Entry):
            entries.append(entry)
    return Read(tuple(entries), tuple(settings), tuple(bad))


def _is_value(said: str, dialect: Dialect) -> bool:
    """``MAILTO=`` alone is refused by Debian's cron."""
    value = said.strip(" \t\r")
    if value[:1] in "\"'" and value:
        return bool(_QUOTED.fullmatch(value))
    return bool(value) or dialect is Dialect.CRONIE


def _entry(line: Line, named_users: bool) -> Entry | str:
    """The parts of a line, or why it has none."""
    match = _BY_NAME.match(line.text)
    if match:
        when, rest = match[1], match[2]
    else:
        match = _ENTRY.match(line.text)
        if not match:
            return "fewer than five times and a command"
        when, rest = " ".join(match.group(1, 2, 3, 4, 5)), match[6]
    if not named_users:
        return Entry(line, when, "", rest)
    user, *command = _BLANKS.split(rest, maxsplit=1)
    return Entry(line, when, user, "".join(command))


def _refused(entry: Entry, users: Mapping[str, object], dialect: Dialect) -> str:
    """Why cron does not take it; empty: it does."""
    why = _bad_time(entry.when)
    if why:
        return why
    if entry.user and users and entry.user not in users:
        return f"{entry.user} is no user of this host"
    if entry.command.startswith("*"):
        return "six times: the command would begin with *"
    if dialect is Dialect.DEBIAN and len(entry.command) > _COMMAND_AT_MOST:
        return f"a command of more than {_COMMAND_AT_MOST} characters"
    return ""


def _bad_time(when: str) -> str:
    """Which of its parts is none; empty: it is a time."""
    if when.startswith("@"):
        return "" if when in _NICKNAMES else f"{when} is no time that cron knows"
    for field, said in zip(_FIELDS, when.split(), strict=True):
        if not _is_good(field, said):
            return f"{said} is no {field.name}"
    return ""


def _is_good(field: _Field, said: str) -> bool:
    """After a whole item cron drops whatever is no comma, in silence."""
    at = 0
    while True:
        match = _ITEM.match(said, at)
        if match is None or not _is_item(field, match):
            return False
        at = match.end()
        if said[at : at + 1] != ",":
            return True
        at += 1


def _is_item(field: _Field, match: re.Match[str]) -> bool:
    """``*``, a value or a range; a step only after ``*`` or a range."""
    star, first, dash, last, slash, step = match.groups()
    if slash and (not step or not int(step[:6]) or not (star or dash)):
        return False
    if star:
        return True
    if dash and not last:
        return False
    values = [first, last] if dash else [first]
    return all(_is_value_of(field, value) for value in values)


def _is_value_of(field: _Field, said: str) -> bool:
    if said.isdecimal():
        return len(said) < 6 and field.low <= int(said) <= field.high
    return said.lower() in field.names


def commented(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines that are commented out and would be jobs."""
    for line in lines:
        said = line.text.lstrip(" \t")
        if not said.startswith("#"):
            continue
        entry = _entry(Line(line.path, line.number, said.lstrip("# \t")), named_users=False)
        drawn = "user-name" in said  # how /etc/crontab explains itself
        if isinstance(entry, Entry) and entry.command and not drawn and not _bad_time(entry.when):
            yield line
