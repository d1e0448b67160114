"""Put a release onto hosts that fetch it themselves: what each shall run is written down, and what
came of it is read.

The hosts need no SSH, and the archive is not sent to each of them from here.  A host that is down
catches up when it is back; one that is new begins with what serves.  Every step may be done again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from kirikae.hosts.ssh import Host
from kirikae.model.errors import KirikaeError
from kirikae.release.adopted import RELEASE_0
from kirikae.release.agent.desired import LIES_THERE, Desired, Order, Recipe
from kirikae.release.agent.place import AgentPlace
from kirikae.release.agent.report import Came, Report
from kirikae.release.drain import Drain
from kirikae.release.errors import GateShut, InTheWay, NotFinished
from kirikae.release.fleet import OLD, Step, Tell
from kirikae.release.hosts_ending import (
    not_put_back,
    nothing_before,
    ran_nothing_before,
    taken_back,
)
from kirikae.release.ledger import OpenEntry
from kirikae.release.manifest import Releases
from kirikae.release.way_back import Good

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class AgentFleet:
    """``healthy`` waits until the load balancer takes hosts for healthy."""

    hosts: Sequence[Host]
    recipe: Recipe
    releases: Releases
    place: AgentPlace
    healthy: Callable[[Sequence[Host]], None]
    tell: Tell
    side: str = OLD
    drain: Drain | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def steps(self, release_id: str) -> list[Step]:
        """Raises NoRelease, InTheWay."""
        self.releases.get(release_id)
        self._assert_tellable()
        self._reports()
        if self.drain is not None:
            self.drain.assert_known(self.hosts)
            for batch in self._batches()[:1]:
                self.drain.assert_bearable(batch)
        where = self.place.shelf.url
        laid = Step(f"lay {release_id} at {where}", "put", {"at": where})
        return [laid, *(self._step(host, release_id) for host in self.hosts)]

    def _step(self, host: Host, release_id: str) -> Step:
        drained = "take it out of the target group; " if self.drain is not None else ""
        says = f"{drained}let {host.name} fetch {release_id} and wait for its report"
        return Step(says, "order", {"host": host.name})

    def running(self) -> dict[str, str]:
        """The folder that ``current`` names, by host, as it reported.  Raises InTheWay."""
        return {name: report.folder for name, report in self._reports().items()}

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        """Raises RolledBack (every host is back on what it ran before) or NotFinished, also where
        silent hosts were left out."""
        manifest, archive = self.releases.get(release_id)
        entry.assert_ours()
        if self.place.offer(manifest, archive):
            self.tell(f"{release_id} lies at {self.place.shelf.url}")
        wanted = Order("", release_id, manifest.sha256)
        reached: list[Host] = []
        silent: list[Host] = []
        for batch in self._batches():
            if reached and self.recipe.settings.pause:
                self.sleep(self.recipe.settings.pause)
            entry.assert_ours()
            try:
                if self.drain is not None:
                    self.drain.assert_bearable(batch)
                reached += batch
                silent += self._serve(batch, wanted)
                self._assert_few(silent)
                self.healthy(batch)
            # also when AWS does not say whether they are healthy: nobody knows, so back
            except KirikaeError as error:
                self._take_back(reached, entry, error)
        entry.assert_ours()
        self._let_new_hosts_run(wanted)
        if silent:
            names = ", ".join(host.name for host in silent)
            raise NotFinished(
                f"{release_id} serves on {len(self.hosts) - len(silent)} of {len(self.hosts)} "
                f"hosts; {names} did not report and will fetch it once they are back: take them "
                "out of the load balancer until then, and run the same deploy again to see it done"
            )
        return self._count

    def assert_can_go_back(self, target: Good) -> None:
        """Raises NothingBefore, NoRelease, InTheWay."""
        self._reports()
        if not any(self._former(target, host) for host in self.hosts):
            raise nothing_before()
        if not target.places and target.release != RELEASE_0:
            self.releases.get(target.release)

    def put_back(self, target: Good, entry: OpenEntry) -> str:
        """Raises NotFinished."""
        left = []
        for host in self.hosts if self.drain is None else self.drain.in_order(self.hosts):
            former = self._former(target, host)
            if not former:
                left.append(host.name)
                continue
            entry.assert_ours()
            try:
                self._bring(host, self._order_for(former))
            except (GateShut, InTheWay) as error:
                raise not_put_back(error) from error
            self.healthy([host])
        if left:
            raise ran_nothing_before(left, entry.now)
        entry.assert_ours()
        self._let_new_hosts_run(self._order_for(target.release))
        return self._count

    # --- what hosts shall run

    def _serve(self, batch: Sequence[Host], wanted: Order) -> list[Host]:
        """Those that did not report are the answer.  Raises GateShut for one that failed."""
        for host in batch:
            self._drain_out(host)
        orders = self._order({host.name: wanted for host in batch})
        came = self._wait(orders)
        silent = [host for host in batch if came[host.name] is None]
        for host in batch:
            if host in silent:
                self.tell(f"{host.name} does not report; it is left out")
                continue
            self._drain_back(host)
            self.tell(f"{wanted.release} serves on {host.name}{_remark(came[host.name])}")
        return silent

    def _bring(self, host: Host, order: Order) -> None:
        """One host, which has to report.  Raises GateShut."""
        if self.drain is None or self.drain.is_bearable([host]):
            self._drain_out(host)
        orders = self._order({host.name: order})
        if self._wait(orders)[host.name] is None:
            within = self.recipe.settings.within
            raise GateShut(f"{host.name} did not report within {within:.0f} s")
        self._drain_back(host)
        self.tell(f"{order.release} serves on {host.name} again")

    def _order(self, wanted: Mapping[str, Order]) -> dict[str, Order]:
        """Write down what these hosts shall run; an order that a host has not failed at stands."""
        orders: dict[str, Order] = {}

        def change(desired: Desired) -> Desired:
            for name, order in wanted.items():
                orders[name] = self._standing(desired, name, order) or replace(
                    order, id=uuid.uuid4().hex[:12]
                )
                desired = desired.with_host(name, orders[name])
            return desired

        self.place.change(self.recipe, change)
        return orders

    def _standing(self, desired: Desired, name: str, wanted: Order) -> Order | None:
        """The order of the same release that this host has already and did not fail at."""
        order = desired.hosts.get(name)
        if order is None or (order.release, order.sha256) != (wanted.release, wanted.sha256):
            return None
        report = self.place.report(name)
        failed = report is not None and report.order == order.id and _failed(report)
        return None if failed else order

    def _wait(self, orders: Mapping[str, Order]) -> dict[str, Report | None]:
        """What each of them reported; None: nothing within the time.  Raises GateShut for the first
        one that failed."""
        deadline = self.clock() + self.recipe.settings.within
        came: dict[str, Report | None] = dict.fromkeys(orders)
        while True:
            for name in [each for each, report in came.items() if report is None]:
                report = self.place.report(name)
                if report is None or report.order != orders[name].id:
                    continue
                if _failed(report):
                    raise GateShut(f"{name}: {report.says}")
                came[name] = report if report.outcome is Came.SERVES else None
            if None not in came.values() or self.clock() > deadline:
                return came
            self.sleep(POLL_S)

    def _let_new_hosts_run(self, order: Order) -> None:
        """Whoever starts from now on."""
        named = replace(order, id=f"default-{order.release}")
        named = replace(named, sha256=named.sha256.removeprefix(LIES_THERE))
        if named.sha256:  # a new host has no such folder
            self.place.change(self.recipe, lambda desired: replace(desired, default=named))

    def _order_for(self, release_id: str) -> Order:
        """A release of which an archive is known is offered again; else it must lie there."""
        if self.releases.find(release_id) is None:
            return Order("", release_id, LIES_THERE)
        manifest, archive = self.releases.get(release_id)
        self.place.offer(manifest, archive)
        return Order("", release_id, f"{LIES_THERE}{manifest.sha256}")

    # --- back

    def _take_back(self, reached: Sequence[Host], entry: OpenEntry, why: KirikaeError) -> NoReturn:
        """Every host that was given the order, the last one first, also one that has not reported:
        it must not fetch the release later.  Raises LockLost before another release's hosts."""
        entry.assert_ours()
        self.tell(f"{why}; every host that was touched goes back")
        left = []
        for host in reversed(reached):
            former = entry.now.previous.get(host.name, "").rpartition("/")[2]
            if not former:
                left.append(f"{host.name} (it ran no release before)")
                continue
            entry.assert_ours()
            try:
                self._bring(host, self._order_for(former))
            # Whatever it is, also of the load balancer: the other hosts still go back.
            except KirikaeError as error:
                left.append(f"{host.name} ({error})")
        raise taken_back(entry.now, why, left) from why

    def _former(self, target: Good, host: Host) -> str:
        """The release of this host, by its name; empty: it ran nothing then."""
        if target.places:
            return target.places.get(host.name, "").rpartition("/")[2]
        return target.release

    # --- what is known of the hosts

    def _reports(self) -> dict[str, Report]:
        """Raises InTheWay where more hosts than may be silent have never told anything."""
        found = {host.name: self.place.report(host.name) for host in self.hosts}
        known = {name: report for name, report in found.items() if report is not None}
        missing = [name for name, report in found.items() if report is None]
        if len(missing) > self.recipe.settings.silent:
            raise InTheWay(
                f"no agent has ever reported from {', '.join(missing)} at {self.place.shelf.url}: "
                "`kirikae release agent` says how to install it; nothing was changed"
            )
        return known

    def _assert_few(self, silent: Sequence[Host]) -> None:
        """Raises GateShut."""
        if len(silent) > self.recipe.settings.silent:
            names = ", ".join(host.name for host in silent)
            within = self.recipe.settings.within
            raise GateShut(f"{names} did not report within {within:.0f} s (`within`, `silent`)")

    def _assert_tellable(self) -> None:
        """Raises InTheWay for what a list of lines cannot say."""
        for check in self.recipe.checks:
            if " " in check.get or (check.contains and "\n" in check.contains):
                raise InTheWay(
                    f"check {check.get!r}: an agent reads a path without spaces, and a `contains` "
                    "of one line"
                )

    def _drain_out(self, host: Host) -> None:
        if self.drain is not None:
            self.drain.out(host)

    def _drain_back(self, host: Host) -> None:
        if self.drain is not None:
            self.drain.back(host)

    def _batches(self) -> list[Sequence[Host]]:
        size = self.recipe.settings.batch
        hosts = list(self.hosts) if self.drain is None else self.drain.in_order(self.hosts)
        return [hosts[start : start + size] for start in range(0, len(hosts), size)]

    @property
    def _count(self) -> str:
        return f"{len(self.hosts)} hosts"


def _failed(report: Report) -> bool:
    return report.outcome in (Came.FAILED, Came.BACK, Came.STUCK)


def _remark(report: Report | None) -> str:
    return f" ({report.detail})" if report is not None and report.detail else ""
