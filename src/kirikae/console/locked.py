"""Locked packages of languages: which of them a release brings, which a base storey installs, and
which are nowhere."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kirikae.build.written import checksum
from kirikae.release.manifest import Manifest

_BESIDE = {
    "package-lock.json": ("package-lock.json", "package.json"),
    "npm-shrinkwrap.json": ("npm-shrinkwrap.json", "package.json"),
    "composer.lock": ("composer.lock", "composer.json"),
    "Gemfile.lock": ("Gemfile.lock", "Gemfile"),
    "cpanfile.snapshot": ("cpanfile.snapshot", "cpanfile"),
}
"""What a manager reads together with its lock."""
_TREES = {
    "package-lock.json": "node_modules",
    "npm-shrinkwrap.json": "node_modules",
    "composer.lock": "vendor",
    "Gemfile.lock": "vendor/bundle",
    "cpanfile.snapshot": "local",
}
"""Lock -> where its packages lie once they are installed."""
_OF_OTHERS = {
    "yarn.lock": "node_modules",
    "pnpm-lock.yaml": "node_modules",
    "bun.lock": "node_modules",
    "bun.lockb": "node_modules",
    "poetry.lock": "requirements.txt",
    "Pipfile.lock": "requirements.txt",
    "uv.lock": "requirements.txt",
    "pdm.lock": "requirements.txt",
}
"""Locks that no base storey installs -> what a release has to bring instead."""
_WITHOUT_TREES = ".pnp.cjs"
"""Yarn lays packages as archives where this file is (Yarn: Plug'n'Play)."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release, and the bytes of its archive."""

    manifest: Manifest
    archive: bytes

    def names(self) -> list[str]:
        """Paths of its files."""
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as tar:
            return [entry.name for entry in tar if entry.isfile() or entry.issym()]

    def locks(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Files of these paths, and what belongs beside them."""
        found = {}
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as tar:
            every = {entry.name: entry for entry in tar if entry.isfile()}
            for path in [path for path in paths if path in every]:
                for beside in _beside(path):
                    entry = every.get(beside)
                    body = tar.extractfile(entry) if entry is not None else None
                    if body is not None:
                        found[beside] = body.read()
        return found


def _beside(lock: str) -> Iterator[str]:
    folder, _, name = lock.rpartition("/")
    for each in _BESIDE.get(name, (name,)):
        yield posixpath.join(folder, each)


def locks_to_install(wanted: Sequence[str], release: Release | None) -> dict[str, bytes]:
    """``wanted``: paths of the locks that a base storey asks for.  Those of the release whose
    packages it does not bring itself, by their paths."""
    if release is None:
        return {}
    names = release.names()
    return release.locks([lock for lock in wanted if not _is_brought(lock, names)])


def _is_brought(lock: str, names: Sequence[str]) -> bool:
    """Do the packages of a lock lie in the release already?"""
    folder, _, name = lock.rpartition("/")
    tree = _TREES.get(name)
    return tree is not None and _has(posixpath.join(folder, tree), names)


def _has(path: str, names: Sequence[str]) -> bool:
    """A file, a link, or a folder with something in it."""
    return any(name == path or name.startswith(f"{path}/") for name in names)


def locks_label(locks: Mapping[str, bytes]) -> str:
    """Path -> checksum, as the label of a base storey has it."""
    return json.dumps({name: checksum(body) for name, body in sorted(locks.items())})


def without_packages(
    wanted: Sequence[str],
    parts: Sequence[str],
    release: Release,
) -> Iterator[str]:
    """Locks whose packages are in no image of this release, each with the way out.  ``parts``: of
    the release, whose code is a service's own."""
    names = release.names()
    made = release.manifest.id
    for lock in wanted:
        folder, _, name = lock.rpartition("/")
        if name in _TREES and lock not in names and not _is_brought(lock, names):
            tree = posixpath.join(folder, _TREES[name])
            yield (
                f"the hosts' code has {lock}, and {made} has neither it nor {tree}/: none of its "
                f"packages are in the images; make the release from a folder that has one of them"
            )
    for part in parts:
        for name, instead in _OF_OTHERS.items():
            if part + name in names and not _is_provided(part, instead, names):
                yield (
                    f"{made} has {part}{name}, by which kirikae installs nothing, and no "
                    f"{part}{instead}: packages that only this file names are in no image; make "
                    f"{part}{instead} before you make the release"
                )


def _is_provided(part: str, instead: str, names: Sequence[str]) -> bool:
    """The same packages by a way that kirikae knows."""
    npm = [part + lock for lock, tree in _TREES.items() if tree == instead]
    return any(_has(each, names) for each in (part + instead, part + _WITHOUT_TREES, *npm))
