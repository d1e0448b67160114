"""``kirikae move judge FILE``: a recorded shift judged again, as a table, as JSON, and as a
picture."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite, log, log10
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import click

from kirikae.console.chart import at, chart
from kirikae.console.completion import MOVES
from kirikae.console.here import OUTCOMES, Answer, Here, to_json
from kirikae.console.options import LANG, STREAM, Number
from kirikae.console.speech import Speech
from kirikae.hosts.files import write_durably
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.evidence import Verdict
from kirikae.model.said import Language, Said, Words, plain_of, text
from kirikae.model.shown import clean, writable
from kirikae.move.judge import Margins
from kirikae.traffic.replay import lines_in, looks
from kirikae.traffic.trial import Guards, Look, Trial

_LN10 = log(10)
_POINTS = 1200
"""Looks that the picture shows at most: of more, the telling ones of each stretch."""
_CHANGES = 200
_ROWS_AT_ONCE = 500
_EXITS = {
    Verdict.PASS: Exit.DONE,
    Verdict.FAIL: Exit.BACKED_OUT,
    Verdict.UNSURE: Exit.WAITING,
}


@dataclass(slots=True)
class Kept:
    """What a picture and a summary need of a replay of any length."""

    last: Look | None = None
    first_fail: Look | None = None
    changes: list[Look] = field(default_factory=list)
    points: list[Look] = field(default_factory=list)
    _every: int = 1
    _seen: int = 0

    def pass_on(self, found: Iterable[Look]) -> Iterator[Look]:
        """Keeps what is needed of each look, and hands it on."""
        for look in found:
            self._keep(look)
            yield look

    def _keep(self, look: Look) -> None:
        """Where there are too many points, every second one goes, and from then on only half as
        many are taken: memory stays bounded for a file of any length."""
        last = self.last
        changed = last is None or not _alike(look, last)
        if changed and len(self.changes) < _CHANGES:
            self.changes.append(look)
        if look.verdict is Verdict.FAIL and self.first_fail is None:
            self.first_fail = look
        if changed or self._seen % self._every == 0:
            self.points.append(look)
            if len(self.points) > _POINTS:
                self.points = self.points[::2]
                self._every *= 2
        self._seen += 1
        self.last = look

    @property
    def exit(self) -> Exit:
        """By the last look; unsure without any."""
        return _EXITS[self.last.verdict if self.last else Verdict.UNSURE]


def _alike(look: Look, other: Look) -> bool:
    """No change worth a line: the same verdict and reason, whatever the figures in it."""
    return look.verdict is other.verdict and look.reason.key == other.reason.key


class Judged(NamedTuple):
    """The judge of a file, and the margins that it judges by."""

    trial: Trial
    margins: Margins


def judge_of_move(here: Here, name: str) -> Judged:
    """As this move of the project file is judged.  Raises UsageProblem."""
    # Only here is a project read; a file alone does not wait for all that it knows.
    from kirikae.console.context import load_project, move_of
    from kirikae.traffic.judging import margins_of, trial_of
    from kirikae.traffic.settings import TrafficMove

    settings = move_of(here, load_project(here), name)
    if not isinstance(settings, TrafficMove):
        raise UsageProblem(
            f"{name} is a move of {settings.kind}; `move judge` reads recorded traffic",
        )
    return Judged(trial_of(settings, settings.plan), margins_of(settings))


def _speech(language: Language) -> Speech:
    """The words of traffic's verdicts alone."""
    words = Words.of("kirikae.move", "kirikae.console", "kirikae.traffic")
    return Speech(language, "traffic", words)


