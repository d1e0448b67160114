"""Read what the collecting script wrote: its text in, the facts of one host out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from kirikae.model.bundle import (
    Bundle,
    Code,
    File,
    Folder,
    Missing,
    Opened,
    Package,
    Process,
    Text,
    Unit,
)
from kirikae.survey import rows, sockets
from kirikae.survey.errors import BundleProblem
from kirikae.survey.paths import parent_of
from kirikae.survey.sections import Section, Sections, number
from kirikae.survey.unmanaged import with_services

_REMARK_OF_GREP = re.compile(r"Binary file |grep: ")
Wanted = TypeVar("Wanted")


def read(text: str, host: str) -> Bundle:
    """The facts of one bundle.  Raises BundleProblem; a line that says nothing understandable is
    left out and told in ``missing``."""
    try:
        return _read(text, host)
    except (ValueError, LookupError, ArithmeticError, TypeError) as error:
        # A host's answer is never a reason to lose what the other hosts said.
        raise BundleProblem(
            f"the bundle of {host} cannot be read ({type(error).__name__}: {error}); collect it "
            "again"
        ) from error


def _read(text: str, host: str) -> Bundle:
    sections = Sections(text)
    meta = sections.pairs("meta")
    tree = _tree(sections)
    owners = _owners(sections)
    running = _running(sections, owners)
    ends = sockets.read(sections)
    return Bundle(
        host=host,
        at=number(meta.get("now", "")),
        began=_began(sections),
        meta=meta,
        users=dict(sections.rows("passwd", 4, rows.user, separator=":")),
        groups=dict(sections.rows("group", 3, rows.group, separator=":")),
        mounts=sections.rows("mounts", 3, rows.mount),
        packages=tuple(_packages(sections)),
        owners=owners,
        changed=sections.rows("changed", 3, rows.changed),
        folders=tree.folders,
        files=tree.files,
        links=tree.links,
        setuid=tree.setuid,
        magic=sections.rows("magic", 2, rows.first_bytes),
        units=running.units,
        timers=sections.rows("timers", 2, rows.timer),
        processes=running.processes,
        opened=tuple(each for each in running.opened if each.path.startswith("/")),
        listeners=tuple(sockets.listeners(ends, running.opened)),
        peers=tuple(sockets.peers(ends)),
        connections=tuple(sockets.connections(ends)),
        keys=sections.rows("keys", 2, rows.key),
        certificates=sections.rows("certificates", 2, rows.certificate),
        logs=sections.rows("logs", 7, rows.log),
        spool=dict(sections.rows("spool", 2, rows.waiting)),
        texts=tuple(_texts(sections)),
        live=sections.rows("environments", 2, rows.live_variable),
        code=tuple(_code(sections)),
        installed=dict(sections.rows("installed", 2, rows.installed)),
        schedules=tuple(_units(sections, "scheduled")),
        activated=tuple(_units(sections, "activated")),
        cron=sections.rows("cron", 4, rows.scheduled),
        folders_of=running.works_in,
        systemd=running.systemd,
        # Last: only now is it known what no reader understood.
        missing=tuple(_missing(sections)),
    )


class _Tree(NamedTuple):
    """What lies on the disk."""

    folders: tuple[Folder, ...]
    files: tuple[File, ...]
    links: dict[str, str]
    setuid: tuple[File, ...]


def _tree(sections: Sections) -> _Tree:
    """One section has entries of all kinds."""
    entries = sections.rows("files", 3, rows.entry)
    return _Tree(
        folders=_only(Folder, entries),
        files=_only(File, entries),
        links={link.path: link.target for link in _only(rows.Link, entries)},
        setuid=tuple(entry.file for entry in _only(rows.SetUid, entries)),
    )


class _Running(NamedTuple):
    """What runs; of a host without systemd, with units made of its processes."""

    units: tuple[Unit, ...]
    processes: tuple[Process, ...]
    opened: tuple[Opened, ...]
    works_in: dict[int, str]
    systemd: bool


def _running(sections: Sections, owners: dict[str, str]) -> _Running:
    """Services of OpenRC are told where nothing runs: in a root directory."""
    systemd = bool(sections.named("units"))
    works_in = dict(sections.rows("cwd", 2, rows.works_in))
    told = [_with_owner(unit, owners) for unit in _units(sections, "units")]
    units, processes = with_services(
        (*told, *_units(sections, "openrc")),
        sections.rows("processes", 10, rows.process),
        works_in,
        systemd,
    )
    opened = sections.rows("open", 3, rows.opened)
    return _Running(units, processes, opened, works_in, systemd)


def _with_owner(unit: Unit, owners: dict[str, str]) -> Unit:
    """A unit among those of packages that is none's was put there by somebody."""
    path = unit.get("FragmentPath")
    folder = parent_of(path)
    merged = f"/usr{path}" if path.startswith("/lib/") else path.removeprefix("/usr")
    places = {folder, f"/usr{folder}", folder.removeprefix("/usr")}
    if not folder.endswith("lib/systemd/system") or not places & owners.keys():
        return unit
    if path in owners or merged in owners:
        return unit
    return Unit(unit.name, {**unit.properties, "Own": "yes"})


