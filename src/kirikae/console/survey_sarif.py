"""Findings as SARIF 2.1.0 (OASIS: Static Analysis Results Interchange Format), for viewers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from kirikae import __version__
from kirikae.console.catalogue import catalogue
from kirikae.console.findings import Manner
from kirikae.model.finding import Finding, Severity, Trace

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {
    Severity.BLOCKS: "error",
    Severity.HIGH: "error",
    Severity.WORK: "warning",
    Severity.HYGIENE: "note",
}
_RELATED_AT_MOST = 50
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Places:
    """How the place of a finding and of a piece of evidence is written."""

    of_finding: Callable[[Finding], Plain]
    of_trace: Callable[[Trace], Plain]


def sarif(findings: Sequence[Finding], manner: Manner, places: Places | None = None) -> Plain:
    """A log of one run: the codes are its rules, the findings its results.  ``places``: by default
    those of hosts."""
    places = places or Places(_place, _related)
    codes = sorted({finding.code for finding in findings})
    driver = {
        "name": "kirikae",
        "version": __version__,
        "language": manner.speech.language,
        "rules": [_rule(code, manner) for code in codes],
    }
    results = [_result(finding, codes.index(finding.code), manner, places) for finding in findings]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str, manner: Manner) -> Plain:
    """What the catalogue knows of a code; a code that no catalogue has stands for itself."""
    entry = catalogue().get(code)
    if entry is None:
        return {"id": code}
    language = manner.speech.language
    return {
        "id": code,
        "shortDescription": {"text": entry.titled(language)},
        "help": {"text": entry.remedied(language)},
        "defaultConfiguration": {"level": _LEVELS[entry.severity]},
        "properties": {"blocks": list(entry.blocks), "mends": list(entry.mends)},
    }


def _result(finding: Finding, rule: int, manner: Manner, places: Places) -> Plain:
    """One finding: where it stands, and its evidence as related places."""
    told: Plain = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": manner.says(finding) or finding.code},
        "locations": [places.of_finding(finding)],
        "partialFingerprints": {"kirikae/v1": _mark(finding)},
        "properties": {
            "severity": finding.severity.value,
            "confidence": finding.confidence.value,
            "blocks": list(finding.blocks),
            "mends": list(finding.mends),
            "hosts": list(finding.hosts),
            "remedy": manner.remedy(finding),
        },
    }
    related = [places.of_trace(trace) for trace in finding.evidence[:_RELATED_AT_MOST]]
    if related:
        told["relatedLocations"] = related
    if finding.accepted:
        answer = manner.accepted(finding)
        told["suppressions"] = [{"kind": "external", "status": "accepted", "justification": answer}]
    return told


def _place(finding: Finding) -> Plain:
    """A path of a host is a file; anything else has a name only."""
    path, line = _split(finding.where)
    if not path.startswith("/"):
        return {"logicalLocations": [{"fullyQualifiedName": finding.where}]}
    host = finding.hosts[0] if finding.hosts else ""
    return {
        "physicalLocation": _physical(host, path, line),
        "logicalLocations": [{"fullyQualifiedName": f"{host}:{path}", "kind": "resource"}],
    }


def _related(trace: Trace) -> Plain:
    """One piece of evidence."""
    place: Plain = {"message": {"text": trace.says or trace.at}}
    if trace.at.startswith("/"):
        place["physicalLocation"] = _physical(trace.host, trace.at, trace.line)
    else:
        place["logicalLocations"] = [{"fullyQualifiedName": f"{trace.host}:{trace.at}"}]
    return place


def _physical(host: str, path: str, line: int) -> Plain:
    """A URI (RFC 3986): the file lies on the host, not beside the reader's own."""
    name = quote(path.encode("utf-8", "surrogatepass"))
    place: Plain = {"artifactLocation": {"uri": f"ssh://{quote(host)}{name}"}}
    if line > 0:
        place["region"] = {"startLine": line}
    return place


def _split(where: str) -> tuple[str, int]:
    """``path:line``; 0 where no line is named."""
    path, colon, line = where.rpartition(":")
    if colon and line.isascii() and line.isdecimal():
        return path, int(line)
    return where, 0


def _mark(finding: Finding) -> str:
    """The same finding at the same place is the same result in the next survey."""
    raw = f"{finding.code}\0{finding.where}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(raw).hexdigest()
