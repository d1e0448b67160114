"""What goes into a release: never kirikae's own state, keys, environment files or version control;
what was left out is told, and nothing in an archive can be written outside of its folder."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.console import release as console
from kirikae.console.context import load_project
from kirikae.console.here import Here
from kirikae.model.errors import UsageProblem
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release.archive import strange_members
from kirikae.release.contents import contents, in_words
from kirikae.release.errors import NoRelease
from kirikae.release.manifest import Packed, Releases, pack

KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
    "-----END OPENSSH PRIVATE KEY-----\n"
)
ENCRYPTED = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"
    "MIIEpAIBAAKCAQEA7bq1\n-----END RSA PRIVATE KEY-----\n"
)
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEbXvG\n-----END CERTIFICATE-----\n"
PROJECT = """
service: shop
environment: test
account: "123456789012"
store: {store}
fleets:
  old: {{target_group: a}}
  new: {{cluster: c, ecs_service: shop, target_group: b}}
"""


def put(folder, **files):
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    return folder


def members(packed: Packed):
    with tarfile.open(fileobj=io.BytesIO(packed.archive)) as tar:
        return tar.getnames()


def left_out(packed: Packed):
    return {each.name: each.why for each in packed.left_out}


def test_secrets_state_and_version_control_are_left_out_by_name_and_told(tmp_path):
    """Wherever they lie; with their size, a folder with all that it holds."""
    put(
        tmp_path,
        **{
            "app.js": "x",
            "node_modules/express/index.js": "the service cannot run without it",
            ".kirikae/state.db": "journal",
            ".kirikae/bundles/web1/a.gz": "1234",
            ".git/config": "x",
            "sub/.hg/x": "x",
            "deploy/id_ed25519": "x",
            "deploy/id_ed25519.pub": "public",
            "certs/site.p12": "x",
            ".env": "PASSWORD=x",
            "sub/.env.production": "PASSWORD=x",
            "environment.js": "x",
            "RELEASE": "r0",
            "docs/RELEASE": "notes",
        },
    )
    packed = pack(tmp_path)
    assert [name for name in members(packed) if "." in name or "RELEASE" in name] == [
        "app.js",
        "deploy/id_ed25519.pub",
        "docs/RELEASE",
        "environment.js",
        "node_modules/express/index.js",
    ]
    assert left_out(packed) == {
        ".env": "an environment file",
        ".git/": "version control",
        ".kirikae/": "kirikae's own state",
        "RELEASE": "kirikae writes it, on each host and in each image",
        "certs/site.p12": "a private key",
        "deploy/id_ed25519": "a private key",
        "sub/.env.production": "an environment file",
        "sub/.hg/": "version control",
    }
    [state] = [each for each in packed.left_out if each.name == ".kirikae/"]
    assert state.says == "left out: .kirikae/ (11 bytes, 2 files): kirikae's own state"


def test_a_private_key_is_known_by_what_it_holds(tmp_path):
    """Not what only speaks of keys, and no certificate."""
    put(
        tmp_path,
        **{
            "a.pem": KEY,
            "b.txt": ENCRYPTED,
            "c.pem": CERTIFICATE + KEY,
            "d.conf": "PuTTY-User-Key-File-2: ssh-rsa\n",
            "site.crt": CERTIFICATE,
            "parser.js": "const begins = '-----BEGIN PRIVATE KEY-----\\n';\n",
            "howto.md": "-----BEGIN PRIVATE KEY-----\nstands at the top of a key\n",
        },
    )
    packed = pack(tmp_path)
    assert members(packed) == ["howto.md", "parser.js", "site.crt"]
    assert set(left_out(packed).values()) == {"it holds a private key"}


def test_the_store_s_folder_is_left_out_wherever_the_project_file_puts_it(tmp_path):
    """State of another name, and state in the project's own folder."""
    for store, state in (("var/k/state.db", "var/k/"), ("own.db", None)):
        folder = tmp_path / store.replace("/", "_")
        put(
            folder,
            **{"kirikae.yml": PROJECT.format(store=store), "app": "x", "var/mine": "x", store: "s"},
        )
        base = folder / "var/k" if state else folder
        put(base, **{"bundles/web1/x.gz": "x", "releases/r0.tar.gz": "x", "survey.key": "x"})
        here = Here(str(folder / "kirikae.yml"))
        packed = pack(folder, console.own_files(here, load_project(here)))
        kept = [name for name in members(packed) if name != "var"]
        assert kept == ["app", "kirikae.yml", "var/mine"]
        assert set(left_out(packed)) == (
            {state} if state else {"bundles/", "own.db", "releases/", "survey.key"}
        )


