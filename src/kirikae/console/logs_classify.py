"""``kirikae logs classify``: how each object of the old tree can be moved, and what that costs."""

from __future__ import annotations

from typing import Any

import click

from kirikae.console.here import Answer, Here
from kirikae.console.logs_common import MOVE, desk_of, size, speech_of
from kirikae.console.options import JSON, LANG, Number
from kirikae.console.speech import Speech
from kirikae.logs.classify import Class, Report, classified
from kirikae.model.errors import Exit
from kirikae.model.said import said

_PUTS = 0.0047
_GETS = 0.00037
"""Dollars for a thousand requests in S3 Standard, Tokyo (S3 pricing page, November 2026): say your
own."""


@click.command("classify")
@MOVE
@click.option(
    "--put-price",
    type=Number(min=0, max=100),
    default=_PUTS,
    show_default=True,
    help="Dollars for a thousand writing requests.",
)
@click.option(
    "--get-price",
    type=Number(min=0, max=100),
    default=_GETS,
    show_default=True,
    help="Dollars for a thousand reading requests.",
)
@LANG
@JSON
@click.pass_obj
def classify(
    here: Here,
    move: str,
    put_price: float,
    get_price: float,
    lang: str | None,
) -> Answer:
    """How each old object of MOVE can be moved: copied, read first, split; objects, bytes, money.

    A is copied unread, B is read first, C is split by the time of each line, D has no time in its
    lines, E needs a person first.  It lists the old tree and reads nothing of it.
    """
    desk = desk_of(here, move)
    carrier = desk.carrier()
    report = Report.of(classified(carrier.trees, listed) for listed in carrier.old.list())
    speech = speech_of(here, lang)
    dollars = report.dollars(put_price, get_price)
    plain = _plain(report, dollars)
    if not report.total.objects:
        nothing = speech.say(said("logs.shown.nothing_there", url=carrier.old.url))
        return Answer(
            {**plain, "message": nothing},
            (),
            Exit.FOUND,
            "",
            (nothing,),
        )
    money = said(
        "logs.shown.money",
        puts=report.total.puts,
        gets=report.total.gets,
        dollars=dollars,
        put_price=put_price,
        get_price=get_price,
    )
    lines = [*_lines(report, speech), speech.say(money)]
    lines.append(speech.say(said("logs.shown.restarts")))
    return Answer(plain, lines)


def _plain(report: Report, dollars: float) -> dict[str, Any]:
    return {
        "classes": {
            str(kind): report.by_class[kind].to_plain() for kind in sorted(report.by_class)
        },
        "reasons": [
            {
                "why": why,
                "objects": count,
                "example": report.examples[why],
            }
            for why, count in sorted(report.reasons.items())
        ],
        "total": report.total.to_plain(),
        "folders": len(report.labels),
        "dollars": round(dollars, 6),
    }


def _lines(report: Report, speech: Speech) -> list[str]:
    told = []
    for kind in Class:
        tally = report.by_class.get(kind)
        if tally is not None:
            what = said(f"logs.kind.{kind}")
            blanks = {
                "objects": tally.objects,
                "bytes": size(tally.bytes),
                "what": what,
            }
            told.append(said("logs.shown.class", letter=str(kind), **blanks))
    for why, count in sorted(report.reasons.items()):
        named = said(f"logs.class.{why}")
        example = report.examples[why]
        told.append(
            said(
                "logs.shown.reason",
                count=count,
                why=named,
                example=example,
            )
        )
    total = report.total
    told.append(
        said(
            "logs.shown.total",
            objects=total.objects,
            folders=len(report.labels),
            read=size(total.read_bytes),
        )
    )
    return [speech.say(each) for each in told]
