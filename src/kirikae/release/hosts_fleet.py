"""Put a release onto hosts: artefact with checksum, atomic switch, graceful reload, health gate, or
back; one batch at a time.

Every step may be done again: after a SIGKILL the same command ends in the same state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn

from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.model.errors import KirikaeError
from kirikae.model.project import OldDeployer
from kirikae.release.drain import Drain
from kirikae.release.errors import GateShut, InTheWay, NotFinished, NothingBefore
from kirikae.release.fleet import OLD, Step, Tell
from kirikae.release.gate import Gate
from kirikae.release.hosts_ending import (
    not_put_back,
    nothing_before,
    ran_nothing_before,
    taken_back,
)
from kirikae.release.ledger import Deployed, OpenEntry
from kirikae.release.manifest import Manifest, Releases
from kirikae.release.on_host import OnHost
from kirikae.release.way_back import Good

_HOST_TROUBLE = (CommandFailed, HostSilent, GateShut, InTheWay)


@dataclass(frozen=True, slots=True)
class HostsFleet:
    """The hosts, and how a release gets onto them; ``healthy`` waits until the load balancer takes
    hosts for healthy."""

    hosts: Sequence[Host]
    settings: OldDeployer
    releases: Releases
    gate: Gate
    healthy: Callable[[Sequence[Host]], None]
    tell: Tell
    side: str = OLD
    drain: Drain | None = None
    """Takes each host out of the load balancer while it reloads; None: its reload drops nothing."""
    sleep: Callable[[float], None] = time.sleep

    def steps(self, release_id: str) -> list[Step]:
        """Raises NoRelease, InTheWay, HostSilent."""
        self.releases.get(release_id)
        present = self._present()
        if self.drain is not None:
            self.drain.assert_known(present)
            # Once these are back, they serve while the next are out.
            for batch in self._batches(present)[:1]:
                self.drain.assert_bearable(batch)
        on_each = (
            "install with checksum",
            self.settings.before,
            "take it out of the target group" if self.drain is not None else None,
            f"switch {self.settings.root}/current",
            self.settings.reload,
            "wait for the checks",
            "put it back into the target group" if self.drain is not None else None,
            self.settings.after,
        )
        what = "; ".join(step for step in on_each if step)
        return [
            Step(
                f"put {release_id} on {host.name}: {what}",
                "ssh",
                {"host": host.url},
            )
            for host in present
        ]

    def running(self) -> dict[str, str]:
        """The folder that ``current`` names, by host.  Raises HostSilent."""
        return {host.name: self._on(host).current() for host in self._present()}

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        """Raises RolledBack (every host is back on what it ran before) or NotFinished, also where
        silent hosts were left out."""
        manifest, archive = self.releases.get(release_id)
        # A host that came back since what ran before was written down could not go back.
        known = entry.now.previous
        present = [host for host in self._present() if not known or host.name in known]
        reached: list[Host] = []
        for batch in self._batches(present):
            if reached and self.settings.pause:
                self.sleep(self.settings.pause)
            entry.assert_ours()
            try:
                if self.drain is not None:
                    self.drain.assert_bearable(batch)
                self._prepare(
                    batch,
                    manifest,
                    archive,
                )
            except _HOST_TROUBLE as error:
                # Nothing serves the new release on these hosts yet; the hosts of earlier batches
                # do.
                self._take_back(
                    reached,
                    entry,
                    error,
                )
            entry.assert_ours()
            reached += batch
            try:
                self._serve(
                    batch,
                    manifest,
                    entry,
                )
            # also when AWS does not say whether they are healthy: nobody knows, so back
            except KirikaeError as error:
                self._take_back(
                    reached,
                    entry,
                    error,
                )
        entry.assert_ours()
        for host in present:
            self._prune(
                host,
                release_id,
                entry.now,
            )
        self._assert_all_reached(release_id, present)
        return self._count

    def _assert_all_reached(self, release_id: str, present: Sequence[Host]) -> None:
        """Raises NotFinished."""
        left = [host.name for host in self.hosts if host not in present]
        if left:
            raise NotFinished(
                f"{release_id} serves on {len(present)} of {len(self.hosts)} hosts; "
                f"{', '.join(left)} did not answer and run what they ran before: once they answer, "
                "run the same deploy again, and take them out of the load balancer until then"
            )

    def assert_can_go_back(self, target: Good) -> None:
        """Every host that answers still has it.  Raises NothingBefore."""
        if not any(self._place_of(target, host) for host in self.hosts):
            raise nothing_before()
        gone = [host.name for host in self.hosts if not self._still_has(target, host)]
        if gone:
            raise NothingBefore(
                f"{target.release} lies no more on {', '.join(gone)} (`keep` says how many stay); "
                f"`kirikae release deploy {target.release} --to {self.side}` puts it there again"
            )

    def put_back(self, target: Good, entry: OpenEntry) -> str:
        """Switch each host to a folder that it has already.  Raises NotFinished."""
        left = []
        for host in self.hosts if self.drain is None else self.drain.in_order(self.hosts):
            place = self._place_of(target, host)
            if not place:
                left.append(host.name)
                continue
            entry.assert_ours()
            try:
                self._activate(
                    host,
                    place,
                    None,
                )
            except _HOST_TROUBLE as error:
                raise not_put_back(error) from error
            self.healthy([host])
            self.tell(f"{place.rpartition('/')[2]} serves on {host.name} again")
        if left:
            raise ran_nothing_before(left, entry.now)
        return self._count

    def _place_of(self, target: Good, host: Host) -> str:
        """The folder of this release on this host; empty: it ran nothing then."""
        if target.places:
            return target.places.get(host.name, "")
        return self._on(host).folder_of(target.release)

    def _still_has(self, target: Good, host: Host) -> bool:
        """A host that does not answer is told of when it is its turn."""
        place = self._place_of(target, host)
        try:
            return not place or self._on(host).is_folder(place)
        except HostSilent:
            return True

    def _present(self) -> list[Host]:
        """The hosts that answer; a few may be silent (``silent``).  Raises InTheWay, HostSilent
        where more of them are."""
        with ThreadPoolExecutor(max(1, len(self.hosts))) as pool:
            found = list(pool.map(self._asked, self.hosts))
        both = list(
            zip(
                self.hosts,
                found,
                strict=True,
            )
        )
        silent = [answer for answer in found if isinstance(answer, HostSilent)]
        if len(silent) > self.settings.silent:
            raise silent[0]
        for answer in silent:
            self.tell(f"{answer}; it is left out")
        told = [(host, answer) for host, answer in both if isinstance(answer, str)]
        troubles = [f"{host.name}: {trouble}" for host, trouble in told if trouble]
        if troubles:
            raise InTheWay(f"{'; '.join(troubles)}; nothing was changed on any host")
        present = [host for host, _ in told]
        return present if self.drain is None else self.drain.in_order(present)

    def _asked(self, host: Host) -> str | HostSilent:
        """What is in the way of a release there (empty: nothing), or that it does not answer."""
        try:
            return self._on(host).in_the_way()
        except HostSilent as error:
            return error

    @property
    def _count(self) -> str:
        return f"{len(self.hosts)} hosts"

    def _batches(self, hosts: Sequence[Host]) -> list[Sequence[Host]]:
        size = self.settings.batch
        return [
            hosts[start : start + size]
            for start in range(
                0,
                len(hosts),
                size,
            )
        ]

    def _on(self, host: Host) -> OnHost:
        return OnHost(host, (self.settings.root or "").rstrip("/"))

    def _together(self, batch: Sequence[Host], act: Callable[[Host], None]) -> None:
        """On all hosts of a batch at once.  Raises what the first of them raised."""
        with ThreadPoolExecutor(max(1, len(batch))) as pool:
            for done in [pool.submit(act, host) for host in batch]:
                done.result()

    def _prepare(
        self,
        batch: Sequence[Host],
        manifest: Manifest,
        archive: bytes,
    ) -> None:
        """All that can be done while the former release serves."""
        self._together(
            batch,
            lambda host: self._install(
                host,
                manifest,
                archive,
            ),
        )
        self._hook(
            batch,
            self.settings.before,
            manifest.id,
        )

    def _serve(
        self,
        batch: Sequence[Host],
        manifest: Manifest,
        entry: OpenEntry,
    ) -> None:
        """Let the new release serve, and believe it once host and load balancer say so."""

        def activate(host: Host) -> None:
            self._activate(
                host,
                self._on(host).folder_of(manifest.id),
                manifest.id,
            )

        self._together(batch, activate)
        self.healthy(batch)
        entry.assert_ours()
        self._hook(
            batch,
            self.settings.after,
            manifest.id,
        )
        for host in batch:
            self.tell(f"{manifest.id} serves on {host.name}")

    def _install(
        self,
        host: Host,
        manifest: Manifest,
        archive: bytes,
    ) -> None:
        place = self._on(host)
        if not place.has(manifest):
            place.install(manifest, archive)
            self.tell(f"{manifest.id} lies on {host.name}, checksum proven")

    def _hook(
        self,
        batch: Sequence[Host],
        command: str | None,
        release_id: str,
    ) -> None:
        if command:
            self._together(batch, lambda host: self._on(host).run_in(release_id, command))

    def _activate(
        self,
        host: Host,
        target: str,
        release_id: str | None,
    ) -> None:
        place = self._on(host)
        # Going back is worth a dropped request where nobody else serves.
        if self.drain is not None and (release_id or self.drain.is_bearable([host])):
            self.drain.out(host)
        if place.current() != target:
            place.switch(target)
        # Again after a SIGKILL, too: whether the reload was done is not known, and a graceful one
        # more does no harm.
        command = self.settings.reload or ""
        try:
            place.reload(command)
            self.gate.wait(host, release_id)
        except (CommandFailed, GateShut) as error:
            # Out of the load balancer it stays, until something serves there again.
            raise GateShut(f"{error}{place.left_behind()}{place.last_words(command)}") from error
        if self.drain is not None:
            self.drain.back(host)

    def _prune(
        self,
        host: Host,
        release_id: str,
        entry: Deployed,
    ) -> None:
        """The release serves already: what is left lying there is told, and changes no outcome."""
        former = entry.previous.get(host.name, "").rpartition("/")[2]
        try:
            self._on(host).prune(
                release_id,
                former or release_id,
                self.settings.keep,
            )
        except (CommandFailed, HostSilent) as error:
            self.tell(f"old releases were not removed: {error}")

    def _take_back(
        self,
        reached: Sequence[Host],
        entry: OpenEntry,
        why: Exception,
    ) -> NoReturn:
        """Every host that was touched, the last one first.  Raises LockLost before a host that
        another release may have by now."""
        entry.assert_ours()
        self.tell(f"{why}; every host that was touched goes back")
        left = []
        for host in reversed(reached):
            former = entry.now.previous.get(host.name, "")
            if not former:
                left.append(f"{host.name} (it ran no release before)")
                continue
            entry.assert_ours()
            try:
                self._activate(
                    host,
                    former,
                    None,
                )
            # Whatever it is, also of the load balancer: the other hosts still go back.
            except KirikaeError as error:
                left.append(f"{host.name} ({error})")
        raise taken_back(entry.now, why, left) from why
