"""What the configuration of php-fpm or Apache says of the service that runs in it: its user, its
code, its variables, and the files that go into its image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kirikae.model.bundle import Bundle, Text
from kirikae.model.runtimes import ImageKind
from kirikae.model.workload import Carried, Variable
from kirikae.survey.choosing import Chosen
from kirikae.survey.view import View

_POOL_USER = re.compile(r"\s*user\s*=\s*(\S+)")
_POOL_SOCKET = re.compile(r"\s*listen\s*=\s*(\S+)")
_POOL_VARIABLE = re.compile(r"\s*env\[(\w+)\]\s*=\s*(.*?)\s*$")
_APACHE_VARIABLE = re.compile(r"\s*SetEnv\s+(\w+)\s+(.*?)\s*$")
_APACHE_USER = re.compile(r"\s*export\s+APACHE_RUN_USER=(\S+)|\s*User\s+(\w\S*)")
_APACHE_ROOT = re.compile(r"\s*DocumentRoot\s+(\S+)")
_NGINX_ROOT = re.compile(r"\broot\s+([^;{}]+);")
_COMMENT = re.compile(r"(?m)(?:^|\s)#.*$")
_SHOWN_FOLDERS = ("public", "web", "webroot", "htdocs", "public_html", "docroot", "www")
"""A folder of this name is what a release shows, not all of it."""
_BY_THE_PACKAGE = ("/var/www", "/var/www/html", "/usr/share")
_ENABLED = ("sites-enabled", "mods-enabled", "conf-enabled")
_PHP_FPM_VERSION = re.compile(r"php-fpm([0-9.]*)|/etc/php/([0-9.]+)/")


@dataclass(frozen=True, slots=True)
class Configured:
    """Empty where a unit says all of it."""

    user: str = ""
    folder: str = ""
    variables: tuple[Variable, ...] = ()
    carried: tuple[Carried, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    sockets: tuple[str, ...] = ()


def configured_of(view: View, one: Chosen) -> Configured:
    """By what its image is made from."""
    match one.runtime.image:
        case ImageKind.PHP_FPM:
            return _php_fpm(view, one)
        case ImageKind.APACHE:
            return _apache(view)
        case ImageKind.STATIC:
            folder = _folder(view, _roots_of_nginx(view), all_of_it=True)
            return Configured(user="www-data", folder=folder)
        case _:
            return Configured()


def _carried(view: View, texts: Iterable[Text]) -> tuple[Carried, ...]:
    own = {text.path for text in view.own_texts}
    return tuple(Carried(text.path, text.lines, text.path in own) for text in texts)


# --- php-fpm


def _php_fpm(view: View, one: Chosen) -> Configured:
    pools = [text for text in _php_texts(view.bundle, one) if "/pool.d/" in text.path]
    lines = [line.text for pool in pools for line in pool.live(";")]
    users = [match[1] for line in lines if (match := _POOL_USER.match(line))]
    sockets = [match[1] for line in lines if (match := _POOL_SOCKET.match(line))]
    declared = (match for line in lines if (match := _POOL_VARIABLE.match(line)))
    return Configured(
        user=users[0] if users else "www-data",
        folder=_folder(view, _roots_of_nginx(view)),
        variables=tuple(_declared(match) for match in declared),
        carried=_carried(view, _php_texts(view.bundle, one)),
        links=_own_links(view, "/etc/php/"),
        sockets=tuple(sockets),
    )


def _php_texts(bundle: Bundle, one: Chosen) -> list[Text]:
    """Of its version: php-fpm's own files and php.ini, and what stands beside both."""
    found = _PHP_FPM_VERSION.search(one.service.unit.command)
    version = found[1] if found is not None else ""
    folder = f"/etc/php/{version}/" if version else "/etc/php"
    texts = [text for text in bundle.texts if text.path.startswith(folder)]
    return [text for text in texts if "/cli/" not in text.path and "/apache2/" not in text.path]


def _declared(match: re.Match[str]) -> Variable:
    return Variable(match[1], match[2].strip("\"'"), None)


def _own_links(view: View, folder: str) -> dict[str, str]:
    """Links to files that somebody wrote, such as a setting of PHP's own."""
    own = {text.path for text in view.own_texts}
    links = view.bundle.links.items()
    return {
        link: target
        for link, target in sorted(links)
        if link.startswith(folder) and view.bundle.resolve(link) in own
    }


def _roots_of_nginx(view: View) -> Iterator[str]:
    for text in view.web_texts:
        told = _COMMENT.sub("", "\n".join(text.lines))
        yield from (root.strip().strip("\"'") for root in _NGINX_ROOT.findall(told))


# --- Apache


def _apache(view: View) -> Configured:
    texts = list(view.web_texts)
    envvars = view.bundle.text("/etc/apache2/envvars")
    lines = [line.text for text in texts for line in text.live("#")]
    of_user = [*(line.text for line in envvars.live("#") if envvars), *lines] if envvars else lines
    users = [match[1] or match[2] for line in of_user if (match := _APACHE_USER.match(line))]
    declared = (match for line in lines if (match := _APACHE_VARIABLE.match(line)))
    php = [text for text in view.bundle.texts if _is_php_of_apache(text.path)]
    return Configured(
        user=users[0] if users else "www-data",
        folder=_folder(view, _roots_of_apache(lines)),
        variables=tuple(_declared(match) for match in declared),
        carried=_carried(view, [*texts, *php]),
        links={**_enabled(view.bundle), **_own_links(view, "/etc/php/")},
    )


def _is_php_of_apache(path: str) -> bool:
    return path.startswith("/etc/php/") and ("/apache2/" in path or "/mods-available/" in path)


def _roots_of_apache(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        match = _APACHE_ROOT.match(line)
        if match is not None:
            yield match[1].strip("\"'")


def _enabled(bundle: Bundle) -> dict[str, str]:
    """What is switched on, exactly: Debian's packages switch on more."""
    return {
        link: target
        for link, target in sorted(bundle.links.items())
        if link.startswith("/etc/apache2/") and link.split("/")[3] in _ENABLED
    }


# --- where the code lies


def _folder(view: View, roots: Iterable[str], all_of_it: bool = False) -> str:
    """The folder of a release, seen from what the web server shows of it; empty: not known.
    ``all_of_it``: nothing but that is there."""
    for root in roots:
        path = posixpath.normpath(root)
        if path in _BY_THE_PACKAGE and not _holds_code(view, path):
            continue
        parent, name = posixpath.split(path)
        if (
            not all_of_it
            and name in _SHOWN_FOLDERS
            and parent.count("/") > 1
            and parent not in _BY_THE_PACKAGE
        ):
            return parent
        return path
    return ""


def _holds_code(view: View, path: str) -> bool:
    """More than the page that a package lays there."""
    files = [file.path for file in view.files_under(path)]
    return any(path.endswith(".php") for path in files) or len(files) > 1
