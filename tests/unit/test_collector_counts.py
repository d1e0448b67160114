"""What the collector tells of keys, certificates and logs: fingerprints, days and counts, and never
what stands in them; the same from a living host and from its files."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import time
from datetime import date
from importlib.resources import files

import pytest

from kirikae.survey import laid
from kirikae.survey.bundles import read
from kirikae.survey.trees import FolderTree

KEY = "-----BEGIN PRIVATE KEY-----\nHemlockHemlock\n-----END PRIVATE KEY-----\n"
LOG = "\n".join(
    [
        "cut off",
        "10:00 GET / 200",
        "10:01 hanako@example.com logged in",
        "10:02 GET /x?token=Hemlock73 200",
        "  at line 3",
        "\tat line 4",
        "",
    ]
)


def asked(folder, function):
    """One section, of the files below ``folder`` alone."""
    text = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    script = text.rpartition("\nif has gzip")[0]
    for looked in (
        "find /etc /opt /srv /home /root /var/www /var/lib",
        "find /var/log /srv /opt /home /var/www /var/lib",
    ):
        assert looked in script
        script = script.replace(looked, f"find {folder}")
    script = script.replace("-path '/var/log/*'", f"-path '{folder}/var/log/*'")
    done = subprocess.run(
        ["sh"],
        input=f"K1=1; K2=2\n{script}\n{function}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout


def rows(text):
    return {
        line.rpartition("\t")[2]: line[1:].split("\t")[:-1]
        for line in text.splitlines()
        if line.startswith("|")
    }


@pytest.fixture
def host(tmp_path):
    for path, text in {
        "etc/app/tls.key": KEY,
        "etc/app/copy.pem": KEY,
        "etc/app/public.pem": KEY.replace("PRIVATE", "PUBLIC"),
        "srv/app/id_ed25519": "Hemlock",
        "srv/app/readme": KEY,
        "var/log/app/app.log": LOG,
        "var/log/app/app.log.1": LOG,
        "srv/app/run.log": LOG,
        "srv/app/run.txt": LOG,
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_keys_are_told_by_their_fingerprints(host):
    """The same content has the same one, wherever it lies; a public key is none."""
    text = asked(host, "keys")
    found = {path.removeprefix(str(host)): cells[0] for path, cells in rows(text).items()}
    found.pop("/etc/machine-id", None)
    assert set(found) == {"/etc/app/tls.key", "/etc/app/copy.pem", "/srv/app/id_ed25519"}
    mark = hashlib.sha256(f"1{KEY}".encode()).hexdigest()[:16]
    assert found["/etc/app/tls.key"] == found["/etc/app/copy.pem"] == mark
    assert "Hemlock" not in text


def test_keys_of_a_tree_have_the_same_fingerprints(host):
    """Over SSH today and from a disk tomorrow: they can be compared."""
    tree = FolderTree(host)
    lines = list(laid.sections(tree, sorted(tree.entries), lambda _: "", "1"))
    marks = {
        line.partition("\t")[2]: line[1:17] for line in lines if line.endswith((".key", ".pem"))
    }
    living = rows(asked(host, "keys"))
    assert marks == {
        path: living[f"{host}{path}"][0] for path in ("/etc/app/tls.key", "/etc/app/copy.pem")
    }


def test_logs_are_counted_on_the_host(host):
    """Lines that go on another one, people, secrets; old ones by size and time alone."""
    old = host / "var/log/app/app.log.1"
    then = time.time() - 30 * 86400
    os.utime(old, (then, then))
    text = asked(host, "logs")
    found = {path.removeprefix(str(host)): cells[2:] for path, cells in rows(text).items()}
    assert found == {
        "/var/log/app/app.log": ["5", "2", "1", "1"],
        "/var/log/app/app.log.1": ["", "", "", ""],
        "/srv/app/run.log": ["5", "2", "1", "1"],
    }
    assert "Hemlock" not in text and "hanako" not in text
    [log] = [each for each in read(f"@kirikae-bundle 1\n{text}@end\n", "x").logs if each.secrets][
        :1
    ]
    assert (log.lines, log.going_on, log.people, log.secrets) == (5, 2, 1, 1)


def _der(before, after):
    return b"\x30\x82\x01\x00" + before + after + b"\x30\x05"


@pytest.mark.parametrize(
    ("times", "day"),
    [
        (b"\x30\x1e\x17\x0d260101000000Z\x17\x0d270203040506Z", date(2027, 2, 3)),
        (b"\x30\x20\x17\x0d260101000000Z\x18\x0f20510203040506Z", date(2051, 2, 3)),
        (b"\x30\x1e\x17\x0d260101000000Z\x17\x0d271303040506Z", None),
        (b"no times", None),
    ],
)
def test_the_day_of_a_certificate_is_read_from_its_bytes(times, day):
    """As openssl would print it."""
    pem = base64.encodebytes(_der(b"", times))
    raw = b"-----BEGIN CERTIFICATE-----\n" + pem + b"-----END CERTIFICATE-----\n"
    said = laid.last_day(raw)
    text = f"@kirikae-bundle 1\n@certificates\n|{said}\t/etc/x.crt\n@end\n"
    [certificate] = read(text, "x").certificates
    assert (certificate.ends, certificate.path) == (day, "/etc/x.crt")
