"""Files that a drill was asked to write: what cannot be written loses none of its figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.hosts.files import write_durably
from kirikae.model.errors import Exit
from kirikae.model.said import Said, said


@dataclass(frozen=True, slots=True)
class Written:
    """``files``: that stand now.  ``troubles``: why the others do not."""

    files: tuple[str, ...] = ()
    troubles: tuple[Said, ...] = ()

    def told(self) -> Iterator[Said]:
        """What was not written comes last: it has to be done once more."""
        for file in self.files:
            yield said("drill.wrote", file=file)
        yield from self.troubles

    def to_plain(self) -> dict[str, Any]:
        """``not_written`` only where there is such a file."""
        lacking = [each.to_plain() for each in self.troubles]
        return {"wrote": list(self.files), **({"not_written": lacking} if lacking else {})}

    def exit(self, otherwise: Exit) -> Exit:
        """A broken limit is the graver word: it is what the drill was for."""
        if self.troubles and otherwise is not Exit.REFUSED:
            return Exit.UNFINISHED
        return otherwise


def write_all(wanted: Iterable[tuple[Path, str | bytes]]) -> Written:
    """Each by itself: the disk that is full for the page may still take the figures."""
    files = []
    troubles = []
    for path, content in wanted:
        try:
            write_durably(path, content)
            files.append(str(path))
        except OSError as error:
            troubles.append(said("drill.not_written", file=str(path), why=str(error)))
    return Written(tuple(files), tuple(troubles))
