"""What is not understood is refused by its name."""

from __future__ import annotations

from kirikae.local.errors import QueryFailed


def not_carried_out(what: str) -> QueryFailed:
    """The error (not raised yet)."""
    return QueryFailed(f"NOT_SUPPORTED: kirikae local does not carry out {what}")
