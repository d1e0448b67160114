"""``kirikae drill traces``: which requests ask the database the same thing again and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from kirikae.console.drill_load import speech_of
from kirikae.console.drill_long import findings_told
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG
from kirikae.drill import calls
from kirikae.drill.calls import Calls
from kirikae.model.errors import Exit
from kirikae.model.said import Said, said

_SHOWN = 20


@click.command("traces")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@LANG
@JSON
@click.pass_obj
def traces(here: Here, files: tuple[Path, ...], lang: str | None) -> Answer:
    """Count the database calls of each request in OpenTelemetry's traces, as the Collector's file
    exporter wrote them during a drill: the same statement five times or more in one request is N+1
    (exit code 6: there is one, 5: the traces tell of no database call)."""
    found = calls.calls_of(calls.read(files))
    loops = list(calls.findings(found))
    speech = speech_of(here, lang)
    plain = {
        "routes": {
            name: {"requests": len(route.requests), "calls_a_request": route.mean}
            for name, route in found.routes.items()
        },
        "calls_of_no_request": found.lost,
        "findings": [each.to_plain() for each in loops],
    }
    lines = [*(speech.say(each) for each in _told(found)), *findings_told(loops, speech)]
    if not found.any:
        return Answer(plain, lines, Exit.WAITING)
    return Answer(plain, lines, Exit.FOUND if loops else Exit.DONE)


def _told(found: Calls) -> Iterator[Said]:
    if not found.any:
        yield said("drill.traces.none")
    most = sorted(found.routes.items(), key=lambda each: -each[1].mean)
    for name, route in most[:_SHOWN]:
        yield said("drill.traces.route", name=name, requests=len(route.requests), mean=route.mean)
    if found.lost:
        yield said("drill.traces.lost", lost=found.lost)
