"""cron's own log: which command it started, when, for whom.

Lines are those of syslog (``Nov 27 19:03:01 host CRON[12]: (root) CMD (command)``), of rsyslog with
ISO times, and of ``journalctl -o short-iso``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from kirikae.model.crontab.zones import Zone, minute_of

_CMD = re.compile(
    r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) "
    r"\S+ \S*(?i:cron)\S*\[\d+\]: \((?P<user>[^)]*)\) CMD \((?P<command>.*)\)\s*"
)
_GUARDED = re.compile(r"\S*kirikae-guard .*?(?P<job>[A-Za-z0-9][A-Za-z0-9._-]*) -c '")
_DAY_MIN = 1440


@dataclass(frozen=True, slots=True)
class Logged:
    """``minute``: of UTC.  ``job``: the ID that stands behind a guard; None: no guard."""

    minute: int
    user: str
    command: str
    job: str | None


def read_log(
    text: str,
    zone: Zone,
    now: int,
) -> Iterator[Logged]:
    """``zone``: in which times without an offset are.  ``now``: a minute of UTC, since such lines
    have no year; what would lie in the future is of the year before."""
    for line in text.splitlines():
        found = _CMD.fullmatch(line)
        if found is None:
            continue
        minute = _minute(
            found["time"],
            zone,
            now,
        )
        if minute is None:
            continue
        command = found["command"].strip()
        guarded = _GUARDED.match(command)
        yield Logged(
            minute,
            found["user"],
            command,
            guarded["job"] if guarded else None,
        )


def _minute(
    text: str,
    zone: Zone,
    now: int,
) -> int | None:
    try:
        if text[0].isdigit():
            found = datetime.fromisoformat(text)
            return minute_of(found) if found.tzinfo else zone.minute_of(found)
        year = zone.wall(now).year
        minute = zone.minute_of(datetime.strptime(f"{year} {text}", "%Y %b %d %H:%M:%S"))
        if minute > now + _DAY_MIN:
            before = datetime.strptime(f"{year - 1} {text}", "%Y %b %d %H:%M:%S")
            return zone.minute_of(before)
        return minute
    except ValueError:
        return None
