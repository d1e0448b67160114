"""Where tasks are asked to be, as far as EC2's part of the stores knows it."""

from __future__ import annotations

from kirikae.local.ecs.names import invalid
from kirikae.local.elb.networking import Networking, Unknown
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain


class Grounds:
    """Looked at before anything is decided: whoever asks it waits for an answer."""

    def __init__(self, networking: Networking | None = None) -> None:
        """Without somebody to ask, everything is taken as it is."""
        self._networking = networking or Unknown()

    async def check(self, params: Plain) -> None:
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
