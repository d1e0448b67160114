"""Environment variables: what a unit declares beside what its code reads."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from kirikae.model.finding import Trace
from kirikae.survey.catalogue import Findings, configured
from kirikae.survey.services import Service
from kirikae.survey.view import Declared, View, by_the_runtime

_STATIC_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_PLACES = ("/var/", "/srv/", "/opt/", "/data/")
_CHOICE = re.compile(r"\s*\$?([A-Za-z_][A-Za-z0-9_]*)\s*=[^=].*(==|!=|\bin\b|match)")
"""A name gets the answer to a question."""
_READERS_SHOWN = 3
_NAMES_A_HOST = re.compile(r"(HOST|HOSTNAME|SERVER|ADDR|ADDRESS|URL|URI|DSN|ENDPOINT)S?$")
_NAMES_MAIL = re.compile(r"SMTP|MAIL")
_HOST_IN_A_VALUE = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://(?:[^/@\s]*@)?)?"
    r"(?P<host>localhost|[\w-]+(?:\.[\w-]+)+)(?::\d+)?(?:/\S*)?",
)
_THIS_HOST = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class _Shared:
    """One declaration, and the applications that get it: several may read the same file."""

    variable: Declared
    services: tuple[Service, ...]

    @property
    def where(self) -> str:
        """The file and the name: one declaration is one finding, however many read it."""
        return f"{self.variable.trace.at}:{self.variable.name}"


def _declarations(view: View) -> list[_Shared]:
    """Every declaration once, with all applications that get it."""
    services: dict[Declared, list[Service]] = defaultdict(list)
    for service in view.applications:
        for variable in view.environment(service).values():
            services[variable].append(service)
    return [_Shared(variable, tuple(who)) for variable, who in services.items()]


def secrets(view: View) -> Findings:
    """Whoever reads the file has them."""
    for shared in _declarations(view):
        variable = shared.variable
        if variable.secret:
            yield configured(
                "CF12",
                where=shared.where,
                says=f"{variable.name} in {variable.trace.at} holds a secret in clear text",
                evidence=[variable.trace],
            )


def static_keys(view: View) -> Findings:
    """A task has a role instead."""
    for shared in _declarations(view):
        variable = shared.variable
        if variable.name in _STATIC_KEYS:
            yield configured(
                "SE01",
                where=shared.where,
                says=f"{variable.name} is set for {shared.services[0].name}",
                evidence=[variable.trace],
            )


def _as_packaged(view: View, variable: Declared) -> bool:
    """A default of a package's that nobody has changed."""
    path = variable.trace.at
    return path not in view.changed and view.bundle.owner(path) is not None


def _of_somebody_s(view: View) -> Iterator[_Shared]:
    """Declarations that somebody wrote on this host."""
    for shared in _declarations(view):
        if not _as_packaged(view, shared.variable):
            yield shared


def never_read(view: View) -> Findings:
    """By none of the applications that get it; where code could not be looked at, nobody knows."""
    for shared in _of_somebody_s(view):
        variable = shared.variable
        name = variable.name
        read = any(
            _may_read(
                view,
                service,
                name,
            )
            for service in shared.services
        )
        if not read and not by_the_runtime(name):
            service = shared.services[0].name
            yield configured(
                "CF08",
                where=name,
                says=f"{name} is set for {service}, and its code never reads it",
                evidence=[variable.trace],
            )


def _may_read(
    view: View,
    service: Service,
    name: str,
) -> bool:
    """True also where the code was not read: a variable is called unused only when that was
    seen."""
    code = view.code_of(service)
    return code is None or name in view.reads(code) or view.reads_somehow(code)


def paths_of_this_host(view: View) -> Findings:
    """They are not there in a container."""
    for shared in _of_somebody_s(view):
        variable = shared.variable
        if variable.value.startswith(_PLACES):
            yield configured(
                "CF11",
                where=variable.name,
                says=f"{variable.name} names a path on this host",
                evidence=[variable.trace],
            )


def _reads(view: View) -> Iterator[tuple[Service, str, list[Trace]]]:
    """Application, variable, and where its code reads it."""
    for service in view.applications:
        code = view.code_of(service)
        for name, traces in (view.reads(code) if code else {}).items():
            yield service, name, traces


def calls_others(view: View) -> Findings:
    """Hosts that variables name: NW02, or CF16 and ML01 where that is this host."""
    for shared in _declarations(view):
        variable = shared.variable
        match = _HOST_IN_A_VALUE.fullmatch(variable.value)
        if match is None or not _NAMES_A_HOST.search(variable.name):
            continue
        host = match["host"]
        here = host in _THIS_HOST
        mail = bool(_NAMES_MAIL.search(variable.name))
        code = ("ML01" if mail else "CF16") if here else "NW02"
        yield configured(
            code,
            where=shared.where if here else host,
            says=f"{variable.name} in {variable.trace.at} names {host}",
            evidence=[variable.trace],
        )


def set_nowhere(view: View) -> Findings:
    """A default counts, or nobody has met the line yet."""
    for service, name, traces in _reads(view):
        if name not in view.environment(service) and not by_the_runtime(name):
            yield configured(
                "CF09",
                where=name,
                says=f"{name} is read by {service.name}'s code and set nowhere",
                evidence=traces[:_READERS_SHOWN],
            )


def choosing_several_things(view: View) -> Findings:
    """The same variable decides over several others."""
    for _, name, traces in _reads(view):
        chosen = {}
        for trace in traces:
            match = _CHOICE.match(trace.says)
            if match is not None:
                chosen[match[1]] = trace
        if len(chosen) > 1:
            yield configured(
                "CF11",
                where=name,
                says=f"{name} selects {len(chosen)} things: {', '.join(sorted(chosen))}",
                evidence=chosen.values(),
            )


RULES = (
    calls_others,
    secrets,
    static_keys,
    never_read,
    paths_of_this_host,
    set_nowhere,
    choosing_several_things,
)
