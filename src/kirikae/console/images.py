"""Make the images of a release: the base storey if its inputs changed, then app and web."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kirikae.build.errors import CannotBuild
from kirikae.build.written import checksum
from kirikae.console.container_engine import ContainerEngine
from kirikae.console.progress import Progress
from kirikae.release.manifest import Manifest

_DISTRIBUTION = re.compile(r"^ARG DISTRIBUTION=(\S+)", re.M)
_TAG_LENGTH = 12
"""So much of the inputs' checksum names a base storey."""


@dataclass(frozen=True, slots=True)
class Storeys:
    """The folder that `build write` fills, and the distribution that images begin with."""

    folder: Path
    distribution: str

    @property
    def names(self) -> list[str]:
        """Those that a release has images of."""
        web = self.folder / "web.Dockerfile"
        return ["app", "web"] if web.exists() else ["app"]

    def base_inputs(self) -> bytes:
        """Everything that the base storey is made from."""
        files = [self.folder / "base.Dockerfile", self.folder / "base.packages"]
        wheels = sorted((self.folder / "wheelhouse").glob("*"))
        bodies = [file.read_bytes() for file in files]
        bodies += [wheel.name.encode() + wheel.read_bytes() for wheel in wheels]
        # As former versions spelt it: the base storeys that they made are still found.
        bodies.append(f"--build-argDISTRIBUTION={self.distribution}".encode())
        return b"".join(bodies)


def storeys_in(folder: Path, distribution: str | None) -> Storeys:
    """Raises CannotBuild, which says what must be made first."""
    for name in ("app.Dockerfile", "base.Dockerfile"):
        if not (folder / name).exists():
            raise CannotBuild(f"{folder} has no {name}; `kirikae build write` writes it")
    base = (folder / "base.Dockerfile").read_text(encoding="utf-8")
    if "COPY wheelhouse/" in base and not (folder / "wheelhouse").is_dir():
        raise CannotBuild(
            "the release needs language packages: "
            f"`pip download -d {folder}/wheelhouse -r requirements.txt`, and copy "
            f"requirements.txt to {folder}",
        )
    named = _DISTRIBUTION.search(base)
    own = named[1] if named is not None else ""
    return Storeys(folder, own if distribution is None else distribution)


def make_images(
    engine: ContainerEngine,
    storeys: Storeys,
    service: str,
    repository: str | None,
    manifest: Manifest,
    archive: bytes,
) -> dict[str, str]:
    """Name of the storey -> its image, by digest where it was pushed, else by its ID."""
    with _context(storeys, manifest, archive) as context:
        progress = Progress()
        base = _base_image(engine, context, service, progress)
        begins = {
            "app": {"BASE": base},
            "web": {"DISTRIBUTION": context.distribution},
        }
        labels = {
            "kirikae.release": manifest.id,
            "kirikae.app.inputs": manifest.sha256,
        }
        made = {}
        for name in context.names:
            tag = f"{repository or service}-{name}:{manifest.id}"
            progress.step(f"building {tag}")
            engine.build(tag, context.folder / f"{name}.Dockerfile", begins[name], labels)
            if repository is not None:
                progress.step(f"pushing {tag}")
            made[name] = engine.image_id(tag) if repository is None else engine.push(tag)
        return made


@contextmanager
def _context(storeys: Storeys, manifest: Manifest, archive: bytes) -> Iterator[Storeys]:
    """A copy of the folder with the release's files in it, for as long as images are made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(storeys.folder, folder, dirs_exist_ok=True)
        release = folder / "release"
        release.mkdir()
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(release, filter="data")
        _write_id(release / "RELEASE", manifest.id)
        yield Storeys(folder, storeys.distribution)


def _write_id(file: Path, release_id: str) -> None:
    """Whatever the archive holds under this name, a link above all, is not written through."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
    file.write_text(f"{release_id}\n")


def _base_image(engine: ContainerEngine, storeys: Storeys, service: str, progress: Progress) -> str:
    """The base storey of exactly these inputs; built when there is none."""
    inputs = checksum(storeys.base_inputs())
    name = f"{service}-base:{inputs[:_TAG_LENGTH]}"
    if not engine.has(name):
        progress.step(f"building {name}, the packages below the app: minutes, once")
        engine.build(
            name,
            storeys.folder / "base.Dockerfile",
            {"DISTRIBUTION": storeys.distribution},
            {"kirikae.base.inputs": inputs},
        )
    return name
