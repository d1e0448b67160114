"""Which packages a tree of files has, and what belongs to them, as their own records say."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from kirikae.survey.packaged_by_rpm import FOLDERS as _RPM
from kirikae.survey.packaged_by_rpm import rpm_sections
from kirikae.survey.trees import Entry, Tree

_STATUS = "/var/lib/dpkg/status"
_INFO = "/var/lib/dpkg/info/"
_APK = "/lib/apk/db/installed"
_PROGRAMS = ("/usr/", "/bin/", "/sbin/", "/lib")
LEFT_OUT = re.compile(
    r"^/usr/share/(doc|man|locale|info|lintian|help|groff)(/|$)|__pycache__|^/usr/lib/locale/"
)
"""What an image leaves out on purpose is no loss."""
_GONE_AT_MOST = 200
_INSTALLING_S = 60
Text = Callable[[str], str]
Paragraph = dict[str, str]


def packages(
    tree: Tree,
    paths: Sequence[str],
    text: Text,
) -> Iterator[str]:
    """Sections of the packages, or what could not be told."""
    if _STATUS in tree.entries:
        yield from _dpkg(tree, paths, text)
    elif _APK in tree.entries:
        yield from _apk(text)
    elif any(folder in tree.entries for folder in _RPM):
        yield from rpm_sections(tree)
    else:
        yield "@missing packages"
        yield "|neither dpkg nor rpm nor apk is here: files of packages cannot be told from others"


def _paragraphs(text: str) -> Iterator[Paragraph]:
    """As deb-control(5) has them."""
    for block in re.split(r"\n\s*\n", text):
        found: Paragraph = {}
        name = ""
        for line in block.splitlines():
            if line[:1] in " \t":
                found[name] = f"{found.get(name, '')}\n{line.strip()}"
            else:
                name, _, value = line.partition(":")
                found[name] = value.strip()
        if "Package" in found:
            yield found


def _dpkg(
    tree: Tree,
    paths: Sequence[str],
    text: Text,
) -> Iterator[str]:
    """As dpkg-query prints it."""
    known = list(_paragraphs(text(_STATUS)))
    yield "@packages dpkg"
    for each in known:
        status = each.get("Status", "")
        mark = "ii " if status.endswith(" installed") else "rc "
        cells = [each["Package"], each.get("Version", ""), each.get("Architecture", ""), mark]
        cells += [each.get("Essential", "no"), each.get("Priority", ""), each.get("Section", "")]
        yield "|" + "\t".join(cells)
    yield "@automatic"
    for each in _paragraphs(text("/var/lib/apt/extended_states")):
        if each.get("Auto-Installed") == "1":
            yield f"|{each['Package']}"
    yield "@depends"
    for each in known:
        yield f"|{each['Package']}\t{each.get('Pre-Depends', '')}, {each.get('Depends', '')}"
    lists = [path for path in paths if path.startswith(_INFO) and path.endswith(".list")]
    yield from _lists(tree, lists, text)
    yield "@diverted"
    yield from _diverted(text("/var/lib/dpkg/diversions"))
    yield "@changed"
    for each in known:
        yield from _conffiles(tree, each.get("Conffiles", ""))
    yield from _hashed_by_ucf(tree, text("/var/lib/ucf/hashfile"))
    yield from _files_of_packages(tree, lists, text)


def _lists(
    tree: Tree,
    lists: Sequence[str],
    text: Text,
) -> Iterator[str]:
    """Who owns what, and since when; files of ucf stand in no list of dpkg's."""
    yield "@owned"
    for path in lists:
        for line in text(path).splitlines():
            if line not in ("/.", ""):
                yield f"|{_package_of(path)}\t{line}"
    for line in text("/var/lib/ucf/registry").splitlines():
        cells = line.split()
        if len(cells) == 2:
            yield f"|{cells[0]}\t{cells[1]}"
    yield "@installed"
    for path in lists:
        yield f"|{tree.entries[path].modified}\t{_package_of(path)}"


def _package_of(path: str) -> str:
    """``libc6`` of ``libc6:amd64.list``."""
    return posixpath.basename(path).removesuffix(".list").split(":")[0]


