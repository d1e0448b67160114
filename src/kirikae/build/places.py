"""Where each surveyed path goes: base, app, web or nowhere; one place, one reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kirikae.model.bundle import Bundle, Package
from kirikae.model.finding import Finding
from kirikae.model.workload import Workload

_SECRET = re.compile(
    r"(^|/)(id_[a-z0-9]+|\.env|\.npmrc|\.netrc|\.pgpass|credentials|shadow-?|gshadow-?|machine-id"
    r"|ssh_host_\w+)$|\.(pem|key|p12|jks)$|/private/",
)
_MADE_WHILE_RUNNING = re.compile(
    r"/(run|tmp|var/(log|cache|tmp|backups|mail|spool|lib/(dpkg|apt)))(/|$)",
)
_HOST = (
    "/boot",
    "/etc/ssh",
    "/etc/cron",
    "/var/spool/cron",
    "/etc/systemd",
    "/etc/exim4",
    "/etc/postfix",
    "/etc/apt",
    "/etc/logrotate",
    "/etc/rsyslog",
    "/etc/init.d",
    "/etc/rc",
    "/etc/network",
    "/etc/fstab",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/root",
    "/proc",
    "/sys",
    "/dev",
    "/lost+found",
)
_PASSING = {
    "cache": "a tmpfs in the task",
    "runtime": "made anew at every start",
    "log": "stdout and stderr instead",
}
_STATE = "state: it must be where both sides see it"
_DECLARED = "CF12"
"""The finding of a file that declares the service's variables."""
_CARRIED = ("CF01", "CF02", "CF04")
"""Findings of configuration that somebody wrote or changed by hand."""
_EVERYWHERE = ("required", "important")
"""Priorities of packages that every Debian has."""
_DEPENDENCY = re.compile(r"(?:^|[,|]\s*)([a-z0-9][a-z0-9+.-]+)")


class Where(StrEnum):
    """The storey of an image, or none; ``UNPLACED``: no rule knows."""

    BASE = "base"
    APP = "app"
    WEB = "web"
    NOWHERE = "nowhere"
    UNPLACED = "unplaced"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path goes, and why."""

    path: str
    place: Where
    reason: str

    def to_plain(self) -> dict[str, str]:
        """Plain data for ``--json``."""
        return {"path": self.path, "place": self.place.value, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A path as it was asked for, what it really is on the host, and all that is known there."""

    path: str
    real: str
    bundle: Bundle
    workload: Workload
    findings: Sequence[Finding]

    def goes(self, place: Where, reason: str) -> Place:
        """The answer for this path."""
        return Place(self.path, place, reason)

    def found(self, *codes: str) -> Finding | None:
        """The first finding of these codes that is about this path, or about a name in it."""
        for finding in self.findings:
            if finding.code in codes and finding.where.partition(":")[0] in (self.path, self.real):
                return finding
        return None


def place_of(path: str, bundle: Bundle, workload: Workload, findings: Iterable[Finding]) -> Place:
    """The first rule that knows it, in their order of precedence (ours)."""
    asked = _Asked(path, bundle.resolve(path), bundle, workload, tuple(findings))
    for rule in _RULES:
        place = rule(asked)
        if place is not None:
            return place
    return asked.goes(
        Where.UNPLACED,
        "no rule knows where this belongs; tell in kirikae.yml or copy it by hand",
    )


def _secret(asked: _Asked) -> Place | None:
    """First of all rules: nothing that looks like a secret goes into an image, whatever else it
    is."""
    if not _SECRET.search(asked.real):
        return None
    return asked.goes(
        Where.NOWHERE,
        "secret: it goes into Secrets Manager or SSM, never into an image",
    )


def _written_by_the_service(asked: _Asked) -> Place | None:
    """State, a cache or a log: no part of the image."""
    for writable in asked.workload.writable:
        if _is_below(asked.real, writable.path):
            becomes = _PASSING.get(writable.kind, _STATE)
            return asked.goes(
                Where.NOWHERE,
                f"{writable.code} {writable.kind} under {writable.path}: {becomes}",
            )
    return None


def _made_while_running(asked: _Asked) -> Place | None:
    """It would be old before it runs."""
    if not _MADE_WHILE_RUNNING.match(asked.real):
        return None
    return asked.goes(
        Where.NOWHERE,
        "made while the machine runs: logs, caches, the package manager's own",
    )


