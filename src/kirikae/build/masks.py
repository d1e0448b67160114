"""Masked values of the hosts' configuration: the name that each gets, and where it stands, so that
a script can find it again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kirikae.model.bundle import MASKED, Line
from kirikae.model.workload import Variable, Workload

_MASK = re.compile(r"<masked:([0-9a-f]+|unknown)>")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOISE = {"env", "php_admin_value", "php_value", "setenv", "fastcgi_param", "proxy_set_header"}
_COMMENT = ("#", ";")
_OF_THE_SHELL = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "HOSTNAME", "SHELL", "PWD", "OLDPWD", "TERM", "IFS"),
        *("TMPDIR", "TMP", "TEMP", "ENV", "CDPATH", "OPTARG", "OPTIND", "PPID", "PS1", "PS2"),
        *("PS4", "LANG", "LANGUAGE", "LC_ALL", "TZ", "LD_PRELOAD", "LD_LIBRARY_PATH"),
        "RELEASE_ID",
    )
)
"""Names that mean something to whatever runs in a container."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value stands: the line of a file, and what stands around it there.  ``ends``: nothing
    follows after ``after``."""

    file: str
    line: int
    before: str
    after: str
    ends: bool


def named(line: str, known: Mapping[str, str]) -> str:
    """``@{NAME}`` in the place of each masked value; ``known``: mask -> its name."""

    def name(match: re.Match[str]) -> str:
        return "@{" + (known.get(match[0]) or _base(line[: match.start()])) + "}"

    return _MASK.sub(name, line)


def masks_of(variables: Iterable[Variable]) -> dict[str, str]:
    """Mask -> the variable whose value is that secret and nothing else."""
    return {
        variable.value: variable.name
        for variable in variables
        if variable.secret and not variable.partly_secret
    }


def names_of(workload: Workload) -> dict[str, str]:
    """Mask -> name, of everything that stands in configuration: one name for one value, and no
    name that a container has for something else."""
    clashes = clashing(workload)
    known: dict[str, str] = {}
    for one in workload.every:
        masks = masks_of(one.environment).items()
        known |= {mask: name for mask, name in masks if name not in clashes}
    taken = {variable.name for one in workload.every for variable in one.environment}
    for line in _lines(workload):
        for match in _MASK.finditer(line.text):
            if match[0] not in known:
                names = _candidates(line.text[: match.start()])
                known[match[0]] = next(name for name in names if name not in taken)
                taken.add(known[match[0]])
    return known


def clashing(workload: Workload) -> frozenset[str]:
    """Variables that are another secret in each of several services."""
    found: dict[str, set[str]] = {}
    for one in workload.every:
        for variable in one.environment:
            if variable.secret:
                found.setdefault(variable.name, set()).add(variable.value)
    return frozenset(name for name, values in found.items() if len(values) > 1)


def _candidates(said: str) -> Iterator[str]:
    """The nearest word first, then with more of those before it."""
    words = _words(said) or ["SECRET"]
    for many in range(1, len(words) + 1):
        name = "_".join(words[-many:])
        if name not in _OF_THE_SHELL:
            yield name
    yield f"{words[-1]}_SECRET"
    number = 2
    while True:
        yield f"{words[-1]}_{number}"
        number += 1


def _base(said: str) -> str:
    return next(_candidates(said))


def _words(said: str) -> list[str]:
    """Those of the directive that a value belongs to: ``password = `` or ``env[DB_PW] = ``."""
    directive = _MASK.sub(" ", re.split(r"[;{}]\s", said)[-1])
    return [word.upper() for word in _WORD.findall(directive) if word.lower() not in _NOISE]


def _lines(workload: Workload) -> Iterator[Line]:
    """Of all files that are carried over and hold a secret; comments with one are not."""
    for one in workload.every:
        for carried in one.carried:
            for number, text in enumerate(carried.lines, 1):
                if MASKED in text and not text.lstrip().startswith(_COMMENT):
                    yield Line(carried.path, number, text)
    web = workload.web
    for line in web.secrets if web is not None else ():
        if not line.text.lstrip().startswith(_COMMENT):
            yield line


def origin_of(workload: Workload, value: str) -> Origin | None:
    """The first place of a value (a mask, or a text with one in it); None: in no file that is
    carried over."""
    for line in _lines(workload):
        at = line.text.find(value)
        if at < 0:
            continue
        before = line.text[:at].rpartition(">" if MASKED in line.text[:at] else "\0")[2]
        after, more, _ = line.text[at + len(value) :].partition(MASKED)
        return Origin(line.path, line.number, before, after, not more)
    return None
