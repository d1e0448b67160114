"""What the code says about its surroundings: one line is enough to tell."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kirikae.model.bundle import MASKED, Line
from kirikae.survey.catalogue import Findings, present
from kirikae.survey.counted import counted
from kirikae.survey.view import READS, View

_COMMENT = ("#", "//", "*")
_SHOWN = 8
_IDENTITY = re.compile(
    r"gethostname\(|php_uname|platform\.node\(|os\.uname|os\.hostname|Hostname\(\)|SERVER_ADDR"
    r"|169\.254\.169\.254|\$\(hostname|`hostname|Socket\.gethostname",
)
_CHOOSES = re.compile(
    r"(gethostname|php_uname|platform\.node|[Hh]ostname)"
    r".*(startswith|endswith|==|!=|\bin\b|match|=~|strpos|case )"
    r"|\bif\b.*hostname",
)
_LOCALHOST = re.compile(r"[\"'(=/]localhost\b|127\.0\.0\.1")
_LOCK = re.compile(r"\bflock\b|LOCK_EX|\blockf\b|lockfile\.|FileLock")
_OWN_ADDRESS = re.compile(
    r"\blisten|\bbind|REMOTE_ADDR|remote_(addr|ip)|trusted|allow|[=!]==?|\brun\(|serve",
    re.IGNORECASE,
)
_NO_CODE = re.compile(
    r"/[^/]*([.-]lock(\.json|\.ya?ml)?|\.lockb?|\.json|\.css|\.scss|\.less|\.html?|\.md|\.rst|\.txt"
    r"|\.po|\.pot|\.svg|\.map|\.min\.js)$"
    r"|/(locales?|lang|languages|i18n|translations?)/",
)
"""Lists, pages, translations: a word in them says nothing of what the code does."""
_SYSLOG = re.compile(
    r"SysLogHandler|/dev/log|\bsyslog\(|^\s*(import|use|require).*\bsyslog|\blogger -",
)
_MAIL = re.compile(r"smtplib|[^a-z_.]mail\(|sendmail")


def _asks_for_its_host(line: str) -> bool:
    """A container's name is another one at each start."""
    return bool(_IDENTITY.search(line)) and not _CHOOSES.search(line)


def _chooses_by_its_host(line: str) -> bool:
    """In a container none of the branches may fit."""
    return bool(_IDENTITY.search(line) and _CHOOSES.search(line))


def _calls_localhost(line: str) -> bool:
    """A default for a variable is none: it is set where the service runs.

    Nor is the address on which the service itself listens, or one that a caller's is compared with.
    """
    if READS.search(line) or _OWN_ADDRESS.search(line):
        return False
    return bool(_LOCALHOST.search(line))


def _holds_a_secret(line: str) -> bool:
    """The collector has masked what it took for a secret; only the mask is known here."""
    return MASKED in line


class _Sign(NamedTuple):
    """``blocks``, ``mends``: None for what the catalogue says."""

    code: str
    says: str
    shows: Callable[[str], object]
    blocks: tuple[str, ...] | None = None
    mends: tuple[str, ...] | None = None


_SIGNS = (
    _Sign("CF13", "the code asks for the name of its host", _asks_for_its_host),
    _Sign("CF17", "the code tells its environment by the name of the host", _chooses_by_its_host),
    # A lock in the code of a web application keeps no two runs of a job apart, and no move of jobs
    # takes its place.
    _Sign(
        "ST09",
        "the code takes a local lock",
        _LOCK.search,
        mends=(),
    ),
    _Sign("LG02", "the code writes to syslog", _SYSLOG.search),
    _Sign("ML01", "the code sends mail through the host", _MAIL.search),
    _Sign("CF16", "the code calls localhost", _calls_localhost),
    _Sign("CF12", "the code holds a secret, or a default for one", _holds_a_secret),
)


def signs(view: View) -> Findings:
    """One finding for each sign that the code shows, with all places."""
    shown: dict[_Sign, list[Line]] = defaultdict(list)
    for line in _live(view):
        for sign in _SIGNS:
            if sign.shows(line.text):
                shown[sign].append(line)
    for sign, lines in shown.items():
        traces = view.quotes(lines)
        yield present(
            sign.code,
            where=traces[0].at,
            says=f"{sign.says} ({counted(len(lines), 'place', 'places')})",
            evidence=traces[:_SHOWN],
            blocks=sign.blocks,
            mends=sign.mends,
            count=len(lines),
        )


def _live(view: View) -> Iterator[Line]:
    """Lines of code without those that are comments by how they begin."""
    for code in view.code:
        for line in code.lines:
            comment = line.text.lstrip().startswith(_COMMENT)
            if not comment and not _NO_CODE.search(line.path):
                yield line


RULES = (signs,)
