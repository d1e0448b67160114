"""Make the images of a release: the base storey if its inputs changed, then each app storey and
web."""

from __future__ import annotations

import io
import json
import os
import posixpath
import re
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kirikae.build.context import layer_of, wanted
from kirikae.build.errors import CannotBuild
from kirikae.build.images import LAYERS
from kirikae.build.written import checksum
from kirikae.console.assets import FILE, assets_image
from kirikae.console.container_engine import ContainerEngine
from kirikae.console.locked import Release, locks_label, locks_to_install, without_packages
from kirikae.console.progress import Progress

_DISTRIBUTION = re.compile(r"^ARG DISTRIBUTION=(\S+)", re.M)
_DEFAULT = re.compile(r"\$\{DISTRIBUTION:-([^}]+)\}")
_RUNTIME = re.compile(r"^# PR12: (.+?) (?:is|are) in no package", re.M)
_LOCK = re.compile(r"\[ -f (\S.*?) \]")
_LOCKS_LIE = "/usr/share/kirikae/locks/"
_REQUIREMENTS = re.compile(r"^# requirements: (.+)$", re.M)
_TAG_LENGTH = 12
"""So much of the inputs' checksum names a base storey."""
_INPUTS = "kirikae.base.inputs"
_LOCKS = "kirikae.base.locks"
_BEGINS = "kirikae.base.distribution"
OTHER_VERSIONS = "/usr/share/kirikae/other-versions"
_OF_THE_BASE = {"wheelhouse", "runtime", "locks"}
_NOT_STOREYS = ("base", "dev", "assets")
_BESIDE_THE_SERVICE = ("web", "relay")
"""Images that begin with the distribution, and hold none of the release's code."""


@dataclass(frozen=True, slots=True)
class Storeys:
    """The folder that `build write` fills, and the distribution that images begin with."""

    folder: Path
    distribution: str

    @property
    def names(self) -> list[str]:
        """Those that a release has images of: the services, then the sidecar."""
        found = {file.name.partition(".")[0] for file in self.folder.glob("*.Dockerfile")}
        services = sorted(found - {*_NOT_STOREYS, *_BESIDE_THE_SERVICE, "app"})
        return [name for name in ("app", *services, *_BESIDE_THE_SERVICE) if name in found]

    def dockerfile(self, name: str) -> Path:
        """Of a storey."""
        return self.folder / f"{name}.Dockerfile"

    def lock_names(self) -> list[str]:
        """The locks of languages that its base storey asks for, by their paths in a release."""
        text = self.dockerfile("base").read_text(encoding="utf-8")
        found = [word for quoted in _LOCK.findall(text) for word in shlex.split(quoted)]
        locks = [word.removeprefix(_LOCKS_LIE) for word in found if word.startswith(_LOCKS_LIE)]
        named = _REQUIREMENTS.search(text)
        if "COPY wheelhouse/" in text:
            locks.append(named[1] if named is not None else "requirements.txt")
        return locks

    def parts(self) -> list[str]:
        """Parts of a release that its services are; empty: all of it."""
        services = [name for name in self.names if name not in _BESIDE_THE_SERVICE]
        texts = [self.dockerfile(name).read_text(encoding="utf-8") for name in services]
        return sorted({_part(text) for text in texts})

    def base_inputs(self) -> bytes:
        """Everything that the base storey is made from."""
        files = [self.dockerfile("base"), self.folder / "base.packages"]
        bodies = [file.read_bytes() for file in files]
        for folder in sorted(_OF_THE_BASE):
            for file in sorted((self.folder / folder).rglob("*")):
                if file.is_file():
                    name = file.relative_to(self.folder / folder).as_posix()
                    bodies.append(name.encode() + file.read_bytes())
        # As former versions spelt it: the base storeys that they made are still found.
        bodies.append(f"--build-argDISTRIBUTION={self.distribution}".encode())
        return b"".join(bodies)


def storeys_in(folder: Path, distribution: str | None) -> Storeys:
    """Raises CannotBuild, which says what must be made first."""
    names = Storeys(folder, "").names
    if not names:
        raise CannotBuild(f"{folder} has no app.Dockerfile; `kirikae build write` writes it")
    if not set(names) - set(_BESIDE_THE_SERVICE):
        # Files alone: there is no storey that a sidecar's image would share.
        return Storeys(folder, distribution or _named_in(folder / "compose.yaml", _DEFAULT))
    for name in ("base.Dockerfile", "base.packages"):
        if not (folder / name).exists():
            raise CannotBuild(f"{folder} has no {name}; `kirikae build write` writes it")
    base = (folder / "base.Dockerfile").read_text(encoding="utf-8")
    own = _named_in(folder / "base.Dockerfile", _DISTRIBUTION)
    _assert_complete(folder, base)
    return Storeys(folder, own if distribution is None else distribution)


