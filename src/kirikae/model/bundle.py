"""A bundle: what was collected from one host, as frozen facts.  Secrets are in it as fingerprints
only."""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

MASKED = "<masked:"


@dataclass(frozen=True, slots=True)
class Folder:
    """One directory; ``files`` lie directly in it, ``newest`` (seconds since 1970) is the latest
    change among them."""

    path: str
    mode: int
    uid: int
    gid: int
    files: int
    size: int
    newest: int
    newest_name: str


@dataclass(frozen=True, slots=True)
class File:
    path: str
    mode: int
    uid: int
    gid: int
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    automatic: bool
    essential: bool
    priority: str
    section: str
    depends: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """``cpu_s`` is what it has used since it began; ``pss_kib`` is None where it could not be
    read."""

    pid: int
    parent: int
    uid: int
    began: int
    cpu_s: float
    pss_kib: int | None
    unit: str
    nofile: int | None
    exe: str
    command: str


@dataclass(frozen=True, slots=True)
class Listener:
    protocol: str
    address: str
    port: int
    pid: int | None


@dataclass(frozen=True, slots=True)
class Text:
    """A configuration file, secrets masked; ``fingerprint`` is of the whole file as it is."""

    path: str
    fingerprint: str
    lines: tuple[str, ...]

    def live(self, comment: str = "#;") -> Iterator[tuple[int, str]]:
        """Numbered lines that are neither empty nor a comment."""
        for number, line in enumerate(self.lines, 1):
            if line.strip() and line.strip()[0] not in comment:
                yield number, line


@dataclass(frozen=True, slots=True)
class Token:
    """A line of code that says something about its surroundings."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """One tree of code; ``files`` maps relative names to fingerprints (empty for large trees)."""

    root: str
    fingerprint: str
    count: int
    files: Mapping[str, str]
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A service as systemd shows it; ``properties`` has systemd's own names."""

    name: str
    properties: Mapping[str, str]

    def get(self, name: str) -> str:
        return self.properties.get(name, "")

    @property
    def running(self) -> bool:
        return self.get("ActiveState") == "active" and self.get("SubState") == "running"

    @property
    def own(self) -> bool:
        """Written on this host, not by a package."""
        return self.get("FragmentPath").startswith("/etc/")

    @property
    def command(self) -> str:
        """The command line of ExecStart."""
        shown = self.get("ExecStart")
        _, _, rest = shown.partition("argv[]=")
        return rest.split(" ; ", 1)[0].strip()

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(self.get(name).split())


@dataclass(frozen=True)
class Bundle:
    """``host`` is the name in the project file, ``at`` when it was collected (the host's clock),
    ``began`` when PID 1 began."""

    host: str
    at: int
    began: int
    meta: Mapping[str, str]
    users: Mapping[str, tuple[int, int, str, str]]
    """name -> (uid, gid, home, shell)"""
    groups: Mapping[str, tuple[int, tuple[str, ...]]]
    mounts: tuple[tuple[str, str, str], ...]
    packages: tuple[Package, ...]
    owners: Mapping[str, str]
    """path -> package"""
    changed: tuple[tuple[str, str, str], ...]
    """(conffile | ucf, modified | missing, path)"""
    folders: tuple[Folder, ...]
    files: tuple[File, ...]
    links: Mapping[str, str]
    setuid: tuple[File, ...]
    magic: tuple[tuple[str, str], ...]
    units: tuple[Unit, ...]
    timers: tuple[tuple[str, str], ...]
    processes: tuple[Process, ...]
    opened: tuple[tuple[int, str], ...]
    """(pid, path) of files that are open for writing"""
    listeners: tuple[Listener, ...]
    peers: tuple[tuple[str, str, int], ...]
    """(protocol, address, port) of established connections to elsewhere"""
    spool: Mapping[str, int]
    texts: tuple[Text, ...]
    live: tuple[tuple[str, str, str], ...]
    """(unit, name, value) of running processes' environments, masked"""
    code: tuple[Code, ...]
    missing: tuple[tuple[str, str], ...] = field(default=())
    """What could not be seen, and why."""

    @cached_property
    def user_names(self) -> Mapping[int, str]:
        return {uid: name for name, (uid, _, _, _) in self.users.items()}

    @cached_property
    def by_path(self) -> Mapping[str, Text]:
        return {t.path: t for t in self.texts}

    def text(self, path: str) -> Text | None:
        return self.by_path.get(self.resolve(path)) or self.by_path.get(path)

    def resolve(self, path: str) -> str:
        """Follow this host's links in a path, never this machine's (40 links at most, like the
        kernel)."""
        budget = 40
        done = "/"
        todo = [p for p in path.split("/") if p]
        while todo:
            part = todo.pop(0)
            if part == ".":
                continue
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = posixpath.join(done, part)
            target = self.links.get(here)
            if target is None or budget == 0:
                done = here
                continue
            budget -= 1
            if target.startswith("/"):
                done = "/"
            todo = [p for p in target.split("/") if p] + todo
        return done

    def owner(self, path: str) -> str | None:
        """The package that this path belongs to (through usr-merge: /bin is /usr/bin)."""
        for candidate in (
            path,
            path.removeprefix("/usr") if path.startswith("/usr/") else f"/usr{path}",
        ):
            if candidate in self.owners:
                return self.owners[candidate]
        return None

    @cached_property
    def _folder_paths(self) -> list[str]:
        return sorted(f.path for f in self.folders)

    @cached_property
    def folder_at(self) -> Mapping[str, Folder]:
        return {f.path: f for f in self.folders}

    def under(self, path: str) -> list[Folder]:
        """This directory and all below it."""
        paths = self._folder_paths
        found = [self.folder_at[path]] if path in self.folder_at else []
        prefix = path.rstrip("/") + "/"
        start = bisect_right(paths, prefix)
        for candidate in paths[start:]:
            if not candidate.startswith(prefix):
                break
            found.append(self.folder_at[candidate])
        return found
