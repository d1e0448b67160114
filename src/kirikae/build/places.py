"""Where each surveyed path goes: base, app, web or nowhere; one place, one reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from kirikae.model.build_settings import PlacedPath
from kirikae.model.bundle import Bundle, Package
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
    "/etc/security",
    "/etc/sysctl",
    "/etc/sudoers",
    "/etc/pam.d",
    "/etc/udev",
    "/etc/modprobe",
    "/etc/modules",
    "/etc/default",
    "/etc/sysconfig",
    "/etc/motd",
    "/etc/issue",
    "/etc/mailname",
    "/etc/aliases",
    "/etc/machine-id",
    "/etc/adjtime",
    "/etc/chrony",
    "/etc/netplan",
    "/etc/dbus",
    "/root",
    "/home",
    "/proc",
    "/sys",
    "/dev",
    "/lost+found",
    "/.dockerenv",
    "/swap",
)
_AGENTS = (
    "/etc/td-agent",
    "/etc/fluent",
    "/etc/fluentd",
    "/etc/fluent-bit",
    "/etc/datadog-agent",
    "/etc/zabbix",
    "/etc/munin",
    "/etc/amazon",
    "/etc/awslogs",
    "/etc/newrelic-infra",
    "/etc/mackerel-agent",
    "/etc/filebeat",
    "/etc/telegraf",
    "/opt/aws",
    "/opt/datadog-agent",
    "/opt/td-agent",
    "/opt/fluent",
    "/var/lib/amazon",
)
"""What watches a host, or ships its logs: of use on a host only (PR17)."""
_BY_SCRIPTS = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/bin",
    "/sbin",
    "/etc",
    "/var",
    "/snap",
)
"""Where packages lay what stands in no list of theirs."""
_NOBODY_S = ("/usr/local", "/var/www", "/var/opt", "/var/local")
_PASSING = {
    "cache": "a tmpfs in the task",
    "runtime": "made anew at every start",
    "log": "stdout and stderr instead",
}
_STATE = "state: it must be where both sides see it"
_ASSIGNS_A_SECRET = re.compile(r"\s*(?:export\s+)?[A-Z_][A-Z0-9_]*=.*<masked:")
_FROM_RUNTIME = "PR12: in no package; copied from `runtime/`"
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
        return {
            "path": self.path,
            "place": self.place.value,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class _Asked:
    """A path as it was asked for, what it really is on the host, and all that is known there."""

    path: str
    real: str
    known: Places

    @property
    def bundle(self) -> Bundle:
        """Of the host that it lies on."""
        return self.known.bundle

    @property
    def workload(self) -> Workload:
        """The service in front."""
        return self.known.workload

    def goes(
        self,
        place: Where,
        reason: str,
    ) -> Place:
        """The answer for this path."""
        return Place(self.path, place, reason)


@dataclass(frozen=True)
class Places:
    """Everything that decides where paths of one host go; worked out once for all of them."""

    bundle: Bundle
    workload: Workload
    answers: tuple[PlacedPath, ...] = ()

    @cached_property
    def own(self) -> frozenset[str]:
        """Files that somebody wrote or changed by hand."""
        return frozenset(self.workload.own)

    @cached_property
    def packages(self) -> Mapping[str, Package]:
        """By name."""
        return {package.name: package for package in self.bundle.packages}

    @cached_property
    def needed(self) -> Mapping[str, str]:
        """Package -> the chosen one that needs it, perhaps through others."""
        chosen = {name for one in self.workload.every for name, _ in one.packages}
        found: dict[str, str] = {}
        for name, root in _needed(sorted(chosen), self.packages):
            found.setdefault(name, root)
        return {
            **found,
            **dict.fromkeys(chosen, ""),
        }

    @cached_property
    def carried(self) -> frozenset[str]:
        """Files whose text goes into an app storey."""
        every = (carried for one in self.workload.every for carried in one.carried)
        return frozenset(carried.path for carried in every if carried.own)

    @cached_property
    def served(self) -> frozenset[str]:
        """Files whose text goes into the sidecar."""
        web = self.workload.web
        return frozenset(web.carried if web is not None else ())

    def place(self, path: str) -> Place:
        """The first rule that knows it, in their order of precedence (ours)."""
        asked = _Asked(path, self.bundle.resolve(path), self)
        for rule in _RULES:
            place = rule(asked)
            if place is not None:
                return place
        return asked.goes(
            Where.UNPLACED,
            "no rule knows where this belongs; say it in kirikae.yml: `build.places: [{path: "
            f"{path}, place: nowhere, why: ...}}]` (or base, app, web)",
        )

    def every(self) -> Iterator[Place]:
        """The place of every surveyed path, each once."""
        folders = (folder.path for folder in self.bundle.folders)
        files = (file.path for file in self.bundle.files)
        for path in sorted({*folders, *files, *self.bundle.links, *self.bundle.by_path}):
            yield self.place(path)

    def open(self) -> list[Place]:
        """What no rule places, the topmost of each: whoever answers for a folder answers for what
        lies in it."""
        found: list[Place] = []
        for place in self.every():
            if place.place is not Where.UNPLACED:
                continue
            if not any(_is_below(place.path, known.path) for known in found):
                found.append(place)
        return found


def _secret(asked: _Asked) -> Place | None:
    """First of all rules: nothing that looks like a secret goes into an image, whatever else it
    is.  A link of such a name leads to one (certificates of authorities are links, too)."""
    named = _SECRET.search(asked.path) and not asked.path.endswith(".pem")
    if not named and not _SECRET.search(asked.real):
        return None
    if asked.bundle.owner(asked.real) is not None and asked.real.endswith(".pem"):
        return None
    return asked.goes(
        Where.NOWHERE,
        "secret: it goes into Secrets Manager or SSM, never into an image",
    )


def _answered(asked: _Asked) -> Place | None:
    """What a person says, the nearest answer first."""
    answers = sorted(asked.known.answers, key=lambda answer: -len(answer.path))
    for answer in answers:
        if _is_below(asked.path, answer.path) or _is_below(asked.real, answer.path):
            return asked.goes(Where(answer.place), f"kirikae.yml says so: {answer.why}")
    return None


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
    for one in asked.workload.every:
        folder = asked.bundle.resolve(one.folder)
        if not _is_below(asked.path, one.folder) and not _is_below(asked.real, folder):
            continue
        inside = asked.real.removeprefix(folder).lstrip("/")
        if one.virtual_environment and _is_below(asked.path, one.virtual_environment):
            return asked.goes(Where.BASE, "packages of Python, made anew from requirements.txt")
        for lock in one.locks:
            if _is_below(inside, lock.tree):
                return asked.goes(
                    Where.APP, f"packages that {lock.files[0]} locks, in a layer of their own"
                )
        return asked.goes(Where.APP, _of_release(one, inside))
    return None


def _of_release(one: Workload, inside: str) -> str:
    for served in one.web.static if one.web is not None else ():
        if served == "." or _is_below(inside, served):
            return f"the release, and in the web sidecar, which serves {served}/"
    return "the release"


def _former(asked: _Asked) -> Place | None:
    """Beside the live release, where the same tool laid it."""
    for one in asked.workload.every:
        top = one.folder.rpartition("/")[0]
        if one.folder.endswith("/current") and _is_below(asked.real, f"{top}/releases"):
            return asked.goes(Where.NOWHERE, "a former release")
        if one.folder.endswith("/current") and _is_below(asked.real, top):
            inside = asked.real.removeprefix(top).strip("/").partition("/")[0]
            if inside in ("", "releases", "repo", "revisions.log"):
                return asked.goes(Where.NOWHERE, "kept by the tool that deploys to the hosts")
    return None


def _virtual_host(asked: _Asked) -> Place | None:
    """What is carried over of the web server and of the service's own."""
    if {asked.real, asked.path} & asked.known.served:
        return asked.goes(
            Where.WEB,
            "carried configuration: the virtual host in the sidecar's nginx.conf",
        )
    if {asked.real, asked.path} & asked.known.carried:
        return asked.goes(Where.APP, "carried configuration, on ports and with logs of a task")
    if asked.path in {link for one in asked.workload.every for link in one.links}:
        return asked.goes(Where.APP, "what is switched on, made anew as a link")
    return None


