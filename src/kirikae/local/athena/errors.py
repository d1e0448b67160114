"""Why a query ends as FAILED.

KirikaeError
└── QueryFailed              1  the query cannot be carried out; the text is its StateChangeReason
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError


class QueryFailed(KirikaeError):
    """A query that cannot be carried out, and why."""


def not_carried_out(what: str) -> QueryFailed:
    """The error (not raised yet): what is not understood is refused by its name."""
    return QueryFailed(f"NOT_SUPPORTED: kirikae local does not carry out {what}")
