"""The clauses of NIST SP 800-190, each with one of four answers: none is green that was not looked
at whole."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from kirikae.guard.checks import runs_on_fargate
from kirikae.guard.objects import Image, Object, Task, is_open
from kirikae.guard.seen import Looked, Outcome
from kirikae.model.finding import Finding
from kirikae.model.said import Language, Said, said


@dataclass(frozen=True, slots=True)
class Clause:
    """``codes``: findings that break it.  ``needs``: what of it is looked at by nobody; empty: its
    codes are all of it.  ``host``: where the platform is Fargate it is AWS's to keep."""

    number: str
    title: str
    title_ja: str
    codes: tuple[str, ...] = ()
    needs: str = ""
    host: bool = False

    def titled(self, language: Language) -> str:
        """In this language."""
        return self.title_ja if language == "ja" else self.title


@dataclass(frozen=True, slots=True)
class Answered:
    """``why``: of what is neither right nor wrong."""

    clause: Clause
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    why: tuple[Said, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``; the reasons are put in words by whoever shows them."""
        return {
            "clause": self.clause.number,
            "title": self.clause.title,
            "outcome": self.outcome.value,
            "findings": [finding.to_plain() for finding in self.findings],
        }


@cache
def clauses() -> tuple[Clause, ...]:
    """In the publication's order."""
    text = (files("kirikae.guard") / "nist.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["clause"]
    return tuple(Clause(**{**row, "codes": tuple(row.get("codes", ()))}) for row in rows)


def answered(objects: Sequence[Object], looks: Sequence[Looked]) -> list[Answered]:
    """Every clause."""
    fargate = _all_on_fargate(objects)
    opened = _all_opened(objects)
    return [
        _answered(
            clause,
            looks,
            fargate,
            opened,
        )
        for clause in clauses()
    ]


def _all_opened(objects: Sequence[Object]) -> bool:
    """Is every image opened that a task names?  Without a task, is there one at all?"""
    images = [thing for thing in objects if isinstance(thing, Image)]
    opened = {ref for image in images for ref in image.refs}
    named = [
        container.plain.get("image")
        for task in objects
        if isinstance(task, Task)
        for container in task.containers
    ]
    return bool(images) and not any(_is_closed(image, opened) for image in named)


def _is_closed(named: object, opened: set[str]) -> bool:
    """An image is opened under its whole name, or by its digest."""
    if is_open(named) or not isinstance(named, str):
        return True
    return named not in opened and named.partition("@")[2] not in opened


def _all_on_fargate(objects: Iterable[Object]) -> bool:
    """Does each task say so?  No task at all says nothing."""
    tasks = [thing for thing in objects if isinstance(thing, Task)]
    return bool(tasks) and all(runs_on_fargate(task) for task in tasks)


def _answered(
    clause: Clause,
    looks: Sequence[Looked],
    fargate: bool,
    opened: bool,
) -> Answered:
    if clause.host and fargate:
        return Answered(
            clause,
            Outcome.NOT_APPLICABLE,
            why=(said("guard.amazons"),),
        )
    mine = [look for look in looks if look.code in clause.codes]
    findings = tuple(finding for look in mine for finding in look.findings)
    why = tuple(
        _why(
            clause,
            mine,
            opened,
        )
    )
    if findings:
        return Answered(
            clause,
            Outcome.FAIL,
            findings,
            why,
        )
    outcome = Outcome.NOT_CHECKED if why else Outcome.PASS
    return Answered(
        clause,
        outcome,
        (),
        why,
    )


def _why(
    clause: Clause,
    looks: Sequence[Looked],
    opened: bool,
) -> Iterator[Said]:
    """What is not known of it, each reason once."""
    told = {repr(each): each for look in looks for each in look.why}
    yield from told.values()
    seen = {look.code for look in looks if look.outcome is not Outcome.NOT_APPLICABLE}
    missing = [code for code in clause.codes if code not in seen]
    if missing:
        yield said("guard.no_object", codes=missing)
    if clause.needs and not (clause.needs == "image" and opened):
        yield said(f"guard.needs.{clause.needs}")
