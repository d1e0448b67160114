"""Hosts that are no Debian under systemd: the databases of rpm and apk, services of OpenRC."""

from __future__ import annotations

import gzip
import io
import sqlite3
import struct
import tarfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.survey.bundles import read
from kirikae.survey.offline import bundle_of
from kirikae.survey.rpmdb import is_database, package_from, packages_of
from kirikae.survey.survey import findings
from kirikae.survey.trees import FolderTree, TarTree

KEYS = ("a" * 64, "b" * 64)
BERKELEY = gzip.decompress(
    (Path(__file__).parents[1] / "data/rpm/Packages.gz").read_bytes(),
)
"""Written by Berkeley DB 5.3 (`db_load -t hash`, pages of 1 KiB): httpd, php and tiny, headers on
pages of their own and on a page with their key."""
CONFIG = 17


def laid(folder, files, links=None):
    """Files of a root directory; a tuple is (text, mode)."""
    for path, text in files.items():
        file = folder / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            file.write_bytes(text)
        else:
            file.write_text(text)
    for path, target in (links or {}).items():
        link = folder / path[1:]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    return folder


def owned(member):
    """By the service, where it works; by root everywhere else, whoever runs the tests."""
    theirs = member.name.startswith(("./var/lib/shop", "./srv/shop"))
    member.uid = member.gid = 1000 if theirs else 0
    return member


def archive(folder):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        tar.add(folder, ".", filter=owned)
    raw.seek(0)
    return TarTree(raw, "x.tar")


@pytest.fixture(params=[FolderTree, archive])
def look(request):
    """From a directory and from an archive."""
    return lambda root: read(bundle_of(request.param(root), "old1", KEYS), "old1")


def codes(bundle):
    found = findings([bundle], [], date(2026, 11, 27))
    return {(each.code, each.where) for each in found}


# --- rpm


def header(name, files):
    """A header of rpm (big-endian: index, then store)."""
    store = b""
    index = []

    def add(tag, kind, values):
        nonlocal store
        data = [v.encode() + b"\0" if isinstance(v, str) else struct.pack(">I", v) for v in values]
        if kind == 4:
            store += bytes(-len(store) % 4)
        index.append(struct.pack(">4I", tag, kind, len(store), len(values)))
        store += b"".join(data)

    folders = sorted({path.rpartition("/")[0] + "/" for path, _, _ in files})
    add(1000, 6, [name])
    add(1001, 6, ["1.0"])
    add(1002, 6, ["1.el9"])
    add(1008, 4, [1_700_000_000])
    add(1035, 8, [digest for _, digest, _ in files])
    add(1037, 4, [flags for _, _, flags in files])
    add(1116, 4, [folders.index(path.rpartition("/")[0] + "/") for path, _, _ in files])
    add(1117, 8, [path.rpartition("/")[2] for path, _, _ in files])
    add(1118, 8, folders)
    add(5011, 4, [8])
    return struct.pack(">II", len(index), len(store)) + b"".join(index) + store


def sqlite_of(*headers):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    for each in headers:
        database.execute("INSERT INTO Packages (blob) VALUES (?)", (each,))
    database.commit()
    return database.serialize()


def amazon(folder, database="/var/lib/rpm/Packages", raw=BERKELEY):
    """Amazon Linux 2: httpd and PHP of packages, one of their settings changed, one file gone."""
    return laid(
        folder,
        {
            database: raw,
            "/etc/os-release": 'ID="amzn"\nVERSION_ID="2"\n',
            "/etc/passwd": "root:x:0:0::/root:/bin/sh\napache:x:48:48::/var/www:/bin/false\n",
            "/etc/group": "root:x:0:\napache:x:48:\n",
            "/etc/httpd/conf/httpd.conf": "Listen 80\nTimeout 300\n",
            "/etc/httpd/conf/magic": "magic\n",
            "/etc/httpd/conf.d/shop.conf": "Alias /up /var/www/up\n",
            "/etc/php.ini": "[PHP]\n",
            "/etc/tiny.conf": "y\n",
            "/usr/sbin/httpd": "x",
            "/usr/lib/systemd/system/httpd.service": "[Service]\nExecStart=/usr/sbin/httpd\n",
            **{f"/usr/share/php/{number}.php": "x" for number in range(40)},
        },
        {
            "/etc/systemd/system/multi-user.target.wants/httpd.service": (
                "/usr/lib/systemd/system/httpd.service"
            )
        },
    )


def test_packages_of_an_rpm_host_and_their_files_are_told_without_the_host(tmp_path, look):
    """Both of Berkeley DB's ways to keep a value; what the package brought is nobody's own."""
    bundle = look(amazon(tmp_path / "root"))
    names = {each.name: each.version for each in bundle.packages}
    assert names == {"httpd": "2.4.6-97.amzn2", "php": "5.4.16-46.amzn2", "tiny": "1-1"}
    assert bundle.owner("/etc/httpd/conf/httpd.conf") == "httpd"
    assert bundle.owner("/etc/httpd/conf.d/shop.conf") is None
    assert bundle.installed["httpd"] == 1_700_000_000
    changed = {(each.kind, each.state, each.path) for each in bundle.changed}
    assert changed == {
        ("conffile", "modified", "/etc/httpd/conf/httpd.conf"),
        ("conffile", "modified", "/etc/tiny.conf"),
        ("packaged", "missing", "/usr/sbin/gone"),
    }
    found = codes(bundle)
    assert {
        ("CF01", "/etc/httpd/conf/httpd.conf"),
        ("CF04", "/etc/httpd/conf.d/shop.conf"),
    } <= found
    assert ("CF04", "/etc/httpd/conf/httpd.conf") not in found
    assert not any(code == "CF04" and "magic" in where for code, where in found)
    assert any(code == "PR13" for code, _ in found), "Amazon Linux 2 has ended"


