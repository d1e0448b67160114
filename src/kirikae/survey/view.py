"""What a bundle means: which services run on the host, as whom, with which environment and
configuration.  All rules look through it; everything is worked out once."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from kirikae.model.bundle import (
    MASKED,
    Bundle,
    Code,
    File,
    Folder,
    Group,
    Line,
    Process,
    Text,
    Unit,
)
from kirikae.model.finding import Trace
from kirikae.survey import configuration, webserver
from kirikae.survey.known import debian
from kirikae.survey.naming import named_paths
from kirikae.survey.paths import around, below, parent_of, under
from kirikae.survey.released import former_releases, live_code
from kirikae.survey.schedules import Schedules
from kirikae.survey.services import ROOT, Service, services_of, uid_of
from kirikae.survey.workers import workers_of

_SHARED = ("/tmp", "/var/tmp", "/var/crash", "/run/lock", "/var/lock")
"""Everybody may write there, and nobody keeps anything."""
_OWNER_WRITES = 0o200
_GROUP_WRITES = 0o020
_ALL_WRITE = 0o002
Found = TypeVar("Found")
KEPT = 8
"""Of so many hosts is kept what was worked out of them, for the next part of the same verb."""
SHOWN = 200
"""Characters of a line that evidence quotes."""
READS = re.compile(
    r"(?:environ(?:\.\w+)?\s*[\[(]|getenv\s*\(|Getenv\(|ENV(?:\.\w+\??)?\s*[\[( ]|ENV\{"
    r"|_ENV\[|process\.env\[|env::var\w*\(|(?:get|fetch)_env!?[( ]|\benv\("
    r"|GetEnvironmentVariable\()\s*[\"']([A-Za-z_][A-Za-z0-9_]*)[\"']"
    r"|(?:process\.env\.|\$ENV\{)([A-Za-z_][A-Za-z0-9_]*)",
)
"""Code reads an environment variable, as Python, PHP, Ruby, Perl, Go, Node, Rust, Elixir and C#
write it."""
_READS_SOMEHOW = re.compile(
    r"^(?!\s*(?:import|from|use|require)\b)"
    r".*(?:\benviron\b|\bgetenv\b|\bENV\b|\bprocess\.env\b|\bGetenv\b|\benv::var|\w+_env\()"
)
"""Of such a line a name may come from anywhere: a list, a parameter, a pattern."""
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
        self._known: dict[str, Any] = {}

    def once(
        self,
        what: str,
        work: Callable[[], Found],
    ) -> Found:
        """What modules above this one work out of a host: several rules ask for it."""
        if what not in self._known:
            self._known[what] = work()
        found: Found = self._known[what]
        return found

    def trace(
        self,
        at: str,
        says: str,
        line: int = 0,
    ) -> Trace:
        """Evidence on this host; ``at`` is a path or what the machine calls the thing, ``line`` is
        0 where there is none."""
        return Trace(
            self.bundle.host,
            at,
            says.strip()[:SHOWN],
            line,
        )

    def quote(self, line: Line) -> Trace:
        """A line of a file as evidence."""
        return self.trace(
            line.path,
            line.text,
            line.number,
        )

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
        """Users other than root under which services run.

        Many a packaged service runs as a user that every machine has, as ``list`` or ``proxy``.
        """
        found: set[int] = set()
        for service in self.services:
            found |= self._uids_of(service)
        return frozenset(found - {ROOT})

    @cached_property
    def root_serves(self) -> bool:
        """Does a service that is no web server run as root alone?  It may write anywhere."""
        return any(service.uids == {ROOT} and not service.web for service in self.services)

    def _uids_of(self, service: Service) -> set[int]:
        """Whom its processes run as, and whom its unit and its configuration name: a master may
        give its rights up."""
        return self.once(f"uids of {service.name}", lambda: self._worked_out(service))

    def _worked_out(self, service: Service) -> set[int]:
        """The same; asked for with each folder."""
        found = set(service.uids)
        for name in (service.unit.get("User"), *workers_of(self.bundle, service)):
            uid = self.uid_of(name) if name else None
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

    # --- who may write where

    @cached_property
    def groups_of_services(self) -> Mapping[int, str]:
        """Number -> name of the groups that a service's user belongs to, root's own left out."""
        found: dict[int, str] = {}
        for name, group in self.bundle.groups.items():
            if group.gid != ROOT and self._members(group) & self.uids:
                found.setdefault(group.gid, name)
        return found

    def _members(self, group: Group) -> set[int | None]:
        """Those that the group names, and those whose first group it is."""
        named = {self.uid_of(member) for member in group.members}
        users = self.bundle.users.values()
        first = {user.uid for user in users if user.gid == group.gid}
        return named | first

    def writer(self, path: str) -> str | None:
        """By whom a folder can be written, in words; None: by no service."""
        folder = self.bundle.folder_at.get(path)
        if folder is None:
            return None
        if folder.uid in self.uids and folder.mode & _OWNER_WRITES:
            owner = self.bundle.user_names.get(folder.uid, folder.uid)
            return f"owned by {owner}"
        if folder.gid in self.groups_of_services and folder.mode & _GROUP_WRITES:
            group = self.groups_of_services[folder.gid]
            return f"writable by group {group}"
        if self.uids and folder.mode & _ALL_WRITE and path not in _SHARED:
            return "writable by everybody"
        return None

    def named_after(self, path: str) -> tuple[str, ...]:
        """Services of whose package or name a folder of /var is; who else may write there is no
        news."""
        found = []
        parts = path.split("/")
        owner = self.bundle.owner("/".join(parts[:4])) if parts[1:2] == ["var"] else None
        for service in self.services:
            if service.stem in parts[3:4] or (owner and owner == service.package):
                found.append(service.name)
        return tuple(found)

    def writers(self, folder: Folder) -> tuple[str, ...]:
        """The names of services whose user owns the folder, or whose group may write there."""
        owners = self.run_by(folder.uid)
        if owners or not folder.mode & _GROUP_WRITES:
            return owners
        found: list[str] = []
        for name, group in self.bundle.groups.items():
            if group.gid == folder.gid and name != "root":
                for uid in self._members(group):
                    found += self.run_by(uid) if uid is not None else ()
        return tuple(dict.fromkeys(found))

    # --- environment and code

    def environment(self, service: Service) -> Mapping[str, Declared]:
        """What the unit declares, later files over earlier ones (systemd.exec(5))."""
        declared = [*self._in_the_unit(service), *self._in_its_files(service)]
        return {variable.name: variable for variable in declared}

    def _in_the_unit(self, service: Service) -> Iterator[Declared]:
        """``Environment=`` of the unit (systemd.exec(5))."""
        words = _WORD.findall(service.unit.get("Environment"))
        for word in words:
            match = _ASSIGNMENT.match(word.strip('"'))
            if match is not None:
                place = self._says_of_a_unit(service.unit, f"{match[1]}=")
                trace = self.trace(place, match[0])
                yield Declared(
                    match[1],
                    match[2],
                    trace,
                )

    def _says_of_a_unit(self, unit: Unit, said: str) -> str:
        """The last of a unit's files that says it; its own file where none was collected."""
        own = unit.get("FragmentPath")
        for path in reversed((own, *unit.words("DropInPaths"))):
            text = self.bundle.text(path) if path else None
            if text is not None and any(said in line.text for line in text.live()):
                return path
        return own or unit.name

    def _in_its_files(self, service: Service) -> Iterator[Declared]:
        """``EnvironmentFile=`` of the unit, as far as these files were collected."""
        for line in self._lines_of_its_files(service):
            match = _ASSIGNMENT.match(line.text)
            if match is not None:
                name = match[1]
                value = match[2].strip().strip("\"'")
                yield Declared(
                    name,
                    value,
                    self.quote(line),
                )

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

    def works_in(
        self,
        service: Service,
        root: str,
    ) -> bool:
        """Does the service work in this tree, or is its program or script there?"""
        folders = [service.unit.folder, *service.unit.command.split()]
        folders += [self.bundle.folders_of.get(process.pid, "") for process in service.processes]
        places = (self.bundle.resolve(folder) for folder in folders if folder.startswith("/"))
        return any(under(place, [root]) for place in places)

    @cached_property
    def former_releases(self) -> tuple[str, ...]:
        """Releases that lie on the host and that nothing runs."""
        run_from = [service.unit.folder for service in self.services if service.unit.folder]
        return tuple(former_releases(self.bundle, run_from))

    @cached_property
    def code(self) -> tuple[Code, ...]:
        """Trees of live code, each file in one of them."""
        return tuple(live_code(self.bundle, self.former_releases))

    def reads(self, code: Code) -> dict[str, list[Trace]]:
        """Names of environment variables that this code reads, and where."""
        found: dict[str, list[Trace]] = defaultdict(list)
        for line in code.lines:
            for match in READS.finditer(line.text):
                name = match[1] or match[2]
                found[name].append(self.quote(line))
        return found

    def reads_somehow(self, code: Code) -> bool:
        """Whether it reads variables whose names cannot be told from the line: then nobody knows
        which ones it does not read."""
        return any(
            _READS_SOMEHOW.match(line.text) and not READS.search(line.text) for line in code.lines
        )

    # --- configuration

    @cached_property
    def changed(self) -> Mapping[str, str]:
        """Path of a file that its package would bring otherwise -> conffile or ucf."""
        return {
            changed.path: changed.kind
            for changed in self.bundle.changed
            if changed.kind != "packaged"
        }

    @cached_property
    def own_texts(self) -> tuple[Text, ...]:
        """Configuration that somebody wrote or changed here."""
        return tuple(
            configuration.own_texts(
                self.bundle,
                self.services,
                self.former_releases,
            )
        )

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

    def serves_files(self, trace: Trace) -> bool:
        """Is it a line of a web server, which names what it serves and writes none of it?"""
        return any(trace.at == text.path for text in self.web_texts)

    # --- paths

    @cached_property
    def _files(self) -> tuple[list[str], list[File]]:
        """Sorted by path, so that what lies below a folder is found by bisection."""
        files = sorted(self.bundle.files, key=lambda file: file.path)
        return [file.path for file in files], files

    def file_at(self, path: str) -> File | None:
        """The file at this path, if the collector listed it."""
        paths, files = self._files
        at = bisect_left(paths, path)
        return files[at] if at < len(files) and paths[at] == path else None

    def files_under(self, folder: str) -> list[File]:
        """Files that the collector listed one by one, in this folder and below it."""
        paths, files = self._files
        first = bisect_left(paths, f"{folder}/")
        last = bisect_left(paths, f"{folder}0")  # the character after the slash
        return files[first:last]

    @cached_property
    def named_paths(self) -> Mapping[str, list[Trace]]:
        """Absolute paths that live configuration, units or code name, and where they do."""
        found: dict[str, list[Trace]] = defaultdict(list)
        for path, line in named_paths(
            self.bundle,
            self.services,
            self.code,
        ):
            found[path].append(self.quote(line))
        for link in self.bundle.links:
            # A release that leads to a folder uses it, whether or not any line says so.
            if any(below(link, code.root) for code in self.code):
                target = self.bundle.links[link]
                found[self.bundle.resolve(link)].append(self.trace(link, f"-> {target}"))
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

    def came_with_a_package(self, file: File) -> bool:
        """Is it a package's own, or did its scripts write it while it was installed?"""
        if self.bundle.owner(file.path) is not None or not file.size:
            return True
        folder = parent_of(file.path)
        while folder:
            owner = self.bundle.owner(folder)
            if owner is not None:
                at = self.bundle.installed.get(owner)
                return at is not None and abs(file.modified - at) <= configuration.INSTALLING_S
            folder = parent_of(folder)
        return False

    def of_the_system(self, path: str) -> bool:
        """Does the operating system write there by itself?"""
        spools = self.once("spools", lambda: frozenset(debian().spools))
        return any(each in spools for each in around(path)) or "/systemd-private-" in path

    # --- by time

    @cached_property
    def schedules(self) -> Schedules:
        """Everything that runs by time."""
        return Schedules(self.bundle)

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


@lru_cache(maxsize=KEPT)
def view_of(bundle: Bundle) -> View:
    """The one view of this look at a host."""
    return View(bundle)
