"""A table of jobs by AWS's schedule expressions, for what no crontab can say: a year, the last
weekday of a month, every seven minutes.

``cron(0 18 L * ? *) /app/bin/close-the-books`` is a line.  Variables and settings stand above it as
in a crontab; CRON_TZ is the zone of the lines below it; ``%`` is a percent sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kirikae.jobs.errors import NoTable
from kirikae.jobs.job import Job
from kirikae.jobs.tables import (
    Jobs,
    Timed,
    assert_distinct,
    generated_id,
    serial_of,
    settings_above,
    with_settings,
    zone_named,
)
from kirikae.model.crontab.aws import Expression, Service, read_expression
from kirikae.model.crontab.table import Entry
from kirikae.model.crontab.zones import Zone
from kirikae.model.said import Said, Words

DIALECT = "aws"
_LINE = re.compile(r"((?:cron|rate|at)\([^()]*\))[ \t]+(\S.*)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?:\"([^\"]*)\"|'([^']*)'|(.*))")


@dataclass(slots=True)
class _Above:
    """What stands above a line and holds for it."""

    zone: Zone
    variables: dict[str, str] = field(default_factory=dict)


def aws_jobs(text: str, name: str, zone: Zone, source: str = "") -> Jobs:
    """``zone``: of lines without CRON_TZ above them.  Raises NoTable."""
    lines = text.split("\n")
    counted: dict[str, int] = {}
    timed: list[Timed] = []
    for number, when, command, above in _lines(lines, zone, source or name):
        settings = settings_above(lines, number, source or name)
        ordinal = counted[when] = counted.get(when, 0) + 1
        given = settings.pop("id", "") or generated_id(name, when, ordinal)
        where = f"{source or name}:{number}"
        job = Job(given, where, DIALECT, when, above.zone.name, command)
        job = with_settings(job, settings, above.variables)
        entry = Entry(number, f"{when} {command}", (), None, "", command, None, command)
        expression = _expression(when, where)
        timed.append(Timed(job, entry, above.zone, job.digest, expression))
    assert_distinct(timed)
    return Jobs(name, serial_of(text), tuple(timed), (), tuple(timed))


def _lines(lines: list[str], zone: Zone, source: str) -> Iterator[tuple[int, str, str, _Above]]:
    """(number, expression, command, what holds for it).  Raises NoTable."""
    above = _Above(zone)
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is not None:
            yield number, found[1], found[2], _Above(above.zone, dict(above.variables))
            continue
        variable = _VARIABLE.fullmatch(line)
        if variable is None:
            raise NoTable(
                f"{source}:{number}: {line[:60]!r} is no line of this kind: write an expression "
                "and a command, such as cron(0 18 L * ? *) /app/bin/close, or NAME=VALUE"
            )
        value = next(part for part in variable.groups()[1:] if part is not None)
        if variable[1] == "CRON_TZ":
            above.zone = zone_named(value)
        else:
            above.variables[variable[1]] = value


def _expression(when: str, where: str) -> Expression:
    found = read_expression(when, Service.SCHEDULER)
    if isinstance(found, Said):
        raise NoTable(f"{where}: {Words.of().say(found)}")
    return found