def _of_the_release(asked: _Asked) -> Place | None:
    """Code comes with the release, not from the hosts."""
    folder = asked.bundle.resolve(asked.workload.folder)
    by_name = _is_below(asked.path, asked.workload.folder)
    if not by_name and not _is_below(asked.real, folder):
        return None
    inside = asked.real.removeprefix(folder).lstrip("/")
    static = asked.workload.web.static if asked.workload.web is not None else ()
    for served in static:
        if _is_below(inside, served):
            return asked.goes(
                Where.APP,
                f"the release, and in the web sidecar, which serves {served}/",
            )
    return asked.goes(Where.APP, "the release")


def _virtual_host(asked: _Asked) -> Place | None:
    """The one file of the web server that is carried over."""
    web = asked.workload.web
    if web is None or asked.real not in (web.path, asked.bundle.resolve(web.path)):
        return None
    return asked.goes(
        Where.WEB,
        "carried configuration: the virtual host in the sidecar's nginx.conf",
    )


def _declares_variables(asked: _Asked) -> Place | None:
    """The file itself stays behind; what it says does not."""
    finding = asked.found(_DECLARED)
    if finding is None:
        return None
    return asked.goes(
        Where.NOWHERE,
        "its variables go into the task definition, its secrets into Secrets "
        f"Manager or SSM ({finding.code})",
    )


def _of_the_host(asked: _Asked) -> Place | None:
    """Matters of the machine: how it boots, who logs in, what it mounts."""
    if not asked.real.startswith(_HOST):
        return None
    return asked.goes(Where.NOWHERE, "host only: a container has no use for it")


def _of_a_package(asked: _Asked) -> Place | None:
    """With its package, or not at all."""
    owner = asked.bundle.owner(asked.real) or asked.bundle.owner(asked.path)
    if owner is None:
        return None
    left_out = asked.workload.left_out.get(owner)
    if left_out is not None:
        place = Where.WEB if "web server" in left_out else Where.NOWHERE
        return asked.goes(place, f"package {owner}, {left_out}")
    why = _why_in_the_base(owner, asked)
    if why is not None:
        return asked.goes(Where.BASE, f"file of package {owner}, {why}")
    return asked.goes(Where.NOWHERE, f"package {owner}: nothing that is carried over needs it")


def _carried_over(asked: _Asked) -> Place | None:
    """Written by hand, and no rule before knew it: a person decides."""
    finding = asked.found(*_CARRIED)
    if finding is None:
        return None
    return asked.goes(
        Where.UNPLACED,
        f"{finding.code} {finding.says}: does the service read it? Copy it in "
        "app.Dockerfile, or leave it behind",
    )


_RULES: tuple[Callable[[_Asked], Place | None], ...] = (
    _secret,
    _written_by_the_service,
    _made_while_running,
    _of_the_release,
    _virtual_host,
    _declares_variables,
    _of_the_host,
    _of_a_package,
    _carried_over,
)


def _is_below(path: str, folder: str) -> bool:
    """The folder itself, or anything in it."""
    return path == folder or path.startswith(folder + "/")


def _why_in_the_base(owner: str, asked: _Asked) -> str | None:
    """None: nothing needs this package."""
    chosen = {name for name, _ in asked.workload.packages}
    if owner in chosen:
        return "which was chosen on the host"
    packages = {package.name: package for package in asked.bundle.packages}
    for needed, root in _needed(sorted(chosen), packages):
        if needed == owner:
            return f"which {root} needs"
    package = packages.get(owner)
    if package is not None and (package.essential or package.priority in _EVERYWHERE):
        return "part of every Debian"
    return None


def _needed(chosen: Sequence[str], packages: dict[str, Package]) -> Iterator[tuple[str, str]]:
    """(package, the chosen one that needs it, perhaps through others), nearest first."""
    queue = [(name, name) for name in chosen]
    seen = set(chosen)
    while queue:
        name, root = queue.pop(0)
        depends = packages[name].depends if name in packages else ""
        for needed in _DEPENDENCY.findall(depends):
            yield needed, root
            if needed in packages and needed not in seen:
                seen.add(needed)
                queue.append((needed, root))
