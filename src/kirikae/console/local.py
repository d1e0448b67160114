"""``kirikae local``: start, look at and stop the single-machine AWS endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from kirikae.console.here import NOTHING_TO_DO, Answer, Here, would
from kirikae.console.options import DRY, JSON, Whole
from kirikae.console.progress import Progress
from kirikae.model.errors import Exit, UsageProblem

try:
    from kirikae.local import control
    from kirikae.local.status import LoadStatus, Status
except ModuleNotFoundError as error:  # the extra is not installed
    raise UsageProblem(
        f"kirikae local needs its extra ({error.name} is missing): pip install 'kirikae[local]'",
    ) from error

_FIGURES = {
    "engine_answers_s": "it answers in {took:.2f} s",
    "container_starts_s": "it starts a container in {took:.1f} s",
    "empty_check_s": "a check that does nothing takes {took:.1f} s",
    "loop_late_s": "the control plane comes {took:.2f} s late",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a verb stands: ``directory`` holds the instance's state."""

    here: Here
    directory: Path


# --- what the verbs answer


def brought_up(
    place: Place,
    port: int | None,
    region: str,
    figures: str | None,
    test_mode: bool,
) -> Answer:
    """Start what is not running yet."""
    before = control.status(place.directory)
    if before is None:
        Progress().step("starting the control plane, HAProxy and moto")
    delay_s = None if figures is None else control.FIGURES_DELAY_S[figures]
    found = control.up(place.directory, port, region, figures_delay_s=delay_s, test_mode=test_mode)
    ran = before is not None and before["pid"] == found["pid"]
    line = (
        f"kirikae local answers at {found['endpoint']} (network {found['network']}); "
        "`kirikae local env` prints what clients need"
    )
    return Answer(found, (line,), outcome=NOTHING_TO_DO if ran else "")


def would_bring_up(place: Place) -> Answer:
    """What ``--dry-run`` answers."""
    if control.status(place.directory) is not None:
        return would(["all runs already"])
    return would([f"would start the control plane, HAProxy and moto for {place.directory}"])


def environment(place: Place) -> Answer:
    """What AWS clients need to be told."""
    found = control.status(place.directory)
    if found is None:
        message = "kirikae local is not running; start it with `kirikae local up`"
        return Answer({"message": message}, exit=Exit.REFUSED, notes=(message,))
    values = {
        "AWS_ENDPOINT_URL": found["endpoint"],
        "AWS_REGION": found["region"],
        "AWS_DEFAULT_REGION": found["region"],
        "AWS_ACCESS_KEY_ID": "kirikae",
        "AWS_SECRET_ACCESS_KEY": "kirikae",
    }
    lines = [f"export {key}={value}" for key, value in values.items()]
    return Answer({"environment": values}, lines)


def standing(place: Place) -> Answer:
    """What runs; exit code 1 where the control plane does not."""
    found = control.status(place.directory)
    if found is None:
        line = "kirikae local is not running; `kirikae local up` starts it or takes it up again"
        return Answer({"running": False, "message": line}, (line,), Exit.REFUSED)
    return Answer({"running": True, **found}, list(_status_lines(found)))


def _status_lines(found: Status) -> Iterator[str]:
    """For people; trouble and overload only where there are any."""
    listeners = ", ".join(found["listeners"]) or "none"
    yield (
        f"endpoint {found['endpoint']} · network {found['network']} · "
        f"{found['services']} services · {found['tasks']} tasks · listeners {listeners}"
    )
    if registry := found["registry"]:
        yield f"registry {registry} (docker push {registry}/NAME:TAG)"
    if found["trouble"]:
        yield f"trouble: {found['trouble']}"
    if found["load"]["overloaded"]:
        yield _overload(found["load"])


def _overload(load: LoadStatus) -> str:
    """That the engine is overloaded, by which figures, and what follows."""
    figures: Mapping[str, object] = load
    beyond = [
        f"{words.format(took=took)} ({load['much'][key]:g} is much)"
        for key, words in _FIGURES.items()
        if isinstance(took := figures[key], (int, float)) and took >= load["much"][key]
    ]
    line = f"the engine is overloaded: {', '.join(beyond)}; tasks are started "
    line += f"{load['starts_at_once']} at a time, {load['waiting']} wait"
    if load["tasks_in_doubt"]:
        line += f"; checks of {load['tasks_in_doubt']} tasks could not run in time and do not count"
    return line


