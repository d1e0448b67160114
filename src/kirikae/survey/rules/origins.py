"""Where the truth about a host may lie besides the host: name servers of its own, playbooks, the
script with which the machine was born."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.model.bundle import Line
from kirikae.survey.catalogue import Findings, configured, present
from kirikae.survey.paths import HOME_OF_ROOT, under
from kirikae.survey.sections import number
from kirikae.survey.view import View

_RESOLVER = "/etc/resolv.conf"
_GENERATED = re.compile(
    r"generated|managed by|resolvconf|dhclient|NetworkManager|systemd-resolved|cloud-init",
    re.IGNORECASE,
)
_OF_AN_ENGINE = ("127.0.0.11", "127.0.0.53", "127.0.0.1", "::1", "169.254.169.253")
"""A container engine's, and those of the machine and of a VPC itself."""
_OF_A_VPC = re.compile(r"(^|\.)(compute\.internal|ec2\.internal|amazonaws\.com|local|\.)$")
_SETS_NAMES = re.compile(
    r"^\s*(DNS|FallbackDNS|Domains)\s*=\s*\S"
    r"|^\s*(supersede|prepend|append)\s+domain-(name-servers|name|search)"
    r"|^\s*(dns-nameservers|dns-search|PEERDNS=no|DNS[1-3]=|DOMAIN=)"
)
_MANAGED = re.compile(
    r"(ansible|puppet|chef|salt|terraform|itamae|cfengine)[- ]?managed"
    r"|(managed|generated|maintained|written|created) (by|with) "
    r"(ansible|puppet|chef|salt|itamae|cfengine|terraform)",
    re.IGNORECASE,
)
_TRACES = (
    "/etc/ansible",
    "/etc/puppet",
    "/etc/puppetlabs",
    "/var/lib/puppet",
    "/opt/puppetlabs",
    "/etc/chef",
    "/opt/chef",
    "/var/chef",
    "/etc/salt",
    "/var/cache/salt",
    "/etc/cfengine3",
    "/var/cfengine",
    f"{HOME_OF_ROOT}/.ansible",
)
_SHOWN = 8


def own_name_servers(view: View) -> Findings:
    """A task on Fargate asks the VPC's name servers and no others."""
    lines = list(_set_by_somebody(view))
    if lines:
        yield configured(
            "CF15",
            where=lines[0].path,
            says=f"names are looked up in a way of this host's own: {lines[0].text.strip()}",
            evidence=view.quotes(lines[:_SHOWN]),
        )


def _set_by_somebody(view: View) -> Iterator[Line]:
    """In resolv.conf, unless a program wrote that, and in what such programs read."""
    text = view.bundle.text(_RESOLVER)
    if text is not None and not any(_GENERATED.search(line) for line in text.lines):
        yield from (line for line in text.live() if _is_own(line.text.split()))
    for own in view.own_texts:
        yield from (line for line in own.live() if _SETS_NAMES.search(line.text))


def _is_own(words: list[str]) -> bool:
    """A name server that no machine has by itself, or domains that are not the VPC's."""
    if len(words) < 2:
        return False
    if words[0] == "nameserver":
        return words[1] not in _OF_AN_ENGINE and not words[1].endswith(".0.2")
    names = words[1:] if words[0] in ("search", "domain") else []
    return any(not _OF_A_VPC.search(name) for name in names)


def managed_elsewhere(view: View) -> Findings:
    """Whoever changes the host alone is overwritten, and what was built from it grows old."""
    for path in _TRACES:
        folder = view.bundle.folder_at.get(path)
        files = sum(each.files for each in view.bundle.under(path)) if folder else 0
        if files and not _packaged(view, path):
            yield present(
                "CF18",
                where=path,
                says=f"a tool for many machines has left {path}",
                evidence=[view.trace(path, f"{files} files")],
            )
    lines = list(_said_to_be_managed(view))
    if lines:
        yield configured(
            "CF18",
            where=lines[0].path,
            says=f"{lines[0].path} says that it is written by a tool for many machines",
            evidence=view.quotes(lines[:_SHOWN]),
        )


def _packaged(view: View, path: str) -> bool:
    """All that lies there came with a package."""
    files = view.files_under(path)
    return bool(files) and all(view.bundle.owner(file.path) for file in files)


def _said_to_be_managed(view: View) -> Iterator[Line]:
    """One line of each such file."""
    for text in view.bundle.texts:
        if under(text.path, view.former_releases):
            continue
        for line in text.numbered():
            if _MANAGED.search(line.text) and line.text.lstrip()[:1] in "#;/<*":
                yield line
                break


def born_by_a_script(view: View) -> Findings:
    """What it does is done again at the birth of the next machine, and not of a task."""
    size = number(view.bundle.meta.get("user_data", ""))
    if size:
        at = "/var/lib/cloud/instance/user-data.txt"
        yield present(
            "CF18",
            where=at,
            says=f"a script of {size} bytes ran when this machine was made",
            evidence=[view.trace(at, f"{size} bytes")],
        )


RULES = (
    own_name_servers,
    managed_elsewhere,
    born_by_a_script,
)
