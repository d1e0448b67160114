"""Configuration files that somebody wrote or changed, and what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kirikae.model.bundle import MASKED, Line, Text
from kirikae.survey.catalogue import Findings, configured, present
from kirikae.survey.view import View

# ``jobs`` tells of crontabs, line by line.
_READ_BY_OTHER_RULES = ("/etc/cron", "/var/spool/cron")
_UNITS = "/etc/systemd/system"
_COMMENT = ("//", "--", "*", ";")
_WARNING = re.compile(
    r"by hand|do not (overwrite|touch|change|edit)|触るな|変更禁止|手動",
    re.IGNORECASE,
)
_COPY = re.compile(r"^/etc/.*\.(dpkg-old|rpmsave|bak|orig)$", re.DOTALL)
_LINES_SHOWN = 8
_UTC = ("Etc/UTC", "UTC", "Universal", "Zulu", "Etc/Universal")
_PLAIN_LOCALE = re.compile(r"C(\.|$)|POSIX")


def _declaring(view: View) -> set[str]:
    """Files in which units declare their environment."""
    return {
        variable.trace.at
        for service in view.applications
        for variable in view.environment(service).values()
    }


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a file comes from: the finding's code, what it says after the path, and its proof."""

    code: str
    says: str
    proof: str


_WRITTEN_HERE = "was written here and is in no package"
_READ_HERE = _Origin("CF04", _WRITTEN_HERE, "its unit or service reads it")
_NOBODYS = _Origin("CF04", _WRITTEN_HERE, "no package owns it")
_DEAD = _Origin("CF06", "is not enabled", "no package owns it")
_DIFFERS = "differs from what its package brought"
# Files of ucf are no conffiles: `dpkg --verify` says nothing of them.
_CHANGED = {
    "conffile": _Origin("CF01", _DIFFERS, "its checksum is another one"),
    "ucf": _Origin("CF02", _DIFFERS, "its checksum is another one"),
}


def own_files(view: View) -> Findings:
    """CF01, CF02, CF04, CF06."""
    declaring = _declaring(view)
    for text in view.own_texts:
        origin = _origin(view, text, declaring)
        if origin is not None:
            yield present(
                origin.code,
                where=text.path,
                says=f"{text.path} {origin.says}",
                evidence=[view.trace(text.path, origin.proof)],
            )


def own_units(view: View) -> Findings:
    """Those that lie where packages put theirs, or in a place of somebody's own."""
    for service in view.services:
        path = service.unit.get("FragmentPath")
        if service.unit.own and path and not path.startswith("/etc/"):
            yield present(
                "CF04",
                where=path,
                says=f"{path} {_WRITTEN_HERE}",
                evidence=[view.trace(service.unit.name, service.unit.command)],
            )


def _origin(
    view: View,
    text: Text,
    declaring: set[str],
) -> _Origin | None:
    """Where a file comes from; None for one that other rules tell of, or that lies outside /etc."""
    path = text.path
    if path in view.changed and path in declaring:
        return _CHANGED[view.changed[path]]
    if path in declaring or path.startswith(_UNITS):
        return _READ_HERE
    if path.startswith(_READ_BY_OTHER_RULES):
        return None
    if path in view.changed:
        return _CHANGED[view.changed[path]]
    if not path.startswith("/etc/") or not _knows_packages(view):
        return None
    live = {each.path for each in view.web_texts}
    dead = "/sites-available/" in path and path not in live
    return _DEAD if dead else _NOBODYS


def _knows_packages(view: View) -> bool:
    """Else nobody knows what belongs to one."""
    return all(missing.where != "packages" for missing in view.bundle.missing)


def secrets(view: View) -> Findings:
    """In files; those in declared variables are told by name."""
    declaring = _declaring(view)
    for text in view.own_texts:
        lines = [line for line in text.live() if _holds_a_secret(line)]
        if lines and text.path not in declaring:
            numbers = ", ".join(str(line.number) for line in lines[:_LINES_SHOWN])
            of_lines = f"{'line' if len(lines) == 1 else 'lines'} {numbers}"
            yield configured(
                "CF12",
                where=text.path,
                says=f"{text.path} holds secrets in clear text ({of_lines})",
                evidence=view.quotes(lines),
                count=len(lines),
            )


def _holds_a_secret(line: Line) -> bool:
    """In a live line, masked by the collector."""
    return MASKED in line.text and not line.text.lstrip().startswith(_COMMENT)


def warnings(view: View) -> Findings:
    """Somebody tells the next one to keep off."""
    for text in view.own_texts:
        for line in text.numbered():
            comment = line.text.lstrip()[:1] in "#;/"
            if comment and _WARNING.search(line.text):
                yield configured(
                    "CF20",
                    where=text.path,
                    says=f"somebody warns in {text.path}",
                    evidence=[view.quote(line)],
                )


def copies(view: View) -> Findings:
    """They are left behind."""
    paths = {file.path for file in view.bundle.files if _COPY.search(file.path)}
    for path in sorted(paths):
        yield present(
            "CF06",
            where=path,
            says=f"{path} is a copy that nothing reads",
            evidence=[view.trace(path, "by its name")],
        )


def names_of_hosts(view: View) -> Findings:
    """A task on Fargate takes no names of its own."""
    text = view.bundle.text("/etc/hosts")
    for line in text.live() if text else ():
        names = line.text.split()[1:]
        if names and not any(_is_this_machine(view, name) for name in names):
            yield configured(
                "CF14",
                where="/etc/hosts",
                says=f"/etc/hosts says where {names[0]} is",
                evidence=[view.quote(line)],
            )


def _is_this_machine(view: View, name: str) -> bool:
    """A host's own names in /etc/hosts, which every machine has."""
    own = (view.bundle.host, view.bundle.meta.get("host"))
    return name in own or name.startswith(("localhost", "ip6-"))


def time_zone(view: View) -> Findings:
    """Jobs and the paths of logs follow it."""
    zone = view.bundle.zone
    if zone and zone not in _UTC:
        yield present(
            "CF19",
            where="/etc/localtime",
            says=f"the machine's time zone is {zone}",
            evidence=[view.trace("/etc/localtime", zone)],
        )


def locale(view: View) -> Findings:
    """Sorting, dates and encodings follow it."""
    for service in view.applications:
        declared = view.environment(service).get("LANG")
        if declared is not None and not _PLAIN_LOCALE.match(declared.value):
            yield configured(
                "CF19",
                where=f"LANG of {service.name}",
                says=f"{service.name} runs in the locale {declared.value}",
                evidence=[declared.trace],
            )


RULES = (
    own_files,
    own_units,
    secrets,
    warnings,
    copies,
    names_of_hosts,
    time_zone,
    locale,
)
