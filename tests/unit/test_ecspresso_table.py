"""The table of docs/reference/ecspresso.md is true: every test that it names is there, and what has
no test is said not to be there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/ecspresso.md"
ITEMS = range(1, 35)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows():
    """(number, tests, what is not there or otherwise) of each line."""
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1].isdecimal():
            yield int(cells[1]), NAMED.findall(cells[3]), cells[4]


def test_every_item_has_its_line():
    assert [number for number, _, _ in rows()] == [*ITEMS]


@pytest.mark.parametrize(("number", "tests", "otherwise"), [*rows()])
def test_the_tests_of_an_item_are_there(number, tests, otherwise):
    assert tests or otherwise.startswith("not there"), number
    for file, name in tests:
        path = ROOT / (file if "/" in file else f"tests/unit/{file}")
        tree = ast.parse(path.read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
            f"{file}::{name}"
        )
