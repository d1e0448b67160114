"""The web server in front of the service, and the virtual host that can be carried over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kirikae.model.bundle import MASKED, Package, Text
from kirikae.model.workload import WebServer
from kirikae.survey.view import View

_PROGRAM = "/usr/sbin/nginx"
_FLAVOURS = ("nginx-light", "nginx-core", "nginx-full", "nginx-extras", "nginx")
"""Packages that somebody chooses to have nginx."""
_MAIN = "/etc/nginx/nginx.conf"
_VIRTUAL_HOST = re.compile(r"\s*server\s*\{")
_LISTEN = re.compile(r"^\s*listen\s+(?:\S+:)?(\d+)", re.MULTILINE)
_STATIC = re.compile(r"location\s+(?:\^~\s+)?(/\S*)\s*\{[^}]*?\broot\s+([^;]+);")
_SERVED = re.compile(r"\b(?:root|alias)\s+([^;{}]+);")
_COMMENT = re.compile(r"(?m)(?:^|\s)#.*$")
_HTTP = 80


@dataclass(frozen=True, slots=True)
class Front:
    """``web`` is None where nothing stands in front, or nothing that can be carried over: then a
    question says so."""

    web: WebServer | None = None
    questions: tuple[str, ...] = ()


def front_of(
    views: Sequence[View],
    right: Mapping[str, str],
    folder: str,
) -> Front:
    """nginx in front of the service; where hosts differ, the version of the host that the project
    file names (``right``: file -> host)."""
    view = views[0]
    names = [service.name for service in view.web]
    if not names:
        return Front()
    if "nginx" not in names:
        return _cannot(
            f"{names[0]} is in front; kirikae writes sidecars for nginx only: write its image by "
            "hand",
        )
    hosts = list(_virtual_hosts(view))
    if len(hosts) != 1:
        paths = ", ".join(text.path for text in hosts)
        return _cannot(
            f"nginx has {len(hosts)} virtual hosts enabled ({paths}); kirikae carries over one",
        )
    return _carried(
        views,
        hosts[0],
        right,
        folder,
    )


def _cannot(question: str) -> Front:
    """Nothing is carried over; a person has to decide."""
    return Front(questions=(question,))


def _carried(
    views: Sequence[View],
    text: Text,
    right: Mapping[str, str],
    folder: str,
) -> Front:
    """The virtual host as it is on the host that is right, with a question for whatever is still
    open."""
    questions = []
    chosen = _right_one(views, text, right)
    if chosen is None:
        chosen = text
        questions.append(
            f"{text.path} differs between the hosts: accept CF05 in kirikae.yml with "
            "`use: HOST`, the host that is right",
        )
    if any(MASKED in line for line in chosen.lines):
        questions.append(f"{chosen.path} holds a secret; it cannot be carried into an image")
    return Front(_web_server(views[0], chosen, folder), tuple(questions))


def _virtual_hosts(view: View) -> Iterator[Text]:
    """Live configuration files with a ``server`` of their own; nginx's main file is not one."""
    for text in view.web_texts:
        hosts = any(_VIRTUAL_HOST.match(line) for line in text.lines)
        if hosts and text.path != _MAIN:
            yield text


def _right_one(
    views: Sequence[View],
    text: Text,
    right: Mapping[str, str],
) -> Text | None:
    """The version that counts; None where the hosts differ and nobody says which that is."""
    versions = {}
    for view in views:
        version = _same(view, text)
        if version is not None:
            versions[view.bundle.host] = version
    if all(version.fingerprint == text.fingerprint for version in versions.values()):
        return text
    host = right.get(text.path, "")
    return versions.get(host)


def _same(view: View, text: Text) -> Text | None:
    """The virtual host of the same name on another host."""
    for host in _virtual_hosts(view):
        if host.path == text.path:
            return host
    return None


def _web_server(
    view: View,
    text: Text,
    folder: str,
) -> WebServer:
    """The port is the first one that it listens on; 80 where it does not say."""
    package = _package(view)
    said = "\n".join(text.lines)
    listen = _LISTEN.search(said)
    return WebServer(
        package=package.name if package else "nginx",
        version=package.version if package else "",
        path=text.path,
        lines=text.lines,
        port=int(listen[1]) if listen else _HTTP,
        static=tuple(_static(said, folder)),
    )


def _package(view: View) -> Package | None:
    """The one that somebody chose, or else the one that brought the program."""
    owner = view.bundle.owner(_PROGRAM) or "nginx"
    brought = None
    for package in view.bundle.packages:
        if package.name in _FLAVOURS and not package.automatic:
            return package
        if package.name == owner:
            brought = package
    return brought


def _static(text: str, folder: str) -> Iterator[str]:
    """Folders below the service's own that the web server serves by itself, each once."""
    told = _COMMENT.sub("", text)
    found = [
        location.strip("/") for location, served in _STATIC.findall(told) if _path(served) == folder
    ]
    for served in _SERVED.findall(told):
        path = _path(served)
        if path.startswith(f"{folder}/") and "$" not in path and ".." not in path:
            found.append(path.removeprefix(f"{folder}/"))
    for each in dict.fromkeys(found):
        if each and not any(each.startswith(f"{other}/") for other in found):
            yield each


def _path(written: str) -> str:
    return written.strip().strip("\"'").rstrip("/")
