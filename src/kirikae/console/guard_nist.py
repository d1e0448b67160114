"""``kirikae guard nist``: every clause of NIST SP 800-190, with what is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kirikae.console.acceptances import doubting, doubts
from kirikae.console.findings import Manner
from kirikae.console.guard_check import (
    ENVFILES,
    OBJECTS,
    STRICT,
    project_of,
    speech_of,
)
from kirikae.console.guard_checked import Checked
from kirikae.console.guard_objects import objects_from
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.console.surveyed import today
from kirikae.guard.checks import PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.nist import Answered, answered
from kirikae.guard.seen import Outcome
from kirikae.model.errors import Exit
from kirikae.model.finding import Severity
from kirikae.model.said import Said, said
from kirikae.model.shown import unbroken


def _exit(answers: Sequence[Answered], strict: bool) -> Exit:
    """A finding that somebody answers for fails no build; the clause says fail all the same."""
    broken = any(not finding.accepted for each in answers for finding in each.findings)
    unknown = any(each.outcome is Outcome.NOT_CHECKED for each in answers)
    return Exit.FOUND if broken or (strict and unknown) else Exit.DONE


def _plain(answers: Sequence[Answered], speech: Speech) -> dict[str, Any]:
    rows = [
        each.to_plain() | {"why": [w.to_plain() | {"text": speech.say(w)} for w in each.why]}
        for each in answers
    ]
    return {"standard": "NIST SP 800-190", "clauses": rows}


def _lines(answers: Sequence[Answered], manner: Manner) -> Iterator[str]:
    """For people: each clause, its findings and its reasons; the figures at the end."""

    def say(words: Said) -> str:
        return unbroken(manner.speech.say(words))

    for each in answers:
        title = each.clause.titled(manner.speech.language)
        outcome = say(said(f"guard.outcome.{each.outcome}"))
        yield say(
            said(
                "guard.clause",
                outcome=outcome,
                number=each.clause.number,
                title=title,
            ),
        )
        for finding in each.findings:
            told = f"{finding.code} {finding.where}"
            yield say(
                said(
                    "guard.clause_why",
                    why=" ".join([told, manner.accepted(finding)]).strip(),
                )
            )
        for why in each.why:
            yield say(said("guard.clause_why", why=why))
    many = Counter(each.outcome for each in answers)
    yield say(
        said(
            "guard.clauses",
            passed=many[Outcome.PASS],
            failed=many[Outcome.FAIL],
            open=many[Outcome.NOT_CHECKED],
            elsewhere=many[Outcome.NOT_APPLICABLE],
        )
    )


@click.command("nist")
@OBJECTS
@STRICT
@ENVFILES
@LANG
@JSON
@click.pass_obj
def nist(
    here: Here,
    objects: Sequence[Path],
    strict: bool,
    envfiles: Sequence[Path],
    lang: str | None,
) -> Answer:
    """Say of every clause of NIST SP 800-190 whether these objects keep it: pass, fail, not
    applicable or not checked, with the reason.  Nothing is changed."""
    things = objects_from(
        here,
        objects,
        envfiles,
    )
    looks = looked_at(things, Asked(PROFILES, limits(today())))
    project = project_of(here)
    checked = Checked(looks, Severity.HYGIENE).accepted(
        project,
        today(),
    )
    answers = answered(things, checked.looks)
    speech = speech_of(here, lang)
    manner = Manner(
        speech,
        () if project is None else project.accepted,
    )
    answer = Answer(
        _plain(answers, speech),
        list(_lines(answers, manner)),
        _exit(answers, strict),
    )
    if project is None:
        return answer
    return doubting(
        answer,
        doubts(
            project,
            today(),
            checked.findings,
        ),
        speech,
    )
