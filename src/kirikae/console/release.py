"""``kirikae release``: make a release, put it on the fleets, say what is where, and put the former
one back.

What each of these does stands in ``release/``; here it is asked for and shown.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import wraps
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from kirikae.aws.session import Aws
from kirikae.console.completion import RELEASES, SIDES
from kirikae.console.context import load_project, open_aws, open_store
from kirikae.console.here import NOTHING_TO_DO, Answer, Here, would
from kirikae.console.options import DRY, JSON, Number, Whole, seconds
from kirikae.console.progress import Progress, as_json
from kirikae.console.state import state_folder
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.project import Project
from kirikae.model.shown import clean
from kirikae.model.store import Store
from kirikae.release import deploy as deploying
from kirikae.release.ahead import Ahead, Around
from kirikae.release.definitions import FORMS
from kirikae.release.errors import RolledBack
from kirikae.release.fleet import NEW, OLD, Fleet, Tell
from kirikae.release.fleets import Fleets, fleets_of
from kirikae.release.ledger import Deployed, Ledger
from kirikae.release.lock import Lock
from kirikae.release.manifest import About, Releases, checked_id, git_commit, new_id, pack
from kirikae.release.scaling import Asked, Suspended, suspended
from kirikae.release.schema import asked
from kirikae.release.status import ServiceNow, Standing, standing

_ROLLED_BACK = "rolled back"
_LONGEST_S = 86400.0


@dataclass(frozen=True, slots=True)
class ReleaseDesk:
    """Everything at hand for the releases of one service."""

    project: Project
    aws: Aws
    ledger: Ledger
    lock: Lock
    fleets: Fleets
    around: Around
    suspended: Callable[[Sequence[str]], list[Suspended]] = field(default=lambda _: [])
    """What of the auto scaling of these fleets is suspended now."""

    def scaling(self, wanted: Asked) -> ReleaseDesk:
        """Its deploys change auto scaling, too."""
        return replace(self, fleets=replace(self.fleets, scaling=wanted))

    def of(self, sides: Iterable[str]) -> list[Fleet]:
        return [self.fleets.of(side) for side in sides]


def releases_of(here: Here, project: Project, store: Store) -> Releases:
    """Manifests are in the store, archives beside its file."""
    folder = state_folder(here, project) / "releases"
    return Releases(store, project.environment, project.service, folder)


def open_release_desk(here: Here, timeout_s: float, tell: Tell) -> ReleaseDesk:
    project = load_project(here)
    aws, who = open_aws(here, project)
    store = open_store(here, project, aws)
    ledger = Ledger(store, project.environment, project.service, who)
    releases = releases_of(here, project, store)
    around = Around(
        store,
        project.environment,
        project.service,
        who,
        releases,
        ledger,
        here.folder,
        here.environment,
        timeout_s,
        fleets_of(project, (OLD, NEW)),
    )
    fleets = Fleets(
        project,
        aws,
        releases,
        ledger,
        here.folder,
        here.environment,
        timeout_s,
        tell,
    )
    lock = Lock(store, project.environment, project.service)
    return ReleaseDesk(
        project,
        aws,
        ledger,
        lock,
        fleets,
        around,
        lambda sides: [suspended(aws, place) for place in fleets.places(sides)],
    )


# --- what the verbs answer


def created(
    here: Here,
    release_id: str | None,
    source: Path,
    dry_run: bool,
    about: About | None = None,
) -> Answer:
    """Pack the files of a folder, or say what would be packed; either way, what was left out."""
    here.assert_may_change("release create", dry_run)
    project = load_project(here)
    now = time.time()
    told = replace(
        about or About(), definitions=_hashes(here.folder / project.fleets.new.definitions)
    )
    chosen = checked_id(release_id) if release_id else new_id(source, now, told.name)
    Progress().step(f"packing {source}")
    packed = pack(source, own_files(here, project))
    left_out = {"left_out": [asdict(each) for each in packed.left_out]}
    remarks = [each.says for each in packed.left_out]
    if dry_run:
        size = len(packed.archive)
        return would(
            [f"would create {chosen}: {packed.files} files, {size} bytes packed", *remarks],
            {"id": chosen, "files": packed.files, "size": size, **left_out},
        )
    releases = releases_of(here, project, open_store(here, project))
    who = f"local user {getpass.getuser()}"
    made = releases.keep(chosen, packed, git_commit(source), who, now, told)
    line = f"{made.id}: {made.files} files, {made.size} bytes, sha256 {made.sha256[:12]}"
    return Answer({**asdict(made), **left_out}, [line, *remarks])


def _hashes(folder: Path) -> dict[str, str]:
    """Of the definition files, as they lie there."""
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    return {
        file.name: sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and file.suffix in (*FORMS, ".libsonnet")
    }


def own_files(here: Here, project: Project) -> list[Path]:
    """What kirikae keeps, wherever the project file puts it: no release may hold it."""
    state = state_folder(here, project)
    names = ["bundles", "releases", "survey.key"]
    if not project.store.startswith("s3://"):
        store = Path(project.store).name
        names += [store, f"{store}-journal"]
    if state.resolve() == here.folder.resolve():
        return [state / name for name in names]
    return [state, *(state / name for name in names)]


def deployed(desk: ReleaseDesk, release_id: str, sides: Sequence[str], dry_run: bool) -> Answer:
    """Put a release on these fleets, in this order, or say what would be done."""
    fleets = desk.of(sides)
    ahead = desk.around.ahead(release_id, sides)
    if dry_run:
        target = ahead.target(release_id)
        steps = deploying.steps(release_id, fleets)
        lines = [] if target is None else [f"would migrate the database to schema {target}"]
        lines += [f"would {step.says} ({step.operation})" for step in steps]
        found = would(
            lines,
            {
                "release": release_id,
                "steps": [step.to_plain() for step in steps],
                "schema": target,
                "hooks": ahead.hooks.there,
            },
        )
        return _with_suspended(found, desk, sides)
    ended = deploying.deploy(
        release_id, fleets, desk.ledger, desk.lock, lambda: ahead.do(release_id)
    )
    answer = _answer(ended, "{release} serves on the {fleet} fleet ({detail})")
    return _afterwards(_with_suspended(answer, desk, sides), ahead)


def _with_suspended(answer: Answer, desk: ReleaseDesk, sides: Sequence[str]) -> Answer:
    """However it ended, and whoever suspended it: auto scaling that does nothing is told."""
    found = desk.suspended(sides)
    told = [each.says for each in found if each.says]
    plain = {"auto_scaling": [each.to_plain() for each in found]}
    return replace(answer, plain={**answer.plain, **plain}, notes=[*answer.notes, *told])


def _afterwards(answer: Answer, ahead: Ahead) -> Answer:
    """The hook that is told how it went; what it says changes no outcome."""
    outcome = str(answer.to_plain()["outcome"])
    why = ahead.hooks.after(outcome)
    return replace(answer, notes=[*answer.notes, why]) if why else answer


def rolled_back(desk: ReleaseDesk, sides: Sequence[str], dry_run: bool) -> Answer:
    """Put the last good release back on these fleets, in this order, or say what that is."""
    # Asked first: where nothing ran before, nobody needs to say how it would be put back.
    deploying.targets(sides, desk.ledger)
    fleets = desk.of(sides)
    if dry_run:
        found = deploying.before(fleets, desk.ledger)
        lines = [f"would put back {found[side].says} on the {side} fleet" for side in sides]
        return would(lines, {"back_to": {side: found[side].release for side in sides}})
    back_to = [found.release for found in deploying.before(fleets, desk.ledger).values()]
    ahead = desk.around.ahead(back_to[0], sides)
    ended = deploying.roll_back(fleets, desk.ledger, desk.lock, lambda: ahead.go_back(back_to))
    answer = _answer(ended, "{release} serves on the {fleet} fleet again")
    return _afterwards(_with_suspended(answer, desk, sides), ahead)


def _answer(ended: deploying.Ended, line: str) -> Answer:
    """Each fleet that got there in a line, and why the last one did not."""
    plain = {"entries": [entry.to_plain() for entry in ended.entries]}
    if ended.trouble is None:
        return Answer(plain, [_filled(line, entry) for entry in ended.entries])
    stopped = ended.stopped
    return Answer(
        {
            **plain,
            "message": str(ended.trouble),
            "stopped": [task.to_plain() for task in stopped],
            "ending": ended.ending,
        },
        [_filled(line, entry) for entry in ended.entries[:-1]],
        ended.trouble.exit,
        _ROLLED_BACK if isinstance(ended.trouble, RolledBack) else "",
        [str(ended.trouble), *(line for task in stopped for line in task.lines())],
    )


def _filled(line: str, entry: Deployed) -> str:
    return line.format(release=entry.release, fleet=entry.fleet, detail=entry.detail_in_short)


def shown(standing: Standing) -> Answer:
    """The ledger, and what each member says it runs now."""
    lines = [_ledger_line(entry) for entry in standing.ledger]
    lines += [f"{url} reports {says}" for url, says in standing.hosts.items()]
    lines.append(_service_line("service", standing.service))
    lines += [_service_line(f"service {name}", now) for name, now in standing.further.items()]
    lines += [line for task in standing.stopped for line in task.lines()]
    return Answer(standing.to_plain(), lines)


def _ledger_line(entry: Deployed) -> str:
    """One line, whatever AWS wrote."""
    at = datetime.fromtimestamp(entry.at).strftime("%Y-%m-%d %H:%M:%S")
    outcome = f"{entry.outcome}, a rollback" if entry.rollback else entry.outcome
    detail = " ".join(entry.detail.split())
    return f"{entry.seq:4} {at} {entry.release:16} {entry.fleet:4} {outcome:12} {detail}"


def _service_line(name: str, service: ServiceNow | None) -> str:
    if service is None:
        return f"the new fleet has no active {name} yet"
    revision = service.task_definition.rpartition("/")[2]
    if not service.desired:
        return f"the {name} is set to {revision}, and its desired count is 0: nothing runs"
    return f"the {name} runs {revision}: {service.running} of {service.desired} tasks"


# --- the commands


def _sides(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    chosen = [side.strip() for side in value.split(",") if side.strip()]
    if not chosen or not {OLD, NEW}.issuperset(chosen) or len(set(chosen)) != len(chosen):
        raise click.BadParameter(
            f"{value!r}: name old, new, or both (old,new), in the order in which they shall change"
        )
    return chosen


_TO = click.option(
    "--to",
    "sides",
    shell_complete=SIDES,
    callback=_sides,
    required=True,
    help="old, new, or both in the order in which they shall change.",
)


def _names(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    found = [name.strip() for name in value.split(",") if name.strip()]
    if len(set(found)) != len(found):
        raise click.BadParameter(f"{value!r}: name each service once")
    return found


_SERVICE = click.option(
    "--service",
    "services",
    callback=_names,
    default="",
    metavar="NAME,...",
    help="Of the new fleet only these ECS services, in this order (default: all of them).",
)
_TIMEOUT = click.option(
    "--timeout",
    "timeout_s",
    type=Number(1, _LONGEST_S),
    default=600.0,
    show_default=True,
    help="Seconds to wait for each fleet.",
)


def _scaling(command: Callable[..., Answer]) -> Callable[..., Answer]:
    """The flags of ecspresso for auto scaling, as one ``scaling``."""

    @wraps(command)
    def given(
        *arguments: Any,
        suspends: bool,
        resumes: bool,
        least: int | None,
        most: int | None,
        **more: Any,
    ) -> Answer:
        if suspends and resumes:
            raise UsageProblem("--suspend-auto-scaling or --resume-auto-scaling, one of both")
        if least is not None and most is not None and least > most:
            raise UsageProblem(f"--auto-scaling-min {least} is more than --auto-scaling-max {most}")
        suspends_or_resumes = suspends if suspends or resumes else None
        return command(*arguments, scaling=Asked(suspends_or_resumes, least, most), **more)

    for option in reversed(_SCALING_OPTIONS):
        given = option(given)
    return given


_SCALING_OPTIONS = (
    click.option(
        "--suspend-auto-scaling",
        "suspends",
        is_flag=True,
        help="Of the ECS service, before it is updated; it stays suspended.",
    ),
    click.option(
        "--resume-auto-scaling",
        "resumes",
        is_flag=True,
        help="Lift whatever is suspended of it, before the service is updated.",
    ),
    click.option(
        "--auto-scaling-min",
        "least",
        type=click.IntRange(min=0),
        metavar="TASKS",
        help="The least tasks of its auto scaling from then on.",
    ),
    click.option(
        "--auto-scaling-max",
        "most",
        type=click.IntRange(min=0),
        metavar="TASKS",
        help="The most tasks of its auto scaling from then on.",
    ),
)


def _tell(text: str) -> None:
    """How it comes along, while the answer is still to come; in a pipe too, for CI's log."""
    if not as_json():
        click.echo(clean(text), err=True)


