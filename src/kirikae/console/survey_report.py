"""``kirikae survey report``: the findings as a file for others: SARIF, Markdown or HTML."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from kirikae.console.acceptances import doubting, doubts
from kirikae.console.context import load_project
from kirikae.console.findings import Manner, plain
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG
from kirikae.console.speech import Speech
from kirikae.console.survey_markdown import markdown
from kirikae.console.survey_page import page
from kirikae.console.survey_sarif import sarif
from kirikae.console.survey_summary import Summary
from kirikae.console.surveyed import survey_findings, today
from kirikae.hosts.files import write_durably
from kirikae.model.errors import UsageProblem
from kirikae.model.said import said
from kirikae.model.shown import escaped

Form = Callable[[Summary, Manner], str]


def _as_sarif(summary: Summary, manner: Manner) -> str:
    """ASCII alone where a terminal could obey: the same data."""
    return escaped(json.dumps(sarif(summary.findings, manner), ensure_ascii=False, indent=1))


def _as_markdown(summary: Summary, manner: Manner) -> str:
    return "\n".join(markdown(summary, manner))


FORMS: Mapping[str, Form] = {
    "html": page,
    "markdown": _as_markdown,
    "sarif": _as_sarif,
}


@click.command("report")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMS)),
    required=True,
    help="HTML: one file that loads nothing; SARIF: version 2.1.0.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Where to write it (default: standard output).",
)
@click.option(
    "--kind",
    default="traffic",
    show_default=True,
    help="Say what blocks this kind of move.",
)
@LANG
@JSON
@DRY
@click.pass_obj
def report(
    here: Here,
    form: str,
    out: Path | None,
    kind: str,
    lang: str | None,
    dry_run: bool,
) -> Answer:
    """Write all findings of the newest survey for others to read; what blocks does not change the
    exit code."""
    here.assert_may_change("survey report --out", dry_run or out is None)
    project = load_project(here)
    found = survey_findings(here, project)
    manner = Manner(Speech(here.language(lang)), project.accepted)
    summary = Summary(project.service, project.environment, today(), found, kind)
    told = doubts(project, today(), found)
    if dry_run:
        line = f"would write {out}" if out else "would write to standard output"
        return doubting(would([line], {"findings": plain(found)}), told, manner.speech)
    text = FORMS[form](summary, manner)
    data = {"format": form, "findings": plain(found), "file": str(out) if out else None}
    if out is None:
        return doubting(Answer(data, text.split("\n")), told, manner.speech)
    _write(out, text)
    wrote = manner.speech.say(said("console.survey_report.wrote", file=str(out)))
    return doubting(Answer(data, [wrote]), told, manner.speech)


def _write(target: Path, text: str) -> None:
    """Raises UsageProblem where that is no place to write to."""
    try:
        write_durably(target, text.encode("utf-8", "replace") + b"\n")
    except OSError as error:
        raise UsageProblem(f"--out {target}: {error.strerror}") from error
