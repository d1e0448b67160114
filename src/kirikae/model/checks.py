"""One request whose answer is known, and whether an answer fits it."""

from __future__ import annotations

from typing import Protocol

from kirikae.model.said import Said, said


class Expectation(Protocol):
    """What a ``Check`` of the project file says."""

    @property
    def get(self) -> str: ...

    @property
    def expect(self) -> int: ...

    @property
    def contains(self) -> str | None: ...


def unmet(check: Expectation, status: int, body: str) -> Said | None:
    """Why this answer is not the one that was expected; None: it is."""
    if status != check.expect:
        return said("model.check_status", path=check.get, status=status, expect=check.expect)
    if check.contains is not None and check.contains not in body:
        return said("model.check_lacks", path=check.get, wanted=repr(check.contains))
    return None
