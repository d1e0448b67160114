"""What can go wrong when traffic is moved.

KirikaeError
├── NotPrepared    1  something that must stand before the share may rise does not stand
├── NotARecord     1  the DNS name does not have the records that a move can begin with
└── StillAsked     1  the old side still answers requests
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError


class NotPrepared(KirikaeError):
    """Something that must stand before the share may rise does not stand."""


class NotARecord(KirikaeError):
    """The DNS name does not have the records that a move can begin with."""


class StillAsked(KirikaeError):
    """The old side still answers requests."""
