"""Mail that goes through the host itself."""

from __future__ import annotations

import re

from kirikae.survey.catalogue import Findings, configured, observed, present
from kirikae.survey.counted import counted
from kirikae.survey.known import debian
from kirikae.survey.paths import name_of
from kirikae.survey.rules.running import running
from kirikae.survey.view import View

_SMTP = 25
_LOOPBACK = ("127.0.0.1", "::1")
_MAILBOX = re.compile(r"/[Mm]aildir/(new|cur)$")
_ALIASES = ("/etc/aliases", "/etc/postfix/virtual")
_TO_A_PROGRAM = re.compile(r"[:,\s]\s*\"?\|\s*\"?/")


def servers(view: View) -> Findings:
    """A container has none."""
    yield from running(view, "ML01", debian().mail_servers, "a mail server runs here ({unit})")


def waiting(view: View) -> Findings:
    """It would be lost with the host."""
    for queue, files in view.bundle.spool.items():
        if files and "cron" not in queue:
            yield present(
                "ML02",
                where=queue,
                says=f"{counted(files, 'mail waits', 'mails wait')} in {queue}",
                evidence=[view.trace(queue, counted(files, "file", "files"))],
                count=files,
            )


def arrives(view: View) -> Findings:
    """Whoever sends mail here expects a host that is always there, and that keeps it."""
    for listener in view.bundle.listeners:
        if listener.port == _SMTP and listener.address not in _LOOPBACK:
            yield observed(
                "ML04",
                where=f"port {_SMTP}",
                says=f"mail from outside is taken on {listener.address}:{listener.port}",
                evidence=[view.trace(f"/proc/net/{listener.protocol}", str(listener.port))],
            )
    for folder in view.bundle.folders:
        if _MAILBOX.search(folder.path) and folder.files:
            yield present(
                "ML04",
                where=folder.path,
                says=f"{folder.files} mails lie in {folder.path}",
                evidence=[view.trace(folder.path, counted(folder.files, "file", "files"))],
                count=folder.files,
            )


def given_to_programs(view: View) -> Findings:
    """A mail starts a program: a trigger that no crontab has."""
    for text in view.bundle.texts:
        if text.path not in _ALIASES and name_of(text.path) != ".forward":
            continue
        lines = [line for line in text.live() if _TO_A_PROGRAM.search(line.text)]
        if lines:
            yield configured(
                "ML03",
                where=text.path,
                says=f"mail is given to a program by {text.path}",
                evidence=view.quotes(lines),
                count=len(lines),
            )


RULES = (
    servers,
    waiting,
    arrives,
    given_to_programs,
)
