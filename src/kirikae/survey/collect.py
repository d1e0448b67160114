"""Collect a bundle from a host: one script through the user's OpenSSH client; nothing is installed
or written there."""

from __future__ import annotations

import hashlib
import secrets
import shlex
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from kirikae.hosts.errors import HostBusy
from kirikae.hosts.files import create_durably, keep_private, read_privately
from kirikae.hosts.ssh import Host
from kirikae.survey.bundles import read
from kirikae.survey.errors import KeyProblem
from kirikae.survey.sections import unpacked

TIMEOUT_S = 600.0
_BYTES = 32


class Keys(NamedTuple):
    """A secret leaves a host as SHA-256(outer SHA-256(inner secret))."""

    outer: str
    inner: str


def project_key(file: Path) -> Keys:
    """The project's keys for fingerprints of secrets, made at the first use.

    They never leave the machines of the project.  Raises KeyProblem for a file that holds no whole
    key: with an empty one everybody could try out what a secret is.
    """
    try:
        keep_private(file.parent)
        # Whoever makes it first wins; all read the same one.
        create_durably(file, secrets.token_hex(_BYTES))
        raw = _raw_key(read_privately(file).decode(errors="replace"))
    except OSError as error:
        raise KeyProblem(f"{file}: {error.strerror}") from error
    if raw is None:
        raise KeyProblem(
            f"{file} does not hold the project's key of {_BYTES} bytes in hexadecimal; restore it, "
            "or remove it and survey all hosts again: fingerprints of another key cannot be "
            "compared with those of this one"
        )
    return Keys(_derived(b"outer", raw), _derived(b"inner", raw))


def _raw_key(text: str) -> bytes | None:
    """None for what is no whole key."""
    try:
        raw = bytes.fromhex(text.strip())
    except ValueError:
        return None
    return raw if len(raw) == _BYTES else None


def _derived(purpose: bytes, raw: bytes) -> str:
    return hashlib.sha256(purpose + raw).hexdigest()


def script(keys: tuple[str, str]) -> str:
    """The collecting script, with the project's keys and the rules for secrets before it."""
    outer, inner = keys
    room = files("kirikae.survey")
    body = (room / "collect.sh").read_text(encoding="utf-8")
    rules = (room / "mask.awk").read_text(encoding="utf-8")
    return f"K1={outer}\nK2={inner}\nMASK={shlex.quote(rules)}\n{body}"


def collect(
    host: Host,
    keys: tuple[str, str],
    timeout_s: float = TIMEOUT_S,
) -> str:
    """The text of a bundle, proven readable.  Raises HostSilent, CommandFailed, BundleProblem."""
    try:
        text = unpacked(host.run(script(keys), timeout_s=timeout_s))
    except HostBusy as error:
        more = round(2 * timeout_s / 60) or 1
        raise HostBusy(
            f"{error}; a look runs at the lowest priority, so a busy host needs longer: "
            f"--time-limit {more}m"
        ) from error
    read(text, host.name)
    return text
