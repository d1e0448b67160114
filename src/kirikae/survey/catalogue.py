"""The catalogue of findings: for each code its severity, what it blocks, its title and remedy; and
dated data on Debian."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from kirikae.model.finding import Confidence, Finding, Severity, Trace


@dataclass(frozen=True, slots=True)
class Entry:
    code: str
    severity: Severity
    blocks: tuple[str, ...]
    title: str
    title_ja: str
    remedy: str


def _data(name: str) -> dict[str, Any]:
    return tomllib.loads((files("kirikae.survey") / name).read_text(encoding="utf-8"))


@cache
def catalogue() -> dict[str, Entry]:
    return {
        code: Entry(
            code,
            Severity(row["severity"]),
            tuple(row["blocks"]),
            row["title"],
            row["title_ja"],
            row["remedy"],
        )
        for code, row in _data("catalogue.toml").items()
    }


def found(
    code: str,
    where: str,
    says: str,
    evidence: Iterable[Trace],
    confidence: Confidence = Confidence.CONFIGURED,
    blocks: tuple[str, ...] | None = None,
    remedy: str = "",
) -> Finding:
    """A finding with what the catalogue knows about its code."""
    entry = catalogue()[code]
    return Finding(
        code,
        where,
        says,
        remedy or entry.remedy,
        entry.severity,
        confidence,
        entry.blocks if blocks is None else blocks,
        tuple(evidence),
    )


@dataclass(frozen=True, slots=True)
class Support:
    name: str
    ends: date
    next: str


@cache
def debian() -> dict[str, Any]:
    return _data("debian.toml")


@cache
def support() -> tuple[dict[str, Support], dict[str, Support]]:
    """(operating systems by "ID VERSION_ID", runtimes by package)."""
    data = _data("support.toml")
    tables = (
        {
            key: Support(row["name"], row["ends"], row.get("next", ""))
            for key, row in data[part].items()
        }
        for part in ("os", "runtime")
    )
    first, second = tables
    return first, second


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def under(path: str, prefixes: Iterable[str]) -> bool:
    """Whether a path is one of these or lies below one."""
    return any(path == p or path.startswith(p + "/") for p in prefixes)
