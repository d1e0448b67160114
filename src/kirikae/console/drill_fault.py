"""``kirikae drill fault`` and ``drill undo``: trouble on purpose under load, judged by request."""

from __future__ import annotations

import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kirikae.build.errors import EngineProblem
from kirikae.console.container_engine import ContainerEngine
from kirikae.console.context import desk_of
from kirikae.console.drill_ground import Scene, assert_lawful, scene, undoings_of
from kirikae.console.drill_load import EXITS, Looking, speech_of
from kirikae.console.drill_options import BASE, HTML, KEEP, Asking, Command, asking
from kirikae.console.drill_production import MEANS_PRODUCTION
from kirikae.console.drill_told import expected_told, plain_of, told_of
from kirikae.console.drill_written import write_all
from kirikae.console.here import NOTHING_TO_DO, Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, Number, seconds
from kirikae.console.speech import Speech
from kirikae.drill import agent, slo
from kirikae.drill.acts import carry_out
from kirikae.drill.advice import advice
from kirikae.drill.errors import CannotBeDone, UndoFailed
from kirikae.drill.experiment import Experiment, Ran, run, standing_of
from kirikae.drill.faults import FAULTS, NET_KINDS, Asked, Prepared, net_body, prepare
from kirikae.drill.fleet import Fleet
from kirikae.drill.kept import kept
from kirikae.drill.targets import Target
from kirikae.drill.undoing import Standing
from kirikae.drill.windows import Cost
from kirikae.model.errors import Waiting
from kirikae.model.said import Said, said

_CHOOSING = (
    click.option("--cluster", help="Default: that of the project file's new side."),
    click.option("--service", help="Default: that of the project file's new side."),
    click.option("--task", default="", help="Which task (default: the oldest)."),
    click.option("--count", type=click.IntRange(1, 100), default=1, help="kill-task: how many."),
    click.option("--zone", default="", help="az-loss: which subnet or zone."),
    click.option(
        "--database", default="", help="db-failover: cluster:ID, instance:ID or container:NAME."
    ),
    click.option("--template", default="", help="fis: the experiment template."),
    click.option("--agent-uri", default="", help="net-...: ECS_AGENT_URI of the task."),
    click.option(
        "--port",
        type=click.IntRange(1, 65535),
        help="net-blackhole: which (default: that of the targets).",
    ),
    click.option("--delay-ms", type=click.IntRange(1, 60_000), default=200, help="net-latency."),
    click.option("--loss-percent", type=click.IntRange(1, 100), default=10, help="net-loss."),
    click.option("--source", "sources", multiple=True, help="net-...: to which addresses only."),
    click.option("--move", help="kirikae-loss: whose driver."),
)
_TIMES = (
    click.option(
        "--rate",
        type=Number(min=0, min_open=True, max=100_000),
        default=50.0,
        show_default=True,
        help="Requests a second.",
    ),
    click.option("--before", callback=seconds, default="10s", show_default=True),
    click.option(
        "--lasts", callback=seconds, default="20s", show_default=True, help="Undone after so long."
    ),
    click.option("--after", callback=seconds, default="20s", show_default=True),
    click.option(
        "--slo",
        "limits",
        multiple=True,
        help="What must hold: errors<1%, lost@during<50, p99@after<1s, recovery<10s, whole<60s.",
    ),
    click.option(
        "--stop-at",
        type=Number(min=0, max=100),
        default=80.0,
        show_default=True,
        metavar="PERCENT",
        help="Undo at once when so many of the last 5 s are bad.",
    ),
)
_MEANT = (
    MEANS_PRODUCTION,
    click.option(
        "--i-mean-an-outage",
        "means_outage",
        is_flag=True,
        help="Nothing is left that serves, and somebody answers for it.",
    ),
)


def choosing(command: Command) -> Command:
    """What is aimed at."""
    for option in reversed(_CHOOSING):
        command = option(command)
    return command


def timed(command: Command) -> Command:
    """Rate, windows and limits."""
    for option in reversed(_TIMES):
        command = option(command)
    return command


def meant(command: Command) -> Command:
    """What the guards refuse without."""
    for option in reversed(_MEANT):
        command = option(command)
    return command


@click.command("fault")
@click.argument("name", type=click.Choice(list(FAULTS)))
@choosing
@asking
@BASE
@timed
@meant
@KEEP
@HTML
@DRY
@LANG
@JSON
@click.pass_obj
def fault(here: Here, /, name: str, dry_run: bool, lang: str | None, **options: Any) -> Answer:
    """Break something of a service under load, undo it, and say what it cost: lost requests,
    recovery time, and whether what must hold held (exit code 1: it did not, 5: no verdict, 3: the
    fault stands).

    What undoes the fault is written down before it is made: also after a SIGKILL the next drill, or
    `kirikae drill undo`, undoes it.
    """
    found = scene(here, options["cluster"], options["service"])
    asking_for = Asking.of(options)
    targets = asking_for.targets(found.project.checks if found.project is not None else ())
    return broken(found, name, targets, asking_for, options, dry_run, lang)


