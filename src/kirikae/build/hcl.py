"""Values as HCL writes them (HCL native syntax specification), laid out as ``terraform fmt`` does.

Whatever a host or a project file says is text here, never a template: ``${`` and ``%{`` are
escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

_STEP = "  "
_NARROW = 80
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NOT_IN_A_LABEL = re.compile(r"[^A-Za-z0-9_-]+")
_SHORT = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_BEYOND_16_BITS = 0xFFFF


class Raw(str):
    """An expression, such as ``aws_lb.main.arn``: it is written as it is."""

    __slots__ = ()


def hcl(value: object, depth: int = 0) -> str:
    """A literal.  ``depth``: how many steps the line that it begins on is indented by."""
    match value:
        case Raw():
            return str(value)
        case str():
            return quoted(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case None:
            return "null"
        case Mapping():
            return _object(value, depth)
        case Sequence():
            return _list(value, depth)
    raise TypeError(f"{type(value).__name__} has no form in HCL")


def quoted(text: str) -> str:
    """A template that is nothing but this text."""
    doubled = text.replace("${", "$${").replace("%{", "%%{")
    return '"' + "".join(_character(each) for each in doubled) + '"'


def _character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\U{number:08x}" if number > _BEYOND_16_BITS else f"\\u{number:04x}"


def label(name: str) -> str:
    """A name of a resource inside the files, from any other."""
    plain = _NOT_IN_A_LABEL.sub("-", name).strip("-")
    return plain if _WORD.fullmatch(plain) else f"_{plain}"


def _list(values: Sequence[object], depth: int) -> str:
    written = [hcl(each, depth + 1) for each in values]
    line = f"[{', '.join(written)}]"
    plain = not any("\n" in each for each in written)
    if plain and (len(written) < 2 or len(line) + depth * len(_STEP) <= _NARROW):
        return line
    inner = _STEP * (depth + 1)
    return "[\n" + "".join(f"{inner}{each},\n" for each in written) + _STEP * depth + "]"


def _object(rows: Mapping[str, object], depth: int) -> str:
    if not rows:
        return "{}"
    pairs = [(_key(name), hcl(value, depth + 1)) for name, value in rows.items()]
    return "{\n" + "".join(_aligned(pairs, _STEP * (depth + 1))) + _STEP * depth + "}"


def _key(name: str) -> str:
    return name if _WORD.fullmatch(name) else quoted(name)


def _aligned(pairs: Sequence[tuple[str, str]], inner: str) -> Iterator[str]:
    """Values of one line stand below each other as long as no longer one stands between them."""
    run: list[tuple[str, str]] = []
    for name, value in pairs:
        if "\n" in value:
            yield from _padded(run, inner)
            run = []
            yield f"{inner}{name} = {value}\n"
        else:
            run.append((name, value))
    yield from _padded(run, inner)


def _padded(run: Sequence[tuple[str, str]], inner: str) -> Iterator[str]:
    width = max((len(name) for name, _ in run), default=0)
    for name, value in run:
        yield f"{inner}{name.ljust(width)} = {value}\n"