def _declares_variables(asked: _Asked) -> Place | None:
    """The file itself stays behind; what it says does not."""
    text = asked.bundle.by_path.get(asked.real)
    if text is None or asked.real not in asked.known.own:
        return None
    if not any(_ASSIGNS_A_SECRET.match(line) for line in text.lines):
        return None
    return asked.goes(
        Where.NOWHERE,
        "its variables go into the task definition, its secrets into Secrets Manager or SSM (CF12)",
    )


def _brought(asked: _Asked) -> Place | None:
    """A program of nobody's, wherever it lies: also in somebody's home."""
    if any(asked.real == each for one in asked.workload.every for each in one.unpackaged):
        return asked.goes(Where.BASE, _FROM_RUNTIME)
    return None


def _of_the_host(asked: _Asked) -> Place | None:
    """Matters of the machine: how it boots, who logs in, what it mounts, what watches it."""
    if asked.real == "/" or asked.real.startswith(_HOST):
        return asked.goes(Where.NOWHERE, "host only: a container has no use for it")
    if any(_is_below(asked.real, folder) for folder in _AGENTS):
        return asked.goes(Where.NOWHERE, "host only: an agent that watches it (PR17)")
    return None


def _of_a_package(asked: _Asked) -> Place | None:
    """With its package, or not at all."""
    owner = asked.bundle.owner(asked.real) or asked.bundle.owner(asked.path)
    if owner is None:
        return None
    return asked.goes(*_of_package(owner, asked, "file of package"))


