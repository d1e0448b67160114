"""A whole crontab: its entries as they run, and what is refused, by Debian's cron and by cronie.

Sources: crontab(5), cron(8); load_env and load_entry of Debian's cron 3.0pl1-162 and of cronie 1.7.
Debian ignores a file as a whole for one line that it does not understand; cronie skips the line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType

from kirikae.model.crontab.fields import SPANS, Dialect, Field, Wrong, read_field
from kirikae.model.crontab.schedule import Schedule
from kirikae.model.said import Said, said

DEBIAN_COMMAND = 998
"""In bytes, as the other lengths here."""
CRONIE_COMMAND = 131_072
DEBIAN_VARIABLE = 998
"""Debian cuts ``NAME=value`` to so many bytes in silence."""
_BLANK = " \t"
_NICKNAMES: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
REBOOT = "@reboot"


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is refused.  ``line`` counts from 1; ``why``: words of ``model.crontab``."""

    line: int
    text: str
    why: Said


@dataclass(frozen=True, slots=True)
class Variable:
    """``NAME=value``; holds for the entries below it.  ``cut``: a value too long for Debian."""

    line: int
    name: str
    value: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One job.  ``schedule`` is None for ``@reboot``.  ``command``: as the shell gets it, without
    what follows the first ``%``; ``stdin``: that.  ``zone``: cronie's CRON_TZ."""

    line: int
    text: str
    fields: tuple[Field, ...]
    schedule: Schedule | None
    user: str
    command: str
    stdin: str | None
    raw_command: str
    variables: Mapping[str, str] = field(default_factory=dict)
    zone: str | None = None

    @property
    def when(self) -> str:
        """The five fields, or the name that stands for them, as written."""
        if self.text.startswith("@"):
            return _word(self.text)[0]
        return " ".join(field.text for field in self.fields)


@dataclass(frozen=True, slots=True)
class Table:
    """``entries``: those that cron runs; none where the file is ``ignored`` as a whole.
    ``written``: those that would run but for that."""

    dialect: Dialect
    written: tuple[Entry, ...]
    faults: tuple[Fault, ...]
    variables: tuple[Variable, ...]
    ignored: bool

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What runs."""
        return () if self.ignored else self.written


@dataclass(slots=True)
class _Reader:
    """What is known while the lines are read."""

    dialect: Dialect
    with_user: bool
    users: Collection[str] | None
    faults: list[Fault] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    written: list[Entry] = field(default_factory=list)
    now: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def line(self, number: int, text: str) -> None:
        """One line, without its line break."""
        rest = text.lstrip(_BLANK)
        if not rest or rest.startswith("#"):
            return
        variable = read_variable(text, self.dialect)
        if variable is not None:
            found = replace(variable, line=number)
            self.variables.append(found)
            self.now = MappingProxyType({**self.now, found.name: found.value})
            return
        read = read_entry(rest, self.dialect, self.with_user)
        if isinstance(read, Said):
            self.faults.append(Fault(number, text, read))
            return
        unknown = self.users is not None and self.with_user and read.user not in self.users
        if unknown:
            why = said("model.crontab.user", user=read.user)
            self.faults.append(Fault(number, text, why))
            return
        self.written.append(
            replace(
                read,
                line=number,
                variables=self.now,
                zone=self.now.get("CRON_TZ") if self.dialect is Dialect.CRONIE else None,
            )
        )


def read_table(
    text: str,
    dialect: Dialect = Dialect.DEBIAN,
    with_user: bool = False,
    users: Collection[str] | None = None,
) -> Table:
    """``with_user``: a file of the system, whose sixth column is a user.  ``users``: those that
    there are, None where that is not known."""
    reader = _Reader(dialect, with_user, users)
    lines = text.split("\n")
    unended = lines.pop() if lines else ""
    for number, line in enumerate(lines, 1):
        reader.line(number, line)
    if unended.strip(_BLANK):
        reader.faults.append(_unended(len(lines) + 1, unended, dialect))
    debian = dialect is Dialect.DEBIAN
    return Table(
        dialect,
        tuple(reader.written),
        tuple(reader.faults),
        tuple(reader.variables),
        debian and bool(reader.faults),
    )


def _unended(number: int, text: str, dialect: Dialect) -> Fault:
    return Fault(number, text, said("model.crontab.no_newline", dialect=str(dialect)))


_NAMED = r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s="'*@][^\s=]*|))"""
_VARIABLE = re.compile(rf"[ \t]*{_NAMED}[ \t]*=[ \t]*(?P<value>.*)", re.DOTALL)
_QUOTED = re.compile(r"""(["'])(?P<inner>[^"']*)\1[ \t\r]*""")


