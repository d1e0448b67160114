"""A whole survey: bundles of several hosts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from kirikae.model.bundle import Bundle
from kirikae.model.finding import Confidence, Finding, Severity
from kirikae.survey.catalogue import configured
from kirikae.survey.fleet import drift, single_points
from kirikae.survey.rules import findings_of
from kirikae.survey.view import View

_GRAVEST_FIRST = list(Severity)
_WEAKEST_FIRST = list(Confidence)
_HOUR_S = 3600


def findings(fleet: Sequence[Bundle], others: Sequence[Bundle], today: date) -> list[Finding]:
    """All findings, gravest first; ``fleet`` are the old side's hosts, of whom alone something can
    block its traffic."""
    views = [View(bundle) for bundle in fleet]
    other_views = [View(bundle) for bundle in others]
    found = [finding for view in views for finding in findings_of(view, today)]
    found += drift(views)
    for view in other_views:
        found += [_without_traffic(finding) for finding in findings_of(view, today)]
    return merged([*found, *single_points([*views, *other_views])])


def _without_traffic(finding: Finding) -> Finding:
    """A host that serves no requests cannot stand in their way."""
    return replace(finding, blocks=tuple(kind for kind in finding.blocks if kind != "traffic"))


def merged(found: Iterable[Finding]) -> list[Finding]:
    """The same finding on several hosts is one finding with more evidence."""
    by_key: dict[tuple[str, str], Finding] = {}
    for finding in found:
        key = (finding.code, finding.where)
        known = by_key.get(key)
        by_key[key] = finding if known is None else _one_of(known, finding)
    return sorted(by_key.values(), key=_order)


def _one_of(known: Finding, finding: Finding) -> Finding:
    """The one that is surer, with what is known of both."""
    new = tuple(trace for trace in finding.evidence if trace not in known.evidence)
    surer = max(known, finding, key=lambda each: _WEAKEST_FIRST.index(each.confidence))
    blocks = tuple(sorted({*known.blocks, *finding.blocks}))
    return replace(surer, evidence=known.evidence + new, blocks=blocks)


def _order(finding: Finding) -> tuple[int, str, str]:
    return _GRAVEST_FIRST.index(finding.severity), finding.code, finding.where


def ages(ages_s: Mapping[str, float | None], max_age_s: float) -> list[Finding]:
    """SV01 for hosts that were never looked at, SV02 for looks that are too old."""
    found = []
    for host, age_s in ages_s.items():
        if age_s is None:
            found.append(configured("SV01", host, f"{host} has not been surveyed"))
        elif age_s > max_age_s:
            says = (
                f"the survey of {host} is {age_s / _HOUR_S:.1f} hours old; the project file "
                f"allows {max_age_s / _HOUR_S:.1f}"
            )
            found.append(configured("SV02", host, says))
    return found
