"""nginx's configuration as one text: what its main file says of HTTP, with the files that somebody
wrote in the places where they are included."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

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
    for line in statements(text):
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


_TOKEN = re.compile(
    r"""\s+|\#.*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[;{}]|(?:\\.|\$\{[^}]*\}|[^\s;{\\])+|\\$"""
)
"""nginx's own: a quote, a remark and a closing brace are such where a word could begin."""
_LUA = re.compile(r"_by_lua_block\s*\{")


def statements(text: Text) -> Iterator[Line]:
    """Its lines, one directive each: whoever wrote several into one line meant the same.  Lua, and
    words that go on over lines, are left as they are."""
    inside_lua = 0
    quote = ""
    for line in text.numbered():
        if inside_lua or _LUA.search(line.text):
            inside_lua += _depth(line.text)
            yield line
            continue
        rest = _after_the_quote(line.text, quote)
        tokens = _TOKEN.findall(rest or "")
        whole = not quote
        if rest is not None:
            quote = next((token[0] for token in tokens if _is_open(token)), "")
        yield from _apart(line, tokens) if whole and not quote else [line]


def _after_the_quote(line: str, quote: str) -> str | None:
    """What stands behind the end of a quoted word that began before; None: it goes on."""
    if not quote:
        return line
    end = re.match(rf"(?:\\.|[^{quote}\\])*{quote}", line)
    return line[end.end() :] if end is not None else None


def _is_open(token: str) -> bool:
    """A quoted word without its end."""
    return token[0] in "\"'" and (len(token) == 1 or token[-1] != token[0])


def _apart(line: Line, tokens: Sequence[str]) -> Iterator[Line]:
    parts = list(_directives(tokens))
    if sum(not part.startswith("#") for part in parts) < 2:
        yield line
        return
    indent = line.text[: len(line.text) - len(line.text.lstrip())]
    deep = 0
    for part in parts:
        deep -= part == "}"
        yield Line(line.path, line.number, f"{indent}{'    ' * max(0, deep)}{part}")
        deep += part.endswith("{") and not part.startswith("#")


def _directives(tokens: Sequence[str]) -> Iterator[str]:
    said = ""
    for token in tokens:
        if token == "}" or token.startswith("#"):
            yield from filter(None, (said.strip(), token))
            said = ""
        elif token in (";", "{"):
            yield said.strip() + (" {" if token == "{" else ";")
            said = ""
        else:
            said += token
    if said.strip():
        yield said.strip()


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
    for line in statements(text):
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
