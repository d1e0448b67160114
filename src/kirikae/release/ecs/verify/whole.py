"""All checks of one configuration, in ecspresso's order; those that it lacks are among them."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.aws import proofs
from kirikae.release.ecs.verify import containers, services
from kirikae.release.ecs.verify.bench import Bench
from kirikae.release.ecs.verify.checked import GOOD, Check, Checked, Reply, Rounds, remedied


def verified(bench: Bench, remembers: bool = True) -> Iterator[Checked]:
    """Each as soon as it is known; it goes on after one that is not right."""
    rounds = Rounds({} if remembers else None)
    for check in _checks(bench):
        yield rounds.of(check)


def _checks(bench: Bench) -> list[Check]:
    cluster = Check("Cluster", lambda: _cluster(bench))
    return [containers.checks(bench), *services.checks(bench), cluster]


def _cluster(bench: Bench) -> Reply:
    name = bench.config.cluster
    if proofs.cluster(bench.aws, name) is None:
        return remedied("no_cluster", name=name)
    return GOOD
