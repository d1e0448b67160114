"""State that lies in the middle of code: folders of a release, a docroot or an alias into which a
service writes.

Code and data have the same owner on most hosts, so what tells them apart is how they came there.  A
release comes at one moment, and its files are code; what a service writes comes at any time.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from kirikae.model.bundle import File
from kirikae.survey.brought import is_data, is_program, is_settings, is_vendored
from kirikae.survey.counted import counted
from kirikae.survey.paths import below, name_of, parent_of, under
from kirikae.survey.released import holds_releases
from kirikae.survey.view import View

_BURST_S = 120
"""A release puts its files down within so many seconds of each other."""
_FEW = 2
"""An index.php, a .htaccess: they do not make code of a folder of pictures."""
_MOSTLY = 0.1
_NAMES = re.compile(
    r"(upload|attachment|user_?files|avatars?$|session|^storage$|^spool$|^queue|^mqueue|^maildir"
    r"|^logs?$|cache|^te?mp$|^data$|^var$|^files$|xapian|lucene|search_?index)",
    re.IGNORECASE,
)
"""Folders of a release that are there to be written into."""
_PLACES_AT_MOST = 20
_WHERE_CODE_LIES = ("/srv/", "/opt/", "/home/", "/var/www/", "/usr/local/", "/data/", "/app/")
_SOME = 2
_A_PART = 0.2


class Kept(NamedTuple):
    """A folder, or a single file, that a release did not bring.

    ``seen``: it was written since the service began.
    """

    path: str
    why: str
    seen: bool
    around: str
    """The tree of code."""
    single: bool = False


def kept_among_code(view: View) -> Iterator[Kept]:
    """In every tree of live code, outermost folders only.

    What lies beside releases is looked at as any other folder is.
    """
    for root in code_trees(view):
        if not holds_releases(view.bundle, root):
            yield from _Tree(view, root).kept()


def rewritten_code(view: View) -> Iterator[Kept]:
    """Code that is younger than the service that runs it, while the rest is older."""
    for root in code_trees(view):
        if not holds_releases(view.bundle, root):
            yield from _Tree(view, root).rewritten()


def code_trees(view: View) -> list[str]:
    """Trees that were read as code, and those that are by their look: nobody names them where the
    collector looks for names."""
    return view.once("code_trees", lambda: _code_trees(view))


def _code_trees(view: View) -> list[str]:
    trees = [code.root for code in view.code]
    paths = sorted(folder.path for folder in view.bundle.folders)
    for path in paths:
        near = under(path, trees) or any(below(tree, path) for tree in trees)
        if not near and path.startswith(_WHERE_CODE_LIES) and _looks_like_code(view, path):
            trees.append(path)
    return trees


def _looks_like_code(view: View, folder: str) -> bool:
    """A part of its files are programs, and some lie in it directly."""
    if is_vendored(folder) or view.writer(folder) is None:
        return False
    files = [file for file in view.files_under(folder) if not is_vendored(file.path)]
    programs = [file for file in files if is_program(file)]
    direct = any(parent_of(file.path) == folder for file in programs)
    return direct and len(programs) >= max(_SOME, len(files) * _A_PART)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A folder that may be somebody's data, and why."""

    folder: str
    why: str
    seen: bool = False