@click.command("judge")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@STREAM
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the picture to this file.",
)
@click.option(
    "--false-alarms",
    type=Number(1e-6, 0.5),
    default=0.01,
    show_default=True,
    help="Chance of a false fail, all looks together.",
)
@click.option(
    "--worse-requests",
    type=Number(1e-6, 0.5),
    default=0.0005,
    show_default=True,
    help="Part of all requests that a step may make worse.",
)
@click.option(
    "--bake",
    type=Number(0),
    default=60.0,
    show_default=True,
    help="Seconds with figures before a step can pass.",
)
@click.option(
    "--warm-up",
    type=Number(0),
    default=0.0,
    show_default=True,
    help="Seconds after each step in which latency is not judged.",
)
@click.option(
    "--ceiling",
    type=Number(0, 1),
    default=1.0,
    show_default=True,
    help="Part of failed requests above which it fails at once (1: none).",
)
@click.option(
    "--move",
    "name",
    shell_complete=MOVES,
    help="Judge as this move of the project file is judged; the options below are then not needed.",
)
@click.option(
    "--fast-enough",
    type=Number(1),
    help="Judge latency by this bound in ms, one that the file counts at.",
)
@click.option(
    "--slower",
    type=Number(0, 10),
    help="How much slower the new side may be (0.1: a tenth); default: as the share grows.",
)
@LANG
@click.pass_obj
def judge_file(
    here: Here,
    file: Path,
    as_json: bool,
    page: Path | None,
    false_alarms: float,
    worse_requests: float,
    bake: float,
    warm_up: float,
    ceiling: float,
    name: str | None,
    fast_enough: float | None,
    slower: float | None,
    lang: str | None,
) -> Answer:
    """Judge a recorded shift again (JSON lines; see docs/reference/judge-file.md)."""
    if name is not None:
        judged = judge_of_move(here, name)
    else:
        margins = Margins(false_alarms, worse_requests, bake, slower, fast_enough or 0.0)
        judged = Judged(Trial(margins, guards=Guards(warm_up, ceiling)), margins)
    speech = _speech(here.language(lang))
    kept = Kept()
    with file.open("rb") as recorded:
        found = kept.pass_on(looks(lines_in(recorded, str(file)), str(file), judged.trial))
        if as_json:
            _print_json(found, kept)
        else:
            for _ in found:
                pass
    lines_told = [] if as_json else _table(kept, judged, speech)
    if page is not None:
        _write(page, chart(kept.points, file.name, judged.margins, speech))
        lines_told.append(f"picture: {page}")
    # The JSON of a day is long: it has been printed as it came.
    return Answer({}, lines_told, kept.exit, silent=as_json)


def _write(page: Path, picture: str) -> None:
    """Raises UsageProblem."""
    try:
        write_durably(page, clean(picture))
    except OSError as error:
        raise UsageProblem(
            f"{page} cannot be written: {error.strerror}; name another file with --html"
        ) from error


def _print_json(found: Iterable[Look], kept: Kept) -> None:
    """A day has 86,400 looks: printed as they come, one object in the end.

    An error in the middle closes the object: what was printed stays valid JSON.
    """
    english = _speech("en")
    trouble: str | None = None
    rows = _Rows(english)
    written = _Written(sys.stdout)
    sys.stdout.write('{"looks": [')
    try:
        for look in found:
            written.add(rows.of(look))
    except UsageProblem as error:
        trouble = str(error)
    written.flush()
    click.echo("],\n" + writable(to_json(_summary(kept, english, trouble)))[1:])
    if trouble is not None:
        click.get_current_context().exit(Exit.USAGE)


@dataclass(slots=True)
class _Written:
    """Rows of a list in JSON, some hundred at a time: a stream may have no buffer of its own."""

    stream: TextIO
    rows: list[str] = field(default_factory=list)
    between: str = ""

    def add(self, row: str) -> None:
        self.rows.append(row)
        if len(self.rows) >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            self.stream.write(self.between + ",\n".join(self.rows))
            self.between = ",\n"
            self.rows.clear()


class _Blank(NamedTuple):
    """What fills a blank, as JSON and as it is said."""

    value: Any
    plain: str
    words: Any


