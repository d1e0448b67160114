"""Which paths the live configuration, the units and the code of a host name, and where they do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kirikae.model.bundle import Bundle, Code, Line
from kirikae.survey.services import Service

_PATH = re.compile(
    r"(?<![\w/.*$}-])"
    r"/(?:var|srv|opt|home|data|mnt|tmp|run|media|export)/[A-Za-z0-9._/@-]+",
)
_OF_THE_SYSTEM = ("/etc/logrotate.d/", "/etc/apparmor", "/etc/ufw/")
"""They name folders of programs that are not there."""
FOLDERS_OF_SYSTEMD = {
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "RuntimeDirectory": "/run",
}


class Named(NamedTuple):
    """A path, and the line that names it."""

    path: str
    line: Line


def named_paths(
    bundle: Bundle,
    services: Sequence[Service],
    live_code: Sequence[Code],
) -> Iterator[Named]:
    """``line``: of a unit it has number 0, for systemd does not tell one."""
    for line in _lines(bundle):
        yield from _in(line, line.text)
    for service in services:
        yield from _in_unit(service)
    for code in live_code:
        for line in code.lines:
            yield from _in(line, line.text)


def _lines(bundle: Bundle) -> Iterator[Line]:
    """Live lines of all configuration that was collected, without files about programs that may not
    be there."""
    for text in bundle.texts:
        if not text.path.startswith(_OF_THE_SYSTEM):
            yield from text.live()


def _in(line: Line, said: str) -> Iterator[Named]:
    """The paths in one line of text."""
    for match in _PATH.finditer(said):
        yield Named(match[0].rstrip("/."), line)


def _in_unit(service: Service) -> Iterator[Named]:
    """What a unit names itself, and the folders that systemd makes for it (systemd.exec(5))."""
    unit = service.unit
    for key in ("ExecStart", "ReadWritePaths", "Environment"):
        line = Line(unit.name, 0, f"{key} of the unit")
        yield from _in(line, unit.get(key))
    for key, base in FOLDERS_OF_SYSTEMD.items():
        for name in unit.words(key):
            line = Line(unit.name, 0, f"{key}={name}")
            yield Named(f"{base}/{name}", line)
