"""AWS's own model of a service, as botocore carries it: read once in a process, for whoever asks
what a call takes or answers."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def service_model(service: str) -> Any:
    """No client, no credentials and no network are needed; ECS's takes some 40 ms to read."""
    from botocore.session import Session

    return Session().get_service_model(service)


def input_shape(service: str, operation: str) -> Any:
    """The shape of an operation's parameters."""
    return service_model(service).operation_model(operation).input_shape
