"""A job, one due time of it, and one attempt at that: ``Job``, ``Firing``, ``Run``.

``due`` is a minute of UTC since 1970-01-01; every other time is in seconds of the ledger's own
clock.  All are frozen and plain: they travel as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self


class Owner(StrEnum):
    """Who runs a job: the old side's cron, or the new side's schedulers and workers."""

    OLD = "old"
    NEW = "new"


class OnCrash(StrEnum):
    """What becomes of a run whose worker died after the start."""

    FAIL = "fail"
    RERUN = "rerun"


class Overlap(StrEnum):
    """What becomes of a firing while an earlier one of the same lock still runs."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue-one"
    KILL_OLD = "kill-old"


class CatchUp(StrEnum):
    """Which missed firings inside the window are made up."""

    NONE = "none"
    LAST = "last"
    ALL = "all"
    AS_CRON = "as-cron"
    """Entries of fixed times all, wild ones the last only: cron(8) after a suspension."""


class RunsIn(StrEnum):
    """Where the command runs."""

    WORKER = "worker"
    OWN_TASK = "own-task"


class State(StrEnum):
    """Where a firing stands."""

    RECORDED = "recorded"
    """The old side's: planned here, never sent."""
    ADMITTED = "admitted"
    """Written down, not yet in the queue."""
    SENT = "sent"
    CLAIMED = "claimed"
    """A worker holds it and has not started the command."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    """The worker died in the middle, and it must not run twice."""
    MISSED = "missed"
    SKIPPED = "skipped"
    NOT_STARTED = "not-started"

    @property
    def live(self) -> bool:
        """Does somebody hold it?"""
        return self in (State.CLAIMED, State.RUNNING)

    @property
    def over(self) -> bool:
        """Nothing will happen to it any more."""
        return self in _OVER


_OVER = frozenset(
    [
        State.SUCCEEDED,
        State.FAILED,
        State.LOST,
        State.MISSED,
        State.SKIPPED,
        State.NOT_STARTED,
    ]
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked at the claim and at the end, so that nobody needs the definition for it.

    ``lock``: firings of one lock do not overlap (by default the job).  ``start_within_s``: counted
    from the due minute; None: whenever.
    """

    on_crash: OnCrash = OnCrash.FAIL
    overlap: Overlap = Overlap.ALLOW
    lock: str = ""
    retries: int = 0
    backoff_s: float = 60.0
    start_within_s: float | None = None

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The same again."""
        within = plain.get("start_within_s")
        return cls(
            OnCrash(plain.get("on_crash", OnCrash.FAIL)),
            Overlap(plain.get("overlap", Overlap.ALLOW)),
            str(plain.get("lock", "")),
            int(plain.get("retries", 0)),
            float(plain.get("backoff_s", 60.0)),
            None if within is None else float(within),
        )


LIKE_CRON = Policy()
"""What an imported line gets: cron allows overlap, has no deadline, and runs nothing again."""


@dataclass(frozen=True, slots=True)
class Job:
    """One entry of a crontab.  ``when``: its five fields.  ``window_s``: how far back is made up.

    ``environment``: the variables above the entry; what cron adds is added where it runs.
    """

    id: str
    source: str
    dialect: str
    when: str
    zone: str
    command: str
    stdin: str | None = None
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = LIKE_CRON
    runs_in: RunsIn = RunsIn.WORKER
    timeout_s: float | None = None
    catch_up: CatchUp = CatchUp.AS_CRON
    window_s: float = 300.0
    runs_unheld: bool = False
    """Run it although the ledger is away: the queue alone then stands against a second run."""
    match: str = ""
    match_stdout: bool = False
    """Standard output is looked at, too."""
    notify: tuple[str, ...] = ()
    late_s: float = 300.0
    """Told when it has not begun so long after its due minute."""
    overrun_s: float | None = None
    """Told when it runs for longer; None: when it still runs at its next due minute."""

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The same again; what a newer version has written besides is passed over."""
        known = {name: value for name, value in plain.items() if name in cls.__slots__}
        known["policy"] = Policy.from_plain(known.get("policy", {}))
        known["runs_in"] = RunsIn(known.get("runs_in", RunsIn.WORKER))
        known["catch_up"] = CatchUp(known.get("catch_up", CatchUp.AS_CRON))
        known["notify"] = tuple(known.get("notify", ()))
        return cls(**known)

    @property
    def in_ledger(self) -> Policy:
        """A task of its own outlives the worker that watches it: another one takes over."""
        if self.runs_in is RunsIn.OWN_TASK:
            return replace(self.policy, on_crash=OnCrash.RERUN)
        return self.policy

    @property
    def digest(self) -> str:
        """Names this definition; a changed command has another one, the job is the same.  Where the
        file lies that it was read from is no part of it."""
        text = json.dumps({**self.to_plain(), "source": ""}, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt.  ``ended`` is None while nobody has said how it ended."""

    attempt: int
    fence: int
    holder: str
    side: Owner
    began: float
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str = ""
    tail: str = ""
    task: str = ""
    """The ARN of the ECS task, where it has one of its own."""
    lost: bool = False
    """Its worker went away or gave it back: a task of its own may still run."""

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The same again."""
        return cls(
            **{
                **plain,
                "side": Owner(plain["side"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Firing:
    """One due time of a job and all that happened to it.

    ``fence`` rises with each claim: only who holds the newest may say how it ended.  ``side``: who
    runs this one, settled by whoever wrote it down first and never changed.  ``not_before``: when
    it may be sent.  ``version`` rises with each change.
    """

    job: str
    due: int
    side: Owner
    state: State
    created: float
    attempt: int = 1
    fence: int = 0
    holder: str = ""
    lease_until: float = 0.0
    digest: str = ""
    serial: int = 0
    policy: Policy = LIKE_CRON
    not_before: float = 0.0
    sent_at: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str = ""
    late_by_s: float = 0.0
    runs: tuple[Run, ...] = ()
    version: int = 0

    @property
    def id(self) -> str:
        """``job@20260308T0700Z``."""
        return firing_id(self.job, self.due)

    @property
    def lock(self) -> str:
        """Firings of one lock do not overlap, unless their policy allows it."""
        return self.policy.lock or self.job

    @property
    def group(self) -> str:
        """The queue's message group: what has to wait for another shares one."""
        waits = self.policy.overlap in (Overlap.SKIP, Overlap.QUEUE_ONE)
        return self.lock if waits else self.id

    @property
    def start_by(self) -> float | None:
        """The last moment at which it may begin, in seconds."""
        within = self.policy.start_within_s
        if within is None:
            return None
        return max(self.due * 60.0, self.not_before) + within

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        plain["policy"] = _flat(self.policy)
        plain["runs"] = [_flat(run) for run in self.runs]
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The same again."""
        known = dict(plain)
        known["side"] = Owner(known["side"])
        known["state"] = State(known["state"])
        known["policy"] = Policy.from_plain(known.get("policy", {}))
        known["runs"] = tuple(Run.from_plain(run) for run in known.get("runs", ()))
        return cls(**known)

    def with_run(self, run: Run) -> tuple[Run, ...]:
        """The runs with the last one, or a new one, as given."""
        kept = tuple(each for each in self.runs if each.fence != run.fence)
        return (*kept, run)

    def last_run(self) -> Run | None:
        """The newest attempt."""
        return self.runs[-1] if self.runs else None

    def changed(self, **what: Any) -> Self:
        """A new one, one version later."""
        return replace(
            self,
            version=self.version + 1,
            **what,
        )


def _flat(noun: Policy | Run) -> dict[str, Any]:
    """``asdict`` without its copies: a ledger writes thousands of these a second."""
    return {name: getattr(noun, name) for name in noun.__slots__}


def firing_id(job: str, due: int) -> str:
    """``job@20260308T0700Z``."""
    return f"{job}@{stamp(due)}"


def stamp(due: int) -> str:
    """``20260308T0700Z``: a minute of UTC."""
    return f"{datetime.fromtimestamp(due * 60, UTC):%Y%m%dT%H%MZ}"


_FIRING = re.compile(r"(?P<job>.+)@(?P<stamp>\d{8}T\d{4}Z)")


def read_stamp(text: str) -> int:
    """Raises ValueError."""
    moment = datetime.strptime(text, "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
    return int(moment.timestamp()) // 60


def read_firing_id(text: str) -> tuple[str, int]:
    """(job, due).  Raises ValueError."""
    found = _FIRING.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no firing; one is written job@20260308T0700Z")
    return found["job"], read_stamp(found["stamp"])


def token(firing: str, attempt: int) -> str:
    """The de-duplication ID of the queue and the client token of RunTask: 64 characters, never of
    the command or the environment."""
    return hashlib.sha256(f"{firing}#{attempt}".encode()).hexdigest()
