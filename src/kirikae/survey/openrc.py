"""Services of OpenRC, as their files say: what a host without systemd starts by itself (Alpine).

A script is an openrc-run(8) one: its settings are shell assignments; those of /etc/conf.d win.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping

from kirikae.survey.trees import Entry

_RUNLEVELS = re.compile(r"/etc/runlevels/[^/]+/[^/]+$")
_SETTING = re.compile(r"^(?:export\s+)?(\w+)=(\"[^\"]*\"|'[^']*'|[^\s#]*)", re.MULTILINE)
_BLANK = re.compile(r"\$\{?(\w+)(?::?-([^}]*))?\}?")
_FILE = re.compile(r" (/(?:opt|srv|home|data|app|usr/local|var/www)/[A-Za-z0-9._/-]*)/[^/ ]+")
_DEPTH = 3
_OF_THE_SYSTEM = frozenset(
    (
        *("local", "killprocs", "mount-ro", "savecache", "netmount", "hwclock", "swclock"),
        *("cgroups", "modules", "hostname", "bootmisc", "syslog", "urandom", "seedrng"),
        *("networking", "sysctl", "sysfs", "devfs", "dmesg", "mdev", "hwdrivers", "localmount"),
        *("fsck", "root", "swap", "loopback", "loadkmap", "mtab", "procfs", "machine-id"),
    )
)
Text = Callable[[str], str]


def services(
    entries: Mapping[str, Entry],
    text: Text,
) -> Iterator[str]:
    """Blocks of properties with an empty line after each, as ``systemctl show`` prints them; what
    is switched on is taken to run."""
    names = {posixpath.basename(path) for path in entries if _RUNLEVELS.match(path)}
    for name in sorted(names - _OF_THE_SYSTEM):
        script = f"/etc/init.d/{name}"
        if script in entries:
            yield from _properties(name, script, text)


def folders(
    entries: Mapping[str, Entry],
    text: Text,
) -> Iterator[str]:
    """Where they work, and where the programs lie that their command lines name."""
    for line in services(entries, text):
        name, _, value = line.partition("=")
        if name == "WorkingDirectory":
            yield value
        elif name == "ExecStart":
            yield from _FILE.findall(value)


def _properties(
    name: str,
    script: str,
    text: Text,
) -> Iterator[str]:
    """One service."""
    said = {"RC_SVCNAME": name}
    said.update(settings_of(text(script)))
    said.update(settings_of(text(f"/etc/conf.d/{name}")))
    command = f"{_filled('command', said)} {_filled('command_args', said)}".strip()
    user = _filled("command_user", said).partition(":")[0]
    folder = _filled("directory", said)
    yield f"Id={name}.service"
    yield f"FragmentPath={script}"
    if command:
        path = command.split(" ")[0]
        yield f"ExecStart={{ path={path} ; argv[]={command} ; ignore_errors=no }}"
    if user:
        yield f"User={user}"
    if folder:
        yield f"WorkingDirectory={folder}"
    yield "ActiveState=active"
    yield "SubState=running"
    yield "UnitFileState=enabled"
    yield ""


def settings_of(text: str) -> dict[str, str]:
    """Those of whole lines; what functions do is not followed."""
    return {name: value.strip("\"'") for name, value in _SETTING.findall(text)}


def _filled(
    name: str,
    said: Mapping[str, str],
) -> str:
    """With other settings in it, where they are known."""
    return filled_in(said.get(name, ""), said)


def filled_in(
    value: str,
    said: Mapping[str, str],
) -> str:
    """A value of shell, with settings in it where they are known."""
    for _ in range(_DEPTH):
        value = _BLANK.sub(lambda found: said.get(found[1], found[2] or ""), value)
    return " ".join(value.split())
