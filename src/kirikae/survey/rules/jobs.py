"""What cron runs on the host, and what its lines mean besides what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kirikae.model.bundle import Line, Text
from kirikae.survey.catalogue import Findings, configured, present
from kirikae.survey.paths import under
from kirikae.survey.view import View

_FOLDERS = ("/etc/crontab", "/etc/cron.d", "/var/spool/cron")
_JOB = re.compile(r"^\s*(@\w+|(?:[\d*/,A-Za-z-]+\s+){4}[\d*/,A-Za-z-]+)\s+(.*)$")
_TIME = re.compile(r"[\d*@]")
"""How a time begins: a comment of six words is no job that somebody switched off."""
_OF_THE_SYSTEM = re.compile(
    r"run-parts|/etc/cron\.|e2scrub|debian-sa1|anacron|phpsessionclean|sessionclean|mdadm"
    r"|certbot -q|popularity|sysstat|ntpsec|exim4",
)
_NOTATION = re.compile(r"%|@reboot|\$\(|`")
_VARIABLE = re.compile(r"\s*(SHELL|PATH|MAILTO|CRON_TZ|HOME)\s*=")
_EVERY_SO_OFTEN = re.compile(r"\*|@|\S+\s+\*\s")
"""Each minute, each hour, or by a name: no time of a day."""


@dataclass(frozen=True, slots=True)
class Crontab:
    """``jobs``: the lines that somebody wrote; ``dead``: those that somebody switched off."""

    text: Text
    jobs: tuple[Line, ...]
    dead: tuple[Line, ...]

    @property
    def path(self) -> str:
        """Of the crontab."""
        return self.text.path

    @property
    def variables(self) -> list[Line]:
        """Lines that set something for all jobs below them (crontab(5))."""
        return [line for line in self.text.live() if _VARIABLE.match(line.text)]


def crontabs(view: View) -> Iterator[Crontab]:
    """Those that belong to no package."""
    for text in view.bundle.texts:
        if under(text.path, _FOLDERS) and view.bundle.owner(text.path) is None:
            yield _crontab(text)


def _crontab(text: Text) -> Crontab:
    """A crontab, its jobs told from those that are switched off."""
    jobs: list[Line] = []
    dead: list[Line] = []
    for line in filter(_is_job, text.numbered()):
        part = dead if _commented(line) else jobs
        part.append(line)
    return Crontab(text, tuple(jobs), tuple(dead))


def _commented(line: Line) -> bool:
    """Is it switched off?"""
    return line.text.lstrip().startswith("#")


def _is_job(line: Line) -> bool:
    """Does the line, switched off or not, run something of somebody's own?"""
    said = line.text.lstrip()
    if not _JOB.match(said.lstrip("#")) or _OF_THE_SYSTEM.search(said):
        return False
    return not _commented(line) or bool(_TIME.match(said.lstrip("# \t")))


def jobs(view: View) -> Findings:
    """They stay on this host until a move of jobs takes them over."""
    for crontab in _with_jobs(view):
        many = len(crontab.jobs)
        yield present(
            "JB01",
            where=crontab.path,
            says=f"{many} jobs in {crontab.path}",
            evidence=view.quotes(crontab.jobs),
            count=many,
        )


def _with_jobs(view: View) -> Iterator[Crontab]:
    """Crontabs in which somebody's job is live."""
    for crontab in crontabs(view):
        if crontab.jobs:
            yield crontab


def switched_off(view: View) -> Findings:
    """Nobody runs them; they are left behind."""
    for crontab in crontabs(view):
        many = len(crontab.dead)
        if many:
            yield present(
                "JB03",
                where=crontab.path,
                says=f"{many} lines of {crontab.path} are commented out",
                evidence=view.quotes(crontab.dead),
                count=many,
            )


def own_notation(view: View) -> Findings:
    """A scheduler that is not cron knows none of it."""
    for crontab in _with_jobs(view):
        lines = [line for line in crontab.jobs if _NOTATION.search(line.text)]
        lines += crontab.variables
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
        named = [line for line in crontab.variables if line.text.strip().startswith("MAILTO")]
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
    _Sign("ST09", "a lock file keeps runs of a job apart", re.compile(r"flock|lockfile|\.lock\b")),
    _Sign("JB07", "a job throws its output away", re.compile(r">\s*/dev/null")),
    _Sign(
        "ML01",
        "a job sends mail through the host",
        re.compile(r"sendmail|\bmail\b|mailx|mutt"),
        blocks=(),
    ),
    _Sign("JB13", "a job makes a backup", re.compile(r"dump|backup|rsync|tar c")),
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
                    says=f"{sign.says} ({len(lines)} lines)",
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
                says=f"{len(timed)} jobs are due at times of {zone}",
                evidence=view.quotes(timed),
                count=len(timed),
            )


RULES = (
    jobs,
    switched_off,
    own_notation,
    told_by_mail,
    signs,
    local_times,
)
