"""Configuration of the hosts as it goes into an image: on ports and with logs that a task has, and
with names in the place of secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from kirikae.build.masks import masks_of, named
from kirikae.model.bundle import MASKED
from kirikae.model.runtimes import ImageKind
from kirikae.model.workload import Carried, Workload

TEMPLATES = "usr/share/kirikae/templates"
"""Where files lie that get their values when a container begins."""
RENDERED = "/run/kirikae"
"""Where they stand then: in memory."""
_FPM_PORT = 9000
_FPM_DROPPED = re.compile(
    r"\s*(listen\.(owner|group|mode|acl_\w+|allowed_clients|backlog)|env\[\w+\]"
    r"|clear_env|catch_workers_output|decorate_workers_output)\s*="
)
_FPM_LISTEN = re.compile(r"\s*listen\s*=\s*(\S+)")
_FPM_LOG = re.compile(
    r"(\s*(?:error_log|access\.log|slowlog|php_(?:admin_)?value\[error_log\])\s*=\s*)(?!syslog)\S.*"
)
_FPM_SLOW = re.compile(r"\s*request_slowlog_timeout\s*=")
_FPM_PID = re.compile(r"\s*pid\s*=")
_FPM_POOL = re.compile(r"\s*\[(?!global\])[^\]]+\]")
_FPM_SAYS = (
    "clear_env = no",
    "catch_workers_output = yes",
    "decorate_workers_output = no",
)
_APACHE_LOG = re.compile(r"(\s*(?:CustomLog|TransferLog)\s+)(?:\"[^\"]*\"|[^\s|]\S*)", re.I)
_APACHE_ERROR = re.compile(r"(\s*ErrorLog\s+)(?!syslog)(?:\"[^\"|]*\"|[^\s|]\S*)", re.I)
_APACHE_LISTEN = re.compile(r"(\s*Listen\s+)(?:\[[^\]]*\]:|[\d.]+:)?(\d+)\b.*", re.I)
_APACHE_HOST = re.compile(r"(\s*<VirtualHost\s+)([^>]*)>", re.I)
_APACHE_VARIABLE = re.compile(r"(\s*)SetEnv\s+(\w+)\s", re.I)
_PHP_LOG = re.compile(r"\s*error_log\s*=\s*\S")


@dataclass(frozen=True)
class Layer:
    """What of a host's configuration goes into one image."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the image, without its first slash -> text."""
    links: Mapping[str, str] = field(default_factory=dict)
    clears: tuple[str, ...] = ()
    """Folders of the packages that hold exactly what the hosts have."""
    names: tuple[str, ...] = ()
    """Variables that a container must be given before it can begin."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Socket or address of the hosts -> port of the task's own network."""


def layer_of(workload: Workload, port: int, names: Mapping[str, str]) -> Layer:
    """``port``: the one that the load balancer asks, for a server that takes requests itself;
    ``names``: mask -> its name, where no variable of the service's own has it."""
    known = {**names, **masks_of(workload.environment)}
    match workload.runtime.image:
        case ImageKind.PHP_FPM:
            return _php_fpm(workload, known)
        case ImageKind.APACHE:
            return _apache(workload, port, known)
        case _:
            return Layer()


def names_in(text: str) -> tuple[str, ...]:
    """Variables that a text waits for, each once."""
    return tuple(dict.fromkeys(re.findall(r"@\{([A-Za-z_]\w*)\}", text)))


