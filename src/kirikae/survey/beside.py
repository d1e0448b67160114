"""What lies on a host and no running service was seen to write: volumes of containers, folders that
systemd made, what jobs leave behind, and, where no clock tells, what root's own service may have
written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kirikae.model.bundle import File, Folder
from kirikae.survey.brought import is_data, is_vendored
from kirikae.survey.naming import FOLDERS_OF_SYSTEMD
from kirikae.survey.paths import parent_of, under
from kirikae.survey.services import ROOT
from kirikae.survey.view import View

_VOLUME = re.compile(r"/var/lib/(docker|containers/storage)/volumes/[^/]+/_data")
_PATH = r"(/(?!dev/|proc/|tmp/|run/|var/(?:log|tmp|run)/)[A-Za-z0-9._@+/-]+[A-Za-z0-9._@+-])"
_LEAVES = re.compile(
    rf"(?<![0-9&>])>>?\s*[\"']?{_PATH}"
    rf"|\btar\s+-?\w*c\w*f\s+[\"']?{_PATH}"
    rf"|\b(?:pg_dump(?:all)?|mysqldump|mariadb-dump|sqlite3|mongodump)\b[^|;>]*?"
    rf"\s(?:-[fro]\s*|--(?:file|result-file|out|archive)[= ])[\"']?{_PATH}"
)
_WHERE_DATA_LIES = ("/data", "/srv", "/opt", "/mnt", "/var/lib", "/var/spool")
_DEPTH = 5
"""Of a path that only its place speaks for: no folder for each day."""


class Place(NamedTuple):
    """A file or a folder, why it counts, and whose it may be."""

    path: str
    says: str
    services: tuple[str, ...] = ()


def volumes(view: View) -> Iterator[Place]:
    """They outlive their containers, and no service of the host's own writes them."""
    for folder in view.bundle.folders:
        inside = view.bundle.under(folder.path) if _VOLUME.fullmatch(folder.path) else ()
        if any(each.files for each in inside):
            yield Place(folder.path, "a volume of containers")


def made_by_systemd(view: View) -> Iterator[Place]:
    """Folders that it gives to a service, whose user may live no longer than the service runs
    (systemd.exec(5), DynamicUser)."""
    for service in view.services:
        for key, base in FOLDERS_OF_SYSTEMD.items():
            for name in service.unit.words(key) if key != "RuntimeDirectory" else ():
                path = view.bundle.resolve(f"{base}/{name}")
                if any(inside.files for inside in view.bundle.under(path)):
                    yield Place(path, f"{key}={name} of {service.unit.name}", (service.name,))


def leaves(line: str) -> Iterator[tuple[re.Match[str], str]]:
    """Where a line of a crontab writes a file, and which."""
    for match in _LEAVES.finditer(line):
        yield match, next(filter(None, match.groups()))


def left_by_jobs(view: View) -> Iterator[Place]:
    """Files that a line of a crontab writes; the folder where a name is made anew each time."""
    for job in view.schedules.jobs:
        for _, path in leaves(job.line.text):
            says = f"a job of {job.line.path} writes it"
            if view.file_at(path) is not None or path in view.bundle.folder_at:
                yield Place(path, says)
            elif _has_files(view, parent_of(path)):
                yield Place(parent_of(path), says)


def _has_files(view: View, path: str) -> bool:
    """Of its own; and no folder in which everybody has his files."""
    folder = view.bundle.folder_at.get(path)
    return folder is not None and folder.files > 0 and path.count("/") > 1


def of_root_without_a_clock(view: View) -> Iterator[Place]:
    """In an archive nothing tells since when a service runs: what it wrote looks like what lay
    there."""
    alone = [
        service.name
        for service in view.services
        if service.unit.own and service.uids == {ROOT} and not service.web
    ]
    if not alone or view.bundle.began is not None:
        return
    code = [each.root for each in view.bundle.code]
    says = f"root's, in no package; {' or '.join(alone)} runs as root"
    for folder in sorted(view.bundle.folders, key=lambda each: each.path):
        if _may_be_of_root(view, folder) and not under(folder.path, code):
            yield Place("/".join(folder.path.split("/")[:_DEPTH]), says, tuple(alone))


def _may_be_of_root(view: View, folder: Folder) -> bool:
    """Data of root's, where services keep theirs."""
    path = folder.path
    if folder.uid != ROOT or not folder.files or not under(path, _WHERE_DATA_LIES):
        return False
    if view.of_the_system(path) or is_vendored(path) or view.bundle.owner(path) is not None:
        return False
    newest = folder.newest_name
    if not newest or view.bundle.owner(newest) is not None:
        return False
    return is_data(view.file_at(newest) or File(newest, 0o644, ROOT, ROOT, 0, 0, 0))
