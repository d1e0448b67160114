"""What of a host shall run in containers: the services, as the survey found them, ready to be
built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kirikae.model.bundle import MASKED, Line
from kirikae.model.runtimes import BINARY, Runtime


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable of the service; ``read`` is None where no code could be looked
    at."""

    name: str
    value: str
    read: bool | None

    @property
    def secret(self) -> bool:
        """Was its value masked by the collector, or a part of it, as the password in a URL?"""
        return MASKED in self.value

    @property
    def partly_secret(self) -> bool:
        """Does something stand around the secret?"""
        return self.secret and not (self.value.startswith(MASKED) and self.value.endswith(">"))


@dataclass(frozen=True, slots=True)
class Writable:
    """A tree that the service writes: ``kind`` is session, upload, cache, runtime, log, index,
    spool or unknown."""

    path: str
    kind: str
    code: str
    files: tuple[str, ...] = ()
    """Of a tree of logs: the files that are written now."""
    services: tuple[str, ...] = ()
    """Who writes there, by the names of the hosts' services."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the service used on one host while it was surveyed; ``pss_kib`` is None where it could
    not be read."""

    host: str
    cpus: float
    processes: int
    pss_kib: int | None


@dataclass(frozen=True, slots=True)
class WebServer:
    """The web server in front: its package, its virtual hosts (secrets masked), the port it has
    there, and static folders."""

    package: str
    version: str
    path: str
    lines: tuple[str, ...]
    port: int
    static: tuple[str, ...]
    """Folders below the service's working directory that it serves itself."""
    paths: tuple[str, ...] = ()
    """Every file whose lines are here."""
    modules: tuple[tuple[str, str], ...] = ()
    """(name, version) of further packages that it loads."""
    elsewhere: tuple[str, ...] = ()
    """Folders that it serves and that lie outside of the release."""
    secrets: tuple[Line, ...] = ()
    """Lines of its files that hold a secret, masked, as they stand on the host."""

    @property
    def carried(self) -> tuple[str, ...]:
        """Every file whose lines go into the sidecar."""
        return self.paths or (self.path,)


@dataclass(frozen=True, slots=True)
class Carried:
    """A file of configuration that goes into the image as it is on the host, secrets masked."""

    path: str
    lines: tuple[str, ...]
    own: bool
    """Somebody wrote or changed it; otherwise it is as its package brings it."""


@dataclass(frozen=True, slots=True)
class Lock:
    """How the language packages of a release are locked: ``manager`` is pip, npm, composer, bundler
    or cpan; ``files`` are names in the release; ``tree`` is where they lie once installed."""

    manager: str
    files: tuple[str, ...]
    tree: str


class Runs(StrEnum):
    """How a service runs on the new side."""

    IN_THE_TASK = "in the task"
    ALONE = "alone"
    ONCE = "once"


@dataclass(frozen=True)
class Workload:
    """Everything that ``build`` needs to know of one service and its hosts.  ``stop_s`` is how long
    stopping may take, ``nofile`` 0: the default."""

    unit: str
    distribution: str
    """Such as ``debian 12``."""
    command: tuple[str, ...]
    folder: str
    """Where the code lies on the hosts, as the unit names it."""
    user: str
    uid: int
    gid: int
    environment: tuple[Variable, ...]
    locale: str
    zone: str
    packages: tuple[tuple[str, str], ...]
    """(name, version) of what the service needs, without the web server in front."""
    requirements: bool
    """The release names language packages in a requirements.txt."""
    web: WebServer | None
    port: int
    """Where the service itself listens, behind the web server if there is one."""
    writable: tuple[Writable, ...]
    stop_s: int
    nofile: int
    measured: tuple[Measured, ...]
    left_out: Mapping[str, str]
    """Package -> why it is not in the image."""
    questions: tuple[str, ...] = ()
    """What must be answered before anything can be written."""
    name: str = "app"
    """Of its container."""
    runtime: Runtime = BINARY
    runs: Runs = Runs.IN_THE_TASK
    release: str = ""
    """The part of the release that is its code, with a slash at its end; empty: all of it."""
    carried: tuple[Carried, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    """Links of the configuration that somebody made: link -> what it names."""
    sockets: tuple[str, ...] = ()
    """Sockets on which the web server in front asks it, as paths of the host."""
    locks: tuple[Lock, ...] = ()
    virtual_environment: str = ""
    """Where Python's packages lie apart from the system's."""
    unpackaged: tuple[str, ...] = ()
    """Programs that it is started with and that are in no package."""
    image_of: str = ""
    """The service whose image it runs; empty: its own."""
    mails: bool = False
    """It hands mail to a server on its own host."""
    others: tuple[Workload, ...] = ()
    """The further services of the same hosts."""
    notes: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    """Files of configuration that somebody wrote or changed on the host."""

    @property
    def image(self) -> str:
        """The name of the image that it runs."""
        return self.image_of or self.name

    @property
    def every(self) -> Iterator[Workload]:
        """This one, and the others of its hosts."""
        yield self
        yield from self.others
