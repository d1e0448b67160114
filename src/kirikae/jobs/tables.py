"""A crontab as jobs: each entry with an ID that an edit of its command does not change, and with
the settings of the comment above it.

``# kirikae: id=score-update overlap=skip timeout=20m`` is a comment to cron, so the same file still
runs on the virtual machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kirikae.jobs.errors import NoTable
from kirikae.jobs.job import CatchUp, Job, OnCrash, Overlap, Policy, RunsIn
from kirikae.model.crontab.aws import Expression
from kirikae.model.crontab.schedule import Schedule
from kirikae.model.crontab.table import Entry, Table
from kirikae.model.crontab.zones import Zone

_SETTINGS = re.compile(r"\s*#\s*kirikae:\s*(.*)")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DURATION = re.compile(r"([0-9]{1,7})(s|m|h|d)")
_SECONDS = {
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
}
_RETRIES = re.compile(r"[0-9]{1,2}")
_SERIAL = re.compile(r"\s*#\s*kirikae-table:.*\bserial=([0-9]{1,18})\b")


@dataclass(frozen=True, slots=True)
class Timed:
    """A job, its entry and the zone whose wall clock decides."""

    job: Job
    entry: Entry
    zone: Zone
    digest: str
    expression: Expression | None = None
    """Of AWS; then the entry has no schedule of its own."""


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs of one zone that have due minutes, and their schedules in the same order."""

    zone: Zone
    timed: tuple[Timed, ...]
    schedules: tuple[Schedule, ...]


@dataclass(frozen=True, slots=True)
class Jobs:
    """All jobs of one crontab.  ``name``: under which the ledger knows it."""

    name: str
    serial: int
    timed: tuple[Timed, ...]
    groups: tuple[Group, ...] = ()
    expressed: tuple[Timed, ...] = ()
    """Those that go by an expression of AWS."""

    @property
    def ids(self) -> list[str]:
        """In the order of the file."""
        return [each.job.id for each in self.timed]

    def get(self, job: str) -> Job | None:
        """By its ID."""
        return next((each.job for each in self.timed if each.job.id == job), None)


def jobs_of(table: Table, text: str, name: str, zone: Zone, source: str = "") -> Jobs:
    """``name``: begins the IDs of jobs that the file itself does not name.  Raises NoTable."""
    lines = text.split("\n")
    counted: dict[str, int] = {}
    timed = []
    for entry in table.entries:
        settings = settings_above(
            lines,
            entry.line,
            source or name,
        )
        ordinal = counted[entry.when] = counted.get(entry.when, 0) + 1
        own_zone = zone if entry.zone is None else _zone_of(entry, source or name)
        given = settings.pop("id", "") or generated_id(
            name,
            entry.when,
            ordinal,
        )
        job = _job(
            entry,
            given,
            f"{source or name}:{entry.line}",
            table,
            own_zone,
        )
        job = with_settings(job, settings)
        timed.append(
            Timed(
                job,
                entry,
                own_zone,
                job.digest,
            )
        )
    assert_distinct(timed)
    return Jobs(
        name,
        serial_of(text),
        tuple(timed),
        tuple(_groups(timed)),
    )


def _groups(timed: Sequence[Timed]) -> Iterator[Group]:
    """``@reboot`` has no minutes."""
    zones = dict.fromkeys(each.zone.name for each in timed)
    for name in zones:
        own = [each for each in timed if each.zone.name == name]
        due = [(each, each.entry.schedule) for each in own if each.entry.schedule is not None]
        if due:
            schedules = tuple(schedule for _, schedule in due)
            yield Group(
                own[0].zone,
                tuple(each for each, _ in due),
                schedules,
            )


def generated_id(name: str, when: str, ordinal: int) -> str:
    """Of the table's name, the time fields, and which one with these fields it is: never of the
    command, so that an edit of it during a deployment is still the same job."""
    digest = hashlib.sha256(f"{name}\n{when}\n{ordinal}".encode()).hexdigest()
    return f"{_plain_name(name)}-{digest[:10]}"


def _plain_name(name: str) -> str:
    return (
        re.sub(
            r"[^A-Za-z0-9._-]",
            "-",
            Path(name).name,
        ).strip("-.")[:60]
        or "job"
    )


def serial_of(text: str) -> int:
    """``# kirikae-table: serial=42``: of two versions of a table, the higher one is in force."""
    found = [match[1] for line in text.split("\n") if (match := _SERIAL.match(line))]
    return int(found[-1]) if found else 0


