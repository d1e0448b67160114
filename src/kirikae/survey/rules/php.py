"""Where PHP keeps the sessions of its users."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kirikae.model.bundle import Line, Text
from kirikae.model.finding import Confidence
from kirikae.survey.catalogue import Findings, found
from kirikae.survey.counted import counted
from kirikae.survey.services import Service
from kirikae.survey.view import View

_PHP_SETTING = re.compile(
    r"\s*(?:php_(?:admin_)?value(?:\[|\s+))?session\.(save_handler|save_path)\]?\s*[=\s]\s*"
    r"\"?([^\"\s]+)",
)
"""As php.ini, a pool of php-fpm and Apache write it."""
_PHP_MODULE = re.compile(r"\s*LoadModule\s+php\w*_module\s", re.IGNORECASE)
_APACHE = "/etc/httpd/"
_PHP_SESSIONS = "/var/lib/php/sessions"


def php_sessions_in_files(view: View) -> Findings:
    """Each host knows only its own visitors.

    A setting alone proves little, for an application may keep its sessions elsewhere: without files
    it blocks nothing.
    """
    serving = [service for service in view.services if _runs_php(view, service)]
    if not serving:
        return
    settings = _php_settings(view)
    if settings.handler != "files":
        return
    folder = settings.folder
    inside = view.bundle.under(folder)
    files = sum(each.files for each in inside)
    said = settings.line
    where = (
        view.quote(said)
        if said
        else view.trace("php.ini", "session.save_handler is files unless it is set")
    )
    newest = max((each.newest for each in inside), default=0)
    yield found(
        "ST02",
        where=folder,
        says=f"PHP keeps sessions in files under {folder} ({counted(files, 'file', 'files')})",
        evidence=[where, view.trace(folder, counted(files, "file", "files"))],
        confidence=_confidence_in_sessions(serving, files, newest),
        blocks=None if files else (),
    )


def _confidence_in_sessions(
    serving: Iterable[Service],
    files: int,
    newest: int,
) -> Confidence:
    """Files that are newer than the service were seen to be written; older ones only lie there."""
    if not files:
        return Confidence.CONFIGURED
    for service in serving:
        if service.began is not None and newest >= service.began:
            return Confidence.OBSERVED
    return Confidence.PRESENT


def _runs_php(view: View, service: Service) -> bool:
    """PHP's own server, or Apache with a module of PHP enabled."""
    if "php" in service.name:
        return True
    if service.name == "httpd":
        return any(_PHP_MODULE.match(line.text) for line in _lines_of_httpd(view))
    enabled = (link for link in view.bundle.links if "/mods-enabled/" in link)
    return service.name == "apache2" and any("php" in link for link in enabled)


def _lines_of_httpd(view: View) -> Iterator[Line]:
    """Apache as RHEL and Amazon Linux lay it down."""
    for text in view.bundle.texts:
        if text.path.startswith(_APACHE):
            yield from text.live()


@dataclass(frozen=True, slots=True)
class _PhpSettings:
    """``line``: the last one that says something; None: all is as PHP has it by itself."""

    handler: str = "files"
    folder: str = _PHP_SESSIONS
    line: Line | None = None


def _php_settings(view: View) -> _PhpSettings:
    """As PHP would have it: a later file over an earlier one, the default where none says
    anything."""
    handler = "files"
    folder = _PHP_SESSIONS
    said: Line | None = None
    for text in filter(_serves_php, view.bundle.texts):
        for line in text.live(";"):
            match = _PHP_SETTING.match(line.text)
            if match is None:
                continue
            said = line
            if match[1] == "save_handler":
                handler = match[2]
            else:
                # `5;/var/lib/php/sessions`: how deep, and where.
                folder = match[2].rpartition(";")[2]
    return _PhpSettings(handler, folder, said)


def _serves_php(text: Text) -> bool:
    """A configuration of PHP, and not that of its command line."""
    if text.path.startswith(_APACHE):
        return True
    return "/php" in text.path and "/cli/" not in text.path


RULES = (php_sessions_in_files,)
