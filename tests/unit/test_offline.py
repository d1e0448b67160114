"""A host's files without the host: a directory and an archive say the same, nothing secret is kept,
and this machine's own files stay out."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import socket
import subprocess
import tarfile
from datetime import date
from pathlib import Path

import pytest

from kirikae.console import collecting
from kirikae.console.here import Here
from kirikae.survey import masking
from kirikae.survey.bundles import read
from kirikae.survey.errors import BundleProblem, NoMasking, TreeProblem
from kirikae.survey.offline import bundle_of
from kirikae.survey.shelf import Shelf
from kirikae.survey.survey import findings
from kirikae.survey.trees import FolderTree, TarTree
from tests.command import run

KEYS = ("a" * 64, "b" * 64)
SECRET = "Hemlock-73-Root"
OWN = "something of this machine's own"
UNIT = """[Unit]
Description=Shop
[Service]
User=shop
WorkingDirectory=/srv/shop/current
EnvironmentFile=-/etc/default/shop
ExecStart=/usr/bin/gunicorn --bind 127.0.0.1:8000 shop:app
TimeoutStopSec=20
[Install]
WantedBy=multi-user.target
"""
STATUS = """Package: nginx
Status: install ok installed
Priority: optional
Section: httpd
Architecture: amd64
Version: 1.22.1-9
Depends: libc6 (>= 2.28)
Conffiles:
 /etc/nginx/nginx.conf 00000000000000000000000000000000
 /etc/nginx/gone.conf 00000000000000000000000000000000
 /etc/nginx/mime.types {same}

Package: old
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
FILES = {
    "/etc/hostname": "web1\n",
    "/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "/etc/passwd": "root:x:0:0::/root:/bin/bash\nshop:x:999:997::/srv/shop:/bin/false\n"
    "www-data:x:33:33::/var/www:/bin/false\n",
    "/etc/group": "root:x:0:\nshop:x:997:www-data\n",
    "/etc/shadow": f"root:{SECRET}:1::::::\n",
    "/etc/default/shop": f"DB_PASSWORD={SECRET}\nSHOP_REGION=jp\n",
    "/etc/systemd/system/shop.service": UNIT,
    "/etc/systemd/system/shop.service.d/more.conf": (
        f"[Service]\nEnvironment=API_TOKEN={SECRET}-2\n"
    ),
    "/lib/systemd/system/nginx.service": "[Service]\nExecStart=/usr/sbin/nginx\nType=forking\n",
    "/etc/nginx/nginx.conf": "user www-data;\nhttp {\n  include /etc/nginx/sites-enabled/*;\n}\n",
    "/etc/nginx/mime.types": "types {}\n",
    "/etc/nginx/sites-available/shop": (
        "server {\n  listen 80;\n  root /srv/shop/current/public;\n}\n"
    ),
    "/etc/cron.d/shop": "5 4 * * * shop /srv/shop/current/bin/report\n",
    "/srv/shop/releases/r1/app.py": (
        f"import os\nSECRET_KEY = '{SECRET}-3'\nx = os.environ['SHOP_REGION']\n"
    ),
    "/srv/shop/releases/r1/public/index.html": "<p>shop</p>\n",
    "/var/lib/shop/shop.db": "SQLite format 3\0 and so on",
    "/var/lib/dpkg/info/nginx.list": "/.\n/etc\n/etc/nginx\n/etc/nginx/nginx.conf\n"
    "/lib/systemd/system/nginx.service\n",
    "/home/deploy/.bashrc": "",
}
WANTS = "/etc/systemd/system/multi-user.target.wants"
LINKS = {
    "/etc/nginx/sites-enabled/shop": "/etc/nginx/sites-available/shop",
    f"{WANTS}/shop.service": "/etc/systemd/system/shop.service",
    f"{WANTS}/nginx.service": "/lib/systemd/system/nginx.service",
    "/etc/localtime": "/usr/share/zoneinfo/Asia/Tokyo",
    "/srv/shop/current": "/srv/shop/releases/r1",
    "/etc/cron.d/loop": "loop",
}


@pytest.fixture
def root(tmp_path):
    """A small Debian host; some of its links would lead to files of this machine."""
    folder = tmp_path / "root"
    outside = tmp_path / "outside.conf"
    outside.write_text(OWN)
    for path, text in FILES.items():
        file = folder / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    same = hashlib.md5(FILES["/etc/nginx/mime.types"].encode()).hexdigest()
    (folder / "var/lib/dpkg/status").write_text(STATUS.replace("{same}", same))
    for path, target in {**LINKS, "/etc/nginx/conf.d/x.conf": str(outside)}.items():
        link = folder / path[1:]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    (folder / "etc/nginx/up.conf").symlink_to("../" * 30 + str(outside).lstrip("/"))
    return folder


