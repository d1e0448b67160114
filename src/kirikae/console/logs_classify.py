"""``kirikae logs classify``: how each object of the old tree can be moved, and what that costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from kirikae.aws.s3_objects import CUSTOMERS_KEY, S3Objects
from kirikae.console.here import Answer, Here
from kirikae.console.logs_common import MOVE, desk_of, size, speech_of
from kirikae.console.options import JSON, LANG, Number
from kirikae.console.speech import Speech
from kirikae.logs.carrier import Carrier
from kirikae.logs.classify import ARCHIVED, Class, Report, classified
from kirikae.model.errors import Exit
from kirikae.model.said import Said, said

_ASKED = 24
"""So many objects are asked for their encryption."""
_KMS = "aws:kms"
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
    lines, E needs a person first.  It lists the old tree and reads nothing of it; of a
    bucket, some objects are asked for their encryption.
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
    keys = _encryption(carrier)
    lines += [speech.say(each) for each in _of_keys(keys)]
    return Answer({**plain, "encryption": keys}, lines)


def _encryption(carrier: Carrier) -> dict[str, Any] | None:
    """Of some objects from all over the old tree, since no listing tells it; and what the new
    bucket gives by itself.  None: folders of this machine."""
    old = carrier.old
    new = carrier.new
    if not isinstance(old, S3Objects) or not isinstance(new, S3Objects):
        return None
    all_listed = [each for each in old.list() if each.storage not in ARCHIVED]
    some = all_listed[:: max(1, len(all_listed) // _ASKED)][:_ASKED]
    found = Counter(old.encryption(listed) for listed in some)
    return {
        "sampled": len(some),
        "old": dict(sorted(found.items())),
        "new": new.default_encryption(),
    }


def _of_keys(keys: dict[str, Any] | None) -> Iterator[Said]:
    if keys is None:
        return
    counts = dict(keys["old"])
    sampled = keys["sampled"]
    customers = counts.pop(CUSTOMERS_KEY, 0)
    if customers:
        yield said("logs.shown.customers_key", objects=customers, sampled=sampled)
    for kind, objects in counts.items():
        if kind.startswith(_KMS):
            yield said("logs.shown.encrypted", objects=objects, sampled=sampled, kind=kind)
    kinds = {*counts, keys["new"]}
    if len(kinds) > 1 and any(kind.startswith(_KMS) for kind in kinds):
        yield said("logs.shown.reencrypted", kind=keys["new"] or None)
        yield said("logs.shown.rights")


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
