"""What scanners of vulnerabilities found, side by side: one finding for each vulnerability, package
and image, with who said it and how grave each of them holds it.

Read are ``aws ecr describe-image-scan-findings`` (basic and enhanced), ``aws inspector2
list-findings``, Trivy's JSON (schema 2) and Grype's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from kirikae.guard.objects import Plain, Scan, Scanned, Told, Vulnerability, part_of, rows_of

_ECR_HOST = re.compile(r"^\d{12}\.dkr\.ecr\.[\w.-]+/")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_DONE = frozenset(("", "COMPLETE", "ACTIVE"))
_CLOSED = frozenset(("CLOSED", "SUPPRESSED"))
_TRIVY_SCHEMA = 2
_OF_PACKAGES = frozenset(("os-pkgs", "lang-pkgs", None))
"""Trivy's classes of results; others are secrets, settings and licences.  Former ones have none."""
_INSPECTORS_OWN = frozenset(("findings", "nextToken", "NextToken"))


def is_scan(plain: Any) -> bool:
    """Is it what one of them prints?"""
    return isinstance(plain, Mapping) and _reader(plain) is not None


def scans_in(name: str, plain: Plain) -> list[Scan]:
    """One for each image.  ``name``: the file's, for an image that has none."""
    reader = _reader(plain)
    return [] if reader is None else list(reader(name, plain))


def _reader(plain: Plain) -> Any:
    if "imageScanFindings" in plain or "imageScanStatus" in plain:
        return _ecr
    if "ArtifactName" in plain and "SchemaVersion" in plain:
        return _trivy
    if "matches" in plain and "descriptor" in plain:
        return _grype
    found = plain.get("findings")
    if found == [] and plain.keys() <= _INSPECTORS_OWN:
        return _inspector
    if any("packageVulnerabilityDetails" in row for row in rows_of(found)):
        return _inspector
    return None


@dataclass
class _Doubts:
    """What of a result is not as its scanner writes it: nothing that was not read is green."""

    told: list[str] = field(default_factory=list)

    def rows(self, value: Any, name: str) -> list[Plain]:
        """Those that can be read."""
        found = rows_of(value)
        if not isinstance(value, list) or len(found) != len(value):
            self.told.append(f"{name} is no list of rows")
        return found

    def pages(self, plain: Plain) -> None:
        """The API's own name, and the one that ``aws --max-items`` prints."""
        if plain.get("nextToken") or plain.get("NextToken"):
            self.told.append("more pages")


# --- each of them


def _trivy(name: str, plain: Plain) -> Iterator[Scan]:
    about = part_of(plain, "Metadata")
    doubts = _Doubts()
    sources = {}
    told = []
    results = doubts.rows(plain.get("Results") or [], "Results")
    if plain["SchemaVersion"] != _TRIVY_SCHEMA:
        doubts.told.append(f"its schema is {plain['SchemaVersion']!r:.20}, read is {_TRIVY_SCHEMA}")
    if not any(row.get("Class") in _OF_PACKAGES for row in results):
        doubts.told.append("it names no packages that were looked at")
    for result in results:
        for package in rows_of(result.get("Packages")):
            sources[str(package.get("Name"))] = str(package.get("SrcName") or package.get("Name"))
        rows = result.get("Vulnerabilities")
        if rows is not None:
            told += [_of_trivy(row) for row in doubts.rows(rows, "Vulnerabilities")]
    ids = [about.get("ImageID"), *_texts(about.get("RepoDigests"))]
    named = str(plain.get("ArtifactName") or name)
    yield _scan(
        "Trivy",
        named,
        ids,
        plain.get("CreatedAt"),
        told,
        sources,
        doubts,
    )


def _of_trivy(row: Plain) -> Told:
    return Told(
        "Trivy",
        str(row.get("VulnerabilityID") or ""),
        str(row.get("PkgName") or ""),
        str(row.get("InstalledVersion") or ""),
        str(row.get("Severity") or "unknown").lower(),
        str(row.get("FixedVersion") or ""),
    )


