"""What one instance of kirikae local keeps for its whole life: ``settings.json`` of its
directory."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from kirikae.hosts.files import write_durably
from kirikae.local.files import OURS_ALONE

CLOUDWATCH_DELAY_S = 60
"""How long after its end a minute's figures are seen by default (ours; ELB documents only that it
reports each minute)."""
_FILE = "settings.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """``run``: the folder of the sockets.  ``pool``: pause containers that are kept started."""

    instance: str
    region: str
    port: int
    control_port: int
    stores_port: int
    run: str
    registry_port: int = 0
    figures_delay_s: int = CLOUDWATCH_DELAY_S
    pool: int = 4

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Raises OSError where there are none, TypeError where another version of kirikae wrote
        others."""
        return cls(**json.loads((directory / _FILE).read_text()))

    @staticmethod
    def exist(directory: Path) -> bool:
        """Was an instance of this directory ever brought up, and not taken down?"""
        return (directory / _FILE).exists()

    def save(self, directory: Path) -> None:
        """Whole or not at all, also when the machine stops meanwhile."""
        write_durably(directory / _FILE, json.dumps(asdict(self)), OURS_ALONE)
