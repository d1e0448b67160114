"""Keys that are files, rights that no package gave, and rules of the kernel's guards."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.model.bundle import File
from kirikae.survey.catalogue import Findings, present
from kirikae.survey.counted import counted
from kirikae.survey.paths import name_of, under
from kirikae.survey.view import View

_OF_THE_MACHINE = re.compile(
    r"/etc/ssh/|/etc/machine-id$|ssl-cert-snakeoil|/etc/ssl/private/|/etc/pki/"
)
_OF_TLS = re.compile(r"/etc/(letsencrypt|nginx|apache2|httpd|haproxy)/")
_SNAKEOIL = "ssl-cert-snakeoil"
_ALL_WRITE = 0o002
_SHOWN = 8
_OF_A_GUARD = re.compile(
    r"/etc/apparmor\.d/(?!(abi|abstractions|tunables|disable|force-complain|cache)/)(local/)?[^/]+$"
)
_MODULE = re.compile(r"/(etc|var/lib)/selinux/[^/]+/active/modules/400/([^/]+)$")
_LIKELY_BY_SNAPS = re.compile(r"/etc/apparmor\.d/(snap|usr\.lib\.snapd|lxc|libvirt)")


def keys_of_services(view: View) -> Findings:
    """A release must not hold them, and an image neither."""
    for key in view.bundle.keys:
        if _OF_THE_MACHINE.search(key.path) or view.bundle.owner(key.path) is not None:
            continue
        traces = view.naming(key.path)
        if traces or _is_in_a_service(view, key.path):
            yield present(
                "SE02",
                where=key.path,
                says=f"{key.path} is a key that a service uses",
                evidence=[view.trace(key.path, f"fingerprint {key.fingerprint}"), *traces[:_SHOWN]],
            )
    for file in view.bundle.files:
        used = name_of(file.path) == "known_hosts" and file.uid in view.uids
        if used:
            yield present(
                "SE02",
                where=file.path,
                says=f"{file.path}: a service calls other machines by SSH",
                evidence=[view.trace(file.path, f"{file.size} bytes")],
            )


def _is_in_a_service(view: View, path: str) -> bool:
    """In the home of a service's user, or between its code."""
    homes = [user.home for user in view.bundle.users.values() if user.uid in view.uids]
    homes = [home for home in homes if home.count("/") > 1]
    roots = [code.root for code in view.code]
    return under(path, [*homes, *roots]) and not under(path, view.former_releases)


def snakeoil(view: View) -> Findings:
    """The name says it: whoever has such an image may have the same key."""
    for line in view.web_lines:
        if _SNAKEOIL in line.text:
            yield present(
                "SE05",
                where=line.at,
                says="the web server uses a key that the system made for trials (snakeoil)",
                evidence=[view.quote(line)],
            )


def rights_of_no_package(view: View) -> Findings:
    """Whoever starts them is somebody else for as long."""
    for file in view.bundle.setuid:
        if view.bundle.owner(file.path) is None:
            yield present(
                "SE03",
                where=file.path,
                says=f"{file.path} runs as its owner, and no package brought it",
                evidence=[view.trace(file.path, f"mode {file.mode:o}, uid {file.uid}")],
            )


def code_that_all_may_write(view: View) -> Findings:
    """Whoever gets in anywhere can change what runs."""
    for code in view.code:
        files = list(_open(view, code.root))
        if files:
            yield present(
                "SE03",
                where=code.root,
                says=(
                    f"everybody may write {counted(len(files), 'file', 'files')} of the code "
                    f"under {code.root}"
                ),
                evidence=[view.trace(file.path, f"mode {file.mode:o}") for file in files[:_SHOWN]],
                count=len(files),
            )


def _open(view: View, root: str) -> Iterator[File]:
    """Files that everybody may write, in this tree; what was listed one by one."""
    for file in view.files_under(root):
        name = file.path.removeprefix(f"{root}/")
        known = any(name in code.files for code in view.code if code.root == root)
        if file.mode & _ALL_WRITE and known:
            yield file


def own_guards(view: View) -> Findings:
    """Fargate has neither AppArmor nor SELinux of one's own."""
    for file in view.bundle.files:
        own = _OF_A_GUARD.match(file.path) and not _LIKELY_BY_SNAPS.match(file.path)
        if own and file.size and view.bundle.owner(file.path) is None:
            yield present(
                "SE06",
                where=file.path,
                says=f"{file.path} is an AppArmor rule of somebody's own",
                evidence=[view.trace(file.path, f"{file.size} bytes, of no package")],
            )
    for folder in view.bundle.folders:
        match = _MODULE.match(folder.path)
        if match:
            yield present(
                "SE06",
                where=folder.path,
                says=f"{match[2]} is an SELinux module of somebody's own",
                evidence=[view.trace(folder.path, "priority 400: installed by hand")],
            )


RULES = (
    keys_of_services,
    snakeoil,
    rights_of_no_package,
    code_that_all_may_write,
    own_guards,
)
