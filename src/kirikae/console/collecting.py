"""Looking at the hosts and at the AWS side: what was looked at, and what could not be."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kirikae.aws.session import Aws
from kirikae.console.here import Answer, Here, would
from kirikae.console.kinds import turned
from kirikae.console.state import state_folder
from kirikae.console.surveyed import amazon_file, hosts_of, shelf_of
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.files import write_privately
from kirikae.hosts.ssh import Host
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.finding import Finding
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.move.kind import LISTENER_RULE
from kirikae.survey import amazon
from kirikae.survey.bundles import read
from kirikae.survey.collect import TIMEOUT_S, Keys, collect, project_key
from kirikae.survey.errors import BundleProblem, TreeProblem
from kirikae.survey.offline import bundle_of
from kirikae.survey.shelf import Shelf
from kirikae.survey.trees import FolderTree, TarTree, Tree

# Hosts that are looked at side by side.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at a host.  ``trouble``: why nothing was kept; empty: it was."""

    host: str
    trouble: str = ""
    size: int | None = None
    seconds: float | None = None

    @property
    def kept(self) -> str:
        """In words; empty where nothing was."""
        if self.size is None or self.seconds is None:
            return ""
        return f"{self.size / 1024:.0f} KiB in {self.seconds:.1f} s"

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self) | {"kept": self.kept}


@dataclass(frozen=True, slots=True)
class Collected:
    """Every host that was to be looked at, whether it answered or not."""

    looks: Sequence[Looked]

    @property
    def kept(self) -> list[Looked]:
        """Looks of which there is a bundle now."""
        return [look for look in self.looks if not look.trouble]

    @property
    def silent(self) -> list[Looked]:
        """Looks of which nothing was kept."""
        return [look for look in self.looks if look.trouble]

    @property
    def exit(self) -> Exit:
        """Unfinished where only some hosts were silent: what was kept is good, and another try adds
        the rest.  Refused where all were."""
        if not self.silent:
            return Exit.DONE
        return Exit.UNFINISHED if self.kept else Exit.REFUSED

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"hosts": [look.to_plain() for look in self.looks]}

    def answer(self) -> Answer:
        """What was kept as lines, what was not as notes on the error stream."""
        return Answer(
            plain=self.to_plain(),
            lines=[f"{look.host}: {look.kept}" for look in self.kept],
            exit=self.exit,
            notes=[f"{look.host}: {look.trouble}" for look in self.silent],
        )


def chosen_hosts(project: Project, names: Sequence[str]) -> list[Host]:
    """The hosts of these names; none named: all of the project file.  Raises UsageProblem."""
    hosts = hosts_of(project)
    known = {host.name: host for host in hosts.every}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UsageProblem(
            f"{', '.join(unknown)}: not in the project file; it has: "
            f"{', '.join(known) or 'no hosts'}"
        )
    if not known:
        raise UsageProblem(
            "the project file names no hosts; add `fleets.old.hosts` or `survey.also`"
        )
    return [known[name] for name in names or known]


def would_collect(hosts: Sequence[Host]) -> Answer:
    """What ``--dry-run`` answers; no host is called."""
    lines = [f"would look at {host.url}" for host in hosts]
    return would(lines, {"hosts": [host.url for host in hosts]})


def silent(what: Said) -> None:
    """Nobody is there who would like to hear how it goes on."""


def collect_from(
    here: Here,
    project: Project,
    hosts: Sequence[Host],
    timeout_s: float = TIMEOUT_S,
    tell: Callable[[Said], None] = silent,
) -> Collected:
    """Look at all of them, side by side.  Raises KeyProblem."""
    keys = project_key(state_folder(here, project) / "survey.key")
    look = partial(_look, keys=keys, shelf=shelf_of(here, project), timeout_s=timeout_s)
    names = [host.name for host in hosts]
    tell(said("console.survey.looking", hosts=", ".join(names), seconds=timeout_s))
    looks: dict[str, Looked] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for ended in as_completed(pool.submit(look, host) for host in hosts):
            looked = ended.result()
            looks[looked.host] = looked
            tell(_told(looked, len(looks), len(names)))
    return Collected([looks[name] for name in names])


