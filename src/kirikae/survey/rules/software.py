"""Software that an image cannot simply install by the name of a package."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from kirikae.model.bundle import Line, Text
from kirikae.survey.catalogue import Findings, configured, present
from kirikae.survey.counted import counted
from kirikae.survey.paths import name_of, parent_of, under
from kirikae.survey.view import View

_SOURCES = re.compile(r"/etc/(apt/sources\.list(\.d/.*)?|yum\.repos\.d/.*\.repo|apk/repositories)$")
_ADDRESS = re.compile(r"(?:https?|ftp|file|cdrom|s3)://?([^/\s\]]*)[^\s\]]*")
_OF_THE_SYSTEM = re.compile(
    r"(^|\.)(debian\.org|ubuntu\.com|amazonaws\.com|amazonlinux\.com|centos\.org|redhat\.com"
    r"|rockylinux\.org|almalinux\.org|fedoraproject\.org|alpinelinux\.org|freexian\.com|debian\.net"
    r"|amazonlinux\S*|\$\w+\S*)$|^$"
)
_PROGRAMS = re.compile(r"/usr/local/s?bin/[^/]+$|/opt/s?bin/[^/]+$")
_OF_A_LANGUAGE = re.compile(
    r"/usr/local/lib/python[\d.]+/(?:dist|site)-packages/([^/]+)-(\d[\w.!+]*)\.(?:dist|egg)-info"
    r"|/usr/local/lib/node_modules/((?:@[^/]+/)?[^/@.][^/]*)"
    r"|/(?:var/lib/gems|usr/local/lib/ruby/gems)/[\d.]+/gems/([^/]+)-(\d[\w.]*)"
    r"|/usr/local/share/perl/[\d.]+/([A-Z][^/]*)|/usr/share/pear/([A-Z][^/]*)"
)
_WITH_PYTHON = ("pip", "setuptools", "wheel", "distribute", "pkg_resources", "npm", "corepack")
_INSTALLED = re.compile(r"(.*)/lib/python[\d.]+/site-packages/([^/]+)-(\d[\w.!+]*)\.dist-info$")
_PIN = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*(\d[\w.!+]*)\s*(?:[;#\\].*)?$")
_LOOSE = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*(?:[<>~!]=?[^=].*)?$")
_WHERE_PROGRAMS_LIE = ("/usr/local/", "/opt/", "/srv/", "/home/", "/data/", "/var/www/")
_OLD_DAYS = 60
_DAY_S = 86400
_KERNEL = re.compile(r"(^|-)dkms$|^nvidia-|^kmod-|-modules-dkms$|^wireguard-dkms")
_OF_THE_MACHINE = re.compile(
    r"(nf_|nft_|ip_|ip6|ipt|xt_|iptable|br_netfilter|overlay|bonding|8021q|tcp_|virtio|xen|ena\b"
    r"|nvme|loop|fuse|kvm|vhost|dm_|raid|softdog|i2c|lp\b|rtc)"
)
"""Drivers, walls and networks: the machine's own business, whatever the service does."""
_SHOWN = 8


def other_sources(view: View) -> Findings:
    """Without its source, or at another version, an image is not built again."""
    for text in view.bundle.texts:
        if not _SOURCES.search(text.path):
            continue
        for line in text.live():
            match = _ADDRESS.search(line.text)
            if match and not _OF_THE_SYSTEM.search(match[1].split("@")[-1].split(":")[0]):
                yield configured(
                    "PK02",
                    where=line.at,
                    says=f"packages come from {match[1].split('@')[-1]}",
                    evidence=[view.quote(line)],
                )


def held_back(view: View) -> Findings:
    """Somebody had a reason."""
    held = [package for package in view.bundle.packages if package.held]
    if held:
        names = ", ".join(package.name for package in held[:_SHOWN])
        yield present(
            "PK02",
            where="packages",
            says=f"{counted(len(held), 'package is', 'packages are')} held back: {names}",
            evidence=[view.trace("dpkg", f"{each.name} {each.version}") for each in held[:_SHOWN]],
            count=len(held),
        )


def _unpackaged(view: View) -> list[str]:
    """Programs on the paths of everybody that no package brought."""
    found = []
    for file in view.bundle.files:
        known = view.bundle.owner(file.path) is not None
        if _PROGRAMS.match(file.path) and file.mode & 0o111 and not known:
            found.append(file.path)
    return sorted(found)


def of_no_package(view: View) -> Findings:
    """Nobody knows how they were made, but whoever made them."""
    paths = _unpackaged(view)
    if paths:
        names = ", ".join(name_of(path) for path in paths[:_SHOWN])
        yield present(
            "PK03",
            where=parent_of(paths[0]),
            says=f"{counted(len(paths), 'program is', 'programs are')} in no package: {names}",
            evidence=[view.trace(path, "no package owns it") for path in paths[:_SHOWN]],
            count=len(paths),
        )