def _grype(name: str, plain: Plain) -> Iterator[Scan]:
    target = part_of(part_of(plain, "source"), "target")
    doubts = _Doubts()
    sources = {}
    told = []
    for row in doubts.rows(plain.get("matches"), "matches"):
        package = part_of(row, "artifact")
        above = [str(each.get("name")) for each in rows_of(package.get("upstreams"))]
        if above:
            sources[str(package.get("name"))] = above[0]
        told.append(_of_grype(row, package))
    ids = [target.get("imageID"), target.get("manifestDigest"), *_texts(target.get("repoDigests"))]
    named = str(target.get("userInput") or name)
    at = part_of(plain, "descriptor").get("timestamp")
    yield _scan(
        "Grype",
        named,
        ids,
        at,
        told,
        sources,
        doubts,
    )


def _of_grype(row: Plain, package: Plain) -> Told:
    found = part_of(row, "vulnerability")
    related = [str(each.get("id")) for each in rows_of(row.get("relatedVulnerabilities"))]
    mended = _texts(part_of(found, "fix").get("versions"))
    return Told(
        "Grype",
        _known_as(str(found.get("id") or ""), related),
        str(package.get("name") or ""),
        str(package.get("version") or ""),
        str(found.get("severity") or "unknown").lower(),
        ", ".join(mended),
    )


def _ecr(name: str, plain: Plain) -> Iterator[Scan]:
    found = part_of(plain, "imageScanFindings")
    image = part_of(plain, "imageId")
    doubts = _Doubts()
    status = str(part_of(plain, "imageScanStatus").get("status") or "")
    if status not in _DONE:
        doubts.told.append(status)
    doubts.pages(plain)
    told = []
    count = 0
    for key, reader in (("findings", _basic), ("enhancedFindings", _of_inspector)):
        if key in found:
            rows = doubts.rows(found[key], key)
            count += len(rows)
            told += [each for row in rows for each in reader(row)]
    if "findings" not in found and "enhancedFindings" not in found:
        doubts.told.append("it names no findings, and not that there are none")
    counted = _counted(found)
    if counted > count:
        doubts.told.append(f"{counted} are counted, {count} are told")
    named = str(plain.get("repositoryName") or name)
    at = found.get("imageScanCompletedAt")
    yield _scan(
        "ECR",
        named,
        [image.get("imageDigest")],
        at,
        told,
        {},
        doubts,
    )


def _counted(found: Plain) -> int:
    numbers = part_of(found, "findingSeverityCounts").values()
    return sum(each for each in numbers if isinstance(each, int))


def _basic(row: Plain) -> Iterator[Told]:
    yield _of_ecr(row)


def _of_ecr(row: Plain) -> Told:
    about = {
        str(each.get("key")): str(each.get("value")) for each in rows_of(row.get("attributes"))
    }
    return Told(
        "ECR",
        str(row.get("name") or ""),
        about.get("package_name", ""),
        about.get("package_version", ""),
        str(row.get("severity") or "unknown").lower(),
    )


def _of_inspector(row: Plain) -> Iterator[Told]:
    """One row names every package that the vulnerability is in."""
    about = part_of(row, "packageVulnerabilityDetails")
    if str(row.get("status")) in _CLOSED or not about:
        return
    known = _known_as(
        str(about.get("vulnerabilityId") or ""), _texts(about.get("relatedVulnerabilities"))
    )
    for package in rows_of(about.get("vulnerablePackages")) or [{}]:
        mended = str(package.get("fixedInVersion") or "")
        yield Told(
            "Inspector",
            known,
            str(package.get("name") or ""),
            str(package.get("version") or ""),
            str(row.get("severity") or "unknown").lower(),
            "" if mended == "NotAvailable" else mended,
        )


def _inspector(name: str, plain: Plain) -> Iterator[Scan]:
    told: dict[tuple[str, str], list[Told]] = {}
    newest: dict[tuple[str, str], date] = {}
    doubts = _Doubts()
    doubts.pages(plain)
    for row in doubts.rows(plain["findings"], "findings"):
        at = day_of(row.get("lastObservedAt"))
        for key in _images_of(name, row):
            told.setdefault(key, []).extend(_of_inspector(row))
            if at is not None:
                newest[key] = max(newest.get(key, at), at)
    if not told:
        doubts.told.append("it names no image: nothing was found, or its filter fits nothing")
        told[name, ""] = []
    for (repository, digest), rows in told.items():
        yield _scan(
            "Inspector",
            repository,
            [digest],
            newest.get((repository, digest)),
            rows,
            {},
            doubts,
        )


