"""What runs by time on the host, and what its lines mean besides what they say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from kirikae.model.bundle import Line, Text
from kirikae.survey.catalogue import Findings, configured, observed, present
from kirikae.survey.counted import counted
from kirikae.survey.paths import name_of, under
from kirikae.survey.schedules import Crontab, Job
from kirikae.survey.view import View

_BY_THE_APPLICATION = re.compile(
    r"schedule:(run|work)|cron:run|cron\.php|wp-cron|\bwp cron|drush .*cron|runcrons"
    r"|celery\b.* beat"
    r"|\bwhile\s+(true|:|sleep\b).*\bsleep\b|\bwatch\s+-n"
    r"|celery\b.* -B|clockwork|resque-scheduler|rqscheduler|sidekiq|supercronic|rake .*schedul",
)
_REQUIREMENTS = re.compile(r"/(requirements[^/]*\.txt|package\.json|Gemfile|composer\.json)$")
_LIBRARIES = re.compile(
    r"[\"'\s](node-cron|node-schedule|cron|agenda|bree|bullmq?|whenever|sidekiq-(cron|scheduler)"
    r"|rufus-scheduler|clockwork|resque-scheduler|good_job)[\"']\s*[:,]?"
    r"|^\s*(django-(crontab|celery-beat|apscheduler|q2?)|apscheduler|schedule|huey|rq-scheduler)\b",
    re.IGNORECASE,
)
_CRON = re.compile(r"(crond?|anacron|fcron|bcron-\w+|cronie|busybox)$")
_NOTATION = re.compile(r"%|@reboot|\$\(|`")
_VARIABLE = re.compile(r"\s*(SHELL|PATH|MAILTO|CRON_TZ|HOME)\s*=")
_EVERY_SO_OFTEN = re.compile(r"\*|@|\S+\s+\*\s")
"""Each minute, each hour, or by a name: no time of a day."""


def _with_jobs(view: View) -> Iterator[Crontab]:
    """Crontabs in which a job is live."""
    for crontab in view.schedules.crontabs:
        if crontab.jobs:
            yield crontab


def jobs(view: View) -> Findings:
    """They stay on this host until a move of jobs takes them over."""
    by_place: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in view.schedules.jobs:
        by_place[job.where, job.package].append(job)
    for (where, package), found in by_place.items():
        many = len(found)
        of = f" (of package {package})" if package else ""
        yield present(
            "JB01",
            where=where,
            says=f"{counted(many, 'job', 'jobs')} in {where}{of}",
            evidence=view.quotes(job.line for job in found),
            count=many,
        )


def never_run(view: View) -> Findings:
    """They look like jobs; whoever moved them would bring them to life."""
    for dead in view.schedules.dead:
        yield present(
            "JB15",
            where=dead.where,
            says=f"{dead.where} is never run: {dead.why}",
            evidence=view.quotes(dead.lines),
            count=len(dead.lines),
        )


def _program(exe: str, command: str) -> str:
    """Whose file may not be read, as those of root without root, is told by its first word."""
    words = command.split()
    return name_of(exe or (words[0] if words else ""))


def nothing_runs_cron(view: View) -> Findings:
    """Where processes were seen, and none of them reads crontabs."""
    programs = {_program(process.exe, process.command) for process in view.bundle.processes}
    seen = any(_CRON.match(program) for program in programs)
    files = list(_with_jobs(view))
    if files and programs and not seen:
        yield observed(
            "JB15",
            where="cron",
            says=f"no cron runs here: nothing in {counted(len(files), 'file', 'files')} runs",
            evidence=(
                view.trace(each.path, counted(len(each.jobs), "job", "jobs")) for each in files
            ),
            count=len(files),
        )


def left_to_timers(view: View) -> Findings:
    """The same job twice: whoever counts both runs it twice."""
    for crontab in view.schedules.crontabs:
        if crontab.doubles:
            lines = counted(len(crontab.doubles), "line", "lines")
            yield present(
                "JB02",
                where=crontab.path,
                says=f"{lines} of {crontab.path} left to systemd",
                evidence=view.quotes(crontab.doubles),
                count=len(crontab.doubles),
            )


def switched_off(view: View) -> Findings:
    """Nobody runs them; they are left behind."""
    for crontab in view.schedules.crontabs:
        many = len(crontab.dead)
        if many:
            yield present(
                "JB03",
                where=crontab.path,
                says=f"{many} lines of {crontab.path} are commented out",
                evidence=view.quotes(crontab.dead),
                count=many,
            )


def of_the_machine(view: View) -> Findings:
    """A container has no machine to keep house for."""
    lines = view.schedules.housekeeping
    if lines:
        yield present(
            "JB11",
            where="housekeeping",
            says=f"{counted(len(lines), 'job keeps', 'jobs keep')} house for the machine alone",
            evidence=view.quotes(lines),
            count=len(lines),
        )


def waiting_once(view: View) -> Findings:
    """Jobs of `at`: lost with the host."""
    waiting = view.schedules.waiting
    if waiting:
        yield present(
            "JB14",
            where="at",
            says=f"{counted(len(waiting), 'job', 'jobs')} of `at`, not run yet",
            evidence=(view.trace(text.path, _last_line(text)) for text in waiting),
            count=len(waiting),
        )


def _last_line(text: Text) -> str:
    """The environment stands before the command."""
    return next((line for line in reversed(text.lines) if line.strip()), "")


def schedulers_of_applications(view: View) -> Findings:
    """What they run stands in their code, and in no crontab."""
    lines = [job.line for job in view.schedules.jobs]
    lines += [
        Line(
            unit.name,
            0,
            unit.command,
        )
        for unit in view.bundle.units
        if unit.command
    ]
    for line in lines:
        if _BY_THE_APPLICATION.search(line.text):
            yield configured(
                "JB16",
                where=line.at if line.number else line.path,
                says="an application decides itself what is due",
                evidence=[view.quote(line)],
            )
    for line in _named_libraries(view):
        yield configured(
            "JB16",
            where=line.at,
            says="the application can run jobs by itself",
            evidence=[view.quote(line)],
        )


def _named_libraries(view: View) -> Iterator[Line]:
    """In lists of what the code needs."""
    for text in view.bundle.texts:
        if _REQUIREMENTS.search(text.path) and not under(text.path, view.former_releases):
            for line in text.live():
                if _LIBRARIES.search(line.text):
                    yield line


def own_notation(view: View) -> Findings:
    """A scheduler that is not cron knows none of it."""
    for crontab in _with_jobs(view):
        lines = [line for line in crontab.jobs if _NOTATION.search(line.text)]
        lines += [line for line in crontab.settings if _VARIABLE.match(line.text)]
        if lines:
            yield configured(
                "JB06",
                where=crontab.path,
                says=f"{crontab.path} uses cron's own notation",
                evidence=view.quotes(lines),
            )


def told_by_mail(view: View) -> Findings:
    """It is somebody's alarm."""
    for crontab in _with_jobs(view):
        named = [line for line in crontab.settings if line.text.strip().startswith("MAILTO")]
        if named:
            who = named[0].text.strip().partition("=")[2]
            yield configured(
                "ML06",
                where=crontab.path,
                says=f"whoever reads {who} is told by mail when a job prints",
                evidence=view.quotes(named),
            )


