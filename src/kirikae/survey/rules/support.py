"""What is not maintained any more, or soon will not be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from kirikae.survey.catalogue import Findings, present
from kirikae.survey.known import Support, matches, support
from kirikae.survey.view import View

_SOON_DAYS = 730
_SERVERS = {
    "PostgreSQL": ("postgresql",),
    "MySQL": ("mysql",),
    "MariaDB": ("mariadb", "mysql"),
}
"""How their units begin."""
_IN_A_PATH = {
    "Node.js": re.compile(r"/node(?:js)?[-/]v?(\d+)\.\d+"),
    "Ruby": re.compile(r"/(?:ruby[-/]|\.rbenv/versions/|rubies/)(\d+)\.(\d+)\.\d+"),
    "Python": re.compile(r"/(?:python|\.pyenv/versions/|Python-)(\d)\.(\d+)[./]"),
    "PHP": re.compile(r"/(?:php-|\.phpenv/versions/|php/)(\d)\.(\d+)\.\d+"),
    "Perl": re.compile(r"/(?:perl-|\.plenv/versions/|perl5?/)(5)\.(\d+)\.\d+"),
}
_OF_ITS_OWN = re.compile(
    r"/usr/local/lib/(ruby|python|perl5?)[^/]*(/[\d.]+)?$|/opt/[^/]+$"
    r"|/(home|root|opt|usr/local)/.*/(versions|rubies|perls)/[^/]+(/[^/]+)?$",
)
_SERVES = {
    "Node.js": re.compile(r"\bnode(js)?\b|\bnpm\b|\byarn\b|\bpm2\b|/package\.json$"),
    "Ruby": re.compile(r"ruby|\bbundle\b|puma|unicorn|passenger|sidekiq|rails|/Gemfile$|\.rb\b"),
    "Python": re.compile(r"python|gunicorn|uwsgi|celery|/requirements.*\.txt$|\.py\b"),
    "PHP": re.compile(r"\bphp|/php|\.php\b"),
    "Perl": re.compile(r"\bperl|starman|plackup|hypnotoad|\.(p[lm]|psgi|cgi)\b"),
}
"""How it is called, and what its files are named."""


def ends(view: View, today: date) -> Findings:
    """Of the operating system and of runtimes (PR13)."""
    for seen, proof in _supported(view):
        left = (seen.ends - today).days
        if left < _SOON_DAYS:
            when = f"ended on {seen.ends}"
            if left >= 0:
                when = f"ends on {seen.ends}, in {left} days"
            yield present(
                "PR13",
                where=seen.name,
                says=f"support of {seen.name} {when}",
                evidence=[view.trace(proof, seen.name)],
            )


def _supported(view: View) -> Iterator[tuple[Support, str]]:
    """What is known of what is there, and where that was seen."""
    known = support()
    system = known.system(view.bundle.distribution)
    if system is not None:
        yield system, "/etc/os-release"
    seen: set[str] = set()
    for found, proof in [*_of_packages(view), *_of_no_package(view)]:
        if found.name not in seen:
            seen.add(found.name)
            yield found, proof


def _of_packages(view: View) -> Iterator[tuple[Support, str]]:
    """By name and version, whatever the distribution calls it."""
    for runtime in support().runtimes:
        for package in view.bundle.packages:
            if not matches(package.name, runtime.packages):
                continue
            found = runtime.series(package.version)
            if found is not None and _in_use(view, runtime.name):
                yield found, f"package {package.name}"


def _of_no_package(view: View) -> Iterator[tuple[Support, str]]:
    """Runtimes that somebody built or unpacked, by the paths of programs that run, and of their
    libraries."""
    for path in _paths_of_runtimes(view):
        for name, pattern in _IN_A_PATH.items():
            match = pattern.search(path)
            if match is None:
                continue
            found = support().runtime(name).series(".".join(match.groups()))
            if found is not None:
                yield found, path.rstrip("/")


def _paths_of_runtimes(view: View) -> Iterator[str]:
    """Of programs that run or would, and of libraries that somebody laid down."""
    for process in view.bundle.processes:
        yield process.exe
    for unit in view.bundle.units:
        yield from unit.command.split()[:2]
    for folder in view.bundle.folders:
        # Debian's Python makes an empty one of these.
        if _OF_ITS_OWN.match(folder.path) and _holds_files(view, folder.path):
            yield f"{folder.path}/"


def _holds_files(view: View, path: str) -> bool:
    """Somewhere in it."""
    return any(folder.files for folder in view.bundle.under(path))


def _in_use(view: View, name: str) -> bool:
    """Does it serve here?  A package may bring it for others, and Perl is on every Debian.

    Where no service was recognised nobody knows, and it is told.
    """
    if name in _SERVERS:
        return any(
            unit.running and unit.name.startswith(_SERVERS[name]) for unit in view.bundle.units
        )
    pattern = _SERVES[name]
    if any(pattern.search(said) for said in _said_of_services(view)):
        return True
    return name != "Perl" and not view.services


def _said_of_services(view: View) -> Iterator[str]:
    """Commands and programs of services, lines of jobs, names of files of code."""
    for service in view.services:
        yield service.unit.command
        for process in service.processes:
            yield process.exe
    for job in view.schedules.jobs:
        yield job.says
    for text in view.bundle.texts:
        if not text.path.startswith("/etc/"):
            yield text.path
    for code in view.code:
        yield from code.files
    yield from (link for link in view.bundle.links if "/mods-enabled/" in link)
