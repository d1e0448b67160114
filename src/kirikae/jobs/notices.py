"""Tell people of runs that failed, were missed, or wrote what their pattern finds; and that it is
well again.  One notice for a run, at most one for a job in ten minutes, the rest as a digest."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from kirikae.jobs.errors import NoWay
from kirikae.jobs.job import Firing, Job, State

log = logging.getLogger(__name__)
QUIET_S = 600.0
SLACK = "KIRIKAE_SLACK_WEBHOOK"
SENDMAIL = "/usr/sbin/sendmail"
_TIMEOUT_S = 20.0
_LINES = 20
_ADDRESS = r"[A-Za-z0-9][^\s,;<>]*@[A-Za-z0-9.-]+"
_MAILTO = r"[A-Za-z0-9][A-Za-z0-9._%+-]*(@[A-Za-z0-9.-]+)?"
Way = Callable[[str, str], None]
"""Sends (subject, text)."""
Publish = Callable[[str, str, str], None]
"""Sends (topic, subject, text) by SNS."""


class Event(StrEnum):
    """What is told of."""

    FAILURE = "failure"
    MISSED = "missed"
    LATE = "late"
    """It has not begun, or began, long after its due minute."""
    OVERRUN = "overrun"
    """It runs longer than it should."""
    STDERR = "stderr"
    RECOVERED = "recovered"


EVERY = tuple(Event)


@dataclass(frozen=True, slots=True)
class Notice:
    """About one run of a job."""

    event: Event
    job: str
    firing: str
    says: str
    lines: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """One line, whatever a command wrote."""
        says = " ".join(self.says.split())
        return f"[{self.event}] {self.firing}: {says}"[:200]


@dataclass(slots=True)
class _Quiet:
    """A job that was told of a short while ago, and what has come since."""

    until: float
    held: list[Notice] = field(default_factory=list)


class Digest:
    """Which notices are sent when: pure but for what it remembers."""

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._quiet: dict[str, _Quiet] = {}

    def take(self, notice: Notice, now: float) -> list[tuple[str, str]]:
        """What is sent at once: (subject, text)."""
        quiet = self._quiet.get(notice.job)
        if quiet is not None and now < quiet.until:
            quiet.held.append(notice)
            return []
        held = [] if quiet is None else quiet.held
        self._quiet[notice.job] = _Quiet(now + self._quiet_s)
        return [_text([*held, notice])]

    def due(self, now: float) -> list[tuple[str, str]]:
        """Digests whose ten minutes are over."""
        texts = []
        for job, quiet in list(self._quiet.items()):
            if now < quiet.until:
                continue
            if not quiet.held:
                del self._quiet[job]
                continue
            texts.append(_text(quiet.held))
            self._quiet[job] = _Quiet(now + self._quiet_s)
        return texts


def _text(notices: Sequence[Notice]) -> tuple[str, str]:
    last = notices[-1]
    if len(notices) == 1:
        lines = [last.subject, *last.lines[-_LINES:], _more(last)]
        return last.subject, "\n".join(lines)
    subject = f"{last.job}: {len(notices)} notices; the last: {last.subject}"[:200]
    told = [each.subject for each in notices]
    return subject, "\n".join([subject, *told, *last.lines[-_LINES:], _more(last)])


def _more(notice: Notice) -> str:
    """Where all of it is to be read."""
    return f"more: kirikae jobs show {notice.firing}"


def of_ending(
    firing: Firing, state: State, says: str, matched: Sequence[str], matches: int, tail: str
) -> Notice | None:
    """None: nothing to tell."""
    lines = tuple(tail.splitlines())
    if state is not State.SUCCEEDED:
        return Notice(
            Event.FAILURE,
            firing.job,
            firing.id,
            says or str(state),
            lines,
        )
    if matched:
        found = f"{matches} lines match: {matched[0][:120]}"
        return Notice(
            Event.STDERR,
            firing.job,
            firing.id,
            found,
            tuple(matched),
        )
    return None


def of_output(job: Job, firing: Firing, tail: str) -> tuple[str, str, str] | None:
    """What cron would mail: (addresses, subject, text).  None: MAILTO names nobody, or nothing was
    written.  All of it stands in the log; the mail has its end."""
    to = [each.strip() for each in job.environment.get("MAILTO", "").split(",") if each.strip()]
    if not tail.strip() or not to:
        return None
    wrong = [each for each in to if re.fullmatch(_MAILTO, each) is None]
    if wrong:
        log.error("%s: MAILTO=%.60s is no address; nothing is mailed", job.id, wrong[0])
        return None
    user = job.user or job.environment.get("LOGNAME", "")
    subject = f"Cron <{user}@{firing.id}> {' '.join(job.command.split())}"[:200]
    text = f"{firing.id}, the last lines that it wrote:\n\n{tail}\n"
    return ", ".join(to), subject, text


def of_recovery(firing: Firing, before: Sequence[Firing]) -> Notice | None:
    """``before``: the job's firings, the newest first; None where the one before was well."""
    earlier = [each for each in before if each.due < firing.due and each.state.over]
    bad = (State.FAILED, State.LOST, State.MISSED, State.NOT_STARTED)
    if not earlier or earlier[0].state not in bad:
        return None
    says = f"runs again; {earlier[0].id} was {earlier[0].state}"
    return Notice(
        Event.RECOVERED,
        firing.job,
        firing.id,
        says,
    )


