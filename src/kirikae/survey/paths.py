"""Paths of a host.  They are text: this machine's own file system has no say in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

HOME_OF_ROOT = "/root"
"""On the hosts that are looked at (Filesystem Hierarchy Standard 3.0, 3.14)."""


def parent_of(path: str) -> str:
    """The directory that a path lies in."""
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """The last part of it."""
    return path.rpartition("/")[2]


def below(path: str, folder: str) -> bool:
    """Whether a path lies somewhere in a folder, and is not the folder itself."""
    return path.startswith(folder + "/")


def around(path: str) -> Iterator[str]:
    """A path, and every folder that it lies in, without the root."""
    while path:
        yield path
        path = parent_of(path)


def under(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of these folders or lies in one."""
    return any(path == folder or below(path, folder) for folder in folders)
