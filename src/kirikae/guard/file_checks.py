"""What NIST SP 800-190 and the twelve factors ask of a Dockerfile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from kirikae.guard.dockerfile import assigned, global_arguments, image_of, stage_names
from kirikae.guard.objects import Dockerfile, Instruction, Open
from kirikae.guard.secrets import is_secret_name, why_secret
from kirikae.guard.seen import Fault, Seen, Unknown
from kirikae.guard.task_checks import is_moving, is_root
from kirikae.model.said import said

_STARTS = ("CMD", "ENTRYPOINT")
_INSTALLS = re.compile(r"\b(?:apt-get|apt|dnf|yum|apk|microdnf)\b")
_LOGINS = re.compile(r"\s(openssh-server|sshd?|telnetd|sudo)(?=\s|$)")
_DOWNLOADS = re.compile(r"\b(?:curl|wget)\b")
_SHELL = re.compile(r"\s*(?:sudo\s+)?(?:/\S*/)?(?:ba|da|z|k)?sh\b")
_WRITABLE = re.compile(r"\bchmod\s+(?:-\w+\s+)*(?:0?777|0?666|a\+\w*w\w*|o\+\w*w\w*)\b")


def user(file: Dockerfile) -> Iterator[Seen]:
    """Of the image that comes out.  One that starts nothing is for others to build upon."""
    last = file.last("USER")
    if last is not None:
        if "$" in last.text:
            yield Unknown(said("guard.open", at="USER"))
        elif is_root(last.text):
            yield Fault(
                "USER",
                f"the image runs as {last.text}",
                last.line,
            )
        return
    if any(file.last(word) for word in _STARTS):
        yield Fault(
            "USER",
            "no USER: the image runs as whoever its base says, mostly root",
        )
        return
    yield Unknown(said("guard.starts_nothing"))


def base_image(file: Dockerfile) -> Iterator[Seen]:
    """A tag that moves is another base tomorrow."""
    stages = stage_names(file)
    arguments = global_arguments(file)
    for each in file.of("FROM"):
        image = image_of(each, arguments)
        if isinstance(image, Open):
            yield Unknown(said("guard.open", at=f"FROM {image.written}"))
        elif image.lower() not in {*stages, "scratch"} and is_moving(image):
            yield Fault(
                f"FROM.{image}",
                f"the base {image} has no tag (or latest)",
                each.line,
            )


def clear_secrets(file: Dockerfile) -> Iterator[Seen]:
    """Whoever has the image can read them, in its configuration or in its history."""
    for each in file.of("ENV", "ARG"):
        for name, value in assigned(each).items():
            why = _why(
                each,
                name,
                value,
            )
            if why:
                yield Fault(
                    f"{each.word}.{name}", f"{name} stays in the image's history ({why})", each.line
                )


def _why(
    instruction: Instruction,
    name: str,
    value: str | None,
) -> str:
    """An argument is a secret by its name alone: a build gives it, and the history keeps it."""
    if instruction.word == "ARG" and not value:
        return "its name says so" if is_secret_name(name) else ""
    if value is None or value.startswith("$"):
        return ""
    return why_secret(name, value)


def exec_form(file: Dockerfile) -> Iterator[Seen]:
    """In the shell's form a shell is process 1, and the signal to stop never arrives."""
    for word in _STARTS:
        last = file.last(word)
        if last is not None and last.text and not last.text.startswith("["):
            yield Fault(
                word,
                f"{word} is in the shell's form",
                last.line,
            )


def logins(file: Dockerfile) -> Iterator[Seen]:
    """Nobody logs in to a container."""
    for each in file.of("EXPOSE"):
        if any(port.partition("/")[0] == "22" for port in each.text.split()):
            yield Fault(
                "EXPOSE.22",
                "port 22 is exposed",
                each.line,
            )
    for each in _final(file, "RUN"):
        for package in _installed_logins(_script(each)):
            yield Fault(
                f"RUN.{package}",
                f"{package} is installed",
                each.line,
            )


def _installed_logins(script: str) -> Iterator[str]:
    """Command by command: a script may be long."""
    for command in re.split(r"[;&|]", script):
        installs = _INSTALLS.search(command)
        if installs is not None:
            yield from _LOGINS.findall(command, installs.end())


def is_piped(script: str) -> bool:
    """Does a shell run what was downloaded, unread?"""
    for line in re.split(r"[;&]", script):
        parts = line.split("|")
        for left, right in pairwise(parts):
            if _DOWNLOADS.search(left) and _SHELL.match(right):
                return True
    return False


def unproven(file: Dockerfile) -> Iterator[Seen]:
    """What comes over the network without a checksum may be anything."""
    for each in file.of("ADD"):
        if re.search(r"(?:^|\s|\")https?://", each.text) and "--checksum=" not in each.text:
            yield Fault(
                "ADD",
                "ADD takes a file from the network without a checksum",
                each.line,
            )
    for each in file.of("RUN"):
        if is_piped(_script(each)):
            yield Fault(
                "RUN.pipe",
                "a download is run by a shell, unread",
                each.line,
            )


def writable(file: Dockerfile) -> Iterator[Seen]:
    """For everybody."""
    for each in _final(file, "RUN"):
        if _WRITABLE.search(_script(each)):
            yield Fault(
                "RUN.chmod",
                "chmod makes something writable for everybody",
                each.line,
            )


def _final(file: Dockerfile, word: str) -> Iterator[Instruction]:
    """Of the stages that come out: what the others did stays behind."""
    stages = set(file.lineage)
    return (each for each in file.of(word) if each.stage in stages)


def _script(instruction: Instruction) -> str:
    return f"{instruction.text}\n{instruction.body}"
