"""How the verbs of a move tell what they see: a line for people, JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from kirikae.model.errors import Exit
from kirikae.model.evidence import Evidence
from kirikae.model.move import Move, Phase
from kirikae.model.share import percent
from kirikae.move.engine import Look
from kirikae.move.judge import QUANTILES

_LN10 = 2.302585
JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON (one object a line where it goes on)."
)
DRY = click.option("--dry-run", is_flag=True, help="Say what would be done.")


def where(found: Move) -> str:
    """A move in a few words: ``running at 10%``, ``running at 0%, held: ...``."""
    text = f"{found.phase} at {percent(found.share)}" if found.live else str(found.phase)
    if found.intent is not None:
        text += f", about to {found.intent}"
    return f"{text}, held: {found.held}" if found.held else text


def exit_of(found: Move) -> Exit:
    if found.held:
        return Exit.BACKED_OUT if found.held.startswith("backed out") else Exit.WAITING
    return Exit.DONE if found.over or found.phase is Phase.SETTLED else Exit.WAITING


def shown(found: Move, evidence: Evidence | None = None, waits_for: str = "") -> dict[str, Any]:
    return {
        "move": found.name,
        "phase": str(found.phase),
        "share": percent(found.share),
        "held": found.held,
        "seq": found.seq,
        "intent": str(found.intent) if found.intent else None,
        "waits_for": waits_for,
        "evidence": evidence.to_plain() if evidence else None,
    }


def figures_line(evidence: Evidence) -> str:
    """Both sides' figures of this step in one line; empty where there are none."""
    f = evidence.figures
    if "new_requests" not in f:
        return ""
    slow = ""
    if any(f"timed_{metric}" in f for metric in QUANTILES):
        bounds = "/".join(
            f"{f[f'tau_{metric}_ms']:.0f}" if f"tau_{metric}_ms" in f else "?"
            for metric in QUANTILES
        )
        slow = f", over the old p50/p95/p99 ({bounds} ms) " + "/".join(
            _part(f, "new", metric) for metric in QUANTILES
        )
    elif "timed_latency" in f:
        slow = f", {f['new_over_latency']:.0f} slow"
    sides = {
        side: f"{side} {f[f'{side}_requests']:.0f} requests ({f[f'{side}_rate_per_s']:.1f}/s)"
        for side in ("old", "new")
    }
    return (
        f"{sides['new']}, {f['new_errors']:.0f} errors{slow} · {sides['old']}, "
        f"{f['old_errors']:.0f} errors · "
        f"delivered {f['delivered']:.1%} · harm 10^{f['log_harm'] / _LN10:.1f} of "
        f"10^{f['bar_harm'] / _LN10:.0f}"
    )


def _part(figures: Mapping[str, float], side: str, metric: str) -> str:
    """The part of this side's answers above the old side's quantile: 50%, 5%, 1% where nothing has
    changed."""
    timed = figures.get(f"timed_{metric}", 0)
    return f"{figures[f'{side}_over_{metric}'] / timed:.1%}" if timed else "?"


class Teller:
    """Prints a look when it says something new; on a terminal the figures run in one line."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._last = ""
        self._seq = -1
        self._live = sys.stderr.isatty()

    def __call__(self, look: Look) -> None:
        if self._json:
            click.echo(
                json.dumps(
                    {"at": time.time(), **shown(look.move, look.evidence, look.waits_for)},
                    ensure_ascii=False,
                )
            )
            return
        if look.move.seq != self._seq:
            self._clear()
            if (
                look.evidence is not None
                and look.evidence.reason
                and look.evidence.verdict != "unsure"
            ):
                click.echo(f"  {look.evidence.verdict}: {look.evidence.reason}")
            click.echo(f"{datetime.now():%H:%M:%S} {look.move.name} is {where(look.move)}")
            self._seq = look.move.seq
            self._last = ""
        line = look.waits_for
        if look.evidence is not None and (figures := figures_line(look.evidence)):
            line = f"{line} ({figures})" if line else figures
        if self._live:
            click.echo(f"\r\x1b[K  {line[:160]}", nl=False, err=True)
        elif look.waits_for and _gist(look.waits_for) != self._last:
            click.echo(f"  waits for {line}")
            self._last = _gist(look.waits_for)

    def _clear(self) -> None:
        if self._live:
            click.echo("\r\x1b[K", nl=False, err=True)


def _gist(text: str) -> str:
    """A message without its numbers: forecasts change every second and are told once."""
    return "".join(c for c in text if not c.isdigit())


def say(as_json: bool, found: Move, text: str = "") -> None:
    """The outcome of a command, for people or as JSON."""
    line = f"{found.name} is {where(found)}"
    click.echo(
        json.dumps(shown(found), ensure_ascii=False) if as_json else f"{text} {line}".strip()
    )