def _images_of(name: str, row: Plain) -> Iterator[tuple[str, str]]:
    """Repository and digest of each; of a finding that names none, the file's name."""
    for resource in rows_of(row.get("resources")) or [{}]:
        image = part_of(
            part_of(resource, "details"),
            "awsEcrContainerImage",
        )
        yield str(image.get("repositoryName") or name), str(image.get("imageHash") or "")


# --- what they have in common


def _scan(
    scanner: str,
    named: str,
    ids: Iterable[Any],
    at: Any,
    told: Iterable[Told],
    sources: Mapping[str, str],
    doubts: _Doubts,
) -> Scan:
    """A finding without a name is none that anybody could act on, and none that is not there."""
    rows = tuple(told)
    named_rows = tuple(each for each in rows if each.vulnerability)
    if len(named_rows) != len(rows):
        doubts.told.append("findings without a name")
    missing = ", ".join(dict.fromkeys(doubts.told))
    digests = {digest for each in ids for digest in _DIGEST.findall(str(each or ""))}
    digests.update(_DIGEST.findall(named))
    return Scan(
        scanner, repository_of(named), frozenset(digests), day_of(at), named_rows, sources, missing
    )


def repository_of(image: str) -> str:
    """Without tag and digest: the next release is the same image, built anew; and without the host
    of ECR, which its own findings do not name."""
    plain = _ECR_HOST.sub("", image.partition("@")[0])
    folder, slash, base = plain.rpartition("/")
    return f"{folder}{slash}{base.partition(':')[0]}"


def day_of(value: Any) -> date | None:
    """Of a time as text (ISO 8601) or in seconds, as the AWS command prints either."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC).date()
        return date.fromisoformat(str(value)[:10])
    except (ValueError, OverflowError, OSError):
        return None


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _known_as(first: str, others: Iterable[str]) -> str:
    """The CVE where there is one: each of them knows it by that."""
    return next(
        (each for each in (first, *others) if _CVE.fullmatch(each)),
        first,
    )


def merged(scans: Iterable[Scan]) -> list[Scanned]:
    """By image: of the same digest, or where one knows none, of the same name."""
    rows = list(scans)
    undigested = {scan.image for scan in rows if not scan.digests}
    homes: dict[str, list[Scan]] = {}
    for scan in rows:
        keys = _keys(scan, undigested)
        alike = {id(homes[key]): homes[key] for key in keys if key in homes}
        joined = [*(each for group in alike.values() for each in group), scan]
        for each in joined:
            homes.update(dict.fromkeys(_keys(each, undigested), joined))
    groups = {id(group): group for group in homes.values()}
    return _named([_scanned(group) for group in groups.values()])


def _keys(scan: Scan, undigested: set[str]) -> list[str]:
    """Scans that share one are of the same image."""
    return [*scan.digests, *([f"name {scan.image}"] if scan.image in undigested else [])]


def _scanned(scans: list[Scan]) -> Scanned:
    sources = {name: source for scan in scans for name, source in scan.sources.items()}
    rows: dict[tuple[str, str], list[Told]] = {}
    for scan in scans:
        for told in scan.told:
            package = sources.get(told.package, told.package).lower()
            rows.setdefault((told.vulnerability, package), []).append(told)
    found = [Vulnerability(*key, tuple(dict.fromkeys(told))) for key, told in rows.items()]
    digests = frozenset().union(*(scan.digests for scan in scans))
    return Scanned(
        scans[0].image,
        digests,
        tuple(scans),
        tuple(found),
    )


def _named(found: list[Scanned]) -> list[Scanned]:
    """Two images of one repository are told apart by their digests."""
    many = Counter(each.name for each in found)
    return [
        replace(
            each,
            name=f"{each.name}@{min(each.digests)[:19]}",
        )
        if many[each.name] > 1 and each.digests
        else each
        for each in found
    ]
