"""JSON as ecspresso writes definitions: two blanks, sorted keys, Go's escapes, nothing empty but
maps, and the noughts that Go cannot leave out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kirikae.release.ecs.gotmpl.environment import IN_JSON

Path = tuple[str, ...]
ANY = "*"
_FALSE = ("enable", "rollback")
ZEROS: Mapping[Path, Mapping[str, Any]] = {
    ("containerDefinitions", ANY): {"cpu": 0},
    ("capacityProviderStrategy", ANY): {"base": 0, "weight": 0},
    ("deploymentConfiguration", "deploymentCircuitBreaker"): dict.fromkeys(_FALSE, False),
    ("deploymentConfiguration", "alarms"): dict.fromkeys(_FALSE, False),
    ("deploymentConfiguration", "earlySuccessCriteria"): {"enable": False},
    ("serviceConnectConfiguration",): {"enabled": False},
}
"""Members that Go holds without a pointer: always there where their parent is."""


def written(plain: Mapping[str, Any]) -> str:
    """With a line end; empty for nothing at all."""
    if not plain:
        return ""
    kept = without_empty(plain)
    return (
        json.dumps(
            kept,
            indent=2,
            sort_keys=True,
            ensure_ascii=False,
        ).translate(IN_JSON)
        + "\n"
    )


def without_empty(value: Any) -> Any:
    """Without ``null`` and empty lists; empty maps stay."""
    if isinstance(value, dict):
        inner = {key: without_empty(each) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each is not None and each != []}
    if isinstance(value, list):
        return [without_empty(each) for each in value]
    return value


def zeros_of(place: Path) -> Iterator[tuple[str, Any]]:
    """(member, nought) of the object at this place; numbers in a list are ``*``."""
    yield from ZEROS.get(place, {}).items()
