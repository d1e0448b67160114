"""Images of tasks: the engine's own, or the loopback registry's under ECR-like names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from kirikae.local.engine import Engine
from kirikae.local.errors import EngineError, StartFailed
from kirikae.local.plain import Plain

_ECR = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/(.+)")


@dataclass(frozen=True, slots=True)
class Image:
    """``id``: the engine's.  ``digest``: empty without a registry."""

    id: str
    digest: str

    @classmethod
    def of(cls, seen: Plain) -> Self:
        """From the engine's inspection of an image; one that was only built here has no digest."""
        names = seen["RepoDigests"]
        return cls(seen["Id"], names[0].partition("@")[2] if names else "")


class Images:
    """``registry`` is the loopback registry's ``host:port``; empty if none runs."""

    def __init__(self, engine: Engine, registry: str) -> None:
        """Nothing is pulled until a task asks for it."""
        self._engine = engine
        self._registry = registry

    def place(self, image: str) -> str:
        """Where an image of this name is pulled from; empty: nowhere, it must be among the
        engine's."""
        match = _ECR.fullmatch(image)
        if match and self._registry:
            return f"{self._registry}/{match[1]}"
        return image if self._registry and image.startswith(self._registry + "/") else ""

    async def ready(self, image: str, fixed: str | None) -> Image:
        """The image on this engine; ``fixed`` is the ID that a deployment settled on.

        Raises StartFailed with AWS's reason where there is no such image.
        """
        if fixed is not None and (kept := await self._kept(fixed)) is not None:
            return kept
        source = self.place(image)
        if source:
            await self._pull(image, source)
        try:
            return Image.of(await self._engine.image(source or image))
        except EngineError as error:
            if error.status == 404:
                raise StartFailed(
                    f"CannotPullContainerError: {image} is not among this engine's "
                    "images; kirikae local pulls from its own registry only"
                ) from error
            raise

    async def _kept(self, image_id: str) -> Image | None:
        """None where somebody has removed it."""
        try:
            return Image.of(await self._engine.image(image_id))
        except EngineError as error:
            if error.status != 404:
                raise
            return None

    async def _pull(self, image: str, source: str) -> None:
        """Raises StartFailed where the registry refuses; EngineError with status 0 where the engine
        itself is away, which is worth another try."""
        try:
            await self._engine.pull(source)
        except EngineError as error:
            if error.status == 0:
                raise
            raise StartFailed(
                f"CannotPullContainerError: {image} (looked for at {source}): {error}"
            ) from error
