"""Which configuration files the web servers of a host read: nginx.conf and its like, and what they
include."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from kirikae.model.bundle import Bundle, Text
from kirikae.survey.known import matches


class _Server(NamedTuple):
    """Where a server begins to read, and how it names what it reads besides."""

    name: str
    folder: str
    first: str
    include: re.Pattern[str]


_NGINX = re.compile(r"(?:^|[;{])\s*include\s+([^;]+);")
_APACHE = re.compile(r"^\s*Include(?:Optional)?\s+(\S+)")
_SERVERS = (
    _Server(
        "nginx",
        "/etc/nginx",
        "/etc/nginx/nginx.conf",
        _NGINX,
    ),
    _Server(
        "apache2",
        "/etc/apache2",
        "/etc/apache2/apache2.conf",
        _APACHE,
    ),
    _Server(
        "httpd",
        "/etc/httpd",
        "/etc/httpd/conf/httpd.conf",
        _APACHE,
    ),
)


def live_texts(bundle: Bundle, names: Collection[str]) -> Iterator[Text]:
    """The live configuration of the servers of these names."""
    for server in _SERVERS:
        if server.name in names:
            yield from _included(
                bundle,
                server,
                server.first,
                set(),
            )


def _included(
    bundle: Bundle,
    server: _Server,
    path: str,
    seen: set[str],
) -> Iterator[Text]:
    """A file and all that it includes; each once, so that a circle ends."""
    text = bundle.text(path)
    if text is None or text.path in seen:
        return
    seen.add(text.path)
    yield text
    for line in text.live():
        for said in server.include.findall(line.text):
            for name in _named(bundle, server, said):
                yield from _included(
                    bundle,
                    server,
                    name,
                    seen,
                )


def _named(
    bundle: Bundle,
    server: _Server,
    said: str,
) -> list[str]:
    """The files that an include names; its stars reach no further than one folder."""
    pattern = said.strip().strip("\"'")
    if not pattern.startswith("/"):
        pattern = f"{server.folder}/{pattern}"
    depth = pattern.count("/")
    found = []
    for name in {*bundle.links, *bundle.by_path}:
        if name.count("/") == depth and matches(name, [pattern]):
            found.append(name)
    return sorted(found)
