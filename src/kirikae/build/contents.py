"""What must not be in an image: state of the hosts, secrets and leftovers, setuid bits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from kirikae.model.private import why_by_name
from kirikae.model.workload import Workload

_NEVER = re.compile(
    r"(^|/)(\.git/|\.env$|id_[a-z0-9]+$|\.npmrc$|\.netrc$|\.pgpass$|\.aws/"
    r"|ssl-cert-snakeoil\.key$|ssh_host_\w+$)"
    r"|^(?!usr/(?!local/)).*\.(p12|jks)$"
    r"|^(home|root|srv|opt|var/www)/.*\.key$",
)
"""Key stores below /usr are examples of packages (Debian's puma has four), but for /usr/local."""
STATE = "state-of-hosts"
"""The file, below ``build.folder``, that names the trees which no image may hold."""
_OWN = re.compile(r"(home|root|srv|opt|var/www)/")
"""Where people put files, and packages do not."""
_MAY_BE_THERE = ("cache", "runtime", "log")
"""Kinds of trees that hold nothing that somebody would miss."""
_SETUID_OR_SETGID = 0o6000


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A regular file of an image; ``path`` is relative to its root.

    ``holds``: what it holds that is private, where that was looked for (``looked_into``).
    """

    path: str
    mode: int
    holds: str = ""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A file of an image that must not be there."""

    image: str
    path: str
    why: str

    def to_plain(self) -> dict[str, str]:
        """Plain data for ``--json``."""
        return asdict(self)


def state_of_hosts(workload: Workload) -> list[str]:
    """The trees that hold the hosts' state, relative to the root; of all their services."""
    found = {
        writable.path.lstrip("/")
        for one in workload.every
        for writable in one.writable
        if writable.kind not in _MAY_BE_THERE
    }
    return sorted(found)


def state_in(text: str) -> list[str]:
    """The same trees, as ``state-of-hosts`` has them."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def unwanted(
    image: str,
    files: Iterable[ImageFile],
    state: Sequence[str],
) -> list[Unwanted]:
    """Every file that must not be there, and why."""
    found = []
    for file in files:
        why = _why_unwanted(file, state)
        if why is not None:
            found.append(Unwanted(image, f"/{file.path}", why))
    return found


def looked_into(path: str) -> bool:
    """A certificate is wanted, and a key in a file of the same kind is not."""
    return _OWN.match(path) is not None and path.endswith(".pem")


def _is_private(path: str) -> bool:
    """Elsewhere a distribution has files of such names."""
    return _OWN.match(path) is not None and why_by_name(PurePosixPath(path)) != ""


def _why_unwanted(file: ImageFile, state: Sequence[str]) -> str | None:
    """None for a file that may be there."""
    if any(file.path.startswith(tree + "/") for tree in state):
        return "state of the hosts"
    if _NEVER.search(file.path) or _is_private(file.path):
        return "a secret, or a leftover"
    if file.holds:
        return file.holds
    if file.mode & _SETUID_OR_SETGID:
        return f"setuid or setgid (mode {file.mode:o})"
    return None
