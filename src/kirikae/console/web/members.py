"""What each member of both fleets says it runs now: hosts and AWS are asked beside the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kirikae.console.context import open_store
from kirikae.console.here import Here
from kirikae.console.salvage import salvaged
from kirikae.console.web.kept import Found, Kept, tried
from kirikae.console.web.watched import Watchers
from kirikae.release.ledger import Ledger
from kirikae.release.status import ServiceNow, Standing, standing

_FRESH_S = 15.0
_WAIT_S = 0.7


@dataclass(slots=True)
class Members:
    """The newest look at each project file's fleets, for everybody who looks on."""

    watchers: Watchers
    _kept: dict[str, Kept[Found[Standing]]] = field(default_factory=dict)

    def of(self, here: Here) -> Found[Standing] | None:
        """As `release status`; None: not everybody has answered yet."""
        made = Kept(lambda: tried(lambda: self._ask(here)), _FRESH_S)
        return self._kept.setdefault(here.project_file, made).get(_WAIT_S)

    def _ask(self, here: Here) -> Standing:
        """Of the project file's own account.  Raises WrongAccount."""
        project = salvaged(here).project
        aws = self.watchers.session(project.region)
        who = aws.identity(project.account)
        store = open_store(
            here,
            project,
            aws,
        )
        ledger = Ledger(
            store,
            project.environment,
            project.service,
            who,
        )
        return standing(
            project,
            aws,
            ledger,
        )


def services_of(seen: Standing, name: str) -> Mapping[str, ServiceNow | None]:
    """``name``: of the service that answers; with the further ones.  None: there is none."""
    return {name: seen.service, **seen.further}
