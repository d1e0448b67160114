"""Whom the workers of a server run as, by its configuration: its master is root's, and where
nothing runs no process tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kirikae.model.bundle import Bundle
from kirikae.survey.services import Service


class _Server(NamedTuple):
    """Names of its services, where its configuration lies, and the line that names the user."""

    name: re.Pattern[str]
    place: re.Pattern[str]
    user: re.Pattern[str]


_SERVERS = (
    _Server(
        re.compile(r"nginx"),
        re.compile(r"/nginx\.conf$"),
        re.compile(r"^\s*user\s+([\w.-]+)"),
    ),
    _Server(
        re.compile(r"apache2|httpd"),
        re.compile(r"/(apache2|httpd)/"),
        re.compile(r"^\s*(?:User|export\s+APACHE_RUN_USER=)[\s\"']*([\w.-]+)", re.IGNORECASE),
    ),
    _Server(
        re.compile(r"php.*fpm"),
        re.compile(r"/(pool\.d|php-fpm\.d)/|php-fpm\.conf$"),
        re.compile(r"^\s*user\s*=\s*([\w.-]+)"),
    ),
    _Server(
        re.compile(r"supervisor"),
        re.compile(r"supervisor"),
        re.compile(r"^\s*user\s*=\s*([\w.-]+)"),
    ),
    _Server(
        re.compile(r"uwsgi"),
        re.compile(r"uwsgi"),
        re.compile(r"^\s*uid\s*[=:]\s*([\w.-]+)"),
    ),
)


def workers_of(bundle: Bundle, service: Service) -> Iterator[str]:
    """Names or numbers of users; one that the host does not have may be among them."""
    for server in _SERVERS:
        if not server.name.match(service.name):
            continue
        for text in bundle.texts:
            if not server.place.search(text.path):
                continue
            for line in text.live():
                match = server.user.match(line.text)
                if match is not None:
                    yield match[1]