class _Tree:
    """One tree of code with what else lies in it."""

    def __init__(
        self,
        view: View,
        root: str,
    ) -> None:
        """Nothing is worked out yet."""
        self._view = view
        self._root = root

    @cached_property
    def _elsewhere(self) -> list[str]:
        """What is looked at by itself, and what nothing runs any more."""
        trees = [*(code.root for code in self._view.code), *self._view.former_releases]
        return [tree for tree in trees if below(tree, self._root)]

    @cached_property
    def _files(self) -> list[File]:
        """Without what a package manager of a language brought."""
        return [file for file in self._view.files_under(self._root) if self._is_ours(file.path)]

    @cached_property
    def _brought_at(self) -> list[int]:
        """When code came here, sorted."""
        return sorted(_came(file) for file in self._files if is_program(file))

    @cached_property
    def _code_in(self) -> Mapping[str, int]:
        """Folder -> files of code in it and below it."""
        return self._count(file for file in self._files if is_program(file))

    @cached_property
    def _data_in(self) -> Mapping[str, int]:
        """Folder -> files of data in it and below it."""
        return self._count(file for file in self._files if is_data(file))

    def _count(self, files: Iterable[File]) -> Mapping[str, int]:
        direct = Counter(parent_of(file.path) for file in files)
        counts: Counter[str] = Counter()
        for folder, many in direct.items():
            around = folder
            while around == self._root or below(around, self._root):
                counts[around] += many
                around = parent_of(around)
        return counts

    def _mostly_data(self, folder: str) -> bool:
        code = self._code_in.get(folder, 0)
        data = self._data_in.get(folder, 0)
        if not code or folder == self._root:
            return not code
        few = _FEW if _NAMES.search(name_of(folder)) else 0
        return code <= max(few, data * _MOSTLY)

    # --- what speaks for data

    def kept(self) -> Iterator[Kept]:
        """Folders, outermost first; then single files between the code."""
        found: dict[str, Kept] = {}
        candidates = [
            *self._strangers(),
            *self._otherwise_owned(),
            *self._named_so(),
            *self._named(),
        ]
        for each in sorted(candidates, key=lambda candidate: not candidate.seen):
            if not self._mostly_data(each.folder):
                continue
            top = self._outermost(each.folder)
            found.setdefault(
                top,
                Kept(
                    top,
                    each.why,
                    each.seen,
                    self._root,
                ),
            )
        for path in sorted(found):
            if not any(below(path, other) for other in found):
                yield found[path]
        yield from self._single(found)

    def _outermost(self, folder: str) -> str:
        """The largest folder around it that a service writes as well, and that adds no code."""
        top = folder
        while top != self._root:
            around = parent_of(top)
            if not under(around, [self._root]) or not self._is_data_around(around, top):
                break
            top = around
        return top

    def _is_data_around(
        self,
        around: str,
        inside: str,
    ) -> bool:
        """What lies in the larger folder and not in the smaller one is data, too."""
        code = self._code_in.get(around, 0) - self._code_in.get(inside, 0)
        data = self._data_in.get(around, 0) - self._data_in.get(inside, 0)
        if around == self._root:
            return not self._code_in.get(around, 0)
        if self._view.writer(around) is None and not self._view.root_serves:
            return False
        few = _FEW if _NAMES.search(name_of(around)) else 0
        return code <= max(few, data * _MOSTLY)

    def _strangers(self) -> Iterator[_Candidate]:
        """Folders of data that came at another time than any code."""
        for folder, files in self._apart.items():
            seen = any(self._written(file) for file in files)
            newest = max(files, key=lambda file: file.modified)
            yield _Candidate(folder, f"{newest.path} did not come with the code around it", seen)

    @cached_property
    def _apart(self) -> Mapping[str, list[File]]:
        """Folder -> files of data in it that no release brought."""
        found: dict[str, list[File]] = defaultdict(list)
        for file in self._files:
            if is_data(file) and self._came_alone(file) and self._can_be_written(file):
                found[parent_of(file.path)].append(file)
        return found

    def _came_alone(self, file: File) -> bool:
        """No code came at the same time; or it was written since the service began, and the code
        was there before that."""
        moments = self._brought_at
        if not moments or (self._written(file) and moments[-1] <= (self._began or 0)):
            return True
        at = bisect_left(moments, _came(file))
        near = moments[max(0, at - 1) : at + 1]
        return all(abs(moment - _came(file)) > _BURST_S for moment in near)

    @cached_property
    def _began(self) -> int | None:
        """The service that works here, else the youngest of all."""
        services = self._view.services
        here = [each for each in services if self._view.works_in(each, self._root)]
        began = [each.began for each in here or services if each.began is not None]
        return max(began, default=None)

    def _written(self, file: File) -> bool:
        return self._began is not None and file.modified >= self._began

    def _can_be_written(self, file: File) -> bool:
        """By a service: the file is its user's, or the folder is."""
        return (
            self._view.root_serves
            or file.uid in self._view.uids
            or self._view.writer(parent_of(file.path)) is not None
        )

    def _otherwise_owned(self) -> Iterator[_Candidate]:
        """Folders that a service owns, in code that it does not."""
        owner = self._owner
        for folder in self._view.bundle.under(self._root):
            if folder.uid != owner and folder.uid in self._view.uids and self._is_ours(folder.path):
                name = self._view.bundle.user_names.get(folder.uid, folder.uid)
                yield _Candidate(folder.path, f"owned by {name}, unlike the code around it")

    @cached_property
    def _owner(self) -> int | None:
        """Whose the code is."""
        owners = Counter(file.uid for file in self._files if is_program(file))
        return owners.most_common(1)[0][0] if owners else None

    def _is_ours(self, path: str) -> bool:
        """Inside of the tree, and nothing that is looked at by itself."""
        return not is_vendored(path) and not under(path, self._elsewhere)

    def _named_so(self) -> Iterator[_Candidate]:
        """Folders with a name that says it, and with files in them."""
        for folder in self._view.bundle.under(self._root):
            path = folder.path
            if path == self._root or not _NAMES.search(name_of(path)) or not self._is_ours(path):
                continue
            if self._data_in.get(path, 0) and self._view.writer(path) is not None:
                yield _Candidate(path, f"by its name; {self._view.writer(path)}")

    def _named(self) -> Iterator[_Candidate]:
        """Folders that a setting or a variable names; a web server's names are those of code."""
        for path, traces in self._view.named_paths.items():
            real = self._view.bundle.resolve(path)
            if not below(real, self._root) or not self._is_ours(real):
                continue
            if real not in self._view.bundle.folder_at or self._view.writer(real) is None:
                continue
            speaking = [trace for trace in traces if not self._view.serves_files(trace)]
            if speaking:
                yield _Candidate(real, f"named by {speaking[0].at}")

    def rewritten(self) -> Iterator[Kept]:
        """Folders of such code; where most of it is younger, it is a release without a restart."""
        code = [file for file in self._files if is_program(file)]
        young = [file for file in code if self._written(file) and self._can_be_written(file)]
        if len(young) * 2 > len(code):
            return
        folders: dict[str, list[File]] = defaultdict(list)
        for file in young:
            folders[parent_of(file.path)].append(file)
        for folder, files in folders.items():
            yield self._younger(folder, files)

    def _younger(self, folder: str, files: Sequence[File]) -> Kept:
        """Code of one folder that is younger than the service; a single file stands for itself."""
        newest = max(files, key=lambda file: file.modified)
        whole = folder != self._root and len(files) > 1
        many = counted(len(files), "file", "files")
        why = f"{many} of code, such as {newest.path}, younger than the service"
        place = folder if whole else newest.path
        return Kept(
            place,
            why,
            seen=True,
            around=self._root,
        )

    def _single(self, folders: Iterable[str]) -> Iterator[Kept]:
        """Files that were written between the code."""
        for folder, files in self._apart.items():
            if under(folder, folders):
                continue
            for file in files[:_PLACES_AT_MOST]:
                if self._written(file) or not is_settings(file.path):
                    why = "it did not come with the code around it"
                    yield Kept(
                        file.path,
                        why,
                        self._written(file),
                        self._root,
                        single=True,
                    )


def _came(file: File) -> int:
    """When it came to its place."""
    return file.changed or file.modified
