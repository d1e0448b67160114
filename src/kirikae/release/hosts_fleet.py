"""Put a release onto hosts: artefact with checksum, atomic switch, graceful reload, health gate, or
back; one batch at a time.

Every step may be done again: after a SIGKILL the same command ends in the same state.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kirikae.hosts.ssh import Answer, CommandFailed, Host, HostSilent
from kirikae.model.errors import KirikaeError
from kirikae.model.project import Check, OldDeployer
from kirikae.release.errors import NotFinished, RolledBack
from kirikae.release.ledger import Deployed, Ledger
from kirikae.release.manifest import Manifest

_ROUNDS = 3
"""So many times in a row all checks must pass: old workers may still answer right after a
reload."""
_POLL_S = 0.3
Tell = Callable[[str], None]

_HAS = 'cat "$root/releases/$id/.kirikae" 2>/dev/null || true'
_INSTALL = """set -eu
mkdir -p "$root/releases"
if [ -e "$root/releases/$id" ]; then
    echo "$root/releases/$id exists and was not put there by kirikae" >&2; exit 1
fi
rm -rf "$root/releases/.$id."*
tmp=$(mktemp -d "$root/releases/.$id.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/archive"
[ "$(sha256sum <"$tmp/archive" | cut -c 1-64)" = "$sum" ] || {
    echo "the archive arrived damaged: another checksum" >&2; exit 1
}
mkdir "$tmp/tree"
tar -C "$tmp/tree" -xzf "$tmp/archive"
printf '%s\\n' "$id" >"$tmp/tree/RELEASE"
printf '%s' "$sum" >"$tmp/tree/.kirikae"
chmod 755 "$tmp/tree"
mv -T "$tmp/tree" "$root/releases/$id"
"""
# Renamed over, never unlinked first: a reader sees the old release or the new one.
_SWITCH = """set -eu
ln -s "$target" "$root/.current.$$"
mv -T "$root/.current.$$" "$root/current"
"""
_PRUNE = """cd "$root/releases" || exit 0
current=$(readlink "$root/current"); current=${current##*/}
ls -1t | grep -v -x -F -e "$current" -e "$previous" -e "$id" | tail -n +"$keep" |
while IFS= read -r name; do
    [ -f "$name/.kirikae" ] && rm -rf "./$name"
done
find . -maxdepth 1 -name '.*.??????' -mmin +60 -exec rm -rf {} + 2>/dev/null
true
"""


class GateShut(CommandFailed):
    """The release is on the host and does not answer as it should."""


@dataclass(frozen=True, slots=True)
class OldFleet:
    """The hosts, and how a release gets onto them; ``healthy`` waits until the load balancer takes
    a host for healthy."""

    hosts: Sequence[Host]
    settings: OldDeployer
    port: int
    checks: Sequence[Check]
    header: str | None
    healthy: Callable[[Sequence[Host]], None]
    tell: Tell

    def _script(self, body: str, **values: str) -> str:
        given = {"root": (self.settings.root or "").rstrip("/"), **values}
        return "".join(f"{k}={shlex.quote(v)}\n" for k, v in given.items()) + body

    def deploy(
        self, manifest: Manifest, archive: bytes, ledger: Ledger, entry: Deployed
    ) -> Deployed:
        """Raises HostSilent before anything is changed, RolledBack (every host is back on what it
        ran before) or NotFinished."""
        size = self.settings.batch
        batches = [self.hosts[i : i + size] for i in range(0, len(self.hosts), size)]
        reached: list[Host] = []
        now = {host.name: self.current(host) for host in self.hosts}
        entry = ledger.note(entry, previous={**now, **entry.previous})
        for batch in batches:
            try:
                self._together(batch, lambda host: self._install(host, manifest, archive))
                self._hook(batch, self.settings.before, manifest.id)
            except (CommandFailed, HostSilent) as error:
                # Nothing serves the new release on these hosts yet; the hosts of earlier batches
                # do.
                self._back(reached, entry, error)
            reached += batch
            try:
                self._together(
                    batch,
                    lambda host: self._activate(
                        host, f"{self._root}/releases/{manifest.id}", manifest.id
                    ),
                )
                self.healthy(batch)
                self._hook(batch, self.settings.after, manifest.id)
            # also when AWS does not say whether they are healthy: nobody knows, so back
            except KirikaeError as error:
                self._back(reached, entry, error)
            for host in batch:
                self.tell(f"{manifest.id} serves on {host.name}")
        for host in self.hosts:
            former = entry.previous.get(host.name, "").rpartition("/")[2]
            host.run(
                self._script(
                    _PRUNE,
                    id=manifest.id,
                    previous=former or manifest.id,
                    keep=str(self.settings.keep),
                )
            )
        return entry

    def put_back(self, targets: dict[str, str]) -> None:
        """Switch each host to a folder that it has already.  Raises CommandFailed, HostSilent,
        NotFinished."""
        for host in self.hosts:
            target = targets.get(host.name, "")
            if target:
                self._activate(host, target, None)
                self.healthy([host])
                self.tell(f"{target.rpartition('/')[2]} serves on {host.name} again")

    @property
    def _root(self) -> str:
        return (self.settings.root or "").rstrip("/")

    def current(self, host: Host) -> str:
        """The folder that ``current`` names on this host; empty if there is none."""
        return (
            host.run(self._script('readlink "$root/current" 2>/dev/null || true')).decode().strip()
        )

    def _together(self, batch: Sequence[Host], act: Callable[[Host], None]) -> None:
        with ThreadPoolExecutor(max(1, len(batch))) as pool:
            for done in [pool.submit(act, host) for host in batch]:
                done.result()

    def _install(self, host: Host, manifest: Manifest, archive: bytes) -> None:
        values = {"id": manifest.id, "sum": manifest.sha256}
        if host.run(self._script(_HAS, **values)).decode().strip() == manifest.sha256:
            return
        host.run(self._script(_INSTALL, **values), given=archive, timeout_s=600)
        self.tell(f"{manifest.id} lies on {host.name}, checksum proven")

    def _hook(self, batch: Sequence[Host], command: str | None, release_id: str) -> None:
        if command:
            body = (
                f'set -eu\ncd "$root/releases/$id"\nRELEASE_ID=$id; export RELEASE_ID\n{command}\n'
            )
            self._together(
                batch, lambda host: self._quietly(host, self._script(body, id=release_id))
            )

    @staticmethod
    def _quietly(host: Host, script: str) -> None:
        host.run(script, timeout_s=600)

    def _activate(self, host: Host, target: str, release_id: str | None) -> None:
        if self.current(host) != target:
            host.run(self._script(_SWITCH, target=target))
        # Again after a SIGKILL, too: whether the reload was done is not known, and a graceful one
        # more does no harm.
        host.run(f"set -e\n{self.settings.reload}\n")
        self._gate(host, release_id)

    def _gate(self, host: Host, release_id: str | None) -> None:
        """Raises GateShut with the first thing that was wrong at the end of the patience."""
        deadline = time.monotonic() + self.settings.patience
        passed = 0
        while True:
            trouble = self.trouble(host, release_id)
            passed = 0 if trouble else passed + 1
            if passed >= _ROUNDS:
                return
            if trouble and time.monotonic() > deadline:
                raise GateShut(f"{host.name}: {trouble}", 0, "")
            time.sleep(_POLL_S)

    def trouble(self, host: Host, release_id: str | None) -> str:
        """The first check that this host does not pass; empty: it passes all."""
        for check in self.checks or (Check(get="/"),):
            try:
                answer = host.get(self.port, check.get)
            except CommandFailed as error:
                return str(error)
            if problem := _problem(answer, check, self.header if release_id else None, release_id):
                return problem
        return ""

    def _back(self, reached: Sequence[Host], entry: Deployed, why: Exception) -> None:
        self.tell(f"{why}; every host that was touched goes back")
        left = []
        for host in reversed(reached):
            former = entry.previous.get(host.name, "")
            try:
                if former:
                    self._activate(host, former, None)
                else:
                    left.append(f"{host.name} (it ran no release before)")
            except (CommandFailed, HostSilent) as error:
                left.append(f"{host.name} ({error})")
        if left:
            raise NotFinished(
                f"{why}; and going back failed on {', '.join(left)}: look at these hosts now"
            ) from why
        raise RolledBack(
            f"{entry.release} was taken back: {why}; what served before serves on every host"
        ) from why


def _problem(answer: Answer, check: Check, header: str | None, release_id: str | None) -> str:
    if answer.status != check.expect:
        return f"GET {check.get} answered {answer.status}, not {check.expect}"
    if check.contains is not None and check.contains not in answer.body:
        return f"GET {check.get} did not contain {check.contains!r}"
    if header and answer.headers.get(header.lower()) != release_id:
        return (
            f"GET {check.get} came from release "
            f"{answer.headers.get(header.lower()) or 'none'}, not {release_id}"
        )
    return ""
