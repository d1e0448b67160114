"""Files of variables (``--envfile``): ``NAME=value`` a line, as ecspresso reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from kirikae.release.ecs.reading import text_of
from kirikae.release.errors import DefinitionProblem

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
}


def variables(files: Iterable[Path]) -> dict[str, str]:
    """Later files win.  Raises DefinitionProblem."""
    found: dict[str, str] = {}
    for file in files:
        for number, line in enumerate(text_of(file).splitlines(), 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            pair = _LINE.fullmatch(text)
            if pair is None:
                raise DefinitionProblem(f"{file}:{number}: no variable; write NAME=value")
            found[pair[1]] = _value(pair[2], f"{file}:{number}")
    return found


def _value(text: str, place: str) -> str:
    """In single quotes as it stands, in double quotes with escapes, else up to a comment."""
    quote = text[:1]
    if quote not in ("'", '"'):
        return re.split(
            r"\s+#",
            text,
            maxsplit=1,
        )[0].strip()
    pattern = r"'([^']*)'" if quote == "'" else r'"((?:\\.|[^"\\])*)"'
    found = re.match(rf"{pattern}\s*(?:#.*)?$", text)
    if found is None:
        raise DefinitionProblem(f"{place}: the quote is not closed")
    if quote == "'":
        return found[1]
    return re.sub(
        r"\\(.)",
        lambda escape: _ESCAPES.get(escape[1], escape[1]),
        found[1],
    )
