"""A lock that a person takes: no release of a service is put anywhere until it ends.

It bears a name, a message and an end, so that nobody has to find out whose it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from kirikae.model.errors import Taken
from kirikae.model.store import Store, plain_of, readable
from kirikae.release.errors import UnderWay


@dataclass(frozen=True, slots=True)
class Frozen:
    who: str
    message: str
    since: float
    until: float

    @property
    def says(self) -> str:
        end = datetime.fromtimestamp(self.until, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"{self.who} has locked it until {end}: {self.message}"

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Freeze:
    """Of one service in one environment."""

    store: Store
    environment: str
    service: str
    clock: Callable[[], float] = time.time

    @property
    def _key(self) -> str:
        return f"freeze/{self.environment}/{self.service}"

    def now(self) -> Frozen | None:
        """None: nobody has, or it has ended."""
        stored = self.store.get(self._key)
        if stored is None:
            return None
        with readable(self._key):
            found = Frozen(**plain_of(stored.body))
            return found if found.until > self.clock() else None

    def take(
        self,
        who: str,
        message: str,
        for_s: float,
    ) -> Frozen:
        """One's own may be taken again.  Raises UnderWay for somebody else's."""
        now = self.now()
        if now is not None and now.who != who:
            raise UnderWay(f"{now.says}; `kirikae release unlock --force` ends it")
        frozen = Frozen(
            who,
            message,
            self.clock(),
            self.clock() + for_s,
        )
        self._write(frozen)
        return frozen

    def end(self, who: str, force: bool) -> Frozen | None:
        """What was ended; None: nothing was locked.  Raises UnderWay for somebody else's."""
        now = self.now()
        if now is None:
            return None
        if now.who != who and not force:
            raise UnderWay(f"{now.says}; --force ends it all the same")
        self._write(
            Frozen(
                now.who,
                now.message,
                now.since,
                0.0,
            )
        )
        return now

    def assert_none(self) -> None:
        """Raises UnderWay."""
        now = self.now()
        if now is not None:
            raise UnderWay(f"{now.says}; `kirikae release unlock` ends it")

    def _write(self, frozen: Frozen) -> None:
        body = json.dumps(frozen.to_plain())
        stored = self.store.get(self._key)
        if stored is not None:
            self.store.replace_if_match(
                self._key,
                body,
                stored.tag,
            )
            return
        try:
            self.store.create_if_absent(self._key, body)
        except Taken as error:
            raise UnderWay("somebody else has just locked it; look again") from error
