"""State: what lies in the folders that services write into, and whether it stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kirikae.model.finding import Confidence, Finding, Trace
from kirikae.survey import watched
from kirikae.survey.among_code import rewritten_code
from kirikae.survey.beside import leaves
from kirikae.survey.catalogue import Findings, configured, found, observed, present
from kirikae.survey.counted import counted
from kirikae.survey.known import debian, matches
from kirikae.survey.paths import below, under
from kirikae.survey.roots import UNKNOWN, Root, roots
from kirikae.survey.rules.databases import databases_in_files
from kirikae.survey.rules.php import php_sessions_in_files
from kirikae.survey.services import Service
from kirikae.survey.view import View

_HOUR_S = 3600
_GIB = 1 << 30
_DISK = 16 * _GIB
"""Fargate gives 20 GiB unasked, and the image counts in it."""
_NAMING_AT_MOST = 4
_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "fuse.sshfs", "fuse.s3fs")
_OF_A_RELEASE = ("/usr/", "/etc/", "/dev/")
"""Where a release may lead to: the image has its own."""


def written_folders(view: View) -> Findings:
    """Every tree that a service writes into, and all of them together (ST01 and its kind, ST06,
    ST15, ST21, LG01)."""
    every = roots(view)
    taken: set[str] = set()
    for server in _database_servers(view, every):
        taken.update(server.folders)
        yield _database_server(view, server)
    for root in every:
        if root.path not in taken and not _is_told_elsewhere(view, root):
            judged = _Judged(view, root)
            yield judged.finding()
    yield from _more_than_a_disk(view, every)


def _is_told_elsewhere(view: View, root: Root) -> bool:
    """As sessions of PHP, or as a database in a file; or nothing lies in a package's own folder
    that nobody's service owns."""
    if root.path in {finding.where for finding in php_sessions_in_files(view)}:
        return True
    if root.path in {finding.where for finding in databases_in_files(view)}:
        return True
    if root.files or root.seen or view.named_after(root.path):
        return False
    return view.bundle.owner(root.path) is not None or (root.kind == "log" and not root.among_code)


# --- database servers


@dataclass(frozen=True, slots=True)
class _Server:
    """``folders``: where its data lies, as far as that was seen."""

    service: Service
    title: str
    folders: tuple[str, ...]


def _database_servers(view: View, every: Sequence[Root]) -> Iterator[_Server]:
    """With the trees of unknown kind that each of them can write into."""
    unknown = [root for root in every if root.kind == UNKNOWN]
    for service in view.services:
        title = _database_of(service)
        if title is not None:
            folders = (root.path for root in unknown if service.name in root.services)
            yield _Server(
                service,
                title,
                tuple(folders),
            )


def _database_of(service: Service) -> str | None:
    """What it is, by the unit's name; None for any other service."""
    for pattern, title in debian().databases.items():
        if matches(service.unit.name, [pattern]):
            return title
    return None


def _database_server(view: View, server: _Server) -> Finding:
    """One finding for a server, whatever it has on the disk: its data is not moved as files."""
    unit = server.service.unit
    places = server.folders or (unit.get("FragmentPath"),)
    return observed(
        "ST06",
        where=places[0],
        says=f"{server.title} runs here and keeps its data on this host",
        evidence=(view.trace(place, f"data of {unit.name}") for place in places),
    )


# --- one tree


