"""FARGATE and FARGATE_SPOT: which provider the next task goes to, and from which one the next task
goes (pure functions)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from kirikae.local.ecs.names import invalid
from kirikae.local.rows import StrategyItem

PROVIDERS = ("FARGATE", "FARGATE_SPOT")
MOST_BASE = 100_000
MOST_WEIGHT = 1000
Strategy = Sequence[StrategyItem]


def check_strategy(
    strategy: Strategy,
    of_cluster: Iterable[str],
    known: Collection[str] = PROVIDERS,
) -> None:
    """Raise AwsError for what AWS refuses (ECS API reference, CapacityProviderStrategyItem);
    ``known``: every provider that there is."""
    associated = set(of_cluster)
    for item in strategy:
        check_provider(item["capacityProvider"], known)
        _check_item(item, associated)
    if sum(item.get("base", 0) > 0 for item in strategy) > 1:
        raise invalid(
            "Only one capacity provider in a capacity provider strategy can have a base defined."
        )
    if strategy and not any(item.get("weight", 0) for item in strategy):
        raise invalid(
            "A capacity provider strategy needs at least one capacity provider with a "
            "weight greater than zero."
        )
    if len({item["capacityProvider"] for item in strategy}) != len(strategy):
        raise invalid("A capacity provider may appear once in a capacity provider strategy.")


def _check_item(item: StrategyItem, of_cluster: set[str]) -> None:
    """Raise AwsError for a provider that is not of the cluster, and for weights or bases outside
    what AWS takes."""
    name = item["capacityProvider"]
    if name not in of_cluster:
        raise invalid(
            f"The capacity provider {name} is not associated with the cluster; use "
            "PutClusterCapacityProviders."
        )
    if not 0 <= item.get("weight", 0) <= MOST_WEIGHT or not 0 <= item.get("base", 0) <= MOST_BASE:
        raise invalid(
            f"capacity provider {name}: weight is 0 to {MOST_WEIGHT}, base 0 to {MOST_BASE}"
        )


def check_provider(name: str, known: Collection[str] = PROVIDERS) -> None:
    """Raise AwsError for a provider that there is not."""
    if name not in known:
        raise invalid(
            f"The specified capacity provider {name} was not found; there are "
            f"{' and '.join(known)}."
        )


def wanted_share(strategy: Strategy, total: int) -> dict[str, float]:
    """Provider -> how many of ``total`` tasks it should have: base first, the rest by weight (not
    rounded)."""
    weights = sum(item.get("weight", 0) for item in strategy)
    share: dict[str, float] = {
        item["capacityProvider"]: min(total, item.get("base", 0)) for item in strategy
    }
    rest = total - sum(share.values())
    if weights:
        for item in strategy:
            share[item["capacityProvider"]] += rest * item.get("weight", 0) / weights
    return share


def next_provider(strategy: Strategy, now: Mapping[str, int]) -> str:
    """Where one more task goes: to the provider furthest below its share (ours; AWS publishes base
    and weight only)."""
    if not strategy:
        return ""
    share = wanted_share(strategy, sum(now.values()) + 1)
    order = [item["capacityProvider"] for item in strategy]
    return max(order, key=lambda name: (share[name] - now.get(name, 0), -order.index(name)))


def most_crowded(strategy: Strategy, now: Mapping[str, int]) -> str:
    """From where one task goes: from the provider furthest above its share after it has gone;
    foreign ones first."""
    share = wanted_share(strategy, max(0, sum(now.values()) - 1)) if strategy else {}
    return max(now, key=lambda name: (now[name] - share.get(name, 0), name))
