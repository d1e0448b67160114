"""What services run on (gunicorn, puma, php-fpm ...), told by their programs: dated data beside
this file."""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

_LOOKED_AT = 5
"""So many words of a command may name it: an interpreter, its options, a script."""


class ImageKind(StrEnum):
    """What an app storey is made from."""

    PROGRAM = "program"
    PHP_FPM = "php-fpm"
    APACHE = "apache"
    STATIC = "static"
    """Files alone: the sidecar is all of it."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One kind of server or interpreter; ``language`` is empty where it may be any."""

    name: str
    language: str
    image: ImageKind
    programs: tuple[str, ...]
    stop: str
    """The signal on which it ends what it has begun, and no more."""
    background: tuple[str, ...] = ()
    taking: tuple[str, ...] = ()

    def in_the_foreground(self, command: Sequence[str]) -> tuple[str, ...]:
        """The command without what sends it into the background, or keeps a file of its number."""
        kept: list[str] = []
        words = iter(command)
        for word in words:
            name, given, _ = word.partition("=")
            if word in self.background and kept:
                continue
            if name in self.taking and kept:
                if not given:
                    next(words, None)
                continue
            kept.append(word)
        return tuple(kept)


BINARY = Runtime("program", "", ImageKind.PROGRAM, (), "SIGTERM")
"""Whatever none of the others is: a single binary, a script of a shell."""


@cache
def runtimes() -> tuple[Runtime, ...]:
    """In the order in which they are asked."""
    text = (files("kirikae.model") / "runtimes.toml").read_text(encoding="utf-8")
    return tuple(_runtimes(tomllib.loads(text)))


def _runtimes(rows: dict[str, dict[str, object]]) -> Iterator[Runtime]:
    for name, row in rows.items():
        yield Runtime(
            name=name,
            language=str(row["language"]),
            image=ImageKind(str(row.get("image", ImageKind.PROGRAM))),
            programs=_texts(row["programs"]),
            stop=str(row["stop"]),
            background=_texts(row.get("background", ())),
            taking=_texts(row.get("taking", ())),
        )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def runtime_of(command: str) -> Runtime:
    """Of a command as a unit or the list of processes has it."""
    names = [posixpath.basename(word) for word in command.split()[:_LOOKED_AT]]
    return next(_fitting(names), BINARY)


def _fitting(names: Iterable[str]) -> Iterator[Runtime]:
    """A server before the interpreter that runs it, however far back its name stands."""
    known = [name.removesuffix(":") for name in names]
    for runtime in runtimes():
        if any(fnmatchcase(name, pattern) for name in known for pattern in runtime.programs):
            yield runtime
