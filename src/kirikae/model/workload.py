"""What of a host shall run in containers: the one service, as the survey found it, ready to be
built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kirikae.model.bundle import MASKED


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
    """The web server in front: its package, its virtual host (secrets masked), the port it has
    there, and static folders."""

    package: str
    version: str
    path: str
    lines: tuple[str, ...]
    port: int
    static: tuple[str, ...]
    """Folders below the service's working directory that it serves itself."""


@dataclass(frozen=True)
class Workload:
    """Everything that ``build`` needs to know of the hosts.  ``stop_s`` is how long stopping may
    take, ``nofile`` 0: the default."""

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
