"""The objects that somebody names on the command line, read from their files."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from kirikae.console.ecs_desk import Given, open_ecs_desk
from kirikae.console.guard_account import is_named, of_account
from kirikae.console.here import Here
from kirikae.guard.archives import images, is_archive
from kirikae.guard.errors import ObjectProblem
from kirikae.guard.objects import Object, Scanned
from kirikae.guard.plainly import MOST_BYTES
from kirikae.guard.reading import objects_in, objects_of
from kirikae.guard.scans import merged
from kirikae.model.texts import text_from

_ECSPRESSO = ("ecspresso*.yml", "ecspresso*.yaml", "ecspresso*.json", "ecspresso*.jsonnet")


def objects_from(
    here: Here,
    paths: Sequence[Path],
    envfiles: Sequence[Path],
) -> list[Object]:
    """In the order of the paths.  Raises ObjectProblem, DefinitionProblem."""
    found: list[Object] = []
    for path in dict.fromkeys(paths):
        if is_named(str(path)):
            found += of_account(here, str(path))
        elif any(fnmatchcase(path.name, pattern) for pattern in _ECSPRESSO):
            found += _rendered(
                here,
                path,
                envfiles,
            )
        elif is_archive(path):
            found += images(name_of(here, path), path)
        else:
            found += objects_in(name_of(here, path), _text(path))
    return together(found)


def together(things: Sequence[Object]) -> list[Object]:
    """Scanners that looked at the same image are one object."""
    scans = [scan for thing in things if isinstance(thing, Scanned) for scan in thing.scans]
    others = [thing for thing in things if not isinstance(thing, Scanned)]
    return [*others, *merged(scans)]


def name_of(here: Here, path: Path) -> str:
    """The same from wherever it is called, as far as it lies beside the project file: waivers name
    it."""
    whole = path.absolute()
    return str(whole.relative_to(here.folder)) if whole.is_relative_to(here.folder) else str(path)


def _text(path: Path) -> str:
    """Raises ObjectProblem."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ObjectProblem(
            f"{path}: {error.strerror}; name a Dockerfile or a file of task definitions"
        ) from error
    if len(raw) > MOST_BYTES:
        raise ObjectProblem(
            f"{path}: more than {MOST_BYTES // 1_000_000} MB, which no definition has; is another "
            "file meant?"
        )
    return text_from(raw, str(path))


def _rendered(
    here: Here,
    path: Path,
    envfiles: Sequence[Path],
) -> Sequence[Object]:
    """The task definition as ecspresso would register it, all templates carried out."""
    from kirikae.release.ecs.loading import task_definition

    if not path.is_file():
        raise ObjectProblem(f"{path}: there is no such file")
    config = open_ecs_desk(here, Given(path, envfiles)).config
    if config.task_definition is None:
        raise ObjectProblem(f"{path}: `task_definition` is missing: name its file")
    found = task_definition(config.task_definition, config.around)
    return objects_of(
        name_of(here, config.task_definition),
        found.plain,
    )
