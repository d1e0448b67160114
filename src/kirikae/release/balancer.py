"""Wait until the load balancer takes the old fleet's hosts for healthy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kirikae.aws import elbv2
from kirikae.aws.session import Aws
from kirikae.hosts.ssh import Host
from kirikae.release.errors import NotFinished

PATIENCE_S = 120.0
POLL_S = 0.5
_IN_ORDER = ("healthy", "draining", "unused")


@dataclass(frozen=True, slots=True)
class Balancer:
    """The target group that the hosts are registered in."""

    aws: Aws
    target_group: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_until_healthy(self, hosts: Sequence[Host]) -> None:
        """No target may be unhealthy: kirikae takes none out, so none may fall out.  Raises
        NotFinished."""
        group = elbv2.target_group(self.aws, self.target_group)
        deadline = self.clock() + PATIENCE_S
        while True:
            states = [target.state for target in elbv2.targets(self.aws, group)]
            if all(state in _IN_ORDER for state in states):
                return
            if self.clock() > deadline:
                names = ", ".join(host.name for host in hosts)
                raise NotFinished(
                    f"after {PATIENCE_S:.0f} s the load balancer does not take {names} for "
                    f"healthy: {states}"
                )
            self.sleep(POLL_S)
