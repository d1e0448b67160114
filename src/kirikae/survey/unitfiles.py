"""Units of systemd as their files say (systemd.unit(5), systemd.service(5)), in the words of
``systemctl show``."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kirikae.survey.trees import Entry

# The first place wins (systemd.unit(5), unit file load path).
_PLACES = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
)
_UNIT = re.compile(r"[^/@]+(@[^/]+)?\.(service|timer)")
_ONCE = (
    *("Description", "User", "Group", "WorkingDirectory", "Type", "KillMode", "KillSignal"),
    *("LimitNOFILE", "LimitNPROC", "StateDirectory", "CacheDirectory", "LogsDirectory"),
    *("RuntimeDirectory", "Restart", "AmbientCapabilities", "After", "Persistent", "Unit"),
    *("CPUAffinity", "CPUSchedulingPolicy"),
)
_RENAMED = {"TimeoutStopSec": "TimeoutStopUSec", "TimeoutSec": "TimeoutStopUSec"}
_STATE = ("ActiveState", "SubState", "UnitFileState")
_ON = ("active", "running", "enabled")
_OFF = ("inactive", "dead", "disabled")
_COMMANDS = ("ExecStart", "ExecStartPre", "ExecReload", "ExecStop")
_CALENDAR = ("OnCalendar",)
_MONOTONIC = ("OnBootSec", "OnUnitActiveSec", "OnUnitInactiveSec", "OnActiveSec", "OnStartupSec")
_FILE_OF_ARGUMENTS = re.compile(
    r"[ =](/[A-Za-z0-9._/@-]*\.(?:conf|cfg|ini|ya?ml|toml|json|properties|env))"
)
_WORKERS = (
    (
        "nginx",
        re.compile(r"/etc/nginx/nginx\.conf$"),
        re.compile(r"^\s*user\s+([\w-]+)", re.MULTILINE),
    ),
    (
        "apache2",
        re.compile(r"/etc/apache2/envvars$"),
        re.compile(r"^export APACHE_RUN_USER=([\w-]+)", re.MULTILINE),
    ),
    (
        "httpd",
        re.compile(r"/etc/httpd/conf/httpd\.conf$"),
        re.compile(r"^\s*User\s+([\w-]+)", re.MULTILINE),
    ),
    (
        "php",
        re.compile(r"/etc/php[^/]*/(.*/)?(pool|php-fpm)\.d/[^/]*\.conf$"),
        re.compile(r"^\s*user\s*=\s*([\w-]+)", re.MULTILINE),
    ),
)
Said = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit; ``said``: what its files say, each name with its values in order."""

    name: str
    path: str
    enabled: bool
    said: Mapping[str, list[str]]
    over: tuple[str, ...] = ()
    """Files that are laid over its own."""

    def last(self, name: str) -> str:
        """The value that counts; empty where none is set."""
        return (self.said.get(name) or [""])[-1]


@dataclass(frozen=True, slots=True)
class Units:
    """All units of a tree.

    ``workers``: as whom the workers of web servers run, which their units do not say.
    """

    every: tuple[Unit, ...]
    workers: Mapping[str, str]

    def services(self) -> Iterator[str]:
        """Blocks of properties with an empty line after each, as ``systemctl show`` prints."""
        for unit in self._of("service"):
            yield from _properties(unit)
            if unit.name in self.workers and not unit.last("User"):
                yield f"User={self.workers[unit.name]}"
            yield ""

    def timers(self) -> Iterator[str]:
        """unit, state"""
        for unit in self._of("timer"):
            yield f"{unit.name}\t{'enabled' if unit.enabled else 'disabled'}"

    def scheduled(self) -> Iterator[str]:
        """Blocks of the timers' properties."""
        for unit in self._of("timer"):
            yield f"Id={unit.name}"
            yield f"FragmentPath={unit.path}"
            yield f"Unit={self._started_by(unit)}"
            for name, form in (*_forms(_CALENDAR), *_forms(_MONOTONIC)):
                for value in unit.said.get(name, ()):
                    yield f"Timers{form}={{ {name}={value} ; next_elapse=(null) }}"
            yield f"UnitFileState={'enabled' if unit.enabled else 'disabled'}"
            yield f"ActiveState={'active' if unit.enabled else 'inactive'}"
            yield ""

    def activated(self) -> Iterator[str]:
        """What the timers start: nobody switches such a service on."""
        names = {self._started_by(unit) for unit in self._of("timer")}
        for unit in self.every:
            if unit.name in names:
                yield from _properties(unit)
                yield ""

    def folders(self) -> Iterator[str]:
        """Where services work."""
        for unit in self._of("service"):
            folder = unit.last("WorkingDirectory").lstrip("-!")
            if folder.startswith("/"):
                yield folder

    def named_files(self) -> Iterator[str]:
        """Of environments and of arguments."""
        for unit in self._of("service"):
            for said in unit.said.get("EnvironmentFile", ()):
                yield said.lstrip("-")
            for command in unit.said.get("ExecStart", ()):
                named = _FILE_OF_ARGUMENTS.findall(command)
                yield from (each for each in named if not each.startswith("/usr/lib"))
            if unit.path.startswith("/usr/local/"):
                yield unit.path

    def _of(self, kind: str) -> list[Unit]:
        """Those of a kind that somebody switched on, or wrote here."""
        return [
            unit
            for unit in self.every
            if unit.name.endswith(f".{kind}")
            and (unit.enabled or unit.path.startswith("/etc/") or kind == "timer")
        ]

    def _started_by(self, timer: Unit) -> str:
        """The service of the same name, if it names none (systemd.timer(5))."""
        return timer.last("Unit") or timer.name.removesuffix(".timer") + ".service"


