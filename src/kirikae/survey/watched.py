"""What was written while a host was watched, without what is the operating system's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from kirikae.model.bundle import Watched
from kirikae.model.finding import Finding, Trace
from kirikae.survey.brought import is_code, is_settings, is_vendored
from kirikae.survey.catalogue import Findings, observed
from kirikae.survey.known import debian, matches
from kirikae.survey.paths import below, parent_of, under
from kirikae.survey.services import ROOT
from kirikae.survey.view import View

_WRITING = ("ST", "LG", "JB", "ML")
"""Findings that speak of what is written."""
_FOR_EVERYBODY = ("/", "/tmp", "/var/tmp", "/run", "/run/lock", "/var/lock", "/dev/shm")
_OF_MANY = ("/var", "/var/lib", "/var/log", "/srv", "/opt", "/home", "/data", "/etc", "/mnt")
_SHOWN = 3


def written(view: View) -> tuple[Watched, ...]:
    """What services wrote, or nobody knows who."""
    return view.once("watched", lambda: tuple(_written(view)))


def _written(view: View) -> Iterator[Watched]:
    around = set(_around(view.bundle.watched))
    for each in view.bundle.watched:
        if _is_nobodys(view, each):
            continue
        # A folder changes with what is made in it: it speaks only where nothing in it does.
        if not each.folder or each.files or each.path not in around:
            yield each


def _around(seen: Iterable[Watched]) -> Iterator[str]:
    """Every folder in which something was seen."""
    for each in seen:
        folder = parent_of(each.path)
        while folder:
            yield folder
            folder = parent_of(folder)


def _is_nobodys(
    view: View,
    each: Watched,
) -> bool:
    """The system's, a package's that was brought up to date, a person's own, or a release's."""
    path = each.path
    if view.of_the_system(path) or matches(path, debian().written_by_the_system):
        return True
    if not each.folder and view.bundle.owner(path) is not None:
        return True
    if each.folder and not each.files and not _is_a_services(view, each):
        return True
    return _is_released(view, each)


def _is_a_services(
    view: View,
    folder: Watched,
) -> bool:
    """Root's folders change with every package; what a service owns changes by the service.

    Where many put their things, the time says nothing about whose they are."""
    if folder.path in (*_FOR_EVERYBODY, *_OF_MANY):
        return False
    return folder.uid in view.uids or bool(view.named_after(folder.path))


def _is_released(
    view: View,
    each: Watched,
) -> bool:
    """Code that came once, while we looked on."""
    if each.folder or each.times > 1:
        return False
    if each.path.startswith("/etc/") and each.uid == ROOT:
        return True  # a person's hand
    return is_code(each.path) or is_settings(each.path) or is_vendored(each.path)


def inside(
    view: View,
    place: str,
) -> list[Watched]:
    """What was written there."""
    return [each for each in written(view) if under(each.path, [place])]


def traces(
    view: View,
    place: str,
) -> list[Trace]:
    """The last of what was written there, as evidence."""
    seen = sorted(inside(view, place), key=lambda each: each.last, reverse=True)
    return [view.trace(each.path, in_words(each)) for each in seen[:_SHOWN]]


def in_words(each: Watched) -> str:
    """When, and in how many looks."""
    looks = "one look" if each.times == 1 else f"{each.times} looks"
    more = f"; {each.files} further files in it" if each.files else ""
    return f"written while watched: in {looks}, last at {_moment(each.last)}{more}"


def _moment(at: int) -> str:
    """A time that no calendar has is shown as the number that it is."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return str(at)


def services_of(view: View, uid: int) -> tuple[str, ...]:
    """Who runs as this user; a master that is root only to give its rights up writes nothing."""
    names = view.run_by(uid)
    if uid != ROOT:
        return names
    alone = {service.name for service in view.services if service.uids == {ROOT}}
    return tuple(name for name in names if name in alone)


# --- what no other finding speaks of


def uncovered(
    view: View,
    found: Sequence[Finding],
) -> Findings:
    """ST22: written while watched, and no rule knew of it."""
    places = list(_places(view, found))
    for place, seen in _by_place(view, places).items():
        newest = max(seen, key=lambda each: each.last)
        yield observed(
            "ST22",
            where=place,
            says=f"{_who(view, seen)} wrote {place} while the host was watched",
            evidence=[view.trace(newest.path, in_words(newest))],
            count=len(seen),
        )


def _places(
    view: View,
    found: Iterable[Finding],
) -> Iterator[str]:
    """Where something is told to be written on this host."""
    for finding in found:
        if finding.code.startswith(_WRITING):
            yield finding.where
            for trace in finding.evidence:
                if trace.host == view.bundle.host and below(trace.at, finding.where):
                    yield trace.at


def _by_place(
    view: View,
    places: Sequence[str],
) -> dict[str, list[Watched]]:
    """A folder with several files is one place."""
    folders: dict[str, list[Watched]] = {}
    for each in written(view):
        if not under(each.path, places):
            folders.setdefault(parent_of(each.path) or "/", []).append(each)
    placed: dict[str, list[Watched]] = {}
    for folder, seen in folders.items():
        alone = len(seen) == 1 or folder in (*_FOR_EVERYBODY, *_OF_MANY)
        for each in seen:
            placed.setdefault(each.path if alone else folder, []).append(each)
    return placed


def _who(
    view: View,
    seen: Iterable[Watched],
) -> str:
    """Services by their user, else the user."""
    names: dict[str, None] = {}
    for each in seen:
        user = view.bundle.user_names.get(each.uid, str(each.uid))
        names.update(dict.fromkeys(services_of(view, each.uid) or (user,)))
    return " or ".join(names)
