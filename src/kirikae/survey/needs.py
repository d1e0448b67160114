"""Which packages of a host the service needs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from kirikae.model.bundle import Bundle, Package
from kirikae.model.workload import WebServer
from kirikae.survey.known import debian, matches
from kirikae.survey.paths import name_of
from kirikae.survey.services import Service
from kirikae.survey.view import KEPT, View

_LIBRARIES = ("libs", "oldlibs")
_NAME = re.compile(r"(?:^|[,|]\s*)([a-z0-9][a-z0-9+.-]+)")
"""A package in a line of dependencies."""
_UNIT_FILE = re.compile(r"/systemd/system/[^/]+\.service$")
_TEMPLATES = ("postgresql",)
"""Units that only start others: the operating system's own, and yet a server's."""


@dataclass(frozen=True, slots=True)
class Needed:
    """``chosen``: (name, version), without the web server in front.  ``left_out``: name -> why."""

    chosen: tuple[tuple[str, str], ...]
    left_out: Mapping[str, str]


def needed(
    view: View,
    service: Service,
    web: WebServer | None,
    built: Collection[str],
) -> Needed:
    """What somebody chose and the service needs: without the host's own tools, servers that do not
    run or are not ``built``, and the web server in front."""
    chosen = []
    left_out = {}
    program = _brought_by(view.bundle, service.unit.program)
    for package in view.bundle.packages:
        if not _asked_for(package, program):
            continue
        why = _why_not(view, package, built, web)
        if why is None:
            chosen.append((package.name, package.version))
        else:
            left_out[package.name] = why
    return Needed(tuple(sorted(chosen)), left_out)


def _brought_by(bundle: Bundle, program: str) -> str | None:
    """The package that owns a program, through links or as it is named; None for one of
    nobody's."""
    return bundle.owner(bundle.resolve(program)) or bundle.owner(program)


def _asked_for(package: Package, program: str | None) -> bool:
    """Somebody's choice, or what the service is started with; libraries come with those."""
    if package.standard or package.section in _LIBRARIES:
        return False
    return not package.automatic or package.name == program


def _why_not(
    view: View,
    package: Package,
    built: Collection[str],
    web: WebServer | None,
) -> str | None:
    """Why a package is left out, with the finding that says so; None for one that is needed."""
    if package.name in built:
        return None
    if matches(package.name, debian().host_only):
        return "PK05: of use on a host only"
    if web is not None and package.name in (web.package, *(name for name, _ in web.modules)):
        return "in the image of the web server"
    return _why_not_as_a_server(view.bundle, package, built)


def _why_not_as_a_server(bundle: Bundle, package: Package, built: Collection[str]) -> str | None:
    """By the units of the servers that it brings, itself or by packages named after it; None for
    one that brings none, or brings what is built."""
    family = _family(bundle, package)
    servers = sorted(_servers_of(bundle, family))
    if not servers or family & set(built):
        return None
    running = {_template(unit.name) for unit in bundle.units if unit.running}
    for server in servers:
        if _template(server) in running:
            return f"ST06: {server} is a server of its own and none of the services that are built"
    return f"PK10: {servers[0]} does not run"


def _template(unit: str) -> str:
    """``postgresql`` of ``postgresql@15-main.service``; all of a name without an instance."""
    return unit.partition("@")[0]


def _family(bundle: Bundle, package: Package) -> set[str]:
    """The package, and those of its dependencies that are named after it."""
    by_name = {each.name: each for each in bundle.packages}
    stem = package.name.split("-")[0]
    family = {package.name}
    todo = [package.name]
    while todo:
        depends = by_name[todo.pop()].depends
        for name in _NAME.findall(depends):
            if not name.startswith(stem) or name not in by_name:
                continue
            if name not in family:
                family.add(name)
                todo.append(name)
    return family


def _servers_of(bundle: Bundle, family: set[str]) -> Iterator[str]:
    """Units of these packages that are no part of the operating system."""
    for owner, unit in _units_of_packages(bundle):
        if owner in family:
            of_the_system = matches(unit, [*debian().units, *debian().housekeeping])
            if _template(unit) in _TEMPLATES or not of_the_system:
                yield unit


@lru_cache(maxsize=KEPT)
def _units_of_packages(bundle: Bundle) -> list[tuple[str, str]]:
    """Package and unit; a host's packages own a hundred thousand files, and few of them are."""
    return [
        (owner, name_of(path)) for path, owner in bundle.owners.items() if _UNIT_FILE.search(path)
    ]
