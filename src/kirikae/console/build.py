"""``kirikae build``: from the survey to images and definitions: plan, write, explain, secrets,
base, image, verify."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from kirikae.build.difference import difference
from kirikae.build.errors import CannotBuild
from kirikae.build.places import Place, Where
from kirikae.build.plan import Plan
from kirikae.build.written import BESIDE, RECORD, State, beside, record_of, states
from kirikae.console.acceptances import doubting, doubts
from kirikae.console.build_images import BaseOrder, ImageOrder, base_made, images_made, verified
from kirikae.console.build_planned import Planned, planned
from kirikae.console.completion import RELEASES
from kirikae.console.context import load_project
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, Answer, Here, refused
from kirikae.console.options import DRY, JSON, Whole
from kirikae.console.smoke import Smoke
from kirikae.console.speech import Speech
from kirikae.console.surveyed import today
from kirikae.hosts.files import write_durably
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.workload import Workload


def _doubting(here: Here, make: Callable[[], Answer]) -> Answer:
    """With what does not hold of the acceptances that the plan rests on: it may be the very reason
    of a refusal."""
    told = doubts(load_project(here), today())
    try:
        answer = make()
    except CannotBuild as error:
        answer = refused(error.exit, str(error))
    return doubting(answer, told, Speech(here.language()))


# --- files


@dataclass(frozen=True, slots=True)
class Files:
    """The planned files beside those that lie there."""

    folder: Path
    wanted: Mapping[str, str]
    states: Mapping[str, State]
    recorded: Mapping[str, str]
    record: Path
    there: Mapping[str, bytes] = field(default_factory=dict)

    def with_state(self, state: State) -> list[str]:
        """Paths of the planned files that are in this state, in the plan's order."""
        return [path for path, found in self.states.items() if found is state]

    def over(self, force: bool) -> list[str]:
        """Paths of what is not yet as it is planned; what somebody edited only where that is
        wanted."""
        left = (State.SAME,) if force else (State.SAME, State.EDITED)
        return [path for path, found in self.states.items() if found not in left]

    def beside(self, force: bool) -> list[str]:
        """Paths of edited files beside which the new text is put."""
        return [] if force else beside(self.wanted, self.states, self.recorded)

    def write(self, force: bool) -> None:
        """The record comes last: a file that was written and not recorded counts as edited."""
        for path in self.over(force):
            write_durably(self.folder / path, self.wanted[path])
        for path in self.beside(force):
            write_durably(self.folder / f"{path}{BESIDE}", self.wanted[path])
        record = record_of(self.wanted, self.recorded)
        write_durably(self.record, json.dumps(record, indent=1, sort_keys=True) + "\n")


def files_of(here: Here, made: Planned) -> Files:
    """Reads what lies there; nothing is written."""
    record = here.folder / made.project.build.folder / RECORD
    return files_at(here.folder, made.plan.files, record)


def files_at(folder: Path, wanted: Mapping[str, str], record: Path) -> Files:
    """``wanted``: texts by their paths from ``folder``.  Raises CannotBuild."""
    there = {path: _read(folder / path) for path in wanted if (folder / path).exists()}
    recorded = _recorded(record)
    found = states(wanted, there, recorded)
    return Files(folder, wanted, found, recorded, record, there)


