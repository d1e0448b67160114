"""A table of jobs by AWS's schedule expressions, for what no crontab can say: a year, the last
weekday of a month, every seven minutes.

``cron(0 18 L * ? *) /app/bin/close-the-books`` is a line.  Variables and settings stand above it as
in a crontab; CRON_TZ is the zone of the lines below it; ``%`` is a percent sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

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
from kirikae.model.said import Said, Words, said

DIALECT = "aws"
_LINE = re.compile(r"((?:cron|rate|at)\([^()]*\))[ \t]+(\S.*)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?:\"([^\"]*)\"|'([^']*)'|(.*))")


@dataclass(frozen=True, slots=True)
class Line:
    """One that is neither empty, nor a comment, nor a variable.

    ``variables``, ``zone``: what holds for it.  ``expression``: None where it is ``wrong``.
    """

    line: int
    text: str
    zone: Zone
    when: str = ""
    command: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    expression: Expression | None = None
    wrong: Said | None = None


def aws_jobs(text: str, name: str, zone: Zone, source: str = "") -> Jobs:
    """``zone``: of lines without CRON_TZ above them.  Raises NoTable."""
    lines = text.split("\n")
    counted: dict[str, int] = {}
    timed: list[Timed] = []
    for line in read_lines(text, zone):
        where = f"{source or name}:{line.line}"
        if line.wrong is not None:
            raise NoTable(f"{where}: {Words.of('kirikae.jobs').say(line.wrong)}")
        settings = settings_above(lines, line.line, source or name)
        ordinal = counted[line.when] = counted.get(line.when, 0) + 1
        given = settings.pop("id", "") or generated_id(name, line.when, ordinal)
        job = Job(given, where, DIALECT, line.when, line.zone.name, line.command)
        job = with_settings(job, settings, line.variables)
        timed.append(Timed(job, _entry(line), line.zone, job.digest, line.expression))
    assert_distinct(timed)
    return Jobs(name, serial_of(text), tuple(timed), (), tuple(timed))


def _entry(line: Line) -> Entry:
    """A crontab's, without times of its own."""
    text = f"{line.when} {line.command}"
    return Entry(line.line, text, (), None, "", line.command, None, line.command)


def read_lines(text: str, zone: Zone) -> Iterator[Line]:
    """Every line that is to run, in order, and every one that cannot be read."""
    variables: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        timed = _LINE.fullmatch(line)
        variable = _VARIABLE.fullmatch(line)
        if timed is not None:
            yield _timed(Line(number, line, zone, timed[1], timed[2], dict(variables)))
        elif variable is None:
            yield Line(number, line, zone, wrong=said("jobs.aws_table.line", text=line[:60]))
        elif variable[1] == "CRON_TZ":
            try:
                zone = zone_named(_value(variable))
            except NoTable:
                wrong = said("jobs.aws_table.zone", zone=_value(variable)[:60])
                yield Line(number, line, zone, wrong=wrong)
        else:
            variables[variable[1]] = _value(variable)


def _value(variable: re.Match[str]) -> str:
    """Without its quotes."""
    return next(part for part in variable.groups()[1:] if part is not None)


def _timed(line: Line) -> Line:
    found = read_expression(line.when, Service.SCHEDULER)
    if isinstance(found, Said):
        return replace(line, wrong=found)
    return replace(line, expression=found)
