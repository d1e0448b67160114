"""Each room draws its errors: the drawn tree is the tree."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import kirikae
from kirikae.model.errors import Exit, KirikaeError

ROOMS = [m.name for m in pkgutil.iter_modules(kirikae.__path__) if m.ispkg]
ROW = re.compile(r"^(?P<lines>[│├└─ ]*)(?P<name>[A-Z]\w+)(?:\s+(?P<exit>\d)\s+\S.*)?$")


def modules(room: str) -> list[str]:
    package = importlib.import_module(f"kirikae.{room}")
    found = pkgutil.walk_packages(package.__path__, f"kirikae.{room}.")
    return [m.name for m in found]


def classes(room: str) -> dict[str, type[BaseException]]:
    """The error classes that a room defines, wherever."""
    found = {}
    for name in modules(room):
        module = importlib.import_module(name)
        for label, thing in vars(module).items():
            mine = inspect.isclass(thing) and thing.__module__ == name
            if mine and issubclass(thing, Exception):
                found[label] = thing
    return found


def drawn(room: str) -> list[tuple[str, str | None, int | None]]:
    """(name, name of the one above, exit code where one is given)."""
    text = importlib.import_module(f"kirikae.{room}.errors").__doc__ or ""
    rows = []
    above: list[str] = []
    for line in text.splitlines():
        row = ROW.match(line)
        if row is None or not (rows or row["name"] == "KirikaeError"):
            continue
        depth = len(row["lines"]) // 4
        above = [*above[:depth], row["name"]]
        parent = above[depth - 1] if depth else None
        rows.append((row["name"], parent, int(row["exit"]) if row["exit"] else None))
    return rows


def has_errors(room: str) -> bool:
    return (Path(kirikae.__path__[0]) / room / "errors.py").exists() or bool(classes(room))


@pytest.mark.parametrize("room", [room for room in ROOMS if has_errors(room)])
def test_the_drawn_tree_is_the_tree(room):
    """Every class of the room stands in it, under its base, with its exit code."""
    mine = classes(room)
    errors = importlib.import_module(f"kirikae.{room}.errors")
    elsewhere = [n for n, c in mine.items() if c.__module__ != errors.__name__]
    assert not elsewhere, f"{elsewhere} belong into {room}/errors.py"
    rows = drawn(room)
    names = [name for name, _, _ in rows]
    assert {name for name in mine if issubclass(mine[name], KirikaeError)} <= set(names)
    everywhere = {c.__name__: c for r in ROOMS if has_errors(r) for c in classes(r).values()}
    for name, parent, code in rows:
        assert name in everywhere, f"{room} draws {name}, which does not exist"
        found = everywhere[name]
        if parent is not None:
            assert parent in [base.__name__ for base in found.__mro__[1:]], (name, parent)
        if code is not None:
            assert found.exit == Exit(code), (name, code)
