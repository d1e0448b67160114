"""The catalogue of findings: what each code means, how grave it is and what to do about it.

Each room that finds something keeps a ``catalogue.toml`` of this form; all are read by ``load``::

    [ST03]
    severity = "high"            # blocks, high, work, hygiene
    blocks = ["traffic"]         # kinds of move that must not start while it stands
    mends = ["jobs"]             # kinds of move that are its remedy; none where it is left out
    title = "logins are kept in local files"
    title_ja = "..."
    remedy = "keep sessions where both sides see them"
    remedy_ja = "..."
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from kirikae.model.finding import Confidence, Finding, Severity, Trace
from kirikae.model.said import Language


@dataclass(frozen=True, slots=True)
class Entry:
    """One code.  ``blocks``, ``mends``: kinds of move, empty for none; none is in both."""

    code: str
    severity: Severity
    blocks: tuple[str, ...]
    title: str
    title_ja: str
    remedy: str
    remedy_ja: str
    ask: str = ""
    ask_ja: str = ""
    """What only a person can answer; empty: nothing is asked."""
    mends: tuple[str, ...] = ()

    def titled(self, language: Language) -> str:
        """What the code means, in this language."""
        return self.title_ja if language == "ja" else self.title

    def remedied(self, language: Language) -> str:
        """What to do about it, in this language."""
        return self.remedy_ja if language == "ja" else self.remedy

    def asked(self, language: Language) -> str:
        """The question to whoever knows the service, in this language."""
        return self.ask_ja if language == "ja" else self.ask

    def found(
        self,
        where: str,
        says: str,
        evidence: Iterable[Trace],
        confidence: Confidence = Confidence.CONFIGURED,
        blocks: tuple[str, ...] | None = None,
        remedy: str = "",
        mends: tuple[str, ...] | None = None,
    ) -> Finding:
        """A finding of this code.  ``blocks``, ``remedy``, ``mends``: other ones than the
        catalogue's."""
        return Finding(
            self.code,
            where,
            says,
            remedy or self.remedy,
            self.severity,
            confidence,
            self.blocks if blocks is None else blocks,
            tuple(evidence),
            mends=self.mends if mends is None else mends,
        )


@cache
def load(package: str) -> Mapping[str, Entry]:
    """Code -> entry, of one room.  Raises KeyError where an entry lacks a field."""
    text = (files(package) / "catalogue.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)
    return MappingProxyType({code: _entry(code, row) for code, row in rows.items()})


def _entry(code: str, row: Mapping[str, str]) -> Entry:
    """Raises KeyError for a field that is missing, ValueError for a severity that is none."""
    return Entry(
        code,
        Severity(row["severity"]),
        tuple(row["blocks"]),
        row["title"],
        row["title_ja"],
        row["remedy"],
        row.get("remedy_ja", row["remedy"]),
        row.get("ask", ""),
        row.get("ask_ja", row.get("ask", "")),
        tuple(row.get("mends", ())),
    )