def archive(folder: Path) -> bytes:
    """As ``tar -C folder -cf - .`` writes it."""
    made = subprocess.run(
        ["tar", "--numeric-owner", "-C", str(folder), "-cf", "-", "."],
        capture_output=True,
        check=True,
    )
    return made.stdout


def from_folder(root):
    return bundle_of(FolderTree(root), "web1", KEYS)


def from_archive(root):
    return bundle_of(TarTree(io.BytesIO(archive(root)), "x.tar"), "web1", KEYS)


def seen(text):
    return findings([read(text, "web1")], [], date(2026, 11, 27))


def without_times(text):
    """An archive has whole seconds of one time only, and the look has its own."""
    return [
        line
        for line in text.splitlines()
        if not line.startswith(("|now\t", "|F\t", "|D\t", "|U\t"))
    ]


def test_a_directory_and_an_archive_say_the_same(root):
    """The same sections line by line, and the same findings."""
    assert without_times(from_folder(root)) == without_times(from_archive(root))
    assert seen(from_folder(root)) == seen(from_archive(root))


@pytest.mark.parametrize("look", [from_folder, from_archive])
def test_what_files_say_is_found(root, look):
    """Services, their environment, state, jobs, changed configuration, code."""
    bundle = read(look(root), "web1")
    assert bundle.distribution == "debian 12" and bundle.zone == "Asia/Tokyo"
    assert bundle.began is None and bundle.processes == () and bundle.listeners == ()
    units = {unit.name: unit for unit in bundle.units}
    shop = units["shop.service"]
    assert shop.own and shop.enabled and shop.command.startswith("/usr/bin/gunicorn --bind")
    assert shop.folder == "/srv/shop/current" and shop.get("TimeoutStopUSec") == "20s"
    assert shop.get("EnvironmentFiles") == "/etc/default/shop (ignore_errors=yes)"
    assert units["nginx.service"].get("User") == "www-data"
    assert bundle.owner("/etc/nginx/nginx.conf") == "nginx"
    assert {package.name for package in bundle.packages} == {"nginx"}
    changed = {(each.state, each.path) for each in bundle.changed}
    assert changed == {
        ("modified", "/etc/nginx/nginx.conf"),
        ("missing", "/etc/nginx/gone.conf"),
    }
    assert [each.path for each in bundle.magic] == ["/var/lib/shop/shop.db"]
    [code] = [each for each in bundle.code if each.root == "/srv/shop/releases/r1"]
    assert set(code.files) == {"app.py", "public/index.html"} and code.count == 2
    codes = {(finding.code, finding.where) for finding in seen(look(root))}
    assert ("CF12", "/etc/default/shop:DB_PASSWORD") in codes
    assert ("JB01", "/etc/cron.d/shop") in codes
    assert ("CF06", "/etc/nginx/sites-available/shop") not in codes
    assert ("CF01", "/etc/nginx/nginx.conf") in codes


@pytest.mark.parametrize("look", [from_folder, from_archive])
def test_what_a_living_host_would_have_said_is_named_as_not_looked_at(root, look):
    """Each of it; "not looked at" is never "not there"."""
    told = {each.where for each in read(look(root), "web1").missing}
    assert told >= {"processes", "open", "sockets", "environments", "sysctl", "started", "began"}


@pytest.mark.parametrize("look", [from_folder, from_archive])
def test_no_secret_is_kept_and_no_link_leads_out(root, look):
    """Absolute links begin at the tree's own root; withheld files are withheld."""
    text = look(root)
    assert SECRET not in text and OWN not in text and "@text" in text
    assert "/etc/shadow\n" not in "".join(
        f"{line}\n" for line in text.splitlines() if line.startswith("@text")
    )
    bundle = read(text, "web1")
    environment = bundle.text("/etc/default/shop")
    assert environment is not None and environment.lines[0].startswith("DB_PASSWORD=<masked:")
    assert bundle.text("/etc/nginx/sites-enabled/shop") is not None
    assert "outside.conf" not in {path.rpartition("/")[2] for path in bundle.by_path}


def test_fingerprints_are_those_of_the_collecting_script(root):
    """A host that is looked at both ways can be compared with itself."""
    made = subprocess.run(
        ["sh", "-c", "printf '%s' \"$1$3\" | sha256sum | cut -c 1-64", "-", KEYS[1], "", SECRET],
        capture_output=True,
        text=True,
        check=True,
    )
    outer = hashlib.sha256(f"{KEYS[0]}{made.stdout.strip()}".encode()).hexdigest()[:16]
    assert masking.fingerprint(SECRET, KEYS) == outer
    assert f"DB_PASSWORD=<masked:{outer}>" in from_folder(root)


