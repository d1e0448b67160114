"""`make clean-rehearsal` beside other checkouts: images of the same names are theirs as well."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/bookshop"))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples/bookshop/rehearsal"))

import images
import rehearse

pytestmark = pytest.mark.engine
NAME = f"kirikae-test-rehearsal-{os.getpid()}"


def engine(*words: str, given: bytes | None = None) -> str:
    done = subprocess.run(["docker", *words], input=given, capture_output=True, check=True)
    return done.stdout.decode().strip()


def imported(tag: str, content: str) -> str:
    """A tiny image; its ID."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("content")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content.encode()))
    return engine("import", "-", f"{NAME}:{tag}", given=out.getvalue())


@pytest.fixture
def ledger(tmp_path) -> Iterator[Path]:
    yield tmp_path / "images.json"
    if names := list(images.there(f"{NAME}:")):
        engine("rmi", "-f", *names)


def test_only_what_this_checkout_made_is_removed(ledger):
    """Neither what was there already nor what somebody else has made anew meanwhile."""
    imported("theirs", "before")
    with images.made(f"{NAME}:", ledger=ledger):
        imported("ours", "one")
        imported("replaced", "two")
    imported("replaced", "made anew by another checkout")
    imported("later", "of another checkout")
    assert images.remove_made(ledger) == [f"{NAME}:ours"]
    left = {name.rpartition(":")[2] for name in images.there(f"{NAME}:")}
    assert left == {"theirs", "replaced", "later"}
    assert not ledger.exists()


def test_the_verb_removes_them_and_the_rehearsal_s_folders(ledger, tmp_path, monkeypatch):
    """`make clean-rehearsal`, where nothing runs any more."""
    for name in ("FOLDER", "OUT"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(rehearse, name, tmp_path / name)
    monkeypatch.setattr(rehearse, "LEDGER", ledger)
    with images.made(f"{NAME}:", ledger=ledger):
        imported("ours", "five")
    rehearse.clean(images=False)
    assert images.there(f"{NAME}:")
    (tmp_path / "OUT" / "report.html").write_text("")
    rehearse.clean(images=True)
    assert not images.there(f"{NAME}:")
    assert not (tmp_path / "OUT").exists() and not (tmp_path / "FOLDER").exists()


def test_what_a_container_is_made_of_stays_and_is_removed_later(ledger):
    """By whomever it was made: it is tried again with the next clean-up."""
    with images.made(f"{NAME}:used", ledger=ledger):
        imported("used", "three")
    container = engine("create", f"{NAME}:used", "/content")
    assert images.remove_made(ledger) == []
    assert list(json.loads(ledger.read_text())) == [f"{NAME}:used"]
    engine("rm", container)
    assert images.remove_made(ledger) == [f"{NAME}:used"]


def test_what_was_made_before_a_failure_is_known(ledger):
    """A rehearsal that is ended in the middle of building leaves its images in the ledger."""
    with pytest.raises(KeyboardInterrupt), images.made(f"{NAME}:", ledger=ledger):
        imported("half", "four")
        raise KeyboardInterrupt
    assert images.remove_made(ledger) == [f"{NAME}:half"]
    assert images.remove_made(ledger) == []
