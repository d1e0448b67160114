"""The process that carries out queries, seen from the control plane: started by the first one, and
again after it has ended."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.util import find_spec
from pathlib import Path

from kirikae.local.errors import QueryFailed
from kirikae.local.plain import Plain

_LONGEST_LINE = 1 << 28
_PATIENCE_S = 1800
"""As long as Athena gives a query (service quotas, "DML query timeout")."""
_NEEDS = ("duckdb", "sqlglot")


class Child:
    """One query at a time: others wait for it."""

    def __init__(self, port: int, log: Path) -> None:
        """``port``: of the stores; ``log``: where it says what goes wrong with itself."""
        self._port = port
        self._log = log
        self._one = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, sql: str, database: str, region: str) -> Plain:
        """The worker's answer.  Raises QueryFailed."""
        if missing := [name for name in _NEEDS if find_spec(name) is None]:
            raise QueryFailed(
                f"{' and '.join(missing)} is not installed: pip install 'kirikae[local,sql]', then "
                "`kirikae local up` again"
            )
        line = json.dumps({"sql": sql, "database": database, "region": region})
        async with self._one:
            try:
                return await asyncio.wait_for(self._asked(line), _PATIENCE_S)
            except TimeoutError as error:
                self._kill()
                raise QueryFailed("Query timeout") from error
            except (OSError, ValueError) as error:
                self._kill()
                raise QueryFailed(
                    f"GENERIC_INTERNAL_ERROR: the reader ended ({error}); see {self._log}"
                ) from error
            except asyncio.CancelledError:
                # Half an answer would be the next one's.
                self._kill()
                raise

    async def _asked(self, line: str) -> Plain:
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line.encode() + b"\n")
        await process.stdin.drain()
        told: Plain = json.loads(await process.stdout.readline())
        return told

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "kirikae.local.athena.worker",
                    str(self._port),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    limit=_LONGEST_LINE,
                )
        return self._process

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None

    async def close(self) -> None:
        """It ends with us in any case: nobody would ask it any more."""
        process = self._process
        self._kill()
        if process is not None:
            await process.wait()
