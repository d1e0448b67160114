"""What runs: releases on both fleets, firings of jobs, proofs of logs, reports of drills."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kirikae.console.context import open_store
from kirikae.console.drill_reports import FOLDER, read_report, report_files
from kirikae.console.here import Here
from kirikae.console.jobs_common import ledger_of
from kirikae.console.logs_common import LogsDesk
from kirikae.console.release import releases_of, served_at
from kirikae.console.salvage import salvaged
from kirikae.console.web.alerting import alerts_in
from kirikae.console.web.calendar import Firings, calendar_of, tone_of
from kirikae.console.web.members import Members, services_of
from kirikae.console.web.pages import reader
from kirikae.jobs.job import Firing, read_firing_id
from kirikae.jobs.ledger import Ledger
from kirikae.jobs.settings import JobsMove
from kirikae.logs.settings import LogsMove
from kirikae.model.errors import KirikaeError, UsageProblem
from kirikae.model.project import Project
from kirikae.release.fleet import NEW, OLD
from kirikae.release.fleets import fleets_of
from kirikae.release.ledger import Ledger as ReleaseLedger
from kirikae.release.manifest import Manifest

_FIRINGS = 2000
_LISTED = 200
_SIDE_BY_SIDE = 4


# --- releases


def releases(request: Request) -> Response:
    """What runs where, what ran at a time, and what differs between two."""
    read = reader(request)
    here = read.here
    project = salvaged(here).project
    store = open_store(here, project)
    ledger = ReleaseLedger(
        store,
        project.environment,
        project.service,
        "",
    )
    made = releases_of(
        here,
        project,
        store,
    ).all()
    at = _moment(request.query_params.get("at", ""))
    sides = fleets_of(project, (OLD, NEW))
    served = served_at(
        ledger,
        at or time.time(),
        sides,
    ).plain["served"]
    entries = [entry.to_plain() for entry in ledger.all()]
    names = [request.query_params.get(name, "") for name in ("one", "other")]
    pair = [each for name in names for each in made if each.id == name]
    members: Members = read.site.kept.setdefault("members", Members(read.site.watchers))
    live = members.of(here)
    return read.page(
        "releases.html",
        {
            "live": None if live is None or live.value is None else live.value.to_plain(),
            "served": served,
            "ledger": entries,
            "releases": [each.id for each in made],
        },
        live=live,
        services=services_of(live.value, project.fleets.new.ecs_service)
        if live is not None and live.value is not None
        else {},
        asked_at=request.query_params.get("at", ""),
        served=served,
        entries=list(reversed(entries))[:_LISTED],
        made=list(reversed(made))[:_LISTED],
        names=names,
        differences=differences(*pair) if len(pair) == 2 else None,
    )


def _moment(text: str) -> float | None:
    """In UTC, as the pages tell times; None: now.  Raises UsageProblem."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageProblem(f"{text[:40]}: write a time, such as 2026-11-28T14:05") from error


def differences(one: Manifest, other: Manifest) -> list[tuple[str, str, str]]:
    """What two releases say differently of themselves: name, the one's, the other's."""
    first = _said_of(one)
    second = _said_of(other)
    names = dict.fromkeys([*first, *second])
    return [
        (name, first.get(name, "–"), second.get(name, "–"))
        for name in names
        if first.get(name) != second.get(name)
    ]


def _said_of(manifest: Manifest) -> dict[str, str]:
    """Its definitions by their checksums."""
    facts: Mapping[str, object] = {
        "git": manifest.git,
        "files": manifest.files,
        "bytes": manifest.size,
        "sha256": manifest.sha256[:16],
        "notes": manifest.notes,
        "schema": json.dumps(manifest.schema) if manifest.schema else "",
    }
    definitions = {f"ecs/{file}": digest[:16] for file, digest in manifest.definitions.items()}
    return {name: str(value) for name, value in facts.items() if value != ""} | definitions


# --- jobs


def jobs(request: Request) -> Response:
    """A day of every move of jobs, in a zone."""
    read = reader(request)
    project = salvaged(read.here).project
    query = request.query_params
    told = []
    for name, settings in project.moves.items():
        if isinstance(settings, JobsMove):
            found = calendar_of(
                read.here.folder,
                settings,
                query.get("zone") or settings.time_zone,
                query.get("day", ""),
                _firings_between(read.here, settings),
            )
            told.append((name, found))
    plain = {
        "calendars": [
            {
                "move": name,
                **found.to_plain(),
            }
            for name, found in told
        ]
    }
    return read.page(
        "day.html",
        plain,
        calendars=told,
        most=_LISTED,
        tone=tone_of,
    )


def _firings_between(here: Here, settings: JobsMove) -> Firings:
    def firings(begin: int, end: int) -> list[Firing]:
        ledger = _ledger(here, settings)
        return ledger.history(
            None,
            since=begin,
            until=end,
            most=_FIRINGS,
        )

    return firings


def _ledger(here: Here, settings: JobsMove) -> Ledger:
    """As the command opens it; a token file is named from the project file's folder."""
    token = settings.token_file
    named = None if token is None else str(here.folder / token)
    return ledger_of(settings.ledger, named)


