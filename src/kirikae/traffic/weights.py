"""A share as the two weights of a listener rule, and back.  ALB's weights go from 0 to 999, so 1000 permille need a pair."""

from __future__ import annotations

from collections.abc import Mapping

from kirikae.model.share import WHOLE


def weights_for(share: int) -> tuple[int, int]:
    """(old, new): exact for every permille; the ends are (999, 0) and (0, 999)."""
    if share == 0:
        return 999, 0
    return (0, 999) if share == WHOLE else (WHOLE - share, share)


def share_of(weights: Mapping[str, int], old: str, new: str) -> int | None:
    """The share (permille) that these weights give to ``new``; None where neither side, or a third group, has weight."""
    w_old, w_new = weights.get(old, 0), weights.get(new, 0)
    if w_old + w_new == 0 or sum(weights.values()) != w_old + w_new:
        return None
    return round(WHOLE * w_new / (w_old + w_new))
