"""The kind of move ``traffic``: what is registered.

Every verb reads this, a release too: what only a move needs is imported by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kirikae.model.catalogue import load
from kirikae.model.said import words_of
from kirikae.move.kind import LISTENER_RULE, Bench, Kind, Turned
from kirikae.traffic.by_hand import by_hand
from kirikae.traffic.permissions import permissions
from kirikae.traffic.settings import TrafficMove

if TYPE_CHECKING:
    from kirikae.traffic.thing import TrafficThing


def _open(settings: TrafficMove, bench: Bench) -> TrafficThing:
    from kirikae.traffic.thing import TrafficThing

    return TrafficThing(
        bench.aws,
        bench.project,
        settings,
        bench.journal,
        bench.clock,
    )


def _turns(settings: TrafficMove) -> tuple[Turned, ...]:
    router = settings.router
    if router.record is not None:
        return (Turned("dns_record", router.record.name),)
    return (Turned(LISTENER_RULE, router.listener_rule or ""),)


TRAFFIC: Kind[TrafficMove] = Kind(
    name="traffic",
    settings=TrafficMove,
    words=words_of("kirikae.traffic"),
    open=_open,
    permissions=permissions,
    turns=_turns,
    by_hand=by_hand,
    catalogue=load("kirikae.traffic"),
)
