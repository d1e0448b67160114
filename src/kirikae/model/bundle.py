"""A bundle: what was collected from one host, as frozen facts.  Secrets are in it as fingerprints
only."""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import NamedTuple

MASKED = "<masked:"
_OF_NO_PACKAGE = ("/etc/", "/usr/local/", "/opt/", "/srv/", "/home/", "/root/", "/data/")
"""Where nobody's package puts a unit."""
_LINKS_AT_MOST = 40
"""As many as the kernel follows in one path."""


class User(NamedTuple):
    """A row of /etc/passwd (passwd(5))."""

    uid: int
    gid: int
    home: str
    shell: str


class Group(NamedTuple):
    """A row of /etc/group (group(5)): ``members`` are names, without those whose first group it
    is."""

    gid: int
    members: tuple[str, ...]


class Mount(NamedTuple):
    """What is mounted where; ``kind`` is the file system's, as /proc/mounts names it."""

    device: str
    place: str
    kind: str


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
    """One file; ``size`` in bytes, ``modified`` in seconds since 1970 by the host's clock.

    ``changed``: when it came to this place, which `cp -p` and `rsync -a` cannot hide.
    """

    path: str
    mode: int
    uid: int
    gid: int
    size: int
    modified: int
    changed: int = 0


class Changed(NamedTuple):
    """A file that is no longer what its package brought."""

    kind: str
    """conffile or ucf: configuration; packaged: any other."""
    state: str
    """modified or missing."""
    path: str


class FirstBytes(NamedTuple):
    """What a file begins with, in hexadecimal: a database is told by it, not by its name."""

    begins: str
    path: str


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package; ``depends`` is dpkg's line, as it stands there."""

    name: str
    version: str
    automatic: bool
    """Somebody else's dependency: nobody asked for it by name."""
    essential: bool
    priority: str
    section: str
    depends: str = ""
    held: bool = False
    """Somebody forbade newer versions of it."""

    @property
    def standard(self) -> bool:
        """Part of every Debian."""
        return self.essential or self.priority in ("required", "important")


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


class Opened(NamedTuple):
    """A file that is open for writing."""

    pid: int
    path: str


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that waits for whoever comes; ``pid`` is None where the survey could not see whose
    it is."""

    protocol: str
    address: str
    port: int
    pid: int | None


class Peer(NamedTuple):
    """Somebody else's end of a connection that this host opened."""

    protocol: str
    address: str
    port: int


class Connections(NamedTuple):
    """How many connections were open at the moment of the look: from here to a server elsewhere
    (``outward``), or from others to a port of this host; ``address`` is empty for the latter."""

    outward: bool
    address: str
    port: int
    many: int


class Key(NamedTuple):
    """A file that is secret as a whole, by its fingerprint: the content never left the host."""

    fingerprint: str
    path: str


class Certificate(NamedTuple):
    """A certificate of a web server; ``ends`` is None where its day could not be read."""

    ends: date | None
    path: str


@dataclass(frozen=True, slots=True)
class Log:
    """A file of logs.  ``lines`` is None where none were counted; of its last lines: those that go
    on a line before them, hold addresses of people, or hold a secret by its name."""

    path: str
    size: int
    modified: int
    lines: int | None = None
    going_on: int = 0
    people: int = 0
    secrets: int = 0


class Line(NamedTuple):
    """One line of a file: its path on the host, its number, and what it says."""

    path: str
    number: int
    text: str

    @property
    def at(self) -> str:
        """``path:number``, as evidence names it."""
        return f"{self.path}:{self.number}"


@dataclass(frozen=True, slots=True)
class Text:
    """A configuration file, secrets masked; ``fingerprint`` is of the whole file as it is."""

    path: str
    fingerprint: str
    lines: tuple[str, ...]

    def numbered(self) -> Iterator[Line]:
        """All lines; the first one has number 1."""
        for number, line in enumerate(self.lines, 1):
            yield Line(self.path, number, line)

    def live(self, comment: str = "#;") -> Iterator[Line]:
        """Lines that are neither empty nor a comment."""
        for line in self.numbered():
            said = line.text.strip()
            if said and said[0] not in comment:
                yield line


