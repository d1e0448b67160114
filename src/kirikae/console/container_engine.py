"""The container engine that builds and opens images: docker, or what ``KIRIKAE_ENGINE`` names."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from kirikae.build.contents import ImageFile, looked_into
from kirikae.build.errors import EngineProblem
from kirikae.model.private import why_by_content

_SHOWN = 1500
"""So many characters of what the engine complains of are shown: the end says why."""

_NO_BASE = re.compile(
    r"manifest .*(unknown|not found)|pull access denied|failed to resolve|lookup "
)
_NO_BASE_HINT = (
    "; where the registry cannot be reached, name an image that is at hand: `--distribution IMAGE`"
)
_LOOKED_AT = 1 << 20
"""Bytes of a file of an image in which a key is looked for."""


@dataclass(frozen=True, slots=True)
class ContainerEngine:
    """Every act raises EngineProblem."""

    command: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Nothing is run yet: whether it is there is found at the first act."""
        return cls(environment.get("KIRIKAE_ENGINE", "docker"), environment)

    def has(self, image: str) -> bool:
        """False also where the engine does not answer; the next act then says so."""
        try:
            self._run("image", "inspect", image)
        except EngineProblem:
            return False
        return True

    def pull(self, image: str) -> bool:
        """From its registry; False where it is not there, or the registry does not answer."""
        try:
            self._run("pull", "-q", image)
        except EngineProblem:
            return False
        return True

    def build(
        self,
        image: str,
        dockerfile: Path,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        former: str | None = None,
    ) -> None:
        """From a Dockerfile, with its folder as the context.  ``former``: an image that is here,
        whose layers are taken where nothing of theirs has changed."""
        words = [
            *_named("--build-arg", arguments.items()),
            *_named("--label", labels.items()),
            *(("--cache-from", former) if former is not None else ()),
        ]
        self._run("build", "-q", "-t", image, "-f", str(dockerfile), *words, str(dockerfile.parent))

    def image_id(self, image: str) -> str:
        """``sha256:...``, as the engine names it."""
        return self._run("image", "inspect", "-f", "{{.Id}}", image)

    def label(self, image: str, name: str) -> str | None:
        """A label of an image; None for one that it does not have."""
        shown = self._run("image", "inspect", "-f", "{{json .Config.Labels}}", image)
        labels: dict[str, str] = json.loads(shown) or {}
        return labels.get(name)

    def text(self, image: str, path: str) -> str:
        """A file of an image; empty for one that is not there."""
        container = self._run("create", image, "true")
        try:
            packed = self._raw("cp", f"{container}:{path}", "-")
        except EngineProblem:
            return ""
        finally:
            self._run("rm", "-f", container)
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            body = tar.extractfile(tar.next() or path)
            return body.read().decode(errors="replace") if body is not None else ""

    def push(self, image: str) -> str:
        """The image by its digest in the repository."""
        self._run("push", "-q", image)
        digest = self._digest(image)
        if digest is None:
            raise EngineProblem(f"{image} was pushed, but the engine knows no digest of it")
        return digest

    def pinned(self, image: str) -> str:
        """The newest of this name by its digest; as it is where no registry has it."""
        if "@" in image or not self.pull(image):
            return image
        return self._digest(image) or image

    def _digest(self, image: str) -> str | None:
        """``REPOSITORY@sha256:...``; None for an image of no registry."""
        shown = self._run("image", "inspect", "-f", "{{json .RepoDigests}}", image)
        digests: list[str] = json.loads(shown) or []
        repository = image.rpartition(":")[0]
        mine = [digest for digest in digests if digest.startswith(f"{repository}@")]
        return next(iter([*mine, *digests]), None)

    def run(self, name: str, words: Sequence[str]) -> None:
        """A container that goes on; ``words``: options, image and command."""
        self._run("run", "-d", "--name", name, *words)

    def address(self, name: str) -> str:
        """Of a running container, in its network."""
        networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        found = self._run("inspect", "-f", networks, name).split()
        if not found:
            raise EngineProblem(f"{name} has no address; did it end? {self.logs(name)[-_SHOWN:]}")
        return found[0]

    def changed(self, name: str) -> list[str]:
        """Paths of a container that differ from its image."""
        return [line[2:] for line in self._run("diff", name).splitlines() if len(line) > 2]

    def logs(self, name: str) -> str:
        """Both outputs of a container, the one after the other."""
        done = subprocess.run([self.command, "logs", name], capture_output=True, check=False)
        return (done.stdout + done.stderr).decode(errors="replace")

    def remove(self, name: str) -> None:
        """A container, also one that runs; none there is as good."""
        subprocess.run([self.command, "rm", "-f", "-v", name], capture_output=True, check=False)

    def remove_volume(self, name: str) -> None:
        """None there is as good."""
        subprocess.run([self.command, "volume", "rm", name], capture_output=True, check=False)

    def has_container(self, name: str) -> bool:
        """False also where the engine does not answer."""
        try:
            self._run("container", "inspect", "-f", "{{.Id}}", name)
        except EngineProblem:
            return False
        return True

    def variable(self, container: str, name: str) -> str:
        """Of a container's environment; empty: it has none of this name."""
        shown = self._run("container", "inspect", "-f", "{{json .Config.Env}}", container)
        variables: list[str] = json.loads(shown) or []
        named = [each.partition("=")[2] for each in variables if each.startswith(f"{name}=")]
        return named[0] if named else ""

    def act(self, *words: str) -> str:
        """Run it with these words; what it wrote."""
        return self._run(*words)

    def files(self, image: str) -> list[ImageFile]:
        """Every regular file of the image, streamed, never unpacked."""
        container = self._run("create", image)
        try:
            return self._exported(container, image)
        finally:
            self._run("rm", "-f", container)

    def _exported(self, container: str, image: str) -> list[ImageFile]:
        """The archive is read as it comes, and lies nowhere."""
        export = subprocess.Popen([self.command, "export", container], stdout=subprocess.PIPE)
        assert export.stdout is not None
        with export.stdout:
            try:
                files = _regular_files(export.stdout)
            except tarfile.TarError as error:
                raise EngineProblem(
                    f"`{self.command} export` of {image} failed: {error}",
                ) from error
            # What follows the archive's end; who closes the pipe before kills the exporter.
            export.stdout.read()
            if export.wait():
                raise EngineProblem(f"`{self.command} export` of {image} failed")
        return files

    def _run(self, *arguments: str) -> str:
        """What the engine wrote, as text."""
        return self._raw(*arguments).decode(errors="replace").strip()

    def _raw(self, *arguments: str) -> bytes:
        """What the engine wrote."""
        try:
            done = subprocess.run(
                [self.command, *arguments],
                capture_output=True,
                # The classic builder needs no plug-in.
                env={**self.environment, "DOCKER_BUILDKIT": "0"},
                check=False,
            )
        except OSError as error:
            raise EngineProblem(
                f"cannot run `{self.command}`: {error.strerror}; install a container engine, or "
                "name another with KIRIKAE_ENGINE",
            ) from error
        if done.returncode:
            complaint = (done.stderr or done.stdout).decode(errors="replace").strip()
            what = f"{self.command} {' '.join(arguments[:2])}"
            hint = _NO_BASE_HINT if _NO_BASE.search(complaint) else ""
            raise EngineProblem(f"`{what}` failed: {complaint[-_SHOWN:]}{hint}")
        return done.stdout


def _named(option: str, values: Iterable[tuple[str, str]]) -> list[str]:
    """``--option name=value`` for each."""
    words: list[str] = []
    for name, value in values:
        words += [option, f"{name}={value}"]
    return words


def _regular_files(stream: IO[bytes]) -> list[ImageFile]:
    """Paths relative to the root, without folders, links and devices."""
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        return [_file_of(tar, entry) for entry in tar if entry.isfile()]


def _file_of(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> ImageFile:
    """What can hold a key is looked into as it goes by."""
    path = entry.name.removeprefix("./")
    if not looked_into(path):
        return ImageFile(path, entry.mode)
    body = tar.extractfile(entry)
    holds = why_by_content(path, body.read(_LOOKED_AT)) if body is not None else ""
    return ImageFile(path, entry.mode, holds)
