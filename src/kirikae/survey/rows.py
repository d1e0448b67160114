"""One reader for each kind of line in a bundle: the noun that its cells say, or None."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import NamedTuple

from kirikae.model.bundle import (
    Certificate,
    Changed,
    File,
    FirstBytes,
    Folder,
    Group,
    Key,
    Line,
    LiveVariable,
    Log,
    Mount,
    Opened,
    Process,
    Scheduled,
    Timer,
    User,
    Watched,
)
from kirikae.survey.sections import Cells, number, octal

_LINE_OF_CODE = re.compile(r"(.*?):(\d+):(.*)")


def _whole(*numbers: int | None) -> tuple[int, ...] | None:
    """All of these numbers, or None where one is missing."""
    known = tuple(each for each in numbers if each is not None)
    return known if len(known) == len(numbers) else None


def user(cells: Cells) -> tuple[str, User] | None:
    """name:uid:gid:home:shell"""
    name, *_, home = cells[:4]
    ids = _whole(*map(number, cells[1:3]))
    if ids is None:
        return None
    uid, gid = ids
    shell = "".join(cells[4:5])
    return name, User(
        uid,
        gid,
        home,
        shell,
    )


def group(cells: Cells) -> tuple[str, Group] | None:
    """name:gid:member,member"""
    gid = number(cells[1])
    if gid is None:
        return None
    members = tuple(filter(None, cells[2].split(",")))
    return cells[0], Group(gid, members)


def mount(cells: Cells) -> Mount:
    """device, place, kind"""
    return Mount(*cells[:3])


def changed(cells: Cells) -> Changed | None:
    """kind, state, path"""
    if cells[0] not in ("conffile", "ucf", "packaged"):
        return None
    return Changed(*cells[:3])


def first_bytes(cells: Cells) -> FirstBytes:
    """the first bytes in hexadecimal digits, path"""
    return FirstBytes(*cells[:2])


def timer(cells: Cells) -> Timer:
    """unit, state"""
    return Timer(*cells[:2])


class Listed(NamedTuple):
    """A package as dpkg or rpm lists it."""

    name: str
    version: str
    architecture: str
    status: str
    essential: str
    priority: str
    section: str

    @property
    def installed(self) -> bool:
        """dpkg's status: wanted and installed, or installed and held back."""
        return self.status.startswith(("ii", "hi"))

    @property
    def held(self) -> bool:
        """dpkg's status: nobody may bring a newer one."""
        return self.status.startswith("hi")


def listed(cells: Cells) -> Listed:
    """name, version, architecture, status, essential, priority, section"""
    return Listed(*cells[:7])


class Diverted(NamedTuple):
    """A package put its own file at ``path`` and moved the former one to ``moved``."""

    path: str
    moved: str
    package: str


def diverted(cells: Cells) -> Diverted:
    """path, where the former file lies, package"""
    return Diverted(*cells[:3])


def owned(cells: Cells) -> tuple[str, str]:
    """package, path; as path and package.  Plain, because a host has a hundred thousand of them."""
    return cells[1], cells[0]


def process(cells: Cells) -> Process | None:
    """pid, parent, uid, began, centiseconds of CPU, PSS, unit, open files, program, command."""
    known = _whole(*map(number, cells[:5]))
    if known is None:
        return None
    pid, parent, uid, began, centiseconds = known
    return Process(
        pid=pid,
        parent=parent,
        uid=uid,
        began=began,
        cpu_s=centiseconds / 100,
        pss_kib=number(cells[5]),
        unit=cells[6],
        nofile=number(cells[7]),
        exe=cells[8],
        command="\t".join(cells[9:]).strip(),
    )


def opened(cells: Cells) -> Opened | None:
    """pid, mode, what it leads to."""
    pid = number(cells[0])
    return None if pid is None else Opened(pid, cells[2])


def installed(cells: Cells) -> tuple[str, int] | None:
    """when, package"""
    when = number(cells[0])
    return None if when is None else (cells[1], when)


def works_in(cells: Cells) -> tuple[int, str] | None:
    """pid, folder"""
    pid = number(cells[0])
    return None if pid is None else (pid, cells[1])


def scheduled(cells: Cells) -> Scheduled | None:
    """mode, uid, whether its last line ends, path"""
    if cells[2] not in ("0", "1"):
        return None
    return Scheduled(
        path=_path(cells[3:]),
        mode=octal(cells[0]),
        uid=number(cells[1]),
        ends=cells[2] == "1",
    )


def waiting(cells: Cells) -> tuple[str, int] | None:
    """A queue, and how many files wait in it."""
    files = number(cells[1])
    return None if files is None else (cells[0], files)


