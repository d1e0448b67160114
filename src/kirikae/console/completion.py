"""What a shell completes: names of moves, release IDs, hosts, codes of findings.

Everything is read on this machine: no host and no AWS is asked while somebody presses Tab, and
where the project file cannot be read nothing is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from kirikae.console.here import Here
from kirikae.model.errors import KirikaeError

_ARCHIVE = ".tar.gz"
Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _here(context: click.Context) -> Here:
    """As ``--project`` says: the command line itself has not run yet."""
    return Here(context.find_root().params.get("project_file") or "kirikae.yml")


def _completer(names: Callable[[Here], Iterable[str]]) -> Completer:
    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
        try:
            return sorted(name for name in set(names(_here(context))) if name.startswith(begun))
        except (KirikaeError, OSError):
            return []

    return complete


def _project(here: Here) -> Any:
    from kirikae.console.context import load_project

    return load_project(here)


def _moves(here: Here) -> Iterable[str]:
    return list(_project(here).moves)


def _hosts(here: Here) -> Iterable[str]:
    from kirikae.console.surveyed import hosts_of

    return [host.name for host in hosts_of(_project(here)).every]


def _releases(here: Here) -> Iterable[str]:
    """By the archives that lie beside the journal: a bucket is not asked."""
    from kirikae.console.state import state_folder

    folder = state_folder(here, _project(here)) / "releases"
    return [file.name.removesuffix(_ARCHIVE) for file in folder.glob(f"*{_ARCHIVE}")]


def _codes(_: Here) -> Iterable[str]:
    from kirikae.console.catalogue import catalogue

    return catalogue()


def _sides(_: Here) -> Iterable[str]:
    return ("old", "new", "old,new", "new,old")


MOVES = _completer(_moves)
HOSTS = _completer(_hosts)
RELEASES = _completer(_releases)
CODES = _completer(_codes)
SIDES = _completer(_sides)
