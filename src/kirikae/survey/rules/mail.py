"""Mail that goes through the host itself."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.model.finding import Finding
from kirikae.survey.catalogue import observed, present
from kirikae.survey.known import debian, matches
from kirikae.survey.view import View


def servers(view: View) -> Iterator[Finding]:
    for unit in view.bundle.units:
        if unit.running and matches(unit.name, debian().mail_servers):
            says = f"a mail server runs here ({unit.name})"
            yield observed("ML01", unit.name, says, view.trace(unit.name, unit.command))


def waiting(view: View) -> Iterator[Finding]:
    for queue, files in view.bundle.spool.items():
        if files and "cron" not in queue:
            says = f"{files} files of mail wait in {queue}"
            trace = view.trace(queue, f"{files} files")
            yield present("ML02", queue, says, trace, count=files)


RULES = (
    servers,
    waiting,
)