class Teller:
    """Sends in a thread of its own: a chat that hangs holds no run up."""

    def __init__(self, ways: Sequence[Way], digest: Digest | None = None) -> None:
        self._ways = ways
        self._digest = digest or Digest()
        self._guard = threading.Lock()

    def tell(self, notice: Notice, events: Sequence[str], now: float) -> None:
        """``events``: those that its job wants told; empty: all."""
        if events and notice.event not in events:
            return
        with self._guard:
            texts = self._digest.take(notice, now)
        if not texts:
            later = threading.Timer(QUIET_S, lambda: self.look(time.time()))
            later.daemon = True
            later.start()
        self._send(texts)

    def look(self, now: float) -> None:
        """From time to time: digests are sent."""
        with self._guard:
            texts = self._digest.due(now)
        self._send(texts)

    def _send(self, texts: Sequence[tuple[str, str]]) -> None:
        if texts and self._ways:
            threading.Thread(
                target=self._all,
                args=(texts,),
                daemon=False,
            ).start()

    def _all(self, texts: Sequence[tuple[str, str]]) -> None:
        for subject, text in texts:
            for way in self._ways:
                try:
                    way(subject, text)
                except (OSError, ValueError, subprocess.SubprocessError) as error:
                    log.error(
                        "a notice was not sent (%s): %s",
                        subject,
                        error,
                    )


def way_named(
    named: str, publish: Publish | None = None, environment: Mapping[str, str] | None = None
) -> Way:
    """``slack``, ``sns:ARN``, ``mail:ADDRESS`` or ``command:COMMAND``.  Raises NoWay."""
    kind, _, rest = named.partition(":")
    known = os.environ if environment is None else environment
    way: Way | None = None
    match kind:
        case "slack":
            return partial(_to_slack, _webhook(known))
        case "sns" if rest.startswith("arn:") and publish is not None:
            way = partial(publish, rest)
        case "mail" if re.fullmatch(_ADDRESS, rest):
            way = partial(_to_mail, rest)
        case "command" if rest:
            way = partial(_to_command, ["/bin/sh", "-c", rest])
    if way is None:
        ways = "slack, sns:ARN, mail:ADDRESS or command:COMMAND"
        raise NoWay(f"--tell {named[:60]!r}: write {ways}")
    return way


def _webhook(environment: Mapping[str, str]) -> str:
    url = environment.get(SLACK, "")
    if not url.startswith(("https://", "http://127.0.0.1")):
        raise NoWay(f"--tell slack needs the URL of an incoming webhook in {SLACK}")
    return url


def _to_slack(url: str, subject: str, text: str) -> None:
    """An incoming webhook takes ``text`` (Slack, "Sending messages using incoming webhooks")."""
    body = json.dumps({"text": text}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(
        url,
        body,
        headers,
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        answer.read()


def _to_mail(address: str, subject: str, text: str) -> None:
    """By the machine's own sendmail, as cron does."""
    head = f"To: {address}\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n"
    _to_command([SENDMAIL, "-t", "-i"], subject, head + text)


def mail(addresses: str, subject: str, text: str) -> None:
    """In a thread of its own, as every notice: what cannot be sent is told in the log."""

    def send() -> None:
        try:
            _to_mail(addresses, subject, text)
        except (OSError, subprocess.SubprocessError) as error:
            log.error("the output of a job was not mailed (%s): %s", subject, error)

    threading.Thread(target=send, daemon=False).start()


def _to_command(command: Sequence[str], subject: str, text: str) -> None:
    """The text on its standard input, as sqsjkr's trigger gets it."""
    subprocess.run(
        command,
        input=f"{text}\n".encode(),
        env={
            **os.environ,
            "KIRIKAE_SUBJECT": subject,
        },
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=_TIMEOUT_S,
    )
