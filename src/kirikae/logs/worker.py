"""One process that works on objects; its owner throttles it and writes down what it did."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kirikae import __version__
from kirikae.logs.carrier import Carrier
from kirikae.logs.counting import new_lines
from kirikae.logs.errors import LogsNotReady, TreeTrouble
from kirikae.logs.manifest import Part, Row
from kirikae.logs.owners import Owners
from kirikae.logs.redo import Mark
from kirikae.logs.trees import Door
from kirikae.logs.work import Hand, Trees
from kirikae.model.errors import KirikaeError, Unfinished
from kirikae.model.objects import Listed

_LOOKS_EVERY_S = 1.0


@dataclass(frozen=True)
class Place:
    """All that a worker must know; it can be sent to another process."""

    trees: Trees
    owners: Owners
    old: Door
    new: Door
    redo: frozenset[Mark] = field(default=frozenset(), kw_only=True)
    put_aside: bool = field(default=False, kw_only=True)

    def carrier(self, aws: Any = None) -> Carrier:
        hand = Hand(self.trees)
        return Carrier(
            self.trees,
            self.owners,
            self.old.open(aws),
            self.new.open(aws),
            hand,
            self.redo,
            self.put_aside,
        )

    def present(
        self,
        carrier: Carrier,
        names: Set[str],
    ) -> dict[str, Counter[int]]:
        """What the new writer has put into the folders at the boundary.  ``names``: of our own
        parts, which do not count."""
        return {label: new_lines(carrier, label, names) for label in self.owners.at_boundary()}


_mine: list[Carrier] = []


def begin(place: Place) -> None:
    """Called once in each worker."""
    _mine.append(place.carrier())
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """A worker whose owner was killed would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(_LOOKS_EVERY_S)
    os._exit(1)


def moved(listed: Listed) -> tuple[Row, list[Part]]:
    """In a worker that was begun."""
    return _told(_mine[-1], listed)


def moved_at(
    place: Place,
    wanted: str,
    listed: Listed,
) -> tuple[Row, list[Part]]:
    """In a worker that knows nothing yet, on whatever machine.  ``wanted``: the owner's version:
    another one might write other bytes.  Raises LogsNotReady."""
    if wanted != __version__:
        raise LogsNotReady(
            f"a worker has kirikae {__version__}, its owner {wanted}: give it an image of the same"
        )
    return _told(_carrier_of(place), listed)


@cache
def _carrier_of(place: Place) -> Carrier:
    return place.carrier()


def _told(carrier: Carrier, listed: Listed) -> tuple[Row, list[Part]]:
    """What another process gets as an error must be made of its message alone."""
    try:
        return carrier.moved(listed)
    except Unfinished as error:
        raise TreeTrouble(str(error)) from None
    except KirikaeError as error:
        raise LogsNotReady(str(error)) from None