def test_the_newer_form_of_the_database_is_read_as_well(tmp_path, look):
    """SQLite, written with a log beside it; SHA-256."""
    files = [("/etc/shop.conf", "0" * 64, CONFIG), ("/usr/bin/shop", "0" * 64, 0)]
    raw = bytearray(sqlite_of(header("shop", files), b"broken"))
    raw[18:20] = b"\2\2"
    root = amazon(tmp_path / "root", "/usr/lib/sysimage/rpm/rpmdb.sqlite", bytes(raw))
    laid(root, {"/etc/shop.conf": "own\n"})
    bundle = look(root)
    assert [each.name for each in bundle.packages] == ["shop"]
    assert {(each.state, each.path) for each in bundle.changed} == {
        ("modified", "/etc/shop.conf"),
        ("missing", "/usr/bin/shop"),
    }
    assert any("1 entries" in each.why for each in bundle.missing)


@pytest.mark.parametrize("raw", [b"", b"RpmP and so on", b"SQLite format 3\0 and no more"])
def test_a_database_that_cannot_be_read_is_named_and_nothing_is_invented(tmp_path, look, raw):
    """Whose files they are is not known then."""
    bundle = look(amazon(tmp_path / "root", raw=raw))
    assert bundle.packages == () and any(each.where == "packages" for each in bundle.missing)


@given(st.binary(max_size=300), st.integers(0, len(BERKELEY) - 1))
def test_no_damage_of_a_database_raises(noise, at):
    """What cannot be read is counted, never thrown."""
    for raw in (noise, BERKELEY[:at], BERKELEY[:at] + noise + BERKELEY[at + len(noise) :]):
        found, lost = packages_of(raw)
        assert lost >= 0 and all(each.name for each in found)
        is_database(raw)
        package_from(raw)


# --- Alpine


APK = """P:musl
V:1.2.4-r2
F:lib
R:ld-musl-x86_64.so.1

P:nginx
V:1.24.0-r7
F:etc/nginx
R:nginx.conf
F:etc/init.d
R:nginx
F:usr/sbin
R:nginx
"""
SCRIPT = """#!/sbin/openrc-run
name="shop"
command="/usr/bin/python3"
command_args="$SHOP_MAIN --port ${SHOP_PORT:-8000}"
command_user="shop:shop"
command_background=yes
directory="/srv/shop"
pidfile="/run/$RC_SVCNAME.pid"

depend() {
    need net
}
"""


@pytest.fixture
def alpine(tmp_path):
    """nginx of a package, a service of its own, and what writes beside its code."""
    return laid(
        tmp_path / "root",
        {
            "/lib/apk/db/installed": APK,
            "/etc/os-release": "ID=alpine\nVERSION_ID=3.18.4\n",
            "/etc/passwd": "root:x:0:0::/root:/bin/ash\nshop:x:1000:1000::/srv/shop:/bin/ash\n",
            "/etc/group": "root:x:0:\nshop:x:1000:\n",
            "/etc/nginx/nginx.conf": "http {}\n",
            "/etc/nginx/http.d/shop.conf": "server { listen 80; root /srv/shop/public; }\n",
            "/etc/init.d/nginx": '#!/sbin/openrc-run\ncommand="/usr/sbin/nginx"\n',
            "/etc/init.d/shop": SCRIPT,
            "/etc/init.d/sshd": '#!/sbin/openrc-run\ncommand="/usr/sbin/sshd"\n',
            "/etc/init.d/hwclock": "#!/sbin/openrc-run\n",
            "/etc/conf.d/shop": "SHOP_MAIN=/srv/shop/app.py\n",
            "/usr/sbin/nginx": "x",
            "/srv/shop/app.py": "import os\n",
            "/srv/shop/public/index.html": "x",
            "/var/lib/shop/data.db": b"SQLite format 3\0 and so on",
            "/etc/crontabs/root": "*/15 * * * * run-parts /etc/periodic/15min\n",
        },
        {
            f"/etc/runlevels/{level}/{name}": f"/etc/init.d/{name}"
            for level, name in (
                ("default", "nginx"),
                ("default", "shop"),
                ("default", "sshd"),
                ("boot", "hwclock"),
            )
        },
    )


def test_services_of_openrc_are_told_by_what_is_switched_on(alpine, look):
    """As its script and its settings say; the system's own are none."""
    bundle = look(alpine)
    assert not bundle.systemd
    units = {unit.name: unit for unit in bundle.units}
    assert set(units) == {"nginx.service", "shop.service", "sshd.service"}
    shop = units["shop.service"]
    assert shop.command == "/usr/bin/python3 /srv/shop/app.py --port 8000"
    assert (shop.get("User"), shop.folder) == ("shop", "/srv/shop") and shop.running
    assert [code.root for code in bundle.code] == ["/srv/shop", "/srv/shop/public"]


def test_an_alpine_root_has_owned_files_and_findings(alpine, look):
    """What apk brought is nobody's own, and a service was recognised."""
    bundle = look(alpine)
    assert bundle.owner("/etc/nginx/nginx.conf") == "nginx"
    found = codes(bundle)
    assert ("SV03", "old1") not in found
    assert ("CF04", "/etc/nginx/http.d/shop.conf") in found
    assert ("CF04", "/etc/nginx/nginx.conf") not in found
    assert any(code == "PR13" for code, _ in found), "Alpine 3.18 has ended"


def test_what_a_service_of_openrc_owns_is_its_state(alpine):
    """By the user that its script names: the database blocks."""
    found = codes(read(bundle_of(archive(alpine), "old1", KEYS), "old1"))
    assert ("ST05", "/var/lib/shop/data.db") in found
