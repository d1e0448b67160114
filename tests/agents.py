"""Real agents for the stand-in hosts: the script as a host runs it, one process a look.

All hosts are folders of this machine, so each has a place of its own, in which ``@HOST@`` is its
folder and the port its server's: the only thing that a real host does not have.
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from kirikae.release.agent.place import FolderShelf
from kirikae.release.agent.script import script
from tests.fleet import StandInHosts
from tests.pace import eventually


class Agents:
    """A shelf for kirikae, and the agents that look at it.  ``shell`` runs them."""

    def __init__(self, hosts: StandInHosts, folder: Path, shell: str = "sh") -> None:
        self.hosts = hosts
        self.folder = folder
        self.shell = shell.split()
        self.url = str(folder)
        self.script = folder / "kirikae-agent"
        self.silent: set[str] = set()
        self._ends = threading.Event()
        self._threads: list[threading.Thread] = []
        quick = folder / "bin"
        quick.mkdir(parents=True)
        (quick / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.01\n")
        (quick / "sleep").chmod(0o755)
        self.script.write_text(script())
        for name in hosts.names:
            place = folder / name
            place.mkdir()
            root = hosts.folder / name / "srv"
            conf = f"place={place}\nroot={root}\nname={name}\nevery=1\n"
            (folder / f"{name}.conf").write_text(conf)

    # --- the shelf

    def read(self, key: str) -> bytes | None:
        if key.startswith("reports/"):
            return FolderShelf(self.folder / key.partition("/")[2]).read(key)
        return FolderShelf(self.folder).read(key)

    def write(self, key: str, body: bytes) -> None:
        FolderShelf(self.folder).write(key, body)
        for name in self.hosts.names:
            own = body
            if key == "desired":
                here = (self.hosts.folder / name).as_posix()
                port = (self.hosts.folder / name / "port").read_text()
                text = body.decode().replace("/@HOST@", here).replace("@HOST@", here)
                own = text.replace("\nport 80\n", f"\nport {port}\n").encode()
            FolderShelf(self.folder / name).write(key, own)

    def holds(self, key: str, size: int) -> bool:
        return FolderShelf(self.folder).holds(key, size)

    # --- the agents

    def once(self, name: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            [*self.shell, str(self.script), "-f", str(self.folder / f"{name}.conf"), "once"],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, hands: int = 0) -> None:
        """Each host looks by itself, or so many at a time (this machine is not a hundred)."""
        names = list(self.hosts.names)
        shares = [names[hand::hands] for hand in range(hands)] if hands else [[n] for n in names]
        for share in shares:
            thread = threading.Thread(target=self._look, args=(share,))
            thread.start()
            self._threads.append(thread)

    def _look(self, names: list[str]) -> None:
        while not self._ends.wait(0.02):
            for name in names:
                if name not in self.silent and not self._ends.is_set():
                    self.once(name)

    def all_told(self) -> None:
        eventually(
            lambda: all(self.read(f"reports/{name}") for name in self.hosts.names),
            "every agent reports",
        )

    def close(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()