def of_one_machine_only(view: View) -> Findings:
    """They do not run on Graviton."""
    built = sorted(
        each.path
        for each in view.bundle.magic
        if each.begins == "elf-x86-64"
        and each.path.startswith(_WHERE_PROGRAMS_LIE)
        and view.bundle.owner(each.path) is None
    )
    if built:
        yield present(
            "PK08",
            where=built[0],
            says=f"{counted(len(built), 'program was', 'programs were')} built for x86-64 alone",
            evidence=[view.trace(path, "ELF, x86-64") for path in built[:_SHOWN]],
            count=len(built),
        )


def of_languages(view: View) -> Findings:
    """Installed for the whole machine: no list in the code names them."""
    by_place: dict[str, list[str]] = defaultdict(list)
    for folder in view.bundle.folders:
        match = _OF_A_LANGUAGE.fullmatch(folder.path)
        words = [each for each in match.groups() if each] if match else []
        if words and words[0] not in _WITH_PYTHON and view.bundle.owner(folder.path) is None:
            by_place[parent_of(folder.path)].append(" ".join(words))
    for place, names in sorted(by_place.items()):
        yield present(
            "PK04",
            where=place,
            says=(
                f"{counted(len(names), 'library is', 'libraries are')} installed for the whole "
                f"machine: {', '.join(sorted(names)[:_SHOWN])}"
            ),
            evidence=[view.trace(place, name) for name in sorted(names)[:_SHOWN]],
            count=len(names),
        )


def _lists(view: View) -> Iterator[Text]:
    """What pip would install of live code."""
    for text in view.bundle.texts:
        named = name_of(text.path).startswith("requirements")
        if named and not under(text.path, view.former_releases):
            yield text


def unlike_their_list(view: View) -> Findings:
    """What runs is not what the list would install again."""
    installed = _installed(view)
    for text in _lists(view):
        lines = [line for line in text.live() if _is_other(line, installed)]
        if lines:
            many = counted(len(lines), "library is", "libraries are")
            yield present(
                "PK04",
                where=text.path,
                says=f"{many} not as {text.path} says",
                evidence=[view.trace(line.at, _beside(line, installed)) for line in lines[:_SHOWN]],
                count=len(lines),
            )


def without_a_version(view: View) -> Findings:
    """Another day's image has another one."""
    for text in _lists(view):
        loose = [line for line in text.live() if _LOOSE.match(line.text)]
        if loose:
            yield configured(
                "PK04",
                where=f"{text.path}: versions",
                says=f"{text.path} names {counted(len(loose), 'library', 'libraries')} unpinned",
                evidence=view.quotes(loose[:_SHOWN]),
                count=len(loose),
            )


def _beside(line: Line, installed: dict[str, set[str]]) -> str:
    """What the list says, and what is there."""
    return f"{line.text.strip()}, installed is {_seen(line, installed)}"


def _installed(view: View) -> dict[str, set[str]]:
    """Name in its plain form -> versions in virtual environments that are live."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in view.bundle.folders:
        match = _INSTALLED.match(folder.path)
        if match and not under(folder.path, view.former_releases):
            found[_plain(match[2])].add(match[3])
    return found


def _plain(name: str) -> str:
    """As PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_other(line: Line, installed: dict[str, set[str]]) -> bool:
    """Pinned, installed, and at none of the pinned version."""
    match = _PIN.match(line.text)
    versions = installed.get(_plain(match[1]), set()) if match else set()
    return bool(match and versions and match[2] not in versions)


def _seen(line: Line, installed: dict[str, set[str]]) -> str:
    """The versions that are there."""
    match = _PIN.match(line.text)
    return ", ".join(sorted(installed[_plain(match[1])])) if match else ""


def not_brought_up_to_date(view: View) -> Findings:
    """No package has come for long: repairs of the distribution wait, whatever they are."""
    at = view.bundle.at
    times = view.bundle.installed.values()
    newest = max(times, default=None)
    if at is None or newest is None:
        return
    days = (at - newest) // _DAY_S
    if days >= _OLD_DAYS:
        yield present(
            "PK07",
            where="packages",
            says=f"no package has been installed or brought up to date for {days} days",
            evidence=[view.trace("dpkg or rpm", f"the newest came {days} days before the survey")],
        )


def modules_of_the_kernel(view: View) -> Findings:
    """A task on Fargate loads none."""
    names = [each.name for each in view.bundle.packages if _KERNEL.search(each.name)]
    if names:
        yield present(
            "PK09",
            where="packages",
            says=f"packages bring modules for the kernel: {', '.join(sorted(names)[:_SHOWN])}",
            evidence=[view.trace("dpkg or rpm", name) for name in sorted(names)[:_SHOWN]],
        )
    for line in _loaded(view):
        yield configured(
            "PK09",
            where=line.at,
            says=f"the module {line.text.strip()} is loaded at the start of the machine",
            evidence=[view.quote(line)],
            blocks=() if _OF_THE_MACHINE.match(line.text.strip()) else None,
        )


def _loaded(view: View) -> Iterator[Line]:
    """Named by somebody (modules-load.d(5))."""
    for text in view.own_texts:
        if text.path == "/etc/modules" or text.path.startswith("/etc/modules-load.d/"):
            yield from text.live()


RULES = (
    other_sources,
    held_back,
    of_no_package,
    of_one_machine_only,
    of_languages,
    unlike_their_list,
    without_a_version,
    not_brought_up_to_date,
    modules_of_the_kernel,
)
