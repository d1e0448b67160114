"""Tell HAProxy of a change, and answer as AWS would where it does not take it."""

from __future__ import annotations

from kirikae.local.elb.frontdoor import FrontDoor
from kirikae.local.errors import AwsError


class Door:
    """The API's side of the front door."""

    def __init__(self, front: FrontDoor) -> None:
        """Wraps the front door for the API's parts: they raise AwsError and know no sockets."""
        self._front = front

    async def tell_all(self) -> None:
        """Anything may have changed."""
        try:
            await self._front.assert_all()
        except OSError as error:
            raise AwsError(
                "InternalFailure", f"the load balancer did not take the change: {error}", 500
            ) from error

    async def tell_weights(self) -> None:
        """Weights alone have changed: one atomic exchange."""
        await self._front.set_weights()
