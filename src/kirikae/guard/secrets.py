"""Which variables hold a secret in clear text: by their name, then by the form of their value."""

from __future__ import annotations

import math
import re
from collections import Counter

_NAMES = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|SECRET|SECRETS|TOKEN|CREDENTIALS?|API_?KEY"
    r"|ACCESS_?KEY|PRIVATE_?KEY|SECRET_?KEY|MASTER_?KEY|ENCRYPTION_?KEY|SIGNING_?KEY"
    r"|APP_KEY|KEY_BASE|PEPPER)(?:_|\d|$)|PASSWORD|PASSWD"
)
_ABOUT = re.compile(
    r"_(?:FILE|PATH|DIR|ARN|NAME|ID|TTL|EXPIR\w*|TIMEOUT\w*|LENGTH|MIN|MAX|URL|URI|HEADER|ENABLED"
    r"|POLICY|ROTATION|ALGORITHM|TYPE|FIELD|COOKIE|PREFIX|SOURCE|PROVIDER|AGE|DAYS|SECONDS|REQUIRED"
    r"|VERSION|STORE|PARAMETER|LIMIT|COUNT|ISSUER|ENDPOINT|HOST|REGION|SIZE|RATE)$"
)
"""They speak about a secret, and hold none."""
_SALTED = re.compile(r"KEY|SALT|SEED|SIGN|DSN|AUTH|CERT|COOKIE|SESSION")
_HARMLESS = re.compile(
    r"|true|false|yes|no|on|off|none|null|arn:aws[\w-]*:.*|/[\w./-]*|https?://[^@]*", re.I
)
_FORMS = (
    re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}"),
    re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY"),
    re.compile(r"(?:ghp|gho|ghs|ghr|glpat|github_pat|npm)[_-][A-Za-z0-9_-]{20,}"),
    re.compile(r"xox[abpros]-[A-Za-z0-9-]{10,}"),
    re.compile(r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?:sk|rk)_live_[A-Za-z0-9]{16,}"),
    re.compile(
        r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://[^/\s:@]*:(?![$<{*x]+)[^/\s:@]{2,}@",
        re.I,
    ),
)
"""Keys of AWS, private keys, tokens of GitHub, GitLab, npm, Slack, JSON Web Tokens, keys of Stripe,
a password in an address."""
_LONG = 32
_MIXED_BITS = 3.0


def why_secret(name: str, value: str) -> str:
    """Why the value is one; empty: nothing says so.  The value itself is never told."""
    if any(form.search(value) for form in _FORMS):
        return "its value has the form of a secret"
    if _HARMLESS.fullmatch(value):
        return ""
    upper = _upper(name)
    if _NAMES.search(upper) and not _ABOUT.search(upper):
        return "its name says so"
    if _SALTED.search(upper) and not _ABOUT.search(upper) and _is_random(value):
        return "its value looks random"
    return ""


def is_secret_name(name: str) -> bool:
    """Is a variable of this name one, whatever it holds?"""
    upper = _upper(name)
    return _NAMES.search(upper) is not None and _ABOUT.search(upper) is None


def _upper(name: str) -> str:
    """``dbPassword`` and ``db-password`` as ``DB_PASSWORD``."""
    return re.sub(
        r"(?<=[a-z0-9])(?=[A-Z])|[-.]",
        "_",
        name,
    ).upper()


def _is_random(value: str) -> bool:
    """Shannon's bits a character, of a long word without blanks."""
    if len(value) < _LONG or not re.fullmatch(r"[A-Za-z0-9+/=_-]+", value):
        return False
    many = Counter(value).values()
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in many)
    return bits >= _MIXED_BITS
