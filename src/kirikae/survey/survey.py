"""A whole survey: bundles of several hosts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache

from kirikae.model.bundle import Bundle, Folder
from kirikae.model.finding import Confidence, Finding, Severity, Trace
from kirikae.survey.catalogue import configured
from kirikae.survey.fleet import drift, single_points
from kirikae.survey.rules import findings_of
from kirikae.survey.view import KEPT, View, view_of
from kirikae.survey.watched import uncovered

_GRAVEST_FIRST = list(Severity)
_WEAKEST_FIRST = list(Confidence)
_HOUR_S = 3600
_SHOWN = 10
_OTHERS_READ = 0o004


def findings(
    fleet: Sequence[Bundle],
    others: Sequence[Bundle],
    today: date,
) -> list[Finding]:
    """All findings, gravest first; ``fleet`` are the old side's hosts, of whom alone something can
    block its traffic."""
    views = [view_of(bundle) for bundle in fleet]
    other_views = [view_of(bundle) for bundle in others]
    found: list[Finding] = []
    for view in views:
        own = _own(view, today)
        found += own
        found += uncovered(view, own)
        found += not_seen(view)
    found += drift(views)
    for view in other_views:
        own = _own(view, today)
        found += map(_without_traffic, (*own, *uncovered(view, own)))
    found += single_points([*views, *other_views])
    return merged(found)


@lru_cache(maxsize=KEPT)
def _own(view: View, today: date) -> tuple[Finding, ...]:
    """What the rules find on one host."""
    return tuple(findings_of(view, today))


def not_seen(view: View) -> list[Finding]:
    """SV03 and SV04: a host of the fleet of which nothing was found because nothing was seen."""
    found = []
    host = view.bundle.host
    if not view.services:
        many = len(view.bundle.processes)
        found.append(
            configured(
                "SV03",
                where=host,
                says=f"no service was recognised on {host}, of {many} processes",
                evidence=[view.trace("/proc", each.command) for each in view.bundle.processes[:5]],
            )
        )
    uid = view.bundle.meta.get("uid", "0")
    if uid != "0":
        hidden = [folder for folder in view.bundle.folders if _is_private(folder, uid)]
        found.append(
            configured(
                "SV04",
                where=host,
                says=f"{host} was looked at without root: {len(hidden)} folders could not be read",
                evidence=[view.trace(folder.path, "private") for folder in hidden[:_SHOWN]],
            )
        )
    return found


def _is_private(folder: Folder, uid: str) -> bool:
    """Nobody but its owner may look into it."""
    return str(folder.uid) != uid and not folder.mode & _OTHERS_READ


def _without_traffic(finding: Finding) -> Finding:
    """A host that serves no requests cannot stand in their way."""
    others = (kind for kind in finding.blocks if kind != "traffic")
    return replace(finding, blocks=tuple(others))


def merged(found: Iterable[Finding]) -> list[Finding]:
    """The same finding on several hosts is one finding with more evidence."""
    by_key: dict[tuple[str, str], Finding] = {}
    for finding in found:
        key = (finding.code, finding.where)
        known = by_key.get(key)
        if known is not None:
            finding = _one_of(known, finding)
        by_key[key] = finding
    return sorted(by_key.values(), key=_order)


def _one_of(known: Finding, finding: Finding) -> Finding:
    """The one that is surer, with what is known of both."""
    new = (trace for trace in finding.evidence if trace not in known.evidence)
    surer = max(
        known,
        finding,
        key=_sureness,
    )
    return replace(
        surer,
        evidence=(*known.evidence, *new),
        blocks=tuple(sorted({*known.blocks, *finding.blocks})),
    )


def _sureness(finding: Finding) -> int:
    """The larger, the surer."""
    return _WEAKEST_FIRST.index(finding.confidence)


def _order(finding: Finding) -> tuple[int, str, str]:
    """Gravest first, then by code and place."""
    gravity = _GRAVEST_FIRST.index(finding.severity)
    return gravity, finding.code, finding.where


def ages(ages_s: Mapping[str, float | None], max_age_s: float) -> list[Finding]:
    """SV01 for hosts that were never looked at, SV02 for looks that are too old."""
    found = []
    for host, age_s in ages_s.items():
        finding = _age(
            host,
            age_s,
            max_age_s,
        )
        if finding is not None:
            found.append(finding)
    return found


def _age(
    host: str,
    age_s: float | None,
    max_age_s: float,
) -> Finding | None:
    """SV01 or SV02 for one host; None where its survey is young enough."""
    if age_s is None:
        return configured(
            "SV01",
            where=host,
            says=f"{host} has not been surveyed",
            evidence=[Trace(host, "bundle", "there is none")],
        )
    if age_s <= max_age_s:
        return None
    old = age_s / _HOUR_S
    allowed = max_age_s / _HOUR_S
    return configured(
        "SV02",
        where=host,
        says=f"the survey of {host} is {old:.1f} hours old; the project file allows {allowed:.1f}",
        evidence=[Trace(host, "bundle", f"{old:.1f} hours old")],
    )
