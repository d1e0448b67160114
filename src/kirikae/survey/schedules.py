"""Everything that runs by time on a host: crontabs, folders of run-parts, anacron, timers, `at`;
and what looks like it and never runs, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kirikae.model.bundle import Bundle, Line, Scheduled, Text, Unit
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.table import Fault, Table, is_read_in_cron_d, read_entry, read_table
from kirikae.model.said import Said, Words, words_of
from kirikae.survey.known import debian, matches
from kirikae.survey.paths import below, name_of, parent_of, under

SYSTEM_CRONTABS = ("/etc/crontab", "/etc/cron.d")
_USERS_CRONTABS = ("/var/spool/cron/crontabs", "/var/spool/cron", "/etc/crontabs")
AT = ("/var/spool/cron/atjobs", "/var/spool/cron/atspool", "/var/spool/at")
_OF_A_USER = re.compile(r"/(home/[^/]+|root)/\.config/systemd/user/[^/]+\.timer$")
_TIMES = re.compile(r"\s*On\w+\s*=\s*\S")
_NAMED_CRONTAB = re.compile(r"\b(?:supercronic|yacron|go-crond|ofelia)\b[^\n]*?\s(/[^\s;]+)")
_PERIODS = re.compile(r"/etc/(cron\.|periodic/)(15min|hourly|daily|weekly|monthly)$")
_LEFT_BY_RPM = re.compile(r"^\.|~$|\.rpm(save|orig|new)$|,v$|\.swp$")
_ANACRON = re.compile(r"\s*(\d+|@\w+)\s+\d+\s+\S+\s+\S")
_OTHERS_WRITE = 0o022
_RUNS = 0o111
_GUARDED = re.compile(
    r"(\[|test)\s+(-d\s+/run/systemd/system|-e\s+/run/systemd/system)[^&|]*\]?\s*\|\|",
)
_BY_THE_SYSTEM = re.compile(
    r"run-parts|/etc/cron\.|e2scrub|debian-sa1|anacron|phpsessionclean|sessionclean|mdadm"
    r"|certbot -q|popularity|sysstat|ntpsec|exim4",
)
_LETTERS = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Job:
    """One thing that runs by time.

    ``where``: the file, or the timer.  ``says``: what runs, the same words on every host.
    ``package``: who brought it; empty: somebody of this host's.
    """

    where: str
    line: Line
    package: str = ""

    @property
    def says(self) -> str:
        """As it stands there."""
        return self.line.text.strip()


class Dead(NamedTuple):
    """What looks like a job and is never run."""

    where: str
    why: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Crontab:
    """``dead``: lines that somebody switched off.  ``doubles``: lines that leave it to a timer."""

    path: str
    package: str
    jobs: tuple[Line, ...]
    settings: tuple[Line, ...]
    dead: tuple[Line, ...]
    doubles: tuple[Line, ...]


class Tab(NamedTuple):
    """One crontab of a host, as its cron reads it.  ``passed_over``: why cron does not read the
    file at all; empty: it does, as far as is known."""

    path: str
    text: str
    table: Table
    passed_over: str


class Schedules:
    """What one host runs by time; asked for as often as one likes, worked out once by each
    asker."""

    def __init__(self, bundle: Bundle) -> None:
        """Reads everything."""
        self._bundle = bundle
        self._dialect = dialect(bundle)
        self._seen = {each.path: each for each in bundle.cron}
        self.crontabs: list[Crontab] = []
        self.jobs: list[Job] = []
        self.dead: list[Dead] = []
        self.housekeeping: list[Line] = []
        for text in bundle.texts:
            if _is_crontab(text.path):
                self._read(text)
            elif text.path == "/etc/anacrontab":
                self._anacron(text)
        self._run_parts()
        self._timers()
        self._of_users()
        self._of_programs()

    # --- crontabs

    def _read(self, text: Text) -> None:
        """One crontab: cron takes or leaves the file first, and then its lines."""
        package = self._brought_by(text.path)
        if package and self._is_the_system_s(name_of(text.path), package):
            self.housekeeping.append(Line(text.path, 0, f"of package {package}"))
            return
        system = under(text.path, SYSTEM_CRONTABS)
        why = self._file_is_passed_over(text.path, system)
        table = self._table(text, system)
        if not why and table.ignored:
            fault = table.faults[0]
            why = f"cron passes over the whole file because of line {fault.line}: {_said(fault)}"
        if why:
            self._is_dead(text, why)
            return
        for fault in table.faults:
            line = _line(text, fault.line)
            self.dead.append(
                Dead(
                    text.path,
                    _said(fault),
                    (line,),
                )
            )
        self._take(
            text,
            table,
            package,
        )

    def _table(
        self,
        text: Text,
        system: bool,
    ) -> Table:
        """As this host's cron reads it."""
        seen = self._seen.get(text.path)
        end = "" if seen is not None and not seen.ends else "\n"
        return read_table(
            "\n".join(text.lines) + end,
            self._dialect,
            with_user=system,
            users=self._bundle.users or None,
        )

    def _take(
        self,
        text: Text,
        table: Table,
        package: str,
    ) -> None:
        """The lines that run, and those that somebody switched off."""
        jobs = _of_somebody([_line(text, entry.line) for entry in table.entries])
        doubles = tuple(line for line in jobs if self._leaves_it_to_a_timer(line))
        crontab = Crontab(
            text.path,
            package,
            jobs=tuple(line for line in jobs if line not in doubles),
            settings=tuple(_line(text, variable.line) for variable in table.variables),
            dead=_of_somebody(_commented(text, self._dialect)),
            doubles=doubles,
        )
        self.crontabs.append(crontab)
        self.jobs += [
            Job(
                text.path,
                line,
                package,
            )
            for line in crontab.jobs
        ]

    def _is_dead(
        self,
        text: Text,
        why: str,
    ) -> None:
        """The whole file; one that holds nothing but comments is not worth a word."""
        live = tuple(text.live("#"))
        if live:
            self.dead.append(
                Dead(
                    text.path,
                    why,
                    live,
                )
            )

    def _file_is_passed_over(
        self,
        path: str,
        system: bool,
    ) -> str:
        """Why cron does not read it; empty: it does, as far as is known."""
        name = name_of(path)
        if parent_of(path) == "/etc/cron.d":
            why = self._refused_name(name)
            if why:
                return f"cron reads no file with a name such as {name}{why}"
        seen = self._seen.get(path)
        user = self._bundle.users.get(name)
        why = (
            _not_trusted(
                seen,
                system,
                user.uid if user else None,
            )
            if seen
            else ""
        )
        if not why and not system and self._bundle.users and user is None:
            why = f"{name} is no user of this host"
        return why

    def _refused_name(self, name: str) -> str:
        """Why cron and run-parts pass over a file of this name; empty: they do not."""
        if self._dialect is Dialect.DEBIAN and not is_read_in_cron_d(name):
            return ": only letters, digits, - and _ may be in it"
        return ", as packages and editors leave it" if _LEFT_BY_RPM.search(name) else ""

    def _leaves_it_to_a_timer(self, line: Line) -> bool:
        """Does nothing where systemd runs."""
        return self._bundle.systemd and bool(_GUARDED.search(line.text))

    def tabs(self) -> Iterator[Tab]:
        """Every crontab that was collected, also those that never run."""
        for text in self._bundle.texts:
            if _is_crontab(text.path):
                system = under(text.path, SYSTEM_CRONTABS)
                why = self._file_is_passed_over(text.path, system)
                whole = "\n".join(text.lines)
                yield Tab(text.path, whole, self._table(text, system), why)

    @property
    def elsewhere(self) -> list[Job]:
        """Jobs that stand in no crontab: of run-parts, anacron and timers."""
        files = {crontab.path for crontab in self.crontabs}
        return [job for job in self.jobs if job.where not in files]

    # --- run-parts and anacron

    def _run_parts(self) -> None:
        """Programs in /etc/cron.daily and its like."""
        for seen in self._bundle.cron:
            folder = parent_of(seen.path)
            if not _PERIODS.search(folder):
                continue
            name = name_of(seen.path)
            package = self._bundle.owner(seen.path) or ""
            line = Line(seen.path, 0, f"{folder.rpartition('.')[2]}: {name}")
            if self._is_the_system_s(name, package):
                if name != ".placeholder":
                    self.housekeeping.append(line)
                continue
            why = self._not_run(seen, folder)
            if why:
                self.dead.append(
                    Dead(
                        seen.path,
                        why,
                        (line,),
                    )
                )
            else:
                self.jobs.append(
                    Job(
                        folder,
                        line,
                        package,
                    )
                )

    def _not_run(
        self,
        seen: Scheduled,
        folder: str,
    ) -> str:
        """Why run-parts passes over it; empty: it does not."""
        name = name_of(seen.path)
        why = self._refused_name(name)
        if why:
            return f"run-parts runs nothing with a name such as {name}{why}"
        if seen.mode is None:
            return "it is a link that leads nowhere"
        if not seen.mode & _RUNS:
            return "it is no program: nobody may run it"
        if not self._is_started(folder):
            return f"neither /etc/crontab nor anacron runs {folder}"
        return ""

    def _is_started(self, folder: str) -> bool:
        """True also where those files were not read: nobody knows then."""
        texts = [self._bundle.text(path) for path in ("/etc/crontab", "/etc/anacrontab")]
        texts += [text for text in self._bundle.texts if below(text.path, "/etc/cron.d")]
        known = [text for text in texts if text is not None]
        if not known or folder.startswith("/etc/periodic"):
            return True
        return any(name_of(folder) in line.text for text in known for line in text.live())

    def _anacron(self, text: Text) -> None:
        """period, delay, name, command; those that run cron's folders are none of their own."""
        package = self._brought_by(text.path)
        for line in text.live():
            if _ANACRON.match(line.text) and not _BY_THE_SYSTEM.search(line.text):
                self.jobs.append(
                    Job(
                        text.path,
                        line,
                        package,
                    )
                )

    def _brought_by(self, path: str) -> str:
        """The package of a file that nobody has changed since; empty: it is somebody's."""
        changed = {each.path for each in self._bundle.changed}
        return "" if path in changed else self._bundle.owner(path) or ""

    # --- timers

    def _timers(self) -> None:
        """Timers of systemd that wait; what they start is told by the unit of that name."""
        services = {unit.name: unit for unit in (*self._bundle.activated, *self._bundle.units)}
        for timer in self._bundle.schedules:
            stem = timer.name.removesuffix(".timer")
            package = (
                "" if timer.own else self._bundle.owner(timer.get("FragmentPath")) or "systemd"
            )
            line = Line(timer.name, 0, f"{_when(timer)}: {_started_by(timer, services)}")
            if self._is_the_system_s(stem, package):
                if timer.get("ActiveState") == "active":
                    self.housekeeping.append(line)
                continue
            why = _not_waiting(timer, services)
            if why:
                self.dead.append(
                    Dead(
                        timer.name,
                        why,
                        (line,),
                    )
                )
            else:
                self.jobs.append(
                    Job(
                        timer.name,
                        line,
                        package,
                    )
                )

    def _of_users(self) -> None:
        """Timers that a user's own systemd starts: once he logs in, or always where he lingers."""
        for text in self._bundle.texts:
            if not _OF_A_USER.match(text.path):
                continue
            times = tuple(line for line in text.live() if _TIMES.match(line.text))
            link = f"{parent_of(text.path)}/timers.target.wants/{name_of(text.path)}"
            if link in self._bundle.links:
                self.jobs += [Job(text.path, line) for line in times[:1]]
            else:
                self.dead.append(Dead(text.path, "nobody has enabled this timer", times))

    def _of_programs(self) -> None:
        """Crontabs that a program of somebody's choice reads, such as supercronic."""
        commands = [unit.command for unit in self._bundle.units]
        commands += [process.command for process in self._bundle.processes]
        for path in dict.fromkeys(_NAMED_CRONTAB.findall("\n".join(commands))):
            text = self._bundle.text(path)
            if text is not None and not _is_crontab(text.path):
                table = self._table(text, system=False)
                lines = [_line(text, entry.line) for entry in table.entries]
                self.jobs += [Job(text.path, line) for line in lines]

    def _is_the_system_s(
        self,
        name: str,
        package: str,
    ) -> bool:
        """By its name or its package's; what somebody wrote himself never is."""
        if not package:
            return name == ".placeholder"
        return matches(name, debian().housekeeping) or matches(package, debian().housekeeping)

    # --- at

    @property
    def waiting(self) -> list[Text]:
        """Jobs of `at` that are still to run."""
        return [text for text in self._bundle.texts if under(text.path, AT)]


