"""Let a command of the user's put a release onto a fleet, then ask the fleet's hosts themselves."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kirikae.hosts.errors import HostSilent
from kirikae.hosts.ssh import Host
from kirikae.release.errors import NotFinished, NothingBefore
from kirikae.release.fleet import Step, Tell
from kirikae.release.gate import Gate
from kirikae.release.ledger import Ledger, OpenEntry
from kirikae.release.manifest import RELEASE_ID, Releases
from kirikae.release.way_back import Good

_RELEASE = "release"
"""The key of a release's ID in what ran before."""
_STDERR = 2


@dataclass(frozen=True, slots=True)
class CommandFleet:
    """``hosts`` are asked afterwards whether they serve the release (none: the exit code counts).

    ``needs_archive``: the release's archive must be there, its checksum proven.
    """

    side: str
    command: str
    folder: Path
    """Where the command runs: the folder of the project file."""
    environment: Mapping[str, str]
    timeout_s: float
    releases: Releases
    needs_archive: bool
    ledger: Ledger
    hosts: Sequence[Host]
    gate: Gate
    tell: Tell

    def steps(self, release_id: str) -> list[Step]:
        """Raises NoRelease."""
        self._checksum(release_id)
        return [Step(f"run `{self.command}`", "command")]

    def running(self) -> dict[str, str]:
        """Only the command knows what a fleet runs; the ledger knows what it was last told to."""
        last = self.ledger.serving(self.side)
        return {} if last is None else {_RELEASE: last.release}

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        """Raises NotFinished: what a command did before it failed is not known."""
        checksum = self._checksum(release_id)
        entry.assert_ours()
        self._run(release_id, checksum)
        for host in self.hosts:
            self._ask(host, release_id)
            self.tell(f"{release_id} serves on {host.name}")
        return f"by `{self.command}`"

    def assert_can_go_back(self, target: Good) -> None:
        """Raises NothingBefore, NoRelease."""
        if target.task_definition or not RELEASE_ID.fullmatch(target.release):
            raise NothingBefore(
                f"what was done on the {self.side} fleet before ({target.release}) is no release "
                "that its command was ever given; deploy one by its ID"
            )
        self._checksum(target.release)

    def put_back(self, target: Good, entry: OpenEntry) -> str:
        """The same command with the former release."""
        return self.deploy(target.release, entry)

    def _checksum(self, release_id: str) -> str:
        """The archive's SHA-256; empty where no release of this ID was made and none is needed.
        Raises NoRelease."""
        if self.needs_archive:
            manifest, _ = self.releases.get(release_id)
            return manifest.sha256
        found = self.releases.find(release_id)
        return found.sha256 if found is not None else ""

    def _run(self, release_id: str, checksum: str) -> None:
        environment = {
            **self.environment,
            "RELEASE_ID": release_id,
            "RELEASE_ARCHIVE": str(self.releases.archive_file(release_id)),
            "RELEASE_SHA256": checksum,
        }
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", self.command],
                env=environment,
                cwd=self.folder,
                stdout=_STDERR,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotFinished(
                f"`{self.command}` did not end within {self.timeout_s:.0f} s"
            ) from error
        if done.returncode:
            raise NotFinished(
                f"`{self.command}` ended with exit code {done.returncode}; what it did before is "
                "not known"
            )

    def _ask(self, host: Host, release_id: str) -> None:
        try:
            trouble = self.gate.trouble(host, release_id)
        except HostSilent as error:
            trouble = str(error)
        if trouble:
            raise NotFinished(f"`{self.command}` says it is done, but {trouble}")
