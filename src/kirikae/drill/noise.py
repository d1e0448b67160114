"""Which differences are the new side's, and which are noise that two old hosts have as well.

Each request has three answers: two of the old side, one of the new.  Were the new side like the
old, then in whatever request two of the three agree and one stands apart, the odd one would be the
new one in a third of the cases.  So the count of the cases in which it is follows a binomial law,
however often the field differs: a field that always differs everywhere says nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb

from kirikae.drill.difference import Kind, Pair, Place, differences
from kirikae.drill.fields import Reply, tree_of

FALSE_DISCOVERIES = 0.01
"""The share of noise, at most, among the noisy fields that are told (Benjamini and Hochberg)."""
_CHANCE = 1 / 3
_UNANSWERED = Place("answer", Kind.PRESENCE)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request with its three answers.  ``shown``: how to ask it again."""

    route: str
    shown: str
    old: Reply
    other_old: Reply
    new: Reply

    @property
    def comparable(self) -> bool:
        """Both old hosts answered."""
        return self.old.status is not None and self.other_old.status is not None


@dataclass(frozen=True, slots=True)
class Example:
    """A request at which the difference shows."""

    shown: str
    pair: Pair


@dataclass(slots=True)
class Counted:
    """Requests of a route, and what was found at one place of their answers.

    ``new_apart``: both old hosts agree, the new side does not.  ``old_apart``: one old host agrees
    with the new side.  ``all_apart``: no two of them agree.
    """

    new_apart: int = 0
    old_apart: int = 0
    all_apart: int = 0
    example: Example | None = None

    @property
    def noisy(self) -> bool:
        """The old side differs from itself."""
        return self.old_apart + self.all_apart > 0

    @property
    def chance(self) -> float:
        """Of so many odd new answers or more, were the new side like the old."""
        trials = self.new_apart + self.old_apart
        terms = (
            comb(trials, k) * _CHANCE**k * (1 - _CHANCE) ** (trials - k)
            for k in range(self.new_apart, trials + 1)
        )
        return min(1.0, sum(terms))


@dataclass(frozen=True, slots=True)
class Difference:
    """One class of differences, as it is told and acknowledged."""

    route: str
    place: Place
    times: int
    requests: int
    noisy: bool
    example: Example


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the answers say.  ``noise``: fields in which the old side differs from itself, and which
    are not told.  ``unanswered``: requests that an old host did not answer: not compared."""

    differences: Sequence[Difference]
    noise: Sequence[tuple[str, Place]]
    compared: int
    unanswered: int


@dataclass(slots=True)
class Comparing:
    """Counts that grow while requests are asked: no answer is kept."""

    requests: dict[str, int] = field(default_factory=dict)
    counts: dict[tuple[str, Place], Counted] = field(default_factory=dict)
    unanswered: int = 0

    def take(self, asked: Asked) -> None:
        """One request more."""
        if not asked.comparable:
            self.unanswered += 1
            return
        self.requests[asked.route] = self.requests.get(asked.route, 0) + 1
        among_old = _apart(asked.old, asked.other_old)
        to_new = _apart(asked.old, asked.new)
        other_to_new = _apart(asked.other_old, asked.new)
        for place in {
            **among_old,
            **to_new,
            **other_to_new,
        }:
            counted = self.counts.setdefault((asked.route, place), Counted())
            apart = (place in among_old, place in to_new, place in other_to_new)
            _count(counted, apart)
            if apart == (False, True, True) and counted.example is None:
                counted.example = Example(asked.shown, to_new[place])

    def done(self) -> Comparison:
        """What is noise and what is not."""
        told = _told(self.counts)
        found = [
            Difference(
                route,
                place,
                counted.new_apart,
                self.requests[route],
                counted.noisy,
                counted.example,
            )
            for (route, place), counted in sorted(self.counts.items())
            if (route, place) in told and counted.example is not None
        ]
        noise = sorted(
            key for key, counted in self.counts.items() if counted.noisy and key not in told
        )
        return Comparison(
            found,
            noise,
            sum(self.requests.values()),
            self.unanswered,
        )


def _apart(old: Reply, new: Reply) -> dict[Place, Pair]:
    """No answer is one difference, not as many as the answer has fields."""
    if new.status is None:
        return {_UNANSWERED: Pair(f"status {old.status}", new.error)}
    return differences(tree_of(old), tree_of(new))


def _count(counted: Counted, apart: tuple[bool, bool, bool]) -> None:
    match apart:
        case (False, True, True):
            counted.new_apart += 1
        case (True, True, True):
            counted.all_apart += 1
        case (True, _, _):
            counted.old_apart += 1


def _told(counts: Mapping[tuple[str, Place], Counted]) -> set[tuple[str, Place]]:
    """Without noise every difference, however rare; with noise what chance does not explain."""
    plain = {key for key, each in counts.items() if each.new_apart and not each.noisy}
    noisy = {key: each.chance for key, each in counts.items() if each.noisy}
    return plain | set(_discoveries(noisy.items()))


def _discoveries(
    chances: Iterable[tuple[tuple[str, Place], float]],
) -> list[tuple[str, Place]]:
    ranked = sorted(chances, key=lambda each: each[1])
    last = 0
    for rank, (_, chance) in enumerate(ranked, 1):
        if chance <= FALSE_DISCOVERIES * rank / len(ranked):
            last = rank
    return [key for key, _ in ranked[:last]]
