"""Draw the rooms of the house, and who imports whom, from the code itself.

The rows are the layers of ``pyproject.toml``; the arrows are the imports of ``src/kirikae``.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOUSE = "kirikae"
SOURCE = ROOT / "src" / HOUSE
DOORS = ("http", "sqlite3", "subprocess")
"""Of Python's own modules those through which a room reaches outside."""

WIDTH = 168
GAP = 34
MARGIN = 34
BAR_HEIGHT = 66
BOX_HEIGHT = 142
ROW_GAP = 74
TOP = 34
LINE = 15
COLUMNS = 25
INK = "#1d2330"
GREY = "#6b7280"
PALE = "#c3c8d1"
BLUE = "#2a7de1"
FILLS = ("#fff4e0", "#e8f1fd", "#e6f5ec", "#f1eefb")


@dataclass(frozen=True)
class Room:
    """``imports``: other rooms.  ``uses``: packages from outside, and doors of Python's own."""

    name: str
    gist: str
    imports: frozenset[str]
    uses: tuple[str, ...]


def layers() -> list[list[str]]:
    """The rooms that are there, from the top row down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    stacked = next(each for each in contracts if each["type"] == "layers")
    rows = [re.findall(r"\w+", row) for row in stacked["layers"]]
    return [[name for name in row if (SOURCE / name).is_dir()] for row in rows]


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports when it runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not _only_for_types(node):
            yield from imported(node)


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def room_of(name: str) -> Room:
    rooms: set[str] = set()
    uses: set[str] = set()
    for file in (SOURCE / name).rglob("*.py"):
        for module in imported(ast.parse(file.read_text(encoding="utf-8"))):
            first, _, rest = module.partition(".")
            if first == HOUSE:
                rooms.add(rest.partition(".")[0])
            elif first in DOORS or first not in sys.stdlib_module_names:
                uses.add(first)
    package = ast.parse((SOURCE / name / "__init__.py").read_text(encoding="utf-8"))
    gist = " ".join((ast.get_docstring(package) or "").split()).partition(". ")[0].rstrip(".")
    inside = {each.name for each in SOURCE.iterdir() if each.is_dir()}
    return Room(name, gist, frozenset(rooms & inside - {name}), tuple(sorted(uses)))


@dataclass(frozen=True)
class Box:
    """One room on the page; ``x`` is its middle."""

    room: Room
    x: float
    y: float
    width: float
    height: float
    fill: str

    @property
    def bottom(self) -> float:
        return self.y + self.height


def drawing() -> str:
    """The picture as SVG."""
    top, siblings, helpers, bottom = layers()
    page_width = 2 * MARGIN + len(siblings) * WIDTH + (len(siblings) - 1) * GAP
    boxes: dict[str, Box] = {}

    def bar(name: str, y: float, fill: str) -> None:
        boxes[name] = Box(room_of(name), page_width / 2, y, page_width - 8, BAR_HEIGHT, fill)

    y_siblings = TOP + BAR_HEIGHT + ROW_GAP / 2
    y_helpers = y_siblings + BOX_HEIGHT + ROW_GAP
    y_bottom = y_helpers + BOX_HEIGHT + ROW_GAP / 2
    bar(top[0], TOP, FILLS[0])
    bar(bottom[0], y_bottom, FILLS[3])
    for column, name in enumerate(siblings):
        x = MARGIN + WIDTH / 2 + column * (WIDTH + GAP)
        boxes[name] = Box(room_of(name), x, y_siblings, WIDTH, BOX_HEIGHT, FILLS[1])
    rooms = {name: boxes[name].room for name in siblings}
    for name, column in _columns(helpers, rooms).items():
        x = MARGIN + WIDTH / 2 + (column + 0.5) * (WIDTH + GAP)
        boxes[name] = Box(room_of(name), x, y_helpers, WIDTH, BOX_HEIGHT, FILLS[2])
    arrows = [
        _arrow(boxes, box, boxes[other])
        for box in boxes.values()
        for other in sorted(box.room.imports & boxes.keys())
    ]
    height = y_bottom + BAR_HEIGHT + 12
    arrows.sort(key=lambda arrow: (BLUE in arrow, arrow))
    parts = [_head(page_width, height), *arrows, *map(_shown, boxes.values()), "</svg>\n"]
    return "\n".join(parts)


def _columns(helpers: list[str], siblings: dict[str, Room]) -> dict[str, int]:
    """Each helper stands in a gap between two siblings, near to those who import it."""

    def middle(name: str) -> float:
        users = [n for n, room in enumerate(siblings.values()) if name in room.imports]
        return sum(users) / len(users) if users else 0.0

    found: dict[str, int] = {}
    free = 0
    for name in sorted(helpers, key=lambda each: (middle(each), each)):
        found[name] = max(free, int(middle(name)))
        free = found[name] + 1
    return found


def _arrow(boxes: dict[str, Box], user: Box, used: Box) -> str:
    """Straight down where one of both is as wide as the page, else a curve."""
    wide = max(box.width for box in boxes.values())
    end = used.y - 7
    if user.width == wide and used.width == wide:
        x = MARGIN / 2 + 4
        return _path(f"M{x:.0f},{user.bottom:.0f} V{end:.0f}", PALE)
    if user.width == wide:
        return _path(f"M{used.x:.0f},{user.bottom:.0f} V{end:.0f}", PALE)
    if used.width == wide:
        return _path(f"M{user.x:.0f},{user.bottom:.0f} V{end:.0f}", PALE)
    apart = 9 * (used.x - user.x) / WIDTH
    start = f"{user.x + apart:.0f}"
    target = f"{used.x - apart:.0f}"
    middle = f"{(user.bottom + end) / 2:.0f}"
    curve = f"C{start},{middle} {target},{middle} {target},{end:.0f}"
    return _path(f"M{start},{user.bottom:.0f} {curve}", BLUE)


def _path(path: str, colour: str) -> str:
    end = "blue" if colour == BLUE else "pale"
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" '
        f'marker-end="url(#{end})"/>'
    )


def _head(width: float, height: float) -> str:
    markers = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="6" '
        f'markerHeight="6" orient="auto"><path d="M0,0 L8,4 L0,8 Z" fill="{colour}"/></marker>'
        for name, colour in (("blue", BLUE), ("pale", PALE))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="DejaVu Sans,system-ui,sans-serif" font-size="11">\n'
        "<!-- written by docs/generate.py; do not edit -->\n"
        f"<defs>{markers}</defs>\n"
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>\n'
        f'<text x="6" y="20" fill="{GREY}">An arrow leads from a room to one that it imports. '
        "In grey: what a room takes from outside.</text>"
    )


def _shown(box: Box) -> str:
    columns = int(box.width / WIDTH * COLUMNS)
    lines = textwrap.wrap(box.room.gist, columns)
    left = box.x - box.width / 2
    parts = [
        f'<rect x="{left:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" '
        f'height="{box.height:.0f}" rx="6" fill="{box.fill}" stroke="{PALE}"/>',
        _text(left, box.y + 18, box.room.name, INK, 'font-weight="bold" font-size="13"'),
    ]
    for number, line in enumerate(lines):
        parts.append(_text(left, box.y + 36 + LINE * number, line, INK))
    uses = textwrap.wrap(", ".join(box.room.uses), columns)
    for number, line in enumerate(uses):
        y = box.bottom - 8 - 13 * (len(uses) - 1 - number)
        parts.append(_text(left, y, line, GREY, 'font-size="10"'))
    return "\n".join(parts)


def _text(left: float, y: float, words: str, colour: str, more: str = "") -> str:
    return f'<text x="{left + 9:.0f}" y="{y:.0f}" fill="{colour}" {more}>{escape(words)}</text>'