def _told(looked: Looked, done: int, of: int) -> Said:
    """How one of several looks ended."""
    key = "console.survey.silent" if looked.trouble else "console.survey.looked"
    return said(key, host=looked.host, seconds=looked.seconds, done=done, of=of)


def _look(
    host: Host,
    keys: Keys,
    shelf: Shelf,
    timeout_s: float = TIMEOUT_S,
) -> Looked:
    """One silent host does not keep us from the others."""
    began = time.monotonic()
    try:
        file = shelf.put(host.name, collect(host, keys, timeout_s))
        size = file.stat().st_size
    except (HostSilent, CommandFailed, BundleProblem) as error:
        trouble = str(error).removeprefix(f"{host.name}: ")
        return Looked(host.name, trouble)
    except OSError as error:
        return Looked(host.name, f"the bundle could not be kept: {error}")
    return Looked(
        host.name,
        size=size,
        seconds=time.monotonic() - began,
    )


# --- a host's files without the host


@dataclass(frozen=True, slots=True)
class Files:
    """Where the files of one host lie: a directory, or an archive."""

    host: str
    root: Path | None
    tar: str | None

    def would(self) -> Answer:
        """What ``--dry-run`` answers; nothing is read."""
        line = f"would look at the files of {self.host} in {self.root or self.tar}"
        return would([line], {"host": self.host, "files": str(self.root or self.tar)})

    def tree(self) -> Tree:
        """Raises TreeProblem."""
        if self.root is not None:
            return FolderTree(self.root)
        if self.tar == "-" and sys.stdin is None:
            raise TreeProblem("the standard input is closed; name the archive")
        if self.tar == "-":
            return TarTree(sys.stdin.buffer, "standard input")
        try:
            with Path(str(self.tar)).open("rb") as file:
                return TarTree(file, str(self.tar))
        except OSError as error:
            raise TreeProblem(f"{self.tar}: {error.strerror}") from error


def files_of(
    hosts: Sequence[Host],
    root: Path | None,
    tar: str | None,
) -> Files:
    """Raises UsageProblem where it is not said whose files they are."""
    if root is not None and tar is not None:
        raise UsageProblem("--root and --tar are two ways to look; give one of them")
    if len(hosts) != 1:
        names = ", ".join(host.name for host in hosts)
        raise UsageProblem(f"whose files are they? Name one host with --root or --tar: {names}")
    return Files(hosts[0].name, root, tar)


def collect_files(
    here: Here,
    project: Project,
    files: Files,
) -> Collected:
    """Look at them.  Raises KeyProblem, TreeProblem, NoMasking."""
    keys = project_key(state_folder(here, project) / "survey.key")
    began = time.monotonic()
    text = bundle_of(files.tree(), files.host, keys)
    read(text, files.host)
    file = shelf_of(here, project).put(files.host, text)
    seconds = time.monotonic() - began
    return Collected([Looked(files.host, size=file.stat().st_size, seconds=seconds)])


# --- the AWS side


def would_look_at_amazon(project: Project) -> Answer:
    """What ``--dry-run`` answers; AWS is not called."""
    group = project.fleets.old.target_group
    line = f"would look at what {group} hangs on in account {project.account}, read only"
    return would([line], {"target_group": group, "account": project.account})


def look_at_amazon(here: Here, project: Project) -> list[Finding]:
    """Look, and keep what was seen beside the bundles.  Raises WrongAccount, NotThere."""
    reader = Aws(project.region, read_only=True)
    reader.identity(project.account)
    rules = []
    for each in turned(project):
        if each.what == LISTENER_RULE:
            rules.append(each.name)
    seen = amazon.look(reader, project, rules)
    write_privately(amazon_file(here, project), amazon.to_plain(seen))
    return seen
