"""What each alert of logs remembers: does somebody listen, and does what it told arrive?"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILES = "*alert*.json"
_MOST = 100
_BYTES = 4_000_000
_SILENT_S = 900.0
"""A round is seconds long; who has written nothing for so long does not listen any more."""


@dataclass(frozen=True, slots=True)
class AlertSeen:
    """``at``: its last round.  ``counting``: kinds of lines that it counts now.  ``unsent``:
    messages that wait for the chat.  ``trouble``: why its memory cannot be read."""

    name: str
    at: float
    counting: int = 0
    unsent: int = 0
    left_out: int = 0
    trouble: str = ""

    @property
    def state(self) -> str:
        """A word of ``console.web.logs``."""
        if self.trouble:
            return "alert_unreadable"
        if self.unsent or self.left_out:
            return "alert_undelivered"
        return "alert_silent" if time.time() - self.at > _SILENT_S else "alert_listens"

    @property
    def tone(self) -> str:
        return "pass" if self.state == "alert_listens" else "held"

    def to_plain(self) -> dict[str, Any]:
        return {
            "alert": self.name,
            "state": self.state.removeprefix("alert_"),
            "at": self.at,
            "counting": self.counting,
            "unsent": self.unsent,
            "left_out": self.left_out,
            "trouble": self.trouble,
        }


def alerts_in(folder: Path) -> list[AlertSeen]:
    """Of this machine, where `kirikae logs alert` runs beside the project file; by name."""
    return [_seen(file) for file in sorted(folder.glob(_FILES))[:_MOST]]


def _seen(file: Path) -> AlertSeen:
    try:
        at = file.stat().st_mtime
        if file.stat().st_size > _BYTES:
            return AlertSeen(file.stem, at, trouble="more than 4 MB")
        raw = json.loads(file.read_text(encoding="utf-8"))
        return _of(file.stem, at, raw)
    except (OSError, ValueError, RecursionError, LookupError, TypeError) as error:
        return AlertSeen(file.stem, 0.0, trouble=f"{type(error).__name__}: {error}")


def _of(name: str, at: float, raw: Mapping[str, Any]) -> AlertSeen:
    """Raises LookupError, TypeError for what `logs alert` did not write."""
    counting = len(raw["windows"]["open"])
    return AlertSeen(name, at, counting, len(raw["unsent"]), int(raw["left_out"]))
