"""``kirikae jobs write``: queue, ledger, schedulers, workers and their roles, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from kirikae.build.written import BESIDE, RECORD, State
from kirikae.console.build import Files, files_at
from kirikae.console.completion import MOVES
from kirikae.console.context import load_project, move_of
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, Answer, Here
from kirikae.console.jobs_options import speech_of
from kirikae.console.options import DRY, JSON, LANG
from kirikae.console.speech import Speech
from kirikae.jobs.errors import NoTable, NotAnswered
from kirikae.jobs.files import read_text, table_of, zone_of
from kirikae.jobs.making.files import notes, questions, texts
from kirikae.jobs.making.stack import Stack
from kirikae.jobs.settings import JobsMove
from kirikae.jobs.tables import jobs_of
from kirikae.jobs.wrapping import without_guards
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.said import Said, Words, said


def stack_of(here: Here, move: str) -> Stack:
    """Raises UsageProblem where the move is none of jobs, or has no ``new``; NoTable."""
    project = load_project(here)
    settings = move_of(here, project, move)
    if not isinstance(settings, JobsMove):
        raise UsageProblem(f"{move} is no move of jobs: `jobs write` is for `kind: jobs`")
    if settings.new is None:
        raise UsageProblem(
            f"moves.{move}.new is missing in {here.project_file}: it says what the schedulers' "
            "image is called, and how many workers there are; docs/how-to/jobs.md has an example"
        )
    path = str(here.folder / settings.crontab)
    text, table = without_guards(
        read_text(path), path, lambda text: table_of(path, text, settings.rules, settings.system)
    )
    if table.ignored:
        raise NoTable(f"{path}: cron ignores this file as a whole; `kirikae jobs lint` says why")
    zone = zone_of(settings.time_zone)
    jobs = jobs_of(table, text, settings.named, zone, settings.crontab)
    return Stack(project, move, settings, settings.new, jobs)


def written(here: Here, move: str, force: bool, dry_run: bool, speech: Speech) -> Answer:
    """Write what is not as it is planned, or say what would be written.  Raises NotAnswered."""
    here.assert_may_change("jobs write", dry_run)
    stack = stack_of(here, move)
    open_ones = questions(stack)
    if open_ones:
        told = "\n".join(f"- {speech.say(each)}" for each in open_ones)
        raise NotAnswered(f"{speech.say(said('jobs.write.questions'))}\n{told}")
    files = files_at(here.folder, texts(stack), here.folder / stack.folder / RECORD)
    over = files.over(force)
    aside = files.beside(force)
    if not dry_run:
        files.write(force)
        _runnable(here, stack)
    about = notes(stack)
    plain = {"files": dict(files.states), "beside": aside, "notes": _plain(about)}
    ends = Exit.FOUND if aside and not dry_run else Exit.DONE
    outcome = DRY_RUN if dry_run else "" if [*over, *aside] else NOTHING_TO_DO
    return Answer(plain, list(_lines(files, force, dry_run, speech, about)), ends, outcome)


def _runnable(here: Here, stack: Stack) -> None:
    script = here.folder / stack.folder / "create.sh"
    script.chmod(script.stat().st_mode | 0o111)


def _lines(
    files: Files, force: bool, dry_run: bool, speech: Speech, about: Sequence[Said]
) -> Iterator[str]:
    over = files.over(force)
    does = "jobs.write.would" if dry_run else "jobs.write.wrote"
    for path in over:
        yield speech.say(said(does, path=path, state=str(files.states[path])))
    for path in files.beside(force):
        beside = said("jobs.write.beside", path=path, new=f"{path}{BESIDE}")
        yield speech.say(said(does, path=f"{path}{BESIDE}", state="new"))
        yield speech.say(beside)
    yield speech.say(said("jobs.write.same", n=len(files.with_state(State.SAME))))
    for each in about:
        yield speech.say(each)


def _plain(about: Sequence[Said]) -> list[dict[str, object]]:
    english = Words.of("kirikae.jobs")
    return [{"says": each.to_plain(), "sentence": english.say(each)} for each in about]


@click.command("write")
@click.argument("move", shell_complete=MOVES)
@click.option("--force", is_flag=True, help="Also write over files that somebody has edited.")
@DRY
@LANG
@JSON
@click.pass_obj
def write(here: Here, move: str, force: bool, dry_run: bool, lang: str | None) -> Answer:
    """Write the new side of MOVE (`kind: jobs`): FIFO queue, dead-letter queue, ledger table,
    schedulers, workers, roles and alarms as JSON of AWS's own calls, Dockerfiles, and create.sh.

    Nothing is made in AWS.  The same project file and crontab give the same bytes; what somebody
    edited stays, and its new text is put beside it (exit code 6).
    """
    return written(here, move, force, dry_run, speech_of(here, lang))
