"""A registry for images on loopback: Debian's ``docker-registry``, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import aiohttp

from kirikae.hosts.files import write_durably
from kirikae.local.errors import LocalError
from kirikae.local.files import OURS_ALONE, Daemon
from kirikae.local.patience import Patience

_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_LONGEST_START_S = 20


class Registry:
    """Takes pushes at ``127.0.0.1:port/name``; tasks may name them
    ``<account>.dkr.ecr.<region>.amazonaws.com/name``.

    Started once and adopted afterwards; images lie in ``registry/`` of the state directory.
    """

    def __init__(self, directory: Path, port: int) -> None:
        """Whether ``docker-registry`` is installed is looked at once, here; ``port`` 0 means none
        is wanted."""
        self._directory = directory
        self._port = port
        self._program = shutil.which("docker-registry") if port else None
        self._config = directory / "registry.yml"
        self._log = directory / "registry.log"
        self._daemon = Daemon(directory / "registry.pid", str(self._config))
        self.place = f"127.0.0.1:{port}" if self._program else ""

    async def assert_running(self) -> bool:
        """True if it had to be started; False if it runs, or is not installed."""
        if self._program is None or self._daemon.pid() is not None:
            return False
        process = self._start(self._program)
        patience = Patience(_LONGEST_START_S, 0.05)
        async with aiohttp.ClientSession() as http:
            while process.poll() is None and await patience.lasts():
                try:
                    async with http.get(f"http://{self.place}/v2/"):
                        return True
                except (aiohttp.ClientError, OSError):
                    continue
        raise LocalError(f"docker-registry did not start on port {self._port}; see {self._log}")

    def _start(self, program: str) -> subprocess.Popen[bytes]:
        """REGISTRY_ variables of this shell would overrule our file, so they are not handed on."""
        config = _CONFIG.format(root=self._directory / "registry", port=self._port)
        write_durably(self._config, config, OURS_ALONE)
        own = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
        with self._log.open("ab") as out:
            return self._daemon.start([program, "serve", str(self._config)], out, out, own)

    def stop(self) -> None:
        """Ask it to end; images stay."""
        self._daemon.stop()