@click.group(cls=Whole)
def release() -> None:
    """Make a release, put it on both fleets under one ID, and put the former one back."""


@release.command()
@click.argument("release_id", required=False)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default=".",
    help="Folder of the release's files.",
)
@click.option(
    "--stretcher",
    "manifest",
    default=None,
    metavar="URL",
    help="Instead: the archive of a manifest of stretcher (s3://, http(s)://, file:// or a path).",
)
@click.option("--name", default="", help="Stands at the end of an ID that is made up.")
@click.option("--notes", default="", help="What it is for, kept with it.")
@click.option(
    "--reads-schema", "reads", default=None, help="Database schemas that it reads, such as 3-5."
)
@click.option(
    "--provides-schema",
    "provides",
    type=click.IntRange(min=0),
    default=None,
    help="The schema that `hooks/migrate` brings the database to before it is put anywhere.",
)
@JSON
@DRY
@click.pass_obj
def create(
    here: Here,
    release_id: str | None,
    source: Path,
    manifest: str | None,
    name: str,
    notes: str,
    reads: str | None,
    provides: int | None,
    dry_run: bool,
) -> Answer:
    """Pack the files of a folder under RELEASE_ID (default: time, git commit and name); a release
    never changes afterwards."""
    schema = asked(reads, provides)
    about = About(name, notes, None if schema is None else schema.to_plain())
    if manifest is not None:
        from kirikae.console.release_stretcher import created_from

        return created_from(here, release_id, manifest, dry_run, about)
    return created(here, release_id, source, dry_run, about)


