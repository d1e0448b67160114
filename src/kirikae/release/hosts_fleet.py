"""Put a release onto hosts: artefact with checksum, atomic switch, graceful reload, health gate, or
back; one batch at a time.

Every step may be done again: after a SIGKILL the same command ends in the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn

from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.model.errors import KirikaeError
from kirikae.model.project import OldDeployer
from kirikae.release.errors import GateShut, NotFinished, NothingBefore, RolledBack
from kirikae.release.fleet import OLD, Step, Tell
from kirikae.release.gate import Gate
from kirikae.release.ledger import Deployed, OpenEntry
from kirikae.release.manifest import Manifest, Releases
from kirikae.release.on_host import OnHost

_HOST_TROUBLE = (CommandFailed, HostSilent, GateShut)


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

    def steps(self, release_id: str) -> list[Step]:
        """Raises NoRelease."""
        self.releases.get(release_id)
        on_each = (
            "install with checksum",
            self.settings.before,
            f"switch {self.settings.root}/current",
            self.settings.reload,
            "wait for the checks",
            self.settings.after,
        )
        what = "; ".join(step for step in on_each if step)
        return [
            Step(f"put {release_id} on {host.name}: {what}", "ssh", {"host": host.url})
            for host in self.hosts
        ]

    def running(self) -> dict[str, str]:
        """The folder that ``current`` names, by host.  Raises HostSilent."""
        return {host.name: self._on(host).current() for host in self.hosts}

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        """Raises RolledBack (every host is back on what it ran before) or NotFinished."""
        manifest, archive = self.releases.get(release_id)
        reached: list[Host] = []
        for batch in self._batches():
            entry.assert_ours()
            try:
                self._prepare(batch, manifest, archive)
            except _HOST_TROUBLE as error:
                # Nothing serves the new release on these hosts yet; the hosts of earlier batches
                # do.
                self._take_back(reached, entry.now, error)
            reached += batch
            try:
                self._serve(batch, manifest)
            # also when AWS does not say whether they are healthy: nobody knows, so back
            except KirikaeError as error:
                self._take_back(reached, entry.now, error)
        for host in self.hosts:
            self._prune(host, release_id, entry.now)
        return self._count

    def assert_can_go_back(self, last: Deployed) -> None:
        if not any(last.previous.get(host.name) for host in self.hosts):
            raise NothingBefore(
                "the ledger knows no release that these hosts ran before; deploy one by its ID"
            )

    def put_back(self, last: Deployed, entry: OpenEntry) -> str:
        """Switch each host to a folder that it has already.  Raises NotFinished."""
        left = []
        for host in self.hosts:
            target = last.previous.get(host.name, "")
            if not target:
                left.append(host.name)
                continue
            entry.assert_ours()
            try:
                self._activate(host, target, None)
            except _HOST_TROUBLE as error:
                raise NotFinished(
                    f"{error}; run `kirikae release rollback` again, or look at that host"
                ) from error
            self.healthy([host])
            self.tell(f"{target.rpartition('/')[2]} serves on {host.name} again")
        if left:
            raise NotFinished(
                f"{', '.join(left)} ran no release before, so {last.release} still serves there; "
                "deploy the one that shall serve, by its ID"
            )
        return self._count

    @property
    def _count(self) -> str:
        return f"{len(self.hosts)} hosts"

    def _batches(self) -> list[Sequence[Host]]:
        size = self.settings.batch
        return [self.hosts[start : start + size] for start in range(0, len(self.hosts), size)]

    def _on(self, host: Host) -> OnHost:
        return OnHost(host, (self.settings.root or "").rstrip("/"))

    def _together(self, batch: Sequence[Host], act: Callable[[Host], None]) -> None:
        """On all hosts of a batch at once.  Raises what the first of them raised."""
        with ThreadPoolExecutor(max(1, len(batch))) as pool:
            for done in [pool.submit(act, host) for host in batch]:
                done.result()

    def _prepare(self, batch: Sequence[Host], manifest: Manifest, archive: bytes) -> None:
        """All that can be done while the former release serves."""
        self._together(batch, lambda host: self._install(host, manifest, archive))
        self._hook(batch, self.settings.before, manifest.id)

    def _serve(self, batch: Sequence[Host], manifest: Manifest) -> None:
        """Let the new release serve, and believe it once host and load balancer say so."""

        def activate(host: Host) -> None:
            self._activate(host, self._on(host).folder_of(manifest.id), manifest.id)

        self._together(batch, activate)
        self.healthy(batch)
        self._hook(batch, self.settings.after, manifest.id)
        for host in batch:
            self.tell(f"{manifest.id} serves on {host.name}")

    def _install(self, host: Host, manifest: Manifest, archive: bytes) -> None:
        place = self._on(host)
        if not place.has(manifest):
            place.install(manifest, archive)
            self.tell(f"{manifest.id} lies on {host.name}, checksum proven")

    def _hook(self, batch: Sequence[Host], command: str | None, release_id: str) -> None:
        if command:
            self._together(batch, lambda host: self._on(host).run_in(release_id, command))

    def _activate(self, host: Host, target: str, release_id: str | None) -> None:
        place = self._on(host)
        if place.current() != target:
            place.switch(target)
        # Again after a SIGKILL, too: whether the reload was done is not known, and a graceful one
        # more does no harm.
        place.reload(self.settings.reload or "")
        self.gate.wait(host, release_id)

    def _prune(self, host: Host, release_id: str, entry: Deployed) -> None:
        former = entry.previous.get(host.name, "").rpartition("/")[2]
        self._on(host).prune(release_id, former or release_id, self.settings.keep)

    def _take_back(self, reached: Sequence[Host], entry: Deployed, why: Exception) -> NoReturn:
        """Every host that was touched, the last one first."""
        self.tell(f"{why}; every host that was touched goes back")
        left = []
        for host in reversed(reached):
            former = entry.previous.get(host.name, "")
            if not former:
                left.append(f"{host.name} (it ran no release before)")
                continue
            try:
                self._activate(host, former, None)
            except _HOST_TROUBLE as error:
                left.append(f"{host.name} ({error})")
        if left:
            raise NotFinished(
                f"{why}; and going back failed on {', '.join(left)}: look at these hosts now"
            ) from why
        raise RolledBack(
            f"{entry.release} was taken back: {why}; what served before serves on every host"
        ) from why
