"""Read a Dockerfile into instructions (Dockerfile reference: format, escape, here-documents)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kirikae.guard.objects import Dockerfile, Instruction, Open

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*")
_HERE = re.compile(r"<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?[-+?][^}]*)?\}|(\w+))")
_WITH_DOCUMENTS = ("RUN", "COPY", "ADD")


def dockerfile(name: str, text: str) -> Dockerfile:
    """Never fails: what is no instruction stands there as one that nobody knows."""
    return Dockerfile(
        name,
        tuple(_Reading(text.splitlines()).instructions()),
    )


@dataclass
class _Reading:
    """One walk over the lines; ``at`` is the next one, counted from 0."""

    lines: list[str]
    at: int = 0
    escape: str = "\\"
    stage: int = field(default=-1)

    def instructions(self) -> Iterator[Instruction]:
        self._directives()
        while self.at < len(self.lines):
            begun = self.at
            text = self._logical()
            if not text:
                continue
            word, _, rest = text.partition(" ")
            word = word.upper()
            if word == "FROM":
                self.stage += 1
            body = self._documents(rest) if word in _WITH_DOCUMENTS else ""
            yield Instruction(
                word,
                rest.strip(),
                begun + 1,
                self.stage,
                body,
            )

    def _directives(self) -> None:
        """Only at the very top a comment may say what the escape is."""
        for line in self.lines:
            found = _DIRECTIVE.fullmatch(line.strip())
            if found is None:
                return
            if found[1].lower() == "escape":
                self.escape = found[2]

    def _logical(self) -> str:
        """One instruction, its continued lines joined, comments among them left out."""
        parts: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            self.at += 1
            if line.startswith("#") or (parts and not line):
                continue
            if not line.endswith(self.escape):
                parts.append(line)
                break
            parts.append(line[: -len(self.escape)].strip())
        return " ".join(" ".join(parts).split("\t"))

    def _documents(self, text: str) -> str:
        """The lines of its here-documents."""
        told: list[str] = []
        for _, mark in _HERE.findall(text):
            while self.at < len(self.lines):
                line = self.lines[self.at]
                self.at += 1
                if line.strip() == mark:
                    break
                told.append(line)
        return "\n".join(told)


def assigned(instruction: Instruction) -> dict[str, str | None]:
    """The variables that ENV or ARG sets; None: a name without a value."""
    try:
        words = shlex.split(instruction.text)
    except ValueError:
        words = instruction.text.split()
    if not words:
        return {}
    if instruction.word == "ENV" and "=" not in words[0]:
        return {words[0]: instruction.text.partition(" ")[2].strip()}
    found: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        found[name] = value if equals else None
    return found


def image_of(instruction: Instruction, arguments: Mapping[str, str | None]) -> str | Open:
    """The image that FROM names; open where a build argument without a default decides."""
    words = [word for word in instruction.text.split() if not word.startswith("--")]
    written = words[0] if words else ""
    missing = False

    def filled(found: re.Match[str]) -> str:
        nonlocal missing
        value = arguments.get(found[1] or found[2])
        missing = missing or not value
        return value or ""

    image = _VARIABLE.sub(filled, written)
    return Open(written) if missing else image


def stage_names(file: Dockerfile) -> set[str]:
    """Names that stages are given, in small letters, as FROM and COPY read them."""
    found = set()
    for each in file.of("FROM"):
        words = each.text.split()
        if len(words) >= 3 and words[-2].upper() == "AS":
            found.add(words[-1].lower())
    return found


def global_arguments(file: Dockerfile) -> dict[str, str | None]:
    """What ARG says before the first FROM."""
    found: dict[str, str | None] = {}
    for each in file.of("ARG"):
        if each.stage < 0:
            found |= assigned(each)
    return found
