"""Take a host out of its target group while it reloads, and put it back: for a service whose reload
drops requests.

What a host was registered as is written down before it is taken out: whoever comes after a SIGKILL,
with whatever release, puts it back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kirikae.aws import elbv2, inventory
from kirikae.aws.elbv2 import Target, TargetGroup
from kirikae.aws.session import Aws
from kirikae.hosts.ssh import Host
from kirikae.model.errors import Taken
from kirikae.model.store import Store, readable
from kirikae.release.errors import InTheWay, NotFinished
from kirikae.release.fleet import Tell

POLL_S = 1.0
_GRACE_S = 60.0
"""Beyond the deregistration delay, for the balancer to say that it is over."""
_INSTANCE = "i-"
_OUT = ("unused",)
Place = tuple[str, int]
"""How a target group knows a host: ID and port."""


def addresses_of(host: Host) -> frozenset[str]:
    """All of its own (hostname(1), -I).  Raises HostSilent, CommandFailed."""
    return frozenset(host.run("hostname -I\n").decode(errors="replace").split())


@dataclass(frozen=True, slots=True)
class Drain:
    """``scope``: of the service, for what is written down.  ``addresses``: asks a host."""

    aws: Aws
    target_group: str
    store: Store
    scope: str
    tell: Tell
    addresses: Callable[[Host], Iterable[str]] = addresses_of
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def in_order(self, hosts: Iterable[Host]) -> list[Host]:
        """Those first that were left out: until they are back, the others carry everything."""
        return sorted(hosts, key=lambda host: not self._kept(host))

    def assert_bearable(self, batch: Sequence[Host]) -> None:
        """Somebody else serves meanwhile, and each of these is known.  Raises InTheWay."""
        if not self.is_bearable(batch):
            names = ", ".join(host.name for host in batch)
            raise InTheWay(
                f"without {names} no target of {self.target_group} would be healthy: lower "
                "`batch`, mend the other hosts, or leave `drain` out"
            )

    def is_bearable(self, batch: Sequence[Host]) -> bool:
        """Another target is healthy.  Raises InTheWay for a host that is no target."""
        targets = elbv2.targets(self.aws, self._group())
        own = {place for host in batch for place in self._places(host, targets)}
        return any(each.state == "healthy" and _place(each) not in own for each in targets)

    def assert_known(self, hosts: Iterable[Host]) -> None:
        """Each is a target, or was one before it was taken out.  Raises InTheWay."""
        targets = elbv2.targets(self.aws, self._group())
        for host in hosts:
            self._places(host, targets)

    def out(self, host: Host) -> None:
        """Taken out, and every request that it had is answered or cut off by the delay.  Raises
        InTheWay, NotFinished."""
        group = self._group()
        places = self._places(host, elbv2.targets(self.aws, group))
        self._keep(host, places)
        elbv2.deregister(self.aws, group.arn, places)
        self.tell(f"{host.name} is taken out of {self.target_group}")
        deadline = self.clock() + group.deregistration_delay_s + _GRACE_S
        while self._is_in(group, places):
            if self.clock() > deadline:
                raise NotFinished(
                    f"{host.name} still drains after {group.deregistration_delay_s} s, its "
                    "deregistration delay; run the same again"
                )
            self.sleep(POLL_S)

    def back(self, host: Host) -> None:
        """Where it was; whether it is healthy there is asked afterwards."""
        places = self._kept(host)
        if places:
            elbv2.register(self.aws, self._group().arn, places)
            self._keep(host, [])
            self.tell(f"{host.name} is in {self.target_group} again")

    def _group(self) -> TargetGroup:
        return elbv2.target_group(self.aws, self.target_group)

    def _is_in(self, group: TargetGroup, places: Sequence[Place]) -> bool:
        targets = elbv2.targets(self.aws, group)
        return any(_place(each) in places and each.state not in _OUT for each in targets)

    def _places(self, host: Host, targets: Sequence[Target]) -> list[Place]:
        """What it is registered as, or was before it was taken out.  Raises InTheWay."""
        kept = self._kept(host)
        if kept:
            return kept
        instances = [each.address for each in targets if each.address.startswith(_INSTANCE)]
        names = inventory.names_of(self.aws, instances) if instances else {}
        own = frozenset(self.addresses(host))
        found = [
            _place(each)
            for each in targets
            if each.address in own or names.get(each.address, frozenset()) & own
        ]
        if not found:
            raise InTheWay(
                f"{host.name} ({', '.join(sorted(own)) or 'no address'}) is no target of "
                f"{self.target_group}, so it cannot be drained: register it there"
            )
        return found

    # --- what is written down

    def _key(self, host: Host) -> str:
        return f"drained/{self.scope}/{host.name}"

    def _kept(self, host: Host) -> list[Place]:
        stored = self.store.get(self._key(host))
        if stored is None:
            return []
        with readable(self._key(host)):
            return [(str(name), int(port)) for name, port in json.loads(stored.body)]

    def _keep(self, host: Host, places: Sequence[Place]) -> None:
        key = self._key(host)
        body = json.dumps(places)
        try:
            self.store.create_if_absent(key, body)
        except Taken:
            stored = self.store.get(key)
            assert stored is not None
            if stored.body != body:
                self.store.replace_if_match(key, body, stored.tag)


def _place(target: Target) -> Place:
    return target.address, target.port
