"""``kirikae move`` and ``kirikae back-out``: plan, drive, look at and command a move."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

import click

from kirikae.console.context import Desk, load_project, open_desk
from kirikae.console.driving import drive_on, read_move, start, step
from kirikae.console.notify import tell_once
from kirikae.console.survey import survey_findings
from kirikae.console.telling import DRY, JSON, Teller, say, shown, where
from kirikae.console.verdict import judge_file
from kirikae.console.words import LANGUAGES, duration, explain
from kirikae.model.errors import AwsUnreachable, Exit, KirikaeError, StoreBroken, UsageProblem
from kirikae.model.evidence import Batch
from kirikae.model.fargate import dollars_a_day
from kirikae.model.finding import blocking
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.share import WHOLE, percent
from kirikae.move.driver import carry_out_order, hold_without_lease
from kirikae.move.engine import Look
from kirikae.move.engine import back_out as press
from kirikae.move.journal import Entry
from kirikae.move.replay import lines_of
from kirikae.move.trial import Trial
from kirikae.traffic.forecast import RISE
from kirikae.traffic.mover import margins_of, trial_over
from kirikae.traffic.old_side import OldSide


@click.group()
def move() -> None:
    """Move traffic from the old side to the new side, step by step."""


for command in (judge_file, start, step, drive_on):
    move.add_command(command)


class NothingToApprove(KirikaeError):
    """No step waits for this person's approval."""


def _requests(needed: int | None) -> str:
    """How many requests a step needs; None where an error rate of 0.1% on both sides could never
    prove it."""
    if needed is None:
        return (
            "more requests than can ever come at an error rate of 0.1% (widen "
            "worse_requests_at_most)"
        )
    return f"about {needed} good requests on the new side,"


