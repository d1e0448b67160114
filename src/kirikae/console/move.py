"""``kirikae move`` and ``kirikae back-out``: plan, drive, look at and command a move."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

import click

from kirikae.console.context import Desk, load_project, open_desk, project_folder, refuse_if_read_only
from kirikae.console.survey import refusal, survey_findings
from kirikae.console.verdict import judge_file
from kirikae.model.errors import AwsUnreachable, Exit, KirikaeError, UsageProblem
from kirikae.model.evidence import Evidence
from kirikae.model.finding import blocking
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.share import WHOLE, percent
from kirikae.model.store import StoreBroken
from kirikae.move.driver import carry_out_order, drive, hold_without_lease
from kirikae.move.engine import Look
from kirikae.move.engine import back_out as press
from kirikae.move.journal import Entry, UnknownMove
from kirikae.move.judge import QUANTILES, requests_to_prove
from kirikae.move.replay import lines_of
from kirikae.traffic.mover import margins_of, trial_over

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON (one object a line where it goes on).")
_LN10 = 2.302585
_DRY = click.option("--dry-run", is_flag=True, help="Say what would be done.")


@click.group()
def move() -> None:
    """Move traffic from the old side to the new side, step by step."""


move.add_command(judge_file)


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
        "move": found.name, "phase": str(found.phase), "share": percent(found.share), "held": found.held, "seq": found.seq,
        "intent": str(found.intent) if found.intent else None, "waits_for": waits_for,
        "evidence": evidence.to_plain() if evidence else None,
    }  # fmt: skip


def figures_line(evidence: Evidence) -> str:
    """Both sides' figures of this step in one line; empty where there are none."""
    f = evidence.figures
    if "new_requests" not in f:
        return ""
    slow = ""
    if any(f"timed_{metric}" in f for metric in QUANTILES):
        slow = ", over p50/p95/p99 " + "/".join(_part(f, "new", metric) for metric in QUANTILES)
    elif "timed_latency" in f:
        slow = f", {f['new_over_latency']:.0f} slow"
    return (
        f"new {f['new_requests']:.0f} requests, {f['new_errors']:.0f} errors{slow} · old {f['old_requests']:.0f}, {f['old_errors']:.0f} · "
        f"delivered {f['delivered']:.1%} · harm 10^{f['log_harm'] / _LN10:.1f} of 10^{f['bar_harm'] / _LN10:.0f}"
    )


def _part(figures: Mapping[str, float], side: str, metric: str) -> str:
    """The part of this side's answers above the old side's quantile: 50%, 5%, 1% where nothing has changed."""
    timed = figures.get(f"timed_{metric}", 0)
    return f"{figures[f'{side}_over_{metric}'] / timed:.1%}" if timed else "?"


class _Teller:
    """Prints a look when it says something new; on a terminal the figures run in one line."""

    def __init__(self, as_json: bool) -> None:
        self._json, self._last, self._seq, self._live = as_json, "", -1, sys.stderr.isatty()

    def __call__(self, look: Look) -> None:
        if self._json:
            click.echo(json.dumps({"at": time.time(), **shown(look.move, look.evidence, look.waits_for)}, ensure_ascii=False))
            return
        if look.move.seq != self._seq:
            self._clear()
            if look.evidence is not None and look.evidence.reason and look.evidence.verdict != "unsure":
                click.echo(f"  {look.evidence.verdict}: {look.evidence.reason}")
            click.echo(f"{datetime.now():%H:%M:%S} {look.move.name} is {where(look.move)}")
            self._seq, self._last = look.move.seq, ""
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


def _read(desk: Desk, name: str) -> Move | None:
    try:
        return desk.journal.read(name)
    except UnknownMove:
        return None


class NothingToApprove(KirikaeError):
    """No step waits for this person's approval."""


class SurveySaysNo(KirikaeError):
    """The survey is missing, too old, or found something that stands in the way."""