def _diverted(text: str) -> Iterator[str]:
    """Three lines each: the path, where the other one lies, whose it is (dpkg-divert(1))."""
    lines = text.splitlines()
    for path, moved, package in zip(
        lines[::3],
        lines[1::3],
        lines[2::3],
        strict=False,
    ):
        yield f"|{path}\t{moved}\t{package}"


def _conffiles(
    tree: Tree,
    said: str,
) -> Iterator[str]:
    """``PATH MD5``; an obsolete one is its package's no more."""
    for line in said.splitlines():
        cells = line.split()
        if len(cells) == 2:
            yield from _compared(
                tree,
                "conffile",
                cells[0],
                cells[1],
            )


def _hashed_by_ucf(
    tree: Tree,
    said: str,
) -> Iterator[str]:
    """``MD5  PATH``"""
    for line in said.splitlines():
        cells = line.split()
        if len(cells) == 2:
            yield from _compared(
                tree,
                "ucf",
                cells[1],
                cells[0],
            )


def _files_of_packages(
    tree: Tree,
    lists: Sequence[str],
    text: Text,
) -> Iterator[str]:
    """As ``packaged_files`` of collect.sh: files that are gone, or younger than their package and
    other ones by their checksum."""
    if "/usr" not in tree.entries:
        return  # only a part of the host
    gone = (path for each in lists for path in _gone(tree, text(each)))
    for path in islice(gone, _GONE_AT_MOST):
        yield f"|packaged\tmissing\t{path}"
    for each in lists:
        younger = list(_younger(tree, each, text(each)))
        sums = _sums(text(each.removesuffix(".list") + ".md5sums")) if younger else {}
        for path, entry in younger:
            seen = tree.md5(entry.path)
            if seen and seen != sums.get(path, seen):
                yield f"|packaged\tmodified\t{path}"


def _gone(
    tree: Tree,
    listed: str,
) -> Iterator[str]:
    """Of a package's list, without what images leave out."""
    for path in _of_programs(listed):
        if _merged(tree, path) not in tree.entries and not LEFT_OUT.search(path):
            yield path


def _younger(
    tree: Tree,
    place: str,
    listed: str,
) -> Iterator[tuple[str, Entry]]:
    """Files that were written after the list was, and so after the package came."""
    since = tree.entries[place].modified + _INSTALLING_S
    for path in _of_programs(listed):
        entry = tree.entries.get(_merged(tree, path))
        if entry is not None and entry.kind == "f" and entry.modified > since:
            yield path, entry


def _of_programs(listed: str) -> Iterator[str]:
    """What collect.sh looks at."""
    return (line for line in listed.splitlines() if line.startswith(_PROGRAMS))


def _sums(said: str) -> dict[str, str]:
    """``MD5  PATH`` without the slash at its begin."""
    rows = (line.split("  ", 1) for line in said.splitlines() if "  " in line)
    return {f"/{path}": digest for digest, path in rows}


def _merged(
    tree: Tree,
    path: str,
) -> str:
    """Where /bin is a link to /usr/bin."""
    first = "/" + path.split("/")[1]
    link = tree.entries.get(first)
    return f"/usr{path}" if link is not None and link.kind == "l" else path


def _compared(
    tree: Tree,
    kind: str,
    path: str,
    wanted: str,
) -> Iterator[str]:
    """Nothing for a file that is as its package brought it."""
    if path not in tree.entries:
        yield f"|{kind}\tmissing\t{path}"
        return
    raw = tree.read(path)
    if raw is not None and hashlib.md5(raw, usedforsecurity=False).hexdigest() != wanted:
        yield f"|{kind}\tmodified\t{path}"


def _apk(text: Text) -> Iterator[str]:
    """Alpine's list: P is a package, V its version, F a folder, R a file in it."""
    listed = []
    owned = []
    package = folder = ""
    for line in text(_APK).splitlines():
        key, _, value = line.partition(":")
        if key == "P":
            package = value
        elif key == "V":
            listed.append(f"|{package}\t{value}\t\tii \t\t\t")
        elif key == "F":
            folder = value
            owned.append(f"|{package}\t/{folder}")
        elif key == "R":
            owned.append(f"|{package}\t/{folder}/{value}")
    yield from ("@packages apk", *listed, "@owned", *owned)
