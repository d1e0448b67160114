"""Which packages of rpm a tree of files has, as ``collect.sh`` tells them of a living host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.survey.rpmdb import Owned, Rpm, is_database, packages_of
from kirikae.survey.trees import Tree

FOLDERS = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
_FORMS = ("rpmdb.sqlite", "Packages")
_LEFT_OUT = re.compile(r"/(doc|man|locale|licenses|\.build-id)(/|$)")
"""What an image leaves out on purpose is no loss."""
_CHANGED_AT_MOST = 500


def rpm_sections(tree: Tree) -> Iterator[str]:
    """Sections of the packages, or what could not be told."""
    places = [f"{folder}/{form}" for folder in FOLDERS for form in _FORMS]
    for place in places:
        raw = tree.read(place)
        if raw is None:
            continue
        if not is_database(raw):
            yield from _missing(f"{place} is of a form that is not read here")
            continue
        log = tree.entries.get(f"{place}-wal")
        if log is not None and log.size:
            yield from _missing(f"{place}-wal was not read: the newest packages may be missing")
        yield from _told(tree, *packages_of(raw))
        return
    yield from _missing("no database of rpm could be read: run the survey over SSH")


def _missing(why: str) -> Iterator[str]:
    yield "@missing packages"
    yield f"|{why}"


def _told(
    tree: Tree,
    packages: list[Rpm],
    lost: int,
) -> Iterator[str]:
    """In the form that the host's own rpm gives."""
    if lost:
        yield from _missing(f"{lost} entries of the database of rpm could not be read")
    yield "@packages rpm"
    for each in packages:
        yield f"|{each.name}\t{each.version}\t{each.architecture}\tii \t\t\t{each.group}"
    yield "@installed"
    for each in packages:
        if each.installed is not None:
            yield f"|{each.installed}\t{each.name}"
    yield "@owned"
    for each in packages:
        for owned in each.files:
            if owned.path.startswith("/") and "\n" not in owned.path:
                yield f"|{each.name}\t{owned.path}"
    yield "@changed"
    yield from list(_changed(tree, packages))[:_CHANGED_AT_MOST]


def _changed(
    tree: Tree,
    packages: list[Rpm],
) -> Iterator[str]:
    """Configuration by its content; everything else only where it is gone."""
    for package in packages:
        for owned in package.files:
            kind = "conffile" if owned.configuration else "packaged"
            if not _is_there(tree, owned.path):
                if not owned.ghost and not _LEFT_OUT.search(owned.path):
                    yield f"|{kind}\tmissing\t{owned.path}"
            elif owned.configuration and _differs(tree, owned, package.algorithm):
                yield f"|conffile\tmodified\t{owned.path}"


def _is_there(
    tree: Tree,
    path: str,
) -> bool:
    """Where /bin is a link to usr/bin, a package may still name /bin."""
    if path in tree.entries:
        return True
    first = "/" + path.split("/")[1]
    link = tree.entries.get(first)
    return link is not None and link.kind == "l" and f"/usr{path}" in tree.entries


def _differs(
    tree: Tree,
    owned: Owned,
    algorithm: str,
) -> bool:
    """Not what the package brought; what cannot be read is not said to differ."""
    entry = tree.entries.get(owned.path)
    if entry is None or entry.kind != "f" or not owned.digest:
        return False
    seen = tree.sha256(owned.path) if algorithm == "sha256" else tree.md5(owned.path)
    return bool(seen) and seen != owned.digest
