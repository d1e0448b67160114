"""Write what a move of traffic has recorded to a file, as ``move judge`` reads it."""

from __future__ import annotations

import math
from pathlib import Path

from kirikae.model.errors import UsageProblem
from kirikae.model.move import Move
from kirikae.move.journal import Journal
from kirikae.traffic.batches import Batch, recorded
from kirikae.traffic.replay import lines_of


class Recorder:
    """Writes every batch of an attempt once and in order.  Raises UsageProblem."""

    def __init__(self, journal: Journal, file: Path) -> None:
        """Empties the file.  Raises UsageProblem where it cannot be written."""
        self._journal = journal
        self._file = file
        self._written = -math.inf
        try:
            file.write_text("", encoding="utf-8")
        except OSError as error:
            raise UsageProblem(
                f"{file} cannot be written: {error.strerror}; name another file with --record",
            ) from error

    def write(self, found: Move, everything: bool) -> None:
        """``everything``: also rounds of probes that are ahead of the figures, which come late."""
        batches = recorded(self._journal, found)
        if not batches and everything:
            batches = self._before(found)
        known = [batch.start for batch in batches if everything or not batch.only_probes]
        until = max(known, default=-math.inf)
        with self._file.open("a", encoding="utf-8") as out:
            for batch in batches:
                if self._written < batch.start <= until:
                    out.writelines(f"{line}\n" for line in lines_of(batch))
        self._written = max(self._written, until)

    def _before(self, found: Move) -> list[Batch]:
        """Figures of the last attempt that has any: after a back-out, those that led to it."""
        for entry in reversed(self._journal.entries(found.name)):
            if entry.move.attempt != found.attempt:
                batches = recorded(self._journal, entry.move)
                if batches:
                    return batches
        return []
