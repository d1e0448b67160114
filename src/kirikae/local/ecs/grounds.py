"""What a request names of other services, as far as these know it: where tasks are to be, whom a
deployment calls, what ends it."""

from __future__ import annotations

from kirikae.local.ecs.names import invalid
from kirikae.local.ecs.outside import Outside
from kirikae.local.ecs.strategies import functions_of
from kirikae.local.elb.networking import Unknown
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain


class Grounds:
    """Looked at before anything is decided: whoever asks it waits for an answer."""

    def __init__(self, outside: Outside | None = None) -> None:
        """Without somebody to ask, everything is taken as it is."""
        self._outside = outside or Outside()
        self._networking = self._outside.networking or Unknown()

    async def check(self, params: Plain) -> None:
        """Raise AwsError for what is named and is not there."""
        await self._check_groups(params)
        asked = params.get("deploymentConfiguration") or {}
        if self._outside.functions is not None:
            for arn in functions_of(asked):
                await self._outside.functions.url(arn)
        alarms = asked.get("alarms")
        if self._outside.alarms is not None and alarms is not None and alarms["enable"]:
            await self._outside.alarms.check(alarms["alarmNames"])

    async def _check_groups(self, params: Plain) -> None:
        """Raise AwsError for a security group that is not there, where the subnets are: who made
        these in EC2's part must have made that there, too.  Subnets that it does not know are those
        of another account, and so are their groups (ours)."""
        network = params.get("networkConfiguration", {}).get("awsvpcConfiguration") or {}
        groups = network.get("securityGroups")
        subnets = network.get("subnets")
        if not groups or not subnets:
            return
        if set(subnets) - (await self._networking.subnets(subnets)).keys():
            return
        known = await self._networking.security_groups(groups)
        for group in groups:
            if group not in known:
                raise missing_group(group)


def missing_group(group: str) -> AwsError:
    """The error (not raised yet) for a security group that is not there."""
    return invalid(
        f"Error retrieving security group information for [{group}]: The security group '{group}' "
        "does not exist (ErrorCode: InvalidGroup.NotFound)"
    )
