"""What a bundle means: which services run on the host, as whom, with which environment and
configuration.  All rules look through it; everything is worked out once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from kirikae.model.bundle import MASKED, Bundle, Code, Line, Process, Text
from kirikae.model.finding import Trace
from kirikae.survey import configuration, webserver
from kirikae.survey.known import debian, matches
from kirikae.survey.naming import named_paths
from kirikae.survey.paths import below, under
from kirikae.survey.services import ROOT, Service, services_of, uid_of

SHOWN = 200
"""Characters of a line that evidence quotes."""
READS = re.compile(
    r"(?:environ(?:\.get)?\s*[\[(]|getenv\s*\(|Getenv\(|ENV(?:\.fetch)?\s*[\[(]"
    r"|_ENV\[|process\.env\[)\s*[\"']([A-Za-z_][A-Za-z0-9_]*)[\"']"
    r"|process\.env\.([A-Za-z_][A-Za-z0-9_]*)",
)
"""Code reads an environment variable, as Python, PHP, Ruby, Go and Node write it."""
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$")
_WORD = re.compile(r'(?:"[^"]*"|\S)+')
_BY_THE_RUNTIME = re.compile(
    r"(?:LANG|LANGUAGE|LC_\w+|TZ|PATH|HOME|USER|LOGNAME|SHELL|PWD|TMPDIR|TERM|AWS_\w+|PYTHON\w*"
    r"|GUNICORN_CMD_ARGS|WEB_CONCURRENCY|PORT|\w+_PROXY|\w+_proxy|NODE_\w+|RAILS_\w+|RACK_\w+"
    r"|JAVA_\w+|LD_\w+|MALLOC_\w+|GO\w+|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_\w+|NOTIFY_SOCKET"
    r"|LISTEN_\w+|MEMORY_PRESSURE_\w+)",
)


@dataclass(frozen=True, slots=True)
class Declared:
    """One environment variable as a unit declares it."""

    name: str
    value: str
    trace: Trace

    @property
    def secret(self) -> bool:
        """Was its value masked by the collector, or a part of it, as the password in a URL?"""
        return MASKED in self.value


def by_the_runtime(name: str) -> bool:
    """Read by the language or the AWS SDK, not by the service's own code."""
    return bool(_BY_THE_RUNTIME.fullmatch(name))