@release.command()
@click.argument("release_id", shell_complete=RELEASES)
@_TO
@_SERVICE
@_TIMEOUT
@_scaling
@DRY
@JSON
@click.pass_obj
def deploy(
    here: Here,
    release_id: str,
    sides: list[str],
    services: list[str],
    timeout_s: float,
    scaling: Asked,
    dry_run: bool,
) -> Answer:
    """Put RELEASE_ID on the fleets, and wait until it really serves; run again after a crash, it
    goes on."""
    here.assert_may_change("release deploy", dry_run)
    checked_id(release_id)
    if scaling.anything and NEW not in sides:
        raise UsageProblem("auto scaling is the new fleet's: add `--to new`, or leave its flags")
    desk = open_release_desk(here, timeout_s, _tell).scaling(scaling)
    return deployed(desk, release_id, fleets_of(desk.project, sides, services), dry_run)


@release.command()
@_TO
@_SERVICE
@_TIMEOUT
@DRY
@JSON
@click.pass_obj
def rollback(
    here: Here, sides: list[str], services: list[str], timeout_s: float, dry_run: bool
) -> Answer:
    """Put the last release back that was done before, as the ledger has it."""
    here.assert_may_change("release rollback", dry_run)
    desk = open_release_desk(here, timeout_s, _tell)
    return rolled_back(desk, fleets_of(desk.project, sides, services), dry_run)


