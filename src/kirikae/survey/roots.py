"""Which folders the services of a host write into: by whose rights, and what lies there.

Three tiers, because each source alone was measured to be wrong: a setting names the folder
(configured), files are there (present), they were written since the service began (observed).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from kirikae.model.bundle import File, Folder
from kirikae.survey import watched
from kirikae.survey.among_code import Kept, code_trees, kept_among_code
from kirikae.survey.beside import (
    left_by_jobs,
    made_by_systemd,
    of_root_without_a_clock,
    volumes,
)
from kirikae.survey.brought import (
    is_log,
    is_media,
    is_program,
    is_session,
    is_settings,
    is_vendored,
    keeps_releases,
)
from kirikae.survey.paths import around, below, name_of, parent_of, under
from kirikae.survey.services import ROOT, Service
from kirikae.survey.view import View

UNKNOWN = "unknown"
_KINDS = (
    ("log", re.compile(r"(^|/)(log|logs)(/|$)|^/var/log/")),
    ("runtime", re.compile(r"^/(var/)?run/|(^|/)(locks?|pids?)(/|$)")),
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
    (
        "upload",
        re.compile(
            r"upload|attachment|(^|/)(user_?files|media|avatars?|pictures?|images?)(/|$)", re.I
        ),
    ),
    ("index", re.compile(r"xapian|lucene|whoosh|full[_-]?text|(^|/)search[_-]?index", re.I)),
    ("spool", re.compile(r"(^|/)(spool|queue|mqueue|maildir)(/|$)", re.I)),
)
"""What a folder is, by its name; the first that fits."""
_OF_AN_INDEX = re.compile(r"segments(_\w+|\.gen)|iam(glass|chert|brass|flint|honey)|_\w+_\d+\.toc")
"""Lucene's, Xapian's and Whoosh's."""
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
_CROWDED = ("", "/run", "/tmp", "/var/lib", "/var/log", "/var/tmp", "/srv", "/opt", "/data")
_PASSING_PLACES = ("/run/", "/tmp/", "/var/tmp/")
_OF_OTHERS = ("/run/", "/tmp/", "/var/tmp/", "/var/log/", "/var/cache/")
_DEPTH = 5
"""Of a path that only its time speaks for: no folder for each day."""
"""Folders of many services: a file in one of them stands for itself."""
_FOR_EVERYBODY = ("/tmp", "/var/tmp")
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
    among_code: bool = False
    """It lies between code, and did not come with it."""

    @property
    def code(self) -> str:
        """The finding that a folder of its kind is."""
        return CODES[self.kind]

    @property
    def passing(self) -> bool:
        """May it be lost with the container?"""
        return self.kind in PASSING


class _Why(NamedTuple):
    """Why a folder counts, in words, and whether somebody was seen writing there."""

    says: str
    seen: bool = False
    services: tuple[str, ...] = ()


def kind_of(path: str) -> str:
    """By its name alone; ``unknown`` is what has to be looked at first."""
    for kind, pattern in _KINDS:
        if pattern.search(path):
            return kind
    return UNKNOWN


def _kind(
    view: View,
    path: str,
    folders: Iterable[str],
    around: str = "",
) -> str:
    """By files that say it, by its name without that of the application around it, and by what lies
    in it."""
    names = _names_in(
        view,
        path,
        {path, *folders},
    )
    if _most(names, is_session):
        return "session"
    if any(_OF_AN_INDEX.fullmatch(name_of(name)) for name in names):
        return "index"
    kind = kind_of(path.removeprefix(around) or f"/{name_of(path)}")
    if kind == UNKNOWN and _most(names or [path], is_log):
        return "log"
    if kind != UNKNOWN:
        return kind
    return "upload" if _most(names, is_media) else UNKNOWN


def _names_in(
    view: View,
    path: str,
    folders: Container[str],
) -> list[str]:
    """Files directly in these folders, as far as they were listed one by one."""
    names = (file.path for file in view.files_under(path))
    return [name for name in names if parent_of(name) in folders]


def _most(names: Sequence[str], shows: Callable[[str], bool]) -> bool:
    """More than half of them; of none nothing is said."""
    return sum(map(shows, names)) * 2 > len(names)


def roots(view: View) -> list[Root]:
    """Every tree that a service of this host writes into or could."""
    return view.once("roots", lambda: _roots(view))