def _of_package(
    owner: str,
    asked: _Asked,
    what: str,
) -> tuple[Where, str]:
    left_out = asked.workload.left_out.get(owner)
    if left_out is not None:
        place = Where.WEB if "web server" in left_out else Where.NOWHERE
        return place, f"package {owner}, {left_out}"
    needs = asked.known.needed.get(owner)
    if needs is not None:
        why = f"which {needs} needs" if needs else "which was chosen on the host"
        return Where.BASE, f"{what} {owner}, {why}"
    package = asked.known.packages.get(owner)
    if package is not None and (package.essential or package.priority in _EVERYWHERE):
        return Where.BASE, f"{what} {owner}, part of every Debian"
    return Where.NOWHERE, f"package {owner}: nothing that is carried over needs it"


def _carried_over(asked: _Asked) -> Place | None:
    """Written by hand, and no rule before knew it: a person decides, unless it belongs to a server
    that is not built."""
    if asked.real not in asked.known.own:
        return None
    owner = _owner_around(asked)
    if owner is not None:
        place, reason = _of_package(owner, asked, "configuration of package")
        if place is not Where.BASE:
            return asked.goes(place, reason)
    return asked.goes(
        Where.UNPLACED,
        "somebody wrote it or changed it here (CF01, CF02, CF04): does the service read it? Say it "
        "in kirikae.yml: "
        f"`build.places: [{{path: {asked.path}, place: app, why: ...}}]` (then copy it in "
        "`build.lines`), or `nowhere`",
    )


def _owner_around(asked: _Asked) -> str | None:
    """The package of the nearest folder around it that is not everybody's."""
    path = asked.real
    while path.count("/") > 2:
        path = path.rpartition("/")[0]
        owner = asked.bundle.owner(path)
        if owner is not None:
            return owner
    return None


def _by_scripts(asked: _Asked) -> Place | None:
    """Packages lay there what stands in no list of theirs: caches, links, certificates."""
    if any(_is_below(asked.real, folder) for folder in _NOBODY_S):
        return None
    if not any(_is_below(asked.real, folder) for folder in _BY_SCRIPTS):
        return None
    owner = _owner_around(asked)
    if owner is not None:
        return asked.goes(*_of_package(owner, asked, "made by the scripts of package"))
    if asked.real.startswith("/var/lib/") and _files_in(asked):
        return None
    return asked.goes(Where.BASE, "made by the distribution when packages are installed")


def _unpackaged(asked: _Asked) -> Place | None:
    """Programs of nobody's that the service is started with."""
    for program in (each for one in asked.workload.every for each in one.unpackaged):
        if _is_below(asked.real, program) or _is_below(program, asked.real):
            return asked.goes(Where.BASE, _FROM_RUNTIME)
    return None


def _holds_nothing(asked: _Asked) -> Place | None:
    """A folder that holds folders only, or nothing."""
    folder = asked.bundle.folder_at.get(asked.real)
    if folder is None or _files_in(asked):
        return None
    if any(each.files for each in asked.bundle.under(asked.real)):
        # Each of those is placed by itself.
        return asked.goes(Where.NOWHERE, "a folder that holds only others")
    return asked.goes(Where.NOWHERE, "an empty folder")


def _files_in(asked: _Asked) -> int:
    """Directly in it; of a file, one."""
    folder = asked.bundle.folder_at.get(asked.real)
    return 1 if folder is None else folder.files


def _page_of_a_package(asked: _Asked) -> Place | None:
    """What Debian's web servers lay down for whoever looks whether they run."""
    top = "/var/www/html"
    if not _is_below(asked.real, top):
        return None
    names = {
        file.path.removeprefix(f"{top}/") for file in asked.bundle.files if _in(file.path, top)
    }
    if names <= {"index.html", "index.nginx-debian.html"}:
        return asked.goes(Where.NOWHERE, "the page that the web server's package brings")
    return None


def _in(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _leads_there(asked: _Asked) -> Place | None:
    """A link goes where its target goes."""
    if asked.path == asked.real or asked.path not in asked.bundle.links:
        return None
    target = asked.known.place(asked.real)
    if target.place is Where.UNPLACED:
        return None
    return asked.goes(target.place, f"a link to {asked.real}: {target.reason}")


_RULES: tuple[Callable[[_Asked], Place | None], ...] = (
    _secret,
    _answered,
    _written_by_the_service,
    _made_while_running,
    _of_the_release,
    _former,
    _virtual_host,
    _declares_variables,
    _brought,
    _of_the_host,
    _of_a_package,
    _unpackaged,
    _page_of_a_package,
    _carried_over,
    _by_scripts,
    _leads_there,
    _holds_nothing,
)


def _is_below(path: str, folder: str) -> bool:
    """The folder itself, or anything in it."""
    return path == folder or path.startswith(folder + "/")


def _needed(chosen: Sequence[str], packages: Mapping[str, Package]) -> Iterator[tuple[str, str]]:
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
