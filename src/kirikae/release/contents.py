"""What of a folder goes into a release's archive, and what never does: kirikae's own state, version
control, what is private (``model/private.py``), caches, what ``.kirikaeignore`` names, and, where
there is no such file, what git does not track.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from kirikae.model.errors import UsageProblem
from kirikae.model.private import why_by_content, why_by_name
from kirikae.release.tracked import tracked

IGNORE_FILE = ".kirikaeignore"
_OWN = "kirikae's own state"
_NAMES = {
    ".kirikae": _OWN,
    IGNORE_FILE: "says what is left out",
    ".git": "version control",
    ".hg": "version control",
    ".svn": "version control",
    ".bzr": "version control",
    "cvs": "version control",
    "_darcs": "version control",
    ".jj": "version control",
    ".fslckout": "version control",
    "__pycache__": "a cache",
    ".mypy_cache": "a cache",
    ".pytest_cache": "a cache",
    ".ruff_cache": "a cache",
    ".venv": "a virtual environment of this machine",
    ".tox": "a virtual environment of this machine",
    ".terraform": "Terraform's own, of this machine",
}
"""Names of files and folders, wherever they lie, in small letters."""
WRITTEN_THERE = "RELEASE"
"""kirikae writes this file itself, on each host and in each image."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One file, or a folder with all that it holds."""

    name: str
    why: str
    files: int
    size: int

    @property
    def says(self) -> str:
        many = f", {self.files} files" if self.name.endswith("/") else ""
        return f"left out: {self.name} ({in_words(self.size)}{many}): {self.why}"


def in_words(size: int) -> str:
    if size < 1 << 10:
        return f"{size} bytes"
    if size < 1 << 20:
        return f"{size / (1 << 10):.0f} KiB"
    return f"{size / (1 << 20):.1f} MiB"


@dataclass(frozen=True, slots=True)
class Contents:
    """``members``: what is packed, in order; a folder comes before what it holds."""

    members: Sequence[Path]
    left_out: Sequence[LeftOut]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of ``.kirikaeignore``."""

    glob: str
    anchored: bool
    """It has a slash before its end: matched from the folder of the release on."""
    folders_only: bool

    @classmethod
    def from_line(cls, line: str, place: str) -> Pattern:
        """Raises UsageProblem for what git would take and kirikae does not."""
        if line.startswith("!") or "**" in line:
            raise UsageProblem(
                f"{place}: {line!r} is not understood; a line is a name or a path with *, ? and "
                "[...], with / at its end for folders only"
            )
        line = line.removeprefix("./")
        glob = line.rstrip("/")
        return cls(
            glob.removeprefix("/"),
            "/" in glob,
            line.endswith("/"),
        )

    def takes(self, name: PurePosixPath, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        if not self.anchored:
            return fnmatchcase(name.name, self.glob)
        parts = self.glob.split("/")
        return len(parts) == len(name.parts) and all(
            fnmatchcase(part, glob)
            for part, glob in zip(
                name.parts,
                parts,
                strict=True,
            )
        )


def patterns_of(folder: Path) -> list[Pattern]:
    """Of the folder's ``.kirikaeignore``; none where it has none.  Raises UsageProblem."""
    file = folder / IGNORE_FILE
    try:
        # The mark of an editor would hide the first line from its file.
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{file}: cannot be read: {error}") from error
    wanted = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    return [
        Pattern.from_line(line, f"{file}:{number}")
        for number, line in wanted
        if line.strip("/") and not line.startswith("#")
    ]


@dataclass
class _Walk:
    """A walk through the folder of a release."""

    root: Path
    patterns: Sequence[Pattern]
    without: Sequence[Path]
    tracked: frozenset[PurePosixPath] | None = None
    """None: whatever lies there may go."""
    members: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def through(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            why = self._why_not(path)
            if why:
                self.left_out.append(self._told(path, why))
                continue
            self.members.append(path)
            if _is_folder(path):
                self.through(path)

    def _why_not(self, path: Path) -> str:
        """Empty: it goes into the archive."""
        name = PurePosixPath(path.relative_to(self.root).as_posix())
        own = _NAMES.get(name.name.lower())
        if own:
            return own
        if path.absolute() in self.without:
            return _OWN
        if name == PurePosixPath(WRITTEN_THERE):
            return "kirikae writes it, on each host and in each image"
        if any(pattern.takes(name, _is_folder(path)) for pattern in self.patterns):
            return f"{IGNORE_FILE} names it"
        if path.is_socket():
            return "a socket: the process that serves there makes it"
        private = _why_private(path)
        if private or self.tracked is None or name in self.tracked:
            return private
        return f"git does not track it (a {IGNORE_FILE}, also an empty one, lets it go along)"

    def _told(self, path: Path, why: str) -> LeftOut:
        name = path.relative_to(self.root).as_posix()
        if not _is_folder(path):
            return LeftOut(
                name,
                why,
                1,
                path.lstat().st_size,
            )
        sizes = [each.lstat().st_size for each in path.rglob("*") if not _is_folder(each)]
        return LeftOut(
            f"{name}/",
            why,
            len(sizes),
            sum(sizes),
        )


def _is_folder(path: Path) -> bool:
    """A link to a folder is a link."""
    return path.is_dir() and not path.is_symlink()


def _why_private(path: Path) -> str:
    """By name and by content; empty: it is not."""
    why = why_by_name(path)
    if why or path.is_symlink() or not path.is_file():
        return why
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return ""
        with mmap.mmap(
            file.fileno(),
            0,
            access=mmap.ACCESS_READ,
        ) as body:
            return why_by_content(path.name, body)


def contents(folder: Path, without: Iterable[Path] = ()) -> Contents:
    """What of this folder is released; ``without`` are kirikae's own files, wherever they lie.
    Raises UsageProblem."""
    root = folder.resolve()
    known = None if (root / IGNORE_FILE).is_file() else tracked(root)
    walk = _Walk(
        root,
        patterns_of(root),
        [each.resolve() for each in without],
        known,
    )
    try:
        walk.through(root)
        for path in walk.members:
            _assert_leads_inside(root, path)
    except OSError as error:
        raise UsageProblem(f"{error.filename}: {error.strerror}") from error
    return Contents(walk.members, walk.left_out)


def _assert_leads_inside(root: Path, path: Path) -> None:
    """On a host a link that leads out would be another file, with root's rights.  Raises
    UsageProblem."""
    if not path.is_symlink():
        return
    try:
        inside = not path.readlink().is_absolute() and path.resolve().is_relative_to(root)
    except RuntimeError:
        # A circle of links leads nowhere.
        return
    if not inside:
        raise UsageProblem(
            f"{path}: the link leads out of the release (to {path.readlink()}), and on a host it "
            f"would lead elsewhere; make it there in `before`, or name it in {IGNORE_FILE}"
        )
