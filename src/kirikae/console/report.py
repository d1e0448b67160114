"""``kirikae report``: the page for people who decide, in plain words, in English or Japanese."""

from __future__ import annotations

from pathlib import Path

import click

from kirikae.console.acceptances import doubting, doubts
from kirikae.console.decision import facts_of
from kirikae.console.decision_page import page
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, LANG, YEN
from kirikae.console.speech import Speech
from kirikae.hosts.files import write_durably
from kirikae.model.errors import UsageProblem
from kirikae.model.shown import clean


@click.command()
@LANG
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Where to write it (default decision-LANG.html).",
)
@click.option("--json", "as_json", is_flag=True, help="Print what the page says as JSON instead.")
@YEN
@DRY
@click.pass_obj
def report(
    here: Here,
    lang: str | None,
    out: Path | None,
    as_json: bool,
    yen_per_dollar: float | None,
    dry_run: bool,
) -> Answer:
    """Write the page for people who decide: what ends, what is gained, what it takes, what it
    costs, the risks."""
    here.assert_may_change("report", dry_run or as_json)
    facts = facts_of(here, yen_per_dollar)
    speech = Speech(here.language(lang))
    target = out or Path(f"decision-{speech.language}.html")
    plain = facts.to_plain(speech)
    told = doubts(facts.project, facts.day, facts.findings)
    if dry_run:
        return doubting(would([f"would write {target}"], plain), told, speech)
    if as_json:
        return doubting(Answer(plain), told, speech)
    _write(target, page(facts, speech))
    return doubting(Answer(plain, [f"wrote {target}"]), told, speech)


def _write(target: Path, text: str) -> None:
    """Raises UsageProblem where that is no place to write to."""
    try:
        write_durably(target, clean(text))
    except OSError as error:
        raise UsageProblem(f"--out {target}: {error.strerror}") from error
