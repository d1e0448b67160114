"""Files that belong to one person or one machine: private keys, passwords, environment files.

Known by name, whatever case it is written in, and by content.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import PurePath

Body = bytes | mmap.mmap
_KEY = "a private key"
_PASSWORDS = "passwords"
_ENVIRONMENT = "an environment file"
_PERSONAL = "a person's own access"
_HISTORY = "what somebody typed"

_FOLDERS = {
    ".ssh": _PERSONAL,
    ".aws": _PERSONAL,
    ".azure": _PERSONAL,
    ".gnupg": _PERSONAL,
    ".kube": _PERSONAL,
}
_PATTERNS = (
    (".env*", _ENVIRONMENT),
    ("*.env", _ENVIRONMENT),
    ("*.ppk", _KEY),
    ("*.p12", _KEY),
    ("*.pfx", _KEY),
    ("*.jks", _KEY),
    ("*.jceks", _KEY),
    ("*.keystore", _KEY),
    ("*.kdbx", _PASSWORDS),
    ("secring.gpg", _KEY),
    (".netrc", _PASSWORDS),
    ("_netrc", _PASSWORDS),
    (".pgpass", _PASSWORDS),
    (".my.cnf", _PASSWORDS),
    (".pypirc", _PASSWORDS),
    (".dockercfg", _PASSWORDS),
    (".git-credentials", _PASSWORDS),
    (".vault_pass*", _PASSWORDS),
    ("credentials.json", _PASSWORDS),
    ("client_secret*.json", _PASSWORDS),
    ("application_default_credentials.json", _PASSWORDS),
    ("terraform.tfstate*", "Terraform's state, which holds secrets in clear text"),
    ("master.key", _KEY),
    (".bash_history", _HISTORY),
    (".zsh_history", _HISTORY),
    (".mysql_history", _HISTORY),
    (".psql_history", _HISTORY),
)
"""In small letters."""
_BELOW = {(".docker", "config.json"): _PASSWORDS}
"""Folder and file: of the folder alone, teams keep other things in it."""
_SSH = re.compile(r"id_(rsa|dsa|ecdsa|ed25519|xmss)(_sk)?([._-].*)?")
"""What ssh-keygen makes, and copies of it; the public half ends in .pub."""

# A program that only speaks of keys has no line of base64 after such a line.  Between the two: ends
# of lines, as a file has them or as JSON and environment files write them, and headers.
_BREAK = rb"(?:\s|\\r|\\n)"
_PEM = re.compile(
    rb"-----? ?BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)? ?-----?"
    + _BREAK
    + rb"+(?:[A-Za-z-]+: [^\r\n\\]*"
    + _BREAK
    + rb"+)*[A-Za-z0-9+/=]{16,}"
)
_PUTTY = b"PuTTY-User-Key-File-"
_AGE = re.compile(rb"AGE-SECRET-KEY-1[A-Z0-9]{50,}")
_NPM = re.compile(rb"(?m)^[^#;\r\n]*_(?:authToken|auth|password)\s*=\s*[^\s$]")
"""A value that npm reads from the environment begins with a dollar sign."""
_KEYSTORES = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
"""JKS and JCEKS."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DER = re.compile(rb"\x30\x82(..)\x02\x01[\x00\x03][\x02\x30]", re.S)
"""A sequence that begins with version 0 or 3: PKCS#1 and PKCS#8 (RFC 8017, RFC 5958), PKCS#12 (RFC
7292)."""


def why_by_name(path: PurePath) -> str:
    """What a file or a folder of this name is; empty: nothing private."""
    small = path.name.lower()
    if (path.parent.name.lower(), small) in _BELOW:
        return _BELOW[path.parent.name.lower(), small]
    if small in _FOLDERS:
        return _FOLDERS[small]
    if _SSH.fullmatch(small) and not small.endswith(".pub"):
        return _KEY
    return next((why for glob, why in _PATTERNS if fnmatchcase(small, glob)), "")


def why_by_content(name: str, body: Body) -> str:
    """What a file of this name holds; empty: nothing private."""
    if _holds_key(body):
        return "it holds a private key"
    if name == ".npmrc" and _NPM.search(body):
        return "it holds a password"
    return ""


def _holds_key(body: Body) -> bool:
    begins = body[:64]
    if begins.startswith((_PUTTY, *_KEYSTORES)):
        return True
    der = _DER.match(begins)
    if der is not None and int.from_bytes(der[1], "big") + 4 == len(body):
        return True
    if begins.startswith(_UTF_16):
        return _PEM.search(body[:].replace(b"\x00", b"")) is not None
    return any(_found(body, word, search) for word, search in _IN_TEXT)


_Search = Callable[[Body], object]
_IN_TEXT: tuple[tuple[bytes, _Search], ...] = (
    (b"PRIVATE KEY", _PEM.search),
    (b"AGE-SECRET-KEY-1", _AGE.search),
)


def _found(body: Body, word: bytes, search: _Search) -> bool:
    """Looked for word by word first: most files have none."""
    return body.find(word) >= 0 and search(body) is not None
