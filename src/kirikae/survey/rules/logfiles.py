"""Logs as they lie there: who else reads them, what stands in them, how much it is a day."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from kirikae.model.bundle import Line, Log
from kirikae.survey.catalogue import Findings, configured, observed, present
from kirikae.survey.counted import counted
from kirikae.survey.known import debian, matches
from kirikae.survey.rules.running import running
from kirikae.survey.view import View

_READS_LOGS = re.compile(
    r"\b(z?grep|awk|sed|tail|z?cat|goaccess|awstats|webalizer|pflogsumm|analog|visitors|alp"
    r"|logwatch|logcheck|multitail|perl|python3?|ruby|php)\b[^|;]*(/var/log/|\.log\b)"
)
_WITNESSES = ("auditd*", "snoopy*", "osquery*", "wazuh*")
_READERS = ("fail2ban*", "logwatch*", "logcheck*", "crowdsec*", "swatch*", "denyhosts*")
_AFTER_ROTATION = re.compile(r"^\s*(copytruncate|postrotate|prerotate|lastaction|firstaction)\b")
_LOG_FORMAT = re.compile(r"^\s*(log_format|LogFormat)\s")
_ACCESS_LOG = re.compile(r"^\s*(access_log\s+(?!off)|CustomLog\s)")
_JOINS = re.compile(
    r"request_id|amzn_trace|x_request_id|UNIQUE_ID|traceparent|\bjson\b", re.IGNORECASE
)
_TELLS_TOO_MUCH = re.compile(
    r"\$(http_cookie|http_authorization|request_body|cookie_\w+|arg_(token|password|key)\w*)"
    r"|%\{(Cookie|Authorization)\}i|^\s*log_statement\s*=\s*'?all|^\s*general_log\s*=\s*(1|on)"
    r"|^\s*log_parameter_max_length",
    re.IGNORECASE,
)
_ROTATED = re.compile(r"([.-]\d+)?(\.(gz|xz|bz2|zst))?$|-\d{8}(-\d+)?(\.(gz|xz|bz2|zst))?$")
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
_DAY_S = 86400
_DEAD_S = 90 * _DAY_S
_MIB = 1 << 20
_GOING_ON_AT_LEAST = 3
_SHOWN = 8


def read_by_jobs(view: View) -> Findings:
    """They read a file that will not be there."""
    lines = [job.line for job in view.schedules.jobs if _READS_LOGS.search(job.says)]
    if lines:
        yield configured(
            "LG05",
            where=lines[0].at,
            says=f"{counted(len(lines), 'job reads', 'jobs read')} log files",
            evidence=view.quotes(lines[:_SHOWN]),
        )


def read_by_services(view: View) -> Findings:
    """They shut callers out, or write reports."""
    yield from running(view, "LG05", _READERS, "{unit} reads log files and acts on them")


def done_at_rotation(view: View) -> Findings:
    """Somebody's step between two files of a log."""
    for text in view.own_texts:
        if text.path.startswith("/etc/logrotate"):
            steps = [line for line in text.live() if _AFTER_ROTATION.search(line.text)]
            if steps:
                yield configured(
                    "LG05",
                    where=text.path,
                    says=f"{text.path} does something when logs are rotated",
                    evidence=view.quotes(steps[:_SHOWN]),
                )


def hard_to_join(view: View) -> Findings:
    """Nothing tells which lines belong to one request, or where one begins."""
    writes = [line for line in view.web_lines if _ACCESS_LOG.search(line.text)]
    formats = [line for line in view.web_lines if _LOG_FORMAT.search(line.text)]
    said = (*writes, *formats, *_whole(view))
    if writes and not any(_JOINS.search(line.text) for line in said):
        yield configured(
            "LG06",
            where=writes[0].at,
            says="lines of the access log bear nothing that tells requests apart",
            evidence=view.quotes([*writes, *formats][:_SHOWN]),
        )


def of_several_lines(view: View) -> Findings:
    """Each line would be an entry of its own."""
    for log in _of_services(view):
        if log.lines and log.going_on >= _GOING_ON_AT_LEAST:
            yield observed(
                "LG06",
                where=log.path,
                says=f"entries of {log.path} go over several lines",
                evidence=[view.trace(log.path, f"{log.going_on} of the last {log.lines} lines")],
            )