def _numbers(plain: Mapping[str, float]) -> str:
    """What ``to_json`` makes of them, without an encoder for each: a day has 17,280 of these."""
    told = [
        f"{_quoted(name)}: {value!r}" if isfinite(value) else f"{_quoted(name)}: null"
        for name, value in plain.items()
    ]
    return f"{{{', '.join(told)}}}"


@lru_cache(maxsize=1024)
def _quoted(name: str) -> str:
    return to_json(name)


@dataclass(slots=True)
class _Rows:
    """Looks as JSON.  In a day most say what the one before said: what has not changed is not
    written out again."""

    speech: Speech
    log_e: Mapping[str, float] | None = None
    evidence: str = ""
    reason: Said | None = None
    words: str = ""
    blanks: dict[str, _Blank] = field(default_factory=dict)

    def of(self, look: Look) -> str:
        if look.log_e is not self.log_e:
            self.log_e = look.log_e
            self.evidence = _numbers(look.log_e_to_plain())
        if look.reason is not self.reason:
            self.reason = look.reason
            self.words = writable(self._reason_as_json(look.reason))
        return (
            f'{{"t": {look.t!r}, "verdict": "{look.verdict}", "log_e": {self.evidence}, '
            f'"exposed": {look.exposed}, {self.words}}}'
        )

    def _reason_as_json(self, reason: Said) -> str:
        former = self.blanks
        blanks = self.blanks = {}
        for name, value in reason.blanks.items():
            known = former.get(name)
            same = known is not None and known.value is value
            blanks[name] = known if known is not None and same else self._blank(value)
        plain = ", ".join([f'"{name}": {blank.plain}' for name, blank in blanks.items()])
        words = Said(reason.key, {name: blank.words for name, blank in blanks.items()})
        says = f'{{"says": "{reason.key}", "blanks": {{{plain}}}}}'
        return f'"says": {says}, "reason": {to_json(self.speech.say(words))}'

    def _blank(self, value: Any) -> _Blank:
        if isinstance(value, float) and isfinite(value):
            return _Blank(value, repr(value), value)
        plain = to_json(plain_of(value))
        words = text(self.speech.say(value)) if isinstance(value, Said) else value
        return _Blank(value, plain, words)


def _summary(kept: Kept, english: Speech, trouble: str | None) -> dict[str, Any]:
    """What follows the looks in the JSON object."""
    last = kept.last
    plain: dict[str, Any] = {
        "verdict": str(last.verdict if last else Verdict.UNSURE),
        "reason": english.say(last.reason) if last else "no figures",
        "first_fail_t": kept.first_fail.t if kept.first_fail else None,
        "outcome": OUTCOMES[kept.exit],
    }
    if trouble is not None:
        plain |= {"outcome": OUTCOMES[Exit.USAGE], "message": trouble}
    return plain


def _table(kept: Kept, judged: Judged, speech: Speech) -> list[str]:
    """Each change of the verdict, then the last word."""
    last = kept.last
    if last is None:
        return ["unsure: the file holds no figures"]
    told = [f"{'t':>14}  {'verdict':<7} {'exposed':>8} {'harm':>7}  why"]
    for look in kept.changes:
        harm = look.log_e["harm"] / _LN10
        reason = speech.say(look.reason)
        told.append(f"{at(look.t):>14}  {look.verdict:<7} {look.exposed:>8} {harm:>7.2f}  {reason}")
    harm = last.log_e["harm"] / _LN10
    bar = -log10(judged.margins.false_alarms)
    told += [
        "",
        f"{last.verdict} at {at(last.t)}: {speech.say(last.reason)}",
        f"harm 10^{harm:.1f} of 10^{bar:.0f}; requests on the new side: {last.exposed}",
    ]
    if last.verdict is Verdict.UNSURE:
        told.append(f"forecast: {speech.say(judged.trial.evidence().reason)}")
    if kept.first_fail is not None:
        first = kept.first_fail
        told.append(f"first fail at {at(first.t)}, after {first.exposed} requests on the new side")
    return told
