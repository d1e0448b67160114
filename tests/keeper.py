"""kirikae local's keeper of the stores alone, as a process of its own: no container engine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from kirikae.aws.light import LightAws
from kirikae.local.wire import ACCOUNT
from tests.pace import eventually


class KeeperProcess:
    """Killed and started again; what it was told stands in its journal."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "kirikae",
            "AWS_SECRET_ACCESS_KEY": "kirikae",
            "AWS_REGION": "eu-west-1",
        }
        self.aws = LightAws("eu-west-1", self.environment)
        self.start()

    def start(self) -> None:
        module = "kirikae.local.keeper"
        with (self._directory / "keeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(self._directory), str(self.port)],
                stdout=log,
                stderr=log,
                env={**os.environ, "MOTO_ACCOUNT_ID": ACCOUNT},
            )
        eventually(self._listens, "the keeper listens", timeout_s=120)

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._directory / "keeper.log").read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """Without a word."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
