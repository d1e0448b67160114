"""Mail that goes through the host itself."""

from __future__ import annotations

from kirikae.survey.catalogue import Findings, observed, present
from kirikae.survey.known import debian, matches
from kirikae.survey.view import View


def servers(view: View) -> Findings:
    """A container has none."""
    for unit in view.bundle.units:
        if unit.running and matches(unit.name, debian().mail_servers):
            yield observed(
                "ML01",
                where=unit.name,
                says=f"a mail server runs here ({unit.name})",
                evidence=[view.trace(unit.name, unit.command)],
            )


def waiting(view: View) -> Findings:
    """It would be lost with the host."""
    for queue, files in view.bundle.spool.items():
        if files and "cron" not in queue:
            yield present(
                "ML02",
                where=queue,
                says=f"{files} files of mail wait in {queue}",
                evidence=[view.trace(queue, f"{files} files")],
                count=files,
            )


RULES = (
    servers,
    waiting,
)
