"""A manifest of stretcher, read unchanged: its archive becomes a release, its commands are told.

github.com/fujiwara/stretcher, README: ``src``, ``checksum`` (the algorithm by its length),
``dest``, ``dest_mode``, ``commands``, ``excludes``, ``exclude_from`` (within the archive),
``sync_strategy``; ``env`` and ``must_env`` in the text are carried out first.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kirikae.aws.session import Aws
from kirikae.model.project import OldDeployer
from kirikae.release.archive import strange_members
from kirikae.release.contents import IGNORE_FILE
from kirikae.release.ecs.gotmpl.environment import of_environment
from kirikae.release.ecs.gotmpl.template import render
from kirikae.release.ecs.reading import parsed
from kirikae.release.ecs.state_place import body_of
from kirikae.release.errors import DefinitionProblem

_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
"""By how many hexadecimal digits a checksum has."""
_KEYS = frozenset(
    [
        "checksum",
        "commands",
        "dest",
        "dest_mode",
        "exclude_from",
        "excludes",
        "src",
        "sync_strategy",
    ]
)
_SCHEMES = ("", "file", "http", "https", "s3")
_WHEN = ("pre", "post", "success", "failure")
_SETTINGS = {"pre": "before", "post": "reload"}
"""Where a command of the manifest belongs in `fleets.old.deployer`."""


def fetched(url: str, aws: Callable[[], Aws]) -> bytes:
    """A manifest or an archive.  Raises DefinitionProblem, NotThere."""
    scheme = urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise DefinitionProblem(
            f"{url}: places called {scheme}: are not read; fetch it to a file, and name that"
        )
    return body_of(url, aws)


@dataclass(frozen=True, slots=True)
class Stretcher:
    """``commands``: by ``pre``, ``post``, ``success``, ``failure``.  ``unknown``: keys that
    stretcher would not look at either."""

    where: str
    src: str
    checksum: str
    dest: str
    commands: Mapping[str, Sequence[str]]
    excludes: Sequence[str] = ()
    exclude_from: str = ""
    unknown: Sequence[str] = ()

    @classmethod
    def read(cls, text: str, where: str, environment: Mapping[str, str]) -> Stretcher:
        """Raises DefinitionProblem."""
        body = parsed(Path(f"{where}.yml"), render(text, where, of_environment(environment)))
        if not isinstance(body, dict) or "src" not in body:
            raise DefinitionProblem(
                f"{where}: no manifest of stretcher: it has no `src`; a server may have answered "
                "with a page of its own"
            )
        commands = body.get("commands") or {}
        return cls(
            where,
            str(body["src"]),
            _checksum(str(body.get("checksum") or ""), where),
            str(body.get("dest") or ""),
            {when: _texts(commands.get(when), f"{where}: commands.{when}") for when in _WHEN},
            [_pattern(each, where) for each in _texts(body.get("excludes"), f"{where}: excludes")],
            str(body.get("exclude_from") or ""),
            sorted(set(map(str, body)) - _KEYS),
        )

    def remarks(self, deployer: OldDeployer | None) -> Iterator[str]:
        """What of the manifest a deploy by kirikae would not do as the project file is now."""
        for when, commands in self.commands.items():
            setting = _SETTINGS.get(when)
            kept = str(getattr(deployer, setting, None) or "") if setting else ""
            for command in commands:
                if command not in kept:
                    yield _unkept(when, command, setting)
        root = (deployer.root or "") if deployer is not None else ""
        if self.dest and self.dest.rstrip("/") != f"{root.rstrip('/')}/current":
            yield (
                f"dest: {self.dest} was written over in place; kirikae puts releases beside each "
                f"other and renames a link: `kirikae release adopt --path {self.dest}` makes it one"
            )
        for key in self.unknown:
            yield f"{key}: a key that stretcher has not; it is left out"

    def to_plain(self) -> dict[str, Any]:
        return {
            "src": self.src,
            "checksum": self.checksum,
            "dest": self.dest,
            "commands": {when: list(found) for when, found in self.commands.items() if found},
        }

    # --- its archive

    def unpack(self, folder: Path, aws: Callable[[], Aws]) -> None:
        """Fetch the archive, prove it, and lay its files there without what is excluded.  Raises
        DefinitionProblem, NotThere."""
        archive = fetched(self.src, aws)
        found = hashlib.new(_ALGORITHMS[len(self.checksum)], archive).hexdigest()
        if found != self.checksum:
            raise DefinitionProblem(
                f"{self.where}: {self.src} has the checksum {found}, not {self.checksum}: it is "
                "another archive, or was cut off"
            )
        self._extract(archive, folder)
        ignored = [*self.excludes, *self._excluded_within(folder)]
        if ignored:
            with (folder / IGNORE_FILE).open("a", encoding="utf-8") as file:
                file.writelines(f"\n{pattern}" for pattern in ignored)

    def _extract(self, archive: bytes, folder: Path) -> None:
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                members = tar.getmembers()
                for why in strange_members(members):
                    raise DefinitionProblem(f"{self.where}: {self.src} holds {why}")
                for member in members:
                    tar.extract(member, folder, set_attrs=not member.isdir())
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DefinitionProblem(
                f"{self.where}: {self.src} is no archive that can be unpacked ({error})"
            ) from error

    def _excluded_within(self, folder: Path) -> list[str]:
        """The lines of ``exclude_from``, as rsync reads them."""
        if not self.exclude_from:
            return []
        file = folder / self.exclude_from
        if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
            raise DefinitionProblem(
                f"{self.where}: exclude_from {self.exclude_from}: the archive has no such file"
            )
        lines = [line.strip() for line in file.read_text(errors="replace").splitlines()]
        return [
            _pattern(line, f"{self.exclude_from}:{number}")
            for number, line in enumerate(lines, 1)
            if line and line[0] not in "#;"
        ]


def _unkept(when: str, command: str, setting: str | None) -> str:
    if setting is not None:
        return (
            f"commands.{when}: `{command}` is not in `fleets.old.deployer.{setting}`: write it "
            "there, or leave it out knowingly"
        )
    return (
        f"commands.{when}: `{command}` is not carried out: `hooks/post-deploy` is told how it went"
    )


def _checksum(digits: str, where: str) -> str:
    """Raises DefinitionProblem: without one, nobody would see an archive that was cut off."""
    if len(digits) not in _ALGORITHMS:
        raise DefinitionProblem(
            f"{where}: checksum {digits or 'is missing'}: it has 32 (md5), 40 (sha1), 64 (sha256) "
            "or 128 (sha512) hexadecimal digits"
        )
    return digits.lower()


def _texts(value: Any, where: str) -> list[str]:
    """Raises DefinitionProblem."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise DefinitionProblem(f"{where}: must be a list, and is {value!r}")
    return [str(each) for each in value]


def _pattern(text: str, where: str) -> str:
    """An rsync pattern, as a line of an ignore file; refused where both would mean other files."""
    path = text.rstrip("/")
    within = "/" in path and not path.startswith("/")
    if within or "**" in text or text.startswith(("+ ", "- ", "!")):
        raise DefinitionProblem(
            f"{where}: exclude {text!r} is not understood; write a name such as *.log, or a path "
            "from the top on, such as /var/log"
        )
    return text