@dataclass(frozen=True, slots=True)
class Made:
    """A fault that was made, and what became of it.  ``first``: what was undone before it."""

    first: tuple[Said, ...]
    ran: Ran
    targets: Sequence[Target]
    cost: Cost
    fleet: Fleet
    prepared: Prepared
    experiment: Experiment

    def to_plain(self) -> dict[str, Any]:
        return plain_of(self.ran, self.cost, self.fleet, self.prepared)


def broken(
    found: Scene,
    name: str,
    targets: Sequence[Target],
    asking_for: Asking,
    options: dict[str, Any],
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """One fault, made and judged.  ``options``: those of ``drill fault``."""
    if dry_run:
        fleet, prepared = _prepared(found, name, "MARK", options)
        return _would(_experiment(options, asking_for), fleet, prepared)
    speech = speech_of(found.here, lang)
    made = make(found, name, targets, asking_for, options, speech)
    return answer(made, speech, files_of(made, speech, options["html"], options["keep"]))


def make(
    found: Scene,
    name: str,
    targets: Sequence[Target],
    asking_for: Asking,
    options: dict[str, Any],
    speech: Speech,
) -> Made:
    """Raises what kept the fault from being made, and Waiting where the drill was ended before."""
    found.here.assert_may_change("drill fault")
    experiment = _experiment(options, asking_for)
    mark = uuid.uuid4().hex[:12]
    with _ended_politely(), found.undoings.alone():
        first = tuple(undo_standing(found))
        fleet, prepared = _prepared(found, name, mark, options)
        looking = Looking(experiment.plan, speech)
        looking.say(expected_told(experiment, fleet, prepared))
        ran = run(
            experiment,
            fleet,
            prepared,
            standing_of(mark, fleet.service, found.where, prepared, time.time()),
            found.ground,
            found.undoings,
            targets,
            asking_for.settings,
            looking.look,
        )
    if ran.trouble is not None:
        raise ran.trouble
    if ran.cost is None:
        raise Waiting("the drill was ended before the fault was made; nothing was broken")
    return Made(first, ran, targets, ran.cost, fleet, prepared, experiment)


def _prepared(
    found: Scene, name: str, mark: str, options: dict[str, Any]
) -> tuple[Fleet, Prepared]:
    """The service as it is, and a fault that may be made there."""
    fleet = found.fleet()
    prepared = prepare(name, fleet, asked_of(found, fleet, name, mark, options))
    assert_lawful(
        found,
        fleet,
        prepared,
        options["means_production"],
        options["means_outage"],
    )
    return fleet, prepared


def _experiment(options: dict[str, Any], asking_for: Asking) -> Experiment:
    return Experiment(
        rate=options["rate"],
        before_s=options["before"],
        lasts_s=options["lasts"],
        after_s=options["after"],
        limits=tuple(slo.read(limit, fault=True) for limit in options["limits"]),
        slow_s=asking_for.slow_s,
        stop_at=options["stop_at"] / 100,
    )


def answer(made: Made, speech: Speech, wanted: Iterable[tuple[Path, str | bytes]]) -> Answer:
    """What it cost and what to change, and the files that were asked for."""
    wrote = write_all(wanted)
    told = [
        *made.first,
        *told_of(made.ran, made.cost),
        *(said("drill.advice.change", what=what) for what in advice_of(made)),
        *wrote.told(),
    ]
    return Answer(
        {**made.to_plain(), **wrote.to_plain()},
        [speech.say(each) for each in told],
        wrote.exit(EXITS[made.cost.word]),
    )


def advice_of(made: Made) -> list[Said]:
    """What to change."""
    return list(advice(made.fleet, made.prepared, made.cost))


def asked_of(found: Scene, fleet: Fleet, name: str, mark: str, options: dict[str, Any]) -> Asked:
    """With what only this machine can tell.  Raises CannotBeDone."""
    database = str(options["database"])
    kind, _, container = database.partition(":")
    if kind == "container" and not found.ground.engine.has_container(container):
        raise CannotBeDone(f"{container} is no container of this machine's engine")
    if name == "fis" and found.is_local:
        raise CannotBeDone(
            "fis: kirikae local carries out no FIS experiments; its own faults (hang-task, "
            "crash-task, cpu-hog, net-...) do what their actions do"
        )
    if name == "cpu-hog":
        _assert_shell(found, fleet, str(options["task"]))
    agent_uri = str(options["agent_uri"])
    if name in NET_KINDS:
        agent_uri = agent_uri or _agent_of(found, fleet, str(options["task"]))
        if agent_uri:
            _assert_agent(agent_uri, NET_KINDS[name], fleet, options)
    return Asked(
        mark=mark,
        lasts_s=options["lasts"],
        task=str(options["task"]),
        agent_uri=agent_uri,
        database=database,
        template=str(options["template"]),
        driver=_driver(found, options["move"]) if name == "kirikae-loss" else None,
        options=options,
    )


def _assert_agent(uri: str, kind: str, fleet: Fleet, options: dict[str, Any]) -> None:
    """Before any load is sent: are the fault endpoints there?  Raises CannotBeDone."""
    agent.ask(
        uri,
        kind,
        "status",
        net_body(kind, fleet, options),
    )


def _assert_shell(found: Scene, fleet: Fleet, task: str) -> None:
    """Before anything is written down: can the loops run there?  Raises CannotBeDone."""
    for each in fleet.tasks:
        if each.engine_id and (not task or task in (each.arn, each.name)):
            words = ("exec", each.engine_id, "sh", "-c", "cut -d. -f1 /proc/uptime")
            try:
                found.ground.engine.act(*words)
            except EngineProblem as error:
                raise CannotBeDone(
                    f"cpu-hog: the container has no shell and `cut` to run loops with ({error})"
                ) from error
            return


def _agent_of(found: Scene, fleet: Fleet, task: str) -> str:
    """As the engine of this machine shows it; empty: it is not there."""
    chosen = [each for each in fleet.tasks if not task or task in (each.arn, each.name)]
    if not chosen or not chosen[0].engine_id:
        return ""
    engine = ContainerEngine.of(found.here.environment)
    return engine.variable(chosen[0].engine_id, "ECS_AGENT_URI")


def _driver(found: Scene, move: str | None) -> tuple[int, str] | None:
    """Process of this machine that drives the move now; None: there is none, or none is named."""
    if found.project is None or move is None:
        return None
    desk = desk_of(found.here, found.project, move, found.ground.aws, found.who)
    holder = desk.lease.holder()
    if holder is None or holder.host != socket.gethostname():
        return None
    return holder.pid, agent.started(holder.pid)


@contextmanager
def _ended_politely() -> Iterator[None]:
    """SIGTERM and SIGHUP end a drill as Ctrl-C does: what was broken is undone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {sign: signal.signal(sign, _interrupt) for sign in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for sign, handler in former.items():
            signal.signal(sign, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def undo_standing(found: Scene) -> Iterator[Said]:
    """What a killed drill left, before anything else.  Raises UndoFailed."""
    for standing in found.undoings.standing():
        _assert_same_place(found, standing)
        found.undoings.undo(standing, lambda act: carry_out(found.ground, act))
        yield said("drill.fault.undone", fault=standing.fault, service=standing.service)


def _assert_same_place(found: Scene, standing: Standing) -> None:
    if standing.where != found.where:
        raise UndoFailed(
            f"{standing.fault} of {standing.service} was made at {standing.where!r}, but this is "
            f"{found.where!r}; set AWS_ENDPOINT_URL and AWS_REGION as they were, and run "
            "`kirikae drill undo`"
        )


@click.command("undo")
@DRY
@LANG
@JSON
@click.pass_obj
def undo(here: Here, dry_run: bool, lang: str | None) -> Answer:
    """Undo the faults that a killed drill left (exit code 3: one stands still)."""
    undoings = undoings_of(here)
    left = undoings.standing()
    plain = {"faults": [each.to_plain() for each in left]}
    if dry_run:
        return would([f"{each.fault}: {act}" for each in left for act in each.undo], plain)
    here.assert_may_change("drill undo")
    speech = speech_of(here, lang)
    if not left:
        return Answer(plain, [speech.say(said("drill.fault.none_left"))], outcome=NOTHING_TO_DO)
    found = scene(here, None, None, needs_project=False)
    with undoings.alone():
        told = [speech.say(each) for each in undo_standing(found)]
    return Answer(plain, told)


def _would(experiment: Experiment, fleet: Fleet, prepared: Prepared) -> Answer:
    """Every act, and what the fault should cost."""
    expected = prepared.detection_s
    cost = None if expected is None else experiment.rate * prepared.share * expected
    lines = [
        f"{experiment.plan.requests} requests in {experiment.plan.seconds:g} s; after "
        f"{experiment.before_s:g} s: {prepared.name} on {fleet.service}",
        *(f"do    {act}" for act in prepared.inject),
        *(f"undo  {act}" for act in prepared.undo),
    ]
    if cost is not None:
        lines.append(f"bad requests at most: {cost:.0f}")
    return would(
        lines,
        {
            "fault": prepared.name,
            "do": [act.to_plain() for act in prepared.inject],
            "undo": [act.to_plain() for act in prepared.undo],
            "expected_bad": cost,
        },
    )


def files_of(
    made: Made, speech: Speech, html: Path | None, keep: Path | None
) -> Iterator[tuple[Path, str | bytes]]:
    """The run comes first: from it the page can be made again."""
    if keep is not None:
        from kirikae.drill.kept_fault import KeptFault

        fault = KeptFault.of(made.experiment, made.fleet, made.prepared, made.ran).to_plain()
        seconds = made.experiment.plan.seconds
        yield keep, kept(made.ran.record, made.targets, seconds, fault)
    if html is not None:
        from kirikae.console.drill_page import page_of_fault

        yield html, page_of_fault(made, speech)
