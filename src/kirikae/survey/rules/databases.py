"""Databases told by what lies on the disk: files of SQLite and RRD, servers that do not run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.model.bundle import FirstBytes
from kirikae.survey.catalogue import Findings, present
from kirikae.survey.paths import name_of, parent_of
from kirikae.survey.view import View

# With its zero byte: ``RRD`` alone hits text files.
_FORMATS = {
    b"SQLite format 3".hex(): "SQLite",
    b"RRD\0".hex(): "RRD",
    "bdb": "Berkeley DB",
    "gdbm": "GDBM",
    "lmdb": "LMDB",
}
"""First bytes of a file, or what the collector calls them -> the database that it is."""
_MANIFEST = re.compile(r"MANIFEST-\d{6,}")
_WHERE_SERVICES_LIE = ("/srv", "/opt", "/home", "/var/www", "/data", "/app", "/usr/local")
_DEPTH_AT_MOST = 6
"""Each database of a cluster has a PG_VERSION of its own further down."""


def databases_in_files(view: View) -> Findings:
    """They have one writer: two tasks would spoil them."""
    # Asked for with each tree that a service writes.
    yield from view.once("databases in files", lambda: list(_in_files(view)))


def _in_files(view: View) -> Findings:
    for file in view.bundle.magic:
        kind = _database(file)
        if kind is not None and _somebodys(view, file.path):
            yield present(
                "ST05",
                where=file.path,
                says=f"{file.path} is a {kind} database",
                evidence=[view.trace(file.path, f"its first bytes are {kind}'s")],
            )

    for folder in _logs_of_keys(view):
        yield present(
            "ST05",
            where=folder,
            says=f"{folder} is a LevelDB or RocksDB database",
            evidence=[view.trace(f"{folder}/CURRENT", "beside a MANIFEST")],
        )


def _logs_of_keys(view: View) -> Iterator[str]:
    """Folders of databases that are told by the names of their files alone."""
    found: set[str] = set()
    for file in view.bundle.files:
        folder = parent_of(file.path)
        if folder in found or not _MANIFEST.fullmatch(name_of(file.path)):
            continue
        if view.file_at(f"{folder}/CURRENT") is not None and _somebodys(view, file.path):
            found.add(folder)
            yield folder


def _database(file: FirstBytes) -> str | None:
    """By the first bytes of the file; None for any other file."""
    for begins, kind in _FORMATS.items():
        if file.begins.startswith(begins):
            return kind
    return None


def _somebodys(view: View, path: str) -> bool:
    """A service owns its folder, or it lies where services are put."""
    folder = view.bundle.folder_at.get(parent_of(path))
    if folder is None or view.of_the_system(path):
        return False
    return folder.uid in view.uids or folder.path.startswith(_WHERE_SERVICES_LIE)


def databases_that_do_not_run(view: View) -> Findings:
    """A cluster of PostgreSQL lies there, and no server does anything with it."""
    if any("postgres" in service.name for service in view.services):
        return
    for file in view.bundle.magic:
        cluster = name_of(file.path) == "PG_VERSION" and file.path.count("/") <= _DEPTH_AT_MOST
        if cluster and not view.of_the_system(file.path):
            yield present(
                "PK10",
                where=parent_of(file.path),
                says="data of a PostgreSQL server that does not run",
                evidence=[view.trace(file.path, "PG_VERSION")],
            )


RULES = (
    databases_in_files,
    databases_that_do_not_run,
)
