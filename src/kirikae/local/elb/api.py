"""Elastic Load Balancing v2, application load balancers: the API over the store; HAProxy is told
what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kirikae.local.elb import balancerapi, certificateapi, groupapi, ruleapi, tagapi, targets
from kirikae.local.elb.attributes import CARRIED_OUT
from kirikae.local.elb.balancerapi import BalancerApi, PutObject
from kirikae.local.elb.certificateapi import CertificateApi
from kirikae.local.elb.door import Door
from kirikae.local.elb.frontdoor import FrontDoor
from kirikae.local.elb.groupapi import GroupApi
from kirikae.local.elb.known import Known
from kirikae.local.elb.networking import Networking, Unknown
from kirikae.local.elb.pems import Pems
from kirikae.local.elb.ruleapi import RuleApi
from kirikae.local.elb.tagapi import TagApi
from kirikae.local.elb.targets import Targets
from kirikae.local.errors import AwsError, LocalError
from kirikae.local.plain import Plain
from kirikae.local.state import State
from kirikae.local.wire import Operation, bound

__all__ = ["CARRIED_OUT", "NAMES", "PARTLY", "Elb"]

_CHANGES = ("Create", "Modify", "Delete", "Set", "Add", "Remove")
_PARTS = (balancerapi, groupapi, ruleapi, certificateapi, targets, tagapi)
NAMES: frozenset[str] = frozenset(name for part in _PARTS for name in part.OPERATIONS)
"""Every operation that is carried out."""
PARTLY: Mapping[str, str] = {
    **balancerapi.PARTLY,
    **groupapi.PARTLY,
    **ruleapi.PARTLY,
    **certificateapi.PARTLY,
}
"""Operations of which something is missing, and what."""


class Elb:
    """The parts of the ELB API; what changes load balancers, groups and rules is carried out one at
    a time."""

    def __init__(
        self,
        state: State,
        known: Known,
        front: FrontDoor,
        targets: Targets,
        put_object: PutObject,
        prefix: str,
        changing: asyncio.Lock | None = None,
        networking: Networking | None = None,
        pems: Pems | None = None,
    ) -> None:
        """``prefix`` is the beginning of every ARN of this region and account.

        ``put_object`` writes the test file of access logs.  ``changing`` is held by whoever changes
        rows that HAProxy is told of; regions share one.  Without ``pems`` nothing is encrypted.
        """
        door = Door(front)
        self._known = known
        self._state = state
        self._targets = targets
        self._balancers = BalancerApi(
            state, known, door, put_object, networking or Unknown(), prefix
        )
        self._groups = GroupApi(state, known, door, prefix)
        self._rules = RuleApi(state, known, door, prefix, pems)
        self._certificates = CertificateApi(state, known, door, pems)
        self._tags = TagApi(state, known)
        self._changing = changing or asyncio.Lock()

    def operations(self) -> dict[str, Operation]:
        """Operation's name -> what carries it out; those that change rows take turns."""
        found = {
            **bound(balancerapi.OPERATIONS, self._balancers),
            **bound(groupapi.OPERATIONS, self._groups),
            **bound(ruleapi.OPERATIONS, self._rules),
            **{
                name: self._of_this_region(handler)
                for name, handler in bound(targets.OPERATIONS, self._targets).items()
            },
            **bound(certificateapi.OPERATIONS, self._certificates),
            **bound(tagapi.OPERATIONS, self._tags),
        }
        return {
            name: self._all_or_nothing(handler) if name.startswith(_CHANGES) else handler
            for name, handler in found.items()
        }

    def _of_this_region(self, handler: Operation) -> Operation:
        """Targets are kept for all regions at once: whose group it is, is asked here."""

        async def carry_out(params: Plain) -> Plain:
            """Raises AwsError for a group of another region."""
            self._known.group(params["TargetGroupArn"])
            return await handler(params)

        return carry_out

    def _all_or_nothing(self, handler: Operation) -> Operation:
        """A change that HAProxy refuses is taken back, so that it cannot stand in the way of the
        next one."""
        state = self._state
        tables = (state.balancers, state.listeners, state.rules, state.groups)

        async def carry_out(params: Plain) -> Plain:
            """One request, alone.

            Whatever it fails of, the caller finds nothing half done when he asks again, and nobody
            else finds a row that HAProxy cannot be told.
            """
            async with self._changing:
                before = state.snapshot(*tables)
                try:
                    return await handler(params)
                except LocalError as error:
                    state.restore(before)
                    raise AwsError(
                        "InvalidConfigurationRequest", f"nothing was changed: {error}"
                    ) from error
                except BaseException:
                    state.restore(before)
                    raise

        return carry_out
