"""``kirikae release adopt``: hosts whose application lies in a plain folder become members that
releases are put on."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kirikae.console.here import NOTHING_TO_DO, Answer, would
from kirikae.hosts.ssh import Host
from kirikae.model.errors import Exit, UsageProblem
from kirikae.release.adopted import RELEASE_0, Adoption, Outlook, outlooks
from kirikae.release.errors import NoDeployer
from kirikae.release.fleet import OLD
from kirikae.release.ledger import OpenEntry, Outcome

if TYPE_CHECKING:
    from kirikae.console.release import ReleaseDesk


def adoption_of(desk: ReleaseDesk, path: str | None) -> tuple[Adoption, list[Host]]:
    """Raises NoDeployer, UsageProblem."""
    old = desk.project.fleets.old
    if old.deployer is None or old.deployer.root is None or not old.hosts:
        raise NoDeployer("name `fleets.old.hosts` and `fleets.old.deployer.root` first")
    root = old.deployer.root.rstrip("/")
    chosen = (path or f"{root}/current").rstrip("/")
    if not PurePosixPath(chosen).is_absolute() or chosen == root:
        raise UsageProblem(
            f"--path {chosen}: name the folder in full; `root` ({root}) must be another one"
        )
    return Adoption(root, chosen), [Host(url) for url in old.hosts]


def adopted(desk: ReleaseDesk, path: str | None, dry_run: bool) -> Answer:
    """Every host is looked at before the first one is touched."""
    adoption, hosts = adoption_of(desk, path)
    found = outlooks(adoption, hosts)
    plain = {"hosts": [_plain(each) for each in found], "release": RELEASE_0}
    if all(each.done for each in found):
        return Answer(plain, [each.says for each in found], Exit.DONE, NOTHING_TO_DO)
    if dry_run:
        return would([f"would adopt {each.says}" for each in found], plain)
    lines = []
    with desk.lock.held() as assert_ours:
        begun = desk.ledger.begin(RELEASE_0, OLD)
        entry = OpenEntry(desk.ledger, begun, assert_ours)
        for host, each in zip(hosts, found, strict=True):
            entry.assert_ours()
            if not each.done:
                adoption.adopt(host, each.way)
            lines.append(f"{host.name}: {adoption.path} is {RELEASE_0} now")
        entry.end(Outcome.DONE, f"adopted {adoption.path}")
    return Answer(plain, [*lines, "`kirikae release adopt --undo` puts the folder back"])


def _plain(each: Outlook) -> dict[str, object]:
    return {"host": each.host, "done": each.done, "way": each.way or None}


def given_back(desk: ReleaseDesk, path: str | None, dry_run: bool) -> Answer:
    """The plain folder again, where release 0 serves."""
    adoption, hosts = adoption_of(desk, path)
    lines = [f"{host.name}: {RELEASE_0} becomes the plain folder again" for host in hosts]
    if dry_run:
        return would([f"would put back {line}" for line in lines])
    with desk.lock.held() as assert_ours:
        for host in hosts:
            assert_ours()
            adoption.undo(host)
    return Answer({"hosts": [host.name for host in hosts]}, lines)
