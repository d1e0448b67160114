"""The collecting script gives away what root may give, and nothing that another user of the host
lays in its way."""

from __future__ import annotations

import os
import subprocess
from importlib.resources import files

import pytest

from kirikae.survey.bundles import read
from kirikae.survey.trees import FolderTree

SECRET = "a secret of root's"


def collected(folder, named=""):
    """The texts that the script sends of the homes below ``folder``, without its other looks."""
    text = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    script, last, _ = text.rpartition("\nif has gzip")
    assert last
    assert "find /opt /srv /var/www /home" in script and "find /etc -type f" in script
    script = script.replace("find /opt /srv /var/www /home", f"find {folder}/home")
    script = script.replace("find /etc -type f", f"find {folder}/etc -type f")
    script = script.replace("find /var/spool/cron", f"find {folder}/spool")
    asked = (
        f"K1=1; K2=2\n{script}\nENVIRONMENT_FILES='{named}'; ARGUMENT_FILES=\n"
        "NAMED_FILES=$(named_files); FOUND_FILES=$(found_files)\ntexts\n"
    )
    done = subprocess.run(["sh"], input=asked, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout


@pytest.fixture
def host(tmp_path):
    """A home that its user may fill, and a file of root's that no rule looks for."""
    (tmp_path / "home/eve").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "spool").mkdir()
    (tmp_path / "root").mkdir()
    secret = tmp_path / "root/notes"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return tmp_path


def sent(text):
    return [line.split(" ", 2)[2] for line in text.splitlines() if line.startswith("@text ")]


def test_what_is_looked_for_is_sent(host):
    """Environment files, crontabs, and what a unit names."""
    (host / "home/eve/.env").write_text("A=1\n")
    (host / "spool/eve").write_text("* * * * * x\n")
    (host / "etc/app.conf").write_text("B=2")
    (host / "named").write_text("C=3\n")
    text = collected(host, named=str(host / "named"))
    assert sent(text) == [
        str(host / name) for name in ("etc/app.conf", "home/eve/.env", "named", "spool/eve")
    ]
    assert "|A=1\n" in text and "|B=2\n" in text


@pytest.mark.parametrize("code", ["utf-16", "utf-16-be"])
def test_what_no_awk_can_read_is_not_sent(host, code):
    """A secret in UTF-16 would not be told; that it was not read is."""
    (host / "etc/app.conf").write_bytes("\ufeffDB_PASSWORD=Hemlock-73\n".encode(code))
    text = collected(host)
    assert sent(text) == [] and "emlock" not in text.replace("\0", "")
    assert f"@missing {host}/etc/app.conf\n|written in UTF-16" in text


def test_a_name_with_a_line_break_names_no_other_file(host):
    """`x<LF>/root/` with a file `notes<LF>.env` in it was the name of /root/notes."""
    folder = host / f"home/eve/x\n{host}/root"
    folder.mkdir(parents=True)
    (folder / "notes\n.env").write_text("mine")
    text = collected(host)
    assert SECRET not in text and sent(text) == []


def test_a_link_to_a_file_of_root_s_is_not_followed(host):
    """Neither one that was found, nor one on the way to what a unit names."""
    (host / "home/eve/.env").symlink_to(host / "root/notes")
    (host / "home/eve/way").symlink_to(host / "root")
    text = collected(host, named=str(host / "home/eve/way/notes"))
    assert SECRET not in text and sent(text) == []
    assert "not the file that is named so" in text


def test_a_link_that_a_unit_names_may_lead_to_what_others_may_read(host):
    """`current/.env` of a release."""
    release = host / "home/eve/releases/r1"
    release.mkdir(parents=True)
    (release / "settings").write_text("A=1\n")
    (host / "home/eve/current").symlink_to(release)
    named = str(host / "home/eve/current/settings")
    assert sent(collected(host, named=named)) == [named]


def test_a_second_name_of_a_file_of_root_s_is_not_sent(host):
    """A hard link has the owner and the mode of the file itself."""
    if os.geteuid() != 0:
        pytest.skip("only root has files of root's")
    os.link(host / "root/notes", host / "home/eve/.env")
    text = collected(host)
    assert SECRET not in text and sent(text) == []