def _named_in(file: Path, pattern: re.Pattern[str]) -> str:
    """Empty where it names none."""
    named = pattern.search(file.read_text(encoding="utf-8")) if file.exists() else None
    return named[1] if named is not None else ""


def _assert_complete(folder: Path, base: str) -> None:
    """What no survey brings: a language's packages, programs of no package."""
    if "COPY wheelhouse/" in base and not (folder / "wheelhouse").is_dir():
        raise CannotBuild(
            "the release needs language packages: "
            f"`pip download -d {folder}/wheelhouse -r requirements.txt`, and copy "
            f"requirements.txt to {folder}",
        )
    runtime = _RUNTIME.search(base)
    for program in runtime[1].split(", ") if runtime is not None else ():
        if not (folder / "runtime" / program.lstrip("/")).exists():
            raise CannotBuild(
                f"{program} is in no package (PR12): copy it, with the libraries of its own, from "
                f"a host: `mkdir -p {folder}/runtime; ssh HOST tar -C / -cf - "
                f"{program.lstrip('/')} | tar -C {folder}/runtime -xf -`",
            )


@dataclass(frozen=True, slots=True)
class ImagesMade:
    """Name of the storey -> its image, by digest where it was pushed, else by its ID.
    ``other_versions``: packages that the base storey does not have as the hosts do;
    ``left_out``: packages of languages that are in no image."""

    images: Mapping[str, str]
    base: str
    other_versions: Sequence[str]
    left_out: Sequence[str] = ()


def make_images(
    engine: ContainerEngine,
    storeys: Storeys,
    service: str,
    repository: str | None,
    release: Release,
    base: str | None = None,
    former: str | None = None,
) -> ImagesMade:
    """``base``: a base storey that is there already; it must fit the release's locks.  ``former``:
    a release of the repository whose layers are taken where nothing has changed.  Raises
    CannotBuild, EngineProblem."""
    progress = Progress()
    if not set(storeys.names) - set(_BESIDE_THE_SERVICE):
        made = ""
    elif base is None:
        made = base_image(engine, storeys, service, release, None, progress)
    else:
        _assert_fits(engine, base, storeys, release)
        made = base
    begins = {"BASE": made}
    assets = _assets(engine, storeys, repository or service, release, repository is not None)
    labels = {
        "kirikae.release": release.manifest.id,
        "kirikae.app.inputs": release.manifest.sha256,
        **({"kirikae.base": made} if made else {}),
    }
    found = {}
    for name in storeys.names:
        of_others = name in _BESIDE_THE_SERVICE
        arguments = {"DISTRIBUTION": storeys.distribution} if of_others else begins
        if _FROM_ASSETS in storeys.dockerfile(name).read_text(encoding="utf-8"):
            arguments = {**arguments, "ASSETS": assets}
        image = f"{repository or service}-{name}"
        tag = f"{image}:{release.manifest.id}"
        before = _pulled(engine, f"{image}:{former}" if former is not None else None, progress)
        progress.step(f"building {tag}")
        with _context(storeys, name, release) as context:
            engine.build(tag, context.dockerfile(name), arguments, labels, before)
        if repository is not None:
            progress.step(f"pushing {tag}")
        found[name] = engine.image_id(tag) if repository is None else engine.push(tag)
    left_out = without_packages(storeys.lock_names(), storeys.parts(), release) if made else ()
    return ImagesMade(found, made, _other_versions(engine, made), tuple(left_out))


_FROM_ASSETS = "FROM ${ASSETS}"


def _assets(
    engine: ContainerEngine,
    storeys: Storeys,
    name: str,
    release: Release,
    push: bool,
) -> str:
    """The front end's image; empty where none is built from sources."""
    file = storeys.folder / FILE
    if not file.exists():
        return ""
    begins = storeys.distribution
    return assets_image(engine, file, begins, f"{name}-assets", release, push, Progress())


def _pulled(engine: ContainerEngine, image: str | None, progress: Progress) -> str | None:
    """The image, once it is here; None where there is none of this name, which costs time alone."""
    if image is None or engine.has(image) or engine.pull(image):
        return image
    progress.step(f"{image} is not there: every layer is built anew")
    return None


def _other_versions(engine: ContainerEngine, image: str) -> list[str]:
    """What the base storey wrote down while it was built."""
    return engine.text(image, OTHER_VERSIONS).splitlines() if image else []


# --- the context


