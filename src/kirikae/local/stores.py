"""The services that are only stores (S3, SSM, Secrets Manager, IAM, STS ...): moto, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp

from kirikae.local.errors import LocalError
from kirikae.local.files import alive, write_durably


class Stores:
    """Started once and adopted afterwards: it outlives a killed control plane and keeps what was put into it."""

    def __init__(self, directory: Path, port: int) -> None:
        self._file, self._log, self._port = directory / "stores.pid", directory / "stores.log", port
        self.url = f"http://127.0.0.1:{port}"

    def _pid(self) -> int | None:
        return alive(self._file.read_text(), str(self._port)) if self._file.exists() else None

    async def assert_running(self) -> bool:
        """True if it had to be started: whatever was kept in it before is gone."""
        if self._pid() is not None:
            return False
        with self._log.open("ab") as out:
            process = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env={**os.environ, "MOTO_ACCOUNT_ID": "123456789012"},
            )  # fmt: skip
        write_durably(self._file, str(process.pid))
        deadline = time.monotonic() + 60
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    break
                try:
                    async with http.get(f"{self.url}/moto-api/data.json"):
                        return True
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(0.1)
        raise LocalError(f"moto did not start on port {self._port}; see {self._log}")

    def stop(self) -> None:
        if (pid := self._pid()) is not None:
            os.kill(pid, signal.SIGTERM)
