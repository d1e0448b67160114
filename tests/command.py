"""Run a verb in this process, as the command line does: what it printed and how it ended."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from kirikae.console.main import main


@dataclass(frozen=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one object, or the last of several, one a line."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            return [json.loads(line) for line in self.stdout.splitlines()][-1]


def run(*words: str) -> Ran:
    out = io.StringIO()
    err = io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as ended:
            code = ended.code
    return Ran(int(code or 0), out.getvalue(), err.getvalue())
