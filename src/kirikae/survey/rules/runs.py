"""What a run of a job meets: its own former run, files of a neighbour, a second try."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from kirikae.model.bundle import Process
from kirikae.survey.beside import leaves
from kirikae.survey.catalogue import Findings, configured, observed, present
from kirikae.survey.counted import counted
from kirikae.survey.paths import parent_of, under
from kirikae.survey.roots import roots
from kirikae.survey.schedules import Job
from kirikae.survey.view import View

_CRON_UNITS = ("cron.service", "crond.service", "cronie.service")
_FIELDS = re.compile(r"\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s")
_STEP = re.compile(r"(\*|\d+-\d+)/(\d+)$")
_PATH = re.compile(r"/(?:srv|opt|home|var|data|app|usr/local|mnt)/[\w./@-]+")
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400
_NOTICE_S = 120
"""A task on Spot capacity is told so long before it is taken away."""
_NOT_TWICE = re.compile(
    r"(^|[/_.\s:-])(bill(ing)?|invoices?|charge[sd]?|payments?|payouts?|settle(ment)?|subscription"
    r"|send|mail(er|ing|s)?|newsletters?|notif(y|ier|ications?)|remind(er|ers)?|sms|tweets?"
    r"|import(er|s)?|ingest|transfers?|ship(ping)?|renew(al|als)?|points?|coupons?"
    r"|accounting|closing|seikyu|kessai)([/_.:\s-]|$)",
    re.IGNORECASE,
)
_OF_NO_EFFECT = re.compile(r"\b(certbot|renew-hook|acme\.sh|logrotate|sendmail -q|MAILTO)\b")
_SHOWN = 8


def gap_s(line: str) -> int | None:
    """The least time between two runs of a line of cron, as far as its first two fields tell; None
    for what is no such line."""
    match = _FIELDS.match(line)
    if match is None or not re.fullmatch(r"[\d*/,-]+", match[1] + match[2]):
        return None
    minute = match[1]
    hour = match[2]
    step = _STEP.match(minute)
    if minute == "*" or step:
        return _MINUTE_S * (int(step[2]) if step else 1)
    if "," in minute:
        return _closest(minute) * _MINUTE_S
    return _HOUR_S if hour == "*" or "/" in hour else _DAY_S


def _closest(minutes: str) -> int:
    """Between two minutes of a list; a range counts by its ends."""
    numbers = sorted(int(each) for each in re.findall(r"\d+", minutes))
    gaps = [later - sooner for sooner, later in pairwise(numbers)]
    return max(1, min(gaps, default=_MINUTE_S))


def _running(view: View) -> Iterator[tuple[Job, Process, int]]:
    """Jobs of cron that run at this moment, the process, and for how long it has."""
    processes = [each for each in view.bundle.processes if each.unit in _CRON_UNITS]
    for job in view.schedules.jobs:
        paths = _PATH.findall(job.says)
        for process in processes:
            age = view.elapsed_s(process.began)
            named = any(path in process.command for path in paths[:1])
            if named and age is not None and process.parent not in _same(processes, process):
                yield job, process, age
                break


def _same(processes: list[Process], process: Process) -> set[int]:
    """Processes with the same words, such as the shell around a program."""
    return {each.pid for each in processes if each.command in process.command and each != process}


def overlaps(view: View) -> Findings:
    """A run that lasts longer than the time to the next one meets it."""
    for job, process, age in _running(view):
        gap = gap_s(job.says)
        if gap is not None and age > gap:
            yield observed(
                "JB05",
                where=job.line.at,
                says=f"a run has lasted {age} s, and the next one is due after {gap} s",
                evidence=[
                    view.quote(job.line),
                    view.trace(f"/proc/{process.pid}", process.command),
                ],
            )


def reads_what_others_write(view: View) -> Findings:
    """In a task of its own a job finds an empty folder there.  What it writes itself is not
    meant."""
    kept = [root for root in roots(view) if root.kind not in ("log", "cache") and root.services]
    for job in view.schedules.jobs:
        for path in dict.fromkeys(_read(job.says)):
            root = next((each for each in kept if under(path.rstrip("/"), [each.path])), None)
            if root is not None:
                who = " or ".join(root.services)
                writes = "writes" if root.seen else "may write"
                yield present(
                    "JB08",
                    where=job.line.at if job.line.number else job.where,
                    says=f"a job works on {path}, which {who} {writes}",
                    evidence=[view.quote(job.line), view.trace(root.path, root.why)],
                )
                break


def _read(line: str) -> Iterator[str]:
    """Paths that a job names, and does not only write to; of a name that is made anew each time
    its folder."""
    written = [match.span() for match, _ in leaves(line)]
    for match in _PATH.finditer(line):
        if any(begin <= match.start() < end for begin, end in written):
            continue
        made_anew = line[match.end() : match.end() + 1] in ("$", "`")
        yield parent_of(match[0]) if made_anew else match[0]


def not_twice(view: View) -> Findings:
    """Queues deliver at least once, and a task may be taken away in the middle."""
    lines = [job.line for job in view.schedules.jobs if _harms_twice(job)]
    if lines:
        yield configured(
            "JB09",
            where="jobs",
            says=(
                f"names of {counted(len(lines), 'job', 'jobs')} speak of sending, charging or "
                "importing"
            ),
            evidence=view.quotes(lines[:_SHOWN]),
            count=len(lines),
        )
    for job, process, age in _running(view):
        if age > _NOTICE_S:
            yield observed(
                "JB09",
                where=job.line.at,
                says=f"a run has lasted {age} s and is not over",
                evidence=[
                    view.quote(job.line),
                    view.trace(f"/proc/{process.pid}", process.command),
                ],
            )


def _harms_twice(job: Job) -> bool:
    """By the words of its command: a question, not a proof."""
    match = _FIELDS.match(job.says)
    command = job.says[match.end() :] if match else job.says
    command = re.split(r"\s\d?>", command)[0]
    # A folder says what the whole service does, and not this job.
    command = re.sub(r"/\S*/", "/", command)
    return bool(_NOT_TWICE.search(command)) and not _OF_NO_EFFECT.search(command)


RULES = (
    overlaps,
    reads_what_others_write,
    not_twice,
)