def _roots(view: View) -> list[Root]:
    found: dict[str, Root] = {}
    for root in [*_writable_roots(view), *_among_code(view)]:
        found.setdefault(root.path, _as_watched(view, root))
    for path, why in (*_written_to(view), *_written_while_watched(view), *_beside(view)):
        if under(path, found):
            continue
        file = view.file_at(path)
        inside = view.bundle.under(path)
        found[path] = (
            _one(
                view,
                file,
                why,
            )
            if file
            else _root(
                view,
                path,
                inside,
                why,
            )
        )
    return _crowds_as_one(found)


def _beside(view: View) -> Iterator[tuple[str, _Why]]:
    """Nobody was seen to write it."""
    for place in (
        *volumes(view),
        *made_by_systemd(view),
        *left_by_jobs(view),
        *of_root_without_a_clock(view),
    ):
        yield place.path, _Why(place.says, services=place.services)


def _crowds_as_one(found: Mapping[str, Root]) -> list[Root]:
    """What many leave in a folder for everybody is told once."""
    crowds: dict[str, list[Root]] = defaultdict(list)
    for path, root in found.items():
        crowds[_crowd(root) or path].append(root)
    return [_together(path, crowds[path]) for path in sorted(crowds)]


def _crowd(root: Root) -> str | None:
    """The folder for everybody that it lies in; None for what keeps more than a cache."""
    if root.kind != "cache":
        return None
    return next((each for each in _FOR_EVERYBODY if below(root.path, each)), None)


def _together(path: str, inside: Sequence[Root]) -> Root:
    """Several trees as one."""
    newest = max(inside, key=lambda root: root.newest or 0)
    services: set[str] = set()
    for root in inside:
        services.update(root.services)
    return replace(
        newest,
        path=path,
        files=sum(root.files for root in inside),
        size=sum(root.size for root in inside),
        services=tuple(sorted(services)),
        seen=any(root.seen for root in inside),
    )


def written(view: View) -> list[str]:
    """Where services write, or could: none of it is code."""
    return [root.path for root in roots(view)]


def _root(
    view: View,
    path: str,
    inside: Sequence[Folder],
    why: _Why,
    around: str = "",
) -> Root:
    """One tree, as what lies inside of it adds up."""
    newest = max(
        inside,
        key=lambda folder: folder.newest,
        default=None,
    )
    services = set(view.named_after(path) or why.services or _writers(view, inside))
    return Root(
        path=path,
        kind=_kind(
            view,
            path,
            (folder.path for folder in inside),
            around,
        ),
        files=sum(folder.files for folder in inside),
        size=sum(folder.size for folder in inside),
        newest=(newest.newest or None) if newest else None,
        newest_name=newest.newest_name if newest else "",
        services=tuple(sorted(services)),
        why=why.says,
        seen=why.seen,
        among_code=bool(around),
    )


def _writers(view: View, folders: Iterable[Folder]) -> Iterator[str]:
    """Whoever may write into one of them."""
    for folder in folders:
        yield from view.writers(folder)


# --- in the middle of code


def _among_code(view: View) -> Iterator[Root]:
    """What a release did not bring, wherever in it that lies."""
    for kept in kept_among_code(view):
        if kept.single:
            yield _single(view, kept)
            continue
        folder = view.bundle.folder_at.get(kept.path)
        if folder is None:
            continue
        parts = _split(view, folder)
        for path in parts:
            apart = [part for part in parts if below(part, path)]
            inside = _inside(
                view,
                path,
                apart,
            )
            seen = kept.seen and path == kept.path
            yield _root(
                view,
                path,
                inside,
                _Why(kept.why, seen),
                kept.around,
            )


def _single(view: View, kept: Kept) -> Root:
    """One file that lies between code."""
    [file] = [each for each in view.files_under(parent_of(kept.path)) if each.path == kept.path]
    return replace(
        _one(
            view,
            file,
            _Why(kept.why, kept.seen),
        ),
        among_code=True,
    )


def _one(
    view: View,
    file: File,
    why: _Why,
) -> Root:
    """A single file as a tree of its own."""
    return Root(
        path=file.path,
        kind=_kind(
            view,
            file.path,
            (),
        ),
        files=1,
        size=file.size,
        newest=file.modified,
        newest_name=file.path,
        services=why.services or view.run_by(file.uid),
        why=why.says,
        seen=why.seen,
    )


