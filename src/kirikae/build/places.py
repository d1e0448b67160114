"""Where each surveyed path goes: base, app, web or nowhere; one place, one reason."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kirikae.model.bundle import Bundle
from kirikae.model.finding import Finding
from kirikae.model.workload import Workload

_SECRET = re.compile(
    r"(^|/)(id_[a-z0-9]+|\.env|\.npmrc|\.netrc|\.pgpass|credentials|shadow-?|gshadow-?|machine-id|ssh_host_\w+)$|\.(pem|key|p12|jks)$|/private/"
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


@dataclass(frozen=True, slots=True)
class Place:
    """``place`` is base, app, web, nowhere or unplaced."""

    path: str
    place: str
    reason: str


def place_of(path: str, bundle: Bundle, workload: Workload, findings: Iterable[Finding]) -> Place:  # noqa: C901
    """The order of precedence: secret, state and logs and caches, host only, release, carried
    configuration, package (ours)."""
    real = bundle.resolve(path)
    if _SECRET.search(real):
        return Place(
            path, "nowhere", "secret: it goes into Secrets Manager or SSM, never into an image"
        )
    declared = [
        f for f in findings if f.code == "CF12" and f.where.partition(":")[0] in (path, real)
    ]
    for writable in workload.writable:
        if real == writable.path or real.startswith(writable.path + "/"):
            becomes = _PASSING.get(writable.kind, "state: it must be where both sides see it")
            return Place(
                path, "nowhere", f"{writable.code} {writable.kind} under {writable.path}: {becomes}"
            )
    if re.match(r"/(run|tmp|var/(log|cache|tmp|backups|mail|spool|lib/(dpkg|apt)))(/|$)", real):
        return Place(
            path, "nowhere", "made while the machine runs: logs, caches, the package manager's own"
        )
    folder = bundle.resolve(workload.folder)
    if (
        real == folder
        or real.startswith(folder + "/")
        or path == workload.folder
        or path.startswith(workload.folder + "/")
    ):
        inside = real.removeprefix(folder).lstrip("/")
        served = [
            s
            for s in (workload.web.static if workload.web else ())
            if inside == s or inside.startswith(s + "/")
        ]
        return Place(
            path,
            "app",
            "the release"
            + (f", and in the web sidecar, which serves {served[0]}/" if served else ""),
        )
    if workload.web is not None and real in (workload.web.path, bundle.resolve(workload.web.path)):
        return Place(
            path, "web", "carried configuration: the virtual host in the sidecar's nginx.conf"
        )
    if declared:
        return Place(
            path,
            "nowhere",
            "its variables go into the task definition, its secrets into Secrets "
            f"Manager or SSM ({declared[0].code})",
        )
    if real.startswith(_HOST):
        return Place(path, "nowhere", "host only: a container has no use for it")
    owner = bundle.owner(real) or bundle.owner(path)
    if owner is not None:
        return _packaged(path, owner, bundle, workload)
    carried = [
        f for f in findings if f.code in ("CF01", "CF02", "CF04") and f.where in (path, real)
    ]
    if carried:
        return Place(
            path,
            "unplaced",
            f"{carried[0].code} {carried[0].says}: does the service read it? Copy it in "
            "app.Dockerfile, or leave it behind",
        )
    return Place(
        path, "unplaced", "no rule knows where this belongs; tell in kirikae.yml or copy it by hand"
    )


def _packaged(path: str, owner: str, bundle: Bundle, workload: Workload) -> Place:
    if owner in workload.left_out:
        return Place(
            path,
            "web" if "web server" in workload.left_out[owner] else "nowhere",
            f"package {owner}, {workload.left_out[owner]}",
        )
    chosen = {name for name, _ in workload.packages}
    if owner in chosen:
        return Place(path, "base", f"file of package {owner}, which was chosen on the host")
    by_name = {p.name: p for p in bundle.packages}
    todo = [(name, name) for name in sorted(chosen)]
    seen = set(chosen)
    while todo:
        name, root = todo.pop(0)
        for word in re.findall(
            r"(?:^|[,|]\s*)([a-z0-9][a-z0-9+.-]+)", by_name[name].depends if name in by_name else ""
        ):
            if word == owner:
                return Place(path, "base", f"file of package {owner}, which {root} needs")
            if word in by_name and word not in seen:
                seen.add(word)
                todo.append((word, root))
    package = by_name.get(owner)
    if package is not None and (package.essential or package.priority in ("required", "important")):
        return Place(path, "base", f"file of package {owner}, part of every Debian")
    return Place(path, "nowhere", f"package {owner}: nothing that is carried over needs it")
