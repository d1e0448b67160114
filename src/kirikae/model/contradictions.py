"""What stands in a project file, is readable, and cannot be meant: later verbs would refuse it, or
two of them would work against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kirikae.model.hosts import address_from
from kirikae.model.project import Project

_ARN = "arn:"
Path = tuple[int | str, ...]


class Contradiction(NamedTuple):
    """``path``: the keys that lead to it."""

    path: Path
    says: str


def contradictions(project: Project) -> Iterator[Contradiction]:
    """All of them, in the order of the file."""
    yield from _elsewhere(project)
    yield from _fleets(project)
    yield from _hosts(project)
    yield from _turned_twice(project)
    yield from _told_twice(project)
    yield from _answered_twice(project)


def _fleets(project: Project) -> Iterator[Contradiction]:
    """TR09, before AWS is asked: of whoever turns traffic, or has written no move yet."""
    asking = [name for name, settings in project.moves.items() if settings.between_groups]
    if project.moves and not asking:
        return
    fleets = project.fleets
    for side, group in (("old", fleets.old.group), ("new", fleets.new.group)):
        if asking and group is None:
            yield Contradiction(
                ("fleets", side),
                f"`target_group` is missing: the move {asking[0]} turns traffic between those of "
                "both fleets",
            )
    if fleets.old.group is not None and fleets.old.group == fleets.new.group:
        yield Contradiction(
            ("fleets", "new", "target_group"),
            f"both fleets have the target group {fleets.old.group!r}, so no weight could "
            "tell them apart (TR09); give the new side a group of its own",
        )


def _hosts(project: Project) -> Iterator[Contradiction]:
    """A host that is named twice would be asked, and changed, twice."""
    seen: dict[str, Path] = {}
    named: Iterable[tuple[Path, str]] = [
        *((("fleets", "old", "hosts", n), url) for n, url in enumerate(project.fleets.old.hosts)),
        *((("survey", "also", n), url) for n, url in enumerate(project.survey.also)),
    ]
    for path, url in named:
        name = address_from(url).name
        if name in seen:
            before = ".".join(map(str, seen[name]))
            yield Contradiction(path, f"the host {name} stands at {before} already; name it once")
        seen.setdefault(name, path)


def _turned_twice(project: Project) -> Iterator[Contradiction]:
    """Two moves that set one weight would each take the other for a hand on the knob."""
    seen: dict[str, str] = {}
    for move, settings in project.moves.items():
        for place, name in settings.turns.items():
            if name in seen:
                yield Contradiction(
                    ("moves", move, *place),
                    f"{name} is turned by the move {seen[name]} already; one move turns one thing",
                )
            seen.setdefault(name, move)


def _elsewhere(project: Project) -> Iterator[Contradiction]:
    """An ARN says which account and region it is of."""
    for path, arn in _named_by_arn(project):
        parts = arn.split(":")
        if not arn.startswith(_ARN) or len(parts) < 6:
            continue
        if parts[4] != project.account:
            yield Contradiction(
                path,
                f"{arn} is of account {parts[4] or '(none)'}, and `account` says "
                f"{project.account}; kirikae acts in that one alone",
            )
        elif parts[3] not in ("", project.region):
            yield Contradiction(
                path, f"{arn} is of region {parts[3]}, and `region` says {project.region}"
            )


def _named_by_arn(project: Project) -> Iterator[tuple[Path, str]]:
    """What must be of this account; a topic or a secret may be somebody else's."""
    for key in ("execution_role", "task_role"):
        role = getattr(project.build, key)
        if role is not None:
            yield ("build", key), role
    yield ("fleets", "new", "cluster"), project.fleets.new.cluster
    for move, settings in project.moves.items():
        for place, name in settings.turns.items():
            yield ("moves", move, *place), name


def _told_twice(project: Project) -> Iterator[Contradiction]:
    """ECS takes a name as a value or as a secret (API reference, ContainerDefinition.secrets)."""
    for name in project.build.secrets:
        if name in project.build.environment:
            yield Contradiction(
                ("build", "secrets", name),
                f"{name} stands in `build.environment` as well; a variable is a value or a secret",
            )


def _answered_twice(project: Project) -> Iterator[Contradiction]:
    """Of two answers to one finding only one would count."""
    seen: dict[tuple[str, str], int] = {}
    for number, answer in enumerate(project.accepted):
        about = (answer.finding, answer.where)
        if about in seen:
            yield Contradiction(
                ("accepted", number),
                f"{answer.finding} at {answer.where} is answered for twice; keep one of the two",
            )
        seen.setdefault(about, number)
