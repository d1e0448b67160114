"""A registry for images on loopback: Debian's ``docker-registry``, where it is installed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import aiohttp

from kirikae.local.errors import LocalError
from kirikae.local.files import alive, write_durably

_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    """Takes pushes at ``127.0.0.1:port/name``; tasks may name them
    ``<account>.dkr.ecr.<region>.amazonaws.com/name``.

    Started once and adopted afterwards; images lie in ``registry/`` of the state directory.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._port = port
        self._program = shutil.which("docker-registry") if port else None
        self._config = directory / "registry.yml"
        self._file = directory / "registry.pid"
        self.place = f"127.0.0.1:{port}" if self._program else ""

    def _pid(self) -> int | None:
        return alive(self._file.read_text(), str(self._config)) if self._file.exists() else None

    async def assert_running(self) -> bool:
        """True if it had to be started; False if it runs, or is not installed."""
        if self._program is None or self._pid() is not None:
            return False
        write_durably(
            self._config, _CONFIG.format(root=self._directory / "registry", port=self._port)
        )
        with (self._directory / "registry.log").open("ab") as out:
            process = subprocess.Popen(  # noqa: ASYNC220
                [self._program, "serve", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if not k.startswith("REGISTRY_")},
            )
        write_durably(self._file, str(process.pid))
        deadline = time.monotonic() + 20
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    async with http.get(f"http://{self.place}/v2/"):
                        return True
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(0.05)
        raise LocalError(
            f"docker-registry did not start on port {self._port}; see "
            f"{self._directory / 'registry.log'}"
        )

    def stop(self) -> None:
        if (pid := self._pid()) is not None:
            os.kill(pid, signal.SIGTERM)
