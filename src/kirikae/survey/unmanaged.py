"""Services that nobody wrote a unit for, told by their processes: where systemd does not run, and
what somebody began by hand in a session and left running."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from kirikae.model.bundle import Process, Unit
from kirikae.survey.known import debian, matches
from kirikae.survey.paths import name_of

_SHELL = re.compile(r"(ba|da|z|k|c|a|fi)?sh|busybox|su|sudo|login|screen|tmux.*|nohup|env|setsid")
_INTERPRETER = re.compile(
    r"python[\d.]*|node(js)?|ruby[\d.]*|perl[\d.]*|php[\d.]*|java|(ba|da|z|k|a)?sh|bundle|npm"
    r"|uwsgi",
)
_OF_THE_SYSTEM = re.compile(
    r"init|systemd.*|runsvdir|runsv|s6-.*|tini|dumb-init|docker-init|catatonit|supervise|getty"
    r"|agetty|mingetty|crond?|anacron|atd|syslogd|klogd|rsyslogd|syslog-ng|udevd|mdev|dbus-daemon"
    r"|acpid|sshd.*|dropbear|chronyd|ntpd|dhclient|dhcpcd|udhcpc|haveged|rngd|mdadm|lvmetad"
    r"|irqbalance|auditd|polkitd|sleep|tail|cat|ps|find|sftp-server|scp|rsync|gpg-agent|ssh-agent",
)
_SESSION = "session-"


def with_services(
    units: Sequence[Unit],
    processes: Sequence[Process],
    works_in: Mapping[int, str],
    systemd: bool,
) -> tuple[tuple[Unit, ...], tuple[Process, ...]]:
    """The units and processes, each process of such a service with the name of a unit made for
    it."""
    names = {unit.name for unit in units}
    candidates = [each for each in processes if _is_unmanaged(each, systemd, names)]
    tops = _tops(candidates)
    if not tops:
        return tuple(units), tuple(processes)
    made = {unit.name: unit for unit in units}
    for top in tops.values():
        unit = _unit(
            top,
            works_in,
            tops,
        )
        made.setdefault(unit.name, unit)
    moved = [_moved(process, tops) for process in processes]
    return tuple(made.values()), tuple(moved)


def _moved(process: Process, tops: Mapping[int, Process]) -> Process:
    """With the name of the unit that was made for it; others stay as they are."""
    top = tops.get(process.pid)
    if top is None:
        return process
    return replace(process, unit=name_of_service(top.command, top.exe))


def _is_unmanaged(process: Process, systemd: bool, names: Container[str]) -> bool:
    """Neither a unit's nor the system's own, nor somebody's shell.

    Units that a user's own systemd starts are none of the machine's.
    """
    of_a_user = process.unit.endswith(".service") and process.unit not in names
    if systemd and not process.unit.startswith(_SESSION) and not of_a_user:
        return False
    program = name_of_service(process.command, process.exe)
    if not program or _OF_THE_SYSTEM.fullmatch(program):
        return False
    known = debian()
    return not matches(f"{program}.service", [*known.units, *known.agents])


def _tops(candidates: Sequence[Process]) -> dict[int, Process]:
    """Each process -> the outermost one above it that is a candidate as well."""
    by_pid = {process.pid: process for process in candidates}
    return {process.pid: _top(process, by_pid) for process in candidates}


def _top(process: Process, by_pid: Mapping[int, Process]) -> Process:
    seen: set[int] = set()
    while process.parent in by_pid and process.parent not in seen:
        seen.add(process.pid)
        process = by_pid[process.parent]
    return process


def name_of_service(command: str, exe: str) -> str:
    """``run`` of `sh /srv/app/run.sh`, ``nginx`` of `nginx: master process`; empty: a shell that
    somebody types into."""
    words = command.split()
    if not words:
        return ""
    program = name_of(words[0]).rstrip(":").lstrip("-")
    if words[0].endswith(":") and exe:
        program = name_of(exe.removesuffix(" (deleted)"))
    if _INTERPRETER.fullmatch(program) and not words[0].endswith(":"):
        return _script(words[1:]) or ("" if _SHELL.fullmatch(program) else program)
    return "" if _SHELL.fullmatch(program) else program


def _script(words: Iterable[str]) -> str:
    """What an interpreter runs, without its folder and ending: the first word that is no option."""
    module = False
    for word in words:
        if module:
            return word.partition(".")[0]
        if word == "-m":
            module = True
        elif word in ("-c", "-e"):
            return ""
        elif not word.startswith("-"):
            return name_of(word).rsplit(".", 1)[0]
    return ""


def _unit(
    top: Process,
    works_in: Mapping[int, str],
    tops: Mapping[int, Process],
) -> Unit:
    """As systemd would show it, as far as a process tells."""
    name = name_of_service(top.command, top.exe)
    members = [pid for pid, above in tops.items() if above.pid == top.pid]
    folders: Iterator[str] = (works_in[pid] for pid in [top.pid, *members] if pid in works_in)
    return Unit(
        name,
        {
            "Id": name,
            "ExecStart": f"{{ path={top.exe} ; argv[]={top.command} ; ignore_errors=no }}",
            "WorkingDirectory": next(folders, ""),
            "MainPID": str(top.pid),
            "ActiveState": "active",
            "SubState": "running",
        },
    )