def firing(request: Request) -> Response:
    """Everything about one firing, its output with it: `jobs show`."""
    read = reader(request)
    project = salvaged(read.here).project
    settings = project.moves.get(str(request.path_params["name"]))
    if not isinstance(settings, JobsMove):
        raise UsageProblem(read.word("console.web.jobs.no_move"))
    try:
        job, due = read_firing_id(str(request.path_params["firing"]))
    except ValueError as error:
        raise UsageProblem(str(error)) from error
    found = _ledger(read.here, settings).firing(job, due)
    if found is None:
        raise UsageProblem(read.word("console.web.jobs.no_firing", firing=f"{job}@{due}"))
    return read.page(
        "firing.html",
        {
            "firing": found.id,
            **found.to_plain(),
        },
        firing=found,
        tone=tone_of,
    )


# --- logs


@dataclass(frozen=True, slots=True)
class Heat:
    """Verdicts on folders of the new tree: a row for a day, a cell for each folder in it.

    ``newest``: when the last one was judged (Unix time)."""

    move: str
    rows: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    counts: Mapping[str, int]
    trouble: str = ""
    newest: float | None = None

    def to_plain(self) -> dict[str, Any]:
        return {
            "move": self.move,
            "trouble": self.trouble,
            "newest": self.newest,
            **self.counts,
        }


def logs(request: Request) -> Response:
    """Which partitions are proven, and which are not."""
    read = reader(request)
    project = salvaged(read.here).project
    found = [
        _heat(
            read.here,
            project,
            name,
            settings,
        )
        for name, settings in project.moves.items()
        if isinstance(settings, LogsMove)
    ]
    alerts = alerts_in(read.here.folder / ".kirikae" / "logs")
    return read.page(
        "heat.html",
        {
            "moves": [each.to_plain() for each in found],
            "alerts": [each.to_plain() for each in alerts],
        },
        heats=found,
        alerts=alerts,
    )


def _heat(
    here: Here,
    project: Project,
    name: str,
    settings: LogsMove,
) -> Heat:
    try:
        desk = LogsDesk(
            here,
            name,
            project,
            settings,
            time.time(),
        )
        manifest = desk.manifest_if_any()
        judged = {} if manifest is None else manifest.judged()
    except KirikaeError as error:
        return Heat(
            name,
            [],
            {},
            str(error),
        )
    verdicts = {label: each.verdict for label, each in judged.items()}
    newest = max((each.at for each in judged.values()), default=None)
    return replace(
        heat_of(name, verdicts),
        newest=newest,
    )


def heat_of(name: str, verdicts: Mapping[str, str]) -> Heat:
    """By folder: what comes before the last part of its name is the row."""
    rows: dict[str, list[tuple[str, str]]] = {}
    counts = {
        "pass": 0,
        "fail": 0,
        "unsure": 0,
    }
    for label, verdict in sorted(verdicts.items()):
        row, _, cell = label.strip("/").rpartition("/")
        rows.setdefault(row, []).append((cell, verdict))
        counts[verdict] = counts.get(verdict, 0) + 1
    return Heat(
        name,
        list(reversed(rows.items())),
        counts,
    )


# --- reports


def reports(request: Request) -> Response:
    """JSON reports of drills and capacity, side by side, the oldest first."""
    read = reader(request)
    folder = read.site.reports or read.here.folder / FOLDER
    found = report_files(folder)
    named = request.query_params.getlist("report")[:_SIDE_BY_SIDE]
    columns = [
        (file.name, flat(read_report(file))) for file in reversed(found) if file.name in named
    ]
    plain = {
        "reports": [file.name for file in found],
        "chosen": dict(columns),
    }
    return read.page(
        "reports.html",
        plain,
        files=[(file.name, file.stat().st_mtime) for file in found],
        folder=folder.name,
        columns=[name for name, _ in columns],
        rows=side_by_side([values for _, values in columns]),
        change=change,
    )


def side_by_side(columns: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """Each figure with its value in each report; a dash where it has none."""
    keys = dict.fromkeys(key for values in columns for key in values)
    return [(key, [values.get(key, "–") for values in columns]) for key in keys]


def change(values: Sequence[str]) -> str:
    """From the first report to the last, where both are numbers and the first is not 0."""
    try:
        first, last = (float(each.replace(",", "")) for each in (values[0], values[-1]))
    except ValueError:
        return ""
    told = isfinite(first) and isfinite(last) and first and last != first
    return f"{(last - first) / abs(first):+.1%}" if told else ""


def flat(plain: Any, before: str = "") -> dict[str, str]:
    """``{"a": {"b": 1}}`` as ``a.b``: 1; a list is told by its length."""
    if isinstance(plain, dict):
        found: dict[str, str] = {}
        for key, value in plain.items():
            found |= flat(value, f"{before}.{key}" if before else str(key))
        return found
    if isinstance(plain, list):
        return {before: f"[{len(plain)}]"}
    return {before: _told(plain)}


def _told(value: Any) -> str:
    """A figure that is not known is a dash, never the word of a programming language."""
    match value:
        case None:
            return "–"
        case bool():
            return str(value).lower()
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)[:200]


ROUTES = (
    Route("/p/{place}/releases", releases),
    Route("/p/{place}/jobs", jobs),
    Route("/p/{place}/jobs/{name}/{firing}", firing),
    Route("/p/{place}/logs", logs),
    Route("/p/{place}/reports", reports),
)
