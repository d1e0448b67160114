"""Which configuration somebody wrote or changed on a host: what differs from a fresh machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kirikae.model.bundle import Bundle, Text
from kirikae.survey.paths import name_of, under
from kirikae.survey.services import Service

_FOR_SINGLE_SETTINGS = re.compile(
    r"\.d/|/(sites|conf|sys|apps)-(enabled|available)/|/vhosts?/|^/etc/systemd/",
)
_READ_BY_PEOPLE = re.compile(r"/README[^/]*$|/\.placeholder$", re.IGNORECASE)
INSTALLING_S = 120
"""Scripts of a package write beside its own files within so many seconds."""
_DEEP = 3
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
    times = {file.path: file.modified for file in bundle.files}
    for text in bundle.texts:
        path = text.path
        if under(path, former) or _is_the_machine_s(path):
            continue
        if path in touched or _is_somebody_s(
            bundle,
            services,
            path,
            times.get(path),
        ):
            yield text


def _is_somebody_s(
    bundle: Bundle,
    services: Sequence[Service],
    path: str,
    written: int | None,
) -> bool:
    """No package owns it, and none wrote it."""
    if bundle.owner(path) is not None:
        return False
    return not _installed(
        bundle,
        services,
        path,
        written,
    )


def _is_the_machine_s(path: str) -> bool:
    """A file that no package owns and that says nothing of a service."""
    if path in _MADE_AT_INSTALLATION or path.startswith(_OF_THE_MACHINE):
        return True
    return bool(_READ_BY_PEOPLE.search(path))


def _installed(
    bundle: Bundle,
    services: Sequence[Service],
    path: str,
    written: int | None,
) -> bool:
    """Written by an installed package's scripts: beside its own files, and as old as they are.

    What lies in a folder for single settings is somebody's, whenever he put it there.
    """
    if not path.startswith("/etc/") or _FOR_SINGLE_SETTINGS.search(path):
        return False
    folder = "/".join(path.split("/")[:3])
    if folder == path or folder not in bundle.owners:
        return False
    times = _installations(bundle, folder)
    if times and written is not None:
        return any(abs(written - at) <= INSTALLING_S for at in times)
    # Told by no time: a cluster's configuration below a packaged server's folder is that server's.
    return path.count("/") > _DEEP and not _served(bundle, services, folder)


def _installations(bundle: Bundle, folder: str) -> list[int]:
    """When the package of a folder was installed, and those that belong to it by their names."""
    owner = bundle.owners[folder]
    stem = name_of(folder)
    return [
        at
        for package, at in bundle.installed.items()
        if package == owner or package.startswith(stem)
    ]


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