@dataclass(frozen=True, slots=True)
class Code:
    """One tree of code.

    ``files``: relative name -> fingerprint (empty for large trees).  ``lines``: those that say
    something about their surroundings.
    """

    root: str
    fingerprint: str
    count: int
    files: Mapping[str, str]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A service as systemd shows it; ``properties`` has systemd's own names."""

    name: str
    properties: Mapping[str, str]

    def get(self, name: str) -> str:
        """Empty for a property that systemd did not show."""
        return self.properties.get(name, "")

    @property
    def running(self) -> bool:
        """Not one that has done its work and ended (``exited``)."""
        return self.get("ActiveState") == "active" and self.get("SubState") == "running"

    @property
    def enabled(self) -> bool:
        """Does it start with the machine by a choice of somebody's?

        ``static`` units do not count.
        """
        return self.get("UnitFileState") == "enabled"

    @property
    def own(self) -> bool:
        """Written on this host, not by a package."""
        return self.get("FragmentPath").startswith(_OF_NO_PACKAGE) or self.get("Own") == "yes"

    @property
    def changed(self) -> bool:
        """Somebody of this host has a say in it: its own file, or one that is laid over it."""
        return self.own or any(
            path.startswith(_OF_NO_PACKAGE) for path in self.words("DropInPaths")
        )

    @property
    def command(self) -> str:
        """The command line of ExecStart."""
        _, _, rest = self.get("ExecStart").partition("argv[]=")
        return rest.split(" ; ", 1)[0].strip()

    @property
    def program(self) -> str:
        """The first word of the command line."""
        return self.command.split(" ")[0]

    @property
    def folder(self) -> str:
        """Where it works, as the unit names it; empty: nowhere in particular."""
        return self.get("WorkingDirectory").removeprefix("!").rstrip("/")

    def words(self, name: str) -> tuple[str, ...]:
        """A property that is a list; empty for one that systemd did not show."""
        return tuple(self.get(name).split())


class Timer(NamedTuple):
    """A timer of systemd."""

    unit: str
    state: str


class Scheduled(NamedTuple):
    """What cron looks at before it reads a file: its mode and owner (None where a link leads
    nowhere), and whether its last line ends."""

    path: str
    mode: int | None
    uid: int | None
    ends: bool


class LiveVariable(NamedTuple):
    """A variable in the environment of a running process, masked."""

    unit: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Watched:
    """What was written while the host was watched: a file, or a folder in which entries came and
    went.  ``first`` and ``last`` are the host's own times, ``times`` counts looks."""

    path: str
    folder: bool
    uid: int
    size: int
    first: int
    last: int
    times: int = 1
    files: int = 0
    """Of a folder: further files in it that are not named one by one."""


class Missing(NamedTuple):
    """What could not be seen, and why."""

    where: str
    why: str