def _whole(view: View) -> Iterator[Line]:
    """Formats may go over several lines: quoted pieces alone, behind the first."""
    for line in view.web_lines:
        if line.text.lstrip()[:1] in "'\"":
            yield line


def tells_too_much(view: View) -> Findings:
    """Whoever may read logs can read this; in a log group that is more people than before."""
    for line in (*view.web_lines, *_own_lines(view)):
        if _TELLS_TOO_MUCH.search(line.text):
            yield configured(
                "LG07",
                where=line.at,
                says=f"what people send is written into a log: {line.text.strip()[:80]}",
                evidence=[view.quote(line)],
            )
    for log in _of_services(view):
        if log.secrets or log.people:
            what = "secrets by name" if log.secrets else "addresses of people"
            many = log.secrets or log.people
            yield observed(
                "LG07",
                where=log.path,
                says=f"{many} of the last {log.lines} lines of {log.path} hold {what}",
                evidence=[view.trace(log.path, f"{many} lines, counted on the host")],
                count=many,
            )


def _own_lines(view: View) -> Iterator[Line]:
    """Without those of web servers, which are looked at already."""
    web = {text.path for text in view.web_texts}
    for text in view.own_texts:
        if text.path not in web:
            yield from text.live()


def _of_services(view: View) -> Iterator[Log]:
    """Not the machine's own, such as that of its mail."""
    for log in view.bundle.logs:
        own = matches(log.path, debian().written_by_the_system) or view.of_the_system(log.path)
        if not own:
            yield log


def bytes_a_day(view: View) -> Findings:
    """By what was rotated: the size of one file, and the time between two."""
    daily = {}
    for stem, logs in _families(view).items():
        rate = _rate(logs)
        if rate:
            daily[stem] = rate
    total = sum(daily.values())
    if total >= _MIB:
        largest = sorted(daily, key=lambda stem: -daily[stem])
        yield present(
            "LG08",
            where=largest[0],
            says=f"services write about {total / _MIB:.0f} MiB of logs a day",
            evidence=[
                view.trace(stem, f"{daily[stem] / _MIB:.1f} MiB a day") for stem in largest[:_SHOWN]
            ],
        )


def _families(view: View) -> dict[str, list[Log]]:
    """A log with its rotated ones, the newest first."""
    found: dict[str, list[Log]] = defaultdict(list)
    for log in _of_services(view):
        found[_ROTATED.sub("", log.path)].append(log)
    for logs in found.values():
        logs.sort(key=lambda log: -log.modified)
    return found


def _rate(logs: list[Log]) -> float | None:
    """Bytes a day; None where no two rotated files tell it."""
    for newer, older in pairwise(logs[1:]):
        apart = newer.modified - older.modified
        if apart > 0 and not newer.path.endswith(_COMPRESSED):
            return newer.size * _DAY_S / apart
    return None


def dead_logs(view: View) -> Findings:
    """Whoever wrote them is gone."""
    at = view.bundle.at
    dead = []
    for stem, logs in _families(view).items():
        if at is not None and at - logs[0].modified > _DEAD_S and logs[0].size:
            dead.append((stem, (at - logs[0].modified) // _DAY_S))
    if dead:
        many = counted(len(dead), "log has", "logs have")
        yield present(
            "LG09",
            where=dead[0][0],
            says=f"{many} not been written for 90 days or more",
            evidence=[view.trace(stem, f"{days} days") for stem, days in sorted(dead)[:_SHOWN]],
            count=len(dead),
        )


def duty_to_keep(view: View) -> Findings:
    """Who did what on a machine: the duty stays when the machine goes."""
    yield from running(view, "LG10", _WITNESSES, "{unit} writes down what people do on this host")
    for text in view.own_texts:
        lines = [line for line in text.live() if "pam_tty_audit" in line.text or _rule(line)]
        if lines:
            yield configured(
                "LG10",
                where=text.path,
                says=f"{text.path} says what has to be written down",
                evidence=view.quotes(lines[:_SHOWN]),
            )


def _rule(line: Line) -> bool:
    """Of auditd (audit.rules(7)): a file or a call that is watched."""
    watches = line.text.lstrip().startswith(("-w ", "-a "))
    return line.path.startswith("/etc/audit/") and watches


RULES = (
    read_by_jobs,
    read_by_services,
    done_at_rotation,
    hard_to_join,
    of_several_lines,
    tells_too_much,
    bytes_a_day,
    dead_logs,
    duty_to_keep,
)
