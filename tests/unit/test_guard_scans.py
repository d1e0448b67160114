"""Scanners side by side: one finding for each vulnerability, package and image, with who said it;
what is not whole or not recent is not green."""

from __future__ import annotations

import json
import time
from datetime import date

import pytest

from kirikae.console.guard_checked import Checked
from kirikae.console.guard_objects import together
from kirikae.guard.checks import PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.reading import objects_in
from kirikae.guard.seen import Outcome
from kirikae.model.finding import Severity
from tests.command import run

ASKED = Asked(PROFILES, limits(date(2026, 11, 28)))
DIGEST = "sha256:" + "c" * 64
HOST = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com"
CVE = "CVE-2026-12345"


def trivy(*rows, digest=DIGEST, image=f"{HOST}/shop:r2", at="2026-11-20T01:02:03Z"):
    return {
        "SchemaVersion": 2,
        "CreatedAt": at,
        "ArtifactName": image,
        "Metadata": {"RepoDigests": [f"{HOST}/shop@{digest}"]},
        "Results": [
            {
                "Packages": [{"Name": "libssl3", "SrcName": "openssl"}],
                "Vulnerabilities": [
                    {
                        "VulnerabilityID": name,
                        "PkgName": package,
                        "InstalledVersion": "3.0.1",
                        "FixedVersion": "3.0.2",
                        "Severity": severity,
                    }
                    for name, package, severity in rows
                ],
            }
        ],
    }


def grype(*rows, digest=DIGEST):
    return {
        "matches": [
            {
                "vulnerability": {
                    "id": "GHSA-aaaa-bbbb-cccc",
                    "severity": severity,
                    "fix": {"versions": ["3.0.2"]},
                },
                "relatedVulnerabilities": [{"id": name}],
                "artifact": {
                    "name": package,
                    "version": "3.0.1",
                    "upstreams": [{"name": "openssl"}],
                },
            }
            for name, package, severity in rows
        ],
        "source": {"target": {"userInput": "shop:r2", "manifestDigest": digest}},
        "descriptor": {"name": "grype", "timestamp": "2026-11-21T00:00:00Z"},
    }


def ecr(*rows, status="COMPLETE", **more):
    return {
        "imageScanFindings": {
            "imageScanCompletedAt": "2026-11-22T00:00:00+09:00",
            "findings": [
                {
                    "name": name,
                    "severity": severity,
                    "attributes": [
                        {"key": "package_name", "value": package},
                        {"key": "package_version", "value": "3.0.1"},
                    ],
                }
                for name, package, severity in rows
            ],
        },
        "repositoryName": "shop",
        "imageId": {"imageDigest": DIGEST},
        "imageScanStatus": {"status": status},
        **more,
    }


def of_package(name, package, severity, **more):
    return {
        "severity": severity,
        "status": "ACTIVE",
        "packageVulnerabilityDetails": {
            "vulnerabilityId": name,
            "vulnerablePackages": [
                {"name": package, "version": "3.0.1", "fixedInVersion": "NotAvailable"}
            ],
        },
        **more,
    }


def inspector(*rows):
    image = {"repositoryName": "shop", "imageHash": DIGEST}
    resources = [{"details": {"awsEcrContainerImage": image}}]
    at = "2026-11-23T00:00:00Z"
    return {"findings": [of_package(*row, resources=resources, lastObservedAt=at) for row in rows]}


FILES = {
    "trivy": lambda *rows: trivy(*rows),
    "grype": lambda *rows: grype(*rows),
    "ecr": lambda *rows: ecr(*rows),
    "inspector": lambda *rows: inspector(*rows),
}


def seen(*plains):
    things = [
        thing
        for number, plain in enumerate(plains)
        for thing in objects_in(f"{number}.json", json.dumps(plain))
    ]
    return looked_at(together(things), ASKED)


def findings(looks):
    return [each for look in looks for each in look.findings]


