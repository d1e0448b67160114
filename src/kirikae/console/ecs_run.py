"""``kirikae ecs run``: a task of its own, such as a migration, with the image and the network of
the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from kirikae.aws import ecs
from kirikae.console.ecs_desk import EcsDesk, Given, common, seconds_of
from kirikae.console.ecs_desk import open_ecs_desk as opened
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON
from kirikae.console.progress import as_json
from kirikae.model.errors import Exit, KirikaeError, UsageProblem
from kirikae.model.said import said
from kirikae.model.shown import clean
from kirikae.release.ecs.single import Single, Wish, single
from kirikae.release.ecs.single_run import How, Run, Watch, begin, why_not
from kirikae.release.errors import NotFinished

_UNTIL = ("stopped", "running")
_WELL = (How.SUCCEEDED, How.RUNNING)


def ran(
    desk: EcsDesk,
    wish: Wish,
    until: str | None,
    timeout_s: float | None,
    dry_run: bool,
) -> Answer:
    """``until`` None: nobody waits; ``timeout_s`` None: however long it lasts."""
    wanted = single(desk.aws, desk.config, wish)
    if dry_run:
        return _would(desk, wanted)
    name = str(wanted.asked["taskDefinition"])
    if wanted.register is not None:
        name = ecs.register_task_definition(desk.aws, wanted.register.plain)
        _tell(f"{name.rpartition('/')[2]} is registered")
    try:
        tasks, failures = begin(desk.aws, wanted.of(name))
    except KirikaeError as error:
        if wanted.register is None:
            raise
        return _not_begun(error, name, wanted)
    arns = [str(task["taskArn"]) for task in tasks]
    notes = [*wanted.remarks, *(f"a task was not begun: {why_not(each)}" for each in failures)]
    about = {"task_definition": name, "watched": wanted.watched, "failures": failures}
    if until is None:
        return _begun(desk, arns, about, notes)
    watch = Watch(desk.aws, desk.config.cluster, arns, wanted.watched, _log(wanted), _tell)
    try:
        runs = watch.until(until.upper(), timeout_s)
    except NotFinished as error:
        names = [arn.rpartition("/")[2] for arn in arns]
        ending = error.ending or "unknown"
        plain = {**about, "ending": ending, "tasks": names, "message": str(error)}
        return Answer(plain, (), error.exit, notes=[*notes, str(error)])
    return _ended(desk, runs, about, notes)


def _not_begun(error: KirikaeError, name: str, wanted: Single) -> Answer:
    """What was registered is there now, and nothing runs it."""
    message = f"{error}; {name.rpartition('/')[2]} stays registered"
    plain = {"task_definition": name, "ending": "not_begun", "message": message}
    return Answer(plain, (), error.exit, notes=[*wanted.remarks, message])


def _would(desk: EcsDesk, wanted: Single) -> Answer:
    told = []
    family = wanted.family
    if wanted.register is not None:
        told.append(desk.speech.say(said("release.ecs.would_register", family=family)))
    start = said(
        "release.ecs.would_start",
        count=wanted.asked["count"],
        definition=family or str(wanted.asked["taskDefinition"]).rpartition("/")[2],
        cluster=desk.config.cluster,
    )
    told.append(desk.speech.say(start))
    asked = {key: value for key, value in wanted.asked.items() if key != "clientToken"}
    plain = {
        "register": None if wanted.register is None else wanted.register.plain,
        "run": asked,
        "watched": wanted.watched,
        "remarks": list(wanted.remarks),
    }
    return would([*wanted.remarks, *told], plain)


def _begun(
    desk: EcsDesk,
    arns: Sequence[str],
    about: Mapping[str, Any],
    notes: Sequence[str],
) -> Answer:
    names = [arn.rpartition("/")[2] for arn in arns]
    lines = [desk.speech.say(said("release.ecs.ran_begun", task=name)) for name in names]
    end = Exit.UNFINISHED if about["failures"] else Exit.DONE
    plain = {**about, "ending": "begun", "tasks": [{"task": name} for name in names]}
    return Answer(plain, lines, end, notes=notes)


def _ended(
    desk: EcsDesk,
    runs: Sequence[Run],
    about: Mapping[str, Any],
    notes: Sequence[str],
) -> Answer:
    bad = [run for run in runs if run.how not in _WELL]
    worst = bad[0] if bad else runs[0]
    complete = not bad and not about["failures"]
    told = [*notes]
    for run in runs:
        told += [] if run.told is None else run.told.lines()
    plain = {
        **about,
        "ending": worst.how,
        "exit_code": worst.exit_code,
        "tasks": [run.to_plain() for run in runs],
    }
    lines = [desk.speech.say(_says(run, str(about["watched"]))) for run in runs]
    return Answer(plain, lines, Exit.DONE if complete else Exit.UNFINISHED, notes=told)


def _says(run: Run, watched: str) -> Any:
    cause = "" if run.told is None else run.told.cause
    return said(f"release.ecs.ran_{run.how}", task=run.task, container=watched, cause=cause)


def _log(wanted: Single) -> Mapping[str, str]:
    """Where the watched container writes, if that is CloudWatch Logs."""
    for each in wanted.containers:
        log = each.get("logConfiguration") or {}
        if each.get("name") == wanted.watched and log.get("logDriver") == "awslogs":
            options: Mapping[str, str] = log.get("options") or {}
            return options
    return {}


def _tell(line: str) -> None:
    """As it happens, also in a pipe: CI keeps what a migration wrote."""
    if not as_json():
        click.echo(clean(line), err=True)


def _pairs(_: click.Context, __: click.Parameter, value: str) -> dict[str, str]:
    found = {}
    for part in filter(None, value.split(",")):
        key, equals, text = part.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{part!r}: write KEY=VALUE")
        found[key] = text
    return found


_FILE = click.Path(path_type=Path)


@click.command()
@common
@click.option(
    "--task-def", "task_file", type=_FILE, help="Another file than `task_definition` names."
)
@click.option("--revision", type=click.IntRange(min=1), help="Run this one; none is registered.")
@click.option("--latest-task-definition", "latest", is_flag=True, help="Run the family's newest.")
@click.option(
    "--skip-task-definition",
    "skip",
    is_flag=True,
    help="Run what the service runs (without a service: the family's newest).",
)
@click.option("--overrides", default="", help="What is otherwise for this run, in JSON.")
@click.option(
    "--overrides-file", type=_FILE, help="The same in a file (JSON, Jsonnet, YAML), a template."
)
@click.option(
    "--watch-container",
    "watched",
    default="",
    help="Whose log is shown and whose exit code counts (default: the first one).",
)
@click.option("--count", type=click.IntRange(1, 10), default=1, show_default=True)
@click.option("--tags", default="", callback=_pairs, metavar="KEY=VALUE,...", help="Of the task.")
@click.option(
    "--propagate-tags",
    "propagate",
    type=click.Choice(["SERVICE", "TASK_DEFINITION", "NONE"]),
    default="NONE",
    show_default=True,
    help="Whose tags the task has, too.",
)
@click.option(
    "--client-token",
    "token",
    default="",
    help="With the same one the same task is begun at most once (default: one is made).",
)
@click.option(
    "--ebs-delete-on-termination/--no-ebs-delete-on-termination",
    "drops_disks",
    default=True,
    show_default=True,
)
@click.option("--wait/--no-wait", "waits", default=True, show_default=True)
@click.option(
    "--wait-until", "until", type=click.Choice(_UNTIL), default="stopped", show_default=True
)
@click.option(
    "--timeout",
    envvar="ECSPRESSO_TIMEOUT",
    help="Such as 15m (default: the configuration's); what runs then is not stopped.",
)
@DRY
@JSON
@click.pass_obj
def run(
    here: Here,
    /,
    given: Given,
    drops_disks: bool,
    waits: bool,
    until: str,
    timeout: str | None,
    dry_run: bool,
    **options: Any,
) -> Answer:
    """Run a task of its own, such as a migration, in the service's network, and say how it ended:
    succeeded (0), failed, stopped, timed_out or unknown (3)."""
    here.assert_may_change("ecs run", dry_run)
    wish = Wish(keeps_disks=not drops_disks, **options)
    if wish.revision is not None and wish.task_file is not None:
        raise UsageProblem("--task-def names what is registered, --revision what is there: one")
    desk = opened(here, given)
    limit_s = desk.config.timeout_s if timeout is None else seconds_of(timeout)
    return ran(desk, wish, until if waits else None, limit_s, dry_run)
