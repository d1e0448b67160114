"""A whole survey: bundles of several hosts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from kirikae.model.bundle import Bundle
from kirikae.model.finding import Confidence, Finding, Severity
from kirikae.survey.rules import drift, findings_of, single_points
from kirikae.survey.view import View

_ORDER = list(Severity)
_CONFIDENCE = list(Confidence)


def findings(fleet: Sequence[Bundle], others: Sequence[Bundle], today: date) -> list[Finding]:
    """All findings, gravest first; ``fleet`` are the old side's hosts, of whom alone something can
    block its traffic."""
    views = [View(b) for b in fleet]
    other_views = [View(b) for b in others]
    out = [f for v in views for f in findings_of(v, today)] + drift(views)
    for view in other_views:
        out += [
            replace(f, blocks=tuple(k for k in f.blocks if k != "traffic"))
            for f in findings_of(view, today)
        ]
    return merged(out + single_points([*views, *other_views]))


def merged(found: Iterable[Finding]) -> list[Finding]:
    """The same finding on several hosts is one finding with more evidence."""
    by_key: dict[tuple[str, str], Finding] = {}
    for finding in found:
        key = (finding.code, finding.where)
        if key in by_key:
            known = by_key[key]
            new = tuple(t for t in finding.evidence if t not in known.evidence)
            stronger = max(known, finding, key=lambda f: _CONFIDENCE.index(f.confidence))
            by_key[key] = replace(
                stronger,
                evidence=known.evidence + new,
                blocks=tuple(sorted({*known.blocks, *finding.blocks})),
            )
        else:
            by_key[key] = finding
    return sorted(by_key.values(), key=lambda f: (_ORDER.index(f.severity), f.code, f.where))


def ages(ages_s: Mapping[str, float | None], max_age_s: float) -> list[Finding]:
    """SV01 for hosts that were never looked at, SV02 for looks that are too old."""
    from kirikae.survey.catalogue import found

    out = []
    for host, age in ages_s.items():
        if age is None:
            out.append(found("SV01", host, f"{host} has not been surveyed", []))
        elif age > max_age_s:
            out.append(
                found(
                    "SV02",
                    host,
                    f"the survey of {host} is {age / 3600:.1f} hours old; the project "
                    f"file allows {max_age_s / 3600:.1f}",
                    [],
                )
            )
    return out