@release.command()
@click.option(
    "--at", default=None, metavar="TIME", help="What served then, such as 2026-11-28T14:05."
)
@JSON
@click.pass_obj
def status(here: Here, at: str | None) -> Answer:
    """What was deployed, and what each member says it runs now; or what served at a time."""
    desk = open_release_desk(here, 0, _tell)
    if at is not None:
        return served_at(desk.ledger, _moment(at), fleets_of(desk.project, (OLD, NEW)))
    found = _with_suspended(
        shown(standing(desk.project, desk.aws, desk.ledger)),
        desk,
        fleets_of(desk.project, (OLD, NEW)),
    )
    frozen = desk.around.freeze.now()
    if frozen is None:
        return found
    return replace(
        found, plain={**found.plain, "locked": frozen.to_plain()}, lines=[*found.lines, frozen.says]
    )


def _moment(at: str) -> float:
    """Without a zone it is this machine's."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError as error:
        raise UsageProblem(f"--at {at}: write a time, such as 2026-11-28T14:05") from error


def served_at(ledger: Ledger, moment: float, fleets: Sequence[str] = (OLD, NEW)) -> Answer:
    """By fleet, the last release that was done by then; None: the ledger knows none."""
    done = [entry for entry in ledger.all() if entry.at <= moment and entry.outcome == "done"]
    found = {side: next((e for e in reversed(done) if e.fleet == side), None) for side in fleets}
    plain = {side: None if entry is None else entry.to_plain() for side, entry in found.items()}
    lines = [
        f"{side}: {'nothing that the ledger knows' if entry is None else _ledger_line(entry)}"
        for side, entry in found.items()
    ]
    return Answer({"served": plain}, lines)


@release.command()
@click.option("--message", required=True, help="Why, for whoever wants to deploy meanwhile.")
@click.option("--for", "for_s", default="2h", show_default=True, callback=seconds, help="How long.")
@DRY
@JSON
@click.pass_obj
def lock(here: Here, message: str, for_s: float, dry_run: bool) -> Answer:
    """Let no release be put anywhere, until it ends or `release unlock`."""
    here.assert_may_change("release lock", dry_run)
    desk = open_release_desk(here, 0, _tell)
    if dry_run:
        return would([f"would lock {desk.project.service} for {for_s:.0f} s: {message}"])
    frozen = desk.around.freeze.take(desk.around.who, message, for_s)
    return Answer({"locked": frozen.to_plain()}, [frozen.says])


@release.command()
@click.option("--force", is_flag=True, help="Also somebody else's.")
@DRY
@JSON
@click.pass_obj
def unlock(here: Here, force: bool, dry_run: bool) -> Answer:
    """End a lock that a person took."""
    here.assert_may_change("release unlock", dry_run)
    desk = open_release_desk(here, 0, _tell)
    now = desk.around.freeze.now()
    if now is None:
        return Answer({"ended": None}, ["nobody has locked it"], Exit.DONE, NOTHING_TO_DO)
    if dry_run:
        return would([f"would end what {now.who} locked: {now.message}"])
    desk.around.freeze.end(desk.around.who, force)
    return Answer({"ended": now.to_plain()}, [f"ended: {now.message}"])


@release.command()
@click.option("--path", default=None, help="The plain folder (default: `current` in the root).")
@click.option("--undo", is_flag=True, help="Put the plain folder back where it lay.")
@DRY
@JSON
@click.pass_obj
def adopt(here: Here, path: str | None, undo: bool, dry_run: bool) -> Answer:
    """Make the plain folder that hosts serve from release 0, with a link in its place; what cannot
    be adopted is told before anything is changed."""
    from kirikae.console.release_adopt import adopted, given_back

    here.assert_may_change("release adopt", dry_run)
    desk = open_release_desk(here, 0, _tell)
    return given_back(desk, path, dry_run) if undo else adopted(desk, path, dry_run)


@release.command()
@click.option(
    "--part",
    type=click.Choice(["script", "conf", "unit"]),
    default="script",
    help="The script itself, its file of settings for these hosts, or a unit for systemd.",
)
@JSON
@click.pass_obj
def agent(here: Here, part: str) -> Answer:
    """Print the agent, a POSIX shell script by which a host fetches its releases itself.

    Put it there as /usr/local/bin/kirikae-agent, its settings as /etc/kirikae/agent.conf.
    """
    from kirikae.console.release_agent import printed

    return printed(load_project(here), part)