@pytest.mark.parametrize("name", FILES)
def test_each_scanner_alone_is_read(name):
    """With its own word for how grave it is."""
    looks = seen(FILES[name]((CVE, "openssl", "MEDIUM")))
    [finding] = findings(looks)
    assert finding.where == f"shop#{CVE}:openssl" and finding.severity is Severity.WORK
    assert "medium" in finding.says and "openssl 3.0.1" in finding.says
    assert {look.outcome for look in looks if look.code == "GV02"} == {Outcome.PASS}


def test_side_by_side_they_are_one_finding():
    """Three of them, by three names of the image, a package and its source; the gravest counts and
    each one's own word stays."""
    three = (
        trivy((CVE, "libssl3", "CRITICAL")),
        grype((CVE, "libssl3", "Low")),
        ecr((CVE, "openssl", "MEDIUM")),
    )
    [finding] = findings(seen(*three))
    assert finding.severity is Severity.HIGH
    for told in ("critical (Trivy)", "low (Grype)", "medium (ECR)", "mended in 3.0.2"):
        assert told in finding.says
    [mirrored] = findings(seen(*reversed(three)))
    assert mirrored.where == finding.where


def test_other_packages_and_other_images_stay_apart():
    """Two images of one repository are told apart by their digests."""
    other = "sha256:" + "d" * 64
    rows = findings(
        seen(
            trivy((CVE, "openssl", "HIGH"), (CVE, "zlib1g", "HIGH")),
            trivy((CVE, "openssl", "HIGH"), digest=other),
        )
    )
    assert len({each.where for each in rows}) == 3


def test_a_word_that_nobody_knows_is_not_harmless():
    """Untriaged, unknown, undefined."""
    for word in ("UNKNOWN", "UNTRIAGED", "UNDEFINED"):
        [finding] = findings(seen(ecr((CVE, "x", word))))
        assert finding.severity is Severity.WORK


def test_enhanced_findings_of_ecr_and_those_that_are_closed():
    """In the same answer as the basic ones."""
    open_one = of_package(CVE, "openssl", "HIGH")
    closed = of_package("CVE-2026-1111", "openssl", "HIGH", status="CLOSED")
    plain = ecr()
    plain["imageScanFindings"]["enhancedFindings"] = [open_one, closed]
    [finding] = findings(seen(plain))
    assert CVE in finding.where and "Inspector" in finding.says


@pytest.mark.parametrize(
    "plain",
    [
        ecr(status="IN_PROGRESS"),
        ecr(status="UNSUPPORTED_IMAGE"),
        ecr(nextToken="x"),
        {"imageScanStatus": {"status": "FAILED"}, "repositoryName": "shop"},
    ],
)
def test_a_result_that_is_not_whole_is_not_green(plain):
    """It runs still, it failed, it is one page of several."""
    outcomes = {look.code: look.outcome for look in seen(plain)}
    assert outcomes["GV01"] is Outcome.NOT_CHECKED


def changed(plain, **more):
    return {**plain, **more}


