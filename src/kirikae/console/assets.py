"""The assets of a release: built in a stage of their own, and not at all where neither their
sources nor their lock have changed."""

from __future__ import annotations

import io
import re
import stat
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from kirikae.build.errors import CannotBuild
from kirikae.build.written import checksum
from kirikae.console.container_engine import ContainerEngine
from kirikae.console.locked import Release
from kirikae.console.progress import Progress

FILE = "assets.Dockerfile"
_INPUTS = re.compile(r"^# assets: (.+)$", re.M)
_LOCKS = ("package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc")
_TAG_LENGTH = 12


def assets_image(
    engine: ContainerEngine,
    dockerfile: Path,
    distribution: str,
    name: str,
    release: Release,
    push: bool,
    progress: Progress,
) -> str:
    """``name``: of the image, without its tag.  The image of exactly these inputs; built where
    there is none, neither here nor in the registry.  Raises CannotBuild, EngineProblem."""
    text = dockerfile.read_text(encoding="utf-8")
    inputs = _inputs(text, release)
    every = "".join(f"{path} {what}\n" for path, what in sorted(inputs.items()))
    tag = f"{name}:{checksum((text + distribution + every).encode())[:_TAG_LENGTH]}"
    if engine.has(tag) or (push and engine.pull(tag)):
        progress.step(f"{tag}: the assets have not changed")
        return tag
    progress.step(f"building {tag}")
    with _context(text, inputs, release) as context:
        engine.build(tag, context / FILE, {"DISTRIBUTION": distribution}, {})
    if push:
        engine.push(tag)
    return tag


def _inputs(text: str, release: Release) -> dict[str, str]:
    """Files and links of the release that the stage names -> what they are, as a text.  Raises
    CannotBuild."""
    named = _INPUTS.search(text)
    wanted = named[1].split(" ") if named is not None else []
    found: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(release.archive)) as tar:
        for entry in tar:
            if entry.isdir() or not any(_is_in(entry.name, path) for path in wanted):
                continue
            found[entry.name] = _what(tar, entry)
    for path in wanted:
        if not any(_is_in(name, path) for name in found) and path not in _LOCKS:
            raise CannotBuild(
                f"{release.manifest.id} has no {path}, which `build.assets` names as a source; "
                "make the release from a folder that has it, or take it out of `build.assets`"
            )
    return found


def _what(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    """Another one where the stage would see another file: a script that may be run is one."""
    if entry.issym():
        return f"-> {entry.linkname}"
    body = tar.extractfile(entry)
    assert body is not None
    runs = " runs" if entry.mode & stat.S_IXUSR else ""
    return f"{checksum(body.read())}{runs}"


def _is_in(name: str, path: str) -> bool:
    return name == path.rstrip("/") or name.startswith(f"{path.rstrip('/')}/")


@contextmanager
def _context(text: str, inputs: Collection[str], release: Release) -> Iterator[Path]:
    """Locks apart from sources: packages are installed anew only when their lock has changed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / FILE).write_text(text, encoding="utf-8")
        parts = {
            "lock": [path for path in inputs if path in _LOCKS],
            "sources": [path for path in inputs if path not in _LOCKS],
        }
        with tarfile.open(fileobj=io.BytesIO(release.archive)) as tar:
            for part, paths in parts.items():
                (folder / "assets" / part).mkdir(parents=True)
                tar.extractall(
                    folder / "assets" / part,
                    [tar.getmember(path) for path in paths],
                    filter="data",
                )
        yield folder
