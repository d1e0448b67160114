"""A share as the two weights of a listener rule, and back.  ALB's weights go from 0 to 999, so 1000
permille need a pair."""

from __future__ import annotations

from collections.abc import Mapping

from kirikae.model.share import WHOLE, percent


def weights_for(share: int) -> tuple[int, int]:
    """(old, new): exact for every permille; the ends are (999, 0) and (0, 999)."""
    if share == 0:
        return 999, 0
    return (0, 999) if share == WHOLE else (WHOLE - share, share)


RECORD_MOST = 255


def record_weights_for(share: int) -> tuple[int, int]:
    """(old, new) weights of two DNS records, 0 to 255: the smallest pair that gives this permille.

    Raises ValueError for a share that no pair gives (0.1% to 0.3%, 99.7% to 99.9%).
    """
    if share in (0, WHOLE):
        return (RECORD_MOST, 0) if share == 0 else (0, RECORD_MOST)
    for total in range(2, 2 * RECORD_MOST + 1):
        new = round(share * total / WHOLE)
        if (
            0 < new <= RECORD_MOST
            and 0 < total - new <= RECORD_MOST
            and round(WHOLE * new / total) == share
        ):
            return total - new, new
    raise ValueError(
        f"{percent(share)} cannot be given by DNS weights; the least share is 0.4%, the "
        "largest below all 99.6%"
    )


def share_of(weights: Mapping[str, int], old: str, new: str) -> int | None:
    """The share (permille) that these weights give to ``new``; None where neither side, or a third
    group, has weight."""
    w_old = weights.get(old, 0)
    w_new = weights.get(new, 0)
    if w_old + w_new == 0 or sum(weights.values()) != w_old + w_new:
        return None
    return round(WHOLE * w_new / (w_old + w_new))
