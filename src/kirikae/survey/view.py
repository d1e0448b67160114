"""What a bundle means: which services run on the host, as whom, since when, with which environment
and configuration."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from kirikae.model.bundle import MASKED, Bundle, Code, Process, Text, Unit
from kirikae.model.finding import Trace
from kirikae.survey.catalogue import debian, matches, under

READS = re.compile(
    r"""(?:environ(?:\.get)?\s*[\[(]|getenv\s*\(|Getenv\(|ENV(?:\.fetch)?\s*[\[(]|_ENV\[|process\.env\[)\s*["']([A-Za-z_][A-Za-z0-9_]*)["']|process\.env\.([A-Za-z_][A-Za-z0-9_]*)"""
)
ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$")
_BY_THE_RUNTIME = re.compile(
    r"^(LANG|LANGUAGE|LC_\w+|TZ|PATH|HOME|USER|LOGNAME|SHELL|PWD|TMPDIR|TERM|AWS_\w+|PYTHON\w*|GUNICORN_CMD_ARGS|WEB_CONCURRENCY|PORT|"
    r"\w+_PROXY|\w+_proxy|NODE_\w+|RAILS_\w+|RACK_\w+|JAVA_\w+|LD_\w+|MALLOC_\w+|GO\w+|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_\w+|NOTIFY_SOCKET|LISTEN_\w+|MEMORY_PRESSURE_\w+)$"
)

_MADE_AT_INSTALLATION = (
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/mailname",
    "/etc/fstab",
    "/etc/timezone",
    "/etc/default/locale",
    "/etc/apt/sources.list",
    "/etc/environment",
    "/etc/aliases",
    "/etc/shells",
    "/etc/motd",
    "/etc/issue",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/networks",
    "/etc/profile",
    "/etc/nsswitch.conf",
    "/etc/email-addresses",
    "/etc/default/exim4",
    "/etc/host.conf",
)
"""Files that no package owns and no person wrote."""


@dataclass(frozen=True, slots=True)
class Service:
    """A unit that belongs to the service on this host, not to the operating system; ``began`` 0: it
    does not run."""

    unit: Unit
    processes: tuple[Process, ...]
    uids: frozenset[int]
    began: int
    package: str | None
    """The package that brought it; None for a unit of this host's own."""

    @property
    def name(self) -> str:
        return self.unit.name.removesuffix(".service")


@dataclass(frozen=True, slots=True)
class Declared:
    """One environment variable as a unit declares it."""

    name: str
    value: str
    trace: Trace

    @property
    def secret(self) -> bool:
        return self.value.startswith(MASKED)


class View:
    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def trace(self, at: str, says: str, line: int = 0) -> Trace:
        return Trace(self.bundle.host, at, says.strip()[:200], line)

    # --- services

    @cached_property
    def services(self) -> tuple[Service, ...]:
        out = []
        by_unit: dict[str, list[Process]] = defaultdict(list)
        for process in self.bundle.processes:
            by_unit[process.unit].append(process)
        for unit in self.bundle.units:
            ignored = matches(unit.name, debian()["units"]) or matches(
                unit.name, debian()["agents"]
            )
            # A unit file of nobody's that does not run yet and is enabled is a service as well; a
            # link to nothing is not.
            counts = unit.running or (
                unit.own and unit.get("UnitFileState") == "enabled" and unit.get("ExecStart")
            )
            if ignored or not counts:
                continue
            processes = tuple(by_unit[unit.name])
            uids = {p.uid for p in processes} or {self.uid_of(unit.get("User") or "root")}
            package = None if unit.own else self.bundle.owner(unit.get("FragmentPath"))
            # Workers, not the master that outlives a graceful reload: they are what runs the code
            # of now.
            parents = {p.parent for p in processes}
            began = min((p.began for p in processes if p.pid not in parents), default=0)
            out.append(Service(unit, processes, frozenset(uids), began, package))
        return tuple(out)

    def uid_of(self, name: str) -> int:
        if name.isdigit():
            return int(name)
        return self.bundle.users.get(name, (0, 0, "", ""))[0]

    @cached_property
    def uids(self) -> frozenset[int]:
        """Users other than root under which services and own cron jobs run."""
        system = {
            uid
            for name, (uid, _, _, _) in self.bundle.users.items()
            if matches(name, debian()["users"])
        }
        found = {uid for s in self.services for uid in s.uids}
        found |= {self.uid_of(s.unit.get("User")) for s in self.services if s.unit.get("User")}
        return frozenset(found - system - {0})

    def is_web(self, service: Service) -> bool:
        return any(
            service.name == w or service.unit.command.split(" ")[0].endswith(f"/{w}")
            for w in debian()["web_servers"]
        )

    @cached_property
    def web(self) -> tuple[Service, ...]:
        return tuple(s for s in self.services if self.is_web(s))

    @cached_property
    def applications(self) -> tuple[Service, ...]:
        """Own units first: what somebody wrote a unit for is what the host is for."""
        own = tuple(s for s in self.services if s.unit.own and not self.is_web(s))
        return own or tuple(s for s in self.services if not self.is_web(s))

    def service_of(self, uid: int) -> tuple[str, ...]:
        return tuple(
            s.name
            for s in self.services
            if uid in s.uids or (s.unit.get("User") and self.uid_of(s.unit.get("User")) == uid)
        )

    # --- environment

    def environment(self, service: Service) -> Mapping[str, Declared]:
        """What the unit declares, later files over earlier ones (systemd.exec(5))."""
        out: dict[str, Declared] = {}
        place = service.unit.get("FragmentPath") or service.unit.name
        for word in re.findall(r'(?:"[^"]*"|\S)+', service.unit.get("Environment")):
            if match := ASSIGNMENT.match(word.strip('"')):
                out[match[1]] = Declared(match[1], match[2], self.trace(place, match[0]))
        for line in service.unit.get("EnvironmentFiles").split("\n"):
            text = self.bundle.text(line.partition(" (")[0].strip()) if line else None
            for number, assignment in text.live() if text else ():
                if match := ASSIGNMENT.match(assignment):
                    value = match[2].strip().strip("\"'")
                    assert text is not None
                    out[match[1]] = Declared(
                        match[1], value, self.trace(text.path, assignment, number)
                    )
        return out

    def code_of(self, service: Service) -> Code | None:
        """The tree of code that the unit works in, if it was read."""
        folder = service.unit.get("WorkingDirectory").removeprefix("!")
        if not folder:
            return None
        real = self.bundle.resolve(folder)
        return next((c for c in self.bundle.code if c.root == real), None)

    def reads(self, code: Code) -> dict[str, list[Trace]]:
        """Names of environment variables that this code reads, and where."""
        out: dict[str, list[Trace]] = defaultdict(list)
        for token in code.tokens:
            for match in READS.finditer(token.text):
                out[match[1] or match[2]].append(
                    self.trace(f"{code.root}/{token.path}", token.text, token.line)
                )
        return out

    @staticmethod
    def by_the_runtime(name: str) -> bool:
        """Read by the language or the AWS SDK, not by the service's own code."""
        return bool(_BY_THE_RUNTIME.match(name))

    # --- configuration

    @cached_property
    def changed(self) -> frozenset[str]:
        return frozenset(path for _, state, path in self.bundle.changed if state == "modified")

    def unowned(self, path: str) -> bool:
        return self.bundle.owner(path) is None

    @cached_property
    def own_texts(self) -> tuple[Text, ...]:
        """Configuration that somebody wrote or changed here: what differs from a fresh machine."""
        made = {path for kind, _, path in self.bundle.changed if kind == "ucf"}
        out = []
        for text in self.bundle.texts:
            path = text.path
            if path in _MADE_AT_INSTALLATION or path.startswith(
                (
                    "/etc/exim4/",
                    "/etc/ssh/",
                    "/etc/sv/",
                    "/etc/apt/",
                    "/etc/ucf",
                    "/etc/cron.d/.",
                    "/etc/ssl/",
                    "/etc/postgresql-common/",
                )
            ):
                continue
            if (
                path in self.changed
                or path in made
                or (self.unowned(path) and not self._installed(path))
            ):
                out.append(text)
        return tuple(out)

    def _installed(self, path: str) -> bool:
        """Written by an installed package's scripts: unowned, but as old as the machine and never
        touched since.

        A cluster's configuration below a packaged server's folder is that server's.
        """
        parts = path.split("/")
        folder = "/".join(parts[:3])
        return (
            path.startswith("/etc/")
            and len(parts) > 4
            and folder in self.bundle.owners
            and not self._served(folder)
        )

    def _served(self, folder: str) -> bool:
        """The configuration folder of something that runs here."""
        owner = self.bundle.owners.get(folder)
        return any(
            folder.endswith(f"/{s.name.split('@')[0]}") or (owner and owner == s.package)
            for s in self.services
        )

    def nginx_tree(self) -> Iterator[Text]:
        """The files that nginx reads: nginx.conf and what it includes."""
        yield from self._included(
            "/etc/nginx/nginx.conf", "/etc/nginx", re.compile(r"^\s*include\s+([^;]+);"), set()
        )

    def _included(
        self, path: str, base: str, include: re.Pattern[str], seen: set[str]
    ) -> Iterator[Text]:
        text = self.bundle.text(path)
        if text is None or text.path in seen:
            return
        seen.add(text.path)
        yield text
        for _, line in text.live():
            if match := include.match(line):
                pattern = match[1].strip().strip("\"'")
                pattern = pattern if pattern.startswith("/") else f"{base}/{pattern}"
                for name in sorted({*self.bundle.links, *self.bundle.by_path}):
                    if matches(name, [pattern]) and name.count("/") == pattern.count("/"):
                        yield from self._included(name, base, include, seen)

    @cached_property
    def web_texts(self) -> tuple[Text, ...]:
        """Live configuration of the web servers that run here."""
        names = {s.name for s in self.web}
        out: list[Text] = []
        if "nginx" in names:
            out += self.nginx_tree()
        if names & {"apache2", "httpd"}:
            base = "/etc/apache2" if "apache2" in names else "/etc/httpd"
            start = f"{base}/apache2.conf" if "apache2" in names else f"{base}/conf/httpd.conf"
            out += self._included(
                start, base, re.compile(r"^\s*Include(?:Optional)?\s+(\S+)"), set()
            )
        return tuple(out)

    @cached_property
    def named_paths(self) -> dict[str, list[Trace]]:  # noqa: C901
        """Absolute paths that live configuration, units or code name, and where they do."""
        out: dict[str, list[Trace]] = defaultdict(list)
        pattern = re.compile(
            r"(?<![\w/.*$}-])/(?:var|srv|opt|home|data|mnt|tmp|run|media|export)/[A-Za-z0-9._/@-]+"
        )

        def note(line: str, trace: Trace) -> None:
            for match in pattern.finditer(line):
                out[match[0].rstrip("/.")].append(trace)

        for text in self.bundle.texts:
            if text.path.startswith(("/etc/logrotate.d/", "/etc/apparmor", "/etc/ufw/")):
                continue
            for number, line in text.live():
                note(line, self.trace(text.path, line, number))
        for service in self.services:
            for key in ("ExecStart", "ReadWritePaths"):
                note(service.unit.get(key), self.trace(service.unit.name, f"{key} of the unit"))
            for key, base in (
                ("StateDirectory", "/var/lib"),
                ("CacheDirectory", "/var/cache"),
                ("LogsDirectory", "/var/log"),
                ("RuntimeDirectory", "/run"),
            ):
                for name in service.unit.words(key):
                    out[f"{base}/{name}"].append(self.trace(service.unit.name, f"{key}={name}"))
        for code in self.bundle.code:
            for token in code.tokens:
                note(token.text, self.trace(f"{code.root}/{token.path}", token.text, token.line))
        return out

    def naming(self, folder: str) -> list[Trace]:
        """Who names this folder, something in it, or a folder around it that is not a common
        one."""
        out = []
        for path, traces in self.named_paths.items():
            if (
                path == folder
                or path.startswith(folder + "/")
                or (folder.startswith(path + "/") and path.count("/") >= 3)
            ):
                out += traces
        return out

    # --- running

    @cached_property
    def process_at(self) -> Mapping[int, Process]:
        return {p.pid: p for p in self.bundle.processes}

    def opened_by_services(self) -> Iterator[tuple[str, Process]]:
        """Files that processes of services have open for writing."""
        units = {s.unit.name for s in self.services}
        for pid, path in self.bundle.opened:
            process = self.process_at.get(pid)
            if process is not None and process.unit in units:
                yield path.removesuffix(" (deleted)"), process

    def of_the_system(self, path: str) -> bool:
        return under(path, debian()["spools"]) or "/systemd-private-" in path