def dialect(bundle: Bundle) -> Dialect:
    """By the distribution; one that is not known is strict, so that nothing dead is called
    alive."""
    name = bundle.meta.get("os_ID", "")
    like = bundle.meta.get("os_ID_LIKE", "")
    words = {name, *like.split()}
    return Dialect.CRONIE if words & _WITH_CRONIE else Dialect.DEBIAN


_WITH_CRONIE = {
    "rhel",
    "fedora",
    "centos",
    "amzn",
    "rocky",
    "almalinux",
    "ol",
    "suse",
    "opensuse",
    "alpine",
    "arch",
}


def _is_crontab(path: str) -> bool:
    """Files that a cron would read, by where they lie."""
    if under(path, AT) or name_of(path).startswith(("tmp.", ".SEQ")):
        return False
    if path == "/etc/crontab" or parent_of(path) == "/etc/cron.d":
        return True
    return parent_of(path) in _USERS_CRONTABS and bool(_LETTERS.search(name_of(path)))


def _line(text: Text, number: int) -> Line:
    return Line(
        text.path,
        number,
        text.lines[number - 1],
    )


def _said(fault: Fault) -> str:
    """Rules speak English."""
    return Words(words_of("kirikae.model")).say(fault.why, "en")


def _of_somebody(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Without what keeps house for the machine."""
    return tuple(line for line in lines if not _BY_THE_SYSTEM.search(line.text))


def _commented(text: Text, rules: Dialect) -> Iterator[Line]:
    """Lines that are switched off and would be jobs."""
    for line in text.numbered():
        said = line.text.strip(" \t")
        drawn = "user-name" in said  # how /etc/crontab explains itself
        if said.startswith("#") and not drawn:
            entry = read_entry(
                said.lstrip("# \t"),
                rules,
                with_user=False,
            )
            if not isinstance(entry, Said) and entry.command:
                yield line


def _not_trusted(
    seen: Scheduled,
    system: bool,
    owner: int | None,
) -> str:
    """Whom a file belongs to, and who may write it."""
    if seen.mode is not None and seen.mode & _OTHERS_WRITE:
        return (
            f"others than its owner may write it (mode {seen.mode:o}), and cron does not trust it"
        )
    if seen.uid not in ((0, None) if system else (0, owner, None)):
        return f"it belongs to user {seen.uid}, and cron does not trust it"
    return ""


def _when(timer: Unit) -> str:
    """What the timer waits for, as systemd shows it."""
    said = f"{timer.get('TimersCalendar')} {timer.get('TimersMonotonic')}"
    times = re.findall(r"(On\w+)=([^;}]*?) *[;}]", said)
    return ", ".join(f"{key}={value}" for key, value in times) or "no time"


def _started_by(timer: Unit, services: Mapping[str, Unit]) -> str:
    """The command of the unit that it starts; its name where that is not known."""
    name = timer.get("Unit")
    unit = services.get(name)
    return (unit.command if unit else "") or name


def _not_waiting(timer: Unit, services: Mapping[str, Unit]) -> str:
    """Why it starts nothing; empty: it waits."""
    if timer.get("ActiveState") != "active":
        state = timer.get("UnitFileState") or "not enabled"
        return f"the timer is {timer.get('ActiveState') or 'not active'} ({state})"
    name = timer.get("Unit")
    unit = services.get(name)
    if unit is not None and not unit.get("FragmentPath"):
        return f"the unit {name} that it would start is not there"
    return ""
