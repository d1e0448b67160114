"""Fargate's limits as dated data: what holds on a day, where it was read, and whether that is too
long ago to be believed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from types import MappingProxyType

BELIEVED = timedelta(days=184)
"""AWS changes what Fargate takes about twice a year."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``values``: what is taken (or not, as the check says); ``since`` None: as long as known."""

    name: str
    read: date
    source: str
    values: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    since: date | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Those of one day.  ``today``: the day on which somebody asks."""

    day: date
    today: date
    table: Mapping[str, Limit]

    def of(self, name: str) -> Limit:
        """Raises KeyError for a limit that the data do not have."""
        return self.table[name]

    def holds(self, name: str) -> bool:
        """Has AWS allowed it on that day already?"""
        since = self.of(name).since
        return since is None or since <= self.day

    def is_old(self, name: str) -> bool:
        """Was it read too long ago to say that something keeps it?"""
        return self.today - self.of(name).read > BELIEVED


def limits(today: date, day: date | None = None) -> Limits:
    """As they hold on a day; by default today."""
    return Limits(
        day or today,
        today,
        _table(),
    )


@cache
def _table() -> Mapping[str, Limit]:
    text = (files("kirikae.guard") / "limits.toml").read_text(encoding="utf-8")
    found = {}
    for name, row in tomllib.loads(text).items():
        values = tuple(row.pop("values", ()))
        found[name] = Limit(
            name,
            values=values,
            **row,
        )
    return MappingProxyType(found)
