"""How Go's ``fmt`` shows values: texts, numbers, truth values, lists and maps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

NO_VALUE = "<no value>"
_EXPONENT_FROM = 6
"""Go writes an exponent from here on (strconv, FormatFloat with `g` and -1)."""


def printed(value: Any) -> str:
    """What an action prints."""
    return NO_VALUE if value is None else shown(value)


def shown(value: Any) -> str:
    """``%v``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return _float(value)
        case Mapping():
            inner = " ".join(f"{shown(key)}:{shown(value[key])}" for key in sorted(value))
            return f"map[{inner}]"
        case list() | tuple():
            return "[" + " ".join(shown(each) for each in value) + "]"
        case _:
            return str(value)


def _float(value: float) -> str:
    """``%v`` of a float64: the shortest digits, with an exponent below -4 and from 6 on."""
    if math.isnan(value) or math.isinf(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    digits = Decimal(repr(value)).normalize()
    exponent = digits.adjusted()
    if -4 <= exponent < _EXPONENT_FROM:
        return f"{digits:f}"
    sign, figures, _ = digits.as_tuple()
    text = "".join(map(str, figures))
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{fraction}e{exponent:+03d}"


def sprint(values: Iterable[Any]) -> str:
    """Blanks only between operands of which neither is a string."""
    text = ""
    former: Any = ""
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(former, str):
            text += " "
        text += shown(value)
        former = value
    return text


def sprintln(values: Iterable[Any]) -> str:
    return " ".join(shown(value) for value in values) + "\n"


_VERB = re.compile(r"%(?:%|([-+# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(.)|$)", re.S)
_MOST_WIDE = 1_000_000


def sprintf(template: str, values: Sequence[Any]) -> str:
    """The verbs of Go's ``fmt``; what does not fit is shown as Go does, such as
    ``%!d(string=x)``."""
    left = list(values)

    def filled(verb: re.Match[str]) -> str:
        if verb[0] == "%%":
            return "%"
        if verb[4] is None:
            return "%!(NOVERB)"
        width = _size(verb[2], left)
        precision = _size(verb[3], left)
        if not left:
            return f"%!{verb[4]}(MISSING)"
        text = _with_verb(
            verb[4],
            verb[1],
            precision,
            left.pop(0),
        )
        return _padded(
            text,
            verb[1],
            width,
            verb[4],
        )

    text = _VERB.sub(filled, template)
    if left:
        extra = ", ".join(f"{type_of(each)}={shown(each)}" for each in left)
        text += f"%!(EXTRA {extra})"
    return text


def _size(given: str | None, left: list[Any]) -> int | None:
    if given == "*":
        taken = left.pop(0) if left else None
        return min(taken, _MOST_WIDE) if isinstance(taken, int) else None
    if given is None:
        return None
    return min(int(given or 0), _MOST_WIDE)


def _padded(
    text: str,
    flags: str,
    width: int | None,
    verb: str,
) -> str:
    if width is None or len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and verb not in "sqvT":
        sign = text[:1] if text[:1] in ("+", "-") else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _with_verb(
    verb: str,
    flags: str,
    precision: int | None,
    value: Any,
) -> str:
    if verb == "v":
        return shown(value)
    if verb == "T":
        return type_of(value)
    kind = _KIND_OF.get(verb)
    if kind is None or not kind(value):
        return f"%!{verb}({type_of(value)}={shown(value)})"
    return _VERBS[verb](
        value,
        flags,
        precision,
    )


def type_of(value: Any) -> str:
    """Go's name of it."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case Mapping():
            return "map[string]interface {}"
        case list() | tuple():
            return "[]interface {}"
        case _:
            return "string"


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text_or_number(value: Any) -> bool:
    return _is_text(value) or _is_number(value)


def _signed(text: str, flags: str) -> str:
    return f"+{text}" if "+" in flags and not text.startswith("-") else text


def _whole(form: str) -> Callable[[Any, str, int | None], str]:
    def made(value: Any, flags: str, precision: int | None) -> str:
        digits = format(abs(value), form).rjust(precision or 0, "0")
        return _signed(("-" if value < 0 else "") + digits, flags)

    return made


def _fraction(form: str) -> Callable[[Any, str, int | None], str]:
    def made(value: Any, flags: str, precision: int | None) -> str:
        if form == "g" and precision is None:
            return _signed(_float(value), flags)
        return _signed(format(value, f".{6 if precision is None else precision}{form}"), flags)

    return made


def _text(value: Any, _: str, precision: int | None) -> str:
    return str(value) if precision is None else str(value)[:precision]


def _quoted(value: Any, _: str, __: int | None) -> str:
    if isinstance(value, int):
        return f"'{chr(value)}'"
    return go_quoted(value)


def _hexadecimal(value: Any, flags: str, precision: int | None) -> str:
    if isinstance(value, str):
        return value.encode().hex()
    return _whole("x")(
        value,
        flags,
        precision,
    )


def go_quoted(text: str) -> str:
    """``strconv.Quote``."""
    return '"' + "".join(_escaped(each) for each in text) + '"'


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
}


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\u{ord(character):04x}"


_VERBS: Mapping[str, Callable[[Any, str, int | None], str]] = {
    "d": _whole("d"),
    "x": _hexadecimal,
    "X": lambda value, flags, precision: _hexadecimal(
        value,
        flags,
        precision,
    ).upper(),
    "o": _whole("o"),
    "b": _whole("b"),
    "c": lambda value, _, __: chr(value),
    "f": _fraction("f"),
    "e": _fraction("e"),
    "g": _fraction("g"),
    "s": _text,
    "q": _quoted,
    "t": lambda value, _, __: shown(value),
}
_KIND_OF: Mapping[str, Callable[[Any], bool]] = {
    "d": _is_number,
    "x": _is_text_or_number,
    "X": _is_text_or_number,
    "o": _is_number,
    "b": _is_number,
    "c": _is_number,
    "f": _is_float,
    "e": _is_float,
    "g": _is_float,
    "s": _is_text,
    "q": _is_text_or_number,
    "t": _is_truth,
}
