"""What the web server in front decides, and which files it serves by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kirikae.model.bundle import Line
from kirikae.survey.catalogue import Findings, configured, present
from kirikae.survey.paths import name_of, parent_of
from kirikae.survey.view import View

_CLIENT = re.compile(
    r"set_real_ip_from|real_ip_header|RemoteIPHeader|^\s*(allow|deny|Require ip)\s",
)
_STICKY = re.compile(r"ip_hash|\bsticky\b")
_LOCATION = re.compile(r"(?:^|[\s;{])location\s+(?:[=~*^]+\s+)?(\S+)\s*\{")
_FOLDER = re.compile(r"(?:^|[\s;{])(?:root|alias)\s+[\"']?([^;\"'\s]+)")
_ALIAS = re.compile(
    r"^\s*(?:Script)?Alias(?:Match)?\s+[\"']?([^\"'\s]+)[\"']?\s+[\"']?([^\"'\s]+)", re.IGNORECASE
)
_WELCOME = ("index.html", "index.nginx-debian.html")
"""What a package lays down so that something is seen."""
_DOCUMENT_ROOT = re.compile(
    r"(?:^|[\s;{])(?:root|DocumentRoot)\s+[\"']?([^;\"'\s]+)", re.IGNORECASE
)


def decides_by_address(view: View) -> Findings:
    """Behind a load balancer every address is the balancer's."""
    for line in view.web_lines:
        if _CLIENT.search(line.text):
            yield configured(
                "NW08",
                where=line.at,
                says="the web server decides by the client's address",
                evidence=[view.quote(line)],
            )


def ties_users(view: View) -> Findings:
    """Users would not spread over the tasks."""
    for line in view.web_lines:
        if _STICKY.search(line.text):
            yield configured(
                "ST19",
                where=line.at,
                says="the web server ties users to a back end",
                evidence=[view.quote(line)],
            )


class _Location(NamedTuple):
    """A part of a site that is served from a folder of its own."""

    address: str
    folder: str
    line: Line


def _locations(view: View) -> Iterator[_Location]:
    """As nginx has them, on one line or on several, and as Apache does."""
    for text in view.web_texts:
        address = ""
        depth = 0
        for line in text.live():
            opened = _LOCATION.search(line.text)
            if opened:
                address = opened[1]
                depth = 0
            folder = _FOLDER.search(line.text, opened.end() if opened else 0)
            if address and folder:
                yield _Location(address, folder[1], line)
            depth += line.text.count("{") - line.text.count("}")
            if depth <= 0:
                address = ""
            alias = _ALIAS.match(line.text)
            if alias:
                yield _Location(alias[1], alias[2], line)


def serves_a_location(view: View) -> Findings:
    """The sidecar needs these files, too; what a package's own settings name comes with that."""
    for each in _locations(view):
        path = each.line.path
        if view.bundle.owner(path) is not None and path not in view.changed:
            continue
        yield configured(
            "AS01",
            where=each.line.at,
            says=f"{each.address} is served from {each.folder} on the host",
            evidence=[view.quote(each.line)],
        )


class _Root(NamedTuple):
    """A folder that is served as it is, and the line that says so."""

    folder: str
    line: Line

    def there(self, view: View) -> bool:
        """The survey lists no folders of packages."""
        packaged = self.folder.startswith("/usr/")
        return packaged or view.bundle.resolve(self.folder) in view.bundle.folder_at


def _document_roots(view: View) -> Iterator[_Root]:
    """Folders that a server or virtual host serves, without those of single locations."""
    of_locations = {each.line for each in _locations(view)}
    for line in view.web_lines:
        match = _DOCUMENT_ROOT.search(line.text)
        opened = _LOCATION.search(line.text)
        before = match and opened and match.start() < opened.start()
        if match and (before or line not in of_locations):
            yield _Root(match[1], line)


def serves_a_folder(view: View) -> Findings:
    """The sidecar needs these files, too."""
    for root in _document_roots(view):
        if root.there(view) and not _only_welcomes(view, root.folder):
            yield configured(
                "AS01",
                where=root.folder,
                says=f"files under {root.folder} are served by the host",
                evidence=[view.quote(root.line)],
            )


def _only_welcomes(view: View, folder: str) -> bool:
    """A package's own page, and nothing else: the site lies elsewhere."""
    real = view.bundle.resolve(folder)
    files = view.files_under(real)
    return bool(files) and all(
        name_of(file.path) in _WELCOME and view.came_with_a_package(file) for file in files
    )


def serves_what_is_not_there(view: View) -> Findings:
    """Nobody has missed it."""
    for root in _document_roots(view):
        if not root.there(view):
            yield configured(
                "CF07",
                where=root.folder,
                says=f"{root.folder} is to be served, and is not there",
                evidence=[view.quote(root.line)],
            )


def history_under_a_root(view: View) -> Findings:
    """A repository's whole history may be fetched."""
    served = {
        match[1].rstrip("/")
        for line in view.web_lines
        if (match := _DOCUMENT_ROOT.search(line.text)) is not None
    }
    for folder in view.bundle.folders:
        if name_of(folder.path) == ".git" and parent_of(folder.path) in served:
            yield present(
                "AS05",
                where=folder.path,
                says=f"{folder.path} lies under a document root",
                evidence=[view.trace(folder.path, "folder")],
            )


RULES = (
    decides_by_address,
    ties_users,
    serves_a_location,
    serves_a_folder,
    serves_what_is_not_there,
    history_under_a_root,
)