# --- by rights


def _writable_roots(view: View) -> Iterator[Root]:
    """Trees that a service may write into by its rights, without configuration and released
    code."""
    code = _released(view)
    for top, why in _tops(view):
        if under(top.path, ["/etc"]):
            continue  # configuration; what is written there is found by what was seen
        parts = _split(view, top)
        for path in parts:
            apart = (part for part in parts if below(part, path))
            inside = _inside(
                view,
                path,
                [*code, *apart],
            )
            if _holds_state(
                view,
                path,
                inside,
                code,
            ):
                yield _root(
                    view,
                    path,
                    inside,
                    why,
                )


def _holds_state(
    view: View,
    path: str,
    inside: Sequence[Folder],
    code: Sequence[str],
) -> bool:
    """More than code, and more than what somebody set there for himself."""
    if not inside or _only_code(
        path,
        inside,
        code,
    ):
        return False
    files = sum(folder.files for folder in inside)
    listed = [file for file in view.files_under(path) if not under(file.path, code)]
    brought = sum(_is_brought(file) for file in listed if not is_vendored(file.path))
    return not files or brought < min(files, max(1, len(listed)))


def _is_brought(file: File) -> bool:
    """By a release or by a person's hand: neither is a service's state."""
    return is_settings(file.path) or is_program(file)


def _inside(
    view: View,
    path: str,
    without: Sequence[str],
) -> list[Folder]:
    """Folders of a tree, without these trees inside of it."""
    folders = view.bundle.under(path)
    return [
        folder
        for folder in folders
        if not under(folder.path, without) and not is_vendored(folder.path)
    ]


def _only_code(
    path: str,
    inside: Iterable[Folder],
    code: Sequence[str],
) -> bool:
    """Nothing but released code lies there."""
    in_code = under(path, code)
    around_code = any(under(root, [path]) for root in code)
    if not in_code and not around_code:
        return False
    return not any(folder.files for folder in inside)


def _tops(view: View) -> Iterator[tuple[Folder, _Why]]:
    """The outermost folders that a service may write into."""
    found: set[str] = set()
    folders = sorted(view.bundle.folders, key=lambda folder: folder.path)
    for folder in folders:
        path = folder.path
        if view.of_the_system(path) or any(each in found for each in around(path)):
            continue
        says = view.writer(path)
        if says is not None:
            found.add(path)
            yield folder, _Why(says)


def _split(view: View, top: Folder) -> list[str]:
    """The sub-trees that deserve a verdict of their own: one level down where the top itself holds
    no file."""
    children = sorted(_children(view, top.path))
    hashed = all(_HASHED.fullmatch(name_of(child)) for child in children)
    passing = kind_of(top.path) in PASSING
    if _files_of_its_own(view, top) or hashed or passing or len(children) > _PARTS_AT_MOST:
        return [top.path, *_of_another_kind(top.path, children)]
    parts = []
    for child in children:
        folder = view.bundle.folder_at[child]
        parts += _split(view, folder)
    return parts


def _files_of_its_own(view: View, folder: Folder) -> int:
    """Directly in it, without what somebody set there for himself."""
    if not folder.files:
        return 0
    listed = view.files_under(folder.path)
    settings = sum(parent_of(f.path) == folder.path and is_settings(f.path) for f in listed)
    return folder.files - settings


def _children(view: View, path: str) -> Iterator[str]:
    """One level down."""
    for folder in view.bundle.under(path):
        if parent_of(folder.path) == path:
            yield folder.path


def _of_another_kind(top: str, children: Sequence[str]) -> Iterator[str]:
    """Parts whose name says that they are something else are told apart all the same."""
    for child in children[:_CHILDREN_AT_MOST]:
        kind = kind_of(child)
        if kind != UNKNOWN and CODES[kind] != CODES[kind_of(top)]:
            yield child


def _released(view: View) -> list[str]:
    """Folders of released code: what was read as code, and the releases beside the one that is run.

    A folder around releases holds more than these: `shared`, above all.
    """
    kept = [f.path for f in view.bundle.folders if keeps_releases(f.path)]
    holders = {parent_of(folder) for folder in kept}
    read = [code.root for code in view.bundle.code]
    trees = [tree for tree in (*read, *code_trees(view)) if tree not in holders]
    mirrors = [f"{holder}/repo" for holder in holders]
    folders = [*kept, *mirrors, *trees, *_run_from(view)]
    return [folder for folder in folders if folder.count("/") > 1]