class _Sign(NamedTuple):
    """``blocks``: None for what the catalogue says."""

    code: str
    says: str
    pattern: re.Pattern[str]
    blocks: tuple[str, ...] | None = None


_SIGNS = (
    _Sign(
        "ST09",
        "a lock file keeps runs of a job apart",
        re.compile(r"flock|lockfile|\.lock\b"),
    ),
    _Sign(
        "JB07",
        "a job throws its output away",
        re.compile(r">\s*/dev/null"),
    ),
    _Sign(
        "ML01",
        "a job sends mail through the host",
        re.compile(r"sendmail|\bmail\b|mailx|mutt"),
        blocks=(),
    ),
    _Sign(
        "JB13",
        "a job makes a backup",
        re.compile(r"dump|backup|rsync|tar c"),
    ),
    _Sign(
        "JB12",
        "a job calls another host",
        re.compile(r"\b(ssh|scp|sftp)\s|rsync\b.*\S:"),
    ),
)


def signs(view: View) -> Findings:
    """One finding a sign and crontab, with all lines."""
    for crontab in _with_jobs(view):
        for sign in _SIGNS:
            lines = [line for line in crontab.jobs if sign.pattern.search(line.text)]
            if lines:
                yield configured(
                    sign.code,
                    where=crontab.path,
                    says=f"{sign.says} ({counted(len(lines), 'line', 'lines')})",
                    evidence=view.quotes(lines),
                    blocks=sign.blocks,
                    count=len(lines),
                )


def local_times(view: View) -> Findings:
    """Schedules elsewhere are in UTC unless they name a zone."""
    zone = view.bundle.zone
    if not zone or "UTC" in zone:
        return
    for crontab in _with_jobs(view):
        timed = [line for line in crontab.jobs if not _EVERY_SO_OFTEN.match(line.text.strip())]
        if timed:
            yield configured(
                "JB10",
                where=crontab.path,
                says=f"{counted(len(timed), 'job is', 'jobs are')} due at times of {zone}",
                evidence=view.quotes(timed),
                count=len(timed),
            )


RULES = (
    jobs,
    never_run,
    nothing_runs_cron,
    left_to_timers,
    switched_off,
    of_the_machine,
    waiting_once,
    schedulers_of_applications,
    own_notation,
    told_by_mail,
    signs,
    local_times,
)
