"""``kirikae drill diff``: the same question to two old hosts and the new side, answers compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from kirikae.console.drill_asked import FORM, ORIGIN, TIME_LABEL, read_log
from kirikae.console.drill_load import speech_of
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, seconds
from kirikae.drill.acknowledged import Acknowledged, line_for, open_ones
from kirikae.drill.acknowledged import read as read_acknowledged
from kirikae.drill.asking import Three, harmless, host_of, route_of, sample
from kirikae.drill.difference import ABSENT
from kirikae.drill.hiding import hidden
from kirikae.drill.noise import Comparing, Comparison, Difference
from kirikae.drill.targets import Target
from kirikae.drill.targets import read as read_targets
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.said import Said, said

_ENOUGH = 3
"""Fewer requests of a route teach little of its noise."""
_SHOWN = 80
"""Letters of a value, on a line for people; JSON has all."""


@click.command("diff")
@click.option("--old", "olds", multiple=True, required=True, help="An old host; give two.")
@click.option("--new", required=True, help="The new side, such as http://10.0.1.9:8080.")
@click.option("--targets", type=click.Path(path_type=Path), help="A file of targets.")
@click.option("--log", type=click.Path(path_type=Path), help="An access log, also as .gz.")
@FORM
@TIME_LABEL
@ORIGIN
@click.option(
    "--acknowledged",
    type=click.Path(path_type=Path),
    help="A file of differences that are meant, one a line, with a reason.",
)
@click.option("--per-route", type=click.IntRange(1), default=20, show_default=True)
@click.option("--repeat", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option(
    "--allow-unsafe", multiple=True, metavar="PATH", help="Also ask what is no GET or HEAD here."
)
@click.option("--timeout", callback=seconds, default="30s", show_default=True)
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@DRY
@LANG
@JSON
@click.pass_obj
def diff(
    here: Here,
    olds: tuple[str, ...],
    new: str,
    targets: Path | None,
    log: Path | None,
    form: str,
    time_label: str,
    origin: str | None,
    acknowledged: Path | None,
    per_route: int,
    repeat: int,
    allow_unsafe: tuple[str, ...],
    timeout: float,
    insecure: bool,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """Ask two old hosts and the new side the same at the same moment, and tell in which fields the
    new side's answers differ (exit code 1: a difference nobody acknowledged, 5: no verdict).

    Fields in which the two old hosts differ from each other are noise.
    """
    three = _three(olds, new, timeout, insecure)
    lines = read_acknowledged(acknowledged) if acknowledged else []
    asked, unread = _asked(targets, log, form, time_label, origin or olds[0])
    chosen, left_out = _chosen(asked, allow_unsafe, per_route)
    if dry_run:
        return _would(chosen, repeat)
    if allow_unsafe:
        here.assert_may_change("drill diff --allow-unsafe")
    comparing = Comparing()
    for each in three.ask(chosen, repeat):
        comparing.take(each)
    outcome = Outcome(comparing.done(), lines, comparing.requests, unread, left_out)
    speech = speech_of(here, lang)
    return Answer(
        outcome.to_plain(),
        [speech.say(each) for each in _told(outcome)],
        outcome.exit,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found, beside what a person has acknowledged."""

    comparison: Comparison
    lines: Sequence[Acknowledged]
    routes: dict[str, int]
    unread: int
    left_out: int

    @property
    def opened(self) -> list[Difference]:
        """What nobody acknowledged."""
        return open_ones(self.comparison.differences, self.lines)[0]

    @property
    def idle(self) -> list[Acknowledged]:
        """Lines that fit nothing."""
        return open_ones(self.comparison.differences, self.lines)[1]

    @property
    def rare(self) -> list[str]:
        """Routes of which too little was asked to know their noise."""
        return [route for route, many in self.routes.items() if many < _ENOUGH]

    @property
    def exit(self) -> Exit:
        """Nothing compared is no pass; an open difference stands whatever else was not asked."""
        if self.opened:
            return Exit.REFUSED
        if self.comparison.unanswered or not self.comparison.compared:
            return Exit.WAITING
        return Exit.DONE

    def to_plain(self) -> dict[str, Any]:
        opened = self.opened
        return {
            "verdict": {Exit.DONE: "pass", Exit.REFUSED: "fail"}.get(self.exit, "unsure"),
            "compared": self.comparison.compared,
            "unanswered": self.comparison.unanswered,
            "unread_lines": self.unread,
            "left_out": self.left_out,
            "routes": self.routes,
            "rare_routes": self.rare,
            "differences": [
                {**_plain(each), "acknowledged": each not in opened}
                for each in self.comparison.differences
            ],
            "noise": [
                {"route": route, "field": place.field, "kind": str(place.kind)}
                for route, place in self.comparison.noise
            ],
            "idle_lines": [each.where for each in self.idle],
        }


