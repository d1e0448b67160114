"""What git tracks of a folder: in a repository that and nothing else goes into a release, unless
an ignore file says what may."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath


def tracked(folder: Path) -> frozenset[PurePosixPath] | None:
    """Files and the folders that hold them, by their names in the folder; None: git tracks nothing
    there, as in a folder of build results."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "ls-files", "-z", "--recurse-submodules", "--", "."],
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    if done.returncode != 0 or not done.stdout:
        return None
    names = [
        PurePosixPath(name) for name in done.stdout.decode(errors="surrogateescape").split("\0")
    ]
    files = [name for name in names if name.name]
    return frozenset([*files, *(parent for name in files for parent in name.parents)])