def test_a_file_of_the_user_s_says_what_else_is_left_out(tmp_path):
    """Names anywhere, paths from the top, folders only; what git knows beyond that is refused."""
    put(
        tmp_path,
        **{
            ".kirikaeignore": "# big\n*.log\n/docs\ntmp/\nlib/*.map\n\n",
            "a.log": "x",
            "sub/b.log": "x",
            "docs/x": "x",
            "sub/docs/x": "x",
            "sub/tmp/x": "x",
            "tmp2/tmp": "a file",
            "lib/a.map": "x",
            "lib/deep/a.map": "x",
        },
    )
    packed = pack(tmp_path)
    assert [name for name in members(packed) if "/" in name] == [
        "lib/deep",
        "lib/deep/a.map",
        "sub/docs",
        "sub/docs/x",
        "tmp2/tmp",
    ]
    (tmp_path / ".kirikaeignore").write_bytes("\ufeff*.log\n./docs\n".encode())
    assert {"a.log", "sub/b.log", "docs/"} <= set(left_out(pack(tmp_path)))
    for line in ("!keep.log", "**/x"):
        (tmp_path / ".kirikaeignore").write_text(f"a\n{line}\n")
        with pytest.raises(UsageProblem, match=r"\.kirikaeignore:2: .* is not understood"):
            pack(tmp_path)
    (tmp_path / ".kirikaeignore").write_bytes(b"\xff")
    with pytest.raises(UsageProblem, match="cannot be read"):
        pack(tmp_path)


def test_what_was_left_out_is_in_the_answer_of_the_verb(tmp_path):
    """As text and as data, also in a dry run."""
    put(tmp_path, **{"kirikae.yml": PROJECT.format(store=".kirikae/state.db"), ".env": "A=1"})
    here = Here(str(tmp_path / "kirikae.yml"))
    for dry_run in (True, False):
        answer = console.created(here, "r1", tmp_path, dry_run)
        assert "left out: .env (3 bytes): an environment file" in answer.lines
        assert {"name": ".env", "why": "an environment file", "files": 1, "size": 3} in json.loads(
            answer.json()
        )["left_out"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "sub/../../x", "sub/up/.."])
def test_a_link_that_leads_out_is_refused(tmp_path, target):
    """On a host it would be another file."""
    put(tmp_path / "app", **{"sub/file": "x"})
    (tmp_path / "app/sub/up").symlink_to("..")
    (tmp_path / "app/link").symlink_to(target)
    with pytest.raises(UsageProblem, match="link: the link leads out of the release"):
        pack(tmp_path / "app")


def test_a_link_inside_is_kept_also_one_that_leads_nowhere(tmp_path):
    """As it is written."""
    put(tmp_path, **{"sub/file": "x"})
    for name, target in (("a", "sub/file"), ("sub/b", "../sub"), ("c", "gone"), ("d", "d")):
        (tmp_path / name).symlink_to(target)
    assert {"a", "sub/b", "c", "d"} <= set(members(pack(tmp_path)))


def test_what_cannot_be_packed_is_told(tmp_path):
    """Nothing at all, no folder, a pipe."""
    (tmp_path / "empty").mkdir()
    put(tmp_path / "secret", **{".env": "A=1"})
    with pytest.raises(UsageProblem, match="holds no file"):
        pack(tmp_path / "empty")
    with pytest.raises(UsageProblem, match=r"holds no file\nleft out: \.env"):
        pack(tmp_path / "secret")
    with pytest.raises(UsageProblem, match="not a folder"):
        pack(tmp_path / "gone")


def test_a_socket_of_a_living_server_is_left_out_and_told_and_a_pipe_refused(tmp_path, monkeypatch):
    """An application's folder of ten years holds its server's socket; only that server can make
    one."""
    put(tmp_path, app="x")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("puma.sock")
        packed = pack(tmp_path)
    assert [each.says for each in packed.left_out] == [
        "left out: puma.sock (0 bytes): a socket: the process that serves there makes it"
    ]
    os.mkfifo("pipe")
    with pytest.raises(UsageProblem, match=r"pipe: neither .* name it in \.kirikaeignore"):
        pack(tmp_path)


