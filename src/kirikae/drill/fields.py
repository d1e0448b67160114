"""An answer of a service as a tree of named fields: status, headers, cookies and the body.

A body that is JSON is its own tree, HTML becomes texts and attributes by their place, text becomes
lines, and of anything else length and digest are compared.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

Tree = Any
"""Mappings, lists and plain values, as JSON has them; a tuple is the lines of a text."""
_UNTOLD = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "transfer-encoding",
    }
)
"""They speak of the connection, of this moment, or follow from the body."""
_VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ],
)
_DEEPEST = 6
"""So many tags name a place of a page; what is unclosed would else go on and on."""
MOST_LINES = 5_000
MOST_OCTETS = 16 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.  ``status``: None where no whole answer did, and ``error`` says why."""

    status: int | None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    error: str = ""


def tree_of(reply: Reply) -> Tree:
    """All that is compared of an answer."""
    return {
        "status": reply.status,
        "header": dict(_headers(reply.headers)),
        "body": _body(reply),
    }


def _headers(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Tree]]:
    cookies: dict[str, Tree] = {}
    plain: dict[str, list[str]] = {}
    for name, value in headers:
        lower = name.lower()
        if lower == "set-cookie":
            cookies.update([_cookie(value)])
        elif lower not in _UNTOLD:
            plain.setdefault(lower, []).append(value.strip())
    for name, values in plain.items():
        yield name, ", ".join(values)
    if "content-type" in plain:
        yield "content-type", _content_type(plain["content-type"][0])
    if cookies:
        yield "set-cookie", cookies


def _cookie(text: str) -> tuple[str, Tree]:
    """Value and flags apart: values are noise, a lost ``Secure`` is none."""
    first, *attributes = [part.strip() for part in text.split(";")]
    name, _, value = first.partition("=")
    flags = {}
    for attribute in attributes:
        flag, _, set_to = attribute.partition("=")
        flags[flag.strip().lower()] = set_to.strip()
    return name.strip(), {"value": value, "flags": flags}


def _content_type(text: str) -> Tree:
    kind, *parameters = [part.strip() for part in text.split(";")]
    named = dict(part.split("=", 1) for part in parameters if "=" in part)
    charset = {key.lower(): value for key, value in named.items()}.get("charset", "")
    return {"type": kind.lower(), "charset": charset.strip('"').lower()}


def _body(reply: Reply) -> Tree:
    named: Mapping[str, str] = {name.lower(): value for name, value in reply.headers}
    kind = named.get("content-type", "").lower()
    raw = _unpacked(reply.body, named.get("content-encoding", ""))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"octets": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    if "json" in kind or text[:1] in ("{", "["):
        try:
            return json.loads(text, parse_constant=str)
        except (ValueError, RecursionError):
            return _lines(text)
    return _page(text) if "html" in kind else _lines(text)


def _unpacked(raw: bytes, encoding: str) -> bytes:
    """As it is, where it cannot be unpacked: then it is compared as it is."""
    if encoding.lower() not in ("gzip", "x-gzip"):
        return raw
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw, MOST_OCTETS)
    except zlib.error:
        return raw


def _lines(text: str) -> Tree:
    lines = text.splitlines()
    return (*lines[:MOST_LINES], *lines[MOST_LINES:][-1:])


def _page(text: str) -> Tree:
    page = _Page()
    page.feed(text)
    page.close()
    return page.found


class _Page(HTMLParser):
    """Texts and attributes by their place, in the order in which they stand there."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self._open: list[tuple[str, str]] = []

    def handle_starttag(
        self,
        tag: str,
        attrs: list[tuple[str, str | None]],
    ) -> None:
        named = dict(attrs)
        name = named.get("name") or named.get("id") or named.get("property")
        step = tag if name is None else f"{tag}#{re.sub(r'[0-9]+', '{}', name)}"
        place = self._place(step)
        self._keep(place, "")
        for attribute, value in attrs:
            self._keep(f"{place}@{attribute}", value or "")
        if tag not in _VOID:
            self._open.append((tag, step))

    def handle_endtag(self, tag: str) -> None:
        """Closes what is open since; an end of nothing is nothing."""
        tags = [each for each, _ in self._open]
        if tag in tags:
            last = len(tags) - 1 - tags[::-1].index(tag)
            del self._open[last:]

    def handle_data(self, data: str) -> None:
        words = " ".join(data.split())
        if words:
            self._keep(f"{self._place()}/text", words)

    def _place(self, *more: str) -> str:
        steps = [step for _, step in self._open]
        return "/".join([*steps, *more][-_DEEPEST:])

    def _keep(
        self,
        place: str,
        value: str,
    ) -> None:
        self.found.setdefault(place, []).append(value)
