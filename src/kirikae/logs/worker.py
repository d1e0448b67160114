"""One process that works on objects; its owner throttles it and writes down what it did."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kirikae.logs.carrier import Carrier
from kirikae.logs.classify import Classified
from kirikae.logs.counting import new_lines
from kirikae.logs.manifest import Part, Row
from kirikae.logs.owners import Owner, Owners
from kirikae.logs.trees import Door
from kirikae.logs.work import Hand, Trees
from kirikae.model.objects import Listed

_LOOKS_EVERY_S = 1.0


@dataclass(frozen=True)
class Place:
    """All that a worker must know; it can be sent to another process."""

    trees: Trees
    owners: Owners
    old: Door
    new: Door

    def carrier(self, aws: Any = None) -> Carrier:
        hand = Hand(self.trees)
        return Carrier(
            self.trees,
            self.owners,
            self.old.open(aws),
            self.new.open(aws),
            hand,
        )

    def present(
        self,
        carrier: Carrier,
        boundary: Iterable[Classified],
    ) -> dict[str, Counter[int]]:
        """What the new writer has put into the folders at the boundary, but for our own parts."""
        objects = list(boundary)
        labels = {label for found in objects for label in found.labels}
        mine = {self.trees.part_key(label, found.listed) for found in objects for label in labels}
        counts: dict[str, Counter[int]] = {}
        for label in sorted(labels):
            if self.owners.of(label) is Owner.BOUNDARY:
                counts[label] = new_lines(carrier, label, mine)
        return counts


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
    """In a worker."""
    return _mine[-1].moved(listed)
