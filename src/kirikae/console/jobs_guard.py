"""``kirikae jobs guard``, ``wrap``, ``unwrap``: the guard, and the reviewed edit of a crontab that
puts it before the jobs or takes it away."""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from kirikae.console.here import Answer, Here
from kirikae.console.jobs_options import DIALECT, NAME, SYSTEM, live, speech_of
from kirikae.console.options import DRY, JSON, LANG
from kirikae.hosts.files import create_durably, write_durably
from kirikae.jobs.errors import NoCrontab, NotReviewed
from kirikae.jobs.files import read, zone_of
from kirikae.jobs.tables import jobs_of
from kirikae.jobs.wrapping import GUARD, Edit, Manner, unwrapped, wrapped
from kirikae.model.crontab.fields import Dialect
from kirikae.model.errors import Exit
from kirikae.model.said import said

FILE = click.argument("file", type=click.Path(dir_okay=False))
HOST_ZONE = click.option(
    "--zone",
    required=True,
    help="The time zone that the host's cron runs in: with another one, guards would ask for other "
    "minutes.",
)
JOB = click.option(
    "--job",
    "only",
    multiple=True,
    help="Only this job, by its ID; repeatable.",
)
REVIEWED = click.option(
    "--reviewed",
    metavar="DIGEST",
    help="Write the edit with this digest, which was shown before.",
)


@click.command("guard")
@JSON
@click.pass_obj
def guard(here: Here) -> Answer:
    """Print the guard, a POSIX shell script: put it on the host as /usr/local/bin/kirikae-guard."""
    text = files("kirikae.jobs").joinpath("guard/kirikae-guard").read_text("utf-8")
    return Answer({"script": text}, text.splitlines())


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be done with an edit."""

    here: Here
    file: str
    verb: str
    reviewed: str | None
    dry_run: bool
    lang: str | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of ``wrap``, by their names."""

    file: str
    dialect: str
    zone: str
    system: bool | None
    name: str | None
    only: tuple[str, ...]
    guard: str
    conf: str
    unreachable: str | None
    reviewed: str | None
    dry_run: bool
    lang: str | None


@click.command("wrap")
@FILE
@DIALECT
@HOST_ZONE
@SYSTEM
@NAME
@JOB
@click.option(
    "--guard",
    default=GUARD,
    show_default=True,
    help="The guard's path on the host.",
)
@click.option(
    "--conf",
    default="",
    help="Where the guard finds the ledger, on the host.",
)
@click.option(
    "--unreachable",
    type=click.Choice(["open", "closed"]),
    default=None,
    help="Whether these jobs run while the ledger cannot be asked (default: as --conf says).",
)
@REVIEWED
@DRY
@LANG
@JSON
@click.pass_obj
def wrap(here: Here, /, **given: Any) -> Answer:
    """Put the guard before the jobs of the crontab FILE.

    Shows the diff and its digest; `--reviewed DIGEST` writes exactly that, and keeps the former
    file.  A file that cron ignores is refused.
    """
    asked = _Asked(**given)
    file = asked.file
    crontab = live(file, asked.dialect, asked.system, speech_of(here, asked.lang))
    zone = zone_of(asked.zone)
    jobs = jobs_of(crontab.table, crontab.text, asked.name or Path(file).name, zone, file)
    manner = Manner(asked.guard, asked.conf, frozenset(asked.only), asked.unreachable or "")
    _assert_known(asked.only, jobs.ids)
    edit = wrapped(crontab.text, crontab.table, jobs, manner)
    order = _Order(here, file, "wrap", asked.reviewed, asked.dry_run, asked.lang)
    return _carry_out(edit, order)


@click.command("unwrap")
@FILE
@DIALECT
@SYSTEM
@JOB
@REVIEWED
@DRY
@LANG
@JSON
@click.pass_obj
def unwrap(
    here: Here,
    file: str,
    dialect: str,
    system: bool | None,
    only: tuple[str, ...],
    reviewed: str | None,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """Take the guard away from the crontab FILE: every line as it was, to the byte.

    Shows the diff and its digest; `--reviewed DIGEST` writes exactly that.
    """
    crontab = read(file, Dialect(dialect), system)
    edit = unwrapped(crontab.text, crontab.table, frozenset(only))
    return _carry_out(edit, _Order(here, file, "unwrap", reviewed, dry_run, lang))


def _assert_known(only: tuple[str, ...], known: list[str]) -> None:
    for job in only:
        if job not in known:
            raise NoCrontab(f"there is no job {job!r} here; there are {', '.join(known[:20])}")


def _carry_out(edit: Edit, order: _Order) -> Answer:
    speech = speech_of(order.here, order.lang)
    left = [speech.say(said("jobs.wrap.left", line=each.line, why=each.why)) for each in edit.left]
    plain = _plain(edit, order.file)
    if edit.before == edit.after:
        nothing = said("jobs.wrap.nothing_to_do", file=order.file)
        return Answer(plain, [*left, speech.say(nothing)])
    diff = edit.diff(order.file)
    if order.dry_run or order.reviewed is None:
        review = speech.say(said("jobs.wrap.review", digest=edit.digest))
        outcome = "dry run" if order.dry_run else ""
        code = Exit.DONE if order.dry_run else Exit.WAITING
        return Answer({**plain, "diff": diff}, [*diff, *left, review], code, outcome)
    if order.reviewed != edit.digest:
        raise NotReviewed(speech.say(said("jobs.wrap.other", digest=order.reviewed)))
    order.here.assert_may_change(f"jobs {order.verb}")
    kept = str(_write(order.here, order.file, edit))
    told = said("jobs.wrap.written", file=order.file, n=len(edit.jobs), kept=kept)
    return Answer({**plain, "kept": kept}, [*diff, *left, speech.say(told)])


def _plain(edit: Edit, file: str) -> dict[str, Any]:
    left = [
        {"line": each.line, "text": each.text, "why": each.why.to_plain()} for each in edit.left
    ]
    return {"file": file, "jobs": list(edit.jobs), "left": left, "digest": edit.digest}


def _write(
    here: Here,
    file: str,
    edit: Edit,
) -> Path:
    """The former file is kept outside of cron's folders, where cron would run it, too."""
    path = Path(file).resolve()
    raw = path.read_bytes()
    if raw != edit.before.encode("utf-8", "surrogateescape"):
        raise NotReviewed(f"{file} has changed since it was read: look at the diff again")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = here.folder / f".kirikae/crontabs/{path.name}-{stamp}-{edit.digest}"
    create_durably(kept, raw)
    found = path.stat()
    # cron looks at owner and mode as soon as the file is there.
    owner = (found.st_uid, found.st_gid)
    write_durably(
        path,
        edit.after,
        stat.S_IMODE(found.st_mode),
        owner,
    )
    return kept
