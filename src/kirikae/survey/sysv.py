"""Services of scripts in /etc/init.d, as a host of before systemd starts them (CentOS 6, Amazon
Linux 1, Devuan): those that a run level has a link to."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping

from kirikae.survey.openrc import filled_in, settings_of
from kirikae.survey.trees import Entry

_LINK = re.compile(r"/etc/(?:rc\.d/)?rc[2345]\.d/S\d\d([^/]+)$")
_SYSTEMD = ("/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/etc/systemd/system")
_USER = re.compile(
    r"(?:--chuid|-c|--user|-u)[= ][\"']?([\w${}.-]+)|\b(?:su|runuser)\s+(?:-l?\s+)?([\w$-]+)"
)
_FOLDER = re.compile(r"(?:--chdir|-d)[= ][\"']?(/[\w${}./-]+)|^\s*cd\s+[\"']?([\w${}./-]+)", re.M)
_PROGRAM = re.compile(r"(?:--exec|-x|--startas|-a)[= ][\"']?([\w${}./-]+)")
_PROGRAM_NAMES = ("DAEMON", "daemon", "exec", "prog_path", "APP", "BIN", "PROGRAM")
_ARGUMENTS = ("DAEMON_ARGS", "DAEMON_OPTS", "OPTIONS", "ARGS", "OPTS")
_USERS = ("DAEMON_USER", "RUNAS", "RUN_AS", "APP_USER", "USER")
_FOLDERS = ("APP_HOME", "APP_DIR", "WORKDIR", "HOME_DIR", "APP_ROOT")
_OF_THE_MACHINE = frozenset(
    (
        *("rc.local", "local", "network", "networking", "syslog", "rsyslog", "crond", "cron"),
        *("sshd", "ssh", "iptables", "ip6tables", "udev-post", "lvm2-monitor", "netfs", "atd"),
        *(
            "auditd",
            "messagebus",
            "dbus",
            "haldaemon",
            "acpid",
            "ntpd",
            "ntp",
            "sysstat",
            "irqbalance",
        ),
        *("cloud-init", "cloud-config", "cloud-final", "cloud-init-local", "postfix", "sendmail"),
        *("rpcbind", "nfslock", "rpcgssd", "rpcidmapd", "mdmonitor", "kdump", "blk-availability"),
        *(
            "ondemand",
            "grub-common",
            "sudo",
            "apparmor",
            "plymouth",
            "rsync",
            "elastic-network-interfaces",
        ),
    )
)
Text = Callable[[str], str]


def runs_here(entries: Mapping[str, Entry]) -> bool:
    """No systemd, and links of run levels."""
    if any(path in entries for path in _SYSTEMD):
        return False
    return any(_LINK.match(path) for path in entries)


def services(
    entries: Mapping[str, Entry],
    text: Text,
) -> Iterator[str]:
    """Blocks of properties with an empty line after each, as ``systemctl show`` prints them; what
    is switched on is taken to run."""
    names = {found[1] for path in entries if (found := _LINK.match(path)) is not None}
    for name in sorted(names - _OF_THE_MACHINE):
        script = f"/etc/init.d/{name}"
        body = text(script) or text(f"/etc/rc.d/init.d/{name}")
        if body:
            yield from _properties(name, script, body, text)


def folders(
    entries: Mapping[str, Entry],
    text: Text,
) -> Iterator[str]:
    """Where they work, or where their programs lie."""
    for line in services(entries, text):
        name, _, value = line.partition("=")
        if name == "WorkingDirectory":
            yield value


def _properties(
    name: str,
    script: str,
    body: str,
    text: Text,
) -> Iterator[str]:
    """One service, as far as settings and the command that starts it tell."""
    said = {"NAME": name, **settings_of(body)}
    for place in (f"/etc/default/{name}", f"/etc/sysconfig/{name}"):
        said.update(settings_of(text(place)))
    program = _first(said, _PROGRAM_NAMES) or _matched(_PROGRAM, body, said)
    user = _matched(_USER, body, said) or _first(said, _USERS)
    folder = _matched(_FOLDER, body, said) or _first(said, _FOLDERS)
    command = f"{program} {_first(said, _ARGUMENTS)}".strip()
    yield f"Id={name}.service"
    yield f"FragmentPath={script}"
    if program:
        yield f"ExecStart={{ path={program} ; argv[]={command} ; ignore_errors=no }}"
    if user:
        yield f"User={user}"
    if folder.startswith("/") or program.startswith(("/opt/", "/srv/", "/home/")):
        yield f"WorkingDirectory={folder or posixpath.dirname(program)}"
    yield "ActiveState=active"
    yield "SubState=running"
    yield "UnitFileState=enabled"
    yield ""


def _first(
    said: Mapping[str, str],
    names: tuple[str, ...],
) -> str:
    """The first of these settings that says something."""
    found = (filled_in(said[name], said) for name in names if name in said)
    return next((value for value in found if value), "")


def _matched(
    pattern: re.Pattern[str],
    body: str,
    said: Mapping[str, str],
) -> str:
    """What stands behind an option, with settings in it."""
    for match in pattern.finditer(body):
        value = next((each for each in match.groups() if each), "")
        filled = filled_in(value, said)
        if filled and "$" not in filled:
            return filled
    return ""
