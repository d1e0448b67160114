"""nginx's configuration as one text: what its main file says of HTTP, with the files that somebody
wrote in the places where they are included."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from kirikae.model.bundle import Bundle, Line, Text
from kirikae.survey.known import matches

SERVER = re.compile(r"\s*server\s*\{")
_HTTP = re.compile(r"\s*http\s*\{")
_INCLUDE = re.compile(r"^(\s*)include\s+([^;]+);")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_AT_MOST = 10
"""Includes within includes."""


def http_lines(
    bundle: Bundle,
    texts: Mapping[str, Text],
    main: str,
    own: Collection[str],
) -> Iterator[Line]:
    """The lines between the braces of ``http``; a file that a package brings as it is stays an
    include.  Without a readable main file: all virtual hosts."""
    text = texts.get(main)
    if text is None:
        for other in texts.values():
            yield from _expanded(bundle, texts, other, own, 0)
        return
    depth = 0
    inside = False
    for line in text.numbered():
        before = depth
        depth += _depth(line.text)
        if not inside:
            inside = before == 0 and _HTTP.match(line.text) is not None
            continue
        if depth < 1:
            return
        if main not in own and line.text.strip()[:1] in ("", "#"):
            continue
        yield from _with_included(bundle, texts, line, own, 0)


def _depth(line: str) -> int:
    """How many braces it opens, and does not close."""
    said = _QUOTED.sub("", line).partition("#")[0]
    return said.count("{") - said.count("}")


def _expanded(
    bundle: Bundle,
    texts: Mapping[str, Text],
    text: Text,
    own: Collection[str],
    deep: int,
) -> Iterator[Line]:
    for line in text.numbered():
        yield from _with_included(bundle, texts, line, own, deep)


def _with_included(
    bundle: Bundle,
    texts: Mapping[str, Text],
    line: Line,
    own: Collection[str],
    deep: int,
) -> Iterator[Line]:
    """The line itself, unless it includes files of somebody's or several."""
    match = _INCLUDE.match(line.text)
    if match is None or deep >= _AT_MOST:
        yield line
        return
    named = _named(bundle, match[2])
    known = [found for name in named if (found := texts.get(bundle.resolve(name))) is not None]
    if not known:
        # Of a pattern, nothing lies there; of a name, its package brings it.
        if "*" not in match[2]:
            yield line
        return
    for text in known:
        if text.path in own or "*" in match[2]:
            yield from _expanded(bundle, texts, text, own, deep + 1)
        else:
            yield line


def _named(bundle: Bundle, said: str) -> list[str]:
    """The files that an include names; its stars reach no further than one folder."""
    pattern = said.strip().strip("\"'")
    if not pattern.startswith("/"):
        pattern = f"/etc/nginx/{pattern}"
    depth = pattern.count("/")
    every = {*bundle.links, *bundle.by_path}
    return sorted(name for name in every if name.count("/") == depth and matches(name, [pattern]))
