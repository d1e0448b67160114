"""Limits of users and settings of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.model.bundle import Line
from kirikae.model.finding import Finding
from kirikae.survey.catalogue import configured
from kirikae.survey.view import View


def _own_lines(view: View, beginning: str) -> Iterator[Line]:
    """Of files that somebody wrote or changed, by how their path begins."""
    for text in view.own_texts:
        if text.path.startswith(beginning):
            yield from text.live()


def limits_of_users(view: View) -> Iterator[Finding]:
    for line in _own_lines(view, "/etc/security/limits"):
        yield configured("PR14", line.path, f"limits are set in {line.path}", view.quote(line))


def settings_of_the_kernel(view: View) -> Iterator[Finding]:
    for line in _own_lines(view, "/etc/sysctl"):
        says = f"the kernel is set: {line.text.strip()}"
        yield configured("PR15", line.at, says, view.quote(line))


RULES = (
    limits_of_users,
    settings_of_the_kernel,
)