def test_nothing_but_regular_files_is_opened(root):
    """A pipe would wait for ever, a sparse file fill the memory; names may hold anything."""
    os.mkfifo(root / "etc/pipe.conf")
    with (root / "etc/sparse.conf").open("wb") as file:
        file.truncate(1 << 40)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(root / "etc/s"))
    (root / "etc/na\nme.conf").write_text(f"PASSWORD={SECRET}")
    Path(os.fsdecode(os.fsencode(root / "etc") + b"/\xff.conf")).write_text("a = 1\n")
    os.link(root / "etc/default/shop", root / "etc/default/second")
    text = from_folder(root)
    assert SECRET not in text
    bundle = read(text, "web1")
    assert bundle.text("/etc/pipe.conf") is None and bundle.text("/etc/sparse.conf") is None
    assert bundle.text("/etc/\udcff.conf") is not None
    for name in ("s", "sparse.conf"):
        (root / "etc" / name).unlink()
    assert without_times(from_folder(root)) == without_times(from_archive(root))


@pytest.mark.parametrize("look", [from_folder, from_archive])
def test_files_of_packages_that_are_gone_or_changed_are_told(root, look):
    """By the time of writing and the package's own checksum; what images leave out is no loss, and
    /bin may be a link to /usr/bin."""
    came = 1_700_000_000
    texts = {"same": "x", "fixed": "hot fix", "older": "other text", "young": "x"}
    for name, text in texts.items():
        file = root / "usr/bin" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (came, came) if name in ("same", "older") else (came + 900, came + 900))
    (root / "bin").symlink_to("usr/bin")
    names = ("bin/same", "usr/bin/fixed", "usr/bin/older", "usr/bin/young")
    gone = ("usr/bin/gone", "usr/share/doc/tool/README")
    info = root / "var/lib/dpkg/info"
    (info / "tool.list").write_text("/.\n" + "".join(f"/{name}\n" for name in (*names, *gone)))
    digest = hashlib.md5(b"x").hexdigest()
    (info / "tool.md5sums").write_text("".join(f"{digest}  {name}\n" for name in names))
    os.utime(info / "tool.list", (came, came))
    bundle = read(look(root), "web1")
    packaged = {(each.state, each.path) for each in bundle.changed if each.kind == "packaged"}
    assert {("modified", "/usr/bin/fixed"), ("missing", "/usr/bin/gone")} <= packaged
    assert not {path for _, path in packaged if "/usr/bin/" in path or "doc" in path} - {
        "/usr/bin/fixed",
        "/usr/bin/gone",
    }
    assert "/bin/same" not in {path for _, path in packaged}


@pytest.mark.parametrize("look", [from_folder, from_archive])
def test_who_may_log_in_is_counted_and_not_kept(root, look):
    """As on a living host; the keys themselves stay out."""
    for home in ("root", "home/ann"):
        folder = root / home / ".ssh"
        folder.mkdir(parents=True)
        (folder / "authorized_keys").write_text("# a comment\nssh-ed25519 AAAAkey x\n")
    text = look(root)
    assert "AAAAkey" not in text and "|public_key_logins\t2\n" in text
    assert "SE04" in {each.code for each in seen(text)}