def test_a_link_does_not_make_code_of_what_only_root_may_read(host):
    """Whoever may write a crontab could name one; a release's `current` is read all the same."""
    text = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    script = text.rpartition("\nif has gzip")[0]
    private = host / "private"
    (private / "inside").mkdir(parents=True)
    release = host / "home/eve/releases/r1"
    release.mkdir(parents=True)
    for name, target in (("way", private), ("in", private / "inside"), ("current", release)):
        (host / "home/eve" / name).symlink_to(target)
    private.chmod(0o700)
    # What pytest makes is open to nobody else.
    for folder in (*host.parents[:2], host):
        folder.chmod(0o755)
    asked = "".join(
        f"(code_folder '{folder}')\n"
        for folder in (
            *(host / "home/eve" / name for name in ("way", "in", "current", "nowhere")),
            private,
        )
    )
    done = subprocess.run(
        ["sh"], input=f"{script}\n{asked}", capture_output=True, text=True, check=False
    )
    for folder in host.parents[:2]:
        folder.chmod(0o700)
    assert not done.stderr
    if os.geteuid() != 0:
        pytest.skip("only root has folders of root's")
    assert done.stdout.splitlines() == [str(release), str(private)]


@pytest.mark.parametrize("name", ["shadow", "gshadow-", "ssh_host_rsa_key", "site.key", "id_rsa"])
def test_what_is_withheld_is_withheld_by_whatever_way_it_is_named(host, name):
    """Found, named by a unit, and at the end of a link."""
    (host / "etc" / name).write_text(SECRET)
    (host / "etc/link.conf").symlink_to(host / "etc" / name)
    for named in (host / "etc" / name, host / "etc/link.conf"):
        assert SECRET not in collected(host, named=str(named))


def test_a_find_that_shows_no_times_is_told_and_files_are_listed_all_the_same(host):
    """T9, A6: busybox; once what was said about it was lost, and an empty line told instead."""
    (host / "home/eve/data").write_text("12345")
    text = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    script = text.rpartition("\nif has gzip")[0].replace("find / ", f"find {host} ")
    shim = (
        'find() { case "$*" in *-printf*) return 1 ;; esac; command find "$@"; }\n'
        "CODE_ROOTS=\nwalk\necho @end\n"
    )
    done = subprocess.run(
        ["sh"], input=f"{script}\n{shim}", capture_output=True, text=True, check=False
    )
    assert not done.stderr
    found = read(f"@kirikae-bundle 1\n{done.stdout}", "host")
    assert [each.where for each in found.missing] == ["names"]
    assert "find has no -printf" in found.missing[0].why
    if os.geteuid() == 0:
        # Of a folder's own there is nothing; of files of root's, those since the machine began.
        assert {each.path for each in found.files} == {
            f"{host}/home/eve/data",
            f"{host}/root/notes",
        }


def test_a_file_with_holes_is_as_large_as_what_the_disk_holds(tmp_path):
    """A terabyte of nothing fills no task's disk; a pipe beside it is told and never opened."""
    host = tmp_path / "host"
    (host / "srv").mkdir(parents=True)
    with (host / "srv/image.raw").open("wb") as file:
        file.truncate(1 << 40)
        file.write(b"x" * 4096)
    os.mkfifo(host / "srv/pipe")
    tree = FolderTree(host)
    assert tree.entries["/srv/image.raw"].size < 1 << 20 and tree.entries["/srv/pipe"].kind == "p"
    text = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    walk = text.rpartition("\nif has gzip")[0].replace("find / ", f"find {host} ")
    said = subprocess.run(
        ["sh"],
        input=f"{walk}\nCODE_ROOTS=\nwalk\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    [folder] = [row for row in said.split("\n") if row.endswith(f"{host}/srv")]
    assert int(folder.split("\t")[6]) < 1 << 20
    assert f"|O\tp\t{host}/srv/pipe" in said


def test_lines_of_logs_are_no_code_and_stay_on_the_host(host):
    """A log beside the code, as Capistrano's `shared/log`: its addresses are people's."""
    text = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    script = text.rpartition("\nif has gzip")[0]
    root = host / "home/eve/app"
    root.mkdir()
    (root / "app.rb").write_text("redis '127.0.0.1'\n")
    for name in ("puma.log", "puma.log.1", "puma.log-20261128"):
        (root / name).write_text('127.0.0.1 - mori "GET /?password=x"\n')
    asked = f"K1=1; K2=2\n{script}\nCODE_ROOTS={root}\ncode\n"
    done = subprocess.run(["sh"], input=asked, capture_output=True, text=True, check=False)
    assert "|app.rb:1:redis '127.0.0.1'" in done.stdout
    assert "mori" not in done.stdout