@pytest.mark.parametrize(
    ("member", "target"),
    [
        ("/etc/cron.d/x", None),
        ("../x", None),
        ("a/../../x", None),
        ("link", "/etc"),
        ("link", "../.."),
    ],
)
def test_an_archive_of_a_former_version_that_leads_out_is_not_given_to_a_host(
    tmp_path, member, target
):
    """Its checksum is right, and it is refused all the same."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(member)
        if target is not None:
            entry.type, entry.linkname = tarfile.SYMTYPE, target
        tar.addfile(entry)
    releases = Releases(SqliteStore(tmp_path / "s.db"), "test", "shop", tmp_path / "releases")
    releases.keep("r1", Packed(gzip.compress(out.getvalue()), 1, []), "", "me", 1.0)
    with pytest.raises(NoRelease, match="leads out of the release's folder"):
        releases.get("r1")


def member(name, kind=tarfile.REGTYPE, target="", mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, target, mode
    return entry


def test_a_member_below_a_link_is_strange():
    """It would be written where the link leads."""
    link = member("a", tarfile.SYMTYPE, "b")
    [strange] = strange_members([link, member("a/x"), member("b/x")])
    assert strange.startswith("a/x, which leads out")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (member("a/b", tarfile.LNKTYPE, "../x"), "leads out"),
        (member("a/b", tarfile.LNKTYPE, "/etc/shadow"), "leads out"),
        (member("null", tarfile.CHRTYPE), "neither file, folder nor link"),
        (member("sda", tarfile.BLKTYPE), "neither file, folder nor link"),
        (member("pipe", tarfile.FIFOTYPE), "neither file, folder nor link"),
        (member("sh", mode=0o4755), "its owner's rights"),
        (member("d", tarfile.DIRTYPE, mode=0o2755), "its owner's rights"),
    ],
)
def test_nothing_but_files_folders_and_links_is_unpacked(entry, why):
    """A second name is told from the archive's top: GNU tar's reading of it is not relied upon."""
    [strange] = strange_members([entry])
    assert why in strange
    kept = [
        member("a/b", tarfile.LNKTYPE, "a/c"),
        member("a/c", tarfile.SYMTYPE, "../d"),
        member("holes", tarfile.GNUTYPE_SPARSE),
    ]
    assert not list(strange_members(kept))


def test_what_is_no_archive_is_told(tmp_path):
    """Its checksum is right: it was never one."""
    releases = Releases(SqliteStore(tmp_path / "s.db"), "test", "shop", tmp_path / "releases")
    for number, body in enumerate((b"", b"<html>", gzip.compress(b"x" * 5000), b"\x1f\x8b\x08cut")):
        releases.keep(f"r{number}", Packed(body, 1, []), "", "me", 1.0)
        with pytest.raises(NoRelease, match=r"is no archive|leads out|create the release again"):
            releases.get(f"r{number}")


NAMES = st.sampled_from([".env", "id_rsa", "a", "b", ".kirikae", "RELEASE", "x.log", ".git", "é"])


@given(st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.binary(max_size=40))))
def test_every_file_is_packed_or_told_and_never_both(tmp_path_factory, files):
    """Whatever a folder holds."""
    folder = tmp_path_factory.mktemp("source")
    for parts, body in files:
        path = folder.joinpath(*parts)
        if not path.exists() and all(not p.is_file() for p in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    found = contents(folder)
    packed = {path.relative_to(folder).as_posix() for path in found.members if path.is_file()}
    told = sum(each.files for each in found.left_out)
    assert len(packed) + told == sum(path.is_file() for path in folder.rglob("*"))
    assert not [name for name in packed if {".env", ".git", ".kirikae"} & set(name.split("/"))]


def test_sizes_are_told_in_words():
    """Bytes, KiB, MiB."""
    assert [in_words(size) for size in (7, 8 << 10, 8 << 20)] == ["7 bytes", "8 KiB", "8.0 MiB"]


def test_archives_state_and_keys_are_for_nobody_else_and_former_ones_are_closed(tmp_path):
    """`.kirikae` 0700 with a .gitignore, what it holds 0600."""

    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    state = tmp_path / ".kirikae"
    state.mkdir(mode=0o755)
    state.chmod(0o755)
    (state / "state.db").touch()
    (state / "state.db").chmod(0o644)
    put(tmp_path, **{"kirikae.yml": PROJECT.format(store=".kirikae/state.db"), "app/x": "x"})
    here = Here(str(tmp_path / "kirikae.yml"))
    console.created(here, "r1", tmp_path / "app", dry_run=False)
    archive = state / "releases/r1.tar.gz"
    assert (mode(state), mode(state / "state.db"), mode(archive)) == (0o700, 0o600, 0o600)
    assert (state / ".gitignore").read_text() == "*\n"
    archive.chmod(0o644)
    Releases(SqliteStore(state / "state.db"), "test", "shop", state / "releases").get("r1")
    assert mode(archive) == 0o600
    other = tmp_path / "var"
    SqliteStore(other / "own.db").get("x")
    assert mode(other / "own.db") == 0o600 and not (other / ".gitignore").exists()