def test_what_vanishes_while_it_is_looked_at_is_told_and_stops_nothing(root, monkeypatch):
    """T4: a file, a folder that is walked into, and one that nobody may look into."""
    (root / "srv/shop/private").mkdir()
    gone = {str(root / name) for name in ("etc/group", "etc/nginx")}
    private = str(root / "srv/shop/private")
    lstat, scandir = os.lstat, os.scandir

    def look(place):
        if os.fsdecode(place) in gone:
            raise FileNotFoundError(2, "No such file or directory")
        return lstat(place)

    def walk(place):
        if os.fsdecode(place) == private:
            raise PermissionError(13, "Permission denied")
        return scandir(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", look)
        patch.setattr(os, "scandir", walk)
        text = from_folder(root)
    bundle = read(text, "web1")
    lost = {(each.where, each.why) for each in bundle.missing}
    assert {
        ("/etc/group", "No such file or directory"),
        ("/etc/nginx", "No such file or directory"),
        ("/srv/shop/private", "Permission denied"),
    } <= lost
    assert bundle.text("/etc/default/shop") is not None


@pytest.mark.parametrize("raw", [b"", b"no archive", b"\x1f\x8b\x08 cut", bytes(10240)])
def test_what_is_no_archive_says_how_to_make_one(raw):
    """Also an empty one."""
    with pytest.raises(TreeProblem, match=r"x\.tar"):
        TarTree(io.BytesIO(raw), "x.tar")


def test_an_archive_that_was_cut_off_is_refused(root):
    """Half a host is no host, wherever it was cut and however it was packed."""
    raw = archive(root)
    for whole in (raw, gzip.compress(raw), bz2.compress(raw), lzma.compress(raw)):
        assert len(TarTree(io.BytesIO(whole), "x.tar").entries) > len(FILES)
    filled = len(raw.rstrip(b"\0"))
    for part in range(1, 20):
        cut = raw[: filled * part // 20 // 512 * 512]
        for packed in (cut, gzip.compress(cut), gzip.compress(raw)[: 100 * part]):
            with pytest.raises(TreeProblem, match="cannot be read as a tar archive"):
                TarTree(io.BytesIO(packed), "x.tar")


def test_a_member_that_climbs_out_stays_inside():
    """Nothing is ever written; its path is one of the tree's."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as made:
        info = tarfile.TarInfo("../../etc/x.conf")
        info.size = 5
        made.addfile(info, io.BytesIO(b"a = 1"))
        second = tarfile.TarInfo("./lost")
        second.type, second.linkname = tarfile.LNKTYPE, "nowhere"
        made.addfile(second)
    raw.seek(0)
    tree = TarTree(raw, "x.tar")
    assert set(tree.entries) == {"/", "/etc/x.conf"} and tree.read("/etc/x.conf") == b"a = 1"
    assert tree.lost == [("/lost", "a second name of /nowhere, which is not in the archive")]


def test_without_an_awk_that_tells_secrets_nothing_is_kept(root, monkeypatch):
    """Neither without one, nor with one that does not find them."""
    monkeypatch.setattr(masking, "_awk", lambda: ["cat", "--"])
    with pytest.raises(NoMasking):
        from_folder(root)
    monkeypatch.undo()
    monkeypatch.setattr(masking.shutil, "which", lambda name: None)
    with pytest.raises(NoMasking, match="install mawk or gawk"):
        from_folder(root)


# --- the verb

PROJECT = """
service: shop
environment: test
account: "123456789012"
fleets:
  old: {hosts: [ssh://web1, ssh://web2], target_group: a}
  new: {cluster: c, ecs_service: s, target_group: b}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    return tmp_path


def test_files_of_a_host_are_kept_as_a_look_at_it(folder, root):
    """From a directory, from an archive, and shown like any other look."""
    done = run("survey", "collect", "web1", "--root", str(root))
    assert done.exit_code == 0 and done.stdout.startswith("web1: ")
    (folder / "web2.tar.gz").write_bytes(gzip.compress(archive(root)))
    done = run("survey", "collect", "web2", "--tar", "web2.tar.gz", "--json")
    assert done.json["hosts"][0]["host"] == "web2" and done.json["outcome"] == "done"
    assert Shelf(folder / ".kirikae/bundles").hosts() == ["web1", "web2"]
    shown = run("survey", "show", "--all")
    assert "DB_PASSWORD" in shown.stdout and SECRET not in shown.stdout


def test_an_archive_may_come_through_a_pipe(folder, root, monkeypatch):
    """``ssh host tar -C / -cf - . | kirikae survey collect web1 --tar -``"""

    class Input:
        buffer = io.BytesIO(archive(root))

    monkeypatch.setattr(collecting.sys, "stdin", Input)
    files = collecting.Files("web1", None, "-")
    assert "/etc/default/shop" in files.tree().entries


def test_it_must_be_said_whose_files_they_are(folder, root):
    """And how to look; what is not there is refused with its name."""
    for words, says in (
        (["--root", str(root)], "Name one host with --root or --tar: web1, web2"),
        (["web1", "--root", str(root), "--tar", "x"], "two ways to look"),
        (["db1", "--root", str(root)], "not in the project file"),
    ):
        refused = run("survey", "collect", *words)
        assert refused.exit_code == 2 and says in refused.stderr, refused.stderr
    for words in (["--root", "nowhere"], ["--tar", "nowhere"]):
        refused = run("survey", "collect", "web1", *words)
        assert refused.exit_code == 1 and "nowhere" in refused.stderr
    assert not (folder / ".kirikae/bundles").exists()


def test_a_dry_run_reads_nothing(folder):
    """It says where it would look."""
    done = run("survey", "collect", "web1", "--root", "nowhere", "--dry-run")
    assert done.exit_code == 0 and "would look at the files of web1 in nowhere" in done.stdout


def test_the_bundle_of_files_is_proven_readable_before_it_is_kept(folder, root, monkeypatch):
    """As one that came over SSH."""
    monkeypatch.setattr(collecting, "bundle_of", lambda tree, host, keys: "half")
    files = collecting.Files("web1", root, None)
    here = Here()
    with pytest.raises(BundleProblem):
        collecting.collect_files(here, collecting_project(here), files)
    assert not (folder / ".kirikae/bundles").exists()


def collecting_project(here):
    from kirikae.console.context import load_project

    return load_project(here)
