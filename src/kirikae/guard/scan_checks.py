"""What scanners say of an image, and whether that is recent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kirikae.guard.limits import Limits
from kirikae.guard.objects import Scanned, Vulnerability
from kirikae.guard.seen import Fault, Seen, Unknown
from kirikae.model.finding import Severity
from kirikae.model.said import said

BELIEVED = timedelta(days=30)
"""New vulnerabilities become known each day; NIST SP 800-190, 4.1.1 asks for continuous scans."""
_A_DAY = timedelta(days=1)
"""East of here tomorrow has begun."""
_GRAVE = {
    "critical": Severity.HIGH,
    "high": Severity.HIGH,
    "medium": Severity.WORK,
    "low": Severity.HYGIENE,
    "negligible": Severity.HYGIENE,
    "informational": Severity.HYGIENE,
}
_ORDER = list(Severity)


def vulnerabilities(scanned: Scanned, _: Limits) -> Iterator[Seen]:
    """One for each vulnerability and package, by the gravest word that anybody has for it."""
    for scan in scanned.scans:
        if scan.missing:
            yield Unknown(
                said(
                    "guard.scan_missing",
                    scanner=scan.scanner,
                    what=scan.missing,
                )
            )
    for each in scanned.vulnerabilities:
        yield Fault(
            f"{each.name}:{each.package}",
            _told(each),
            severity=severity_of(each),
        )


def severity_of(vulnerability: Vulnerability) -> Severity:
    """A word that nobody knows is work: it is not harmless."""
    words = [_GRAVE.get(told.severity, Severity.WORK) for told in vulnerability.told]
    return min(words, key=_ORDER.index)


def _told(each: Vulnerability) -> str:
    versions = sorted({told.version for told in each.told if told.version})
    mended = sorted({told.mended for told in each.told if told.mended})
    who = [f"{told.severity} ({told.scanner})" for told in each.told]
    way = f"mended in {', '.join(mended)}" if mended else "no mended version is known"
    whose = f"{each.package} {', '.join(versions)}".strip()
    return f"{each.name} in {whose}: {', '.join(dict.fromkeys(who))}; {way}"


def age(scanned: Scanned, limits: Limits) -> Iterator[Seen]:
    """Of each scanner's result."""
    for scan in scanned.scans:
        if scan.at is None:
            yield Unknown(said("guard.scan_undated", scanner=scan.scanner))
        elif scan.at - limits.today > _A_DAY:
            yield Unknown(
                said(
                    "guard.scan_ahead",
                    scanner=scan.scanner,
                    day=str(scan.at),
                )
            )
        elif limits.today - scan.at > BELIEVED:
            days = (limits.today - scan.at).days
            yield Fault(
                scan.scanner,
                f"{scan.scanner} looked {days} days ago, on {scan.at}",
            )
