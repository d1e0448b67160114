"""Which folders the services of a host write into: by whose rights, and what lies there.

Three tiers, because each source alone was measured to be wrong: a setting names the folder
(configured), files are there (present), they were written since the service began (observed).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kirikae.model.bundle import File, Folder
from kirikae.survey.paths import below, name_of, parent_of, under
from kirikae.survey.services import ROOT, Service
from kirikae.survey.view import View

UNKNOWN = "unknown"
_KINDS = (
    ("log", re.compile(r"(^|/)(log|logs)(/|$)|^/var/log/")),
    ("runtime", re.compile(r"^/(var/)?run/")),
    ("session", re.compile(r"session", re.I)),
    (
        "cache",
        re.compile(
            r"^/var/cache/|^/tmp|^/var/tmp"
            r"|(^|[/_.-])(caches?|tmp|temp|compiled|body|proxy|fastcgi|scgi|uwsgi|__pycache__)"
            r"([/_.-]|$)",
            re.I,
        ),
    ),
    ("upload", re.compile(r"upload|attachment|(^|/)(media|avatars?|pictures?|images?)(/|$)", re.I)),
    ("index", re.compile(r"xapian|lucene|(^|/)search[_-]?index", re.I)),
    ("spool", re.compile(r"(^|/)(spool|queue|mqueue|maildir)(/|$)", re.I)),
)
"""What a folder is, by its name; the first that fits."""
CODES = {
    "session": "ST03",
    "upload": "ST04",
    "index": "ST16",
    "spool": "ST08",
    "cache": "ST14",
    "runtime": "ST14",
    "log": "LG01",
    UNKNOWN: "ST01",
}
PASSING = ("cache", "runtime", "log")
"""What a container makes anew, or writes elsewhere."""
_SHARED = ("/tmp", "/var/tmp", "/var/crash", "/run/lock", "/var/lock")
"""Everybody may write there, and nobody keeps anything."""
_CROWDED = ("/run", "/tmp", "/var/lib")
"""Folders of many services: a file in one of them stands for itself."""
_HASHED = re.compile(r"[0-9a-f]{1,4}|\d+")
_PARTS_AT_MOST = 8
_CHILDREN_AT_MOST = 50


@dataclass(frozen=True, slots=True)
class Root:
    """One tree that services write into.

    ``services`` names whoever can.  ``newest``: the latest change in it, None where no file was
    seen.  ``seen``: somebody was seen writing there.
    """

    path: str
    kind: str
    files: int
    size: int
    newest: int | None
    newest_name: str
    services: tuple[str, ...]
    why: str
    seen: bool

    @property
    def code(self) -> str:
        return CODES[self.kind]

    @property
    def passing(self) -> bool:
        return self.kind in PASSING


class _Why(NamedTuple):
    """Why a folder counts, in words, and whether somebody was seen writing there."""

    says: str
    seen: bool = False


def kind_of(path: str) -> str:
    return next((kind for kind, pattern in _KINDS if pattern.search(path)), UNKNOWN)


def roots(view: View) -> list[Root]:
    """Every tree that a service of this host writes into or could."""
    found: dict[str, Root] = {}
    for root in _writable_roots(view):
        found[root.path] = root
    for path, why in _written_to(view):
        if not any(under(path, [known]) for known in found):
            found[path] = _root(view, path, view.bundle.under(path), why)
    return sorted(found.values(), key=lambda root: root.path)


def _root(view: View, path: str, inside: Sequence[Folder], why: _Why) -> Root:
    newest = max(inside, key=lambda folder: folder.newest, default=None)
    uids = {folder.uid for folder in inside}
    return Root(
        path=path,
        kind=kind_of(path),
        files=sum(folder.files for folder in inside),
        size=sum(folder.size for folder in inside),
        newest=(newest.newest or None) if newest else None,
        newest_name=newest.newest_name if newest else "",
        services=tuple(sorted({name for uid in uids for name in view.run_by(uid)})),
        why=why.says,
        seen=why.seen,
    )


# --- by rights


def _writable_roots(view: View) -> Iterator[Root]:
    code = _released(view)
    for top, why in _tops(view):
        if under(top.path, ["/etc"]):
            continue  # configuration; what is written there is found by what was seen
        parts = _split(view, top)
        for path in parts:
            apart = [part for part in parts if below(part, path)]
            inside = _inside(view, path, [*code, *apart])
            if inside and not _only_code(path, inside, code):
                yield _root(view, path, inside, why)


def _inside(view: View, path: str, without: Sequence[str]) -> list[Folder]:
    return [folder for folder in view.bundle.under(path) if not under(folder.path, without)]


def _only_code(path: str, inside: Iterable[Folder], code: Iterable[str]) -> bool:
    """Nothing but released code lies there."""
    holds_code = any(under(root, [path]) or under(path, [root]) for root in code)
    return holds_code and not any(folder.files for folder in inside)


def _tops(view: View) -> Iterator[tuple[Folder, _Why]]:
    """The outermost folders that a service may write into."""
    found: list[str] = []
    writers = _groups_of_services(view)
    for folder in sorted(view.bundle.folders, key=lambda each: each.path):
        if view.of_the_system(folder.path) or under(folder.path, found):
            continue
        if says := _writer(view, folder, writers):
            found.append(folder.path)
            yield folder, _Why(says)


def _writer(view: View, folder: Folder, groups: Mapping[int, str]) -> str | None:
    """By whom a folder can be written, in words; None: by no service."""
    if folder.uid in view.uids and folder.mode & 0o200:
        return f"owned by {view.bundle.user_names.get(folder.uid, folder.uid)}"
    if folder.gid in groups and folder.mode & 0o020:
        return f"writable by group {groups[folder.gid]}"
    if view.uids and folder.mode & 0o002 and folder.path not in _SHARED:
        return "writable by everybody"
    return None


def _groups_of_services(view: View) -> dict[int, str]:
    """Number -> name of the groups that a service's user belongs to, root's own left out."""
    found: dict[int, str] = {}
    for name, group in view.bundle.groups.items():
        members = {view.uid_of(member) for member in group.members}
        members |= {user.uid for user in view.bundle.users.values() if user.gid == group.gid}
        if members & view.uids and group.gid != ROOT:
            found.setdefault(group.gid, name)
    return found


def _split(view: View, top: Folder) -> list[str]:
    """The sub-trees that deserve a verdict of their own: one level down where the top itself holds
    no file."""
    children = sorted(
        folder.path for folder in view.bundle.under(top.path) if parent_of(folder.path) == top.path
    )
    hashed = all(_HASHED.fullmatch(name_of(child)) for child in children)
    if top.files or not children or len(children) > _PARTS_AT_MOST or hashed:
        return [top.path, *_of_another_kind(top.path, children)]
    return [part for child in children for part in _split(view, view.bundle.folder_at[child])]


def _of_another_kind(top: str, children: Sequence[str]) -> Iterator[str]:
    """Parts whose name says that they are something else are told apart all the same."""
    for child in children[:_CHILDREN_AT_MOST]:
        if kind_of(child) not in (UNKNOWN, kind_of(top)):
            yield child


def _released(view: View) -> list[str]:
    """Folders of released code: what was read as code, and the releases beside the one that
    ``current`` names."""
    folders = [code.root for code in view.bundle.code]
    for service in view.services:
        named = service.unit.folder
        if named in view.bundle.links:
            folders.append(parent_of(view.bundle.resolve(named)))
    return [folder for folder in folders if folder.count("/") > 1]


# --- by what was seen


def _written_to(view: View) -> Iterator[tuple[str, _Why]]:
    """Folders of files that services have open for writing, or that root wrote since the machine
    began and no system part owns."""
    for path, process in view.opened_by_services():
        folder = parent_of(path)
        if not view.of_the_system(folder) and folder not in ("/tmp", "/var/tmp", ""):
            yield folder, _Why(f"{process.unit} has {path} open for writing", seen=True)
    for service in view.services:
        if ROOT in service.uids:
            yield from _written_by_root(view, service)


def _written_by_root(view: View, service: Service) -> Iterator[tuple[str, _Why]]:
    """Root's own services write into folders of root: attributed by the package that both come
    from, or by name."""
    why = _Why(f"written since the machine began, by name {service.name}'s", seen=True)
    for file in view.bundle.files:
        if _fresh(view, file) and _belongs(view, file, service):
            folder = parent_of(file.path)
            yield (file.path if folder in _CROWDED else folder), why


def _fresh(view: View, file: File) -> bool:
    """Written since the machine began, and neither configuration nor anybody's home."""
    if file.modified < max(view.bundle.began or 0, 1):
        return False
    elsewhere = file.path.startswith(("/etc/", "/root/", "/home/"))
    return not elsewhere and not view.of_the_system(file.path)


def _belongs(view: View, file: File, service: Service) -> bool:
    owner = view.bundle.owner(parent_of(file.path))
    if owner and owner == service.package:
        return True
    stem = service.stem
    return f"/{stem}/" in file.path + "/" or file.path.startswith(f"/run/{stem}")