def key(cells: Cells) -> Key | None:
    """fingerprint, path"""
    return Key(cells[0], _path(cells[1:])) if cells[0] else None


def certificate(cells: Cells) -> Certificate:
    """its last day as openssl prints it, path"""
    return Certificate(_day(cells[0]), _path(cells[1:]))


def _day(said: str) -> date | None:
    """``Jan  1 00:00:00 2027 GMT``; None for what is none."""
    try:
        day = said.removesuffix(" GMT")
        return datetime.strptime(day, "%b %d %H:%M:%S %Y").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def log(cells: Cells) -> Log | None:
    """bytes, modified; of its last lines: all, those going on, with people, with secrets; path"""
    known = _whole(*map(number, cells[:2]))
    if known is None:
        return None
    size, modified = known
    lines, *counts = map(number, cells[2:6])
    going_on, people, secrets = (each or 0 for each in counts)
    return Log(
        path=_path(cells[6:]),
        size=size,
        modified=modified,
        lines=lines,
        going_on=going_on,
        people=people,
        secrets=secrets,
    )


def live_variable(cells: Cells) -> LiveVariable | None:
    """NAME=value, unit, pid"""
    name, separator, value = cells[0].partition("=")
    return LiveVariable(cells[1].strip(), name, value) if separator else None


def written(cells: Cells) -> Watched | None:
    """type, uid, bytes, modified, changed, path"""
    known = _whole(*map(number, cells[1:5]))
    if known is None or cells[0] not in ("f", "d"):
        return None
    uid, size, modified, changed = known
    when = max(modified, changed)
    return Watched(
        path=_path(cells[5:]),
        folder=cells[0] == "d",
        uid=uid,
        size=size,
        first=when,
        last=when,
    )


# --- the tree of files


class Link(NamedTuple):
    """A symbolic link."""

    path: str
    target: str


class SetUid(NamedTuple):
    """A file that runs as its owner."""

    file: File


class Special(NamedTuple):
    """A socket, a pipe or a device: it holds nothing."""

    path: str


Entry = Folder | File | Link | SetUid | Special


def _path(cells: Cells) -> str:
    """A line break in a name is sent as \\x01."""
    return "\t".join(cells).replace("\x01", "\n")


def _folder(cells: Cells) -> Folder | None:
    """mode, uid, gid, changed, files, bytes, newest, name of the newest, path"""
    known = _whole(octal(cells[1]), *map(number, cells[2:8]))
    if known is None:
        return None
    mode, uid, gid, _, files, size, newest = known
    return Folder(
        path=_path(cells[-1:]),
        mode=mode,
        uid=uid,
        gid=gid,
        files=files,
        size=size,
        newest=newest,
        newest_name=cells[8],
    )


def _file(cells: Cells) -> File | None:
    """mode, uid, gid, bytes, modified, changed, path"""
    known = _whole(octal(cells[1]), *map(number, cells[2:7]))
    if known is None:
        return None
    mode, uid, gid, size, modified, changed = known
    return File(
        path=_path(cells[7:]),
        mode=mode,
        uid=uid,
        gid=gid,
        size=size,
        modified=modified,
        changed=changed,
    )


def _set_uid(cells: Cells) -> SetUid | None:
    """As of a file."""
    file = _file(cells)
    return None if file is None else SetUid(file)


def _link(cells: Cells) -> Link:
    """target, path"""
    return Link(_path(cells[2:]), cells[1])


def _special(cells: Cells) -> Special:
    """type, path"""
    return Special(_path(cells[2:]))


class _Form(NamedTuple):
    """How many cells an entry of a kind has at the least, and its reader."""

    width: int
    read: Callable[[Cells], Entry | None]


_FORMS = {
    "D": _Form(10, _folder),
    "F": _Form(8, _file),
    "U": _Form(8, _set_uid),
    "L": _Form(3, _link),
    "O": _Form(3, _special),
}


def entry(cells: Cells) -> Entry | None:
    """One entry of the tree; its first cell says what it is."""
    form = _FORMS.get(cells[0])
    if form is None or len(cells) < form.width:
        return None
    return form.read(cells)


# --- code


class Marked(NamedTuple):
    """A file of a tree of code, and the fingerprint of its content."""

    name: str
    fingerprint: str


def marked(line: str) -> Marked | None:
    """``=``, fingerprint, name"""
    cells = line.split("\t", 2)
    if len(cells) < 3 or cells[0] != "=":
        return None
    return Marked(name=cells[2], fingerprint=cells[1])


def line_of_code(root: str, line: str) -> Line | None:
    """``name:number:text``, as grep prints it."""
    match = _LINE_OF_CODE.match(line)
    at = number(match[2]) if match else None
    if match is None or at is None:
        return None
    return Line(f"{root}/{match[1]}", at, match[3])
