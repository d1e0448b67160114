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
_LOCATION = re.compile(r"^\s*location\s+(\S+)\s*\{.*\b(?:root|alias)\s+([^;]+);")
_DOCUMENT_ROOT = re.compile(r"^\s*(?:root|DocumentRoot)\s+\"?([^;\"\s]+)")
_ANY_ROOT = re.compile(r"\b(?:root|DocumentRoot)\s+\"?([^;\"\s]+)")


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


def serves_a_location(view: View) -> Findings:
    """The sidecar needs these files, too."""
    for line in view.web_lines:
        if match := _LOCATION.search(line.text):
            yield configured(
                "AS01",
                where=line.at,
                says=f"{match[1]} is served from {match[2]} on the host",
                evidence=[view.quote(line)],
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
    for line in view.web_lines:
        match = _DOCUMENT_ROOT.match(line.text)
        if match and "location" not in line.text:
            yield _Root(match[1], line)


def serves_a_folder(view: View) -> Findings:
    """The sidecar needs these files, too."""
    for root in _document_roots(view):
        if root.there(view):
            yield configured(
                "AS01",
                where=root.folder,
                says=f"files under {root.folder} are served by the host",
                evidence=[view.quote(root.line)],
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
        if (match := _ANY_ROOT.search(line.text)) is not None
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
