"""The view that people search, as a file: set whole, given to the query engine, and read back.

The file is written after the engine took it: were we killed in between, the same shift gives it
once more, which changes nothing.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from kirikae.hosts.files import write_durably
from kirikae.logs.errors import LogsNotReady, TreeTrouble
from kirikae.logs.settings import LogsMove
from kirikae.logs.tables import Table, View, boundary_of, share_of, view_sql
from kirikae.model.share import WHOLE

_PATIENCE_S = 300


@dataclass
class ViewFile:
    """``folder``: that of the project file."""

    settings: LogsMove
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / self.settings.readers.file

    def view(
        self,
        share: int,
        boundary: int | None,
    ) -> View:
        readers = self.settings.readers
        old_url, old = self.settings.old.layout(self.folder)
        new_url, new = self.settings.new.layout(self.folder)
        return View(
            readers.view,
            Table(
                readers.database,
                readers.old,
                old_url,
                old,
            ),
            Table(
                readers.database,
                readers.new,
                new_url,
                new,
            ),
            int(self.settings.lateness),
            share,
            boundary,
        )

    def found(self) -> int | None:
        """The share that the file tells.  None: somebody wrote another view."""
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0
        except (OSError, UnicodeDecodeError) as error:
            raise TreeTrouble(f"{self.file} cannot be read ({error}); see to the file") from error
        told = share_of(text)
        if told is None or view_sql(self.view(*told)) != text:
            return None
        return told[0]

    def set(
        self,
        share: int,
        begins: list[int],
    ) -> None:
        """Raises LogsNotReady, TreeTrouble."""
        boundary = boundary_of(share, begins)
        if boundary is None and share not in (0, WHOLE):
            raise LogsNotReady(
                "no folder of the new tree is known here, so no boundary can be told; run "
                "`kirikae logs backfill` and `kirikae logs verify` on this machine first"
            )
        text = view_sql(self.view(share, boundary))
        self._apply(text)
        try:
            write_durably(self.file, text)
        except OSError as error:
            raise TreeTrouble(f"{self.file}: {error}; see to the disk and the folder") from error

    def _apply(self, text: str) -> None:
        command = self.settings.readers.apply
        if command is None:
            return
        try:
            done = subprocess.run(
                ["sh", "-c", command],
                input=text.encode(),
                capture_output=True,
                cwd=self.folder,
                check=False,
                timeout=_PATIENCE_S,
            )
        except subprocess.TimeoutExpired as error:
            raise TreeTrouble(
                f"`{command}` did not end within {_PATIENCE_S} s; the view's share is not known to "
                "have changed: look, then run this again"
            ) from error
        if done.returncode:
            why = done.stderr.decode("utf-8", "replace").strip()[-400:]
            raise TreeTrouble(
                f"`{command}` ended with {done.returncode} ({why}): the view stays as it was; "
                "mend the command (`readers.apply`), then run this again"
            )