@dataclass(frozen=True, eq=False)
class Bundle:
    """``host`` is the name in the project file, ``at`` when it was collected (the host's clock),
    ``began`` when PID 1 began; None where the host did not say.

    Two looks at a host are never the same one, whatever they saw: what was worked out of a look is
    kept by it.
    """

    host: str
    at: int | None
    began: int | None
    meta: Mapping[str, str]
    users: Mapping[str, User]
    groups: Mapping[str, Group]
    mounts: tuple[Mount, ...]
    packages: tuple[Package, ...]
    owners: Mapping[str, str]
    """path -> package"""
    changed: tuple[Changed, ...]
    folders: tuple[Folder, ...]
    files: tuple[File, ...]
    links: Mapping[str, str]
    """link -> what it names"""
    setuid: tuple[File, ...]
    magic: tuple[FirstBytes, ...]
    units: tuple[Unit, ...]
    timers: tuple[Timer, ...]
    processes: tuple[Process, ...]
    opened: tuple[Opened, ...]
    listeners: tuple[Listener, ...]
    peers: tuple[Peer, ...]
    spool: Mapping[str, int]
    """queue -> files that wait in it"""
    texts: tuple[Text, ...]
    live: tuple[LiveVariable, ...]
    code: tuple[Code, ...]
    installed: Mapping[str, int] = field(default_factory=dict)
    """package -> when it was installed; empty where that was not told"""
    schedules: tuple[Unit, ...] = ()
    """timers of systemd, as it shows them"""
    activated: tuple[Unit, ...] = ()
    """services that timers start"""
    cron: tuple[Scheduled, ...] = ()
    folders_of: Mapping[int, str] = field(default_factory=dict)
    """process -> where it works"""
    systemd: bool = True
    connections: tuple[Connections, ...] = ()
    keys: tuple[Key, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    logs: tuple[Log, ...] = ()
    missing: tuple[Missing, ...] = field(default=())
    watched: tuple[Watched, ...] = ()
    """What `survey watch` saw being written; it is kept beside the bundle"""

    @property
    def zone(self) -> str:
        """The machine's time zone; empty where it could not be read."""
        return self.meta.get("zone", "")

    @property
    def distribution(self) -> str:
        """Such as ``debian 12``."""
        name = self.meta.get("os_ID", "")
        version = self.meta.get("os_VERSION_ID", "")
        return f"{name} {version}".strip()

    @cached_property
    def user_names(self) -> Mapping[int, str]:
        """Number -> name; of several names with one number, the last in /etc/passwd."""
        return {user.uid: name for name, user in self.users.items()}

    @cached_property
    def by_path(self) -> Mapping[str, Text]:
        """Path, as it was collected -> text."""
        return {text.path: text for text in self.texts}

    def text(self, path: str) -> Text | None:
        """The configuration file at this path, also through links; None where it was not
        collected."""
        return self.by_path.get(self.resolve(path)) or self.by_path.get(path)

    def resolve(self, path: str) -> str:
        """Follow this host's links in a path, never this machine's.

        Hosts are full of absolute links, below /etc above all: opened here as they stand, they
        would lead to this machine's own files.
        """
        links_left = _LINKS_AT_MOST
        done = "/"
        todo = _parts(path)
        while todo:
            part = todo.pop(0)
            if part == ".":
                continue
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = posixpath.join(done, part)
            target = self.links.get(here)
            if target is None or links_left == 0:
                done = here
                continue
            links_left -= 1
            if target.startswith("/"):
                done = "/"
            todo = _parts(target) + todo
        return done

    def owner(self, path: str) -> str | None:
        """The package that this path belongs to (through usr-merge: /bin is /usr/bin)."""
        merged = path.removeprefix("/usr") if path.startswith("/usr/") else f"/usr{path}"
        return self.owners.get(path) or self.owners.get(merged)

    @cached_property
    def _folder_paths(self) -> list[str]:
        """Sorted, so that what lies below a folder is found by bisection."""
        return sorted(folder.path for folder in self.folders)

    @cached_property
    def folder_at(self) -> Mapping[str, Folder]:
        """Path -> folder."""
        return {folder.path: folder for folder in self.folders}

    def under(self, path: str) -> list[Folder]:
        """This directory and all below it."""
        paths = self._folder_paths
        found = [self.folder_at[path]] if path in self.folder_at else []
        prefix = path.rstrip("/") + "/"
        start = bisect_right(paths, prefix)
        at = start
        while at < len(paths) and paths[at].startswith(prefix):
            found.append(self.folder_at[paths[at]])
            at += 1
        return found


def _parts(path: str) -> list[str]:
    """The names in a path; empty ones (``//``) say nothing."""
    return [part for part in path.split("/") if part]
