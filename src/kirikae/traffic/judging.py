"""The judge of a move, as the project file asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kirikae.model.move import Move
from kirikae.move.judge import Margins
from kirikae.traffic.batches import Batch
from kirikae.traffic.settings import TrafficMove
from kirikae.traffic.trial import Guards, Trial


def margins_of(settings: TrafficMove) -> Margins:
    judge = settings.judge
    return Margins(
        judge.false_alarms,
        judge.worse_requests_at_most,
        judge.bake,
        judge.slower_at_most,
        judge.fast_enough or 0.0,
        judge.long_bake,
        judge.least_slower,
    )


def trial_of(settings: TrafficMove, plan: Sequence[int], sticky: bool = False) -> Trial:
    """The judge of an attempt, with the guards that the project file asks for."""
    judge = settings.judge
    by_dns = settings.router.record is not None  # DNS answers are no share of requests
    ceiling = 1.0 if judge.ceiling is None else judge.ceiling
    guards = Guards(
        judge.warm_up,
        ceiling,
        sticky or by_dns,
        times=True,
    )
    return Trial(margins_of(settings), plan, guards)


def trial_over(
    settings: TrafficMove,
    move: Move,
    batches: Iterable[Batch],
    sticky: bool = False,
) -> Trial:
    """A trial that has judged these batches of the move's attempt."""
    trial = trial_of(settings, move.plan, sticky)
    for batch in batches:
        trial.look(batch)
    return trial.at(move.stepped, move.share)