@contextmanager
def _context(storeys: Storeys, name: str, release: Release) -> Iterator[Storeys]:
    """A copy of the folder with the release's files in it, as one Dockerfile wants them."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "context"
        shutil.copytree(storeys.folder, folder, ignore=_only_for(storeys.folder))
        unpacked = Path(place) / "release"
        unpacked.mkdir()
        with tarfile.open(fileobj=io.BytesIO(release.archive)) as tar:
            tar.extractall(unpacked, filter="data")
        _write_id(unpacked / "RELEASE", release.manifest.id)
        text = storeys.dockerfile(name).read_text(encoding="utf-8")
        parts = set(wanted(text))
        if "release" in parts:
            shutil.copytree(unpacked, folder / "release", symlinks=True, copy_function=os.link)
        if "layers" in parts:
            _lay_apart(unpacked / _part(text), folder / "layers")
        yield Storeys(folder, storeys.distribution)


_PART = re.compile(r"^# release: (.+)$", re.M)


def _part(dockerfile: str) -> str:
    """The part of the release that this service is; empty: all of it."""
    named = _PART.search(dockerfile)
    return named[1] if named is not None else ""


def _only_for(folder: Path) -> Callable[[str, list[str]], set[str]]:
    """What the base storey is made from is not sent to the engine again."""

    def ignored(place: str, names: list[str]) -> set[str]:
        return set(names) & _OF_THE_BASE if Path(place) == folder else set()

    return ignored


def _lay_apart(unpacked: Path, layers: Path) -> None:
    """Each file of the release in the layer that it changes with.  Raises CannotBuild."""
    if not unpacked.is_dir():
        raise CannotBuild(
            f"the release has no folder {unpacked.name}/, which `build.services` names as the code "
            "of a service",
        )
    for part in LAYERS:
        (layers / part).mkdir(parents=True)
    names = [path.name for path in unpacked.iterdir()]
    for path in sorted(unpacked.rglob("*")):
        name = path.relative_to(unpacked).as_posix()
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                (layers / "code" / name).mkdir(parents=True, exist_ok=True)
            continue
        part = layer_of(name, path.lstat().st_size, names)
        target = layers / part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target, follow_symlinks=False)


def _write_id(file: Path, release_id: str) -> None:
    """Whatever the archive holds under this name, a link above all, is not written through."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
    file.write_text(f"{release_id}\n")


# --- the base storey


def base_image(
    engine: ContainerEngine,
    storeys: Storeys,
    service: str,
    release: Release | None,
    repository: str | None,
    progress: Progress,
    fresh: bool = False,
) -> str:
    """The base storey of exactly these inputs; built when there is none, neither here nor in the
    repository, or when ``fresh`` is wanted.  ``release``: whose locks are installed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "context"
        shutil.copytree(storeys.folder, folder)
        locks = locks_to_install(storeys.lock_names(), release)
        _write_locks(folder, locks)
        here = Storeys(folder, storeys.distribution)
        inputs = checksum(here.base_inputs())
        name = f"{repository or service}-base:{inputs[:_TAG_LENGTH]}"
        there = not fresh and (engine.has(name) or (repository is not None and engine.pull(name)))
        if not there:
            progress.step(f"building {name}, the packages below the app: minutes, once")
            begins = _begun_with(engine, storeys, repository)
            labels = {_INPUTS: inputs, _LOCKS: locks_label(locks), _BEGINS: begins}
            engine.build(name, here.dockerfile("base"), {"DISTRIBUTION": begins}, labels)
        return name if repository is None else engine.push(name)


def _begun_with(engine: ContainerEngine, storeys: Storeys, repository: str | None) -> str:
    """What others will run begins with one image and no other: the label says which.  A base for
    this machine alone begins with what is here."""
    return storeys.distribution if repository is None else engine.pinned(storeys.distribution)


def _write_locks(folder: Path, locks: Mapping[str, bytes]) -> None:
    place = folder / "locks"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, body in locks.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(body)
        if posixpath.basename(name) == "requirements.txt":
            (folder / "requirements.txt").write_bytes(body)


def _assert_fits(engine: ContainerEngine, base: str, storeys: Storeys, release: Release) -> None:
    """A commit that changes a lock must not stand on last night's base."""
    label = engine.label(base, _LOCKS)
    mine = locks_label(locks_to_install(storeys.lock_names(), release))
    if label is None:
        raise CannotBuild(
            f"{base} has no label {_LOCKS}: it is no base storey of kirikae's; `kirikae build base "
            f"{release.manifest.id}` makes one",
        )
    if json.loads(label or "{}") != json.loads(mine):
        raise CannotBuild(
            f"{base} is stale for {release.manifest.id}: its lock files are others (the base has "
            f"{label}, the release {mine}); run `kirikae build base {release.manifest.id}` first, "
            "or leave --base out",
        )