def _three(olds: Sequence[str], new: str, timeout_s: float, insecure: bool) -> Three:
    """Raises UsageProblem."""
    if len(olds) != 2:
        raise UsageProblem(
            "--old: give two old hosts, from which noise is learnt; with one, name it twice"
        )
    old, other_old = (host_of(each, "--old") for each in olds)
    return Three(old, other_old, host_of(new, "--new"), timeout_s, insecure)


def _chosen(
    asked: Sequence[Target], allowed: Sequence[str], per_route: int
) -> tuple[list[Target], int]:
    """And how many are left out, because they may change something.  Raises UsageProblem."""
    reading = [each for each in asked if harmless(each, allowed)]
    if not reading:
        raise UsageProblem("nothing to ask: all requests may change something; --allow-unsafe PATH")
    return sample(reading, per_route), len(asked) - len(reading)


def _asked(
    targets: Path | None, log: Path | None, form: str, time_label: str, origin: str
) -> tuple[list[Target], int]:
    """And how many lines were none.  Raises UsageProblem."""
    if targets is not None and log is None:
        return read_targets(targets), 0
    if log is None or targets is not None:
        raise UsageProblem("say what to ask: --targets FILE, or --log FILE")
    found = read_log(log, form, origin, time_label)
    return [replace(each.target, expected=frozenset()) for each in found.lines], found.unread


def _would(chosen: Sequence[Target], repeat: int) -> Answer:
    routes: dict[str, int] = {}
    for target in chosen:
        routes[route_of(target)] = routes.get(route_of(target), 0) + repeat
    told = [f"{route}: {many} requests to each of three hosts" for route, many in routes.items()]
    return would(told, {"routes": routes, "requests": sum(routes.values())})


def _told(outcome: Outcome) -> Iterator[Said]:
    comparison = outcome.comparison
    for each in outcome.opened:
        yield from _difference(each)
    yield said(
        "drill.diff.compared",
        requests=comparison.compared,
        routes=len(outcome.routes),
        differences=len(comparison.differences),
        open=len(outcome.opened),
        noise=len(comparison.noise),
    )
    if comparison.unanswered:
        yield said("drill.diff.unanswered", requests=comparison.unanswered)
    if outcome.left_out:
        yield said("drill.diff.left_out", requests=outcome.left_out)
    if outcome.unread:
        yield said("drill.diff.unread", lines=outcome.unread)
    if outcome.rare:
        yield said("drill.diff.rare", routes=len(outcome.rare), first=outcome.rare[0])
    for line in outcome.idle:
        yield said("drill.diff.idle", where=line.where)
    verdict = outcome.to_plain()["verdict"]
    yield said("drill.diff.unsure" if verdict == "unsure" else f"drill.{verdict}")


def _difference(each: Difference) -> Iterator[Said]:
    old, new = _values(each)
    yield said(
        "drill.diff.difference",
        route=each.route,
        field=each.place.field,
        kind=said(f"drill.diff.{each.place.kind}"),
        times=each.times,
        requests=each.requests,
        old=_text(old),
        new=_text(new),
    )
    yield said("drill.diff.again", request=each.example.shown)
    yield said("drill.diff.line", line=line_for(each))


def _text(value: str | None) -> object:
    """For one line."""
    if value is None:
        return said("drill.diff.absent")
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."


def _values(each: Difference) -> tuple[str | None, str | None]:
    """As JSON; None: the field is not there.  What may be a secret is not shown."""
    old, new = (
        None if value is ABSENT else json.dumps(hidden(each.place.field, value), ensure_ascii=False)
        for value in each.example.pair
    )
    return old, new


def _plain(each: Difference) -> dict[str, Any]:
    old, new = _values(each)
    return {
        "route": each.route,
        "field": each.place.field,
        "kind": str(each.place.kind),
        "times": each.times,
        "requests": each.requests,
        "noisy": each.noisy,
        "old": old,
        "new": new,
        "request": each.example.shown,
        "line": line_for(each),
    }
