"""Which database schema a release can work with, and that none is put where it could not read it.

A schema is a number that only grows.  A release *reads* a range of them and may *provide* one: the
hook ``migrate`` brings the database there, once, under the lock, before the first fleet changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.model.errors import Taken, UsageProblem
from kirikae.model.store import Store, plain_of, readable
from kirikae.release.errors import SchemaInTheWay

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Schema:
    """``least`` and ``most`` that a release reads; ``provides`` None: it changes nothing."""

    least: int
    most: int
    provides: int | None = None

    def reads(self, level: int) -> bool:
        return self.least <= level <= self.most

    def to_plain(self) -> dict[str, int | None]:
        return {
            "least": self.least,
            "most": self.most,
            "provides": self.provides,
        }

    @property
    def says(self) -> str:
        return f"{self.least}" if self.least == self.most else f"{self.least}-{self.most}"


def schema_from(plain: Mapping[str, Any] | None) -> Schema | None:
    """As a manifest keeps it; None: the release says nothing of schemas."""
    return None if plain is None else Schema(**plain)


def asked(reads: str | None, provides: int | None) -> Schema | None:
    """From ``3-5`` and 5.  Raises UsageProblem."""
    if reads is None:
        if provides is not None:
            raise UsageProblem("--provides-schema needs --reads-schema, such as 3-5")
        return None
    found = _RANGE.fullmatch(reads)
    if found is None:
        raise UsageProblem(f"--reads-schema {reads}: write a number or a range, such as 3-5")
    least = int(found[1])
    most = int(found[2] or found[1])
    schema = Schema(
        least,
        most,
        provides,
    )
    if most < least or (provides is not None and not schema.reads(provides)):
        raise UsageProblem(
            f"--reads-schema {reads}: it must hold --provides-schema, and end above its beginning"
        )
    return schema


@dataclass(frozen=True, slots=True)
class Level:
    """The schema that the database of one service has now, as the store knows it."""

    store: Store
    environment: str
    service: str

    @property
    def _key(self) -> str:
        return f"schema/{self.environment}/{self.service}"

    def now(self) -> int | None:
        """None: no release has said anything of schemas yet."""
        stored = self.store.get(self._key)
        if stored is None:
            return None
        with readable(self._key):
            return int(plain_of(stored.body)["level"])

    def set(self, level: int) -> None:
        body = json.dumps({"level": level})
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
        except Taken:
            self.set(level)


def _target(wanted: Schema, level: int | None) -> int | None:
    """Where the database will be; it never goes back."""
    known = [each for each in (wanted.provides, level) if each is not None]
    return max(known, default=None)


def assert_readable(
    release: str,
    wanted: Schema | None,
    level: int | None,
    others: Iterable[tuple[str, Schema]],
) -> int | None:
    """The schema to migrate to; None: the database stays as it is.  Raises SchemaInTheWay.

    ``others``: (release, schema) of what serves on fleets that are not changed now.
    """
    if wanted is None:
        return None
    target = _target(wanted, level)
    if target is not None and not wanted.reads(target):
        raise SchemaInTheWay(
            f"{release} reads the schema {wanted.says}, and the database has {target}: deploy a "
            "release that reads it"
        )
    if target is None or target == level:
        return None
    for other, schema in others:
        if not schema.reads(target):
            raise SchemaInTheWay(
                f"{release} brings the database to schema {target}, which {other} on the other "
                f"fleet does not read ({schema.says}); put a release there first that does"
            )
    return target