class View:
    """One host, seen through its bundle; asked for as often as one likes, worked out once."""

    def __init__(self, bundle: Bundle) -> None:
        """Nothing is worked out yet."""
        self.bundle = bundle

    def trace(
        self,
        at: str,
        says: str,
        line: int = 0,
    ) -> Trace:
        """Evidence on this host; ``at`` is a path or what the machine calls the thing, ``line`` is
        0 where there is none."""
        return Trace(self.bundle.host, at, says.strip()[:SHOWN], line)

    def quote(self, line: Line) -> Trace:
        """A line of a file as evidence."""
        return self.trace(line.path, line.text, line.number)

    def quotes(self, lines: Iterable[Line]) -> list[Trace]:
        """Each line as evidence."""
        return [self.quote(line) for line in lines]

    def elapsed_s(self, since: int | None) -> int | None:
        """Seconds from then until the survey; None where one of them is not known."""
        at = self.bundle.at
        return None if since is None or at is None else at - since

    # --- services, and as whom they run

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """Units that belong to what the host is for."""
        return tuple(services_of(self.bundle))

    @cached_property
    def web(self) -> tuple[Service, ...]:
        """Web servers that stand in front of an application."""
        return tuple(service for service in self.services if service.web)

    @cached_property
    def applications(self) -> tuple[Service, ...]:
        """Own units first: what somebody wrote a unit for is what the host is for."""
        behind = [service for service in self.services if not service.web]
        own = [service for service in behind if service.unit.own]
        return tuple(own or behind)

    def uid_of(self, name: str) -> int | None:
        """Of a name or a number; None for a name that /etc/passwd does not have."""
        return uid_of(self.bundle, name)

    @cached_property
    def uids(self) -> frozenset[int]:
        """Users other than root and the system's own under which services run."""
        found: set[int] = set()
        for service in self.services:
            found |= self._uids_of(service)
        for name, user in self.bundle.users.items():
            if matches(name, debian().users):
                found.discard(user.uid)
        return frozenset(found - {ROOT})

    def _uids_of(self, service: Service) -> set[int]:
        """Whom its processes run as, and whom its unit names: a master may give its rights up."""
        found = set(service.uids)
        named = service.unit.get("User")
        uid = self.uid_of(named) if named else None
        if uid is not None:
            found.add(uid)
        return found

    def run_by(self, uid: int) -> tuple[str, ...]:
        """The names of services that run as this user."""
        found = []
        for service in self.services:
            if uid in self._uids_of(service):
                found.append(service.name)
        return tuple(found)

    # --- environment and code

    def environment(self, service: Service) -> Mapping[str, Declared]:
        """What the unit declares, later files over earlier ones (systemd.exec(5))."""
        declared = [*self._in_the_unit(service), *self._in_its_files(service)]
        return {variable.name: variable for variable in declared}

    def _in_the_unit(self, service: Service) -> Iterator[Declared]:
        """``Environment=`` of the unit (systemd.exec(5))."""
        unit = service.unit
        place = unit.get("FragmentPath") or unit.name
        words = _WORD.findall(unit.get("Environment"))
        for word in words:
            match = _ASSIGNMENT.match(word.strip('"'))
            if match is not None:
                trace = self.trace(place, match[0])
                yield Declared(match[1], match[2], trace)

    def _in_its_files(self, service: Service) -> Iterator[Declared]:
        """``EnvironmentFile=`` of the unit, as far as these files were collected."""
        for line in self._lines_of_its_files(service):
            match = _ASSIGNMENT.match(line.text)
            if match is not None:
                name = match[1]
                value = match[2].strip().strip("\"'")
                yield Declared(name, value, self.quote(line))

    def _lines_of_its_files(self, service: Service) -> Iterator[Line]:
        """``/etc/default/x (ignore_errors=no)``, one a line."""
        for said in service.unit.get("EnvironmentFiles").split("\n"):
            path, _, _ = said.partition(" (")
            text = self.bundle.text(path.strip()) if path else None
            if text is not None:
                yield from text.live()

    def code_of(self, service: Service) -> Code | None:
        """The tree of code that the unit works in, if it was read."""
        folder = service.unit.folder
        if not folder:
            return None
        real = self.bundle.resolve(folder)
        for code in self.bundle.code:
            if code.root == real:
                return code
        return None

    def reads(self, code: Code) -> dict[str, list[Trace]]:
        """Names of environment variables that this code reads, and where."""
        found: dict[str, list[Trace]] = defaultdict(list)
        for line in code.lines:
            for match in READS.finditer(line.text):
                name = match[1] or match[2]
                found[name].append(self.quote(line))
        return found

    # --- configuration

    @cached_property
    def changed(self) -> Mapping[str, str]:
        """Path of a file that its package would bring otherwise -> conffile or ucf."""
        return {changed.path: changed.kind for changed in self.bundle.changed}

    @cached_property
    def own_texts(self) -> tuple[Text, ...]:
        """Configuration that somebody wrote or changed here."""
        return tuple(configuration.own_texts(self.bundle, self.services))

    @cached_property
    def web_texts(self) -> tuple[Text, ...]:
        """Live configuration of the web servers that run here."""
        names = {service.name for service in self.web}
        return tuple(webserver.live_texts(self.bundle, names))

    @property
    def web_lines(self) -> Iterator[Line]:
        """Live lines of the web servers' live configuration."""
        for text in self.web_texts:
            yield from text.live()

    # --- paths

    @cached_property
    def named_paths(self) -> Mapping[str, list[Trace]]:
        """Absolute paths that live configuration, units or code name, and where they do."""
        found: dict[str, list[Trace]] = defaultdict(list)
        for path, line in named_paths(self.bundle, self.services):
            found[path].append(self.quote(line))
        return found

    def naming(self, folder: str) -> list[Trace]:
        """Who names this folder, something in it, or a folder around it that is not a common
        one."""
        found = []
        for path, traces in self.named_paths.items():
            inside = under(path, [folder])
            around = below(folder, path) and path.count("/") >= 3
            if inside or around:
                found += traces
        return found

    def of_the_system(self, path: str) -> bool:
        """Does the operating system write there by itself?"""
        return under(path, debian().spools) or "/systemd-private-" in path

    # --- running

    @cached_property
    def process_at(self) -> Mapping[int, Process]:
        """Process ID -> process."""
        return {process.pid: process for process in self.bundle.processes}

    def opened_by_services(self) -> Iterator[tuple[str, Process]]:
        """Files that processes of services have open for writing."""
        units = {service.unit.name for service in self.services}
        for opened in self.bundle.opened:
            process = self.process_at.get(opened.pid)
            if process is not None and process.unit in units:
                path = opened.path.removesuffix(" (deleted)")
                yield path, process