class _Judged:
    """One tree, and what speaks for and against it being state."""

    def __init__(
        self,
        view: View,
        root: Root,
    ) -> None:
        """Everything the verdict needs is looked up here; ``finding`` only decides."""
        self._view = view
        self._root = root
        # Who of those that share a user it is cannot be told.
        self._runs = " or ".join(root.services) or "a service"
        self._who = " or ".join((*root.services, *self._jobs())) or self._runs
        self._amount = f"{counted(root.files, 'file', 'files')}, {_size(root.size)}"
        self._naming = list(self._named_elsewhere())
        self._began = self._when_it_began()

    def _jobs(self) -> list[str]:
        """Crontabs of which a line writes there, whatever it runs as."""
        found = set()
        for job in self._view.schedules.jobs:
            for _, path in leaves(job.line.text):
                if under(path, [self._root.path]):
                    found.add(f"a job of {job.line.path}")
        return sorted(found)

    def _named_elsewhere(self) -> Iterator[Trace]:
        """What lies in the tree itself does not speak for it."""
        path = self._root.path
        for trace in self._view.naming(path):
            if not trace.at.startswith(path):
                yield trace

    def _when_it_began(self) -> int | None:
        """The youngest of its services (None: none of them runs); the machine where it has none."""
        names = self._root.services
        if not names:
            return self._view.bundle.began
        began = [
            service.began
            for service in self._view.services
            if service.name in names and service.began is not None
        ]
        return max(began, default=None)

    @property
    def _written(self) -> bool:
        """Since the service began."""
        root = self._root
        if root.seen:
            return True
        if not root.files or root.newest is None:
            return False
        return self._began is not None and root.newest >= self._began

    @property
    def _evidence(self) -> list[Trace]:
        """The folder, its newest file, and a few of those who name it."""
        root = self._root
        view = self._view
        lies = f"{root.why}; {root.files} files, {root.size} bytes"
        found = [view.trace(root.path, lies)]
        ago = view.elapsed_s(root.newest)
        if ago is not None:
            changed = f"changed {max(0, ago)} s before the survey"
            found.append(view.trace(root.newest_name, changed))
        found += watched.traces(view, root.path)
        found += self._naming[:_NAMING_AT_MOST]
        return found

    def finding(self) -> Finding:
        """The one finding on this tree.

        What was seen to be written outweighs what merely lies there, and that outweighs what could
        be written.
        """
        if self._root.passing:
            return self._passing()
        if self._written:
            return self._is_written()
        if not self._root.files:
            return self._is_empty()
        if self._naming:
            return self._is_named()
        return self._is_among_code() if self._root.among_code else self._is_left_behind()

    def _passing(self) -> Finding:
        """What a container makes anew or writes elsewhere."""
        root = self._root
        what = "logs" if root.kind == "log" else f"{root.kind} files"
        says = f"{self._who} writes {what} in {root.path}"
        if root.newest_name == root.path:
            says = f"{self._who} writes the file {root.path}"
        if not root.files and not root.seen:
            says = f"{root.path} is empty, and {self._who} could write {what} there"
        return found(
            root.code,
            where=root.path,
            says=says,
            evidence=self._evidence,
            confidence=self._confidence(),
        )

    def _confidence(self) -> Confidence:
        """Seen happening, seen lying there, or only allowed."""
        if self._written:
            return Confidence.OBSERVED
        return Confidence.PRESENT if self._root.files else Confidence.CONFIGURED

    def _is_written(self) -> Finding:
        """State in use: it has to be moved."""
        root = self._root
        return observed(
            root.code,
            where=root.path,
            says=f"{self._who} writes into {root.path} ({self._amount})",
            evidence=self._evidence,
        )

    def _is_named(self) -> Finding:
        """Nothing was written lately, but somebody still names it."""
        root = self._root
        by = self._naming[0].at
        return present(
            root.code,
            where=root.path,
            says=f"{root.path} ({self._amount}) is named by {by}; {self._quiet()}",
            evidence=self._evidence,
        )

    def _is_among_code(self) -> Finding:
        """Whoever takes the code along would leave it behind."""
        root = self._root
        return present(
            root.code,
            where=root.path,
            says=f"{root.path} ({self._amount}) lies between code and is none; {self._quiet()}",
            evidence=self._evidence,
        )

    def _is_left_behind(self) -> Finding:
        """A service younger than an hour proves little, and one of unknown age nothing."""
        root = self._root
        age = self._view.elapsed_s(self._began)
        long = "" if age is None else f" in the {_duration(age)}"
        young = age is None or age < _HOUR_S
        return present(
            "ST21",
            where=root.path,
            says=f"nobody names {root.path} ({self._amount}), and {self._quiet(long)}",
            evidence=self._evidence,
            blocks=("traffic",) if young else (),
        )

    def _quiet(self, long: str = "") -> str:
        """Since when nothing was written, in words; a service of unknown age proves nothing."""
        if self._began is None:
            return f"nothing tells since when {self._runs} runs"
        return f"nothing was written there{long} since {self._runs} began"

    def _is_empty(self) -> Finding:
        """Nothing lies there yet: it blocks nothing."""
        root = self._root
        return configured(
            root.code,
            where=root.path,
            says=f"{root.path} is empty, and {self._who} could write there",
            evidence=self._evidence,
            blocks=(),
        )


def _more_than_a_disk(view: View, every: Iterable[Root]) -> Findings:
    """All that is kept, together, against what a task's disk holds."""
    kept = [root for root in every if not root.passing]
    total = sum(root.size for root in kept)
    if total > _DISK:
        largest = max(kept, key=lambda root: root.size)
        yield present(
            "ST15",
            where=largest.path,
            says=f"the service keeps {_size(total)} on this host",
            evidence=(view.trace(root.path, _size(root.size)) for root in kept),
        )


# --- code that changes


def code_that_changes(view: View) -> Findings:
    """Pages and templates that a service compiles, modules that it updates: a task loses them."""
    for kept in rewritten_code(view):
        yield present(
            "ST10",
            where=kept.path,
            says=f"{kept.why}: a service wrote it, or somebody by hand",
            evidence=[view.trace(kept.path, kept.why)],
        )


# --- links and mounts


def links_out_of_a_release(view: View) -> Findings:
    """What they name is not part of the release."""
    links = view.bundle.links
    roots_of_code = [code.root for code in view.code]
    for code in view.code:
        inside = (link for link in links if below(link, code.root))
        for link in inside:
            real = view.bundle.resolve(link)
            if under(real, roots_of_code) or real.startswith(_OF_A_RELEASE):
                continue
            if view.bundle.owner(real) is not None:
                continue  # a package brings it into the image
            yield present(
                "ST20",
                where=link,
                says=f"{link} leads to {real}",
                evidence=[view.trace(link, f"-> {links[link]}")],
            )


def network_file_systems(view: View) -> Findings:
    """Both sides can see it once it is an EFS volume."""
    for mount in view.bundle.mounts:
        if mount.kind in _NETWORK_FILE_SYSTEMS:
            row = " ".join(mount)
            yield observed(
                "ST12",
                where=mount.place,
                says=f"{mount.kind} is mounted at {mount.place}",
                evidence=[view.trace("/proc/mounts", row)],
            )


def _size(many: int) -> str:
    """Bytes, for people."""
    for unit, width in (("GiB", _GIB), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if many >= width:
            return f"{many / width:.1f} {unit}"
    return f"{many} bytes"


def _duration(seconds: int) -> str:
    """A length of time, for people."""
    for unit, width in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * width:
            return f"{seconds // width} {unit}"
    return f"{max(0, seconds)} s"


RULES = (
    written_folders,
    code_that_changes,
    links_out_of_a_release,
    network_file_systems,
)