def _may_begin(ctx: click.Context, desk: Desk, name: str, found: Move | None) -> None:
    """No share leaves 0 over a blocking finding or without a fresh survey.  Raises SurveySaysNo.

    A move whose share is above 0 is driven on whatever the survey says: leaving it without a driver helps nobody.
    """
    if found is not None and found.live and (found.share or found.held or found.intent is not None):
        return
    if in_the_way := blocking(survey_findings(ctx, desk.project), desk.settings.kind):
        raise SurveySaysNo(refusal(in_the_way, desk.settings.kind, name))


def _requests(needed: int | None) -> str:
    """How many requests a step needs; None where an error rate of 0.1% on both sides could never prove it."""
    if needed is None:
        return "more requests than can ever come at an error rate of 0.1% (widen worse_requests_at_most)"
    return f"about {needed} good requests on the new side,"


@move.command()
@click.argument("name")
@_JSON
@click.pass_context
def plan(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show every step, what each must prove, and what stands in the way."""
    desk = open_desk(ctx, name)
    margins = margins_of(desk.settings)
    found = [f for f in survey_findings(ctx, desk.project) if desk.settings.kind in f.blocks] + desk.mover.findings()
    steps: list[dict[str, Any]] = []
    for share in desk.settings.plan:
        after = next((s for s in desk.settings.plan if s > share), WHOLE)
        needed = requests_to_prove(margins, share, after)
        steps.append(
            {
                "share": percent(share), "bake_s": margins.bake_s, "errors_at_most_more": margins.errors_at(after),
                "new_side_requests_needed": round(needed) if isfinite(needed) else None,
                "judged_by": "absolute limits" if share == WHOLE else "comparison",
            }
        )  # fmt: skip
    if as_json:
        findings = [f.to_plain() for f in found]
        click.echo(json.dumps({"move": name, "steps": steps, "findings": findings, "advance": desk.settings.advance}))
    else:
        for step in steps:
            click.echo(
                f"{step['share']:>6}  at least {margins.bake_s:.0f} s, "
                f"and {_requests(step['new_side_requests_needed'])} "
                f"to show no more than {step['errors_at_most_more']:.2%} more errors ({step['judged_by']})"
            )
        click.echo(_how_it_advances(desk, name))
        for f in found:
            click.echo(f"{f.severity} {f}")
    if blocking(found, desk.settings.kind):
        ctx.exit(Exit.REFUSED)


def _how_it_advances(desk: Desk, name: str) -> str:
    asked = {"ask": "when somebody approves it", "window": "by itself, within its windows", "auto": "by itself"}[desk.settings.advance]
    if desk.settings.advance == "ask" and desk.settings.approver == "another":
        asked = "when somebody else than the driver approves it"
    windows = f", {', '.join(desk.settings.windows)} ({desk.project.time_zone})" if desk.settings.windows else ""
    closed = desk.project.calendar_of(name).closed(time.time())
    return f"a step is taken {asked} once it is proven{windows}" + (f"; now {closed}" if closed else "")


@move.command()
@click.argument("name")
@_JSON
@_DRY
@click.pass_context
def start(ctx: click.Context, name: str, as_json: bool, dry_run: bool) -> None:
    """Drive the move until it is settled, held or backed out; takes over after a crash."""
    refuse_if_read_only(ctx, dry_run)
    desk = open_desk(ctx, name)
    found = _read(desk, name)
    _may_begin(ctx, desk, name, found)
    if dry_run:
        click.echo(
            f"would go on with {name}: {where(found)}"
            if found
            else f"would plan {name}: {', '.join(percent(s) for s in desk.settings.plan)}"
        )
        return
    if found is None:
        desk.journal.write(Move(name, desk.settings.plan, seq=1))
    elif found.over:
        desk.journal.write(found.anew(desk.settings.plan))
    look = drive(desk.engine, desk.journal, desk.lease, name, _Teller(as_json))
    _end(ctx, look.move, as_json)


def _end(ctx: click.Context, found: Move, as_json: bool) -> None:
    if not as_json:
        click.echo(f"{found.name} is {where(found)}")
        if found.held:
            click.echo(
                f"`kirikae move resume {found.name}` goes on from {percent(found.share)}; "
                f"`kirikae move history {found.name}` shows why it stands"
            )
    ctx.exit(exit_of(found))


@move.command()
@click.argument("name")
@_JSON
@_DRY
@click.pass_context
def step(ctx: click.Context, name: str, as_json: bool, dry_run: bool) -> None:
    """One look and at most one step, for CI (5: waiting, 4: backed out)."""
    refuse_if_read_only(ctx, dry_run)
    desk = open_desk(ctx, name)
    if dry_run:
        _say(as_json, _read(desk, name) or Move(name, desk.settings.plan), "would look, and take at most one step;")
        return
    found = _read(desk, name)
    _may_begin(ctx, desk, name, found)
    if found is None:
        desk.journal.write(Move(name, desk.settings.plan, seq=1))
    with desk.lease.held():
        before = desk.journal.read(name)
        look = desk.engine.step(name)
    _Teller(as_json)(look)
    if exit_of(look.move) is Exit.BACKED_OUT:
        ctx.exit(Exit.BACKED_OUT)
    ctx.exit(Exit.DONE if look.move.seq > before.seq or look.move.over else Exit.WAITING)


@move.command()
@click.argument("name")
@_JSON
@click.pass_context
def status(ctx: click.Context, name: str, as_json: bool) -> None:
    """Where the move stands, who drives it, and whether the old side can take all of it now."""
    desk = open_desk(ctx, name)
    found = desk.journal.read(name)
    share, driver = desk.mover.found_share(), desk.lease.holder()
    old = _old_side(desk)
    if as_json:
        click.echo(
            json.dumps({**shown(found), "found_share": None if share is None else percent(share), "driver": driver, "old_side": old})
        )
        return
    click.echo(f"{name} is {where(found)}")
    click.echo(f"the load balancer gives the new side {'an unknown share' if share is None else percent(share)}")
    click.echo(f"driven by {driver}" if driver else "nobody drives it; `kirikae move start` takes over")
    click.echo(
        f"old side: {old['healthy']} of {old['targets']} targets healthy; "
        f"a back-out {'has somewhere to go' if old['healthy'] else 'HAS NOWHERE TO GO'}"
    )


def _old_side(desk: Desk) -> dict[str, int]:
    from kirikae.aws import elbv2

    states = [t.state for t in elbv2.targets(desk.aws, desk.mover.places()[1])]
    return {"healthy": states.count("healthy"), "targets": len(states)}


class _Recorder:
    """Writes every batch of the attempt once, as `move judge` reads them."""

    def __init__(self, desk: Desk, file: Path) -> None:
        self._desk, self._file, self._written = desk, file, -1.0
        try:
            file.write_text("", encoding="utf-8")
        except OSError as error:
            raise UsageProblem(f"{file} cannot be written: {error.strerror}; name another file with --record") from error

    def write(self, found: Move) -> None:
        fresh = [b for b in sorted(self._desk.journal.batches(found), key=lambda b: b.start) if b.start > self._written]
        with self._file.open("a", encoding="utf-8") as out:
            for batch in fresh:
                out.writelines(f"{line}\n" for line in lines_of(batch))
                self._written = batch.start


@move.command()
@click.argument("name")
@_JSON
@click.option("--once", is_flag=True, help="Print one line and end.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Write this attempt's figures to a file for `move judge`.")
@click.pass_context
def watch(ctx: click.Context, name: str, as_json: bool, once: bool, record: Path | None) -> None:
    """Look on: share, figures and evidence as the journal has them; changes nothing."""
    desk = open_desk(ctx, name)
    teller = _Teller(as_json)
    recorder = _Recorder(desk, record) if record is not None else None
    while True:
        found = desk.journal.read(name)
        if recorder is not None:
            recorder.write(found)
        evidence = None
        if found.phase is Phase.RUNNING and found.share > 0:
            evidence = _evidence(desk, found)
        teller(Look(found, evidence, evidence.reason if evidence else ""))
        if once or found.over:
            return
        time.sleep(1)


def _say(as_json: bool, found: Move, text: str = "") -> None:
    """The outcome of a command, for people or as JSON."""
    line = f"{found.name} is {where(found)}"
    click.echo(json.dumps(shown(found), ensure_ascii=False) if as_json else f"{text} {line}".strip())


@move.command()
@click.argument("name")
@click.option("--reason", default="held by hand", show_default=True, help="Why; kept in the journal.")
@_JSON
@_DRY
@click.pass_context
def hold(ctx: click.Context, name: str, reason: str, as_json: bool, dry_run: bool) -> None:
    """Stop where it is; the share stays."""
    refuse_if_read_only(ctx, dry_run)
    desk = open_desk(ctx, name)
    if dry_run:
        _say(as_json, desk.journal.read(name), "would hold;")
        return
    _say(as_json, hold_without_lease(desk.journal, name, reason))


def _by_hand(ctx: click.Context, name: str, verb: Verb, as_json: bool, dry_run: bool) -> None:
    """One order by a person; whether it is lawful is asked before anything is done."""
    refuse_if_read_only(ctx, dry_run)
    desk = open_desk(ctx, name)
    before, order = desk.journal.read(name), Order(verb)
    if before.intent is None:
        before.intending(order)
    if dry_run:
        _say(as_json, before, f"would {verb};")
        return
    if verb is Verb.RETIRE:
        # Written first: were we killed in between, the plan would be there, and the order can be given again.
        file = project_folder(ctx) / f"removal-{name}.md"
        file.write_text(_removal_plan(desk, name), encoding="utf-8")
        if not as_json:
            click.echo(f"nothing is deleted; what may be removed, and in which order, stands in {file}")
    _say(as_json, carry_out_order(desk.engine, desk.lease, name, order))


def _command_by_hand(verb: Verb, says: str) -> None:
    @move.command(str(verb), help=says)
    @click.argument("name")
    @_JSON
    @_DRY
    @click.pass_context
    def command(ctx: click.Context, name: str, as_json: bool, dry_run: bool) -> None:
        _by_hand(ctx, name, verb, as_json, dry_run)


_command_by_hand(Verb.RESUME, "Lift the hold: the share is set back to the journal's; `move start` then drives on.")
_command_by_hand(Verb.ABANDON, "Give the move up (only before it started, or at 0%).")
_command_by_hand(Verb.SETTLE, "Say by hand that 100% is where it stays (a driver does so once that is proven).")
_command_by_hand(Verb.RETIRE, "Pin the share and write the removal plan; deletes nothing.")


def _removal_plan(desk: Desk, name: str) -> str:
    rule, old, new = desk.mover.places()
    group = desk.project.fleets.old.autoscaling_group
    scaling = f", then the Auto Scaling group `{group}`" if group else ""
    hosts = "\n".join(f"   - [ ] {host}" for host in desk.project.fleets.old.hosts) or "   - [ ] every host of the old fleet"
    return f"""# What may be removed after the move {name} of {desk.project.service} ({desk.project.environment})

kirikae deleted nothing. All requests go to `{new.name}`; the rule still knows `{old.name}` at weight 0.

- [ ] look at `{old.name}`: no request and no open connection for a day
- [ ] take a snapshot of every old host's disk, and write down where it is
- [ ] take `{old.arn}` out of the rule `{rule}`
- [ ] stop, and after a week remove:
{hosts}
- [ ] remove the target group `{old.name}`{scaling}
- [ ] remove what named the old fleet: alarms, security groups, DNS records, backup plans
"""


def _evidence(desk: Desk, found: Move) -> Evidence:
    """What the recorded figures say of this step, replayed."""
    return trial_over(desk.settings, found, desk.journal.batches(found)).evidence()


@move.command()
@click.argument("name")
@_JSON
@_DRY
@click.pass_context
def approve(ctx: click.Context, name: str, as_json: bool, dry_run: bool) -> None:
    """Say yes to the next step (with `advance: ask`)."""
    refuse_if_read_only(ctx, dry_run)
    desk = open_desk(ctx, name)
    found = desk.journal.read(name)
    after = percent(found.next_share) if found.next_share else "settled"
    if desk.settings.advance != "ask" or found.over or found.phase is Phase.SETTLED:
        raise NothingToApprove(f"{name} is {where(found)} with `advance: {desk.settings.advance}`: no step of it waits for an approval")
    driver = next((entry.who for entry in reversed(desk.journal.entries(name)) if entry.move.intent is not None), "")
    if desk.settings.approver == "another" and driver == desk.who:
        raise NothingToApprove(f"{desk.who} drives {name}; `approver: another` asks for the yes of somebody else")
    if not dry_run:
        desk.journal.approve(found)
    text = f"would approve the step to {after};" if dry_run else f"approved as {desk.who}: once it is proven it may go on to {after};"
    _say(as_json, found, text)


@move.command()
@click.argument("name")
@_JSON
@click.pass_context
def history(ctx: click.Context, name: str, as_json: bool) -> None:
    """The journal: what was intended, done and seen, by whom."""
    desk = open_desk(ctx, name)
    desk.journal.last(name)
    for entry in desk.journal.entries(name):
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "at": entry.at, "who": entry.who, "where": entry.where, "requests": entry.requests,
                        "approver": entry.approver, "evidence": entry.evidence, **shown(entry.move),
                    }, ensure_ascii=False
                )
            )  # fmt: skip
        else:
            click.echo(history_line(entry))


def history_line(entry: Entry) -> str:
    at = datetime.fromtimestamp(entry.at).strftime("%H:%M:%S")
    reason = f"  [{entry.evidence['reason']}]" if entry.evidence and entry.evidence["reason"] else ""
    approved = f", approved by {entry.approver.rpartition('/')[2]}" if entry.approver else ""
    return f"{entry.move.seq:4} {at} {where(entry.move):40}{reason}  {entry.who.rpartition('/')[2]}{approved}"


@move.command()
@click.argument("name")
@_JSON
@click.pass_context
def explain(ctx: click.Context, name: str, as_json: bool) -> None:
    """Why the move stands where it stands, in one sentence."""
    desk = open_desk(ctx, name)
    found = desk.journal.read(name)
    if as_json:
        evidence = _evidence(desk, found) if found.phase is Phase.RUNNING and found.share > 0 else None
        click.echo(json.dumps(shown(found, evidence, found.held), ensure_ascii=False))
    elif found.held:
        click.echo(f"{name} stands at {percent(found.share)} because: {found.held}.")
    elif found.phase is Phase.RUNNING and found.share > 0:
        evidence = _evidence(desk, found)
        click.echo(f"{name} gives {percent(found.share)} of the requests to the new side; {evidence.reason}.")
    else:
        click.echo(f"{name} is {where(found)}.")


@click.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every live move of this project.")
@click.option("--reason", default="the red button was pressed", show_default=True, help="Why; kept in the journal.")
@_JSON
@_DRY
@click.pass_context
def back_out(ctx: click.Context, name: str | None, everything: bool, reason: str, as_json: bool, dry_run: bool) -> None:
    """The red button: share 0 now, whatever a driver is doing."""
    refuse_if_read_only(ctx, dry_run)
    if (name is None) != everything:
        raise UsageProblem("name the move, or say --all")
    names = list(load_project(ctx).moves) if name is None else [name]
    troubles = []
    pressed = False
    for each in names:
        desk = open_desk(ctx, each, anyone=True)
        try:
            found, readable = _read(desk, each), True
        except (StoreBroken, AwsUnreachable):
            found, readable = None, False  # the button works without the journal, and says so
        if readable and (found is None or not found.live):
            if name is not None:
                raise UsageProblem(f"{each} is {where(found) if found else 'not started'}: nothing of it is on the new side")
            continue
        if dry_run:
            _say(as_json, found or Move(each, desk.settings.plan), "would set it to 0% and hold it;")
            continue
        try:
            after = press(desk.journal, desk.mover, desk.lease, each, reason)
            pressed = True
            _say(as_json, after)
        except (KirikaeError, AwsUnreachable) as error:
            troubles.append(f"{each}: {error}")
    if troubles:
        click.echo("\n".join(troubles), err=True)
        ctx.exit(Exit.UNFINISHED)
    if pressed:
        ctx.exit(Exit.BACKED_OUT)