ROWS = trivy((CVE, "openssl", "HIGH"))["Results"][0]
MALFORMED = {
    "trivy: results by name": changed(trivy(), Results={"a": ROWS}),
    "trivy: results are text": changed(trivy(), Results="x"),
    "trivy: a result is a number": changed(trivy(), Results=[5]),
    "trivy: rows by name": changed(trivy(), Results=[{"Vulnerabilities": {"a": {}}}]),
    "trivy: a row is a number": changed(trivy(), Results=[{"Vulnerabilities": [5]}]),
    "trivy: a row without a name": changed(trivy(), Results=[{"Vulnerabilities": [{}]}]),
    "trivy: no results": changed(trivy(), Results=None),
    "trivy: secrets only": changed(trivy(), Results=[{"Class": "secret", "Secrets": []}]),
    "trivy: another schema": changed(trivy(), SchemaVersion=3),
    "grype: no list": changed(grype(), matches=None),
    "grype: rows by name": changed(grype(), matches={"0": {}}),
    "grype: a row is nothing": changed(grype(), matches=[None]),
    "grype: a row without a name": changed(grype(), matches=[{"vulnerability": {"id": None}}]),
    "ecr: no findings": changed(ecr(), imageScanFindings={}),
    "ecr: findings are nothing": changed(ecr(), imageScanFindings={"findings": None}),
    "ecr: one page of the command": changed(ecr(), NextToken="x"),
    "ecr: counted and not told": changed(
        ecr(), imageScanFindings={"findings": [], "findingSeverityCounts": {"CRITICAL": 3}}
    ),
    "inspector: nothing at all": {"findings": []},
    "inspector: one page of the command": changed(inspector((CVE, "x", "LOW")), NextToken="x"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_result_of_another_form_is_not_green(name):
    """Nobody read it, so nobody knows; and no ticket is closed by it."""
    looks = {look.code: look for look in seen(MALFORMED[name])}
    assert looks["GV01"].outcome is not Outcome.PASS
    assert looks["GV01"].why


@pytest.mark.parametrize("missing", ["resources", "vulnerablePackages"])
def test_a_finding_of_inspector_that_names_less_is_a_finding(missing):
    """Of no image, of no package."""
    plain = inspector((CVE, "openssl", "CRITICAL"))
    for row in plain["findings"]:
        row.pop(missing, None)
        row["packageVulnerabilityDetails"].pop(missing, None)
    [finding] = findings(seen(plain))
    assert CVE in finding.where and finding.severity is Severity.HIGH


def test_the_day_of_a_result_is_a_day_that_was():
    """Seconds as the former command prints them count; a day of next century says nothing."""
    plain = inspector((CVE, "x", "LOW"))
    plain["findings"][0]["lastObservedAt"] = 1795392000.5
    outcomes = {look.code: look.outcome for look in seen(plain)}
    assert outcomes["GV02"] is Outcome.PASS
    for at in ("2099-01-01T00:00:00Z", True):
        outcomes = {look.code: look.outcome for look in seen(trivy(at=at))}
        assert outcomes["GV02"] is Outcome.NOT_CHECKED


def test_a_whole_account_of_images_is_merged_quickly():
    """Inspector tells thousands of images in one file."""
    plain = inspector()
    for number in range(6000):
        image = {"repositoryName": "shop", "imageHash": f"sha256:{number:064x}"}
        resources = [{"details": {"awsEcrContainerImage": image}}]
        plain["findings"].append(of_package(CVE, "openssl", "HIGH", resources=resources))
    begun = time.process_time()
    things = objects_in("i.json", json.dumps(plain))
    assert len(together(things)) == 6000
    assert time.process_time() - begun < 10


def test_an_old_result_is_a_finding_and_one_without_a_date_is_not_green():
    """A scan of last year says nothing of today."""
    old = {look.code: look.outcome for look in seen(trivy(at="2026-01-01T00:00:00Z"))}
    assert old["GV01"] is Outcome.PASS and old["GV02"] is Outcome.FAIL
    undated = {look.code: look.outcome for look in seen(trivy(at=None))}
    assert undated["GV02"] is Outcome.NOT_CHECKED


@pytest.mark.parametrize(
    "plain",
    [
        {"matches": [3, {}], "descriptor": 3},
        {"SchemaVersion": 2, "ArtifactName": 3, "Results": [{"Vulnerabilities": ["x", {}]}]},
        {"imageScanFindings": 3, "imageId": []},
        {"findings": [{"packageVulnerabilityDetails": 3, "resources": [3, {}]}]},
    ],
)
def test_reading_never_throws(plain):
    """Whatever stands where something else is expected."""
    assert seen(plain) is not None


def test_ten_thousand_findings_are_quick(tmp_path, monkeypatch):
    """Read, merged, judged, printed and compared with as many tickets, in a few seconds."""
    monkeypatch.chdir(tmp_path)
    rows = [(f"CVE-2026-{n:05}", "openssl", "HIGH") for n in range(10_000)]
    tmp_path.joinpath("t.json").write_text(json.dumps(trivy(*rows)))
    tmp_path.joinpath("g.json").write_text(json.dumps(grype(*rows)))
    begun = time.process_time()
    done = run("guard", "check", "t.json", "g.json", "--format", "sarif")
    spent = time.process_time() - begun
    assert done.exit_code == 6 and done.stdout.count('"level"') >= 10_000
    assert spent < 20, spent
    checked = Checked(seen(trivy(*rows)), Severity.HIGH)
    assert len(checked.grave) == 10_000