def spot_taken_away(place: Place, percent: int, dry_run: bool) -> Answer:
    """Running FARGATE_SPOT tasks that were, or would be, taken away."""
    tasks = control.interrupt_spot(place.directory, percent, dry_run)
    verb = "would interrupt" if dry_run else "interrupted"
    lines = [f"{verb} {task}" for task in tasks] or ["no FARGATE_SPOT task is running"]
    if dry_run:
        return would(lines, {"tasks": tasks})
    return Answer({"tasks": tasks}, lines, outcome="" if tasks else NOTHING_TO_DO)


def taken_down(place: Place) -> Answer:
    """Everything stopped and removed."""
    removed = control.down(place.directory)
    if not removed:
        return Answer({"removed": []}, ("nothing was running",), outcome=NOTHING_TO_DO)
    lines = [f"stopped; {len(removed)} containers and networks removed"]
    if place.directory.exists():
        lines.append(f"{place.directory} stays: it holds files that kirikae local did not make")
    return Answer({"removed": removed}, lines)


def would_take_down(place: Place) -> Answer:
    """What ``--dry-run`` answers."""
    line = (
        f"would stop the processes of {place.directory}, remove its containers and "
        "network, and delete what kirikae local made in the folder"
    )
    return would([line])


# --- the command line


@click.group(cls=Whole)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="State directory (default .kirikae/local).",
)
@click.pass_context
def local(ctx: click.Context, directory: Path | None) -> None:
    """Run AWS's part on this machine: ECS, load balancer, figures, stores."""
    ctx.obj = Place(ctx.obj, directory or control.default_directory())


@local.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=None,
    help="Port of the endpoint on 127.0.0.1 (default: a free one, kept).",
)
@click.option(
    "--region",
    default="ap-northeast-1",
    show_default=True,
    help="The region it pretends to be.",
)
@click.option(
    "--figures",
    type=click.Choice(["now", "delayed"]),
    default=None,
    help="Show CloudWatch figures at once and by the second, or whole minutes a minute later "
    "as AWS does (default: delayed; kept).",
)
@click.option(
    "--test-mode",
    is_flag=True,
    help="For test suites: POST /moto-api/reset forgets everything (a new instance only; kept).",
)
@JSON
@DRY
@click.pass_obj
def up(
    place: Place,
    port: int | None,
    region: str,
    figures: str | None,
    test_mode: bool,
    dry_run: bool,
) -> Answer:
    """Start what is not running yet."""
    if dry_run:
        return would_bring_up(place)
    return brought_up(place, port, region, figures, test_mode)


@local.command()
@JSON
@click.pass_obj
def env(place: Place) -> Answer:
    """Print exports for AWS clients: eval "$(kirikae local env)"."""
    return environment(place)


@local.command()
@JSON
@click.pass_obj
def status(place: Place) -> Answer:
    """Say what runs, and whether the engine is overloaded (exit code 1: the control plane does not
    run)."""
    return standing(place)


@local.command()
@click.option(
    "--percent",
    type=click.IntRange(1, 100),
    required=True,
    help="Part of the running FARGATE_SPOT tasks, rounded up.",
)
@JSON
@DRY
@click.pass_obj
def interrupt_spot(place: Place, percent: int, dry_run: bool) -> Answer:
    """Take running FARGATE_SPOT tasks away, as AWS does when it needs the room."""
    return spot_taken_away(place, percent, dry_run)


@local.command()
@click.option(
    "--lines", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many."
)
@JSON
@click.pass_obj
def logs(place: Place, lines: int) -> Answer:
    """Print the control plane's last log lines."""
    found = control.logs(place.directory, lines)
    return Answer({"lines": found}, found)


@local.command()
@JSON
@DRY
@click.pass_obj
def down(place: Place, dry_run: bool) -> Answer:
    """Stop everything and remove every container, the network and the state."""
    return would_take_down(place) if dry_run else taken_down(place)
