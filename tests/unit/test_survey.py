"""The survey: what it finds on captured hosts, what it never lets out, and that it never throws."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from kirikae.hosts.ssh import Host
from kirikae.model.errors import UsageProblem
from kirikae.model.finding import Confidence, blocking
from kirikae.survey.bundles import read
from kirikae.survey.collect import project_key
from kirikae.survey.errors import BundleProblem, KeyProblem
from kirikae.survey.fleet import drift
from kirikae.survey.rules import findings_of
from kirikae.survey.sections import unpacked
from kirikae.survey.shelf import Shelf
from kirikae.survey.survey import ages, findings
from kirikae.survey.view import View

DATA = Path(__file__).parents[1] / "data/bundles"
TODAY = date(2026, 11, 21)
FOUND = len((DATA.parent / "findings/bookshop.tsv").read_text(encoding="utf-8").splitlines())
"""Findings of the captured fleet."""


PROJECT = """
service: bookshop
environment: test
account: "123456789012"
fleets:
  old: {hosts: [ssh://web1, ssh://web2], target_group: a}
  new: {cluster: c, ecs_service: bookshop-web, target_group: b}
survey: {also: [ssh://batch1]}
build: {subnets: [subnet-1]}
"""


@cache
def bundle_text(host):
    return unpacked((DATA / f"{host}.gz").read_bytes())


@cache
def captured(host):
    return read(bundle_text(host), host)


def altered(host, *pairs):
    text = bundle_text(host)
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    return read(text, host)


@pytest.fixture(scope="module")
def found():
    return findings([captured("web1"), captured("web2")], [captured("batch1")], TODAY)


@pytest.mark.parametrize(
    ("code", "where"),
    [
        ("ST03", "/var/lib/bookshop/sessions"),
        ("ST04", "/var/lib/bookshop/uploads"),
        ("CF17", "/srv/bookshop/releases/r1/bookshop/settings.py"),
        ("CF08", "BOOKSHOP_DEBUG_SQL"),
        ("CF11", "SHOP_REGION"),
        ("CF12", "/etc/default/bookshop:BOOKSHOP_DB_PASSWORD"),
        ("CF05", "/etc/nginx/sites-available/bookshop"),
        ("CF20", "/etc/default/bookshop"),
        ("ST09", "/etc/cron.d/bookshop"),
        ("JB06", "/etc/cron.d/bookshop"),
        ("JB03", "/etc/cron.d/bookshop"),
        ("ML01", "/etc/cron.d/bookshop"),
        ("ML06", "/etc/cron.d/bookshop"),
        ("JB04", "batch1"),
        ("JB10", "/etc/cron.d/bookshop"),
        ("AS01", "/etc/nginx/sites-available/bookshop:6"),
        ("PR14", "bookshop.service"),
        ("CF21", "bookshop.service"),
        ("LG03", "/etc/td-agent/td-agent.conf"),
        ("LG04", "/etc/td-agent/td-agent.conf"),
        ("CF19", "LANG of bookshop"),
        ("CF19", "/etc/localtime"),
        ("CF13", "/srv/bookshop/releases/r1/bookshop/receipts.py"),
    ],
)
def test_every_planted_debt_is_found(found, code, where):
    """With evidence from a host, and with what to do."""
    [finding] = [f for f in found if (f.code, f.where) == (code, where)]
    assert finding.evidence and finding.hosts and finding.remedy and finding.says


def golden(findings):
    """One line for each finding, without its words."""
    for finding in findings:
        blocks = ",".join(finding.blocks) or "-"
        hosts = ",".join(finding.hosts)
        count = "-" if finding.count is None else finding.count
        yield "\t".join(
            map(
                str,
                (
                    finding.severity,
                    finding.code,
                    finding.where,
                    finding.confidence,
                    blocks,
                    hosts,
                    len(finding.evidence),
                    count,
                ),
            )
        )


@pytest.mark.parametrize("name", ["bookshop", "fourth"])
def test_the_captured_hosts_say_what_they_said(found, name):
    """A change of rules shows what it finds and what it no longer does: run
    `python -m tests.unit.test_survey`, and look at the difference."""
    seen = found if name == "bookshop" else findings([captured("fourth")], [], TODAY)
    kept = (DATA.parent / "findings" / f"{name}.tsv").read_text(encoding="utf-8")
    assert list(golden(seen)) == kept.splitlines()


@pytest.mark.parametrize(
    ("code", "where"),
    [
        ("ST01", "/var/lib/mosquitto"),
        ("ST02", "/var/lib/php/sessions"),
        ("ST04", "/var/lib/guestbook/uploads"),
        ("ST05", "/var/lib/guestbook/entries.sqlite"),
        ("JB01", "/etc/cron.d/guestbook"),
        ("AS01", "/srv/guestbook/public"),
    ],
)
def test_a_host_that_the_rules_were_not_written_for(code, where):
    """Apache with PHP, and an MQTT broker."""
    found = findings([captured("fourth")], [], TODAY)
    assert (code, where) in {(each.code, each.where) for each in found}


def test_what_blocks_traffic_is_state_and_nothing_of_the_batch_host(found):
    """File sessions, uploads, drift and the environment told by the host's name."""
    assert {f.code for f in blocking(found, "traffic")} == {"ST03", "ST04", "CF05", "CF17"}
    assert all("batch1" not in f.hosts for f in blocking(found, "traffic"))
    sessions = next(f for f in found if f.code == "ST03")
    assert sessions.confidence is Confidence.OBSERVED and sessions.hosts == ("web1", "web2")


def test_state_that_code_only_names_is_present_and_state_that_nobody_names_is_left_behind():
    """Confidence follows the evidence: written since the service began, named, or neither."""
    quiet = [(f"/var/lib/bookshop/{kind}", 1) for kind in ("sessions", "uploads")]
    text = unpacked((DATA / "web1.gz").read_bytes())
    for folder, _ in quiet:
        text = re.sub(
            rf"(\|D\t\d+\t999\t997\t)\d+(\t\d+\t\d+\t)\d+(\t[^\t]*\t{folder}\n)",
            r"\g<1>1700000000\g<2>1700000000\g<3>",
            text,
        )
    view = View(read(text, "web1"))
    seen = {f.where: f for f in findings_of(view, TODAY)}
    assert seen["/var/lib/bookshop/sessions"].confidence is Confidence.PRESENT
    unnamed = View(read(re.sub(r"\|bookshop/(sessions|uploads)\.py:\d+:.*\n", "", text), "web1"))
    left = {f.where: f for f in findings_of(unnamed, TODAY)}["/var/lib/bookshop/uploads"]
    assert left.code == "ST21" and left.blocks == ("traffic",), (
        "the service is younger than an hour: that proves nothing yet"
    )


def test_former_releases_beside_the_current_one_are_no_state():
    """What `current` does not name any more is still released code."""
    bundle = altered(
        "web1",
        (
            "|L\t/srv/bookshop/releases/r1\t/srv/bookshop/current",
            "|L\t/srv/bookshop/releases/r2\t/srv/bookshop/current",
        ),
    )
    assert not [
        f
        for f in findings_of(View(bundle), TODAY)
        if f.code.startswith("ST") and "/srv/bookshop" in f.where
    ]


def test_equal_hosts_do_not_drift_and_another_secret_is_told_by_its_fingerprint():
    """ST11 blocks: cookies or logins of one side would not be known on the other."""
    assert (
        drift(
            [View(captured("web1")), View(read(unpacked((DATA / "web1.gz").read_bytes()), "twin"))]
        )
        == []
    )
    secret = re.search(
        r"\|DATABASE_PASSWORD=<masked:(\w+)>", unpacked((DATA / "web2.gz").read_bytes())
    )
    assert secret
    other = altered("web2", (secret[1], "0123456789abcdef"))
    codes = {(f.code, f.where) for f in drift([View(captured("web1")), View(other)])}
    assert ("ST11", "DATABASE_PASSWORD") in codes and ("ST11", "BOOKSHOP_DB_PASSWORD") in codes


def test_a_survey_that_is_missing_or_old_is_a_finding_that_blocks_everything():
    """Deleting bundles never unblocks a move."""
    missing, old = ages({"web1": None, "web2": 90000.0, "web3": 5.0}, 86400)
    assert (
        (missing.code, old.code) == ("SV01", "SV02")
        and missing.stops("traffic")
        and old.stops("a kind that comes later")
    )


def test_a_bundle_that_was_cut_off_is_refused(tmp_path):
    """Neither half a text nor half a compressed file is taken for a survey."""
    raw = (DATA / "web1.gz").read_bytes()
    with pytest.raises(BundleProblem, match="collect it again"):
        unpacked(raw[: len(raw) // 2])
    text = unpacked(raw)
    with pytest.raises(BundleProblem, match="cut off"):
        read(text[: len(text) // 2], "web1")
    with pytest.raises(BundleProblem, match="version 9"):
        read("@kirikae-bundle 9\n@end\n", "web1")
    shelf = Shelf(tmp_path)
    shelf.put("web1", text, 1000.0)
    assert (
        shelf.age_s("web1", 1060.0) == 60.0
        and shelf.load("web1").host == "web1"
        and shelf.hosts() == ["web1"]
    )


# --- secrets


def test_the_project_s_key_is_made_once_and_kept_to_its_owner(tmp_path):
    """Fingerprints can be compared between hosts and days."""
    first = project_key(tmp_path / "survey.key")
    assert project_key(tmp_path / "survey.key") == first and first[0] != first[1]
    assert (tmp_path / "survey.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "\n", "00ff", "not a key", "ab" * 31])
def test_a_key_that_is_not_whole_is_never_used(tmp_path, text):
    """With an empty one everybody could try out what a secret is; it is left as it was."""
    file = tmp_path / "survey.key"
    file.write_text(text)
    with pytest.raises(KeyProblem, match="restore it, or remove it and survey all hosts again"):
        project_key(file)
    assert file.read_text() == text


def test_a_key_that_cannot_be_made_is_said(tmp_path):
    """Where its folder is none."""
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyProblem):
        project_key(tmp_path / "file" / "survey.key")


def test_the_key_of_a_former_version_gives_the_same_fingerprints(tmp_path):
    """Bundles of before can be compared with those of now."""
    (tmp_path / "survey.key").write_text("07" * 32)
    keys = project_key(tmp_path / "survey.key")
    assert keys.outer == hashlib.sha256(b"outer" + b"\x07" * 32).hexdigest()
    assert keys.inner == hashlib.sha256(b"inner" + b"\x07" * 32).hexdigest()


def test_no_captured_bundle_holds_the_planted_secret():
    """The sample's database password stood in two files and in r1's code, the fourth host's in
    three places."""
    for file in DATA.glob("*.gz"):
        text = gzip.decompress(file.read_bytes())
        assert b"Tanuki" not in text and b"Kappa" not in text


@pytest.mark.parametrize(
    "url", ["web1", "http://web1", "ssh://", "ssh://-oProxyCommand=x", "ssh://web1/path"]
)
def test_a_host_is_named_as_ssh_names_it(url):
    """Anything else is refused before ssh is run."""
    with pytest.raises(UsageProblem, match="ssh://"):
        Host(url)


def test_findings_are_plain_data(found):
    """`--json` says the same."""
    plain = json.loads(json.dumps([f.to_plain() for f in found], ensure_ascii=False))
    assert (
        plain[0]["evidence"][0]["host"].startswith("web")
        and {"code", "where", "severity", "confidence", "remedy", "blocks"} <= plain[0].keys()
    )


if __name__ == "__main__":
    fleet = findings([captured("web1"), captured("web2")], [captured("batch1")], TODAY)
    fourth = findings([captured("fourth")], [], TODAY)
    for name, seen in (("bookshop", fleet), ("fourth", fourth)):
        file = DATA.parent / "findings" / f"{name}.tsv"
        file.write_text("".join(f"{line}\n" for line in golden(seen)), encoding="utf-8")
