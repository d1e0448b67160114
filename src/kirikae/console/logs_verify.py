"""``kirikae logs verify``: is every line of the past in the new tree, just once?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from kirikae.console.here import Answer, Here
from kirikae.console.logs_common import MOVE, desk_of, speech_of
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.logs.manifest import Judged
from kirikae.logs.proof import exported
from kirikae.logs.redo import marks_of
from kirikae.logs.verify import Verifier
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.evidence import Verdict
from kirikae.model.said import Said, said


@click.command("verify")
@MOVE
@click.option("--deep", is_flag=True, help="Read every part of the new tree again.")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    help="Only this folder of the new tree, such as 2026/11/26/22/.",
)
@click.option("--export", is_flag=True, help="Write the proof of each folder beside the data.")
@LANG
@JSON
@click.pass_obj
def verify(
    here: Here,
    move: str,
    deep: bool,
    folders: tuple[str, ...],
    export: bool,
    lang: str | None,
) -> Answer:
    """Prove for each folder of MOVE that no line is lost or doubled (exit 6: one is; 5: unsure).

    Without --deep, what was written is compared with what is there by key, length and tag.
    """
    if export:
        here.assert_may_change("logs verify --export")
    desk = desk_of(here, move)
    manifest = desk.manifest(must_be_there=True)
    carrier = desk.carrier()
    with manifest.owned():
        judged = Verifier(
            carrier,
            manifest,
            deep,
            folders,
        ).run(desk.now)
        _assert_known(judged, folders)
        passed = [each for each in judged.values() if each.verdict == Verdict.PASS]
        proofs = [exported(carrier, manifest, each) for each in passed] if export else []
    speech = speech_of(here, lang)
    lines = _lines(judged, speech)
    if marks_of(judged):
        lines.append(speech.say(said("logs.shown.redo_by", name=desk.name)))
    if export:
        written = sum(fresh for _, fresh in proofs)
        there = len(proofs) - written
        says = said(
            "logs.shown.exported",
            written=written,
            there=there,
            url=carrier.new.url,
        )
        lines.append(speech.say(says))
    plain = {**_plain(judged, speech), "proofs": [key for key, _ in proofs]}
    return Answer(plain, lines, _exit(judged))


def _assert_known(judged: Mapping[str, Judged], folders: tuple[str, ...]) -> None:
    for folder in folders:
        if folder not in judged:
            raise UsageProblem(
                f"--folder {folder}: the new tree has no such folder; write it as its keys have "
                "it, with a slash at its end"
            )


def _lines(judged: Mapping[str, Judged], speech: Speech) -> list[str]:
    lines: list[str] = []
    unread = 0
    for each in judged.values():
        unread += each.facts.get("unread", 0)
        reasons = [Said.from_plain(raw) for raw in each.facts["reasons"]]
        if not reasons:
            continue
        for reason in reasons:
            says = said(
                "logs.shown.folder",
                verdict=each.verdict,
                folder=each.label,
                why=reason,
            )
            lines.append(speech.say(says))
        lines += [speech.say(said("logs.shown.redo", key=key)) for key in each.facts["redo"]]
    counts = Counter(each.verdict for each in judged.values())
    blanks = {
        "passed": counts["pass"],
        "failed": counts["fail"],
        "unsure": counts["unsure"],
    }
    lines.append(speech.say(said("logs.shown.verified", **blanks)))
    if unread:
        lines.append(speech.say(said("logs.shown.unread", parts=unread)))
    return lines


def _plain(judged: Mapping[str, Judged], speech: Speech) -> dict[str, Any]:
    counts = Counter(each.verdict for each in judged.values())
    return {
        "pass": counts["pass"],
        "fail": counts["fail"],
        "unsure": counts["unsure"],
        "folders": [
            {
                "folder": each.label,
                "verdict": each.verdict,
                **each.facts,
                "sentences": [speech.say(Said.from_plain(raw)) for raw in each.facts["reasons"]],
            }
            for each in judged.values()
        ],
    }


def _exit(judged: Mapping[str, Judged]) -> Exit:
    found = {each.verdict for each in judged.values()}
    if Verdict.FAIL in found:
        return Exit.FOUND
    return Exit.WAITING if Verdict.UNSURE in found or not found else Exit.DONE