@move.command()
@click.argument("name")
@JSON
@click.pass_context
def plan(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show every step, what each must prove, and what stands in the way."""
    desk = open_desk(ctx.obj, name)
    margins = margins_of(desk.settings)
    found = [
        f for f in survey_findings(ctx, desk.project) if desk.settings.kind in f.blocks
    ] + desk.mover.findings()
    known, forecasts = desk.mover.forecast(desk.settings.plan)
    cost = _extra_cost(desk)
    old = desk.mover.pin.look(read_move(desk, name), desk.mover.places().old)
    steps: list[dict[str, Any]] = []
    for each in forecasts:
        after = next((s for s in desk.settings.plan if s > each.share), WHOLE)
        steps.append(
            {
                "share": percent(each.share),
                "bake_s": margins.bake_s,
                "errors_at_most_more": margins.errors_at(after),
                "slower_at_most": None if margins.fast_enough_ms else margins.slower_at(after),
                "new_side_requests_needed": round(each.needed) if isfinite(each.needed) else None,
                "slowest_to_show": each.metric,
                "expected_s": round(each.seconds) if isfinite(each.seconds) else None,
                "finds": {
                    "more_errors": RISE,
                    "requests": round(each.finds) if isfinite(each.finds) else None,
                    "seconds": round(each.finds_s) if isfinite(each.finds_s) else None,
                },
                "judged_by": "absolute limits" if each.share == WHOLE else "comparison",
            }
        )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "move": name,
                    "steps": steps,
                    "findings": [f.to_plain() for f in found],
                    "advance": desk.settings.advance,
                    "requests_per_s": round(known.per_s, 2),
                    "extra_cost_per_day_usd": cost,
                    "old_side": asdict(old),
                }
            )
        )
    else:
        click.echo(
            f"today: {known.per_s:.1f} requests/s, {known.errors:.2%} errors"
            if known.per_s
            else "today's rate is not known"
        )
        for step in steps:
            _tell_step(step)
        total = sum(each.seconds for each in forecasts)
        click.echo(
            f"in all {duration(total)} if both sides are alike"
            if isfinite(total)
            else "how long it takes is not known"
        )
        click.echo(_how_it_advances(desk, name))
        click.echo(_told_cost(cost, old))
        for f in found:
            click.echo(f"{f.severity} {f}")
    if blocking(found, desk.settings.kind):
        ctx.exit(Exit.REFUSED)


def _tell_step(step: dict[str, Any]) -> None:
    expected = (
        f"about {duration(step['expected_s'])}"
        if step["expected_s"] is not None
        else "time not known"
    )
    slower = (
        f" and {step['slower_at_most']:.0%} slower" if step["slower_at_most"] is not None else ""
    )
    click.echo(
        f"{step['share']:>6}  {expected}: at least {step['bake_s']:.0f} s, and "
        f"{_requests(step['new_side_requests_needed'])} "
        f"to show no more than {step['errors_at_most_more']:.2%} more errors{slower} "
        f"({step['judged_by']})"
    )
    finds = step["finds"]
    if finds["requests"] is not None:
        within = f" and {duration(finds['seconds'])}" if finds["seconds"] is not None else ""
        click.echo(
            f"        finds +{RISE:.0%} errors within about {finds['requests']} requests "
            f"on the new side{within}"
        )


def _extra_cost(desk: Desk) -> float | None:
    """US dollars a day for the new side's tasks at the list price; None where the region's price or
    the service is not known."""
    from kirikae.aws import ecs

    fleet = desk.project.fleets.new
    try:
        service = ecs.service(desk.aws, fleet.cluster, fleet.ecs_service)
        if service is None:
            return None
        definition = ecs.task_definition(desk.aws, service["taskDefinition"])
    except (KirikaeError, AwsUnreachable):
        return None
    if "cpu" not in definition or "memory" not in definition:
        return None
    tasks = max(service["desiredCount"], service["runningCount"])
    cost = dollars_a_day(
        desk.project.region, int(definition["cpu"]), int(definition["memory"]), tasks
    )
    return None if cost is None else round(cost, 2)


def _told_cost(cost: float | None, old: OldSide) -> str:
    both = (
        "running both costs: not known"
        if cost is None
        else f"running both costs ${cost:.2f} a day more (the new side's tasks, list price)"
    )
    return both + (
        f", and {old.added} instance(s) that the old side was raised by" if old.added else ""
    )


def _how_it_advances(desk: Desk, name: str) -> str:
    asked = {
        "ask": "when somebody approves it",
        "window": "by itself, within its windows",
        "auto": "by itself",
    }[desk.settings.advance]
    if desk.settings.advance == "ask" and desk.settings.approver == "another":
        asked = "when somebody else than the driver approves it"
    windows = (
        f", {', '.join(desk.settings.windows)} ({desk.project.time_zone})"
        if desk.settings.windows
        else ""
    )
    closed = desk.project.calendar_of(name).closed(time.time())
    return f"a step is taken {asked} once it is proven{windows}" + (
        f"; now {closed}" if closed else ""
    )


@move.command()
@click.argument("name")
@JSON
@click.pass_context
def status(ctx: click.Context, name: str, as_json: bool) -> None:
    """Where the move stands, who drives it, and whether the old side can take all of it now."""
    desk = open_desk(ctx.obj, name)
    found = desk.journal.read(name)
    share = desk.mover.found_share()
    driver = desk.lease.holder()
    old = desk.mover.pin.look(found, desk.mover.places().old)
    cost = None if found.over else _extra_cost(desk)
    closed = desk.project.calendar_of(name).closed(time.time())
    if as_json:
        told = {
            **shown(found),
            "found_share": None if share is None else percent(share),
            "driver": driver,
            "old_side": {**asdict(old), "takes_all": old.takes_all},
            "extra_cost_per_day_usd": cost,
            "closed": closed,
        }
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(f"{name} is {where(found)}")
    giver = "the load balancer gives" if desk.settings.router.record is None else "DNS answers give"
    click.echo(f"{giver} the new side {'an unknown share' if share is None else percent(share)}")
    if when := _when_in_force(desk):
        click.echo(f"a back-out is not at once: {when.rstrip(';')}")
    click.echo(
        f"driven by {driver}" if driver else "nobody drives it; `kirikae move start` takes over"
    )
    if closed:
        click.echo(f"no step is taken now: {closed}")
    click.echo(f"old side: {old.told()}")
    if not found.over:
        click.echo(_told_cost(cost, old))


class _Onlooker:
    """What the recorded figures say, fed with what is new at each look."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._attempt = -1
        self._seen = -math.inf
        self._trial: Trial | None = None

    def _fresh(self, found: Move) -> Trial:
        """The same judge as the driver's: where clients stick, the share that arrives is shown and
        not tested."""
        return trial_over(self._desk.settings, found, (), not self._desk.mover.router.exact)

    def trial(self, found: Move) -> Trial | None:
        """None where no share is on the new side."""
        if found.phase is not Phase.RUNNING or not found.share:
            return None
        if self._trial is None or found.attempt != self._attempt:
            self._trial = self._fresh(found)
            self._attempt = found.attempt
            self._seen = -math.inf
        for batch in self._desk.journal.batches(found):
            if batch.start > self._seen:
                self._trial.look(batch)
                self._seen = batch.start
        return self._trial.at(found.stepped, found.share)


class _Recorder:
    """Writes every batch of an attempt once and in order, as `move judge` reads them."""

    def __init__(self, desk: Desk, file: Path) -> None:
        self._desk = desk
        self._file = file
        self._written = -math.inf
        try:
            file.write_text("", encoding="utf-8")
        except OSError as error:
            raise UsageProblem(
                f"{file} cannot be written: {error.strerror}; name another file with --record"
            ) from error

    def write(self, found: Move, everything: bool) -> None:
        """``everything``: also rounds of probes that are ahead of the figures, which come late."""
        batches = self._desk.journal.batches(found)
        if not batches and everything:
            batches = self._before(found)
        until = max(
            (b.start for b in batches if everything or not b.only_probes), default=-math.inf
        )
        with self._file.open("a", encoding="utf-8") as out:
            for batch in batches:
                if self._written < batch.start <= until:
                    out.writelines(f"{line}\n" for line in lines_of(batch))
        self._written = max(self._written, until)

    def _before(self, found: Move) -> list[Batch]:
        """Figures of the last attempt that has any: after a back-out, those that led to it."""
        for entry in reversed(self._desk.journal.entries(found.name)):
            if entry.move.attempt != found.attempt and (
                batches := self._desk.journal.batches(entry.move)
            ):
                return batches
        return []


@move.command()
@click.argument("name")
@JSON
@click.option("--once", is_flag=True, help="Print one line and end.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write this attempt's figures to a file for `move judge`.",
)
@click.pass_context
def watch(ctx: click.Context, name: str, as_json: bool, once: bool, record: Path | None) -> None:
    """Look on: share, figures and evidence as the journal has them; changes nothing."""
    desk = open_desk(ctx.obj, name)
    teller = Teller(as_json)
    onlooker = _Onlooker(desk)
    recorder = _Recorder(desk, record) if record is not None else None
    while True:
        found = desk.journal.read(name)
        if recorder is not None:
            recorder.write(found, once or found.over)
        trial = onlooker.trial(found)
        evidence = trial.evidence() if trial is not None else None
        teller(Look(found, evidence, evidence.reason if evidence else ""))
        if once or found.over:
            return
        time.sleep(1)


@move.command()
@click.argument("name")
@click.option(
    "--reason", default="held by hand", show_default=True, help="Why; kept in the journal."
)
@JSON
@DRY
@click.pass_context
def hold(ctx: click.Context, name: str, reason: str, as_json: bool, dry_run: bool) -> None:
    """Stop where it is; the share stays."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    desk = open_desk(ctx.obj, name)
    if dry_run:
        say(as_json, desk.journal.read(name), "would hold;")
        return
    say(as_json, hold_without_lease(desk.journal, name, reason))
    tell_once(desk.aws, desk.project, desk.journal, name, _complain)


def _by_hand(ctx: click.Context, name: str, verb: Verb, as_json: bool, dry_run: bool) -> None:
    """One order by a person; whether it is lawful is asked before anything is done."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    desk = open_desk(ctx.obj, name)
    before = desk.journal.read(name)
    order = Order(verb)
    if before.intent is None:
        before.intending(order)
    if verb is Verb.RETIRE and before.phase is Phase.SETTLED:
        desk.mover.assert_nobody_asks_the_old_side()
    if dry_run:
        say(as_json, before, f"would {verb};")
        return
    if verb is Verb.RETIRE:
        # Written first: were we killed in between, the plan would be there, and the order can be
        # given again.
        file = ctx.obj.folder / f"removal-{name}.md"
        file.write_text(_removal_plan(desk, name), encoding="utf-8")
        if not as_json:
            click.echo(
                f"nothing is deleted; what may be removed, and in which order, stands in {file}"
            )
    say(as_json, carry_out_order(desk.engine, desk.lease, name, order))
    tell_once(desk.aws, desk.project, desk.journal, name, _complain)


def _when_in_force(desk: Desk) -> str:
    """By DNS a back-out is as slow as resolvers forget: say so."""
    try:
        delay_s = desk.mover.router.delay_s
    except (KirikaeError, AwsUnreachable):
        return ""
    return (
        f"resolvers that know the former answer keep it for up to {delay_s:.0f} s;"
        if delay_s
        else ""
    )


def _complain(text: str) -> None:
    click.echo(text, err=True)


def _command_by_hand(verb: Verb, says: str) -> None:
    @move.command(str(verb), help=says)
    @click.argument("name")
    @JSON
    @DRY
    @click.pass_context
    def command(ctx: click.Context, name: str, as_json: bool, dry_run: bool) -> None:
        _by_hand(ctx, name, verb, as_json, dry_run)


_command_by_hand(
    Verb.RESUME,
    "Lift the hold: the share is set back to the journal's; `move start` then drives on.",
)
_command_by_hand(Verb.ABANDON, "Give the move up (only before it started, or at 0%).")
_command_by_hand(
    Verb.SETTLE, "Say by hand that 100% is where it stays (a driver does so once that is proven)."
)
_command_by_hand(Verb.RETIRE, "Pin the share and write the removal plan; deletes nothing.")


def _removal_plan(desk: Desk, name: str) -> str:
    places = desk.mover.places()
    old = places.old
    new = places.new
    record = desk.settings.router.record
    knows = (
        f"the rule still knows `{old.name}` at weight 0"
        if record is None
        else f"`{record.name}` still has both records"
    )
    way = f"take `{old.arn}` out of the rule `{places.rule_arn}`"
    if record is not None:
        way = (
            f"make `{record.name}` a simple record again that leads to the new side, in one "
            "change; then give it its former TTL"
        )
    group = desk.project.fleets.old.autoscaling_group
    scaling = f", then the Auto Scaling group `{group}`" if group else ""
    hosts = (
        "\n".join(f"   - [ ] {host}" for host in desk.project.fleets.old.hosts)
        or "   - [ ] every host of the old fleet"
    )
    project = desk.project
    of_what = f"{project.service} ({project.environment})"
    return f"""# What may be removed after the move {name} of {of_what}

kirikae deleted nothing. All requests go to `{new.name}`; {knows}.

- [ ] look at `{old.name}`: no request and no open connection for a day
- [ ] take a snapshot of every old host's disk, and write down where it is
- [ ] {way}
- [ ] stop, and after a week remove:
{hosts}
- [ ] remove the target group `{old.name}`{scaling}
- [ ] remove what named the old fleet: alarms, security groups, DNS records, backup plans
"""


@move.command()
@click.argument("name")
@JSON
@DRY
@click.pass_context
def approve(ctx: click.Context, name: str, as_json: bool, dry_run: bool) -> None:
    """Say yes to the next step (with `advance: ask`)."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    desk = open_desk(ctx.obj, name)
    found = desk.journal.read(name)
    after = percent(found.next_share) if found.next_share else "settled"
    if desk.settings.advance != "ask" or found.over or found.phase is Phase.SETTLED:
        raise NothingToApprove(
            f"{name} is {where(found)} with `advance: {desk.settings.advance}`: no step "
            "of it waits for an approval"
        )
    driver = next(
        (
            entry.who
            for entry in reversed(desk.journal.entries(name))
            if entry.move.intent is not None
        ),
        "",
    )
    if desk.settings.approver == "another" and driver == desk.who:
        raise NothingToApprove(
            f"{desk.who} drives {name}; `approver: another` asks for the yes of somebody else"
        )
    if not dry_run:
        desk.journal.approve(found)
    text = (
        f"would approve the step to {after};"
        if dry_run
        else f"approved as {desk.who}: once it is proven it may go on to {after};"
    )
    say(as_json, found, text)


@move.command()
@click.argument("name")
@JSON
@click.pass_context
def history(ctx: click.Context, name: str, as_json: bool) -> None:
    """The journal: what was intended, done and seen, by whom."""
    desk = open_desk(ctx.obj, name)
    desk.journal.last(name)
    for entry in desk.journal.entries(name):
        if as_json:
            click.echo(
                json.dumps(
                    {
                        **shown(entry.move),
                        "at": entry.at,
                        "who": entry.who,
                        "where": entry.where,
                        "requests": entry.requests,
                        "approver": entry.approver,
                        "evidence": entry.evidence,
                    },
                    ensure_ascii=False,
                )
            )
        else:
            click.echo(history_line(entry))


def history_line(entry: Entry) -> str:
    at = datetime.fromtimestamp(entry.at).strftime("%H:%M:%S")
    reason = (
        f"  [{entry.evidence['reason']}]" if entry.evidence and entry.evidence["reason"] else ""
    )
    approved = f", approved by {entry.approver.rpartition('/')[2]}" if entry.approver else ""
    return (
        f"{entry.move.seq:4} {at} {where(entry.move):40}{reason}  "
        f"{entry.who.rpartition('/')[2]}{approved}"
    )


@move.command("explain")
@click.argument("name")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True)
@JSON
@click.pass_context
def explain_move(ctx: click.Context, name: str, lang: str, as_json: bool) -> None:
    """Why the move stands where it stands, in one sentence that everybody understands."""
    desk = open_desk(ctx.obj, name)
    found = desk.journal.read(name)
    trial = _Onlooker(desk).trial(found)
    sentence = explain(found, trial, lang)
    if as_json:
        click.echo(
            json.dumps(
                {**shown(found, trial.evidence() if trial else None, found.held), "says": sentence},
                ensure_ascii=False,
            )
        )
    else:
        click.echo(sentence)


@click.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every live move of this project.")
@click.option(
    "--reason",
    default="the red button was pressed",
    show_default=True,
    help="Why; kept in the journal.",
)
@JSON
@DRY
@click.pass_context
def back_out(
    ctx: click.Context,
    name: str | None,
    everything: bool,
    reason: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """The red button: share 0 now, whatever a driver is doing."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    if (name is None) != everything:
        raise UsageProblem("name the move, or say --all")
    names = list(load_project(ctx.obj).moves) if name is None else [name]
    troubles = []
    pressed = False
    for each in names:
        desk = open_desk(ctx.obj, each, anyone=True)
        try:
            found = read_move(desk, each)
            readable = True
        except (StoreBroken, AwsUnreachable):
            # the button works without the journal, and says so
            found = None
            readable = False
        if readable and (found is None or not found.live):
            if name is not None:
                raise UsageProblem(
                    f"{each} is {where(found) if found else 'not started'}: nothing of "
                    "it is on the new side"
                )
            continue
        if dry_run:
            say(as_json, found or Move(each, desk.settings.plan), "would set it to 0% and hold it;")
            continue
        try:
            after = press(desk.journal, desk.mover, desk.lease, each, reason)
            pressed = True
            say(as_json, after, _when_in_force(desk) if not as_json else "")
            tell_once(desk.aws, desk.project, desk.journal, each, _complain)
        except (KirikaeError, AwsUnreachable) as error:
            troubles.append(f"{each}: {error}")
    if troubles:
        click.echo("\n".join(troubles), err=True)
        ctx.exit(Exit.UNFINISHED)
    if pressed:
        ctx.exit(Exit.BACKED_OUT)
