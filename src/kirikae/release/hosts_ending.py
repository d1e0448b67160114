"""How a release on hosts ends where it is not done, whichever way it gets onto them."""

from __future__ import annotations

from collections.abc import Sequence

from kirikae.model.errors import KirikaeError
from kirikae.release.errors import NotFinished, NothingBefore, RolledBack
from kirikae.release.ledger import Deployed


def nothing_before() -> NothingBefore:
    return NothingBefore(
        "the ledger knows no release that these hosts ran before; deploy one by its ID"
    )


def not_put_back(error: Exception) -> NotFinished:
    return NotFinished(f"{error}; run `kirikae release rollback` again, or look at that host")


def ran_nothing_before(hosts: Sequence[str], entry: Deployed) -> NotFinished:
    return NotFinished(
        f"{', '.join(hosts)} ran no release before, so {entry.former} still serves there; deploy "
        "the one that shall serve, by its ID"
    )


def taken_back(entry: Deployed, why: Exception, left: Sequence[str]) -> KirikaeError:
    """``left``: hosts that did not go back, each with the reason."""
    if left:
        return NotFinished(
            f"{why}; and going back failed on {', '.join(left)}: look at these hosts now"
        )
    return RolledBack(
        f"{entry.release} was taken back: {why}; what served before serves on every host"
    )
