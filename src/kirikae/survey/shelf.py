"""Where bundles are kept: one compressed file per look at a host."""

from __future__ import annotations

import calendar
import gzip
import time
from functools import lru_cache
from pathlib import Path

from kirikae.hosts.files import read_privately, write_privately
from kirikae.model.bundle import Bundle
from kirikae.survey.bundles import read
from kirikae.survey.errors import BundleProblem
from kirikae.survey.sections import unpacked
from kirikae.survey.view import KEPT

_STAMP = "%Y%m%dT%H%M%SZ"
_LEVEL = 6
"""A tenth larger at most than at the highest level, and made in half the time."""


class Shelf:
    """The folder of bundles: ``HOST/UTC-TIME.gz``, newest last."""

    def __init__(self, folder: Path) -> None:
        """The folder need not be there yet."""
        self._folder = folder

    def put(
        self,
        host: str,
        text: str,
        clock: float | None = None,
    ) -> Path:
        """Keep one bundle.  Raises OSError."""
        moment = time.time() if clock is None else clock
        stamp = time.strftime(_STAMP, time.gmtime(moment))
        file = self._folder / host / f"{stamp}.gz"
        raw = text.encode("utf-8", "surrogateescape")
        write_privately(file, gzip.compress(raw, _LEVEL, mtime=0))
        return file

    def hosts(self) -> list[str]:
        """Those that were looked at."""
        return sorted({file.parent.name for file in self._folder.glob("*/*.gz")})

    def newest(self, host: str) -> Path | None:
        """None for a host that was never looked at; a name never leads out of the folder."""
        if host not in self.hosts():
            return None
        return max((self._folder / host).glob("*.gz"), default=None)

    def age_s(self, host: str, now: float) -> float | None:
        """Seconds since the newest look at this host, by this machine's clock; None if there is
        none."""
        file = self.newest(host)
        if file is None:
            return None
        try:
            then = time.strptime(file.name.removesuffix(".gz"), _STAMP)
        except ValueError as error:
            raise BundleProblem(
                f"{file}: the name is not a time; bundles are named by kirikae",
            ) from error
        return now - calendar.timegm(then)

    def load(self, host: str, file: Path | None = None) -> Bundle:
        """The newest look at a host, or the one in this file.  Raises BundleProblem."""
        file = file or self.newest(host)
        if file is None:
            raise BundleProblem(f"there is no bundle of {host}; `kirikae survey collect` makes one")
        try:
            raw = read_privately(file)
        except OSError as error:
            raise BundleProblem(f"{file}: {error.strerror}") from error
        return _bundle(raw, host)


@lru_cache(maxsize=KEPT)
def _bundle(raw: bytes, host: str) -> Bundle:
    """A verb asks several times for what a host said, and a bundle never changes."""
    return read(unpacked(raw), host)
