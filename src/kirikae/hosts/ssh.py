"""Run a script on a host, send it a file, or speak HTTP to one of its ports: all through ``ssh``.

``KIRIKAE_SSH`` names another client or adds options, as ``GIT_SSH_COMMAND`` does for git.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from kirikae.hosts.errors import CommandFailed, HostBusy, HostSilent
from kirikae.model.errors import UsageProblem
from kirikae.model.hosts import address_from

_BEGINS = "@kirikae-answers"
"""Told before the script's own output: what a login shell's files greet with stands ahead of it."""
_AS_ROOT = (
    f"echo {_BEGINS}; "
    'if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then exec sudo -n sh %s; else exec '
    "sh %s; fi"
)
_OPTIONS = (
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=15",
)
_NO_CONNECTION = 255
"""The exit status that ssh keeps for trouble of its own (ssh(1), EXIT STATUS)."""
_UNKNOWN_KEY = "Host key verification failed"
_OTHER_KEY = "REMOTE HOST IDENTIFICATION HAS CHANGED"
_BEFORE_A_LOGIN = re.compile(r"kex_exchange_identification|banner exchange")
"""A host that is busy, or takes no more connections at once (sshd_config(5), MaxStartups): nothing
was begun there."""
_ATTEMPTS = 3
_PAUSE_S = 1.0
_BODY_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a port of the host answered to a GET; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: str


def _client() -> list[str]:
    """Raises UsageProblem."""
    words = os.environ.get("KIRIKAE_SSH", "ssh")
    try:
        found = shlex.split(words)
    except ValueError as error:
        raise UsageProblem(f"KIRIKAE_SSH={words}: {error}; write it as a shell would") from error
    return found or ["ssh"]


class Host:
    def __init__(self, url: str) -> None:
        """``url`` is ``ssh://[user@]name[:port]``; the name is looked up as ``ssh`` does.  Raises
        UsageProblem."""
        address = address_from(url)
        self.url = url
        self.name = address.name
        self._login = address.login
        words = _client()
        port = [] if address.port is None else ["-p", str(address.port)]
        self._client = [*words, *_OPTIONS, *port]
        # What a person types to see it alone: the same user, port and options, and questions.
        known = address.name if address.port in (None, 22) else f"[{address.name}]:{address.port}"
        self._known_as = shlex.quote(known)
        self._by_hand = shlex.join([*words, *port, address.login, "true"])

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
        return _own(self._ssh(f"exec sh -c {shlex.quote(remote)}", fed, timeout_s))

    def get(self, port: int, path: str, timeout_s: float = 10) -> Answer:
        """GET a path at a port of the host's loopback, through the SSH connection.  Raises
        HostSilent, CommandFailed."""
        request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kirikae\r\nConnection: "
            "close\r\n\r\n"
        )
        raw = self._through(f"127.0.0.1:{port}", request.encode(), timeout_s)
        try:
            answer = http.client.HTTPResponse(_Received(raw))  # type: ignore[arg-type]
            answer.begin()
            body = answer.read(_BODY_MAX).decode(errors="replace")
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise CommandFailed(
                f"{self.name}: port {port} gave no HTTP answer to {path}: {error}", 0, ""
            ) from error
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, body)

    def _ssh(self, command: str, fed: bytes, timeout_s: float) -> bytes:
        for attempt in range(_ATTEMPTS):
            done = self._ran(command, fed, timeout_s)
            complaint = done.stderr.decode(errors="replace").strip()
            if done.returncode != _NO_CONNECTION or not _BEFORE_A_LOGIN.search(complaint):
                break
            time.sleep(_PAUSE_S * (attempt + 1 < _ATTEMPTS))
        if done.returncode == _NO_CONNECTION:
            raise HostSilent(f"{self.name}: {self._why_silent(complaint)}")
        if done.returncode:
            raise self._failed(done.returncode, complaint, done.stdout)
        return done.stdout

    def _ran(
        self, command: str, fed: bytes, timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [*self._client, self._login, command],
                input=fed,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HostBusy(f"{self.name} did not finish within {timeout_s:.0f} s") from error
        except OSError as error:
            raise self._no_client(error) from error

    def _why_silent(self, complaint: str) -> str:
        """Why a connection failed, and what to do about it."""
        if _OTHER_KEY in complaint:
            kept = " ".join(line for line in complaint.splitlines() if line.startswith("Offending"))
            return (
                f"it shows another host key than the one that is known ({kept.strip() or 'ssh'}): "
                "the host was made anew, or somebody stands in between, and nothing was sent "
                "there; if it is the host's own (`ssh-keygen -lf` of its public key, seen on its "
                f"console), `ssh-keygen -R {self._known_as}` forgets the former one, then run "
                f"`{self._by_hand}` once by hand"
            )
        why = complaint or "the connection failed"
        if _UNKNOWN_KEY in complaint:
            return (
                f"{why}; run `{self._by_hand}` once by hand, and accept its key if it is this "
                "host's own"
            )
        return f"{why}; try `{self._by_hand}`"

    def _failed(self, code: int, complaint: str, output: bytes) -> CommandFailed:
        """The last lines of what the command wrote say best why."""
        said = _own(output).decode(errors="replace").strip()
        lines = complaint.splitlines() or said.splitlines()
        why = " / ".join(lines[-3:]) or f"exit status {code}"
        return CommandFailed(f"{self.name}: {why}", code, complaint)

    def _no_client(self, error: OSError) -> HostSilent:
        return HostSilent(
            f"cannot run `{self._client[0]}`: {error.strerror}; install the OpenSSH client"
        )

    def _through(self, to: str, request: bytes, timeout_s: float) -> bytes:
        """What the other end of a connection through the host answers, to its end."""
        with self._tunnel(to) as tunnel:
            try:
                _feed(tunnel, request)
                raw, complaint = _until_end(tunnel, timeout_s)
            except (BrokenPipeError, subprocess.TimeoutExpired) as error:
                raise CommandFailed(f"{self.name}: {to} does not answer", 0, "") from error
        if not raw:
            why = complaint or "no connection"
            raise CommandFailed(f"{self.name}: {to} does not answer ({why})", 0, complaint)
        return raw

    @contextmanager
    def _tunnel(self, to: str) -> Iterator[subprocess.Popen[bytes]]:
        """``ssh -W``: standard input and output are the connection."""
        try:
            tunnel = subprocess.Popen(
                [*self._client, "-W", to, self._login],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise self._no_client(error) from error
        try:
            yield tunnel
        finally:
            tunnel.kill()
            tunnel.wait()
            for pipe in (tunnel.stdin, tunnel.stdout, tunnel.stderr):
                with suppress(BrokenPipeError):
                    _open(pipe).close()


def _own(output: bytes) -> bytes:
    """Without the greetings ahead of it (an ``echo`` in ``.bashrc``, which sshd's shell reads)."""
    _, begins, own = output.partition(_BEGINS.encode() + b"\n")
    return own if begins else output


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    """Every pipe of a tunnel was asked for."""
    assert pipe is not None
    return pipe


def _feed(tunnel: subprocess.Popen[bytes], request: bytes) -> None:
    """Standard input stays open: closing it would end the connection before the answer."""
    pipe = _open(tunnel.stdin)
    pipe.write(request)
    pipe.flush()


def _until_end(tunnel: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, str]:
    """(what came back, what ssh complained of).  Raises TimeoutExpired."""
    received: list[bytes] = []
    answers = _open(tunnel.stdout)
    reader = threading.Thread(target=lambda: received.append(answers.read()), daemon=True)
    reader.start()
    reader.join(timeout_s)
    if reader.is_alive():
        raise subprocess.TimeoutExpired(tunnel.args, timeout_s)
    tunnel.kill()
    complaint = _open(tunnel.stderr).read().decode(errors="replace").strip()
    return b"".join(received), complaint


class _Received(io.BytesIO):
    """What was read already, in the shape that http.client reads from."""

    def makefile(self, *_: object) -> io.BytesIO:
        return self
