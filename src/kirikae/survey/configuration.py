"""Which configuration somebody wrote or changed on a host: what differs from a fresh machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kirikae.model.bundle import Bundle, Text
from kirikae.survey.paths import under
from kirikae.survey.services import Service

_MADE_AT_INSTALLATION = (
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/mailname",
    "/etc/fstab",
    "/etc/timezone",
    "/etc/default/locale",
    "/etc/apt/sources.list",
    "/etc/environment",
    "/etc/aliases",
    "/etc/shells",
    "/etc/motd",
    "/etc/issue",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/networks",
    "/etc/profile",
    "/etc/nsswitch.conf",
    "/etc/email-addresses",
    "/etc/default/exim4",
    "/etc/host.conf",
)
"""Files that no package owns and no person wrote."""
_OF_THE_MACHINE = (
    "/etc/exim4/",
    "/etc/ssh/",
    "/etc/sv/",
    "/etc/apt/",
    "/etc/ucf",
    "/etc/cron.d/.",
    "/etc/ssl/",
    "/etc/postgresql-common/",
)
"""Beginnings of what a container has no use for."""


def own_texts(
    bundle: Bundle,
    services: Sequence[Service],
    former: Sequence[str],
) -> Iterator[Text]:
    """Neither as a package brought it, nor made by an installation, nor of a former release."""
    touched = {
        changed.path
        for changed in bundle.changed
        if changed.state == "modified" or changed.kind == "ucf"
    }
    for text in bundle.texts:
        path = text.path
        if under(path, former):
            continue
        if path in _MADE_AT_INSTALLATION or path.startswith(_OF_THE_MACHINE):
            continue
        nobodys = bundle.owner(path) is None and not _installed(bundle, services, path)
        if path in touched or nobodys:
            yield text


def _installed(
    bundle: Bundle,
    services: Sequence[Service],
    path: str,
) -> bool:
    """Written by an installed package's scripts: unowned, but as old as the machine and never
    touched since.

    A cluster's configuration below a packaged server's folder is that server's.
    """
    parts = path.split("/")
    folder = "/".join(parts[:3])
    deep = path.startswith("/etc/") and len(parts) > 4
    return deep and folder in bundle.owners and not _served(bundle, services, folder)


def _served(
    bundle: Bundle,
    services: Sequence[Service],
    folder: str,
) -> bool:
    """The configuration folder of something that runs here."""
    owner = bundle.owners.get(folder)
    return any(
        folder.endswith(f"/{service.stem}") or (owner and owner == service.package)
        for service in services
    )
