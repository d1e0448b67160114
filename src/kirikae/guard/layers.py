"""What lies in the layers of an image, one layer after the other: only what some check asks for is
kept, and what a later layer deletes is not forgotten."""

from __future__ import annotations

import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from kirikae.guard.errors import BrokenTar
from kirikae.guard.objects import InLayer, Kept
from kirikae.guard.secret_files import why_secret_file
from kirikae.guard.tars import Entry
from kirikae.model.said import Said

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MOST_READ = 200_000
_MOST_LIST = 4_000_000
_MOST_KEPT = 20_000
_LIST = re.compile(r"var/lib/dpkg/(?:info/[^/]+\.list|status\.d/[^/]+\.md5sums)")
_SET_ID = stat.S_ISUID | stat.S_ISGID
_LOGINS = frozenset(
    (
        *("usr/sbin/sshd", "usr/bin/sudo", "usr/sbin/in.telnetd", "usr/sbin/telnetd"),
        *("usr/bin/doas", "usr/sbin/dropbear", "usr/local/sbin/sshd", "usr/local/bin/sudo"),
    )
)
_TOOLS = re.compile(r"usr/(?:local/)?(?:go/)?bin/(?:gcc|g\+\+|clang|rustc|go|make|cmake|tcc)")
_CACHES = re.compile(
    r"(var/cache/apt/archives|var/lib/apt/lists|var/cache/apk|var/cache/(?:yum|dnf)"
    r"|(?:root|home/[^/]+)/(?:\.cache/(?:pip|go-build|yarn|composer)|\.npm/_cacache"
    r"|\.composer/cache|\.m2/repository|\.gradle/caches|\.bundle/cache))/.+"
)
_CACHE_FROM = 100_000
_VERSIONS = re.compile(r"(?:(.*)/)?(\.git|\.svn|\.hg)/(?:HEAD|wc\.db|store)")
_STATES = (Kept.SET_ID, Kept.WRITABLE, Kept.LOGIN, Kept.TOOL, Kept.VERSIONS)
"""Of these the last layer decides; a secret and the weight of a cache stay in their layer."""


@dataclass
class _Layer:
    """What one layer takes away, and which files of it are a package's own."""

    gone: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    owned: set[str] = field(default_factory=set)
    caches: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Layers:
    """Give it the layers in their order; ``unread``: why some could not be opened."""

    def __init__(self) -> None:
        self.unread: list[Said] = []
        self._kept: dict[tuple[Kept, str], InLayer] = {}
        self._number = 0

    def skip(self, why: Said) -> None:
        """A layer that nobody can read here."""
        self._number += 1
        self.unread.append(why)

    def add(self, entries: Iterable[Entry]) -> None:
        """Raises BrokenTar."""
        self._number += 1
        layer = _Layer()
        for entry in entries:
            self._look(entry, layer)
            if len(self._kept) > _MOST_KEPT:
                raise BrokenTar(f"more than {_MOST_KEPT:,} files that something is wrong with")
        self._end(layer)

    def done(self) -> tuple[InLayer, ...]:
        """By path."""
        return tuple(
            sorted(
                self._kept.values(),
                key=lambda each: (each.kind, each.path),
            )
        )

    def _look(
        self,
        entry: Entry,
        layer: _Layer,
    ) -> None:
        folder, _, base = entry.path.rpartition("/")
        if base == _OPAQUE:
            layer.emptied.add(folder)
        elif base.startswith(_WHITEOUT):
            layer.gone.add(f"{folder}/{base[len(_WHITEOUT) :]}".lstrip("/"))
        else:
            self._replace(entry.path)
            for kind, says in _states_of(entry):
                self._keep(
                    kind,
                    entry.path,
                    says,
                )
            self._weigh(entry, layer)
            self._read(entry, layer)

    def _replace(self, path: str) -> None:
        """What a later layer writes anew has the newer state; the older secret is still there."""
        for kind in _STATES:
            self._kept.pop((kind, path), None)
        secret = self._kept.get((Kept.SECRET, path))
        if secret is not None and secret.layer < self._number:
            self._kept[Kept.SECRET, path] = replace(secret, gone=True)

    def _keep(
        self,
        kind: Kept,
        path: str,
        says: str,
    ) -> None:
        """Of several secrets at one path the first is told, one of them is enough to act; but one
        that is still there before one that a later layer took away."""
        former = self._kept.get((kind, path))
        if former is None or former.gone:
            self._kept[kind, path] = InLayer(
                kind,
                path,
                self._number,
                says,
            )

    def _weigh(
        self,
        entry: Entry,
        layer: _Layer,
    ) -> None:
        found = _CACHES.fullmatch(entry.path)
        if found is not None and entry.info.isreg():
            layer.caches[found[1]] += entry.info.size

    def _read(
        self,
        entry: Entry,
        layer: _Layer,
    ) -> None:
        """Contents of small files only."""
        info = entry.info
        if not info.isreg() or not info.size:
            return
        if _LIST.fullmatch(entry.path):
            layer.owned.update(_named_in(entry))
        elif info.size <= _MOST_READ:
            data = entry.content(_MOST_READ)
            why = why_secret_file(entry.path, data)
            if why:
                self._keep(
                    Kept.SECRET,
                    entry.path,
                    why,
                )
            if entry.path == "etc/shadow":
                for user in _without_password(data):
                    self._keep(
                        Kept.LOGIN,
                        entry.path,
                        f"{user} has an empty password",
                    )

    def _end(self, layer: _Layer) -> None:
        """Of the layer: files of packages are public, what it takes away is gone."""
        for key, each in list(self._kept.items()):
            if each.layer < self._number:
                if _is_taken(each.path, layer):
                    self._kept[key] = replace(each, gone=True)
            elif each.kind is Kept.SECRET and _without_usr(each.path) in layer.owned:
                del self._kept[key]
        for folder, size in layer.caches.items():
            if size >= _CACHE_FROM:
                self._keep(
                    Kept.CACHE,
                    folder,
                    f"{size / 1e6:.1f} MB",
                )


