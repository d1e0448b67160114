"""Which jobs move together, in which order, and what shares that gives: pure.

Two jobs are chained where they take the same lock (``flock``, ``setlock``, ``lock=``), and where
one writes a file that the other one reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kirikae.jobs.job import Job, OnCrash
from kirikae.model.share import WHOLE

_LOCK = re.compile(
    r"\b(?:flock|setlock|lockrun|chronic-lock)\b(?:\s+-{1,2}[A-Za-z][\w-]*(?:[ =]\d+)?)*\s+(\S+)"
)
_WRITES = re.compile(r"(?:^|[^<>&0-9])\d?>>?\s*([^\s;|&<>]+)")
_WORD = re.compile(r"[^\s;|&<>\"'()]+")
_NOBODYS = re.compile(r"/dev/|&\d")


@dataclass(frozen=True, slots=True)
class Ladder:
    """``groups``: IDs that move together, in the order in which they move.

    ``shares``: permille of the jobs after each group.
    """

    groups: tuple[tuple[str, ...], ...]
    shares: tuple[int, ...]

    def owned(self, share: int) -> list[str]:
        """The jobs that the new side has at this share; a larger one has them all, too."""
        reached = zip(
            self.groups,
            self.shares,
            strict=True,
        )
        return [job for group, at in reached if at <= share for job in group]

    def share_of(self, owned: Iterable[str]) -> int:
        """The share at which exactly these are the new side's.

        A hand has turned single jobs: a share near by that no step has.
        """
        mine = set(owned)
        every = {job for group in self.groups for job in group}
        for at in (0, *self.shares):
            if set(self.owned(at)) == mine:
                return at
        near = max(1, min(WHOLE - 1, round(WHOLE * len(mine) / len(every))))
        while near in self.shares:
            near += -1 if near > WHOLE // 2 else 1
        return near

    def plan(self, wanted: Sequence[int]) -> tuple[int, ...]:
        """The smallest shares that there are and that reach the wanted ones."""
        reached = (next(at for at in self.shares if at >= share) for share in wanted)
        return tuple(dict.fromkeys(reached))


def ladder(
    jobs: Sequence[Job],
    order: Sequence[str],
    together: Sequence[Sequence[str]],
) -> Ladder:
    """``order``: the most harmless first.  ``together``: what a person knows to be chained."""
    groups = sorted(chained(jobs, together), key=_harm(jobs, order))
    total = len(jobs)
    counted = 0
    shares: list[int] = []
    for group in groups:
        counted += len(group)
        shares.append(round(WHOLE * counted / total))
    return Ladder(tuple(groups), _rising(shares))


def _rising(shares: Sequence[int]) -> tuple[int, ...]:
    """Over a thousand jobs, two neighbours may round to one permille: they become one step."""
    found = [max(1, share) for share in shares]
    return tuple(found)


class _Harm:
    """The place of a group: as named; else those that may be run again, then smaller groups."""

    def __init__(
        self,
        jobs: Sequence[Job],
        order: Sequence[str],
    ) -> None:
        self._named = {job: place for place, job in enumerate(order)}
        self._place = {job.id: place for place, job in enumerate(jobs)}
        self._fragile = {job.id for job in jobs if job.policy.on_crash is not OnCrash.RERUN}

    def __call__(self, group: Sequence[str]) -> tuple[int, int, int, int]:
        after = len(self._named)
        return (
            max(self._named.get(job, after) for job in group),
            sum(job in self._fragile for job in group),
            len(group),
            self._place[group[0]],
        )


def _harm(jobs: Sequence[Job], order: Sequence[str]) -> _Harm:
    return _Harm(jobs, order)


def chained(jobs: Sequence[Job], together: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """In the order of the file."""
    bonds = _Bonds([job.id for job in jobs])
    for group in together:
        bonds.bind(job for job in group if bonds.knows(job))
    for locked in _by_lock(jobs).values():
        bonds.bind(locked)
    for path, writers in _writers(jobs).items():
        readers = [job.id for job in jobs if path in _reads(job)]
        if readers:
            bonds.bind([*writers, *readers])
    return bonds.groups()


class _Bonds:
    """Who is tied to whom."""

    def __init__(self, names: Sequence[str]) -> None:
        self._of = {name: {name} for name in names}

    def knows(self, name: str) -> bool:
        return name in self._of

    def bind(self, names: Iterable[str]) -> None:
        """All of them, and whoever was tied to one of them."""
        whole = {other for name in names for other in self._of[name]}
        for name in whole:
            self._of[name] = whole

    def groups(self) -> list[tuple[str, ...]]:
        place = {name: at for at, name in enumerate(self._of)}
        each = {tuple(sorted(group, key=place.__getitem__)) for group in self._of.values()}
        return sorted(each, key=lambda group: place[group[0]])


def locks_of(command: str) -> set[str]:
    """The lock files that a command takes."""
    return {lock.strip("\"'") for lock in _LOCK.findall(command)}


def _by_lock(jobs: Sequence[Job]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in jobs:
        for lock in {*locks_of(job.command), *filter(None, [job.policy.lock])}:
            found.setdefault(lock, []).append(job.id)
    return found


def _writers(jobs: Sequence[Job]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in jobs:
        for path in _WRITES.findall(job.command):
            if not _NOBODYS.match(path):
                found.setdefault(path.strip("\"'"), []).append(job.id)
    return found


def _reads(job: Job) -> set[str]:
    """Words that are no target of ``>``: a log that many append to chains nobody."""
    return set(_WORD.findall(_WRITES.sub(" ", job.command)))
