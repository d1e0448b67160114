"""`scripts/suite`: who runs what, what may be tried once more, and that it is tried for real."""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
REAL = "tests/e2e/test_dns.py::test_a_move_by_dns"


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    loader = SourceFileLoader("suite", str(ROOT / "scripts/suite"))
    spec = spec_from_loader("suite", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules["suite"] = module  # where dataclasses look for it
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("codes", "failed", "may"),
    [
        ([0, 1], [REAL], True),
        ([1, 1], [REAL, "tests/crash/test_local.py::test_a"], True),
        ([0, 0], [], False),
        ([0, 1], [], False),
        ([0, 2], [REAL], False),
        ([0, 1], [REAL] * 3, False),
        ([0, 1], ["tests/unit/test_judge.py::test_a"], False),
        ([0, 1], [REAL, "tests/unit/test_judge.py::test_a"], False),
    ],
)
def test_only_one_or_two_with_real_processes_are_tried_again(suite, codes, failed, may):
    assert suite.may_try_again(codes, failed) is may


def test_every_test_is_run_by_one_session(suite):
    """The rest is whatever no other session has."""
    for path in sorted(ROOT.glob("tests/**/test_*.py")):
        name = str(path.relative_to(ROOT))
        has = [own for own in suite.BESIDE.values() if any(map(name.startswith, own))]
        left = [word.removeprefix("--ignore=") for word in suite.THE_REST[1:]]
        assert len(has) == any(map(name.startswith, left)), name
    assert all((ROOT / path).exists() for own in suite.BESIDE.values() for path in own)


@pytest.mark.parametrize(
    ("free", "flag", "fits"),
    [(1 << 30, 0, True), ((1 << 20), 0, False), (1 << 30, os.ST_NOEXEC, False)],
)
def test_memory_is_written_to_where_it_is_enough_and_runs_programs(
    suite, tmp_path, monkeypatch, free, flag, fits
):
    """Elsewhere the disk, and where there is no such folder."""
    told = SimpleNamespace(f_bavail=free, f_frsize=4096, f_flag=flag)
    monkeypatch.setattr(suite, "IN_MEMORY", tmp_path)
    monkeypatch.setattr(suite.os, "statvfs", lambda _: told)
    assert suite.memory_for_files() == (tmp_path if fits else None)
    monkeypatch.undo()
    monkeypatch.setattr(suite, "IN_MEMORY", tmp_path / "nowhere")
    assert suite.memory_for_files() is None


@pytest.mark.parametrize(("body", "code"), [("assert True", 0), ("assert False", 1)])
def test_what_failed_is_known_by_name_and_fails_again_when_it_fails(
    suite, tmp_path, monkeypatch, capfd, body, code
):
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite.sys, "argv", ["suite"])
    monkeypatch.setattr(suite, "PYTEST", [suite.sys.executable, "-m", "pytest", "-q"])
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text("def test_a(): assert False\ndef test_b(): pass\n")
    session = suite.begin(("test_it.py",), None, tmp_path / "memory")
    assert session.process.wait() == suite.FAILED
    assert session.failed() == ["test_it.py::test_a"]
    (tmp_path / "test_it.py").write_text(f"def test_a(): {body}\n")
    assert suite.again(session.failed(), tmp_path / "again") == code
    assert ("PASSED ONLY ALONE" in capfd.readouterr().out) is (code == 0)
