"""What NIST SP 800-190 and the twelve factors ask of an image: its configuration, its history and
the files in its layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from kirikae.guard.file_checks import is_piped
from kirikae.guard.objects import Image, Kept, entries
from kirikae.guard.secrets import why_secret
from kirikae.guard.seen import Fault, ImageCheck, Seen, Unknown
from kirikae.guard.task_checks import is_root
from kirikae.model.said import said

_SHELLS = re.compile(r"(?:.*/)?(?:ba|da|z|k)?sh")
_BASE_DIGEST = ("org.opencontainers.image.base.digest", "kirikae.base", "kirikae.base.distribution")
_SETTING = re.compile(r"(?:^|\s)([A-Za-z_][\w.]*)=(\S+)")


def user(image: Image) -> Iterator[Seen]:
    """Empty is root."""
    given = image.config.get("User")
    if not given:
        yield Fault("User", "the image names no user: it runs as root")
    elif is_root(str(given)):
        yield Fault("User", f"the image runs as {given}")


def clear_secrets(image: Image) -> Iterator[Seen]:
    """In its variables, its history and its files; also in files that a later layer deleted."""
    for row in entries(image.config.get("Env")):
        name, _, value = str(row).partition("=")
        why = why_secret(name, value)
        if why:
            yield Fault(
                f"Env.{name}",
                f"{name} stands in the image's configuration ({why})",
            )
    yield from _in_history(image)
    yield from _kept(
        image,
        Kept.SECRET,
        "{path} holds {says}",
        also_gone=True,
    )


def _in_history(image: Image) -> Iterator[Seen]:
    """Build arguments and variables that were set over: whoever has the image reads them."""
    told: set[str] = set()
    for number, line in enumerate(image.history):
        for name, value in _SETTING.findall(line):
            why = "" if value.startswith("$") else why_secret(name, value.strip("\"'"))
            if why and name not in told:
                told.add(name)
                yield Fault(
                    f"history.{name}", f"{name} stands in step {number + 1} of its history ({why})"
                )


def base_image(image: Image) -> Iterator[Seen]:
    """Nothing else in an image says for certain what it was built from."""
    moving = [ref for ref in image.refs if ref.endswith(":latest")]
    if moving and not any("@" in ref or ref not in moving for ref in image.refs):
        yield Fault("RepoTags", f"its only name is {moving[0]}")
    labels = image.config.get("Labels")
    known = labels if isinstance(labels, dict) else {}
    if not any("sha256:" in str(known.get(label)) for label in _BASE_DIGEST):
        yield Unknown(said("guard.no_base_digest", label=_BASE_DIGEST[0]))


def exec_form(image: Image) -> Iterator[Seen]:
    """``["/bin/sh", "-c", ...]`` is what the shell's form becomes."""
    for key in ("Entrypoint", "Cmd"):
        words = [str(each) for each in entries(image.config.get(key))]
        if _is_shell(words):
            yield Fault(key, f"{key} starts through {words[0]}")


def _is_shell(words: list[str]) -> bool:
    """One that gives way (exec) is none."""
    if len(words) < 3 or words[1] != "-c" or not _SHELLS.fullmatch(words[0]):
        return False
    return not words[2].lstrip().startswith("exec ")


def logins(image: Image) -> Iterator[Seen]:
    """Programs, empty passwords, port 22."""
    ports = image.config.get("ExposedPorts")
    for port in ports if isinstance(ports, dict) else ():
        if str(port).partition("/")[0] == "22":
            yield Fault("ExposedPorts.22", "port 22 is exposed")
    yield from _kept(
        image,
        Kept.LOGIN,
        "{path}: {says}",
    )


def unproven(image: Image) -> Iterator[Seen]:
    """As far as the history tells."""
    if not image.history:
        yield Unknown(said("guard.no_history"))
    for number, line in enumerate(image.history):
        if is_piped(line):
            yield Fault(
                "history.pipe",
                f"step {number + 1} ran a download by a shell, unread",
            )


def _unread(image: Image) -> Iterator[Seen]:
    for why in image.unread:
        yield Unknown(why)


def _kept(
    image: Image,
    kind: Kept,
    says: str,
    also_gone: bool = False,
) -> Iterator[Seen]:
    yield from _unread(image)
    for each in image.kept:
        if each.kind is not kind or (each.gone and not also_gone):
            continue
        later = ", and is still there though a later layer deletes it" if each.gone else ""
        text = says.format(path=f"/{each.path}", says=each.says)
        yield Fault(each.path, f"{text} (layer {each.layer}){later}")


def kept(
    kind: Kept,
    says: str,
    also_gone: bool = False,
) -> ImageCheck:
    """A check of one kind of file.  ``also_gone``: a layer that came before has it still."""

    def looked(image: Image) -> Iterator[Seen]:
        return _kept(
            image,
            kind,
            says,
            also_gone,
        )

    return looked


set_id = kept(
    Kept.SET_ID,
    "{path} is {says}: who runs it becomes somebody else",
)
writable = kept(
    Kept.WRITABLE,
    "{path} can be written by everybody ({says})",
)
_CACHES = kept(
    Kept.CACHE,
    "{path} is a package manager's cache, {says}",
    also_gone=True,
)
_TOOLS = kept(Kept.TOOL, "{path} is {says}")
_VERSIONS = kept(Kept.VERSIONS, "{path}: {says}")
_LEFT: tuple[Callable[[Image], Iterator[Seen]], ...] = (_CACHES, _TOOLS, _VERSIONS)


def leftovers(image: Image) -> Iterator[Seen]:
    """What only a build needs."""
    for look in _LEFT:
        yield from look(image)