def _only(kind: type[Wanted], entries: Iterable[object]) -> tuple[Wanted, ...]:
    return tuple(entry for entry in entries if isinstance(entry, kind))


def _began(sections: Sections) -> int | None:
    """When PID 1 began."""
    return number(next(sections.lines("began"), ""))


def _packages(sections: Sections) -> Iterator[Package]:
    """Installed ones; what was removed may be listed for its configuration files."""
    automatic = set(sections.lines("automatic"))
    depends = sections.pairs("depends")
    for row in sections.rows("packages", 7, rows.listed):
        if row.installed:
            yield Package(
                name=row.name,
                version=row.version,
                automatic=row.name in automatic,
                essential=row.essential == "yes",
                priority=row.priority,
                section=row.section,
                depends=depends.get(row.name, ""),
                held=row.held,
            )


def _owners(sections: Sections) -> dict[str, str]:
    """Path -> package; where one package diverted another one's file, both are told apart."""
    owners = dict(sections.rows("owned", 2, rows.owned))
    for path, moved, package in sections.rows("diverted", 3, rows.diverted):
        owners[moved] = owners.get(path, package)
        owners[path] = package
    return owners


def _units(sections: Sections, name: str) -> Iterator[Unit]:
    """Blocks of ``Name=value`` with an empty line after each; a name that stands twice has two
    lines of value."""
    for section in sections.named(name):
        properties: dict[str, str] = {}
        for line in [*section.lines, ""]:
            if line:
                name, _, value = line.partition("=")
                if name in properties:
                    value = f"{properties[name]}\n{value}"
                properties[name] = value
            elif properties:
                yield Unit(properties.get("Id", ""), properties)
                properties = {}


def _texts(sections: Sections) -> Iterator[Text]:
    for section in sections.named("text"):
        fingerprint, separator, path = section.arguments.partition(" ")
        if separator:
            yield Text(
                path,
                fingerprint,
                tuple(section.lines),
            )
        else:
            sections.lose("text", section.arguments)


def _code(sections: Sections) -> Iterator[Code]:
    for section in sections.named("code"):
        found = _tree_of_code(section, sections)
        if found is None:
            sections.lose("code", section.arguments)
        else:
            yield found


def _tree_of_code(section: Section, sections: Sections) -> Code | None:
    """``fingerprint count root``; then its files with their fingerprints, and its telling lines."""
    fingerprint, _, rest = section.arguments.partition(" ")
    count, separator, root = rest.partition(" ")
    many = number(count)
    if many is None or not separator:
        return None
    files: dict[str, str] = {}
    lines = []
    for line in section.lines:
        said = rows.marked(line) or rows.line_of_code(root, line)
        if isinstance(said, rows.Marked):
            files[said.name] = said.fingerprint
        elif said is not None:
            lines.append(said)
        elif not _REMARK_OF_GREP.match(line):
            sections.lose("code", line)
    return Code(
        root,
        fingerprint,
        many,
        files,
        tuple(lines),
    )


def _missing(sections: Sections) -> Iterator[Missing]:
    """What the collector could not see, and what no reader understood."""
    for section in sections.named("missing"):
        yield Missing(section.arguments, " ".join(section.lines))
    yield from sections.lost
