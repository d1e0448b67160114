"""What a kind of move is: all that differs between traffic, jobs, workers and logs.

A kind is one room: its settings, its words, what it opens, what its driver may do.  It is
registered by one line in ``console/kinds.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from kirikae.model.catalogue import Entry
from kirikae.model.evidence import Evidence
from kirikae.model.finding import Finding
from kirikae.model.move import Move
from kirikae.model.project import MoveSettings, Project
from kirikae.model.said import Said, Tables
from kirikae.move.journal import Journal
from kirikae.move.mover import Mover

Statement = Mapping[str, object]
"""One statement of an IAM policy."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know beside phase and share.

    ``key``, ``plain``: for ``--json``.  ``says``: for people; None where ``--json`` alone has it.
    """

    key: str
    plain: object
    says: Said | None = None


@dataclass(frozen=True, slots=True)
class Prospect:
    """What one step of the plan will ask for.  ``seconds``: None where that is not known."""

    share: int
    seconds: float | None
    says: tuple[Said, ...]
    plain: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prospects:
    """One for each step of the plan, and what they were reckoned from."""

    steps: tuple[Prospect, ...]
    facts: tuple[Fact, ...] = ()

    @property
    def seconds(self) -> float | None:
        """The whole plan; None where a step of it is not known."""
        known = [step.seconds for step in self.steps if step.seconds is not None]
        return sum(known) if len(known) == len(self.steps) else None


@dataclass(frozen=True, slots=True)
class Told:
    """Both sides' figures in words.

    ``line``: with every figure, for who looks on.  ``sentence``: for a chat.
    """

    line: Said
    sentence: Said


class Thing(Mover, Protocol):
    """One thing that moves: the seven acts of ``Mover``, its look at the share, and looks that
    act on nothing."""

    @property
    def subject(self) -> str:
        """What is moved, so that a project file that names another thing is noticed."""

    @property
    def look_every_s(self) -> float:
        """How long the driver rests between two looks."""

    @property
    def delay_s(self) -> float:
        """How long users may still meet the former share after a change."""

    def plan(self) -> tuple[int, ...]:
        """The shares (permille) that the world can really have, rising to the whole."""

    def obstacles(self) -> list[Finding]:
        """What stands in the way, or should be known before."""

    def prospects(self) -> Prospects:
        """What each step of the plan will take."""

    def facts(self, move: Move | None) -> list[Fact]:
        """What ``status`` tells: the share found, the way back, what running both costs."""

    def recorded(self, move: Move) -> Evidence | None:
        """What the record says, by the driver's own judge; None where there is nothing to judge."""

    def told(self, evidence: Evidence) -> Told | None:
        """Both sides' figures; None where there are none."""

    def assert_may_retire(self, move: Move) -> None:
        """Raises a KirikaeError where the old side is still needed."""

    def removal(self, move: Move) -> Said:
        """What may be removed afterwards, in which order (Markdown)."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a kind gets to open a thing.

    ``aws``: the session of the room ``aws``, which ``move`` does not know; the kind that uses it
    knows its type.  ``folder``: that of the project file.
    """

    name: str
    project: Project
    aws: Any
    journal: Journal
    clock: Callable[[], float]
    folder: Path


LISTENER_RULE = "listener_rule"


@dataclass(frozen=True, slots=True)
class Turned:
    """One thing on AWS that a move turns.  ``what``: such as ``listener_rule``."""

    what: str
    name: str


S = TypeVar("S", bound=MoveSettings)


@dataclass(frozen=True, slots=True)
class Kind(Generic[S]):
    """One kind of move.

    ``name``: the word after ``kind:`` in the project file, in ``Finding.blocks`` and in keys.
    ``words``: the room's sentences; where they have ``NAME.notice.x`` or ``NAME.explain.x``, that
    is said instead of ``move.notice.x`` or ``move.explain.x``.
    ``permissions``: what a driver of this move calls, and no more.
    ``turns``: what is turned, for people who ask what could be changed.
    ``by_hand``: share 0 without kirikae, for who has pressed the red button and AWS did not
    answer: commands of AWS's own command line and of the hosts.
    """

    name: str
    settings: type[S]
    words: Tables
    open: Callable[[S, Bench], Thing]
    permissions: Callable[[S, Bench], Sequence[Statement]]
    turns: Callable[[S], tuple[Turned, ...]]
    by_hand: Callable[[S, Project], Said] | None = None
    catalogue: Mapping[str, Entry] = field(default_factory=dict)
