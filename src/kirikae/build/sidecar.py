"""nginx in front of the service: the hosts' virtual hosts on a port that needs no root."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from kirikae.build.masks import named
from kirikae.build.texts import text_of
from kirikae.model.bundle import MASKED
from kirikae.model.workload import WebServer

_FORMAT = re.compile(r"^\s*log_format\s+(\S+)")
_ACCESS_LOG = re.compile(r"(\baccess_log\s+)(?!off\s*;|syslog:)([^;{}]+);")
_ERROR_LOG = re.compile(r"(\berror_log\s+)(?!syslog:|stderr\b)([^;{}]+);")
_LISTEN = re.compile(r"^(\s*)listen\s+([^;]+);(.*)$")
_PORT = re.compile(r"(?:^|:)(\d+)$")
_SERVER = re.compile(r"\s*server\s*\{")
_OF_TLS = re.compile(r"^\s*(ssl_\w+|ssl|http2|http3|quic_\w+)\s[^;{}]*;\s*(#.*)?$")
_OF_THE_ROOT = re.compile(r"^\s*(\w+_temp_path|lock_file|pid|user)\s")
_CACHE = re.compile(r"(\b\w+_cache_path\s+)[\"']?(/[^\s\"';]+)[\"']?")
_TLS_WORDS = ("ssl", "http2", "quic", "spdy", "proxy_protocol")
_SOCKET = re.compile(r"unix:(/[^\s;:]+)")
_DEFAULTS = {
    "include": "include /etc/nginx/mime.types;",
    "default_type": "default_type application/octet-stream;",
    "sendfile": "sendfile on;",
    "access_log": "access_log /dev/stdout;",
}
_LOWEST = 1024
_TLS = 443


def nginx_conf(
    web: WebServer,
    port: int,
    ports: Mapping[str, int],
    names: Mapping[str, str],
) -> str:
    """``ports``: of sockets that are ports in a task; ``names``: mask -> its name."""
    formats = {name for line in web.lines for name in _FORMAT.findall(line)} | {"combined"}
    lines = [
        named(_on_ports(_to_stdout(line, formats), ports), names)
        for line in _without_comments_of_secrets(_listening(web, port))
    ]
    return text_of(
        "nginx.conf",
        paths=web.carried,
        port=port,
        modules=["all"] if web.modules else [],
        defaults=list(_defaults(web.lines)),
        lines=[f"    {line}".rstrip() for line in lines],
    )


def _defaults(lines: Sequence[str]) -> Iterator[str]:
    """What the hosts' own lines do not say."""
    depth = 0
    said = set()
    for line in lines:
        words = line.split("#")[0].split()
        if words and depth == 0:
            said.add("mime" if words[0] == "include" and "mime.types" in line else words[0])
        depth += line.count("{") - line.count("}")
    for name, line in _DEFAULTS.items():
        if (name if name != "include" else "mime") not in said:
            yield line


def _without_comments_of_secrets(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if not (MASKED in line and line.lstrip().startswith("#")):
            yield line


def _listening(web: WebServer, port: int) -> list[str]:
    """Each server listens once at each port; TLS ends at the load balancer."""
    chosen = _TLS if any(_is_tls(line) for line in web.lines) else web.port
    found: list[str] = []
    here: set[str] = set()
    for line in web.lines:
        if _SERVER.match(line):
            here = set()
        listen = _LISTEN.match(line)
        if listen is None:
            if not _OF_TLS.match(line) and not _OF_THE_ROOT.match(line):
                found.append(line)
            continue
        said = _listens(listen[2].split(), chosen, port)
        if said is not None and said.split()[0] not in here:
            here.add(said.split()[0])
            found.append(f"{listen[1]}listen {said};{listen[3]}")
        elif listen[3].strip():
            found.append(f"{listen[1]}{listen[3].strip()}")
    return found


def _is_tls(line: str) -> bool:
    listen = _LISTEN.match(line)
    return listen is not None and "ssl" in listen[2].split() and f"{_TLS}" in listen[2]


def _listens(
    words: Sequence[str],
    chosen: int,
    port: int,
) -> str | None:
    """None for an address of IPv6 or a socket: the load balancer asks neither."""
    place = words[0]
    if place.startswith(("[", "unix:")):
        return None
    match = _PORT.search(place)
    there = int(match[1]) if match else 80
    here = port if there == chosen else there
    if here < _LOWEST:
        here += 8001 if here + 8000 == port else 8000
    kept = [word for word in words[1:] if word not in _TLS_WORDS and "ipv6only" not in word]
    return " ".join([str(here), *kept])


def _on_ports(line: str, ports: Mapping[str, int]) -> str:
    """A socket of php-fpm's is a port of the task's own network."""

    def port(match: re.Match[str]) -> str:
        number = ports.get(match[1]) or ports.get(match[1].replace("/var/run/", "/run/"))
        return f"127.0.0.1:{number}" if number else match[0]

    return _SOCKET.sub(port, line)


def _to_stdout(line: str, formats: Collection[str]) -> str:
    """A file of the host's would not open: the root is read-only, and nginx no root.  A format that
    stands nowhere is not known here, so nginx's own is taken."""

    def access(found: re.Match[str]) -> str:
        words = found[2].split()
        named_format = f" {words[1]}" if len(words) > 1 and words[1] in formats else ""
        return f"{found[1]}/dev/stdout{named_format};"

    def error(found: re.Match[str]) -> str:
        words = found[2].split()
        level = f" {words[1]}" if len(words) > 1 else ""
        return f"{found[1]}stderr{level};"

    if line.lstrip().startswith("#"):
        return line
    return _CACHE.sub(r"\1/tmp\2", _ERROR_LOG.sub(error, _ACCESS_LOG.sub(access, line)))
