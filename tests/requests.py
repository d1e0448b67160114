"""Requests made from botocore's models, by a seed: right ones, and such as nobody should send."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kirikae.local.wire import service_model

PROTOCOLS = {
    "ecs": ("ecs", "AmazonEC2ContainerServiceV20141113", "json"),
    "elbv2": ("elasticloadbalancing", "", "query"),
    "sqs": ("sqs", "AmazonSQS", "json"),
    "cloudwatch": ("monitoring", "GraniteServiceVersion20100801", "json"),
}
_DEEPEST = 6
_ENDINGS = ("Delete", "Deregister", "Stop", "Purge")
"""Seldom, so that others find something."""
_TEXTS = (
    "",
    "a",
    "web",
    "default",
    "x" * 300,
    "a b",
    "../x",
    "a\nb",
    "a\x00b",
    "名前",
    "٣",
    "²",
    "-1",
    "0",
    "99999999999999999999",
    "NaN",
    "arn:aws:ecs:ap-northeast-1:123456789012:cluster/default",
    "arn:aws:ecs:eu-west-1:999999999999:service/other/web",
    "http://127.0.0.1:1/123456789012/q",
    "q",
    "q.fifo",
    "{}",
    "[" * 50,
    "%s%n{0}${HOME}",
    "<&>\"'",
    "\ud800",
)
_NUMBERS = (0, 1, 2, 5, 10, 11, 80, 100, 101, 443, -1, -(2**31), 2**31, 2**63, 10**30)
_OTHERS: tuple[Any, ...] = (None, True, "text", 7, 1.5, [], {}, [None], {"a": None}, [[]])


@dataclass(frozen=True)
class Request:
    """One request over HTTP."""

    service: str
    operation: str
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.service} {self.operation} {self.body[:400]!r}"


Known = Mapping[str, str]
"""Member of a structure -> what is there, so that most requests find something."""


def made(
    seed: int, count: int, known: Known, carried_out: Mapping[str, Collection[str]]
) -> Iterator[Request]:
    """So many, the same for the same seed; four of five ask for what is carried out."""
    chance = random.Random(seed)
    for _ in range(count):
        service = chance.choice(list(PROTOCOLS))
        model = service_model(service)
        names = model.operation_names
        if chance.random() < 0.8:
            names = sorted(carried_out[service])
        operation = chance.choice(names)
        if operation.startswith(_ENDINGS) and chance.random() < 0.9:
            operation = chance.choice(names)
        shape = model.operation_model(operation).input_shape
        params = _Maker(chance, known).value(shape, 0) if shape is not None else {}
        yield _request(service, operation, params, model, chance)


def _request(
    service: str, operation: str, params: Any, model: Any, chance: random.Random
) -> Request:
    """In the service's own protocol."""
    name, target, protocol = PROTOCOLS[service]
    scope = f"AWS4-HMAC-SHA256 Credential=k/20260101/ap-northeast-1/{name}/aws4_request"
    headers = {"Authorization": scope}
    if protocol == "query" or (service == "sqs" and chance.random() < 0.2):
        form = [("Action", operation), ("Version", model.metadata["apiVersion"])]
        form += list(_flat("", params))
        return Request(service, operation, headers, urlencode(form, errors="replace").encode())
    headers["X-Amz-Target"] = f"{target}.{operation}"
    return Request(service, operation, headers, json.dumps(params).encode())


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """As the query protocol writes parameters."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list):
        for number, part in enumerate(value, 1):
            yield from _flat(f"{name}.member.{number}", part)
    else:
        yield name, str(value)


@dataclass(frozen=True)
class _Maker:
    """Values of shapes; mostly what the shape says."""

    chance: random.Random
    known: Known

    def value(self, shape: Any, depth: int) -> Any:
        """One value."""
        chance = self.chance
        if depth and chance.random() < 0.01:
            return chance.choice(_OTHERS)
        match shape.type_name:
            case "structure":
                return self._structure(shape, depth)
            case "list":
                count = 0 if depth > _DEEPEST else chance.choice((0, 1, 1, 1, 2, 3))
                return [self.value(shape.member, depth + 1) for _ in range(count)]
            case "map":
                count = 0 if depth > _DEEPEST else chance.choice((0, 1, 2))
                keys = [_text(shape.key, chance) for _ in range(count)]
                return {key: self.value(shape.value, depth + 1) for key in keys}
            case "string":
                return _text(shape, chance)
            case "boolean":
                return chance.random() < 0.5
            case "timestamp":
                return chance.choice((0, 1_700_000_000, -1, 1e20, "2026-01-01T00:00:00Z", "soon"))
            case "float" | "double":
                return chance.choice((0.0, 1.5, -1.0, 1e300, float("nan"), float("inf")))
            case "integer" | "long":
                return _number(shape, chance)
            case _:
                return "YQ=="

    def _structure(self, shape: Any, depth: int) -> dict[str, Any]:
        """What is required nearly always, the rest now and then."""
        found = {}
        for key, member in shape.members.items():
            likely = 0.98 if key in shape.required_members else (0.2 if depth < _DEEPEST else 0.0)
            if self.chance.random() < likely:
                found[key] = self._member(key, member, depth)
        if self.chance.random() < 0.005:
            found["unknownMember"] = 1
        return found

    def _member(self, key: str, shape: Any, depth: int) -> Any:
        """Mostly one that is there."""
        if key in self.known and self.chance.random() < 0.85:
            text = self.known[key]
            return [text] if shape.type_name == "list" else text
        return self.value(shape, depth + 1)


def _text(shape: Any, chance: random.Random) -> str:
    """A word of the model, or any text."""
    if shape.enum and chance.random() < 0.9:
        return str(chance.choice(shape.enum))
    return chance.choice(_TEXTS)


def _number(shape: Any, chance: random.Random) -> int:
    """Often one within the model's bounds."""
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 1000)
    if chance.random() < 0.6:
        return chance.randint(low, max(low, high))
    return chance.choice(_NUMBERS)
