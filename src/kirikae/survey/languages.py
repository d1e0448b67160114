"""What a service needs besides packages of its system: locked packages of its language, a place of
their own for them, programs that are in no package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kirikae.model.workload import Lock
from kirikae.survey.known import debian, matches
from kirikae.survey.paths import below
from kirikae.survey.services import Service
from kirikae.survey.view import View


class _Manager(NamedTuple):
    """A package manager of a language: what locks its packages, and where it lays them."""

    name: str
    files: tuple[str, ...]
    """The first is the lock; with it the others belong to it."""
    tree: str


_MANAGERS = (
    _Manager("npm", ("package-lock.json", "package.json"), "node_modules"),
    _Manager("npm", ("npm-shrinkwrap.json", "package.json"), "node_modules"),
    _Manager("composer", ("composer.lock", "composer.json"), "vendor"),
    _Manager("bundler", ("Gemfile.lock", "Gemfile"), "vendor/bundle"),
    _Manager("cpan", ("cpanfile.snapshot", "cpanfile"), "local"),
)
_VIRTUAL = re.compile(r"(/\S*?/(?:\.?venv|\.?virtualenv|env|ve)[^/\s]*)/bin/")
_MAIL = re.compile(r"sendmail|smtplib|[^A-Za-z_>.]mail\(|(?:127\.0\.0\.1|localhost):25\b|Net::SMTP")


def locks_of(view: View, folder: str) -> Iterator[Lock]:
    """Of the release that lies there; requirements.txt is told elsewhere."""
    real = view.bundle.resolve(folder)
    names = {file.path.removeprefix(f"{real}/") for file in view.files_under(real)}
    for code in view.bundle.code:
        if code.root == real:
            names |= set(code.files)
    seen = set()
    for manager in _MANAGERS:
        if manager.files[0] in names and manager.name not in seen:
            seen.add(manager.name)
            yield Lock(manager.name, manager.files, manager.tree)


def virtual_environment_of(command: str) -> str:
    """Where a command's Python lies apart; empty: it is the system's."""
    match = _VIRTUAL.search(command)
    return match[1] if match else ""


def unpackaged_of(view: View, service: Service, folder: str) -> Iterator[str]:
    """Programs that the service runs, in no package, in no release and in no environment that is
    made anew (PR12)."""
    release = view.bundle.resolve(folder)
    apart = virtual_environment_of(service.unit.command)
    named = [service.unit.program, *(process.exe for process in service.processes)]
    for program in dict.fromkeys(named):
        real = view.bundle.resolve(program)
        if not program.startswith("/") or view.bundle.owner(real) or view.bundle.owner(program):
            continue
        if below(real, release) or below(program, folder) or (apart and below(program, apart)):
            continue
        if program.endswith(" (deleted)") or not view.bundle.owners:
            continue
        yield program


def mails(view: View) -> bool:
    """Does code hand mail to a server that runs on its own host?"""
    servers = [unit for unit in view.bundle.units if matches(unit.name, debian().mail_servers)]
    if not any(unit.running for unit in servers):
        return False
    return any(_MAIL.search(line.text) for code in view.code for line in code.lines)
