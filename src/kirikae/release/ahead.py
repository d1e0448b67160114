"""What stands between the lock and the first fleet: a freeze, the database's schema, hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kirikae.model.store import Store
from kirikae.release.fleet import NEW, OLD
from kirikae.release.freeze import Freeze
from kirikae.release.hooks import Hooks
from kirikae.release.ledger import Ledger
from kirikae.release.manifest import Releases
from kirikae.release.schema import Level, Schema, assert_readable, schema_from

_SIDES = (OLD, NEW)


@dataclass(frozen=True, slots=True)
class Ahead:
    """``sides``: the fleets that are about to change, of all that there are."""

    releases: Releases
    ledger: Ledger
    level: Level
    freeze: Freeze
    hooks: Hooks
    sides: Sequence[str]
    fleets: Sequence[str] = _SIDES

    def target(self, release: str) -> int | None:
        """The schema that the database would be brought to; None: it stays.  Raises
        SchemaInTheWay, UnderWay."""
        self.freeze.assert_none()
        others = list(self._others())
        return assert_readable(
            release,
            self._schema(release),
            self.level.now(),
            others,
        )

    def do(self, release: str) -> None:
        """Once, under the lock.  Raises what stands in the way; no fleet was changed then."""
        target = self.target(release)
        self.hooks.before()
        if target is not None:
            self.hooks.migrate(self.level.now(), target)
            self.level.set(target)

    def go_back(self, releases: Sequence[str]) -> None:
        """Nothing is migrated back: what cannot read the database is not put back.  Raises
        SchemaInTheWay, UnderWay, HookFailed."""
        self.freeze.assert_none()
        level = self.level.now()
        for release in releases:
            schema = self._schema(release)
            if schema is not None and level is not None:
                assert_readable(
                    release,
                    Schema(schema.least, schema.most),
                    level,
                    (),
                )
        self.hooks.before()

    def _schema(self, release: str) -> Schema | None:
        found = self.releases.find(release)
        return None if found is None else schema_from(found.schema)

    def _others(self) -> Iterator[tuple[str, Schema]]:
        """What serves on the fleets that stay as they are."""
        for side in self.fleets:
            serving = None if side in self.sides else self.ledger.serving(side)
            schema = None if serving is None else self._schema(serving.release)
            if serving is not None and schema is not None:
                yield serving.release, schema


@dataclass(frozen=True, slots=True)
class Around:
    """Who deploys which service, and from where: what every deploy of it has around it.

    ``folder`` holds ``hooks``; ``variables`` are the process's own.
    """

    store: Store
    environment: str
    service: str
    who: str
    releases: Releases
    ledger: Ledger
    folder: Path
    variables: Mapping[str, str]
    timeout_s: float
    fleets: Sequence[str] = _SIDES

    @property
    def freeze(self) -> Freeze:
        return Freeze(
            self.store,
            self.environment,
            self.service,
        )

    def ahead(self, release: str, sides: Sequence[str]) -> Ahead:
        about = {
            "KIRIKAE_RELEASE": release,
            "KIRIKAE_FLEETS": ",".join(sides),
            "KIRIKAE_PERFORMER": self.who,
            "KIRIKAE_ENVIRONMENT": self.environment,
            "KIRIKAE_SERVICE": self.service,
        }
        hooks = Hooks(
            self.folder,
            self.variables,
            self.timeout_s,
            about,
        )
        level = Level(
            self.store,
            self.environment,
            self.service,
        )
        return Ahead(
            self.releases,
            self.ledger,
            level,
            self.freeze,
            hooks,
            sides,
            self.fleets,
        )
