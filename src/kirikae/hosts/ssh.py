"""Run a script on a host, send it a file, or speak HTTP to one of its ports: all through ``ssh``.

``KIRIKAE_SSH`` names another client or adds options, as ``GIT_SSH_COMMAND`` does for git.
"""

from __future__ import annotations

import http.client
import io
import os
import shlex
import subprocess
from dataclasses import dataclass
from urllib.parse import urlsplit

from kirikae.model.errors import KirikaeError, UsageProblem

_AS_ROOT = (
    'if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then exec sudo -n sh %s; else exec '
    "sh %s; fi"
)


class HostSilent(KirikaeError):
    """The host could not be reached or let nobody in; nothing was done there."""


class CommandFailed(KirikaeError):
    """A command ran on the host and said no; ``code`` is its exit status."""

    def __init__(self, message: str, code: int, said: str) -> None:
        super().__init__(message)
        self.code = code
        self.said = said


@dataclass(frozen=True, slots=True)
class Answer:
    """What a port of the host answered to a GET."""

    status: int
    headers: dict[str, str]
    body: str


class Host:
    def __init__(self, url: str) -> None:
        """``url`` is ``ssh://[user@]name[:port]``; the name is looked up as ``ssh`` does.  Raises
        UsageProblem."""
        parts = urlsplit(url)
        if (
            parts.scheme != "ssh"
            or not parts.hostname
            or parts.path not in ("", "/")
            or parts.hostname.startswith("-")
        ):
            raise UsageProblem(
                f"{url!r} is no host; write ssh://name, ssh://user@name or ssh://user@name:port"
            )
        self.url = url
        # urlsplit lowers the case; a name in the user's ssh configuration may not be lower case.
        self.name = parts.netloc.rpartition("@")[2].partition(":")[0]
        target = f"{parts.username}@{self.name}" if parts.username else self.name
        self._command = [
            *shlex.split(os.environ.get("KIRIKAE_SSH", "ssh")),
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=10",
            "-o",
            "ServerAliveInterval=15",
            *(["-p", str(parts.port)] if parts.port else []),
            target,
        ]

    def run(self, script: str, given: bytes | None = None, timeout_s: float = 120) -> bytes:
        """Run a POSIX sh script as root where that is allowed, and return what it wrote.

        Without ``given`` the script itself goes through standard input, so that nothing of it shows
        in the list of processes. Raises HostSilent, CommandFailed."""
        if given is None:
            remote = _AS_ROOT % ("-s", "-s")
            fed = script.encode()
        else:
            quoted = f"-c {shlex.quote(script)}"
            remote = _AS_ROOT % (quoted, quoted)
            fed = given
        return self._ssh([f"exec sh -c {shlex.quote(remote)}"], fed, timeout_s)

    def get(self, port: int, path: str, timeout_s: float = 10) -> Answer:
        """GET a path at a port of the host's loopback, through the SSH connection.  Raises
        HostSilent, CommandFailed."""
        request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kirikae\r\nConnection: "
            "close\r\n\r\n"
        )
        raw = self._ssh_tunnel(f"127.0.0.1:{port}", request.encode(), timeout_s)
        try:
            answer = http.client.HTTPResponse(_Said(raw))  # type: ignore[arg-type]
            answer.begin()
            body = answer.read(1 << 20).decode(errors="replace")
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise CommandFailed(
                f"{self.name}: port {port} gave no HTTP answer to {path}: {error}", 0, ""
            ) from error
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body)

    def _ssh(self, arguments: list[str], fed: bytes, timeout_s: float) -> bytes:
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                input=fed,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HostSilent(f"{self.name} did not finish within {timeout_s:.0f} s") from error
        except OSError as error:
            raise HostSilent(
                f"cannot run `{self._command[0]}`: {error.strerror}; install the OpenSSH client"
            ) from error
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode == 255:
            raise HostSilent(
                f"{self.name}: {said or 'the connection failed'}; try `ssh {self.name} true`"
            )
        if done.returncode:
            last = (
                said.splitlines()[-3:]
                or done.stdout.decode(errors="replace").strip().splitlines()[-3:]
            )
            raise CommandFailed(
                f"{self.name}: {' / '.join(last) or f'exit status {done.returncode}'}",
                done.returncode,
                said,
            )
        return done.stdout

    def _ssh_tunnel(self, to: str, request: bytes, timeout_s: float) -> bytes:
        """``ssh -W``: standard input and output are the connection; it stays open until the other
        side has answered."""
        *client, target = self._command
        try:
            tunnel = subprocess.Popen(
                [*client, "-W", to, target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise HostSilent(
                f"cannot run `{client[0]}`: {error.strerror}; install the OpenSSH client"
            ) from error
        assert tunnel.stdin is not None and tunnel.stdout is not None and tunnel.stderr is not None
        try:
            tunnel.stdin.write(request)
            tunnel.stdin.flush()
            raw, said = _until_end(tunnel, timeout_s)
        except (BrokenPipeError, subprocess.TimeoutExpired) as error:
            raise CommandFailed(f"{self.name}: {to} does not answer", 0, "") from error
        finally:
            tunnel.kill()
            tunnel.wait()
            for pipe in (tunnel.stdin, tunnel.stdout, tunnel.stderr):
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        if not raw:
            raise CommandFailed(
                f"{self.name}: {to} does not answer ({said or 'no connection'})", 0, said
            )
        return raw


def _until_end(tunnel: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, str]:
    """Read to the end without closing standard input: closing it first would end the connection
    before the answer."""
    import threading

    out: list[bytes] = []
    assert tunnel.stdout is not None and tunnel.stderr is not None
    stdout = tunnel.stdout
    stderr = tunnel.stderr
    reader = threading.Thread(target=lambda: out.append(stdout.read()), daemon=True)
    reader.start()
    reader.join(timeout_s)
    if reader.is_alive():
        raise subprocess.TimeoutExpired(tunnel.args, timeout_s)
    tunnel.kill()
    return (out[0] if out else b""), stderr.read().decode(errors="replace").strip()


class _Said(io.BytesIO):
    """What was read already, in the shape that http.client reads from."""

    def makefile(self, *_: object) -> io.BytesIO:
        return self
