"""A host that never was: its bundle is made line by line, for one question each."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field

from kirikae.survey.bundles import read
from kirikae.survey.view import View

NOW = 1_795_000_000
BOOTED = NOW - 30 * 86400
BEGAN = NOW - 86400
"""When services began."""
RELEASED = NOW - 10 * 86400
"""When the code came."""


def mark(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class Machine:
    """Everything that is said of it; ``bundle`` reads it as the survey does."""

    name: str = "host1"
    zone: str = "Etc/UTC"
    systemd: bool = True
    root: bool = True
    system: str = "debian"
    version: str = "12"
    users: dict = field(default_factory=lambda: {"root": 0, "www-data": 33, "deploy": 1000})
    groups: dict = field(default_factory=dict)
    folders: dict = field(default_factory=dict)
    files: list = field(default_factory=list)
    links: dict = field(default_factory=dict)
    texts: dict = field(default_factory=dict)
    units: list = field(default_factory=list)
    processes: list = field(default_factory=list)
    code: dict = field(default_factory=dict)
    packages: dict = field(default_factory=dict)
    owned: dict = field(default_factory=dict)
    installed: dict = field(default_factory=dict)
    changed: list = field(default_factory=list)
    timers: list = field(default_factory=list)
    activated: list = field(default_factory=list)
    cron: dict = field(default_factory=dict)
    magic: dict = field(default_factory=dict)
    live: list = field(default_factory=list)
    cwd: dict = field(default_factory=dict)
    more: list = field(default_factory=list)
    """Further lines, as the collector writes them."""

    def folder(self, path, uid=0, mode="755", gid=None):
        self.folders[path] = (mode, uid, uid if gid is None else gid)

    def file(self, path, uid=0, at=RELEASED, came=None, size=100, mode="644"):
        """``at``: when it was written; ``came``: when it came to this place."""
        self.files.append((path, uid, at, at if came is None else came, size, mode))
        folder = posixpath.dirname(path)
        while folder not in self.folders and folder != "/":
            self.folders[folder] = ("755", uid, uid)
            folder = posixpath.dirname(folder)

    def text(self, path, text, owner=None, mode="644", uid=0):
        """A file of configuration; ``owner``: its package."""
        self.texts[path] = text
        self.file(path, uid, mode=mode)
        if owner:
            self.owned[path] = owner

    def schedule(self, path, text, mode="644", uid=0, owner=None):
        """A file that cron reads."""
        self.text(path, text.removesuffix("\n"), owner, mode, uid)
        self.cron[path] = (mode, uid, text.endswith("\n"))

    def unit(self, name, user="", folder="", command="/bin/true", began=BEGAN, **more):
        """A service; own unless FragmentPath says otherwise."""
        uid = self.users[user or "root"]
        pid = 100 + len(self.processes)
        values = {
            "Id": f"{name}.service",
            "FragmentPath": f"/etc/systemd/system/{name}.service",
            "User": user,
            "ExecStart": f"{{ path={command.split()[0]} ; argv[]={command} ; ignore_errors=no }}",
            "WorkingDirectory": folder,
            "ActiveState": "active" if began else "inactive",
            "SubState": "running" if began else "dead",
            "UnitFileState": "enabled",
            **more,
        }
        self.units.append(values)
        if began:
            self.process(command, uid, f"{name}.service", began, pid)
        return pid

    def process(self, command, uid=0, unit="", began=BEGAN, pid=None, parent=1, exe=None):
        pid = pid or 100 + len(self.processes)
        exe = command.split()[0] if exe is None else exe
        row = [pid, parent, uid, began, 100, 1000, unit, 1024, exe, command]
        self.processes.append("\t".join(map(str, row)))
        return pid

    def release(self, root, files, uid=0, at=RELEASED):
        """Code that came at one moment, and was read; ``files``: name -> text."""
        for name in files:
            self.file(f"{root}/{name}", uid, at)
        self.code[root] = files

    def timer(self, name, calendar="*-*-* 04:00:00", own=True, **more):
        place = "/etc/systemd/system" if own else "/lib/systemd/system"
        self.timers.append(
            {
                "Id": f"{name}.timer",
                "FragmentPath": f"{place}/{name}.timer",
                "Unit": f"{name}.service",
                "TimersCalendar": f"{{ OnCalendar={calendar} ; next_elapse=n/a }}",
                "UnitFileState": "enabled",
                "ActiveState": "active",
                **more,
            }
        )

    # --- as the collector says it

    def lines(self):
        yield "@kirikae-bundle 1"
        yield from self._section("meta", self._meta())
        yield from self._section(
            "passwd", (f"{n}:{u}:{u}:/home/{n}:/bin/sh" for n, u in self.users.items())
        )
        groups = {**{name: (uid, "") for name, uid in self.users.items()}, **self.groups}
        yield from self._section("group", (f"{n}:{g}:{m}" for n, (g, m) in groups.items()))
        rows = (f"{n}\t{v}\tamd64\tii \tno\toptional\tweb" for n, v in self.packages.items())
        yield from self._section("packages dpkg", rows)
        yield from self._section(
            "owned", (f"{owner}\t{path}" for path, owner in self.owned.items())
        )
        yield from self._section("installed", (f"{at}\t{n}" for n, at in self.installed.items()))
        yield from self._section("changed", ("\t".join(row) for row in self.changed))
        yield from self._section("began", [str(BOOTED)])
        yield from self._section("files", self._tree())
        yield from self._section(
            "magic", (f"{begins}\t{path}" for path, begins in self.magic.items())
        )
        if self.systemd:
            yield from self._section("units", _blocks(self.units))
            yield from self._section("scheduled", _blocks(self.timers))
            yield from self._section("activated", _blocks(self.activated))
        else:
            yield "@missing units"
            yield "|systemd does not run here"
        yield from self._section(
            "cron", (f"{m}\t{u}\t{int(e)}\t{path}" for path, (m, u, e) in self.cron.items())
        )
        yield from self._section("processes", self.processes)
        yield from self._section("cwd", (f"{pid}\t{where}" for pid, where in self.cwd.items()))
        for path, text in self.texts.items():
            yield from self._section(f"text {mark(text)} {path}", text.split("\n"))
        yield from self._section("environments", self.live)
        for root, files in self.code.items():
            yield from self._section(f"code {mark(str(files))} {len(files)} {root}", _tree(files))
        yield from self.more
        yield "@end"

    def _section(self, head, lines):
        yield f"@{head}"
        for line in lines:
            yield f"|{line}"

    def _meta(self):
        yield f"host\t{self.name}"
        yield f"now\t{NOW}"
        yield f"uid\t{0 if self.root else 2000}"
        yield f"zone\t{self.zone}"
        yield f"os_ID\t{self.system}"
        yield f"os_VERSION_ID\t{self.version}"

    def _tree(self):
        for path, uid, at, came, size, mode in self.files:
            yield f"F\t{mode}\t{uid}\t{uid}\t{size}\t{at}\t{came}\t{path}"
        for link, target in self.links.items():
            yield f"L\t{target}\t{link}"
        for path, (mode, uid, gid) in self.folders.items():
            inside = [each for each in self.files if posixpath.dirname(each[0]) == path]
            newest = max(inside, key=lambda each: each[2], default=("", 0, 0))
            size = sum(each[4] for each in inside)
            inside_of = f"{len(inside)}\t{size}\t{newest[2]}\t{newest[0]}"
            yield f"D\t{mode}\t{uid}\t{gid}\t{NOW}\t{inside_of}\t{path}"

    def bundle(self):
        return read("\n".join(self.lines()) + "\n", self.name)

    def view(self):
        return View(self.bundle())


def _blocks(rows):
    for row in rows:
        yield from (f"{name}={value}" for name, value in row.items())
        yield ""


def _tree(files):
    for name, text in files.items():
        yield f"=\t{mark(text)}\t{name}"
    for name, text in files.items():
        for number, line in enumerate(text.split("\n"), 1):
            if line:
                yield f"{name}:{number}:{line}"
