"""One of a thing is one thing."""

from __future__ import annotations


def counted(many: int, one: str, more: str) -> str:
    """``1 file``, ``3 files``; with a verb where it goes along: ``1 job runs``, ``3 jobs run``."""
    return f"{many} {one if many == 1 else more}"
