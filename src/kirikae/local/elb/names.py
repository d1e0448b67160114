"""Identifiers as Elastic Load Balancing makes them."""

from __future__ import annotations

import secrets


def new_id() -> str:
    """Sixteen hexadecimal digits, as at the end of ELB's ARNs."""
    return secrets.token_hex(8)
