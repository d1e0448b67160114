"""Which release a rollback puts back: the last one that was done, never one that was not
finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from kirikae.release.ledger import Deployed, Outcome

_ARN = "arn:"


@dataclass(frozen=True, slots=True)
class Good:
    """A release that was done on a fleet; ``before`` is the one that was done before it."""

    release: str
    detail: str = ""
    """As the ledger has it; empty for what ran before kirikae came."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where what ran before kirikae came lies, as ``Deployed.previous`` has it; empty: under the
    release's own ID."""
    before: Good | None = None

    @property
    def task_definition(self) -> str:
        """The ARN; empty where no ECS service ran this release."""
        found = self.places.get("service", self.detail)
        return found if found.startswith(_ARN) else ""

    @property
    def says(self) -> str:
        """The release, and the revision where it has another name."""
        revision = self.task_definition.rpartition("/")[2]
        if revision in ("", self.release):
            return self.release
        return f"{self.release} ({revision})"


@dataclass(frozen=True, slots=True)
class _Story:
    """How far the ledger of one fleet has been read."""

    serving: Good | None = None
    """The last release that was done."""
    as_done: bool = False
    """Nothing was begun since then."""
    doubtful: frozenset[str] = frozenset()
    """Releases that were begun, and whose end is not known."""

    @property
    def target(self) -> Good | None:
        if self.serving is not None and self.as_done:
            return self.serving.before
        return self.serving

    def after(self, entry: Deployed) -> Self:
        done = entry.outcome is Outcome.DONE
        if entry.rollback:
            # One that did not get there is gone on with: it changes no target.
            return self._put_back() if done else self
        if done:
            return replace(
                self,
                serving=self._now_serving(entry),
                as_done=True,
            )
        known = entry.outcome is Outcome.ROLLED_BACK
        doubtful = self.doubtful if known else self.doubtful | {entry.release}
        return replace(
            self,
            as_done=False,
            doubtful=doubtful,
        )

    def _put_back(self) -> Self:
        """What the rollback took away is what was done before, now."""
        target = self.target
        if target is None or target is self.serving:
            return replace(self, as_done=True)
        return replace(
            self,
            serving=replace(target, before=self.serving),
            as_done=True,
        )

    def _now_serving(self, entry: Deployed) -> Good:
        if self.serving is None:
            return Good(
                entry.release,
                entry.detail,
                before=self._before_kirikae(entry),
            )
        if self.serving.release == entry.release:
            # Once more: what was done before it is still what was done before the first time.
            return Good(
                entry.release,
                entry.detail,
                before=self.serving.before,
            )
        return Good(
            entry.release,
            entry.detail,
            before=self.serving,
        )

    def _before_kirikae(self, entry: Deployed) -> Good | None:
        """What ran ahead of the first release that was done; None where nothing did, and where that
        may have been a release that was never finished."""
        if not entry.former or self.doubtful - {entry.release}:
            return None
        return Good(entry.former, places=entry.previous)


def way_back(entries: Iterable[Deployed]) -> Good | None:
    """What a rollback of a fleet with these entries puts back; None: the ledger knows nothing.

    Where the newest entry is done, the one that was done before it, else the last one that was
    done.
    """
    story = _Story()
    for entry in entries:
        story = story.after(entry)
    return story.target
