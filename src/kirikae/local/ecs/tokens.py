"""Requests with a clientToken: the same one again is answered alike and brings nothing new."""

from __future__ import annotations

import hashlib
import json
import time

from kirikae.local.ecs.names import invalid
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.state import State

KEPT_S = 24 * 3600
_LONGEST = 64


class Tokens:
    """Kept for a day, as AWS keeps them."""

    def __init__(self, state: State) -> None:
        """Tokens stand in the store, so that they hold across restarts."""
        self._state = state

    def known(self, operation: str, params: Plain) -> list[str] | None:
        """What the same clientToken brought the first time.  Raises ConflictException for other
        parameters under it."""
        token = params.get("clientToken")
        if not token:
            return None
        check_token(params, _LONGEST)
        known = self._state.tokens.get(f"{operation}/{token}")
        if known is None or time.time() - known["at"] > KEPT_S:
            return None
        if known["hash"] != _hash(params):
            raise AwsError(
                "ConflictException", f"clientToken {token} was used with other parameters."
            )
        return list(known["ids"])

    def remember(
        self,
        operation: str,
        params: Plain,
        ids: list[str],
    ) -> None:
        """Write down what a clientToken brought; in the same transaction as that, or a crash
        between the two would carry the request out twice."""
        if token := params.get("clientToken"):
            key = f"{operation}/{token}"
            self._state.tokens.put(
                key,
                {
                    "at": time.time(),
                    "hash": _hash(params),
                    "ids": ids,
                },
            )

    def forget(self, now: float) -> None:
        """Drop what is older than a day."""
        self._state.tokens.drop_where(lambda row: now - row["at"] > KEPT_S)


def check_token(params: Plain, longest: int) -> None:
    """Raise AwsError for a token that is none: ASCII from 33 to 126 (API reference,
    CreateService.clientToken)."""
    token = params.get("clientToken") or ""
    if len(token) > longest:
        raise invalid(f"clientToken must be {longest} characters or less.")
    if not all("!" <= letter <= "~" for letter in token):
        raise invalid("clientToken can have ASCII characters in the range of 33-126.")


def _hash(params: Plain) -> str:
    """Of a request with all its parameters, its clientToken among them."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
