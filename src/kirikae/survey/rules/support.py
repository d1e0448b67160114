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
_PERL = re.compile(r"\bperl|\.(pl|cgi|psgi)\b|starman|plackup|hypnotoad")
_PERL_FILE = re.compile(r"\.(p[lm]|psgi|cgi)$")


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
    paths = [process.exe for process in view.bundle.processes]
    paths += [word for unit in view.bundle.units for word in unit.command.split()[:2]]
    paths += [f"{folder.path}/" for folder in view.bundle.folders if _OF_ITS_OWN.match(folder.path)]
    for path in paths:
        for name, pattern in _IN_A_PATH.items():
            match = pattern.search(path)
            found = support().runtime(name).series(".".join(match.groups())) if match else None
            if found is not None:
                yield found, path.rstrip("/")


def _in_use(view: View, name: str) -> bool:
    """A server may be brought by a package and never started; Perl is on every Debian."""
    if name in _SERVERS:
        return any(
            unit.running and unit.name.startswith(_SERVERS[name]) for unit in view.bundle.units
        )
    return name != "Perl" or _runs_perl(view)


def _runs_perl(view: View) -> bool:
    """A service or a job of it."""
    said = [service.unit.command for service in view.services]
    said += [process.exe for service in view.services for process in service.processes]
    said += [job.says for job in view.schedules.jobs if not job.package]
    names = (name for code in view.code for name in code.files)
    return any(map(_PERL.search, said)) or any(map(_PERL_FILE.search, names))
