"""What may hurt people: which environment is production, and who has to say that it is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from kirikae.console.context import load_project
from kirikae.console.here import Here
from kirikae.drill.errors import TooDangerous
from kirikae.drill.targets import Target

OF_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_WORD = r"(?<![a-z]){}(?![a-z])"
_OF_PRODUCTION = re.compile(_WORD.format("(?:prod|production|prd|live|honban|www)") + "|本番")
_OF_TRIALS = re.compile(
    _WORD.format(
        "(?:dev|develop|development|test|tests|testing|stage|staging|stg|qa|uat|e2e|ci|sandbox|"
        "demo|preview|pre-?prod|pre-?production|drill|rehearsal|local|load|perf|trial)[0-9]*"
    )
    + "|検証|開発|試験"
)
"""Names of environments in which nobody's work is lost.  Whatever has another one is taken for
production where AWS itself answers."""
MEANT = "--i-mean-production"
MEANS_PRODUCTION = click.option(
    MEANT,
    "means_production",
    is_flag=True,
    help="What is asked may be production, and somebody answers for it.",
)


def is_production(environment: str, is_local: bool) -> bool:
    """By the environment's name; on this machine only one that says so."""
    name = environment.lower()
    trials = _OF_TRIALS.sub(" ", name)
    if _OF_PRODUCTION.search(trials):
        return True
    return not is_local and trials == name


def assert_may_overload(here: Here, targets: Sequence[Target], means_production: bool) -> None:
    """A load that is meant to break what it asks.  Where the project file does not say that this is
    for trials, or there is none, another machine may be production.  Raises TooDangerous."""
    asked = {target.origin[0] for target in targets} - {*OF_THIS_MACHINE}
    if means_production or not asked:
        return
    known = Path(here.project_file).exists()
    environment = load_project(here).environment if known else "not known"
    if not known or is_production(environment, is_local=False):
        raise TooDangerous(
            f"{', '.join(sorted(asked))}: the environment is {environment!r}, and so much load "
            "breaks what answers there, for everybody who uses it; ask a staging side "
            f"(`environment: staging` in the project file), or say {MEANT}"
        )