def _run_from(view: View) -> Iterator[str]:
    """Releases that services work in by way of a link."""
    for service in view.services:
        named = service.unit.folder
        if named in view.bundle.links:
            yield view.bundle.resolve(named)


# --- by what was seen


def _as_watched(view: View, root: Root) -> Root:
    """What was written while the host was watched is in use, whatever its times said before."""
    seen = root.seen or bool(watched.inside(view, root.path))
    return replace(root, seen=seen)


def _written_while_watched(view: View) -> Iterator[tuple[str, _Why]]:
    """Folders of what was written; between code each file stands for itself."""
    code = _released(view)
    for each in watched.written(view):
        folder = each.path if each.folder else parent_of(each.path)
        place = each.path if folder in _CROWDED or under(folder, code) else folder
        if under(place, ["/etc"]):
            continue  # nobody's state by its place: what no rule knows is told as ST22
        deep = place if under(folder, code) else "/".join(place.split("/")[:_DEPTH])
        yield (
            deep,
            _Why(watched.in_words(each), True, watched.services_of(view, each.uid)),
        )


def _written_to(view: View) -> Iterator[tuple[str, _Why]]:
    """Folders of files that services have open for writing, or that root wrote since the machine
    began and no system part owns."""
    for path, process in view.opened_by_services():
        folder = parent_of(path)
        if view.of_the_system(folder) or folder in ("", *_SHARED):
            continue
        says = f"{process.unit} has {path} open for writing"
        name = process.unit.removesuffix(".service")
        place = path if folder in _CROWDED else folder
        yield (
            place,
            _Why(
                says,
                seen=True,
                services=(name,),
            ),
        )
    yield from _in_common_folders(view)
    for service in view.services:
        if ROOT in service.uids:
            yield from _written_by_root(view, service)


def _in_common_folders(view: View) -> Iterator[tuple[str, _Why]]:
    """Files of a service's user in folders that are not his, as a log that somebody made for him
    in /var/log: no folder speaks for them."""
    for file in view.bundle.files:
        if file.uid not in view.uids or parent_of(file.path) not in _CROWDED:
            continue
        if not view.of_the_system(file.path) and not file.path.startswith(_PASSING_PLACES):
            owner = view.bundle.user_names.get(file.uid, file.uid)
            yield file.path, _Why(f"owned by {owner}")


def _written_by_root(view: View, service: Service) -> Iterator[tuple[str, _Why]]:
    """Root's own services write into folders of root: attributed by the package that both come
    from, or by name."""
    says = f"written since the machine began, by name {service.name}'s"
    why = _Why(
        says,
        seen=True,
        services=(service.name,),
    )
    alone = service.unit.own and service.uids == {ROOT} and not service.web
    since = _Why(f"written since {service.name} began, by root", True, (service.name,))
    for file in view.bundle.files:
        if not _fresh(view, file):
            continue
        folder = parent_of(file.path)
        place = file.path if folder in _CROWDED else folder
        if _belongs(
            view,
            file,
            service,
        ):
            yield place, why
        elif alone and _wrote(service, file):
            yield "/".join(place.split("/")[:_DEPTH]), since


def _wrote(service: Service, file: File) -> bool:
    """Root's own, and younger than the service: where root writes, nothing else tells who it is."""
    if service.began is None or file.uid != ROOT or file.path.startswith(_OF_OTHERS):
        return False
    return file.modified >= service.began


def _fresh(view: View, file: File) -> bool:
    """Written since the machine began, and neither configuration nor anybody's home; where
    nothing tells when that was, nothing is."""
    path = file.path
    began = view.bundle.began
    if began is None or file.modified < max(began, 1):
        return False
    if path.startswith(("/etc/", "/root/", "/home/")):
        return False
    return not view.of_the_system(path) and not view.came_with_a_package(file)


def _belongs(
    view: View,
    file: File,
    service: Service,
) -> bool:
    """Is it this service's, by the package of its folder or by a name in its path?"""
    folder = parent_of(file.path)
    owner = view.bundle.owner(folder)
    if owner and owner == service.package:
        return True
    stem = service.stem
    if file.path.startswith(f"/run/{stem}"):
        return True
    return f"/{stem}/" in f"{file.path}/"
