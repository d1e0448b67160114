"""What the verbs of ``kirikae jobs`` that read crontabs have in common."""

from __future__ import annotations

import click

from kirikae.console.here import Here
from kirikae.console.speech import Speech
from kirikae.jobs.errors import NoCrontab
from kirikae.jobs.files import Crontab, read
from kirikae.model.crontab.fields import Dialect
from kirikae.model.said import said, words_of

FILE = click.argument("file", type=click.Path(allow_dash=True))
DIALECT = click.option(
    "--dialect",
    type=click.Choice([str(each) for each in Dialect]),
    default=str(Dialect.DEBIAN),
    show_default=True,
    help="Whose rules count: Debian's and Ubuntu's cron, or cronie (RHEL, Amazon Linux).",
)
AWS = "aws"
ANY_DIALECT = click.option(
    "--dialect",
    type=click.Choice([*(str(each) for each in Dialect), AWS]),
    default=str(Dialect.DEBIAN),
    show_default=True,
    help="Whose rules count; aws: lines of cron(...), rate(...) or at(...) and a command.",
)
ZONE = click.option(
    "--zone", default="UTC", show_default=True, help="The time zone that cron runs in."
)
SYSTEM = click.option(
    "--system/--user",
    "system",
    default=None,
    help="With a column of users, or without (default: by the file's place).",
)
NAME = click.option(
    "--name",
    help="The crontab's name, as the schedulers know it: IDs of jobs begin with it (default: the "
    "file's).",
)


def speech_of(here: Here, lang: str | None) -> Speech:
    """With the words of the room ``jobs``."""
    common = Speech(here.language(lang))
    return Speech(common.language, words=common.words.plus(words_of("kirikae.jobs")))


def live(file: str, dialect: str, system: bool | None, speech: Speech) -> Crontab:
    """One that cron reads.  Raises NoCrontab for one that it passes over, with the reason."""
    crontab = read(file, Dialect(dialect), system)
    if crontab.unread:
        raise NoCrontab(speech.say(said("jobs.wrap.unread", file=file)))
    if crontab.table.ignored:
        lines = [fault.line for fault in crontab.table.faults]
        raise NoCrontab(speech.say(said("jobs.wrap.ignored", file=file, lines=lines)))
    if crontab.users:
        raise NoCrontab(speech.say(said("jobs.wrap.users", file=file, line=crontab.users[0])))
    return crontab
