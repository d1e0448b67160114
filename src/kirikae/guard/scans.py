"""What scanners of vulnerabilities found, side by side: one finding for each vulnerability, package
and image, with who said it and how grave each of them holds it.

Read are ``aws ecr describe-image-scan-findings`` (basic and enhanced), ``aws inspector2
list-findings``, Trivy's JSON (schema 2) and Grype's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from kirikae.guard.objects import Plain, Scan, Scanned, Told, Vulnerability, part_of, rows_of

_ECR_HOST = re.compile(r"^\d{12}\.dkr\.ecr\.[\w.-]+/")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_DONE = frozenset(("", "COMPLETE", "ACTIVE"))
_CLOSED = frozenset(("CLOSED", "SUPPRESSED"))


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
    if any("packageVulnerabilityDetails" in row for row in rows_of(plain.get("findings"))):
        return _inspector
    return None


# --- each of them


def _trivy(name: str, plain: Plain) -> Iterator[Scan]:
    about = part_of(plain, "Metadata")
    sources = {}
    told = []
    for result in rows_of(plain.get("Results")):
        for package in rows_of(result.get("Packages")):
            sources[str(package.get("Name"))] = str(package.get("SrcName") or package.get("Name"))
        told += [_of_trivy(row) for row in rows_of(result.get("Vulnerabilities"))]
    ids = [about.get("ImageID"), *_texts(about.get("RepoDigests"))]
    named = str(plain.get("ArtifactName") or name)
    yield _scan(
        "Trivy",
        named,
        ids,
        plain.get("CreatedAt"),
        told,
        sources,
    )


def _of_trivy(row: Plain) -> Told:
    return Told(
        "Trivy",
        str(row.get("VulnerabilityID")),
        str(row.get("PkgName")),
        str(row.get("InstalledVersion") or ""),
        str(row.get("Severity") or "unknown").lower(),
        str(row.get("FixedVersion") or ""),
    )


def _grype(name: str, plain: Plain) -> Iterator[Scan]:
    target = part_of(part_of(plain, "source"), "target")
    sources = {}
    told = []
    for row in rows_of(plain.get("matches")):
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
    )


def _of_grype(row: Plain, package: Plain) -> Told:
    found = part_of(row, "vulnerability")
    related = [str(each.get("id")) for each in rows_of(row.get("relatedVulnerabilities"))]
    mended = _texts(part_of(found, "fix").get("versions"))
    return Told(
        "Grype",
        _known_as(str(found.get("id")), related),
        str(package.get("name")),
        str(package.get("version") or ""),
        str(found.get("severity") or "unknown").lower(),
        ", ".join(mended),
    )


def _ecr(name: str, plain: Plain) -> Iterator[Scan]:
    found = part_of(plain, "imageScanFindings")
    image = part_of(plain, "imageId")
    told = [_of_ecr(row) for row in rows_of(found.get("findings"))]
    for row in rows_of(found.get("enhancedFindings")):
        told += _of_inspector(row)
    status = str(part_of(plain, "imageScanStatus").get("status") or "")
    missing = status if status not in _DONE else ""
    if plain.get("nextToken"):
        missing = "more pages"
    named = str(plain.get("repositoryName") or name)
    at = found.get("imageScanCompletedAt")
    yield _scan(
        "ECR",
        named,
        [image.get("imageDigest")],
        at,
        told,
        {},
        missing,
    )


def _of_ecr(row: Plain) -> Told:
    about = {
        str(each.get("key")): str(each.get("value")) for each in rows_of(row.get("attributes"))
    }
    return Told(
        "ECR",
        str(row.get("name")),
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
        str(about.get("vulnerabilityId")), _texts(about.get("relatedVulnerabilities"))
    )
    for package in rows_of(about.get("vulnerablePackages")):
        mended = str(package.get("fixedInVersion") or "")
        yield Told(
            "Inspector",
            known,
            str(package.get("name")),
            str(package.get("version") or ""),
            str(row.get("severity") or "unknown").lower(),
            "" if mended == "NotAvailable" else mended,
        )


def _inspector(name: str, plain: Plain) -> Iterator[Scan]:
    told: dict[tuple[str, str], list[Told]] = {}
    newest: dict[tuple[str, str], str] = {}
    for row in rows_of(plain.get("findings")):
        for resource in rows_of(row.get("resources")):
            image = part_of(
                part_of(resource, "details"),
                "awsEcrContainerImage",
            )
            key = (str(image.get("repositoryName") or name), str(image.get("imageHash") or ""))
            told.setdefault(key, []).extend(_of_inspector(row))
            newest[key] = max(
                newest.get(key, ""),
                str(row.get("lastObservedAt") or ""),
            )
    missing = "more pages" if plain.get("nextToken") else ""
    for (repository, digest), rows in told.items():
        at = newest[repository, digest]
        yield _scan(
            "Inspector",
            repository,
            [digest],
            at,
            rows,
            {},
            missing,
        )


# --- what they have in common


def _scan(
    scanner: str,
    named: str,
    ids: Iterable[Any],
    at: Any,
    told: Iterable[Told],
    sources: Mapping[str, str],
    missing: str = "",
) -> Scan:
    digests = {digest for each in ids for digest in _DIGEST.findall(str(each or ""))}
    digests.update(_DIGEST.findall(named))
    return Scan(
        scanner, repository_of(named), frozenset(digests), day_of(at), tuple(told), sources, missing
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
    """By image: of the same digest, or where neither knows one, of the same name."""
    groups: list[list[Scan]] = []
    for scan in scans:
        alike = [group for group in groups if any(_same(scan, each) for each in group)]
        joined = [scan for group in alike for scan in group]
        groups = [group for group in groups if group not in alike]
        groups.append([*joined, scan])
    return _named([_scanned(group) for group in groups])


def _same(one: Scan, other: Scan) -> bool:
    if one.digests and other.digests:
        return bool(one.digests & other.digests)
    return one.image == other.image


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
    many = [each.name for each in found]
    return [
        replace(
            each,
            name=f"{each.name}@{min(each.digests)[:19]}",
        )
        if many.count(each.name) > 1 and each.digests
        else each
        for each in found
    ]