_EMPTY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t\r]*")


def read_variable(text: str, dialect: Dialect) -> Variable | None:
    """None where this line is none, so that it is read as an entry, and refused as one."""
    found = _VARIABLE.fullmatch(text) if "=" in text else None
    if found is None:
        return None
    name = next(part for part in found.group("double", "single", "bare") if part is not None)
    if dialect is Dialect.CRONIE and "=" in name:
        return None
    value = _value(found["value"], dialect)
    if value is None:
        return None
    cut = dialect is Dialect.DEBIAN and _bytes(f"{name}={value}") > DEBIAN_VARIABLE
    if cut:
        value = _cut(value, DEBIAN_VARIABLE - _bytes(f"{name}="))
    return Variable(0, name, value, cut)


def _bytes(text: str) -> int:
    """cron counts bytes, not letters."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _cut(text: str, most: int) -> str:
    """Its first bytes; a letter may be cut in two."""
    raw = text.encode("utf-8", "surrogateescape")[: max(most, 0)]
    return raw.decode("utf-8", "surrogateescape")


def _value(text: str, dialect: Dialect) -> str | None:
    """None where it is refused."""
    if text[:1] in ('"', "'"):
        quoted = _quoted(text)
        if quoted is None:
            return None
        return quoted.rstrip() if dialect is Dialect.DEBIAN else quoted
    value = text.strip(" \t\r")
    return value if value or dialect is Dialect.CRONIE else None


def _quoted(text: str) -> str | None:
    """What stands between two equal quotes that are all of it; no backslash counts."""
    end = text.find(text[0], 1)
    if end < 0 or text[end + 1 :].strip(" \t\r"):
        return None
    return text[1:end]


def read_entry(text: str, dialect: Dialect, with_user: bool) -> Entry | Said:
    """``text`` begins with what is not blank; words of ``model.crontab`` where it is refused."""
    if "\0" in text:
        return said("model.crontab.nul")
    rest = text
    if dialect is Dialect.CRONIE and rest.startswith("-"):
        rest = rest[1:].lstrip(_BLANK)
    timed = _nickname(rest) if rest.startswith("@") else _five_fields(rest, dialect)
    if isinstance(timed, Said):
        return timed
    user = ""
    rest = timed.rest
    if with_user:
        divided = _user(rest, dialect)
        if isinstance(divided, Said):
            return divided
        user, rest = divided
    refused = _refused_command(rest, dialect, with_user)
    if refused is not None:
        return refused
    command, stdin = split_percent(rest, dialect)
    return Entry(0, text, timed.fields, timed.schedule, user, command, stdin, rest)


def _user(text: str, dialect: Dialect) -> tuple[str, str] | Said:
    """(the user, the command).  Debian takes one blank away after the user and leaves the rest to
    the command; without any blank there is no command to it, not even an empty one."""
    user, rest = _word(text)
    if not user:
        return said("model.crontab.no_user")
    if dialect is Dialect.CRONIE:
        return user, rest
    if user == text:
        return said("model.crontab.no_command")
    return user, text[len(user) + 1 :]


@dataclass(frozen=True, slots=True)
class _Timed:
    fields: tuple[Field, ...]
    schedule: Schedule | None
    rest: str


def _nickname(text: str) -> _Timed | Said:
    name, rest = _word(text)
    if name == REBOOT:
        return _Timed((), None, rest)
    stands_for = _NICKNAMES.get(name)
    if stands_for is None:
        return said("model.crontab.nickname", name=name)
    timed = _five_fields(stands_for, Dialect.DEBIAN)
    assert isinstance(timed, _Timed)
    return replace(timed, rest=rest)


_TIMES = re.compile(r"([^ \t]+)[ \t]+([^ \t]+)[ \t]+([^ \t]+)[ \t]+([^ \t]+)[ \t]+([^ \t]+)")


def _five_fields(text: str, dialect: Dialect) -> _Timed | Said:
    found = _TIMES.match(text)
    words = found.groups() if found else tuple(text.split())
    read = _read_fields(words, dialect)
    if found is None or isinstance(read, Said):
        return _refused_times(words, text, read)
    return _Timed(read.fields, read.schedule, text[found.end() :].lstrip(_BLANK))


@lru_cache(65536)
def _read_fields(words: tuple[str, ...], dialect: Dialect) -> _Timed | Said:
    """The same times stand in many lines of a fleet."""
    fields: list[Field] = []
    for span, word in zip(SPANS, words, strict=False):
        read = read_field(word, span, dialect)
        if isinstance(read, Wrong):
            blanks = {"name": span.name, "value": word, "low": span.low, "high": span.high}
            return said(f"model.crontab.{read}", **blanks)
        fields.append(read)
    if len(fields) < len(SPANS):
        return said("model.crontab.too_few", name=SPANS[len(fields)].name)
    return _Timed(tuple(fields), schedule_of(fields), "")


def _refused_times(words: Sequence[str], text: str, read: _Timed | Said) -> Said:
    empty = _EMPTY.fullmatch(text)
    if empty is not None:
        return said("model.crontab.empty_variable", name=empty[1])
    return read if isinstance(read, Said) else said("model.crontab.too_few", name="weekday")


def schedule_of(fields: Sequence[Field]) -> Schedule:
    """Only the first character of a field says whether it is a star."""
    minute, hour, day, month, weekday = fields
    return Schedule(
        minute.mask,
        hour.mask,
        day.mask,
        month.mask,
        weekday.mask,
        both=day.star or weekday.star,
        wild=minute.star or hour.star,
    )


_WORD = re.compile(r"([^ \t]*)[ \t]*")


def _word(text: str) -> tuple[str, str]:
    """(up to the first blank, what follows the blanks)."""
    found = _WORD.match(text)
    assert found is not None
    return found[1], text[found.end() :]


def _refused_command(command: str, dialect: Dialect, with_user: bool) -> Said | None:
    if dialect is Dialect.DEBIAN:
        # After a user it takes this, too: measured with 3.0pl1-162.
        if command.startswith("*") and not with_user:
            return said("model.crontab.star_command")
        if _bytes(command) > DEBIAN_COMMAND:
            return said("model.crontab.long", n=_bytes(command), most=DEBIAN_COMMAND)
        return None
    if not command:
        return said("model.crontab.no_command")
    if _bytes(command) > CRONIE_COMMAND:
        return said("model.crontab.long", n=_bytes(command), most=CRONIE_COMMAND)
    return None


def split_percent(raw: str, dialect: Dialect = Dialect.DEBIAN) -> tuple[str, str | None]:
    """(the command, its standard input): the first ``%`` without a backslash ends the command.

    ``\\%`` is ``%``.  Debian makes one backslash of two, in the command alone; cronie leaves both.
    """
    if "%" not in raw and "\\" not in raw:
        return raw, None
    end = stdin_at(raw)
    escaped = r"\\([\\%])" if dialect is Dialect.DEBIAN else r"\\(?:(%)|([^%]))"
    command = re.sub(escaped, _kept, raw[:end], flags=re.DOTALL)
    return command, None if end == len(raw) else _stdin(raw[end + 1 :])


def _kept(found: re.Match[str]) -> str:
    """The second letter of an escape; both where the backslash stays."""
    return found[1] or found[0]


def stdin_at(raw: str) -> int:
    """Where the ``%`` stands that ends the command; its length where there is none."""
    at = 0
    while at < len(raw) and raw[at] != "%":
        at += 2 if raw[at] == "\\" else 1
    return min(at, len(raw))


def _stdin(raw: str) -> str:
    """Each ``%`` without a backslash is a line break, and one is added where the last letter is
    none; a backslash does not count as a letter here."""
    found: list[str] = []
    escaped = False
    open_line = False
    for letter in raw:
        if escaped and letter != "%":
            found.append("\\")
        written = "\n" if letter == "%" and not escaped else letter
        escaped = letter == "\\"
        if not escaped:
            found.append(written)
            open_line = written != "\n"
    if escaped:
        found.append("\\")
    return "".join(found) + ("\n" if open_line else "")


_CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")


def is_read_in_cron_d(name: str) -> bool:
    """Does cron read a file of this name in ``/etc/cron.d``, and run-parts one in
    ``/etc/cron.daily``?  No dots: cron(8), run-parts(8)."""
    return _CRON_D_NAME.fullmatch(name) is not None
