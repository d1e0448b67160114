"""The report of a drill: one HTML file with its charts in it; nothing is loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kirikae.console.drill_chart import bars, buckets_of, lines
from kirikae.console.drill_fault import Made, advice_of
from kirikae.console.drill_load import figures_told, verdict_told
from kirikae.console.drill_told import expected_told, timeline_of, told_of
from kirikae.console.speech import Speech
from kirikae.drill.columns import Record
from kirikae.drill.plan import Plan
from kirikae.drill.verdict import Outcome
from kirikae.model.finding import Finding
from kirikae.model.said import Said, said

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;color:#222}
svg{width:100%;height:auto} text{font:12px system-ui,sans-serif;fill:#444} .v{font-size:1.4em}
.fail{color:#c0392b} .pass{color:#217a3c} .unsure{color:#8a6d00}
th{text-align:left;padding-right:.8em;white-space:nowrap} .n{white-space:nowrap}
td{padding:.1em .8em .1em 0;vertical-align:top;font-variant-numeric:tabular-nums}
"""


def page_of_fault(made: Made, speech: Speech) -> str:
    """Of one experiment that was carried out."""
    word = made.cost.word if made.cost.checked else ""
    body = [*_verdict(word, speech), *_of_fault(made, speech)]
    return page(f"{made.prepared.name} · {made.fleet.service}", body, speech)


def _of_fault(made: Made, speech: Speech) -> Iterator[str]:
    """Pictures, sentences, timeline."""
    cost = made.cost
    told = [expected_told(made.experiment, made.fleet, made.prepared), *told_of(made.ran, cost)]
    spans = (cost.span.begins, cost.span.ends)
    rows = [(at - cost.span.begins, what) for at, what in timeline_of(made.ran)]
    yield from _pictures(made.ran.record, cost.verdicts, speech, spans)
    yield from _told((each for each in told if each.key != "drill.fault.at"), speech)
    yield from _timeline(rows, speech)


def page_of_day(
    made: Sequence[Made],
    refused: Sequence[tuple[str, str | Said]],
    speech: Speech,
) -> str:
    """What broke, what it cost, what to change; then each fault by itself."""
    body = [*_table(made, speech)]
    if refused:
        body.append(f"<h2>{html.escape(speech.say(said('drill.page.refused')))}</h2><ul>")
        body += [f"<li>{_why(name, why, speech)}</li>" for name, why in refused]
        body.append("</ul>")
    for each in made:
        body.append(f'<h2 id="{each.prepared.name}">{html.escape(each.prepared.name)}</h2>')
        body += _of_fault(each, speech)
    return page(speech.say(said("drill.page.day")), body, speech)


def _why(name: str, why: str | Said, speech: Speech) -> str:
    """A refusal is in the words of whoever refused, who may have named the fault already."""
    told = speech.say(why) if isinstance(why, Said) else why
    return html.escape(f"{name}: {told.removeprefix(f'{name}: ')}")


def _table(made: Sequence[Made], speech: Speech) -> Iterator[str]:
    heads = ("fault", "verdict", "lost", "bad", "recovery", "whole", "change")
    cells = "".join(f"<th>{html.escape(speech.say(said(f'drill.page.{h}')))}</th>" for h in heads)
    yield f"<table><tr>{cells}</tr>"
    for each in made:
        yield f"<tr>{''.join(_cells(each, speech))}</tr>"
    yield "</table>"


def _cells(made: Made, speech: Speech) -> Iterator[str]:
    cost = made.cost
    name = html.escape(made.prepared.name)
    yield f'<td><a href="#{name}">{name}</a></td>'
    words = [speech.say(each) for each in (said(f"drill.{cost.word}"), *cost.doubts)]
    word = "<br>".join(map(html.escape, words))
    yield f'<td class="{cost.word}">{word}</td><td class="n">{cost.lost:,}</td>'
    yield f'<td class="n">{cost.bad:,}</td>'
    for seconds in (cost.recovery_s, cost.seen.whole_s):
        told = speech.say(said("drill.fault.not_within")) if seconds is None else f"{seconds:.1f} s"
        yield f'<td class="n">{html.escape(told)}</td>'
    changes = [html.escape(speech.say(what)) for what in advice_of(made)]
    yield f"<td>{'<br>'.join(changes) or '-'}</td>"


def page_of_load(
    record: Record,
    outcome: Outcome,
    plan: Plan,
    speech: Speech,
    found: Sequence[Finding] = (),
) -> str:
    """Of load without a fault."""
    told = [*figures_told(outcome, plan), *verdict_told(outcome)]
    body = [
        *_verdict(outcome.word if outcome.checked else "", speech),
        *_pictures(record, outcome.verdicts, speech, None),
        *_told(told, speech),
        *(f"<p>{html.escape(speech.finding(each))}</p>" for each in found),
    ]
    return page(speech.say(said("drill.page.load")), body, speech)


def page(title: str, body: Iterable[str], speech: Speech) -> str:
    """A whole page."""
    told = html.escape(title)
    return (
        f'<!doctype html><html lang="{speech.language}"><meta charset="utf-8">'
        f"<title>{told}</title>\n<style>{_STYLE}</style>\n<h1>{told}</h1>\n"
        + "\n".join(body)
        + "\n</html>\n"
    )


def _verdict(word: str, speech: Speech) -> Iterator[str]:
    if word:
        told = html.escape(speech.say(said(f"drill.{word}")))
        yield f'<p class="v {word}">{told}</p>'


def _pictures(
    record: Record,
    verdicts: NDArray[np.uint8],
    speech: Speech,
    shade: tuple[float, float] | None,
) -> Iterator[str]:
    buckets = buckets_of(record, verdicts)

    def told(name: str) -> str:
        return speech.say(said(f"drill.page.of.{name}"))

    yield bars(buckets, speech.say(said("drill.page.verdicts")), shade, told)
    yield lines(buckets, speech.say(said("drill.page.latency")), shade)


def _told(told: Iterable[Said], speech: Speech) -> Iterator[str]:
    yield "<ul>"
    for each in told:
        yield f"<li>{html.escape(speech.say(each))}</li>"
    yield "</ul>"


def _timeline(rows: Sequence[tuple[float, Said]], speech: Speech) -> Iterator[str]:
    yield "<table>"
    for at, what in rows:
        yield f"<tr><td>{at:+.1f} s</td><td>{html.escape(speech.say(what))}</td></tr>"
    yield "</table>"