def _states_of(entry: Entry) -> Iterator[tuple[Kept, str]]:
    mode = entry.info.mode
    if entry.info.isreg() and mode & _SET_ID and mode & 0o111:
        yield Kept.SET_ID, "setuid" if mode & stat.S_ISUID else "setgid"
    if _is_open_to_all(entry):
        yield Kept.WRITABLE, f"mode {mode:04o}"
    if entry.path in _LOGINS and not entry.info.isdir():
        yield Kept.LOGIN, "a way to log in"
    if _TOOLS.fullmatch(entry.path) and not entry.info.isdir():
        yield Kept.TOOL, "a compiler or a builder"
    versions = _VERSIONS.fullmatch(entry.path)
    if versions is not None:
        yield Kept.VERSIONS, f"the whole history ({versions[2]}) of the source"


def _is_open_to_all(entry: Entry) -> bool:
    """/tmp is, and its sticky bit keeps what others wrote."""
    if not (entry.info.isreg() or entry.info.isdir()) or not entry.info.mode & stat.S_IWOTH:
        return False
    return not (entry.info.isdir() and entry.info.mode & stat.S_ISVTX)


def _named_in(entry: Entry) -> Iterator[str]:
    """The files of a package: a path a line, or a sum and a path."""
    text = entry.content(_MOST_LIST).decode("utf-8", "replace")
    for line in text.splitlines():
        yield _without_usr(line.split()[-1].lstrip("/") if line.strip() else "")


def _without_usr(path: str) -> str:
    """/lib is /usr/lib since Debian 12; packages say either."""
    return path.removeprefix("usr/")


def _without_password(shadow: bytes) -> Iterator[str]:
    for line in shadow.decode("utf-8", "replace").splitlines():
        cells = line.split(":")
        if len(cells) > 2 and cells[0] and not cells[1]:
            yield cells[0]


def _is_taken(path: str, layer: _Layer) -> bool:
    """Itself, or a folder that it lies in."""
    if path in layer.gone:
        return True
    above = [str(each) for each in PurePosixPath(path).parents]
    if "" in layer.emptied:
        return True
    return any(each in layer.gone or each in layer.emptied for each in above)