def _zone_of(entry: Entry, source: str) -> Zone:
    """By cronie's CRON_TZ.  Raises NoTable."""
    try:
        return zone_named(str(entry.zone))
    except NoTable as error:
        raise NoTable(f"{source}:{entry.line}: CRON_TZ above it: {error}") from error


def zone_named(name: str) -> Zone:
    try:
        return Zone(name)
    except (KeyError, ValueError, OSError) as error:
        raise NoTable(f"{name[:80]!r} is no time zone; write one such as Asia/Tokyo") from error


def _job(entry: Entry, given: str, source: str, table: Table, zone: Zone) -> Job:
    return Job(
        given,
        source,
        str(table.dialect),
        entry.when,
        zone.name,
        entry.command,
        entry.stdin,
        entry.user,
        dict(entry.variables),
    )


def settings_above(lines: list[str], number: int, source: str) -> dict[str, str]:
    """Of the comments right above the line, which counts from 1.  Raises NoTable."""
    settings: dict[str, str] = {}
    at = number - 2
    while at >= 0 and lines[at].lstrip().startswith("#"):
        found = _SETTINGS.match(lines[at])
        if found is not None:
            settings = {
                **_words(found[1], f"{source}:{at + 1}"),
                **settings,
            }
        at -= 1
    return settings


def _words(text: str, where: str) -> dict[str, str]:
    settings = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        known = key == "id" or key in _READERS
        if not equals or not known:
            raise NoTable(f"{where}: {word[:60]!r} is no setting; there are id, {_KNOWN}")
        if key == "id" and _ID.fullmatch(value) is None:
            raise NoTable(f"{where}: id={value[:60]}: letters, digits, and . _ - are an ID")
        try:
            if key in _READERS:
                _READERS[key](value)
        except ValueError as error:
            raise NoTable(f"{where}: {word[:60]}: {error}") from error
        settings[key] = value
    return settings


def seconds_of(text: str) -> float:
    """Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("write a time such as 30s, 10m or 2h")
    return float(int(found[1]) * _SECONDS[found[2]])


def _chosen(kind: Any) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError as error:
            known = ", ".join(str(each) for each in kind)
            raise ValueError(f"write one of {known}") from error

    return read


def _runs_unheld(text: str) -> bool:
    if text not in ("wait", "run"):
        raise ValueError("write wait or run")
    return text == "run"


def _matches_stdout(text: str) -> bool:
    if text not in ("stderr", "both"):
        raise ValueError("write stderr or both")
    return text == "both"


_EVENTS = ("failure", "missed", "late", "overrun", "stderr", "recovered", "none")


def _events(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if not set(found) <= set(_EVENTS):
        raise ValueError(f"write some of {', '.join(_EVENTS)}")
    return found


def _count(text: str) -> int:
    if _RETRIES.fullmatch(text) is None:
        raise ValueError("write a number up to 99")
    return int(text)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return text


_POLICY: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "on-crash": ("on_crash", _chosen(OnCrash)),
    "overlap": ("overlap", _chosen(Overlap)),
    "lock": ("lock", str),
    "retries": ("retries", _count),
    "backoff": ("backoff_s", seconds_of),
    "start-within": ("start_within_s", seconds_of),
}
_JOB: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "timeout": ("timeout_s", seconds_of),
    "catch-up": ("catch_up", _chosen(CatchUp)),
    "window": ("window_s", seconds_of),
    "runs-in": ("runs_in", _chosen(RunsIn)),
    "ledger-away": ("runs_unheld", _runs_unheld),
    "match": ("match", _pattern),
    "match-in": ("match_stdout", _matches_stdout),
    "late": ("late_s", seconds_of),
    "overrun": ("overrun_s", seconds_of),
    "notify": ("notify", _events),
}
_READERS = {
    key: read
    for key, (_, read) in {
        **_POLICY,
        **_JOB,
    }.items()
}
_KNOWN = ", ".join(_READERS)


def with_settings(
    job: Job, settings: Mapping[str, str], variables: Mapping[str, str] | None = None
) -> Job:
    """The settings have been read once: they are right."""
    policy = {
        field: read(settings[key]) for key, (field, read) in _POLICY.items() if key in settings
    }
    own = {field: read(settings[key]) for key, (field, read) in _JOB.items() if key in settings}
    environment = job.environment if variables is None else variables
    policies = replace(Policy(), **policy)
    return replace(job, policy=policies, environment=environment, **own)


def assert_distinct(timed: Sequence[Timed]) -> None:
    seen: dict[str, str] = {}
    for each in timed:
        if each.job.id in seen:
            raise NoTable(
                f"{each.job.source}: the ID {each.job.id} stands at {seen[each.job.id]} already; "
                "every job needs its own"
            )
        seen[each.job.id] = each.job.source
