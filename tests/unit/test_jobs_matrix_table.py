"""The table of docs/explanation/jobs.md that says which test holds which row of the fault matrix is
true: it names all of them, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/jobs.md"
REAL = "tests/crash"
"""Real processes, and signals to them; all others call the same code in the test's process."""
VALUES = ("tests/unit", "tests/contract")
ROWS = range(1, 29)


@cache
def _tests(folder: str) -> tuple[tuple[int, str], ...]:
    """(row, `file::test`) of every test that is named after rows."""
    return tuple(_read(folder))


def _read(folder: str) -> Iterator[tuple[int, str]]:
    for path in sorted((ROOT / folder).glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                named = re.match(r"test_rows?_((?:(?:\d+|and)_)+)", node.name)
                for row in re.findall(r"\d+", named[1] if named else ""):
                    yield int(row), f"`{path.name}::{node.name}`"


def _cell(row: int, *folders: str) -> str:
    found = [test for folder in folders for at, test in _tests(folder) if at == row]
    return "<br>".join(found)


def lines() -> list[str]:
    """As the page must have them; `python -m tests.unit.test_jobs_matrix_table` prints them."""
    return [f"| {row} | {_cell(row, REAL)} | {_cell(row, *VALUES)} |" for row in ROWS]


def test_the_page_names_the_tests_that_there_are():
    """Of each row; a test that is renamed, added or removed needs its place here."""
    page = PAGE.read_text("utf-8").splitlines()
    begin = page.index("| # | real | in process |") + 2
    assert page[begin : begin + len(ROWS)] == lines()


def test_every_row_is_held_by_real_processes():
    """And by the code itself where that is a table of values."""
    real = {row for row, _ in _tests(REAL)}
    assert real == set(ROWS)


if __name__ == "__main__":
    print("\n".join(lines()))
