"""What lies in a tree of files besides its texts: keys by their fingerprints, certificates by their
last day, logs by their sizes.  The sections are those of collect.sh."""

from __future__ import annotations

import base64
import binascii
import hashlib
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from kirikae.survey.trees import Tree

_KEY = re.compile(
    r"/(id_(rsa|dsa|ecdsa|ed25519)|ssh_host_[^/]*_key|[^/]*\.(key|pem|p12|pfx|jks|keytab|ppk))$"
)
_ENDS_OF_KEYS = (
    *("_rsa", "_dsa", "_ecdsa", "_ed25519", "_key", ".key", ".pem"),
    *(".p12", ".pfx", ".jks", ".keytab", ".ppk"),
)
_WHERE_KEYS_LIE = ("/etc/", "/opt/", "/srv/", "/home/", "/root/", "/var/www/", "/var/lib/")
_TEXTS_OF_KEYS = (".key", ".pem")
_DEPTH_OF_KEYS = 6
_KEY_SIZE = 64 << 10
_KEYS_AT_MOST = 200
_MACHINE = "/etc/machine-id"
_NOT_LOOKED_INTO = re.compile(
    r"/(node_modules|\.git)/|/var/lib/(dpkg|apt|docker|containerd|containers)/|/var/log/journal/"
)
_NGINX = re.compile(r"(?:^|[;{}])[ \t]*ssl_certificate[ \t]+[\"']?([^\"' \t;{}]+)", re.MULTILINE)
_APACHE = re.compile(r"^[ \t]*SSLCertificateFile[ \t]+\"?([^\" \t\n]+)", re.MULTILINE)
_OF_NGINX = re.compile(r"/etc/nginx/(nginx\.conf$|(conf|http)\.d/|sites-enabled/)")
_OF_APACHE = re.compile(r"/etc/(apache2/(sites|conf)-enabled/|httpd/conf(\.d)?/)")
_OF_CERTBOT = re.compile(r"/etc/letsencrypt/live/[^/]+/cert\.pem$")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([^-]+)-----END")
_VALIDITY = re.compile(
    rb"\x30[\x1e\x20\x22](?:\x17\x0d.{13}|\x18\x0f.{15})(\x17\x0d|\x18\x0f)(\d+)Z",
    re.DOTALL,
)
"""Two times, one after the other (RFC 5280, 4.1.2.5): UTCTime or GeneralizedTime each."""
_UTC_TIME = b"\x17\x0d"
_THIS_CENTURY = 50
_LOG = re.compile(r"/var/log/|.*\.log([.-]\d[^/]*)?$")
_OF_LOGS = "/var/log/"
_WHERE_LOGS_LIE = (_OF_LOGS, "/srv/", "/opt/", "/home/", "/var/www/", "/var/lib/")
_LOGS_AT_MOST = 1000
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def sections(
    tree: Tree,
    paths: Sequence[str],
    text: Callable[[str], str],
    key: str,
) -> Iterator[str]:
    """``text``: of a path, through links; ``key``: the outer one of the project."""
    yield "@keys"
    for path in _keys(tree, paths):
        raw = tree.read(path)
        if raw is None:
            continue
        if not path.endswith(_TEXTS_OF_KEYS) or b"PRIVATE KEY" in raw:
            mark = hashlib.sha256(key.encode() + raw).hexdigest()[:16]
            yield f"|{mark}\t{path}"
    yield "@certificates"
    for path in sorted(_named_certificates(paths, text)):
        raw = text(path).encode("utf-8", "surrogateescape")
        if raw:
            yield f"|{last_day(raw)}\t{path}"
    yield "@logs"
    yield from _logs(tree, paths)


def _keys(
    tree: Tree,
    paths: Sequence[str],
) -> Iterator[str]:
    """Files that are keys by their names, and what the machine is known by."""
    named = (path for path in paths if path == _MACHINE or _is_named_so(path))
    files = (path for path in named if tree.entries[path].kind == "f")
    small = (path for path in files if 0 < tree.entries[path].size < _KEY_SIZE)
    yield from islice(small, _KEYS_AT_MOST)


def _is_named_so(path: str) -> bool:
    """As collect.sh looks for them, and as deep."""
    if not path.endswith(_ENDS_OF_KEYS) or not _KEY.search(path):
        return False
    if not path.startswith(_WHERE_KEYS_LIE) or "\n" in path:
        return False
    return path.count("/") <= _DEPTH_OF_KEYS and not _NOT_LOOKED_INTO.search(path)


def _named_certificates(
    paths: Sequence[str],
    text: Callable[[str], str],
) -> set[str]:
    """By web servers and by certbot."""
    found = set()
    for path in paths:
        if _OF_NGINX.match(path):
            lines = (line for line in text(path).splitlines() if not line.lstrip().startswith("#"))
            found.update(_NGINX.findall("\n".join(lines)))
        elif _OF_APACHE.match(path):
            found.update(_APACHE.findall(text(path)))
        elif _OF_CERTBOT.match(path):
            found.add(path)
    return {posixpath.normpath(path) for path in found if path.startswith("/")}


def last_day(raw: bytes) -> str:
    """As openssl prints it; empty for what is no certificate in PEM."""
    pem = _PEM.search(raw)
    try:
        der = base64.b64decode(pem[1]) if pem else b""
    except binascii.Error:
        der = b""
    match = _VALIDITY.search(der)
    if match is None:
        return ""
    digits = match[2].decode()
    year, rest = (digits[:2], digits[2:]) if match[1] == _UTC_TIME else (digits[:4], digits[4:])
    century = 2000 if int(year) < _THIS_CENTURY else 1900
    whole = int(year) if len(year) > 2 else int(year) + century
    month = int(rest[:2] or 0)
    if not 1 <= month <= len(_MONTHS):
        return ""
    return (
        f"{_MONTHS[month - 1]} {int(rest[2:4]):2} {rest[4:6]}:{rest[6:8]}:{rest[8:10]} {whole} GMT"
    )


def _logs(
    tree: Tree,
    paths: Sequence[str],
) -> Iterator[str]:
    """bytes, modified, four counts that nobody made, path"""
    found = 0
    for path in paths:
        if ".log" not in path and not path.startswith(_OF_LOGS):
            continue
        entry = tree.entries[path]
        if entry.kind != "f" or not path.startswith(_WHERE_LOGS_LIE) or not _LOG.match(path):
            continue
        if found < _LOGS_AT_MOST and "\n" not in path and not _NOT_LOOKED_INTO.search(path):
            found += 1
            yield f"|{entry.size}\t{entry.modified}\t\t\t\t\t{path}"
