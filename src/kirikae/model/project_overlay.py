"""An environment's own file laid over the project file: sections are merged, lists and values
replaced, and it stays known which file says what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from kirikae.model.project_yaml import Source, is_there
from kirikae.model.texts import shortened

Path = tuple[str, ...]
_ENVIRONMENT = "environment"
_SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Overlaid:
    """Two files that are read as one.  It can be asked what a ``Source`` can be asked."""

    base: Source
    over: Source
    plain: Any
    faults: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Of the file that was asked for."""
        return self.over.name

    def at(self, path: Sequence[Any]) -> str:
        """In the file that says it; what neither says would stand in the project file."""
        return self._of(path).at(path)

    def spelling(self, path: Sequence[Any]) -> str | None:
        return self._of(path).spelling(path)

    def _of(self, path: Sequence[Any]) -> Source:
        """A key that is missing is missing in the project file, unless the section around it is
        the other file's alone.  The environment is told by the name of that file."""
        if [*path] == [_ENVIRONMENT] or is_there(self.over.plain, path):
            return self.over
        around = path[:-1]
        if is_there(self.base.plain, around):
            return self.base
        return self.over if is_there(self.over.plain, around) else self.base


def environments_in(file: PurePath) -> Iterator[tuple[PurePath, str]]:
    """What a file's name may say: ``kirikae.staging.yml`` lies over ``kirikae.yml``, for staging.
    The longest name of a project file first."""
    stem = file.stem
    rest = ""
    while "." in stem:
        stem, _, last = stem.rpartition(".")
        rest = f"{last}.{rest}" if rest else last
        yield file.with_name(f"{stem}{file.suffix}"), rest


def file_of(project_file: PurePath, environment: str) -> PurePath:
    """Where the file of an environment lies."""
    return project_file.with_name(f"{project_file.stem}.{environment}{project_file.suffix}")


def is_overlay(source: Source) -> bool:
    """A whole project file names its service; what is laid over one does not."""
    return _SERVICE not in source.plain


def overlaid(base: Source, over: Source, environment: str) -> Overlaid:
    """The environment is that of the file's name: two of them must never share a journal."""
    faults = [*base.faults, *over.faults]
    said = over.plain.get(_ENVIRONMENT, environment)
    if said != environment:
        place = over.at([_ENVIRONMENT])
        faults.append(
            f"{place}: {_ENVIRONMENT}: {shortened(said)} is not what the file's name says; "
            f"write {environment}, or leave the key out"
        )
    plain = {
        **merged(base.plain, over.plain),
        _ENVIRONMENT: environment,
    }
    return Overlaid(base, over, plain, faults)


def merged(base: Any, over: Any) -> Any:
    """Sections key by key; everything else is replaced."""
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    both = dict(base)
    for key, value in over.items():
        both[key] = merged(base[key], value) if key in base else value
    return both


def leaves(plain: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value with the keys that lead to it; a list, and an empty section, is one value."""
    if not isinstance(plain, Mapping) or not plain:
        yield path, plain
        return
    for key, value in plain.items():
        yield from leaves(value, (*path, key))
