"""``kirikae drill run``: an experiment of the Chaos Toolkit, made and judged as ``drill fault``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kirikae.console.drill_fault import broken, meant, timed
from kirikae.console.drill_ground import Scene, scene
from kirikae.console.drill_options import HTML, KEEP, Asking, asking
from kirikae.console.here import Answer, Here
from kirikae.console.options import DRY, JSON, LANG
from kirikae.drill.chaos import Chaos
from kirikae.drill.chaos import read as read_chaos
from kirikae.drill.targets import Target
from kirikae.model.errors import UsageProblem

_NOT_SAID: dict[str, Any] = {
    "task": "",
    "count": 1,
    "zone": "",
    "database": "",
    "template": "",
    "agent_uri": "",
    "move": None,
    "group": "",
}


@click.command("run")
@click.argument("experiment", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--cluster", help="Default: that of the file, or of the project file's new side.")
@click.option("--service", help="Default: that of the file, or of the project file's new side.")
@asking
@timed
@meant
@KEEP
@HTML
@DRY
@LANG
@JSON
@click.pass_obj
def run(
    here: Here,
    /,
    dry_run: bool,
    lang: str | None,
    **options: Any,
) -> Answer:
    """Carry out an experiment of the Chaos Toolkit (JSON or YAML), with one verdict for every
    request (exit codes: as `drill fault`).

    What of it cannot be carried out is refused with its line.  What the fault did is undone always.
    """
    asked = read_chaos(options.pop("experiment"), here.environment)
    return broken(*_told(here, asked, options), dry_run, lang)


def _told(
    here: Here, asked: Chaos, options: dict[str, Any]
) -> tuple[Scene, str, list[Target], Asking, dict[str, Any]]:
    """The file's words as options; what is said on the command line wins.  Raises UsageProblem."""
    named = dict(asked.options)
    cluster = options["cluster"] or named.pop("cluster", None)
    service = options["service"] or named.pop("service", None)
    found = scene(here, cluster, service)
    lasts = options["lasts"] if asked.lasts_s is None else asked.lasts_s
    limits = [*asked.limits, *options["limits"]]
    if asked.watches_whole:
        limits.append(f"whole<{lasts + options['after']:g}s")
    every = {
        **_NOT_SAID,
        **options,
        **named,
        "lasts": lasts,
        "limits": limits,
    }
    reading = Asking.of(options)
    if asked.targets and (reading.urls or reading.file):
        raise UsageProblem("the file says what to ask (http probes); leave --target out")
    targets = list(asked.targets) or reading.targets()
    return found, asked.fault, targets, reading, every
