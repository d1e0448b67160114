"""The one account that there is."""

from __future__ import annotations

ACCOUNT = "123456789012"
