"""A fleet of hosts that lie in folders: a stand-in for ``ssh`` (a reason: hundreds of kills would
take hours over a network).

Each host is a folder; ``@HOST@`` in a path becomes that folder.  A small server per host answers
with what ``current`` holds: its release in a header, status 500 where the release has a file
BROKEN.  Real sshd and real systemd are in the rehearsal."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SSH = """#!{python}
import os, socket, subprocess, sys
folder = {folder!r}
arguments = sys.argv[1:]
if "-W" in arguments:
    host = arguments[-1]
    port = int(open(os.path.join(folder, host, "port")).read())
    try:
        link = socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        sys.exit(255)
    link.sendall(os.read(0, 65536))
    while (got := link.recv(65536)):
        os.write(1, got)
    sys.exit(0)
host, command = arguments[-2], arguments[-1]
place = os.path.join(folder, host).encode()
if not os.path.isdir(place) or os.path.exists(place + b"/silent"):
    sys.stderr.write("no route to host\\n")
    sys.exit(255)
given = sys.stdin.buffer.read().replace(b"@HOST@", place)
shell = ["sh", "-c", command.replace("@HOST@", place.decode())]
sys.exit(subprocess.run(shell, input=given).returncode)
"""


class Fleet:
    """Hosts named here, and ``command`` for KIRIKAE_SSH."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self._servers = []
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "ssh"
        script.write_text(SSH.format(python=sys.executable, folder=str(folder)))
        script.chmod(0o755)
        self.command = str(script)
        for name in names:
            self._add(name)

    def _add(self, name: str) -> None:
        root = self.folder / name / "srv"
        (root / "releases/r1").mkdir(parents=True)
        (root / "current").symlink_to(root / "releases/r1")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                current = root / "current"
                self.send_response(500 if (current / "BROKEN").exists() else 200)
                if (current / "RELEASE").exists():
                    self.send_header("X-Release-Id", (current / "RELEASE").read_text().strip())
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (self.folder / name / "port").write_text(str(server.server_address[1]))
        self._servers.append(server)

    def current(self, name: str) -> str:
        return (self.folder / name / "srv/current").resolve().name

    def leftovers(self, name: str) -> list[str]:
        srv = self.folder / name / "srv"
        return sorted(f.name for f in [*srv.glob(".*"), *(srv / "releases").glob(".*")])

    def reloads(self, name: str) -> int:
        log = self.folder / name / "reloads"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