def _read(file: Path) -> bytes:
    """Raises CannotBuild."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CannotBuild(
            f"{file} is in the way ({error.strerror}): a file of this name is to be written; move "
            "it, or name another folder in kirikae.yml"
        ) from error


def _recorded(record: Path) -> dict[str, str]:
    """What was written last time.  Raises CannotBuild."""
    if not record.exists():
        return {}
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CannotBuild(
            f"{record} cannot be read ({type(error).__name__}); put it back as git has it, or "
            "remove it: then every file counts as edited"
        ) from error


def shown_plan(here: Here) -> Answer:
    """What would be written; Exit.FOUND while something must be answered first."""
    made = planned(here)
    files = files_of(here, made)
    questions = made.questions
    notes = [note for note in made.plan.notes if note not in questions]
    counted = _counted(made.places[0].every())
    plain: dict[str, Any] = {
        "files": dict(files.states),
        "services": [_service(one) for one in made.workload.every],
        "size": made.plan.size.to_plain(),
        "notes": [*questions, *notes],
        "questions": questions,
        "left_out": dict(made.workload.left_out),
        "places": counted,
    }
    lines = [f"{state:8} {path}" for path, state in files.states.items()]
    lines += [_service_line(one) for one in made.workload.every]
    lines += [_size_line(made.plan), *(f"  {why}" for why in made.plan.size.why.splitlines())]
    lines.append("paths: " + ", ".join(f"{n} {where}" for where, n in counted.items()))
    lines += [f"left out: {name} ({why})" for name, why in made.workload.left_out.items()]
    lines += [f"QUESTION: {question}" for question in questions]
    lines += [f"note: {note}" for note in notes]
    return Answer(plain, lines, Exit.FOUND if questions else Exit.DONE)


def _counted(places: Iterable[Place]) -> dict[str, int]:
    """How many paths go where."""
    return dict(sorted(Counter(place.place.value for place in places).items()))


def _service(one: Workload) -> dict[str, str]:
    return {
        "name": one.name,
        "unit": one.unit,
        "runtime": one.runtime.name,
        "runs": one.runs.value,
        "image": one.image,
    }


def _service_line(one: Workload) -> str:
    return f"service: {one.name} is {one.unit} ({one.runtime.name}), runs {one.runs}"


def _size_line(plan: Plan) -> str:
    """One line for people; ``to_plain`` of the size is for machines."""
    return f"task size: {plan.size.cpu} CPU units, {plan.size.memory} MiB"


def written(here: Here, force: bool, dry_run: bool) -> Answer:
    """Write what is not as it is planned, or say what would be written; the new text of what
    somebody edited is put beside it (Exit.FOUND).  Raises CannotBuild."""
    here.assert_may_change("build write", dry_run)
    made = planned(here)
    files = files_of(here, made)
    _assert_answered(made)
    over = files.over(force)
    aside = files.beside(force)
    if not dry_run:
        files.write(force)
    does = "would write" if dry_run else "wrote"
    lines = [f"{does} {path} ({files.states[path]})" for path in over]
    lines += [
        f"{does} {path}{BESIDE}: somebody edited {path}; take over what you want of it (`diff "
        f"{path} {path}{BESIDE}`), or use --force"
        for path in aside
    ]
    for path in (*over, *aside):
        lines += _shown_difference(files, path)
    same = files.with_state(State.SAME)
    lines.append(f"{len(same)} files are as they were; {_size_line(made.plan)}")
    kept = [path for path in files.with_state(State.EDITED) if path not in (*over, *aside)]
    lines += [f"{path} is as somebody edited it; its plan has not changed" for path in kept]
    lines += [f"note: {note}" for note in made.plan.notes]
    plain = {"files": dict(files.states), "beside": aside, "notes": list(made.plan.notes)}
    ends = Exit.FOUND if aside and not dry_run else Exit.DONE
    return Answer(plain, lines, ends, _outcome(dry_run, [*over, *aside]))


def _shown_difference(files: Files, path: str) -> list[str]:
    """What changes in a file that lies there; of a new one nothing."""
    before = files.there.get(path)
    return [] if before is None else difference(path, before, files.wanted[path])


def _outcome(dry_run: bool, to_write: Sequence[str]) -> str:
    """Empty: what the exit code says."""
    if dry_run:
        return DRY_RUN
    return "" if to_write else NOTHING_TO_DO


def _assert_answered(made: Planned) -> None:
    """Raises CannotBuild, before the first file is written, while a question is open."""
    questions = made.questions
    if questions:
        raise CannotBuild(
            "nothing was written; these must be answered first:\n"
            + "\n".join(f"- {question}" for question in questions),
        )


def explained(here: Here, path: str) -> Answer:
    """Where a path of the hosts goes; Exit.FOUND where no rule knows.  Raises UsageProblem."""
    if not path.startswith("/"):
        raise UsageProblem(f"{path!r} is not an absolute path; name one of the hosts")
    place = planned(here).places[0].place(path.rstrip("/") or "/")
    known = place.place is not Where.UNPLACED
    return Answer(
        place.to_plain(),
        [f"{place.place}: {place.reason}"],
        Exit.DONE if known else Exit.FOUND,
    )


# --- secrets


def secrets_planned(here: Here) -> Answer:
    """Each secret by its name: where it lies on the hosts, and where tasks expect it."""
    found = planned(here).plan
    rows = found.secrets
    lines = [f"{row.name}: {row.lies or 'kirikae.yml'} -> {row.place}" for row in rows]
    folder = load_project(here).build.folder.rstrip("/")
    if rows:
        lines.append(
            f"`sh {folder}/put-secrets.sh` puts the values from a host into the store; nobody sees "
            "them (DRY_RUN=1 only counts their bytes)"
        )
    elif not found.secrets_left:
        lines.append("no secret was found")
    lines += [f"{name}: no task is given it: {why}" for name, why in found.secrets_left]
    left = [{"name": name, "why": why} for name, why in found.secrets_left]
    return Answer({"secrets": [row.to_plain() for row in rows], "left_out": left}, lines)


# --- the commands


@click.group(cls=Whole)
def build() -> None:
    """Make images and definitions from what the survey found."""


@build.command()
@JSON
@click.pass_obj
def plan(here: Here) -> Answer:
    """Show what `build write` would write, the task's size, what is left out, and what must be
    answered first."""
    return _doubting(here, lambda: shown_plan(here))


@build.command()
@click.option("--force", is_flag=True, help="Also write over files that somebody has edited.")
@DRY
@JSON
@click.pass_obj
def write(here: Here, force: bool, dry_run: bool) -> Answer:
    """Write Dockerfiles, .dockerignore, definitions, sidecar and sizes; the same survey gives the
    same bytes.  What somebody edited stays, and its new text is put beside it (exit code 6)."""
    return _doubting(here, lambda: written(here, force, dry_run))


@build.command()
@click.argument("path")
@JSON
@click.pass_obj
def explain(here: Here, path: str) -> Answer:
    """Say where PATH of the hosts goes (base, app, web or nowhere) and why (exit code 6: no rule
    knows)."""
    return explained(here, path)


@build.command()
@JSON
@click.pass_obj
def secrets(here: Here) -> Answer:
    """Name every secret: where it lies on the hosts and where tasks expect it; no value is
    read."""
    return secrets_planned(here)


_DISTRIBUTION = click.option(
    "--distribution",
    default=None,
    help="Image that the base storey begins with, instead of the Dockerfile's.",
)


@build.command()
@click.argument("release_id", required=False, default="", shell_complete=RELEASES)
@_DISTRIBUTION
@click.option("--repository", default=None, help="Push to REPOSITORY-base, and name its digest.")
@click.option(
    "--if-stale", is_flag=True, help="Build only what was not built from these inputs already."
)
@DRY
@JSON
@click.pass_obj
def base(
    here: Here,
    release_id: str,
    distribution: str | None,
    repository: str | None,
    if_stale: bool,
    dry_run: bool,
) -> Answer:
    """Build the base storey alone, with the language packages that RELEASE_ID locks: every night,
    or before a release whose locks have changed."""
    return base_made(here, BaseOrder(release_id, distribution, repository, if_stale), dry_run)


@build.command()
@click.argument("release_id", shell_complete=RELEASES)
@_DISTRIBUTION
@click.option(
    "--base",
    "base_reference",
    default=None,
    help="A base storey that is there already (`build base`); refused if its locks do not fit.",
)
@click.option(
    "--repository",
    default=None,
    help="Push to REPOSITORY-app and REPOSITORY-web, and use their digests.",
)
@click.option(
    "--cache-from",
    "former",
    default=None,
    metavar="RELEASE_ID",
    help="A release whose images take part: layers that have not changed are its layers, and are "
    "not pushed again (for machines that begin empty, as in CI).",
)
@DRY
@JSON
@click.pass_obj
def image(
    here: Here,
    release_id: str,
    distribution: str | None,
    base_reference: str | None,
    repository: str | None,
    former: str | None,
    dry_run: bool,
) -> Answer:
    """Build the images of RELEASE_ID: the base storey if its inputs changed, then each service and
    web; named by digest, or by image ID."""
    order = ImageOrder(release_id, distribution, repository, base_reference, former)
    return images_made(here, order, dry_run)


@build.command()
@click.argument("release_id", shell_complete=RELEASES)
@click.option(
    "--smoke",
    is_flag=True,
    help="Also run them on the container engine, ask the project file's checks, and name every "
    "write outside of what is declared.",
)
@click.option(
    "--env",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --smoke: a value for the containers, such as a secret's stand-in.",
)
@click.option("--network", default=None, help="With --smoke: the engine's network to run in.")
@JSON
@click.pass_obj
def verify(
    here: Here,
    release_id: str,
    smoke: bool,
    given: tuple[str, ...],
    network: str | None,
) -> Answer:
    """Look into the images of RELEASE_ID for what must not be there: state, secrets, setuid bits
    (exit code 6: found)."""
    return verified(here, release_id, Smoke(given, network) if smoke else None)
