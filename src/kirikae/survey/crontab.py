"""Which lines of a surveyed crontab cron runs, and which it passes over: the lines of a bundle,
read by the reader that ``model.crontab`` has for all rooms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kirikae.model.bundle import Line
from kirikae.model.crontab import table
from kirikae.model.crontab.fields import Dialect
from kirikae.model.said import Said, Words, said

__all__ = ["Dialect", "Entry", "Passed", "Read", "commented", "read"]


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


def read(
    lines: Sequence[Line], named_users: bool, users: Mapping[str, object], dialect: Dialect
) -> Read:
    """``named_users``: each line says as whom it runs, as in /etc/cron.d.

    ``users``: the host's; where none is known, none is missed.
    """
    entries: list[Entry] = []
    settings: list[Line] = []
    bad: list[Passed] = []
    words = Words.of()
    for line in lines:
        rest = line.text.strip(" \t")
        if not rest or rest.startswith("#"):
            continue
        if table.read_variable(line.text, dialect) is not None:
            settings.append(line)
            continue
        found = _entry(line, named_users, users, dialect)
        if isinstance(found, Said):
            bad.append(Passed(line, words.say(found)))
        else:
            entries.append(found)
    return Read(tuple(entries), tuple(settings), tuple(bad))


def _entry(
    line: Line, named_users: bool, users: Mapping[str, object], dialect: Dialect
) -> Entry | Said:
    """The parts of a line, or why it has none."""
    found = table.read_entry(line.text.lstrip(" \t"), dialect, named_users)
    if isinstance(found, Said):
        return found
    if found.user and users and found.user not in users:
        return said("model.crontab.user", user=found.user)
    return Entry(line, found.when, found.user, found.raw_command)


def commented(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines that are commented out and would be jobs."""
    for line in lines:
        text = line.text.lstrip(" \t")
        if not text.startswith("#"):
            continue
        found = table.read_entry(text.lstrip("# \t"), Dialect.DEBIAN, False)
        drawn = "user-name" in text  # how /etc/crontab explains itself
        if isinstance(found, table.Entry) and found.raw_command and not drawn:
            yield line
