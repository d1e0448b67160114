"""Queues of several regions in one file: those of the instance's own region stand there by their
names, others with their region before it."""

from __future__ import annotations

from dataclasses import dataclass

from kirikae.local.wire import ACCOUNT

_PARTS = 6
"""Of a queue's ARN."""
_BETWEEN = "|"
"""No queue's name holds it."""


def key_of_arn(arn: str, home: str | None) -> str:
    """Under which key the queue of this ARN stands; ``home`` is the instance's own region, None
    where there is one region only."""
    parts = str(arn).split(":")
    if home is None or len(parts) != _PARTS:
        return parts[-1]
    *_, region, account, name = parts
    if account != ACCOUNT:
        return f"{account}{_BETWEEN}{name}"  # there is no such queue
    return name if region == home else f"{region}{_BETWEEN}{name}"


@dataclass(frozen=True, slots=True)
class Place:
    """The region that a request asks.  ``endpoint`` begins the URLs of queues."""

    region: str
    home: str
    endpoint: str

    @property
    def _begin(self) -> str:
        """Of this region's keys."""
        return "" if self.region == self.home else f"{self.region}{_BETWEEN}"

    def key(self, name: str) -> str:
        """Of a queue of this region."""
        return self._begin + name

    def is_here(self, key: str) -> bool:
        """Is it a queue of this region?"""
        region, between, _ = key.rpartition(_BETWEEN)
        return (region if between else self.home) == self.region

    def name(self, key: str) -> str:
        """As its owner knows the queue."""
        return key.rpartition(_BETWEEN)[2]

    def arn(self, key: str) -> str:
        """Of a queue of this region."""
        return f"arn:aws:sqs:{self.region}:{ACCOUNT}:{self.name(key)}"

    def url(self, key: str) -> str:
        """Where clients ask for this queue; its region is the one that they sign for."""
        return f"{self.endpoint}/{ACCOUNT}/{self.name(key)}"
