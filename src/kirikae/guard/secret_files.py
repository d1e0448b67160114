"""Whether a file holds a secret in clear text: by its name together with what stands in it, or by a
form that is nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable

from kirikae.guard.secrets import why_secret

_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:\\n|\\r|\s)*(?:Proc-Type|[A-Za-z0-9+/=]{40})"
)
_FORMS: tuple[tuple[bytes, re.Pattern[bytes], str], ...] = (
    (b"PRIVATE KEY", _KEY, "a private key"),
    (b"AKIA", re.compile(rb"(?<![A-Za-z0-9/+])AKIA[A-Z0-9]{16}(?![A-Za-z0-9/+])"), "a key of AWS"),
    (b"ASIA", re.compile(rb"(?<![A-Za-z0-9/+])ASIA[A-Z0-9]{16}(?![A-Za-z0-9/+])"), "a key of AWS"),
    (b"ghp_", re.compile(rb"ghp_[A-Za-z0-9]{36}"), "a token of GitHub"),
    (b"github_pat_", re.compile(rb"github_pat_[A-Za-z0-9_]{40,}"), "a token of GitHub"),
    (b"glpat-", re.compile(rb"glpat-[A-Za-z0-9_-]{20,}"), "a token of GitLab"),
    (b"xox", re.compile(rb"xox[abprs]-[0-9]{6,}-[A-Za-z0-9-]{10,}"), "a token of Slack"),
    (b"_live_", re.compile(rb"[sr]k_live_[A-Za-z0-9]{16,}"), "a key of Stripe"),
)
"""What must stand in it, for speed; then the whole form."""
_MADE_UP = re.compile(rb"EXAMPLE|XXXXXX|000000000000")
_OTHERS = re.compile(r"/(?:node_modules|site-packages|dist-packages|gems|vendor|testdata)/")
"""Libraries carry the keys of their own tests: public ones."""
_KEY_FILES = re.compile(r"id_(?:rsa|dsa|ecdsa|ed25519)|ssh_host_\w+_key|.*\.ppk")
_STORES = re.compile(r".+\.(?:p12|pfx|jks|keystore)")
_SETTINGS = re.compile(
    r"\.env(?:\..+)?|wp-config\.php|database\.ya?ml|settings\.(?:php|local\.php)"
    r"|parameters\.ya?ml|application(?:-\w+)?\.(?:properties|ya?ml)|local_settings\.py"
    r"|\.my\.cnf|secrets?\.(?:ya?ml|json|toml)"
)
_TEMPLATES = re.compile(
    r"example|sample|template|\.dist$|default",
    re.I,
)
_SETTING = re.compile(
    r"""(?m)^[^#;/\n]*?["']?\b([A-Za-z][\w.-]{2,60})["']?\s*(?:=>|[:=,])\s*["']?([^"'\s,;)]{2,})"""
)
_FILLED_LATER = re.compile(
    r"^[$%<{(*]|getenv|^ENV\b|^null$|^process\.env|^os\.|change-?me",
    re.I,
)


def _npm(text: str) -> str:
    found = re.search(
        r"(?:_authToken|_password|_auth)\s*=\s*([^\s$]+)",
        text,
    )
    return "a token of npm" if found else ""


def _docker(text: str) -> str:
    return "a login of a registry" if re.search(r'"auth"\s*:\s*"[^"]+"', text) else ""


def _password(text: str) -> str:
    return "a password" if re.search(r"\bpassword\s+\S+", text) else ""


def _pgpass(text: str) -> str:
    rows = [line for line in text.splitlines() if line.count(":") >= 4 and line[:1] != "#"]
    return "a password of PostgreSQL" if rows else ""


def _git(text: str) -> str:
    return "a password in an address" if re.search(r"https?://[^/\s:]+:[^@\s]+@", text) else ""


def _aws(text: str) -> str:
    return "a key of AWS" if re.search(r"aws_secret_access_key\s*=\s*\S", text) else ""


_NAMED: dict[str, Callable[[str], str]] = {
    ".npmrc": _npm,
    ".dockercfg": _docker,
    ".docker/config.json": _docker,
    ".netrc": _password,
    ".pgpass": _pgpass,
    ".git-credentials": _git,
    ".git/config": _git,
    ".aws/credentials": _aws,
}


def why_secret_file(path: str, data: bytes) -> str:
    """Why it holds one; empty: nothing says so.  What stands in it is never told."""
    return _by_name(path, data) or _by_form(path, data)


def _by_name(path: str, data: bytes) -> str:
    base = path.rpartition("/")[2]
    if _STORES.fullmatch(base):
        return "" if _OTHERS.search(f"/{path}") else "a store of keys"
    if _KEY_FILES.fullmatch(base):
        return "a private key" if b"PRIVATE" in data or base.endswith(".ppk") else ""
    for name, look in _NAMED.items():
        if path == name or path.endswith(f"/{name}"):
            return look(data.decode("utf-8", "replace"))
    if _SETTINGS.fullmatch(base) and not _TEMPLATES.search(base):
        return _by_setting(data.decode("utf-8", "replace"))
    return ""


def _by_setting(text: str) -> str:
    """A name that tells, with a value that is one."""
    for name, value in _SETTING.findall(text):
        if not _FILLED_LATER.search(value) and why_secret(name, value):
            return f"the value of {name}"
    return ""


def _by_form(path: str, data: bytes) -> str:
    for begins, form, why in _FORMS:
        if begins not in data:
            continue
        found = form.search(data)
        if found is None or _MADE_UP.search(found[0]):
            continue
        if form is _KEY and _OTHERS.search(f"/{path}"):
            continue
        return why
    return ""
