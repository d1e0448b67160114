"""What one instance of kirikae local keeps for its whole life: ``settings.json`` of its
directory."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, get_type_hints

from kirikae.hosts.files import write_durably
from kirikae.local.errors import LocalError
from kirikae.local.files import OURS_ALONE

CLOUDWATCH_DELAY_S = 60
"""How long after its end a minute's figures are seen by default (ours; ELB documents only that it
reports each minute)."""
_FILE = "settings.json"
_INSTANCE = re.compile(r"kirikae-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Settings:
    """``run``: the folder of the sockets.  ``pool``: pause containers that are kept started.
    ``test_mode``: may one request forget everything?"""

    instance: str
    region: str
    port: int
    control_port: int
    stores_port: int
    run: str
    registry_port: int = 0
    figures_delay_s: int = CLOUDWATCH_DELAY_S
    pool: int = 4
    test_mode: bool = False

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Raises LocalError for a file that is not ours, or of another version of kirikae."""
        file = directory / _FILE
        try:
            found = cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise _not_ours(file, str(error)) from error
        for key, kind in get_type_hints(cls).items():
            if type(getattr(found, key)) is not kind:
                raise _not_ours(file, f"{key} is {getattr(found, key)!r}")
        if not _INSTANCE.fullmatch(found.instance):
            raise _not_ours(file, f"instance is {found.instance!r}")
        if found.run not in (str(directory), f"/tmp/{found.instance}"):
            raise _not_ours(file, f"run is {found.run!r}")
        return found

    @staticmethod
    def exist(directory: Path) -> bool:
        """Was an instance of this directory ever brought up, and not taken down?"""
        return (directory / _FILE).exists()

    def save(self, directory: Path) -> None:
        """Whole or not at all, also when the machine stops meanwhile."""
        write_durably(directory / _FILE, json.dumps(asdict(self)), OURS_ALONE)


def _not_ours(file: Path, why: str) -> LocalError:
    """The error (not raised yet) for settings that no kirikae local of this version has written."""
    return LocalError(
        f"{file} was not written by this version of kirikae local ({why}); name another folder "
        "with --dir"
    )
