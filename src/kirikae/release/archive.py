"""Nothing in a release's archive can be written outside of its folder, or is anything but a file, a
folder or a link.

kirikae packs nothing else; former versions did, and a store may be written by others.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from kirikae.release.errors import NoRelease

_SETUID_OR_SETGID = 0o6000


def assert_harmless(file: Path, archive: bytes) -> None:
    """Raises NoRelease."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = tar.getmembers()
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise NoRelease(
            f"{file} is no archive of a release ({error}); create the release again from the same "
            "files"
        ) from error
    for why in strange_members(members):
        raise NoRelease(f"{file} holds {why}; create a release under a new ID without it")


def strange_members(members: Iterable[tarfile.TarInfo]) -> Iterator[str]:
    """Those that could be written outside of the archive's folder, or are none of what a release
    holds, each with the reason."""
    links: list[PurePosixPath] = []
    for member in members:
        path = PurePosixPath(member.name)
        below_a_link = any(link in path.parents for link in links)
        if path.is_absolute() or ".." in path.parts or below_a_link:
            yield f"{member.name}, {_LEADS_OUT}"
        elif member.issym() or member.islnk():
            links.append(path)
            if _target_leads_out(member, path):
                yield f"{member.name} -> {member.linkname}, {_LEADS_OUT}"
        elif not (member.isreg() or member.isdir()):
            yield f"{member.name}, which is neither file, folder nor link"
        elif member.mode & _SETUID_OR_SETGID:
            yield f"{member.name}, which would run with its owner's rights (setuid or setgid)"


_LEADS_OUT = "which leads out of the release's folder: on a host that would be another file"


def _target_leads_out(member: tarfile.TarInfo, path: PurePosixPath) -> bool:
    """A link is read from the folder that it lies in, a second name of a file from the archive's
    top."""
    target = PurePosixPath(member.linkname)
    start = path.parent.parts if member.issym() else ()
    return target.is_absolute() or _climbs_out(start, target.parts)


def _climbs_out(start: Sequence[str], steps: Sequence[str]) -> bool:
    depth = len(start)
    for step in steps:
        depth += -1 if step == ".." else 1
        if depth < 0:
            return True
    return False
