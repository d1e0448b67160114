"""The web server in front of the service, and the virtual hosts that can be carried over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kirikae.model.bundle import MASKED, Line, Package, Text
from kirikae.model.workload import WebServer
from kirikae.survey import nginx
from kirikae.survey.view import View

_PROGRAM = "/usr/sbin/nginx"
_FLAVOURS = ("nginx-light", "nginx-core", "nginx-full", "nginx-extras", "nginx")
"""Packages that somebody chooses to have nginx."""
_MAIN = "/etc/nginx/nginx.conf"
_LISTEN = re.compile(r"^\s*listen\s+(?:\S+:)?(\d+)", re.MULTILINE)
_STATIC = re.compile(r"location\s+(?:\^~\s+)?(/\S*)\s*\{[^}]*?\broot\s+([^;]+);")
_SERVED = re.compile(r"\b(?:root|alias)\s+([^;{}]+);")
_COMMENT = re.compile(r"(?m)(?:^|\s)#.*$")
_DEFAULT_FOLDERS = ("/usr/share/nginx/html", "/usr/share/nginx", "/var/www/html", "/nonexistent")
_HTTP = 80


@dataclass(frozen=True, slots=True)
class Front:
    """``web`` is None where nothing stands in front, or nothing that can be carried over: then a
    question says so."""

    web: WebServer | None = None
    questions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
        return Front(
            questions=(
                f"{names[0]} is in front; kirikae writes sidecars for nginx only: name it as a "
                "service of its own (`build.services`) if it runs the code, else write its image "
                "by hand and take it out of the hosts' survey",
            )
        )
    if not list(_virtual_hosts(view)):
        return Front(
            questions=(
                "nginx runs and has no virtual host that the survey could read; is "
                f"{_MAIN} readable for the user who surveys?",
            )
        )
    return _carried(views, right, folder)


def _carried(views: Sequence[View], right: Mapping[str, str], folder: str) -> Front:
    """The virtual hosts as they are on the host that is right, with a question for whatever is
    still open."""
    versions = {text.path: _right_one(views, text, right) for text in views[0].web_texts}
    texts = {text.path: versions[text.path] or text for text in views[0].web_texts}
    lines = list(nginx.http_lines(views[0].bundle, texts, _MAIN, _own(views[0])))
    carried = dict.fromkeys(line.path for line in lines)
    questions = (
        f"{path} differs between the hosts: accept CF05 in kirikae.yml with `use: HOST`, the host "
        "that is right"
        for path in carried
        if versions[path] is None
    )
    secrets = (
        line
        for path in carried
        for line in (texts[path].numbered() if path in texts else ())
        if MASKED in line.text
    )
    web = replace(_web_server(views[0], lines, folder), secrets=tuple(secrets))
    return Front(web, tuple(questions), _tls(lines))


def _own(view: View) -> set[str]:
    """Files whose lines are not in the package."""
    return {text.path for text in view.own_texts}


def _tls(lines: Sequence[Line]) -> tuple[str, ...]:
    """What the load balancer does from now on."""
    if not any(re.match(r"\s*(ssl_certificate|listen\s.*\bssl\b)", line.text) for line in lines):
        return ()
    return (
        "TLS ends at the load balancer: lines of the virtual hosts about certificates are left "
        "out, and `listen ... ssl` listens without it",
    )


def _virtual_hosts(view: View) -> Iterator[Text]:
    """Live configuration files with a ``server`` of their own."""
    for text in view.web_texts:
        if any(nginx.SERVER.match(line) for line in text.lines):
            yield text


def _right_one(views: Sequence[View], text: Text, right: Mapping[str, str]) -> Text | None:
    """The version that counts; None where the hosts differ and nobody says which that is."""
    versions = {}
    for view in views:
        for other in view.web_texts:
            if other.path == text.path:
                versions[view.bundle.host] = other
    if all(version.fingerprint == text.fingerprint for version in versions.values()):
        return text
    return versions.get(right.get(text.path, ""))


def _web_server(view: View, lines: Sequence[Line], folder: str) -> WebServer:
    """The port is the first one that it listens on; 80 where it does not say."""
    package = _package(view)
    said = "\n".join(line.text for line in lines)
    listen = _LISTEN.search(_COMMENT.sub("", said))
    hosts = [text.path for text in _virtual_hosts(view)]
    paths = tuple(dict.fromkeys(line.path for line in lines))
    return WebServer(
        package=package.name if package else "nginx",
        version=package.version if package else "",
        path=hosts[0],
        lines=tuple(line.text for line in lines),
        port=int(listen[1]) if listen else _HTTP,
        static=tuple(_static(said, folder)),
        paths=paths,
        modules=tuple(_modules(view)),
        elsewhere=tuple(_elsewhere(said, folder)),
    )


def _modules(view: View) -> Iterator[tuple[str, str]]:
    """Packages of what is loaded besides."""
    loaded = [link for link in view.bundle.links if link.startswith("/etc/nginx/modules-enabled/")]
    owners = {view.bundle.owner(view.bundle.resolve(link)) for link in loaded}
    for package in view.bundle.packages:
        if package.name in owners:
            yield package.name, package.version


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
    """Folders below the service's own that the web server serves by itself, each once; the
    service's own as ``.`` where all of it is served."""
    told = _COMMENT.sub("", text)
    found = [
        location.strip("/") for location, served in _STATIC.findall(told) if _path(served) == folder
    ]
    every = _COMMENT.sub("", _STATIC.sub("", told))
    if any(_path(served) == folder for served in _SERVED.findall(every)):
        yield "."
        return
    for served in _SERVED.findall(told):
        path = _path(served)
        if path.startswith(f"{folder}/") and "$" not in path and ".." not in path:
            found.append(path.removeprefix(f"{folder}/"))
    for each in dict.fromkeys(found):
        if each and not any(each.startswith(f"{other}/") for other in found):
            yield each


def _elsewhere(text: str, folder: str) -> Iterator[str]:
    """Folders that it serves and that no release brings."""
    told = _COMMENT.sub("", text)
    for served in dict.fromkeys(map(_path, _SERVED.findall(told))):
        inside = served == folder or served.startswith(f"{folder}/")
        if served.startswith("/") and not inside and served not in _DEFAULT_FOLDERS:
            yield served


def _path(written: str) -> str:
    return written.strip().strip("\"'").rstrip("/")
