"""Durable files: whole or not at all, and what is kirikae's own is for nobody else's eyes."""

from __future__ import annotations

import os
import resource
import stat
from contextlib import contextmanager

import pytest

from kirikae.hosts.files import (
    create_durably,
    keep_private,
    read_privately,
    write_durably,
    write_privately,
)
from kirikae.move.sqlite_store import SqliteStore
from kirikae.survey.collect import project_key
from tests.command import run


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_a_host_wrote_in_another_encoding_is_written_as_it_came(tmp_path):
    """A page of the survey must not fall over a file's name."""
    write_durably(tmp_path / "page", "caf\udce9")
    assert (tmp_path / "page").read_bytes() == b"caf\xe9"


def test_a_write_that_fails_leaves_the_former_file_and_nothing_beside_it(tmp_path):
    """A half of a character that no encoding can write stops it in the middle."""
    write_durably(tmp_path / "page", "former")
    with pytest.raises(UnicodeEncodeError):
        write_durably(tmp_path / "page", "\ud800")
    assert (tmp_path / "page").read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_files_of_others_are_not_closed_with_kirikae_s_own(tmp_path):
    """Only `.kirikae` gets a mode and a .gitignore; the project's folder is the user's."""
    tmp_path.chmod(0o755)
    write_privately(tmp_path / "state/x", "body")
    assert mode(tmp_path) == 0o755 and not (tmp_path / ".gitignore").exists()
    assert mode(tmp_path / "state/x") == 0o600
    keep_private(tmp_path / "project/.kirikae/bundles/web1")
    own = tmp_path / "project/.kirikae"
    assert mode(own) == 0o700 and (own / ".gitignore").read_text() == "*\n"
    assert mode(own.parent) == mode(tmp_path / "state")


def test_what_a_former_version_left_open_is_closed_when_it_is_met(tmp_path):
    """And what the user's own .gitignore says there stays."""
    own = tmp_path / ".kirikae"
    own.mkdir()
    own.chmod(0o755)
    (own / ".gitignore").write_text("mine\n")
    (own / "bundle").write_text("x")
    (own / "bundle").chmod(0o644)
    keep_private(own)
    assert read_privately(own / "bundle") == b"x"
    assert (mode(own), mode(own / "bundle")) == (0o700, 0o600)
    assert (own / ".gitignore").read_text() == "mine\n"
    own.chmod(0o755)
    (own / "state.db").touch(0o644)
    SqliteStore(own / "state.db").create_if_absent("a", "b")
    assert (mode(own), mode(own / "state.db")) == (0o700, 0o600)


def test_the_key_of_fingerprints_is_for_nobody_else(tmp_path):
    """Also one that was made with another mode."""
    file = tmp_path / ".kirikae/survey.key"
    keys = project_key(file)
    file.chmod(0o644)
    assert project_key(file) == keys and mode(file) == 0o600


def test_whoever_makes_a_file_first_wins(tmp_path):
    """The second is told so, and changes nothing."""
    assert create_durably(tmp_path / "x", "one") and not create_durably(tmp_path / "x", "two")
    assert (tmp_path / "x").read_text() == "one" and mode(tmp_path / "x") == 0o600


@contextmanager
def no_more_than(size):
    """No file of this process may be larger: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", [write_durably, create_durably])
def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path, write):
    """Which one, since the system does not say it."""
    with no_more_than(10_000), pytest.raises(OSError) as caught:
        write(tmp_path / "f", b"x" * 20_000)
    assert caught.value.filename == str(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_a_release_that_does_not_fit_on_the_disk_is_told_and_can_be_made_once_it_does(
    tmp_path, monkeypatch
):
    """With its file, and no word of standard output; no half a release is left."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_text(
        "service: shop\nenvironment: test\naccount: '123456789012'\n"
        "fleets: {old: {target_group: a}, new: {cluster: c, ecs_service: b}}\n"
    )
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app").write_bytes(os.urandom(200_000))
    with no_more_than(100_000):
        ran = run("release", "create", "r1", "--from", "code")
    assert ran.exit_code == 3 and "releases/r1.tar.gz: " in ran.stderr, ran
    assert "see to the disk" in ran.stderr and "answer cannot be written" not in ran.stderr
    assert run("release", "create", "r1", "--from", "code").exit_code == 0