def _files(
    workload: Workload,
    known: Mapping[str, str],
    change: Callable[[Carried], Sequence[str]],
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Files that are the hosts' own or must be changed; with what they wait for."""
    files: dict[str, str] = {}
    names: list[str] = []
    for carried in workload.carried:
        lines = change(carried)
        if not carried.own and tuple(lines) == carried.lines:
            continue
        text = "".join(f"{named(line, known)}\n" for line in lines)
        waits = names_in(text)
        path = carried.path.lstrip("/")
        files[f"{TEMPLATES}/{path}" if waits else path] = text
        names += waits
    return files, tuple(dict.fromkeys(names))


def _layer(
    workload: Workload,
    known: Mapping[str, str],
    change: Callable[[Carried], Sequence[str]],
    clears: Sequence[str],
    ports: Mapping[str, int],
) -> Layer:
    files, names = _files(workload, known, change)
    links = {
        f"/{path.removeprefix(f'{TEMPLATES}/')}": path.replace(TEMPLATES, RENDERED, 1)
        for path in files
        if path.startswith(f"{TEMPLATES}/")
    }
    return Layer(
        files,
        {
            **workload.links,
            **links,
        },
        tuple(clears),
        names,
        ports,
    )


# --- php-fpm


def _php_fpm(workload: Workload, known: Mapping[str, str]) -> Layer:
    """Each pool on a port of its own: containers of a task share them, and no socket."""
    ports = fpm_ports(workload.sockets)
    pools = sorted({_folder(each.path) for each in workload.carried if "/pool.d/" in each.path})

    def change(carried: Carried) -> list[str]:
        if "/fpm/" not in carried.path:
            return list(carried.lines)
        return list(_of_fpm(carried, ports))

    return _layer(workload, known, change, pools, ports)


def fpm_ports(sockets: Sequence[str]) -> dict[str, int]:
    """A pool that listens on a port keeps it."""
    found: dict[str, int] = {}
    for socket in sockets:
        said = socket.rpartition(":")[2]
        if said.isdecimal() and not socket.startswith("/"):
            found[socket] = int(said)
    free = (port for port in count(_FPM_PORT) if port not in found.values())
    for socket in sockets:
        if socket not in found:
            found[socket] = next(free)
    return found


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _of_fpm(carried: Carried, ports: Mapping[str, int]) -> Iterator[str]:
    """A pool or the main file, for a master that is nobody's root."""
    for line in carried.lines:
        if line.lstrip().startswith((";", "#")):
            yield line if MASKED not in line else "; a comment with a secret stood here"
        elif _FPM_DROPPED.match(line) or _FPM_SLOW.match(line):
            continue
        elif _FPM_PID.match(line):
            yield "pid = /tmp/php-fpm.pid"
        elif (listen := _FPM_LISTEN.match(line)) is not None:
            yield f"listen = 127.0.0.1:{ports.get(listen[1], _FPM_PORT)}"
        elif (log := _FPM_LOG.match(line)) is not None:
            yield f"{log[1]}/proc/self/fd/2"
        else:
            yield line
            if _FPM_POOL.match(line):
                yield from _FPM_SAYS


# --- Apache


def _apache(workload: Workload, port: int, known: Mapping[str, str]) -> Layer:
    """What is switched on is exactly what the hosts have."""
    there = min(_listened(workload.carried), default=80)
    enabled = sorted({_folder(link) for link in workload.links if link.startswith("/etc/apache2/")})

    def change(carried: Carried) -> list[str]:
        if carried.path.startswith("/etc/php/"):
            return list(carried.lines)
        return list(_of_apache(carried, there, port))

    return _layer(workload, known, change, enabled, {})


def _listened(carried: Iterable[Carried]) -> Iterator[int]:
    for each in carried:
        for line in each.lines:
            match = _APACHE_LISTEN.match(line)
            if match is not None:
                yield int(match[2])


def _of_apache(
    carried: Carried,
    there: int,
    port: int,
) -> Iterator[str]:
    """One file; a line about TLS's own port listens nowhere, the load balancer does."""
    for line in carried.lines:
        if line.lstrip().startswith("#"):
            yield line if MASKED not in line else "# a comment with a secret stood here"
        elif (listen := _APACHE_LISTEN.match(line)) is not None:
            if int(listen[2]) == there:
                yield f"{listen[1]}{port}"
        elif (host := _APACHE_HOST.match(line)) is not None:
            yield f"{host[1]}{_address(host[2], there, port)}>"
        elif (variable := _APACHE_VARIABLE.match(line)) is not None:
            yield f"{variable[1]}PassEnv {variable[2]}"
        else:
            line = _APACHE_ERROR.sub(r"\1/proc/self/fd/2", line)
            yield _APACHE_LOG.sub(r"\1/proc/self/fd/1", line)


def _address(
    said: str,
    there: int,
    port: int,
) -> str:
    """``*:80`` on the port of the task; a host without a port means all of them."""
    parts = []
    for each in said.split():
        address, colon, number = each.rpartition(":")
        asked = address if address in ("*", "_default_") else "*"
        parts.append(f"{asked}:{port}" if colon and number == str(there) else each)
    return " ".join(parts)
