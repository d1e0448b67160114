"""What undoes a fault is written down before the fault is made, so that it is undone also after a
SIGKILL: by the next drill, or by ``kirikae drill undo``."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.drill.acts import Act
from kirikae.drill.errors import AnotherDrill, UndoFailed
from kirikae.hosts.files import keep_private, read_privately, write_privately
from kirikae.model.errors import KirikaeError

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Standing:
    """A fault that was, or was about to be, made.  ``where``: endpoint and region, since what
    undoes it must be asked of the same ones."""

    mark: str
    fault: str
    service: str
    began: float
    where: str
    undo: tuple[Act, ...]

    def to_plain(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "mark": self.mark,
            "fault": self.fault,
            "service": self.service,
            "began": self.began,
            "where": self.where,
            "undo": [act.to_plain() for act in self.undo],
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Standing:
        """Raises KeyError, TypeError, ValueError."""
        if raw["format"] != _FORMAT:
            raise ValueError(f"its format is {raw['format']!r}")
        return cls(
            mark=str(raw["mark"]),
            fault=str(raw["fault"]),
            service=str(raw["service"]),
            began=float(raw["began"]),
            where=str(raw["where"]),
            undo=tuple(Act.from_plain(each) for each in raw["undo"]),
        )


class Undoings:
    """A folder with one file for each fault that stands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, standing: Standing) -> None:
        """Before the fault is made.  Raises UndoFailed where it cannot be: then nothing is made."""
        try:
            write_privately(
                self._file(standing.mark),
                json.dumps(standing.to_plain(), indent=1) + "\n",
            )
        except OSError as error:
            raise KirikaeError(
                f"{self._file(standing.mark)}: cannot be written: {error}; no fault is made whose "
                "undoing is not written down"
            ) from error

    def standing(self) -> list[Standing]:
        """The oldest first.  Raises UndoFailed for a file that cannot be read."""
        if not self._folder.is_dir():
            return []
        found = [self._read(path) for path in sorted(self._folder.glob("*.json"))]
        return sorted(found, key=lambda each: each.began)

    def _read(self, path: Path) -> Standing:
        try:
            return Standing.from_plain(json.loads(read_privately(path)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UndoFailed(
                f"{path}: cannot be read ({error}); it says what a killed drill left: undo that by "
                "hand, then remove the file"
            ) from error

    def undo(
        self,
        standing: Standing,
        carry_out: Callable[[Act], None],
    ) -> None:
        """Every act, also after one that failed; the file goes when all got through.

        Raises UndoFailed.
        """
        problems = []
        for act in standing.undo:
            try:
                carry_out(act)
            except KirikaeError as error:
                problems.append(f"{act}: {error}")
        if problems:
            raise UndoFailed(
                f"{standing.fault} of {standing.service} stands: {'; '.join(problems)}; run "
                "`kirikae drill undo` once that is mended"
            )
        self._file(standing.mark).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One drill at a time in one folder; a dead one holds nothing.  Raises AnotherDrill."""
        keep_private(self._folder)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                # Forked processes of the load do not inherit this one, as they would flock's.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise AnotherDrill(
                    f"another drill is at work here ({self._folder}); wait for its end, or end it "
                    "with Ctrl-C"
                ) from error
            yield
        finally:
            os.close(lock)

    def _file(self, mark: str) -> Path:
        return self._folder / f"{mark}.json"