def _forms(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """(key of a timer, part of the property's name)"""
    form = "Calendar" if names == _CALENDAR else "Monotonic"
    return [(name, form) for name in names]


def _properties(unit: Unit) -> Iterator[str]:
    """As ``systemctl show`` has them.  Nothing runs in a tree: what is enabled is taken to run."""
    yield f"Id={unit.name}"
    yield f"FragmentPath={unit.path}"
    if unit.over:
        yield f"DropInPaths={' '.join(unit.over)}"
    for name in _ONCE:
        if unit.last(name):
            yield f"{name}={unit.last(name)}"
    for name, shown in _RENAMED.items():
        if unit.last(name):
            yield f"{shown}={_with_unit(unit.last(name))}"
    yield from _commands(unit)
    yield from _environment(unit)
    for name, value in zip(_STATE, _ON if unit.enabled else _OFF, strict=True):
        yield f"{name}={value}"


def _commands(unit: Unit) -> Iterator[str]:
    """Programs with their arguments."""
    for name in _COMMANDS:
        for command in unit.said.get(name, ()):
            words = command.lstrip("-@:+!")
            program = words.split(" ")[0]
            yield f"{name}={{ path={program} ; argv[]={words} ; ignore_errors=no }}"


def _environment(unit: Unit) -> Iterator[str]:
    """Variables, and the files that hold some."""
    for said in unit.said.get("EnvironmentFile", ()):
        ignored = "yes" if said.startswith("-") else "no"
        yield f"EnvironmentFiles={said.lstrip('-')} (ignore_errors={ignored})"
    if "Environment" in unit.said:
        yield f"Environment={' '.join(unit.said['Environment'])}"


def _with_unit(value: str) -> str:
    """A bare number is one of seconds (systemd.time(7))."""
    return f"{value}s" if value.isdecimal() else value


def read(entries: Mapping[str, Entry], text: Callable[[str], str]) -> Units:
    """Every unit with a file, with its drop-ins over it."""
    files = _files(entries)
    wanted = _wanted(entries)
    instances = {name for name in wanted if _template(name) in files}
    units = []
    for name in sorted({*files, *instances}):
        path = files.get(name) or files[_template(name)]
        # A template is none by itself, and a link to nothing switches a unit off.
        if "@." not in name and entries[path].target != "/dev/null":
            over = _drop_ins(entries, name)
            units.append(
                Unit(
                    name,
                    path,
                    name in wanted,
                    _said(name, [path, *over], text),
                    tuple(over),
                )
            )
    return Units(tuple(units), _workers(units, entries, text))


def _files(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Name -> the file that counts."""
    inside: dict[str, list[str]] = {folder: [] for folder in _PLACES}
    for path in entries:
        folder, _, name = path.rpartition("/")
        if folder in inside and _UNIT.fullmatch(name):
            inside[folder].append(path)
    found: dict[str, str] = {}
    for paths in inside.values():
        for path in sorted(paths):
            found.setdefault(posixpath.basename(path), path)
    return found


def _said(
    name: str,
    paths: list[str],
    text: Callable[[str], str],
) -> Said:
    """What all of a unit's files say together."""
    said: Said = defaultdict(list)
    for path in paths:
        _add(said, text(path), name)
    return said


def _workers(
    units: list[Unit],
    entries: Mapping[str, Entry],
    text: Callable[[str], str],
) -> dict[str, str]:
    """Unit -> user, where the unit itself does not say it."""
    found = {}
    for unit in units:
        user = _worker(unit.name, entries, text)
        if user:
            found[unit.name] = user
    return found


def _worker(
    name: str,
    entries: Mapping[str, Entry],
    text: Callable[[str], str],
) -> str:
    """Empty for a service that says it in its unit, or nowhere."""
    for kind, place, says in _WORKERS:
        if not name.startswith(kind):
            continue
        for path in sorted(entries):
            found = says.search(text(path)) if place.match(path) else None
            if found is not None:
                return found[1]
    # A daemon that gives up root's rights becomes the user of its own name, as its package made it.
    stem = re.split(r"[@.]", name)[0]
    users = {line.partition(":")[0] for line in text("/etc/passwd").splitlines()}
    return stem if stem in users else ""


def _template(name: str) -> str:
    """``postgresql@.service`` of ``postgresql@15-main.service``."""
    stem, _, ending = name.rpartition(".")
    return f"{stem.split('@')[0]}@.{ending}" if "@" in stem else name


def _wanted(entries: Mapping[str, Entry]) -> set[str]:
    """Names that a target wants or requires: those are enabled."""
    found = set()
    for path in entries:
        folder = posixpath.dirname(path)
        if "/systemd/system/" in path and folder.endswith((".wants", ".requires")):
            found.add(posixpath.basename(path))
    return found


def _drop_ins(entries: Mapping[str, Entry], name: str) -> list[str]:
    """In the order of their own names (systemd.unit(5))."""
    found = []
    for path in entries:
        folder, _, file = path.rpartition("/")
        if folder.endswith(f"/systemd/system/{name}.d") and file.endswith(".conf"):
            found.append(path)
    return sorted(found, key=posixpath.basename)


def _add(said: Said, text: str, name: str) -> None:
    """One file's settings; an empty value forgets those before it."""
    instance = name.partition("@")[2].rpartition(".")[0]
    for line in text.replace("\\\n", " ").splitlines():
        key, separator, value = line.strip().partition("=")
        if not separator or key[:1] in "#;[":
            continue
        value = value.strip().replace("%i", instance).replace("%I", instance)
        if value:
            said[key.strip()].append(value)
        else:
            said.pop(key.strip(), None)
